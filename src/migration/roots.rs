//! Folders that `godwit.yml` names and in which no migration is found: a slip of the pen there must not read as "nothing to
//! do". Opens nothing itself.

use std::collections::BTreeSet;

use super::{MigrationRoot, MigrationSet, Problem, Severity};
use crate::config::RepoConfig;

/// What is wrong with the folders that the file itself names, the set having been read from them. `is_there` tells of a path
/// without patterns whether it is a folder.
pub fn unfound(roots: &[MigrationRoot], set: &MigrationSet, is_there: &dyn Fn(&str) -> bool) -> Vec<Problem> {
    roots.iter().filter_map(|root| problem(root, root.line?, set, is_there)).collect()
}

/// The same for a change of the files `touched`. Where it names such a folder and brings migrations, they may be meant for it.
/// One that only names it is warned, since its first migration may be another's; and one that brings migrations or SQL, since
/// those may be meant for a folder that was named before. To others it is nothing.
pub fn unfound_by(
    touched: &BTreeSet<String>,
    roots: &[MigrationRoot],
    set: &MigrationSet,
    is_there: &dyn Fn(&str) -> bool,
) -> Vec<Problem> {
    let names = touched.contains(RepoConfig::FILE);
    let brings = set.migrations.iter().flat_map(|m| &m.files).any(|f| touched.contains(&f.path))
        || touched.iter().any(|path| path.ends_with(".sql"));
    if !brings && !names {
        return Vec::new();
    }
    let severity = |told: Severity| if brings && names { told } else { told.min(Severity::Warning) };
    let all = unfound(roots, set, is_there);
    all.into_iter().map(|p| Problem { severity: severity(p.severity), ..p }).collect()
}

fn problem(root: &MigrationRoot, line: u32, set: &MigrationSet, is_there: &dyn Fn(&str) -> bool) -> Option<Problem> {
    // A pattern that cannot be read is told by who reads the set.
    let matcher = root.matcher()?;
    let fits = |dir: &str| if root.path.is_empty() { dir.is_empty() } else { matcher.is_match(dir) };
    // What is wrong with a file in it, or below it, is told by itself.
    let spoken_of = |file: &str| file.match_indices('/').map(|(at, _)| &file[..at]).chain([""]).any(fits);
    let problems = set.problems.iter().filter(|p| p.file != RepoConfig::FILE);
    if set.migrations.iter().any(|m| fits(&m.unit)) || problems.map(|p| p.file.as_str()).any(spoken_of) {
        return None;
    }
    let shown = if root.path.is_empty() { "." } else { &root.path };
    let (rule, severity, message, help) = if root.is_pattern() {
        let message = format!("`{shown}` fits no folder that holds a migration");
        ("empty-root", Severity::Warning, message, "correct `path`, or take the entry out until there is one")
    } else if root.path.is_empty() || is_there(&root.path) {
        let message = format!("`{shown}` holds no migration");
        ("empty-root", Severity::Warning, message, "correct `path`, or take the entry out until there is one")
    } else {
        let message = format!("`{shown}` is no folder, and migrations are looked for in it");
        ("missing-root", Severity::Error, message, "correct `path`, or take the entry out until the folder is there")
    };
    let file = RepoConfig::FILE.to_owned();
    Some(Problem { file, line, column: 1, rule, severity, message, help: help.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{SourceFile, resolve};

    #[test]
    fn a_named_folder_without_migrations_is_told_with_its_line() {
        let config = RepoConfig::parse(
            "version: 1\nmigrations:\n  - path: db\n  - path: nosuch\n  - path: empty\n  - path: services/*/migrations\n  \
             - path: apps/*/migrations\n  - path: broken\n  - path: '**'\n",
        )
        .expect("valid");
        let files = [
            ("db/1_a.up.sql", "select 1;"),
            ("db/1_a.down.sql", "select 1;"),
            ("empty/notes.txt", ""),
            ("apps/shop/migrations/1_b.up.sql", "select 1;"),
            ("apps/shop/migrations/1_b.down.sql", "select 1;"),
            ("broken/1_c.up.sql", "select '\0';"),
        ]
        .map(|(path, text)| SourceFile::new(path, text));
        let set = resolve(&files, &config.migrations);
        let there = |path: &str| files.iter().any(|f| f.path.starts_with(&format!("{path}/")));
        let told: Vec<_> = unfound(&config.migrations, &set, &there)
            .into_iter()
            .map(|p| (p.line, p.rule, p.severity, p.message))
            .collect();
        let parts = [
            (4, "missing-root", Severity::Error, "`nosuch`"),
            (5, "empty-root", Severity::Warning, "`empty`"),
            (6, "empty-root", Severity::Warning, "`services/*/migrations`"),
        ];
        assert_eq!(told.len(), parts.len(), "{told:?}");
        for (told, (line, rule, severity, name)) in told.iter().zip(parts) {
            assert_eq!((told.0, told.1, told.2), (line, rule, severity), "{told:?}");
            assert!(told.3.starts_with(name), "{told:?}");
        }
    }

    #[test]
    fn a_change_is_told_of_folders_that_concern_it() {
        let config = RepoConfig::parse("version: 1\nmigrations:\n  - path: db\n  - path: nosuch\n").expect("valid");
        let files = [SourceFile::new("db/1_a.up.sql", "select 1;")];
        let set = resolve(&files, &config.migrations);
        for (touched, expected) in [
            (&["db/1_a.up.sql"][..], Some(Severity::Warning)),
            (&["nosuhc/1_a.up.sql"], Some(Severity::Warning)),
            (&["db/1_a.up.sql", "godwit.yml"], Some(Severity::Error)),
            (&["godwit.yml"], Some(Severity::Warning)),
            (&["README.md"], None),
        ] {
            let touched = touched.iter().map(|path| (*path).to_owned()).collect();
            let told = unfound_by(&touched, &config.migrations, &set, &|path| path == "db");
            assert_eq!(told.first().map(|p| p.severity), expected, "{touched:?}");
        }
    }

    #[test]
    fn what_nobody_wrote_is_not_asked_for() {
        let roots = RepoConfig::default().migrations;
        assert_eq!(unfound(&roots, &resolve(&[], &roots), &|_| false), []);
    }
}
