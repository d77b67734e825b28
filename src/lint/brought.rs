//! What a change makes wrong with files that it does not touch: a number that it takes from a merged migration, a circle
//! that it closes, a way back, a page or an order that it takes away.

use std::collections::BTreeSet;

use super::Scope;
use crate::migration::{Layout, Migration, MigrationSet, Problem};

/// Where a service says what its migrations need.
const DEPENDENCIES: &str = "dependencies.json";

/// Whether a set has errors in files that a change does not touch, so that it must be asked which of them it brings.
pub fn has_errors_outside(set: &MigrationSet, scope: &Scope) -> bool {
    told(set).any(|p| is_outside(set, scope, p))
}

/// What a change can do to files that it does not touch: the set's problems, and the remarks that a way back is gone.
fn told(set: &MigrationSet) -> impl Iterator<Item = &Problem> {
    let ways_back = |p: &&Problem| matches!(p.rule, "missing-down" | "empty-down");
    set.problems.iter().chain(set.remarks.iter().filter(ways_back))
}

/// Notes in [`MigrationSet::brought`] what is wrong with files outside of `scope` and was not before the change, which
/// deletes the files `gone`. Of two migrations with one version the new one is told, since the merged one has to stay as it
/// is.
pub fn note_brought(set: &mut MigrationSet, before: &MigrationSet, scope: &Scope, gone: &BTreeSet<String>) {
    let key = |p: &Problem| (p.file.clone(), p.rule, p.message.clone());
    let were: BTreeSet<_> = told(before).map(key).collect();
    let new = told(set).filter(|p| is_outside(set, scope, p) && !were.contains(&key(p)));
    let mut brought: Vec<Problem> = new.map(|p| on_the_new(set, scope, p).unwrap_or_else(|| p.clone())).collect();
    // What is no error is told of the very migration from which the change takes a file.
    let rest =
        set.problems.iter().chain(&set.remarks).filter(|p| !scope.holds_path(&p.file) && !were.contains(&key(p)));
    let lost = orders_lost(set, before, gone);
    let is_lost = |p: &Problem| lost.iter().any(|l| l.rule == p.rule && dir_of(&l.file) == dir_of(&p.file));
    let taken: Vec<Problem> = rest.filter(|p| takes_away(set, before, gone, p) && !is_lost(p)).cloned().collect();
    for problem in taken.into_iter().chain(lost) {
        if !brought.contains(&problem) {
            brought.push(problem);
        }
    }
    set.brought = brought;
}

/// Whether a problem is there because a file of its migration, or a page about it, is deleted.
fn takes_away(set: &MigrationSet, before: &MigrationSet, gone: &BTreeSet<String>, problem: &Problem) -> bool {
    let Some(migration) = owner(set, &problem.file) else { return false };
    let (unit, id) = (&migration.unit, &migration.id);
    match problem.rule {
        "missing-down" | "empty-down" => {
            let was = before.migrations.iter().find(|m| m.unit == *unit && m.id == *id);
            was.is_some_and(|m| m.files.iter().any(|f| gone.contains(&f.path)))
        }
        "missing-docs" => {
            let about = [format!("{unit}/README.md"), format!("{unit}/docs/{id}.md")];
            about.iter().any(|page| gone.contains(page) && problem.help.contains(&format!("`{page}`")))
        }
        "undeclared-dependency" => gone.contains(&format!("{unit}/{DEPENDENCIES}")),
        _ => false,
    }
}

/// Services whose `dependencies.json` is deleted while a merged migration has its order from there.
fn orders_lost(set: &MigrationSet, before: &MigrationSet, gone: &BTreeSet<String>) -> Vec<Problem> {
    let units = gone.iter().filter_map(|path| path.strip_suffix(DEPENDENCIES)?.strip_suffix('/'));
    let first = units.filter_map(|unit| {
        let of = |m: &&Migration| m.unit == unit && m.layout == Layout::Service;
        let own = set.migrations.iter().filter(of);
        let lost = own.filter_map(|now| {
            let was = before.migrations.iter().filter(of).find(|m| m.id == now.id)?;
            let needs = &now.directives.depends_on;
            Some((now, was.directives.depends_on.iter().find(|d| !needs.contains(d))?))
        });
        lost.min_by(|(a, _), (b, _)| a.version.cmp(&b.version))
    });
    first
        .map(|(migration, needed)| Problem {
            file: migration.up.path.clone(),
            line: 1,
            column: 1,
            end_column: 1,
            rule: "undeclared-dependency",
            severity: super::Severity::Error,
            message: format!(
                "needs `{needed}` by the merged `{DEPENDENCIES}`, which is deleted here: nothing keeps the order any more"
            ),
            help: format!("put `{}/{DEPENDENCIES}` back, or say `depends_on` in the scripts themselves", migration.unit),
        })
        .collect()
}

/// An error in a file that neither the change touches nor a migration that it touches has.
fn is_outside(set: &MigrationSet, scope: &Scope, problem: &Problem) -> bool {
    problem.severity == super::Severity::Error
        && !scope.holds_path(&problem.file)
        && !owner(set, &problem.file).is_some_and(|m| scope.holds(m))
}

fn dir_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn owner<'a>(set: &'a MigrationSet, file: &str) -> Option<&'a Migration> {
    set.migrations.iter().find(|m| m.files.iter().any(|f| f.path == file))
}

/// A version that two migrations have, told of what the change brings: the two change places in what is said.
fn on_the_new(set: &MigrationSet, scope: &Scope, problem: &Problem) -> Option<Problem> {
    let Scope::Paths(touched) = scope else { return None };
    let (dir, merged) = problem.file.rsplit_once('/').unwrap_or(("", &problem.file));
    let swapped = |file: &str, new: &str, merged: &str| {
        let (new, merged) = (format!("`{new}`"), format!("`{merged}`"));
        let message = problem.message.contains(&new).then(|| problem.message.replace(&new, &merged))?;
        Some(Problem { file: file.to_owned(), line: 1, column: 1, end_column: 1, message, ..problem.clone() })
    };
    if problem.rule != "duplicate-version" {
        return None;
    }
    if let Some(owner) = owner(set, &problem.file) {
        let mut beside = set.migrations.iter().filter(|m| m.unit == owner.unit && scope.holds(m));
        return beside.find_map(|new| swapped(&new.up.path, new.id.as_str(), owner.id.as_str()));
    }
    touched.iter().find_map(|file| {
        let (around, name) = file.rsplit_once('/').unwrap_or(("", file));
        swapped(file, name, merged).filter(|_| around == dir)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    fn read(files: &[&str]) -> MigrationSet {
        let files: Vec<_> = files.iter().map(|path| SourceFile::new(*path, b"select 1;".to_vec())).collect();
        resolve(&files, &[MigrationRoot::folder("m")])
    }

    fn read_at(unit: &str, files: &[&str]) -> MigrationSet {
        let files: Vec<_> =
            files.iter().map(|name| SourceFile::new(format!("{unit}/{name}"), b"select 1;".to_vec())).collect();
        resolve(&files, &[MigrationRoot::folder("**")])
    }

    #[test]
    fn s1_74_n06_a_way_back_that_a_change_takes_away_is_told_of_the_migration_that_had_it() {
        let of = |files: &[&str]| read_at("services/a/migrations", files);
        let before = of(&["0001_a.up.sql", "0001_a.down.sql", "0002_b.up.sql"]);
        let mut now = of(&["0001_a.up.sql", "0002_b.up.sql"]);
        let scope = Scope::Paths(BTreeSet::from(["services/a/migrations/0001_a.down.sql".to_owned()]));
        assert!(has_errors_outside(&now, &scope));
        note_brought(&mut now, &before, &scope, &BTreeSet::new());
        let told: Vec<_> = now.brought.iter().map(|p| (p.file.as_str(), p.rule)).collect();
        assert_eq!(told, [("services/a/migrations/0001_a.up.sql", "missing-down")]);
    }

    #[test]
    fn s1_74_what_a_deletion_takes_from_a_migration_is_told_of_it_however_severe() {
        let read = |files: &[(&str, &str)], roots: &str| {
            let files: Vec<_> = files.iter().map(|(path, text)| SourceFile::new(*path, text.as_bytes())).collect();
            resolve(&files, &[MigrationRoot::folder(roots)])
        };
        let json = r#"{ "migrations": { "0001_a": { "depends_on": [] }, "0002_b": { "depends_on": ["0001_a"] } } }"#;
        let of = |files: &[&'static str], gone: &str, roots: &str| {
            let text = |path: &str| if path.ends_with(".json") { json } else { "select 1;" };
            let all: Vec<_> = files.iter().map(|path| (*path, text(path))).collect();
            let left: Vec<_> = all.iter().filter(|(path, _)| *path != gone).copied().collect();
            let (before, mut now) = (read(&all, roots), read(&left, roots));
            let gone = BTreeSet::from([gone.to_owned()]);
            note_brought(&mut now, &before, &Scope::Paths(BTreeSet::new()), &gone);
            now.brought.into_iter().map(|p| (p.file, p.rule)).collect::<Vec<_>>()
        };
        let told = |file: &str, rule: &'static str| vec![(file.to_owned(), rule)];
        let plain = ["m/0001_a.up.sql", "m/0001_a.down.sql", "m/0002_b.up.sql", "m/readme.txt"];
        assert_eq!(of(&plain, "m/0001_a.down.sql", "m"), told("m/0001_a.up.sql", "missing-down"));
        assert_eq!(of(&plain, "m/readme.txt", "m"), []);
        let service = [
            "services/a/migrations/0001_a.up.sql",
            "services/a/migrations/0001_a.down.sql",
            "services/a/migrations/0002_b.up.sql",
            "services/a/migrations/0002_b.down.sql",
            "services/a/migrations/dependencies.json",
            "services/a/migrations/README.md",
            "services/a/migrations/docs/0001_a.md",
        ];
        for (gone, file, rule) in [
            ("docs/0001_a.md", "0001_a.up.sql", "missing-docs"),
            ("dependencies.json", "0002_b.up.sql", "undeclared-dependency"),
        ] {
            let at = |name: &str| format!("services/a/migrations/{name}");
            assert_eq!(of(&service, &at(gone), "**"), told(&at(file), rule), "{gone}");
        }
    }

    #[test]
    fn f203_a_number_that_is_taken_is_told_of_the_migration_that_takes_it() {
        let before = read(&["m/0001_a.up.sql", "m/0002_m.up.sql", "m/0004_x.up.sql", "m/0004_y.up.sql"]);
        for new in ["m/0002_b.up.sql", "m/0002_z.up.sql"] {
            let mut now = read(&["m/0001_a.up.sql", "m/0002_m.up.sql", "m/0004_x.up.sql", "m/0004_y.up.sql", new]);
            let scope = Scope::Paths(BTreeSet::from([new.to_owned()]));
            assert!(has_errors_outside(&now, &scope));
            note_brought(&mut now, &before, &scope, &BTreeSet::new());
            let told = now.brought.iter().chain(&now.problems).find(|p| p.file == new && p.rule == "duplicate-version");
            assert_eq!(told.map(|p| p.message.as_str()), Some("version `0002` is taken by `0002_m` already"), "{new}");
            // What was there before is another's.
            assert!(now.brought.iter().all(|p| !p.message.contains("0004")), "{:?}", now.brought);
        }
    }
}
