//! What the names and numbers of migrations say: one that comes too late for its number, numbers that are left out, names
//! that tell nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::migration::vague::is_vague;
use crate::migration::{Layout, Migration, MigrationSet, Problem, Severity};

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
                line: m.up.first_line, column: 1, end_column: 1,
                rule: "out-of-order",
                severity: when_late(m.layout),
                message: format!(
                    "version `{}` comes before `{}`, which is merged: where that one is applied, this one is refused as out of order, and a new database gets the two in another order",
                    m.version, highest.version
                ),
                help: format!("give it a version above `{}`", highest.version),
            })
        })
        .collect()
}

/// How bad it is to come late [S1-62] [S4-45]: an error where the layout's own tool leaves such a file out or refuses it.
fn when_late(layout: Layout) -> Severity {
    match layout {
        Layout::Typed | Layout::Service | Layout::Scripts | Layout::Flyway => Severity::Error,
        // Prisma runs whatever is not there yet, and a directory without a time in its name stands behind every later one;
        // several of the others run it too, or nobody can tell which tool's folder it is.
        Layout::Prisma
        | Layout::Numbered
        | Layout::Diesel
        | Layout::Goose
        | Layout::SqlMigrate
        | Layout::Sqlx
        | Layout::Dbmate => Severity::Warning,
    }
}

/// Names that tell nothing, and numbers that are left out.
pub(super) fn problems(set: &MigrationSet) -> Vec<Problem> {
    let vague = set.migrations.iter().filter(|m| is_vague(&m.name)).map(|m| Problem {
        file: m.up.path.clone(),
        line: m.up.first_line,
        column: 1,
        end_column: 1,
        rule: "vague-name",
        severity: Severity::Warning,
        message: format!("`{}` does not say what the migration does", m.name),
        help: "name what it changes, such as `add_orders_note`".to_owned(),
    });
    vague.chain(gaps(set)).collect()
}

/// The whole number that a version begins with, where versions of its kind are counted.
fn number(migration: &Migration) -> Option<u64> {
    let text = migration.version.as_str();
    let is_number = text.chars().all(|c| c.is_ascii_digit() || c == '.') && !migration.repeatable;
    let digits = text.split('.').next().unwrap_or_default();
    (is_number && digits.len() <= MOST_DIGITS).then(|| digits.parse().ok())?
}

/// The number that a file directly in a folder begins with.
fn number_of_file(folder: &str, path: &str) -> Option<u64> {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let digits: &str = &name[..name.find(|c: char| !c.is_ascii_digit())?];
    (dir == folder && digits.len() <= MOST_DIGITS).then(|| digits.parse().ok())?
}

fn gaps(set: &MigrationSet) -> Vec<Problem> {
    let mut of: BTreeMap<&str, BTreeMap<u64, &Migration>> = BTreeMap::new();
    for migration in &set.migrations {
        if let Some(number) = number(migration) {
            of.entry(&migration.unit).or_default().entry(number).or_insert(migration);
        }
    }
    let mut found = Vec::new();
    for (unit, numbers) in &of {
        // A file with an error of its own is no migration, and yet it stands there.
        let broken: BTreeSet<u64> = set.problems.iter().filter_map(|p| number_of_file(unit, &p.file)).collect();
        let steps: Vec<(u64, u64)> = numbers.keys().zip(numbers.keys().skip(1)).map(|(a, b)| (*a, *b)).collect();
        let left: Vec<&(u64, u64)> = steps.iter().filter(|(a, b)| *b > *a + 1).collect();
        // Who counts in tens leaves nothing out.
        let counts_by_one = left.len() * 5 <= steps.len();
        let run = |from: u64, next: &dyn Fn(u64) -> Option<u64>| {
            std::iter::successors(Some(from), |n| next(*n).filter(|n| numbers.contains_key(n))).count() as u64
        };
        for (before, after) in left {
            // Three numbers or more that stand in sequence around it show it too, as long as fewer are missing.
            let around = run(*before, &|n| n.checked_sub(1)) + run(*after, &|n| n.checked_add(1));
            let told = counts_by_one || (around >= 3 && after - before <= around);
            if !told || broken.range(before + 1..*after).next().is_some() {
                continue;
            }
            let (Some(earlier), Some(later)) = (numbers.get(before), numbers.get(after)) else { continue };
            found.push(Problem {
                file: later.up.path.clone(),
                line: later.up.first_line,
                column: 1,
                end_column: 1,
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
    use crate::migration::{MigrationRoot, SourceFile, resolve};

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
    fn f204_a_number_whose_file_has_an_error_of_its_own_is_not_left_out() {
        let (report, _) = sample(&[
            ("0001_a.up.sql", "select 1;"),
            ("0002_nul.up.sql", "select '\0';"),
            ("0003_c.up.sql", "select 1;"),
            ("0004_d.up.sql", "select 1;"),
            ("0006_f.up.sql", "select 1;"),
        ]);
        let of = |rule: &str| -> Vec<&str> {
            report.violations.iter().filter(|v| v.rule == rule).map(|v| v.file.as_str()).collect()
        };
        assert_eq!(of("nul-byte"), ["0002_nul.up.sql"]);
        assert_eq!(of("numbering-gap"), ["0006_f.up.sql"]);
    }

    #[test]
    fn f204_a_number_that_is_left_out_is_told() {
        let counted: Vec<String> = (1..=12).filter(|n| *n != 7).map(|n| format!("{n:04}_m.up.sql")).collect();
        let counted: Vec<&str> = counted.iter().map(String::as_str).collect();
        assert_eq!(told(&counted, "numbering-gap"), ["0008_m.up.sql"]);
        for (numbers, expected) in [
            (&[1, 2, 4][..], &["0004_m.up.sql"][..]),
            (&[1, 3, 4], &["0003_m.up.sql"]),
            (&[1, 2, 5], &["0005_m.up.sql"]),
            (&[1, 2, 4, 5, 7], &["0004_m.up.sql", "0007_m.up.sql"]),
            (&[1, 3], &[]),
            (&[2, 4, 6], &[]),
            (&[1, 2, 9], &[]),
            (&[10, 20, 30], &[]),
            (&[10, 11, 20, 30], &[]),
            (&[100, 101, 102, 200, 201], &[]),
        ] {
            let names: Vec<String> = numbers.iter().map(|n| format!("{n:04}_m.up.sql")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            assert_eq!(told(&names, "numbering-gap"), expected, "{numbers:?}");
        }
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
        // A new number costs nothing before the merge; where the folder's tool would pass the file over, it must have one.
        for (late, merged, severity) in [
            ("0001_a.up.sql", "0002_b.up.sql", Severity::Warning),
            ("services/a/migrations/0001_a.up.sql", "services/a/migrations/0002_b.up.sql", Severity::Error),
            ("scripts/001_20240101_000000_a.sql", "scripts/002_20240102_000000_b.sql", Severity::Error),
            ("V1__a.sql", "V2__b.sql", Severity::Error),
            ("2024-01-01-000000_a/up.sql", "2024-01-02-000000_b/up.sql", Severity::Warning),
            ("migrations/20240101000000_a/migration.sql", "migrations/add_b/migration.sql", Severity::Warning),
        ] {
            let files = [late, merged].map(|path| SourceFile::new(path, b"select 1;".to_vec()));
            let set = resolve(&files, &[MigrationRoot::folder("**")]);
            let told = overtaken(&set, &[late.to_owned()].into());
            assert_eq!(told.iter().map(|p| p.severity).collect::<Vec<_>>(), [severity], "{late}");
        }
    }
}
