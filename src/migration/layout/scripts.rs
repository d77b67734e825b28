//! `scripts/001_20240101_000000_name.sql` with `rollbacks/001_20240101_000000_name_rollback.sql` and header lines
//! (source C, SPEC 3.7).

mod data;

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveTime};

use super::{Folder, Found, Reader, Surroundings};
use crate::ids::Risk;
use crate::migration::checksum::sha256_hex;
use crate::migration::duration;
use crate::migration::vague::says_nothing;
use crate::migration::{Directives, FileContent, Migration, Severity, SourceFile, Spot, Version};

/// Digits that its numbers have at least [S2-11].
const DIGITS: usize = 3;

/// The parts of `NNN_YYYYMMDD_HHMMSS_name`.
struct Name<'a> {
    number: &'a str,
    stamp: &'a str,
    title: &'a str,
}

fn parse(stem: &str) -> Option<Name<'_>> {
    let mut parts = stem.splitn(4, '_');
    let (number, date, time, title) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    let numbered = !number.is_empty() && digits(number, number.len());
    (numbered && digits(date, 8) && digits(time, 6) && !title.is_empty()).then(|| Name {
        number,
        stamp: &stem[..number.len() + 16],
        title,
    })
}

/// Whether a file is named as this layout wants it.
pub(super) fn is_named(file: &str) -> bool {
    file.strip_suffix(".sql").is_some_and(|stem| parse(stem).is_some())
}

/// Whether the date and time of a name exist [S2-11].
fn is_real(stamp: &str) -> bool {
    let time = stamp.rsplit('_').next().and_then(|t| NaiveTime::parse_from_str(t, "%H%M%S").ok());
    let date = stamp.rsplit('_').nth(1).and_then(|d| NaiveDate::parse_from_str(d, "%Y%m%d").ok());
    time.is_some() && date.is_some()
}

/// A script whose data is filled in, where it asks for some; what is wrong is told.
fn with_data<'a>(
    file: &SourceFile,
    data: &[(&str, &'a SourceFile)],
    reader: &mut Reader<'_>,
) -> Option<(SourceFile, Vec<&'a SourceFile>)> {
    let bytes = file.content.bytes()?;
    let filled = data::fill(reader.engine, std::str::from_utf8(bytes).ok()?, data)?;
    for (line, message, help) in filled.problems {
        reader.problem(&file.path, line, "invalid-directive", Severity::Error, message, help);
    }
    Some((SourceFile::new(file.path.clone(), filled.text), filled.files))
}

pub(super) fn read(folder: &Folder<'_>, around: Surroundings<'_, '_>, reader: &mut Reader<'_>) {
    let rollbacks = around.rollbacks.map_or(&[][..], Vec::as_slice);
    let data = around.data.map_or(&[][..], Vec::as_slice);
    let mut downs: BTreeMap<&str, &SourceFile> = BTreeMap::new();
    for &(name, file) in rollbacks {
        match name.strip_suffix("_rollback.sql") {
            Some(stem) => drop(downs.insert(stem, file)),
            None if name.ends_with(".sql") => {
                let message = "does not fit `NNN_YYYYMMDD_HHMMSS_name_rollback.sql`, so it undoes nothing".to_owned();
                let help = "give it the name of its script with `_rollback` behind";
                reader.problem(&file.path, 1, "file-name", Severity::Error, message, help);
            }
            None => {}
        }
    }
    let mut numbers: BTreeMap<Version, &str> = BTreeMap::new();
    for &(file_name, file) in &folder.files {
        let Some(stem) = file_name.strip_suffix(".sql") else { continue };
        if matches!(file.content, FileContent::Directory) {
            let _ = reader.script(file);
            continue;
        }
        let Some(name) = parse(stem).filter(|name| is_real(name.stamp)) else {
            let message =
                "does not fit `NNN_YYYYMMDD_HHMMSS_name.sql` with a real date and time, so it would never run";
            let help = "rename it, its rollback as well";
            reader.problem(&file.path, 1, "file-name", Severity::Error, message.to_owned(), help);
            continue;
        };
        if name.number.len() < DIGITS {
            let message = "its number has fewer than three digits".to_owned();
            let help = "fill it up with zeros, in its rollback's name as well; where it is applied, let it through in `policies/lint.yml`";
            reader.remark(&file.path, 1, "file-name", Severity::Error, message, help);
        }
        let number = Version::numeric(name.number);
        if let Some(other) = numbers.insert(number, stem) {
            let message = format!("number `{}` is taken by `{other}` already", name.number);
            let help = "give this migration the next free number";
            reader.problem(&file.path, 1, "duplicate-version", Severity::Error, message, help);
        }
        let version = Version::with_key_of(name.number, &Version::numeric(name.stamp));
        let down = downs.remove(stem);
        let (up, back) = (with_data(file, data, reader), down.and_then(|down| with_data(down, data, reader)));
        let found = Found {
            id: stem,
            version,
            name: name.title,
            up: up.as_ref().map_or(file, |(filled, _)| filled),
            down: back.as_ref().map(|(filled, _)| filled).or(down),
            metadata: up.iter().chain(&back).flat_map(|(_, files)| files.iter().copied()).collect(),
        };
        let (mut problems, mut untimed) = (Vec::new(), None);
        let mut untitled = None;
        let mut vague = None;
        if let Some(migration) = reader.add(found) {
            untimed = read_header(migration, &mut problems);
            untitled = migration.description.is_none().then(|| migration.up.path.clone());
            vague = migration.description.clone().filter(|said| says_nothing(said));
            if up.is_some() || back.is_some() {
                own_files(migration, [Some(file), down]);
            }
        }
        if let Some(path) = untitled {
            let message = "no line says what it is for".to_owned();
            let help = "write `-- Migration: WHAT IT DOES` at the top";
            reader.remark(&path, 1, "missing-docs", Severity::Error, message, help);
        }
        if let Some(said) = vague {
            let message = format!("its title is `{said}`, which does not say what it does");
            let help = "say behind `-- Migration:` what it changes and what for";
            reader.remark(&file.path, 1, "vague-name", Severity::Warning, message, help);
        }
        if let Some((line, message)) = untimed {
            let help = "write how long it takes, such as `-- Duration: 5m`, or take the line out";
            reader.remark(&file.path, line, "invalid-metadata", Severity::Warning, message, help);
        }
        for (line, message, help) in problems {
            reader.problem(&file.path, line, "invalid-directive", Severity::Error, message, help);
        }
    }
    for file in downs.into_values() {
        let message = "undoes a script that does not exist".to_owned();
        let help = "add the script to `scripts` or delete this file";
        reader.problem(&file.path, 1, "orphan-down", Severity::Error, message, help);
    }
}

/// What is agreed to are the files as they lie there, not what becomes of them; each once.
fn own_files(migration: &mut Migration, scripts: [Option<&SourceFile>; 2]) {
    for file in scripts.into_iter().flatten() {
        let Some(bytes) = file.content.bytes() else { continue };
        if let Some(known) = migration.files.iter_mut().find(|f| f.path == file.path) {
            known.sha256 = sha256_hex(bytes);
        }
    }
    migration.files.dedup();
}

/// The kinds that a header may name [S2-72] [S2-74] [S2-76].
const TYPES: [&str; 3] = ["SCHEMA_CHANGE", "DATA_MIGRATION", "HOTFIX"];

/// Reads the comment lines at the top: `-- Migration: …`, `-- Risk: …`, `-- Depends: …` [S2-87] [S2-88]. Gives the line of a
/// duration that is none, and what is wrong with it: nothing goes by it, so it holds nothing up.
fn read_header(migration: &mut Migration, problems: &mut Vec<(u32, String, &'static str)>) -> Option<(Spot, String)> {
    let mut untimed = None;
    let Migration { up, directives, description, .. } = migration;
    let lines =
        up.text.lines().zip(1u32..).take_while(|(l, _)| l.trim().is_empty() || l.trim_start().starts_with("--"));
    for (line, n) in lines {
        let comment = line.trim_start().trim_start_matches('-').trim();
        let Some((key, value)) = comment.split_once(':') else { continue };
        let value = value.trim();
        match key.trim() {
            "Migration" => *description = (!value.is_empty()).then(|| value.to_owned()),
            "Risk" => match value.parse::<Risk>() {
                Ok(risk) => directives.risk = directives.risk.max(Some(risk)),
                Err(e) => problems.push((n, e.to_string(), "write `-- Risk: LOW`, `MEDIUM` or `HIGH`")),
            },
            "Type" if !TYPES.contains(&value) => {
                let message = format!("`{value}` is no type of migration");
                problems.push((n, message, "write `SCHEMA_CHANGE`, `DATA_MIGRATION` or `HOTFIX`"));
            }
            "Depends" => depends(directives, value),
            "Duration" => {
                if let Err(message) = duration::parse(value) {
                    untimed = Some((Spot::of_part(line, line.trim()).within(n, 1), message));
                }
            }
            // Author, ticket, compliance: for people and reports.
            _ => {}
        }
    }
    untimed
}

fn depends(directives: &mut Directives, value: &str) {
    let references = value.split(',').map(str::trim).filter(|d| !d.is_empty() && !d.eq_ignore_ascii_case("none"));
    directives.depends_on.extend(references.map(str::to_owned));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{Layout, MigrationRoot, MigrationSet, resolve};

    const SAMPLE: &str = "-- Migration: Add user preferences table\n-- Type: SCHEMA_CHANGE\n-- Risk: LOW\n-- Duration: 5m\n\
                          -- Author: john.doe\n-- Ticket: PROJ-123\n-- Depends: 001_20240101_000000_sample_migration\n\
                          CREATE TABLE user_preferences (id SERIAL PRIMARY KEY);\n";

    fn read(files: &[(&str, &str)]) -> MigrationSet {
        let files: Vec<_> = files.iter().map(|(p, t)| SourceFile::new(*p, t.as_bytes())).collect();
        resolve(&files, &[MigrationRoot::folder("**")])
    }

    #[test]
    fn s2_11_s2_12_s2_88_scripts_rollbacks_and_headers() {
        let set = read(&[
            ("migrations/scripts/001_20240101_000000_sample_migration.sql", "create table users (id int);"),
            ("migrations/scripts/002_20240102_120000_preferences.sql", SAMPLE),
            ("migrations/rollbacks/001_20240101_000000_sample_migration_rollback.sql", "drop table users;"),
            ("migrations/rollbacks/002_20240102_120000_preferences_rollback.sql", "drop table user_preferences;"),
            ("migrations/data/sample_data.json", "{}"),
            ("migrations/tools/migrate.sql", "select 1;"),
        ]);
        assert_eq!(set.problems, []);
        let second = &set.migrations[1];
        assert_eq!((second.layout, second.version.as_str()), (Layout::Scripts, "002"));
        assert_eq!((second.unit.as_str(), second.name.as_str()), ("migrations/scripts", "preferences"));
        assert_eq!(second.description.as_deref(), Some("Add user preferences table"));
        assert_eq!(second.directives.risk, Some(Risk::Low));
        assert_eq!(second.directives.depends_on, ["001_20240101_000000_sample_migration"]);
        assert!(set.migrations.iter().all(Migration::is_reversible));
        assert!(second.answers_to("002"));
    }

    #[test]
    fn s2_13_data_beside_the_scripts_is_part_of_them() {
        let files = |json: &'static str| {
            read(&[
                (
                    "m/scripts/001_20240101_000000_a.sql",
                    "insert into t select * from json_each(${data:sample_data.json});",
                ),
                ("m/rollbacks/001_20240101_000000_a_rollback.sql", "delete from t;"),
                ("m/data/sample_data.json", json),
            ])
        };
        let (one, other) = (files("{\"a\": 1}"), files("{\"a\": 2}"));
        assert_eq!(one.problems, []);
        let migration = &one.migrations[0];
        assert!(migration.up.text.contains("json_each('{\"a\": 1}')"), "{}", migration.up.text);
        let paths: Vec<&str> = migration.files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths.len(), 3, "{paths:?}");
        // What runs is another thing, and so is what is agreed to.
        assert_ne!(migration.checksum, other.migrations[0].checksum);
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn s2_88_a_duration_that_is_none_is_told_and_holds_nothing_up() {
        let header = |duration: &str| SAMPLE.replace("Duration: 5m", &format!("Duration: {duration}"));
        for (said, expected) in [("soon", true), ("", true), ("5", true), ("1h 30m", false), ("~5 minutes", false)] {
            let sql = header(said);
            let set =
                read(&[("m/scripts/001_20240101_000000_a.sql", &sql.replace("Depends: 001", "Depends: none, 001"))]);
            let told: Vec<_> = set
                .remarks
                .iter()
                .filter(|p| p.rule == "invalid-metadata")
                .map(|p| (p.line, p.column, p.severity, p.message.contains(&format!("`{said}` is no time"))))
                .collect();
            let wanted = if expected { vec![(4, 1, Severity::Warning, true)] } else { Vec::new() };
            assert_eq!(told, wanted, "{said}");
        }
    }

    #[test]
    fn s2_84_names_numbers_and_rollbacks_are_checked() {
        let set = read(&[
            ("migrations/scripts/001_20240101_000000_a.sql", "select 1;"),
            ("migrations/scripts/001_20240102_000000_b.sql", "-- Risk: HUGE\n-- Type: MAGIC\nselect 1;"),
            ("migrations/rollbacks/001_20240102_000000_b_rollback.sql", "select 2;"),
            ("migrations/scripts/002_20241301_000000_no_such_month.sql", "select 1;"),
            ("migrations/scripts/3_20240103_000000_c.sql", "-- Migration: TODO\nselect 1;"),
            ("migrations/scripts/hello.sql", "select 1;"),
            ("migrations/rollbacks/009_20240101_000000_lost_rollback.sql", "select 1;"),
            ("migrations/rollbacks/odd.sql", "select 1;"),
        ]);
        let all = set.problems.iter().chain(&set.remarks);
        let found: Vec<_> = all.map(|p| (p.file.rsplit('/').next().unwrap_or(""), p.rule, p.severity)).collect();
        assert!(found.contains(&("3_20240103_000000_c.sql", "vague-name", Severity::Warning)), "{found:?}");
        for (file, rule) in [
            ("001_20240101_000000_a.sql", "missing-down"),
            ("001_20240102_000000_b.sql", "duplicate-version"),
            ("001_20240102_000000_b.sql", "invalid-directive"),
            ("002_20241301_000000_no_such_month.sql", "file-name"),
            ("3_20240103_000000_c.sql", "file-name"),
            ("hello.sql", "file-name"),
            ("009_20240101_000000_lost_rollback.sql", "orphan-down"),
            ("odd.sql", "file-name"),
        ] {
            assert!(found.contains(&(file, rule, Severity::Error)), "{file} {rule} in {found:?}");
        }
    }
}
