//! What a change makes wrong with files that it does not touch: a number that it takes from a merged migration, a circle
//! that it closes, a way back that it takes away.

use std::collections::BTreeSet;

use super::Scope;
use crate::migration::{Migration, MigrationSet, Problem};

/// Whether a set has errors in files that a change does not touch, so that it must be asked which of them it brings.
pub fn has_errors_outside(set: &MigrationSet, scope: &Scope) -> bool {
    told(set).any(|p| is_outside(set, scope, p))
}

/// What a change can do to files that it does not touch: the set's problems, and the remarks that a way back is gone.
fn told(set: &MigrationSet) -> impl Iterator<Item = &Problem> {
    let ways_back = |p: &&Problem| matches!(p.rule, "missing-down" | "empty-down");
    set.problems.iter().chain(set.remarks.iter().filter(ways_back))
}

/// Notes in [`MigrationSet::brought`] what is wrong with files outside of `scope` and was not before the change. Of two
/// migrations with one version the new one is told, since the merged one has to stay as it is.
pub fn note_brought(set: &mut MigrationSet, before: &MigrationSet, scope: &Scope) {
    let key = |p: &Problem| (p.file.clone(), p.rule, p.message.clone());
    let were: BTreeSet<_> = told(before).map(key).collect();
    let new = told(set).filter(|p| is_outside(set, scope, p) && !were.contains(&key(p)));
    set.brought = new.map(|p| on_the_new(set, scope, p).unwrap_or_else(|| p.clone())).collect();
}

/// An error in a file that neither the change touches nor a migration that it touches has.
fn is_outside(set: &MigrationSet, scope: &Scope, problem: &Problem) -> bool {
    problem.severity == super::Severity::Error
        && !scope.holds_path(&problem.file)
        && !owner(set, &problem.file).is_some_and(|m| scope.holds(m))
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
        note_brought(&mut now, &before, &scope);
        let told: Vec<_> = now.brought.iter().map(|p| (p.file.as_str(), p.rule)).collect();
        assert_eq!(told, [("services/a/migrations/0001_a.up.sql", "missing-down")]);
    }

    #[test]
    fn f203_a_number_that_is_taken_is_told_of_the_migration_that_takes_it() {
        let before = read(&["m/0001_a.up.sql", "m/0002_m.up.sql", "m/0004_x.up.sql", "m/0004_y.up.sql"]);
        for new in ["m/0002_b.up.sql", "m/0002_z.up.sql"] {
            let mut now = read(&["m/0001_a.up.sql", "m/0002_m.up.sql", "m/0004_x.up.sql", "m/0004_y.up.sql", new]);
            let scope = Scope::Paths(BTreeSet::from([new.to_owned()]));
            assert!(has_errors_outside(&now, &scope));
            note_brought(&mut now, &before, &scope);
            let told = now.brought.iter().chain(&now.problems).find(|p| p.file == new && p.rule == "duplicate-version");
            assert_eq!(told.map(|p| p.message.as_str()), Some("version `0002` is taken by `0002_m` already"), "{new}");
            // What was there before is another's.
            assert!(now.brought.iter().all(|p| !p.message.contains("0004")), "{:?}", now.brought);
        }
    }
}
