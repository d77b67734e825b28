//! Folders that `godwit.yml` names and in which no migration is found: a slip of the pen there must not read as "nothing to
//! do". Opens nothing itself.

use std::collections::BTreeSet;

use super::layout::is_numbered_script;
use super::set::never_holds;
use super::{FileContent, MigrationRoot, MigrationSet, Problem, Severity, SourceFile, dialect, resolve};
use crate::config::RepoConfig;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder.
    Folder,
    /// A symbolic link, or what lies behind the one that stands here.
    Link(String),
    /// No folder.
    Nothing,
}

/// What is said of a link that stands where a folder of migrations should; lint and runs say the same.
pub const LINK: &str = "is a symbolic link; links are never followed, since they can point anywhere";

/// Links that stand where a pattern of `godwit.yml` looks for folders. What is behind them may be no folder at all, which a
/// name with an ending speaks for.
pub(super) fn linked(files: &[SourceFile], roots: &[MigrationRoot]) -> Vec<Problem> {
    let named = roots.iter().filter(|root| root.line.is_some() && root.is_pattern() && !root.path.contains("**"));
    let patterns: Vec<_> = named.filter_map(MigrationRoot::matcher).collect();
    let stands = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        !name.contains('.') && patterns.iter().any(|fits| fits(path))
    };
    let links = files.iter().filter(|f| matches!(f.content, FileContent::Symlink) && stands(&f.path));
    let told = |file: &SourceFile| Problem {
        file: file.path.clone(),
        line: 1,
        column: 1,
        end_column: 1,
        rule: "symlink",
        severity: Severity::Warning,
        message: format!("{LINK}: a pattern of `{}` fits it, and what is behind it is not read", RepoConfig::FILE),
        help: "commit the folder itself".to_owned(),
    };
    links.map(told).collect()
}

/// What is wrong with the folders that the file itself names, the set having been read from them. `place` tells of a path
/// without patterns what stands there.
pub fn unfound(roots: &[MigrationRoot], set: &MigrationSet, place: &dyn Fn(&str) -> Place) -> Vec<Problem> {
    roots.iter().filter_map(|root| problem(root, root.line?, set, place)).collect()
}

/// The same for a change of the files `touched`. Where it names such a folder and brings migrations, they may be meant for it.
/// One that only names it is warned, since its first migration may be another's; and one that brings migrations or SQL, since
/// those may be meant for a folder that was named before. To others it is nothing.
pub fn unfound_by(
    touched: &BTreeSet<String>,
    roots: &[MigrationRoot],
    set: &MigrationSet,
    place: &dyn Fn(&str) -> Place,
) -> Vec<Problem> {
    let names = touched.contains(RepoConfig::FILE);
    let brings = set.migrations.iter().flat_map(|m| &m.files).any(|f| touched.contains(&f.path))
        || touched.iter().any(|path| path.ends_with(".sql"));
    // A link stands in git by its own path, whatever is behind it.
    let is_new_link = |root: &MigrationRoot| matches!(place(&root.path), Place::Link(link) if touched.contains(&link));
    let links = roots.iter().any(|root| root.line.is_some() && is_new_link(root));
    if !brings && !names && !links {
        return Vec::new();
    }
    // Nothing that is behind a link is looked at, whoever made it.
    let severity = |p: &Problem| {
        if (brings && names) || p.rule == "symlink" { p.severity } else { p.severity.min(Severity::Warning) }
    };
    let all = unfound(roots, set, place);
    all.into_iter().map(|p| Problem { severity: severity(&p), ..p }).collect()
}

/// Folders that no entry of `godwit.yml` names and to which a change brings what reads as migrations: nobody lints, plans or
/// runs them. By the names of the files `touched` alone; one problem a folder, at its first file.
pub fn uncovered_by(touched: &BTreeSet<String>, roots: &[MigrationRoot], set: &MigrationSet) -> Vec<Problem> {
    let matchers: Vec<_> = roots.iter().map(MigrationRoot::matcher).collect();
    // What a pattern that cannot be read would have covered nobody knows.
    let named = |dir: &str| matchers.iter().any(|matcher| matcher.as_ref().is_none_or(|fits| fits(dir)));
    let known = set.by_path();
    // What could not be read was looked at, and is told of by itself.
    let told_of: BTreeSet<&str> = set.problems.iter().map(|p| p.file.as_str()).collect();
    let others: Vec<_> = touched
        .iter()
        .filter(|path| !known.contains_key(path.as_str()) && !told_of.contains(path.as_str()))
        .map(|path| SourceFile::new(path.clone(), Vec::new()))
        .collect();
    if others.is_empty() {
        return Vec::new();
    }
    let mut told: Vec<Problem> = Vec::new();
    let mut units = BTreeSet::new();
    for migration in resolve(&others, &RepoConfig::default().migrations).migrations {
        if named(&migration.unit) || !units.insert(migration.unit.clone()) {
            continue;
        }
        told.push(uncovered(&migration.up.path, &migration.unit));
    }
    let unread = unread(touched.iter().map(String::as_str), roots, set).into_iter();
    let new: Vec<_> = unread.filter(|p| !told.iter().any(|t| t.message == p.message)).collect();
    told.extend(new);
    told
}

/// Folders whose scripts are numbered as migrations are, and which nobody reads as such: without configuration only folders
/// that clearly hold migrations count. Numbers that are filled up with zeros are what a folder of reports seldom has.
fn unread<'p>(paths: impl Iterator<Item = &'p str>, roots: &[MigrationRoot], set: &MigrationSet) -> Vec<Problem> {
    let matchers: Vec<_> = roots.iter().filter(|r| r.path != "**").map(MigrationRoot::matcher).collect();
    let is_named = |dir: &str| matchers.iter().any(|matcher| matcher.as_ref().is_none_or(|fits| fits(dir)));
    let known = set.by_path();
    let dir_of = |path: &'p str| path.rsplit_once('/').unwrap_or(("", path));
    let spoken_of: BTreeSet<&str> =
        set.problems.iter().map(|p| p.file.rsplit_once('/').map_or("", |(dir, _)| dir)).collect();
    let mut folders = BTreeSet::new();
    let mut told = Vec::new();
    for path in paths.filter(|path| !known.contains_key(*path)) {
        let (dir, name) = dir_of(path);
        let is_told = is_apart(dir) || dialect::of_folder(dir).is_some() || spoken_of.contains(dir) || is_named(dir);
        if is_numbered_script(name) && !is_told && folders.insert(dir) {
            told.push(uncovered(path, dir));
        }
    }
    told
}

/// Whether a folder is one for scripts of other kinds: what is numbered there has an order, and is no migration.
fn is_apart(dir: &str) -> bool {
    const KINDS: [&str; 14] = [
        "test",
        "tests",
        "spec",
        "fixtures",
        "fixture",
        "example",
        "examples",
        "seed",
        "seeds",
        "queries",
        "query",
        "reports",
        "snippets",
        "exercises",
    ];
    dir.split('/').any(|part| KINDS.contains(&part.to_ascii_lowercase().as_str())) || never_holds(dir)
}

fn uncovered(file: &str, unit: &str) -> Problem {
    let unit = if unit.is_empty() { "." } else { unit };
    Problem {
        file: file.to_owned(),
        line: 1,
        column: 1,
        end_column: 1,
        rule: "uncovered-folder",
        severity: Severity::Info,
        message: format!("`{unit}` reads as a folder of migrations, and no entry of `godwit.yml` covers it"),
        help: format!("add `- path: {unit}` below `migrations` in `godwit.yml`, if these are to be linted and run"),
    }
}

/// The same for a whole repository, whose files are `paths`: folders below one that `godwit.yml` names. Elsewhere there may be
/// other projects, examples, and what another tool runs.
pub fn uncovered_below<'p>(
    paths: impl Iterator<Item = &'p str>,
    roots: &[MigrationRoot],
    set: &MigrationSet,
) -> Vec<Problem> {
    let named: Vec<_> = roots.iter().filter(|root| root.line.is_some()).filter_map(MigrationRoot::matcher).collect();
    let is_below = |path: &&str| {
        let mut around = path.match_indices('/').map(|(at, _)| &path[..at]);
        around.any(|dir| named.iter().any(|fits| fits(dir)))
    };
    if named.is_empty() {
        return unread(paths, roots, set);
    }
    uncovered_by(&paths.filter(is_below).map(str::to_owned).collect(), roots, set)
}

fn problem(root: &MigrationRoot, line: u32, set: &MigrationSet, place: &dyn Fn(&str) -> Place) -> Option<Problem> {
    // A pattern that cannot be read is told by who reads the set.
    let fits = root.matcher()?;
    // What is wrong with a file in it, or below it, is told by itself.
    let spoken_of = |file: &str| file.match_indices('/').map(|(at, _)| &file[..at]).chain([""]).any(&fits);
    let problems = set.problems.iter().filter(|p| p.file != RepoConfig::FILE);
    if set.migrations.iter().any(|m| fits(&m.unit)) || problems.map(|p| p.file.as_str()).any(spoken_of) {
        return None;
    }
    let shown = if root.path.is_empty() { "." } else { &root.path };
    let (rule, severity, message, help) = if root.is_pattern() {
        let message = format!("`{shown}` fits no folder that holds a migration");
        ("empty-root", Severity::Warning, message, "correct `path`, or take the entry out until there is one")
    } else {
        match if root.path.is_empty() { Place::Folder } else { place(&root.path) } {
            Place::Folder => {
                let message = format!("`{shown}` holds no migration");
                ("empty-root", Severity::Warning, message, "correct `path`, or take the entry out until there is one")
            }
            Place::Link(link) => (
                "symlink",
                Severity::Error,
                format!("`{link}` {LINK}"),
                "commit the folder itself, or name it in `path`",
            ),
            Place::Nothing => {
                let message = format!("`{shown}` is no folder, and migrations are looked for in it");
                let help = "correct `path`, or take the entry out until the folder is there";
                ("missing-root", Severity::Error, message, help)
            }
        }
    };
    let file = RepoConfig::FILE.to_owned();
    Some(Problem { file, line, column: 1, end_column: 1, rule, severity, message, help: help.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::paths::below;

    #[test]
    fn a_file_that_could_not_be_read_makes_its_folder_no_other_one() {
        let files = [
            SourceFile::new("migrations/scripts/001_a.sql", "select 1;"),
            SourceFile::new("migrations/scripts/002_b.sql", b"select '\xe9';".to_vec()),
        ];
        let set = resolve(&files, &RepoConfig::default().migrations);
        assert!(set.migrations.len() == 1 && set.problems.iter().any(|p| p.rule == "not-utf8"));
        let here = MigrationRoot { line: Some(1), ..MigrationRoot::folder("") };
        let touched = files.iter().map(|f| f.path.clone()).collect();
        assert_eq!(uncovered_by(&touched, &[here], &set), []);
    }

    #[test]
    fn a_named_folder_without_migrations_is_told_with_its_line() {
        let config = RepoConfig::parse(
            "version: 1\nmigrations:\n  - path: db\n  - path: nosuch\n  - path: empty\n  - path: services/*/migrations\n  \
             - path: apps/*/migrations\n  - path: broken\n  - path: '**'\n  - path: linked/db\n",
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
        let there = |path: &str| match path {
            "linked/db" => Place::Link("linked".to_owned()),
            path if files.iter().any(|f| below(&f.path, path).is_some()) => Place::Folder,
            _ => Place::Nothing,
        };
        let told: Vec<_> = unfound(&config.migrations, &set, &there)
            .into_iter()
            .map(|p| (p.line, p.rule, p.severity, p.message))
            .collect();
        let parts = [
            (4, "missing-root", Severity::Error, "`nosuch`"),
            (5, "empty-root", Severity::Warning, "`empty`"),
            (6, "empty-root", Severity::Warning, "`services/*/migrations`"),
            (10, "symlink", Severity::Error, "`linked` is a symbolic link"),
        ];
        assert_eq!(told.len(), parts.len(), "{told:?}");
        for (told, (line, rule, severity, name)) in told.iter().zip(parts) {
            assert_eq!((told.0, told.1, told.2), (line, rule, severity), "{told:?}");
            assert!(told.3.starts_with(name), "{told:?}");
        }
    }

    #[test]
    fn a_link_where_a_pattern_looks_for_folders_is_told() {
        let of = |path: &str, link: &str| {
            let config = RepoConfig::parse(&format!("version: 1\nmigrations:\n  - path: '{path}'\n")).expect("valid");
            let files = [
                SourceFile::new("services/shop/1_a.up.sql", "select 1;"),
                SourceFile { path: link.to_owned(), content: FileContent::Symlink },
            ];
            let problems = resolve(&files, &config.migrations).problems;
            let link = problems.into_iter().find(|p| p.rule == "symlink" && p.file == link);
            link.map(|p| p.severity)
        };
        assert_eq!(of("services/*", "services/linked"), Some(Severity::Warning));
        assert_eq!(of("services/*/db", "services/shop/db"), Some(Severity::Warning));
        for (path, link) in [
            ("services/*", "services/README.md"),
            ("services/*", "elsewhere/linked"),
            ("services/*", "services/shop/linked"),
            ("services/**", "services/linked"),
            ("services/shop", "services/linked"),
        ] {
            assert_eq!(of(path, link), None, "{path} {link}");
        }
    }

    #[test]
    fn a_folder_below_a_named_one_is_told_and_no_other() {
        let config = RepoConfig::parse("version: 1\nmigrations:\n  - path: db\n").expect("valid");
        let paths = ["db/1_a.up.sql", "db/old/1_z.up.sql", "db/old/2_y.up.sql", "db/notes.md", "other/1_b.up.sql"];
        let files = paths.map(|path| SourceFile::new(path, "select 1;"));
        let set = resolve(&files, &config.migrations);
        let told = |roots: &[MigrationRoot]| -> Vec<_> {
            let problems = uncovered_below(paths.into_iter(), roots, &set);
            problems.into_iter().map(|p| (p.file, p.rule, p.severity)).collect()
        };
        assert_eq!(told(&config.migrations), [("db/old/1_z.up.sql".to_owned(), "uncovered-folder", Severity::Info)]);
        assert_eq!(told(&RepoConfig::default().migrations), []);
        let all = RepoConfig::parse("version: 1\nmigrations:\n  - path: db/**\n").expect("valid");
        assert_eq!(told(&all.migrations), []);
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
            let told = unfound_by(&touched, &config.migrations, &set, &|path| match path {
                "db" => Place::Folder,
                _ => Place::Nothing,
            });
            assert_eq!(told.first().map(|p| p.severity), expected, "{touched:?}");
        }
    }

    #[test]
    fn a_folder_that_no_entry_covers_is_told_once_where_a_change_brings_migrations_to_it() {
        let told = |config: &str, paths: &[&str]| -> Vec<(String, String)> {
            let roots = RepoConfig::parse(config).expect("valid").migrations;
            let files: Vec<_> = paths.iter().map(|path| SourceFile::new(*path, "select 1;")).collect();
            let touched = paths.iter().map(|path| (*path).to_owned()).collect();
            let told = uncovered_by(&touched, &roots, &resolve(&files, &roots));
            assert!(told.iter().all(|p| p.severity == Severity::Info && p.rule == "uncovered-folder"), "{told:?}");
            told.into_iter().map(|p| (p.file, p.message)).collect()
        };
        let one = "version: 1\nmigrations:\n  - path: db\n";
        let paths = [
            "db/1_a.up.sql",
            "db/stray.sql",
            "shop/migrations/2_b.up.sql",
            "shop/migrations/2_b.down.sql",
            "shop/migrations/3_c.up.sql",
            "reports/2024_sales.sql",
            "tests/testdata/migrations/1_a.up.sql",
        ];
        let found = told(one, &paths);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "shop/migrations/2_b.up.sql");
        assert!(found[0].1.starts_with("`shop/migrations` reads as"), "{found:?}");
        for config in [
            "version: 1\n",
            "version: 1\nmigrations:\n  - path: db\n  - path: shop/migrations\n",
            "version: 1\nmigrations:\n  - path: db\n  - path: '*/migrations'\n",
            "version: 1\nmigrations:\n  - path: '**'\n",
        ] {
            assert_eq!(told(config, &paths), [], "{config}");
        }
    }

    #[test]
    fn a_folder_of_numbered_scripts_that_nobody_reads_is_told() {
        let paths = [
            "db/0001_a.sql",
            "db/0002_b.sql",
            "drizzle/0000_a.sql",
            "sql/R__a.sql",
            "web/prisma/migrations/20240101000000_a/migration.sql",
            "reports/2024_sales.sql",
            "reports/0001_sales.sql",
            "tests/db/0001_a.sql",
            "vendor/x/0001_a.sql",
            "mysql/0001_a.sql",
            "docs/0001_a.md",
        ];
        let files = paths.map(|path| SourceFile::new(path, "select 1;"));
        let told = |roots: &[MigrationRoot], by: Option<&str>| -> Vec<String> {
            let set = resolve(&files, roots);
            let problems = match by {
                Some(path) => uncovered_by(&BTreeSet::from([path.to_owned()]), roots, &set),
                None => uncovered_below(paths.into_iter(), roots, &set),
            };
            assert!(problems.iter().all(|p| p.rule == "uncovered-folder" && p.severity == Severity::Info));
            problems.into_iter().map(|p| p.file).collect()
        };
        let default = RepoConfig::default().migrations;
        assert_eq!(told(&default, None), ["db/0001_a.sql", "drizzle/0000_a.sql", "sql/R__a.sql"]);
        assert_eq!(told(&default, Some("db/0002_b.sql")), ["db/0002_b.sql"]);
        let named = RepoConfig::parse("version: 1\nmigrations:\n  - path: db\n").expect("valid").migrations;
        assert_eq!(told(&named, None), [""; 0]);
        assert_eq!(told(&named, Some("db/0002_b.sql")), [""; 0]);
    }

    #[test]
    fn what_nobody_wrote_is_not_asked_for() {
        let roots = RepoConfig::default().migrations;
        assert_eq!(unfound(&roots, &resolve(&[], &roots), &|_| Place::Nothing), []);
    }
}
