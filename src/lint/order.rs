//! What the names and numbers of migrations say: one that comes too late for its number, numbers that are left out, names
//! that tell nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::migration::{Migration, MigrationSet, Problem, Severity};

/// Words that say nothing about what a migration does.
const VAGUE: [&str; 31] = [
    "alter",
    "change",
    "changed",
    "changes",
    "database",
    "db",
    "fix",
    "fixed",
    "fixes",
    "hotfix",
    "migrate",
    "migration",
    "misc",
    "modify",
    "more",
    "new",
    "patch",
    "script",
    "some",
    "sql",
    "stuff",
    "temp",
    "test",
    "tests",
    "things",
    "tmp",
    "todo",
    "update",
    "updated",
    "updates",
    "wip",
];
/// A number of more digits is a time, and times leave everything out.
const MOST_DIGITS: usize = 6;

/// Migrations that a change brings (`new`: the files that the base has not) below one of the same folder that is there:
/// what databases hold already, such a migration does not come before any more.
pub fn overtaken(set: &MigrationSet, new: &BTreeSet<String>) -> Vec<Problem> {
    let is_new = |m: &Migration| new.contains(&m.up.path);
    let mut last: BTreeMap<(&str, Option<&str>), &Migration> = BTreeMap::new();
    for migration in set.migrations.iter().filter(|m| !m.repeatable && !is_new(m)) {
        let place = (migration.unit.as_str(), migration.only_in.as_ref().map(|e| e.as_str()));
        let highest = last.entry(place).or_insert(migration);
        if highest.version < migration.version {
            *highest = migration;
        }
    }
    set.migrations
        .iter()
        .filter(|m| !m.repeatable && is_new(m))
        .filter_map(|m| {
            let place = (m.unit.as_str(), m.only_in.as_ref().map(|e| e.as_str()));
            let highest = last.get(&place).filter(|h| m.version < h.version)?;
            Some(Problem {
                file: m.up.path.clone(),
                line: m.up.first_line, column: 1,
                rule: "out-of-order",
                severity: Severity::Warning,
                message: format!(
                    "version `{}` comes before `{}`, which is merged: where that one is applied, this one is refused as out of order, and a new database gets the two in another order",
                    m.version, highest.version
                ),
                help: format!("give it a version above `{}`", highest.version),
            })
        })
        .collect()
}

/// Names that tell nothing, and numbers that are left out.
pub(super) fn problems(set: &MigrationSet) -> Vec<Problem> {
    let vague = set.migrations.iter().filter(|m| is_vague(&m.name)).map(|m| Problem {
        file: m.up.path.clone(),
        line: m.up.first_line,
        column: 1,
        rule: "vague-name",
        severity: Severity::Warning,
        message: format!("`{}` does not say what the migration does", m.name),
        help: "name what it changes, such as `add_orders_note`".to_owned(),
    });
    vague.chain(gaps(set)).collect()
}

/// Names that templates and tutorials leave to be filled in [S3-113].
const PLACEHOLDERS: [&str; 5] =
    ["descriptive_name", "migration_name", "name_of_migration", "your_migration_name", "add_description_here"];

fn is_vague(name: &str) -> bool {
    if PLACEHOLDERS.contains(&name.to_ascii_lowercase().replace([' ', '-'], "_").as_str()) {
        return true;
    }
    let mut words = name.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).peekable();
    words.peek().is_some()
        && words.all(|w| w.chars().all(|c| c.is_ascii_digit()) || VAGUE.contains(&w.to_ascii_lowercase().as_str()))
        && name.chars().any(char::is_alphabetic)
}

/// The whole number that a version begins with, where versions of its kind are counted.
fn number(migration: &Migration) -> Option<u64> {
    let text = migration.version.as_str();
    let is_number = text.chars().all(|c| c.is_ascii_digit() || c == '.') && !migration.repeatable;
    let digits = text.split('.').next().unwrap_or_default();
    (is_number && digits.len() <= MOST_DIGITS).then(|| digits.parse().ok())?
}

fn gaps(set: &MigrationSet) -> Vec<Problem> {
    let mut of: BTreeMap<&str, BTreeMap<u64, &Migration>> = BTreeMap::new();
    for migration in &set.migrations {
        if let Some(number) = number(migration) {
            of.entry(&migration.unit).or_default().entry(number).or_insert(migration);
        }
    }
    let mut found = Vec::new();
    for numbers in of.values() {
        let steps: Vec<(u64, u64)> = numbers.keys().zip(numbers.keys().skip(1)).map(|(a, b)| (*a, *b)).collect();
        let left: Vec<&(u64, u64)> = steps.iter().filter(|(a, b)| *b > *a + 1).collect();
        // Who counts in tens leaves nothing out.
        if left.len() * 5 > steps.len() {
            continue;
        }
        for (before, after) in left {
            let (Some(earlier), Some(later)) = (numbers.get(before), numbers.get(after)) else { continue };
            found.push(Problem {
                file: later.up.path.clone(),
                line: later.up.first_line,
                column: 1,
                rule: "numbering-gap",
                severity: Severity::Info,
                message: format!("no migration stands between `{}` and `{}`", earlier.version, later.version),
                help: "check that none was lost in a merge; a number that was skipped may stay so".to_owned(),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::sample;

    fn told(names: &[&str], rule: &str) -> Vec<String> {
        let files: Vec<(&str, &str)> = names.iter().map(|n| (*n, "select 1;")).collect();
        let (report, _) = sample(&files);
        report.violations.into_iter().filter(|v| v.rule == rule).map(|v| v.file).collect()
    }

    #[test]
    fn n02_names_that_tell_nothing_are_told() {
        for (name, expected) in [
            ("0001_fix.up.sql", true),
            ("0001_update_db.up.sql", true),
            ("0001_Migration2.up.sql", false),
            ("0001_migration_2.up.sql", true),
            ("0001_descriptive_name.up.sql", true),
            ("0001_update_name.up.sql", false),
            ("0001_fix_orders.up.sql", false),
            ("0001_initial_schema.up.sql", false),
            ("0001_add_tests_table.up.sql", false),
        ] {
            assert_eq!(!told(&[name], "vague-name").is_empty(), expected, "{name}");
        }
    }

    #[test]
    fn f207_without_a_way_back_flyways_files_are_noted_and_others_are_warned_of() {
        for (name, severity, risk) in [
            ("0001_a.up.sql", Severity::Warning, crate::ids::Risk::Medium),
            ("V1__a.sql", Severity::Info, crate::ids::Risk::Low),
        ] {
            let (report, _) = sample(&[(name, "create table t (id bigint primary key);")]);
            let found = report.violations.iter().find(|v| v.rule == "missing-down").expect("told");
            assert_eq!((found.severity, found.risk, report.risk), (severity, risk, risk), "{name}");
        }
    }

    #[test]
    fn f204_a_number_that_is_left_out_is_told() {
        let counted: Vec<String> = (1..=12).filter(|n| *n != 7).map(|n| format!("{n:04}_m.up.sql")).collect();
        let counted: Vec<&str> = counted.iter().map(String::as_str).collect();
        assert_eq!(told(&counted, "numbering-gap"), ["0008_m.up.sql"]);
        assert_eq!(told(&["0010_a.up.sql", "0020_b.up.sql", "0030_c.up.sql"], "numbering-gap"), [""; 0]);
        assert_eq!(told(&["20240101000000_a.up.sql", "20240301000000_b.up.sql"], "numbering-gap"), [""; 0]);
    }

    #[test]
    fn f205_n04_a_new_migration_below_one_that_is_merged_is_told() {
        let (_, set) =
            sample(&[("0001_a.up.sql", "select 1;"), ("0003_c.up.sql", "select 1;"), ("0002_b.up.sql", "select 1;")]);
        let late = |new: &[&str]| -> Vec<String> {
            let new = new.iter().map(|n| (*n).to_owned()).collect();
            overtaken(&set, &new).into_iter().map(|p| p.file).collect()
        };
        assert_eq!(late(&["0002_b.up.sql"]), ["0002_b.up.sql"]);
        assert_eq!(late(&["0003_c.up.sql"]), [""; 0]);
        assert_eq!(late(&["0002_b.up.sql", "0003_c.up.sql"]), [""; 0]);
        assert_eq!(late(&[]), [""; 0]);
    }
}
