//! Source E's migrations: `001_name.json` alone (MongoDB, Elasticsearch), with `001_name.sql` (PostgreSQL, SQLite) or with
//! `001_name.lua` (Redis), and `_rollback` partners of each, in a folder named after the engine (SPEC 3.1–3.5).

mod metadata;
mod operations;
#[cfg(feature = "cli")]
mod schema;
#[cfg(feature = "cli")]
pub use schema::schema;

use std::collections::BTreeMap;

use super::numbered::parse_name;
use super::{Folder, Found, Reader};
use crate::ids::Engine;
use crate::migration::{FileContent, Severity, SourceFile, Spot, Version, VersionStep};

/// Digits that the numbers of its names have at least [S4-45].
const DIGITS: usize = 3;

/// The files of one stem.
#[derive(Default)]
struct Parts<'a> {
    json: Option<&'a SourceFile>,
    /// `.sql` or `.lua`.
    script: Option<&'a SourceFile>,
    rollback_json: Option<&'a SourceFile>,
    rollback_script: Option<&'a SourceFile>,
}

/// What stands beside the JSON, if anything does.
fn script_extension(engine: Engine) -> Option<&'static str> {
    match engine {
        Engine::Postgresql | Engine::Sqlite => Some("sql"),
        Engine::Redis => Some("lua"),
        Engine::Mongodb | Engine::Elasticsearch => None,
    }
}

pub(super) fn read(folder: &Folder<'_>, reader: &mut Reader<'_>) {
    let beside = script_extension(reader.engine);
    let mut stems: BTreeMap<&str, Parts<'_>> = BTreeMap::new();
    let mut foreign = Vec::new();
    for &(file_name, file) in &folder.files {
        let Some((stem, extension)) = file_name.rsplit_once('.') else { continue };
        if matches!(file.content, FileContent::Directory) {
            let _ = reader.script(file);
            continue;
        }
        let numbered = stem.starts_with(|c: char| c.is_ascii_digit());
        let (is_json, is_script) = (extension == "json", Some(extension) == beside);
        // A `_rollback` file is the partner of another, never a migration of its own [S4-66].
        let slot = match stem.strip_suffix("_rollback") {
            Some(of) if numbered && is_script => &mut stems.entry(of).or_default().rollback_script,
            Some(of) if numbered && is_json => &mut stems.entry(of).or_default().rollback_json,
            None if numbered && is_script => &mut stems.entry(stem).or_default().script,
            None if numbered && is_json => &mut stems.entry(stem).or_default().json,
            _ if is_json || is_script => {
                reader.stray(file, "is no migration: its name has no number in front");
                continue;
            }
            _ if matches!(extension, "sql" | "lua" | "js") => {
                foreign.push(file);
                continue;
            }
            _ => continue,
        };
        *slot = Some(file);
    }
    for file in foreign {
        let message = format!("is no migration: those for {} are not written in it", reader.engine);
        // Where nothing else is there, somebody takes these for migrations.
        if stems.is_empty() {
            let message = format!("{message}, so nothing of this folder would run");
            let help = "name the engine that it is for, or write it in JSON";
            reader.problem(&file.path, 1, "stray-file", Severity::Error, message, help);
        } else {
            reader.stray(file, &message);
        }
    }
    let mut before: Option<([u64; 3], String)> = None;
    for (stem, parts) in stems {
        let Some((semver, at)) = read_one(stem, &parts, reader) else { continue };
        let path = parts.json.map_or_else(String::new, |f| f.path.clone());
        check_order(before.as_ref(), semver, at, &path, reader);
        let step = before.as_ref().and_then(|(highest, _)| VersionStep::between(*highest, semver));
        if let Some(migration) = reader.set.migrations.last_mut() {
            migration.step = step;
        }
        if before.as_ref().is_none_or(|(highest, _)| *highest < semver) {
            before = Some((semver, stem.to_owned()));
        }
    }
}

/// The numbers in front of the names and the semantic versions tell the same order [S4-45] [S4-76].
fn check_order(before: Option<&([u64; 3], String)>, semver: [u64; 3], at: Spot, path: &str, reader: &mut Reader<'_>) {
    let Some((highest, stem)) = before else { return };
    let written = |v: &[u64; 3]| format!("{}.{}.{}", v[0], v[1], v[2]);
    if *highest == semver {
        let message = format!("`version` {} is taken by `{stem}` already", written(&semver));
        let help = "give this migration the next free version";
        reader.problem(path, at, "duplicate-version", Severity::Error, message, help);
    } else if *highest > semver {
        let message =
            format!("`version` {} is lower than the {} of `{stem}` before it", written(&semver), written(highest));
        let help = "number and version must tell the same order; give this migration the next free version";
        reader.problem(path, at, "version-order", Severity::Error, message, help);
    }
}

/// Reads the migration of one stem; gives its semantic version with its place.
fn read_one(stem: &str, parts: &Parts<'_>, reader: &mut Reader<'_>) -> Option<([u64; 3], Spot)> {
    let sql = script_extension(reader.engine) == Some("sql");
    let json = match (parts.json, parts.script) {
        (Some(json), None) if sql => {
            half_missing(json, ".sql", reader);
            return None;
        }
        (Some(json), _) => json,
        (None, Some(half)) => {
            half_missing(half, ".json", reader);
            return None;
        }
        (None, None) => {
            if let Some(orphan) = parts.rollback_script.or(parts.rollback_json) {
                let message = "undoes a migration that does not exist".to_owned();
                let help = "add the migration or delete this file";
                reader.problem(&orphan.path, 1, "orphan-down", Severity::Error, message, help);
            }
            return None;
        }
    };
    let file_name = format!("{stem}.sql");
    let Some(name) = parse_name(&file_name).filter(|name| !name.name.is_empty()) else {
        let message = "does not fit `NNN_name.json`".to_owned();
        reader.problem(&json.path, 1, "file-name", Severity::Error, message, "three digits, `_`, a name");
        return None;
    };
    if name.version.len() < DIGITS {
        let message = format!("its number has fewer than three digits: it does not fit `NNN_{}.json`", name.name);
        let help = "fill it up with zeros, in the other files of its name as well; where it is applied, let it through in `policies/lint.yml`";
        reader.remark(&json.path, 1, "file-name", Severity::Error, message, help);
    }
    match parts.script {
        Some(script) if sql => {
            let text = reader.script(json)?;
            let about = metadata::read(reader.engine, &text, name.name, &mut reader.set.problems)?;
            let version = Version::with_key_of(&about.version, &Version::numeric(name.version));
            let metadata = std::iter::once(json).chain(parts.rollback_json).collect();
            let migration = reader.add(Found {
                id: stem,
                version,
                name: name.name,
                up: script,
                down: parts.rollback_script,
                metadata,
            })?;
            migration.description = Some(about.description);
            let declared = about.directives;
            migration.directives.depends_on.extend(declared.depends_on);
            migration.directives.risk = migration.directives.risk.max(declared.risk);
            migration.directives.no_transaction |= declared.no_transaction;
            migration.directives.waivers.extend(declared.waivers);
            migration.directives.backfill = declared.backfill.or(migration.directives.backfill.take());
            migration.directives.phase = declared.phase.or(migration.directives.phase);
            migration.directives.compliance = declared.compliance;
            migration.directives.manual = declared.manual.or(migration.directives.manual.take());
            about.semver.map(|v| (v, about.version_at))
        }
        Some(_) | None => operations::read(stem, (name.version, name.name), parts, json, reader),
    }
}

fn half_missing(half: &SourceFile, missing: &str, reader: &mut Reader<'_>) {
    let message = format!("has no `{missing}` file of the same name beside it [S4-22]");
    reader.problem(&half.path, 1, "pair-half-missing", Severity::Error, message, "add the other half");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, MigrationSet, resolve};

    const ROLES: &str = r#"{
  "version": "1.1.0", "name": "add_user_roles",
  "description": "Role table and its lookup index",
  "database_type": "postgresql", "migration_type": "schema",
  "depends_on": ["001_initial_schema"]
}"#;

    fn read(files: &[(&str, &str)]) -> MigrationSet {
        let files: Vec<_> = files.iter().map(|(p, t)| SourceFile::new(*p, t.as_bytes())).collect();
        resolve(&files, &[MigrationRoot::folder("migrations/*")])
    }

    fn anywhere(files: &[(&str, &str)]) -> MigrationSet {
        let files: Vec<_> = files.iter().map(|(p, t)| SourceFile::new(*p, t.as_bytes())).collect();
        resolve(&files, &[MigrationRoot::folder("**")])
    }

    #[test]
    fn s4_22_the_worked_pair_is_one_migration() {
        let initial = ROLES
            .replace("1.1.0", "1.0.0")
            .replace("add_user_roles", "initial_schema")
            .replace("\"001_initial_schema\"", "");
        let set = read(&[
            ("migrations/postgresql/001_initial_schema.json", &initial),
            ("migrations/postgresql/001_initial_schema.sql", "create table users (id int);"),
            ("migrations/postgresql/002_add_user_roles.json", ROLES),
            ("migrations/postgresql/002_add_user_roles.sql", "create table user_roles (id int);"),
            ("migrations/postgresql/002_add_user_roles_rollback.sql", "drop table user_roles;"),
        ]);
        assert_eq!(set.migrations.len(), 2, "{:?}", set.problems);
        let roles = &set.migrations[1];
        assert_eq!((roles.version.as_str(), roles.id.as_str()), ("1.1.0", "002_add_user_roles"));
        assert!(roles.is_reversible());
        assert_eq!(roles.files.len(), 3);
        assert_eq!(set.problems, []);
        // What only creates may do without [S4-51]; what takes something away may not.
        let without = |sql: &str| -> Vec<(&'static str, Severity)> {
            let files = [("migrations/postgresql/001_initial_schema.json", initial.as_str())];
            let set = read(&[files[0], ("migrations/postgresql/001_initial_schema.sql", sql)]);
            set.remarks.iter().map(|p| (p.rule, p.severity)).collect()
        };
        for (sql, severity) in [
            ("create table users (id int); create index i on users (id);", Severity::Warning),
            ("drop table users;", Severity::Error),
            ("alter table users drop column id;", Severity::Error),
        ] {
            assert_eq!(without(sql), [("missing-down", severity)], "{sql}");
        }
    }

    #[test]
    fn n01_s4_45_a_number_has_three_digits_at_least_and_runs_all_the_same() {
        for (number, expected) in [("1", true), ("01", true), ("001", false), ("0001", false), ("1000", false)] {
            let set = read(&[(&format!("migrations/mongodb/{number}_a.json"), MONGO)]);
            assert_eq!((set.migrations.len(), set.problems.as_slice()), (1, &[][..]), "{number}");
            let told: Vec<_> = set.remarks.iter().map(|p| (p.rule, p.severity)).collect();
            let wanted = if expected { vec![("file-name", Severity::Error)] } else { Vec::new() };
            assert_eq!(told, wanted, "{number}");
        }
    }

    #[test]
    fn n02_a_description_that_says_nothing_is_told_at_its_line() {
        for (description, expected) in [("A", false), ("TODO", true), ("update", true), ("Fix the database", true)] {
            let json = MONGO.replace("\"A\"", &format!("\n\"{description}\""));
            let set = read(&[("migrations/mongodb/001_a.json", &json)]);
            let told: Vec<_> = set.problems.iter().map(|p| (p.rule, p.line, p.severity)).collect();
            let wanted = if expected { vec![("vague-name", 3, Severity::Warning)] } else { Vec::new() };
            assert_eq!(told, wanted, "{description}");
        }
    }

    #[test]
    fn s2_88_a_duration_that_is_none_is_told_at_its_value() {
        for (said, expected) in [("soon", true), ("5m", false)] {
            let json = MONGO.replace("\"A\"", &format!("\"A\", \"duration\": \"{said}\""));
            let set = read(&[("migrations/mongodb/001_a.json", &json)]);
            assert_eq!(set.migrations.len(), 1);
            assert!(set.problems.iter().all(|p| p.severity == Severity::Warning), "{:?}", set.problems);
            let wanted = if expected { vec![("invalid-metadata", "\"soon\"")] } else { Vec::new() };
            assert_eq!(marked(&json, &set), wanted, "{said}");
        }
    }

    #[test]
    fn mistakes_in_the_json_half_are_located() {
        for (json, rule, part) in [
            (ROLES.replace("\"name\"", "\"nam\""), "invalid-metadata", "unknown field `nam`"),
            (ROLES.replace("1.1.0", "1.1"), "invalid-metadata", "[S4-07]"),
            (ROLES.replace("add_user_roles", "other"), "invalid-metadata", "[S4-08]"),
            (ROLES.replace("Role table and its lookup index", " "), "invalid-metadata", "[S4-09]"),
            (ROLES.replace("postgresql", "mongodb"), "invalid-metadata", "[S4-10]"),
            (ROLES.replace("\"schema\"", "\"magic\""), "invalid-metadata", "magic"),
            (ROLES.replace("{", "{{"), "invalid-metadata", "key must be a string"),
            (ROLES.replace("001_initial_schema", "009_nowhere"), "unknown-dependency", "009_nowhere"),
        ] {
            let set = read(&[
                ("migrations/postgresql/002_add_user_roles.json", &json),
                ("migrations/postgresql/002_add_user_roles.sql", "select 1;"),
            ]);
            assert!(
                set.problems.iter().any(|p| p.rule == rule && p.message.contains(part)),
                "{part}: {:?}",
                set.problems
            );
        }
    }

    #[test]
    fn halves_and_other_engines_are_named() {
        let set = read(&[
            ("migrations/postgresql/001_a.json", "{}"),
            ("migrations/postgresql/002_b.sql", "select 1;"),
            ("migrations/postgresql/003_c_rollback.sql", "select 1;"),
            ("migrations/mongodb/001_a.json", "{}"),
        ]);
        let fields = "missing fields `version`, `name`, `description`, `database_type`, `migration_type`";
        assert_eq!(set.problems[0].message, fields);
        let rules: Vec<_> = set.problems.iter().map(|p| p.rule).collect();
        assert_eq!(rules, ["invalid-metadata", "pair-half-missing", "pair-half-missing", "orphan-down"]);
    }

    const MONGO: &str = r#"{
  "version": "1.0.0", "name": "a", "description": "A", "database_type": "mongodb", "migration_type": "schema",
  "operations": [
    { "type": "create_collection", "collection": "c" },
    { "type": "add_field", "collection": "c", "field": "f", "value": 1 }
  ]
}"#;

    /// What of the text `json` each problem is about: the part of its line that is marked.
    fn marked<'a>(json: &'a str, set: &MigrationSet) -> Vec<(&'static str, &'a str)> {
        let column = |n: u32| usize::try_from(n - 1).expect("a column");
        let told = set.problems.iter().map(|p| {
            let line = json.lines().nth(column(p.line)).unwrap_or_default();
            let at = |n: u32| line.char_indices().nth(column(n)).map_or(line.len(), |(at, _)| at);
            (p.rule, &line[at(p.column)..at(p.end_column)])
        });
        told.collect()
    }

    #[test]
    fn s4_77_a_mistake_is_marked_where_it_stands_and_not_at_its_line() {
        let broken = |from: &str, to: &str| MONGO.replace(from, to);
        for (json, rule, part) in [
            (broken("1.0.0", "1.0"), "invalid-metadata", "\"1.0\""),
            (broken("\"A\"", "\"TODO\""), "vague-name", "\"TODO\""),
            (broken("\"A\"", "\"Ä\", \"nöthing\": 1"), "invalid-metadata", "\"nöthing\""),
            (broken("\"A\"", "\"A\", \"risk\": \"HUGE\""), "invalid-metadata", "\"HUGE\""),
            (broken("\"description\": \"A\", ", ""), "invalid-metadata", ""),
            (broken("\"field\"", "\"feld\""), "invalid-operation", "\"feld\""),
            (broken("add_field", "ad_field"), "invalid-operation", "\"ad_field\""),
            (
                broken(", \"value\": 1", ""),
                "invalid-operation",
                "{ \"type\": \"add_field\", \"collection\": \"c\", \"field\": \"f\" }",
            ),
            // In a list on the same line as its field.
            (broken("\n  ]", "\n  ], \"rollback\": [{\"type\":\"drop\"}]"), "invalid-operation", "\"drop\""),
        ] {
            let set = read(&[("migrations/mongodb/001_a.json", &json)]);
            assert_eq!(marked(&json, &set), [(rule, part)], "{json}: {:?}", set.problems);
        }
        let second = MONGO.replace("\"a\"", "\"b\"");
        let set = read(&[("migrations/mongodb/001_a.json", MONGO), ("migrations/mongodb/002_b.json", &second)]);
        assert_eq!(marked(&second, &set), [("duplicate-version", "\"1.0.0\"")]);
    }

    fn one(set: &MigrationSet) -> &crate::migration::Migration {
        assert_eq!((set.migrations.len(), set.problems.as_slice()), (1, &[][..]));
        &set.migrations[0]
    }

    #[test]
    fn s4_77_a_migration_that_is_broken_or_for_nothing_is_not_passed_over() {
        for json in [
            MONGO.replace("\"database_type\"", "\"databse_type\""),
            MONGO[..MONGO.len() / 2].to_owned(),
            MONGO.replace("\"database_type\": \"mongodb\",", ""),
        ] {
            let set = anywhere(&[("deep/mongodb/001_a.json", &json)]);
            assert!(set.problems.iter().any(|p| p.rule == "invalid-metadata"), "{json}: {:?}", set.problems);
        }
        // What a shell loads into a database is no migration.
        let fixtures =
            [("deep/mongodb/01_seed.json", "[{\"name\": \"Ada\"}]"), ("deep/mongodb/02_lines.json", "{}\n{}")];
        assert!(anywhere(&fixtures).problems.is_empty());
    }

    #[test]
    fn s4_10_what_the_files_say_they_are_for_counts_where_neither_folder_nor_configuration_tells() {
        assert_eq!(one(&anywhere(&[("migrations/changes/001_a.json", MONGO)])).engine, Engine::Mongodb);
        let sources = [SourceFile::new("deep/changes/001_a.json", MONGO.as_bytes())];
        assert_eq!(one(&resolve(&sources, &[MigrationRoot::folder("deep/changes")])).engine, Engine::Mongodb);
        // A configured engine, a folder's name and files that disagree are told apart as before.
        let configured = MigrationRoot { engine: Some(Engine::Elasticsearch), ..MigrationRoot::folder("deep/changes") };
        assert!(resolve(&sources, &[configured]).problems.iter().any(|p| p.message.contains("[S4-10]")));
        let other = MONGO.replace("mongodb", "redis").replace("\"a\"", "\"b\"");
        let set = anywhere(&[("deep/migrations/001_a.json", MONGO), ("deep/migrations/002_b.json", &other)]);
        assert!(set.problems.iter().any(|p| p.severity == Severity::Error), "{:?}", set.problems);
    }

    #[test]
    fn s4_12_operations_are_one_migration_with_a_computed_rollback() {
        let set = read(&[("migrations/mongodb/001_a.json", MONGO)]);
        let migration = one(&set);
        assert_eq!((migration.up.text.as_str(), migration.up.first_line), (MONGO, 1));
        assert_eq!((migration.engine, migration.description.as_deref()), (Engine::Mongodb, Some("A")));
        let down = migration.down.as_ref().expect("computed");
        assert!(
            down.text.starts_with(r#"[{"type":"undo","operation":1,"line":5,"of":{ "type": "add_field""#),
            "{}",
            down.text
        );
        assert_eq!(down.path, "migrations/mongodb/001_a.json");
        assert!(migration.is_reversible());
        // What cannot be taken back has none; the linter says so.
        let gone = MONGO.replace("\"add_field\"", "\"remove_field\"").replace(", \"value\": 1", "");
        let set = read(&[("migrations/mongodb/001_a.json", &gone)]);
        assert!(one(&set).down.is_none() && !one(&set).is_reversible());
    }

    #[test]
    fn s4_66_an_inline_rollback_or_a_partner_replaces_what_is_computed() {
        let inline = MONGO.replace(
            "\n  ]\n",
            "\n  ],\n  \"rollback\": [\n    { \"type\": \"drop_collection\", \"collection\": \"c\" }\n  ]\n",
        );
        let set = read(&[("migrations/mongodb/001_a.json", &inline)]);
        let down = one(&set).down.clone().expect("inline");
        assert_eq!((down.first_line, down.text.lines().count()), (7, 3));
        assert_eq!(crate::migration::operations::read(Engine::Mongodb, &down.text).expect("a list")[0].line, 2);
        let partner = MONGO.replace("\"a\"", "\"a_rollback\"");
        let set =
            read(&[("migrations/mongodb/001_a.json", MONGO), ("migrations/mongodb/001_a_rollback.json", &partner)]);
        let migration = one(&set);
        assert_eq!(migration.down.as_ref().map(|d| d.text.as_str()), Some(partner.as_str()));
        assert_eq!(migration.files.len(), 2);
        let set =
            read(&[("migrations/mongodb/001_a.json", &inline), ("migrations/mongodb/001_a_rollback.json", &partner)]);
        assert!(set.problems[0].message.contains("as well as a `_rollback` file"), "{:?}", set.problems);
        assert_eq!((set.problems[0].line, set.migrations.len()), (7, 0));
    }

    #[test]
    fn s4_77_mistakes_in_operations_are_told_at_their_lines_all_at_once() {
        let change = |from: &str, to: &str| MONGO.replace(from, to);
        for (json, line, rule, part) in [
            (
                change("create_collection", "make_collection"),
                4,
                "invalid-operation",
                "unknown operation `make_collection`",
            ),
            (change("\"field\": \"f\", ", ""), 5, "invalid-operation", "`add_field`: missing field `field`"),
            (change("\"value\"", "\n \"valu\""), 6, "invalid-operation", "`add_field`: unknown field `valu`"),
            (change("\"field\": \"f\"", "\"field\": 7"), 5, "invalid-operation", "expected a string"),
            (change("\"type\": \"add_field\", ", ""), 5, "invalid-operation", "missing field `type`"),
            (change("\"f\", \"value\": 1 }", "\"f\", \"value\": 1"), 7, "invalid-metadata", "expected `,` or `}`"),
            (change("\"operations\"", "\"operation\""), 3, "invalid-metadata", "unknown field `operation`"),
            (change("schema", "magic"), 2, "invalid-metadata", "magic"),
            (change("1.0.0", "1.0"), 2, "invalid-metadata", "[S4-07]"),
            (
                change("\"description\"", "\"keys\": [], \"description\""),
                2,
                "invalid-metadata",
                "`keys` has no place here",
            ),
            (
                change("\"description\"", "\"waive\": \"drop-index\", \"description\""),
                2,
                "invalid-metadata",
                "gives no reason",
            ),
            (
                change(
                    "{ \"type\": \"create_collection\", \"collection\": \"c\" }",
                    "{\"type\":\"undo\",\"operation\":0,\"line\":1,\"of\":{\"type\":\"drop_collection\",\"collection\":\"c\"}}",
                ),
                4,
                "invalid-operation",
                "Godwit's own",
            ),
        ] {
            let set = read(&[("migrations/mongodb/001_a.json", &json)]);
            let found = set.problems.iter().find(|p| p.message.contains(part));
            let found = found.unwrap_or_else(|| panic!("{part}: {:?}", set.problems));
            assert_eq!((found.rule, found.file.as_str()), (rule, "migrations/mongodb/001_a.json"));
            assert!(
                found.line == line || rule == "invalid-metadata" && found.line.abs_diff(line) <= 1,
                "{part}: {found:?}"
            );
        }
        let two = change("\"collection\": \"c\"", "\"colection\": \"c\"");
        let set = read(&[("migrations/mongodb/001_a.json", &two)]);
        assert_eq!(set.problems.iter().map(|p| p.line).collect::<Vec<_>>(), [4, 5]);
        let none = read(&[(
            "migrations/elasticsearch/001_a.json",
            &change("mongodb", "elasticsearch").replace("\"operations\"", "\"rollback\""),
        )]);
        assert!(none.problems[0].message.contains("has no `operations`"), "{:?}", none.problems);
    }

    const CART: &str = r#"{"version":"1.0.0","name":"a","description":"A","database_type":"redis","migration_type":"data",
"keys":{"match":"cart:*"},"args":["1"]}"#;

    #[test]
    fn a_redis_pair_is_one_script_whose_line_ends_are_no_edit() {
        let pair = |lua: &str, json: &str| {
            let set = read(&[("migrations/redis/001_a.json", json), ("migrations/redis/001_a.lua", lua)]);
            one(&set).clone()
        };
        let plain = pair("return 1\nor 2\n", CART);
        assert_eq!(
            plain.up.text,
            r#"[{"type":"script","lua":"return 1\nor 2","keys":{"match":"cart:*"},"args":["1"]}]"#
        );
        assert_eq!((plain.up.path.as_str(), plain.files.len()), ("migrations/redis/001_a.lua", 2));
        assert!(plain.down.is_none());
        assert_eq!(pair("\u{feff}return 1\r\nor 2\r\n\r\n", CART).checksum, plain.checksum);
        assert_eq!(
            pair("return 1\nor 2", &CART.replace("{\"match\":\"cart:*\"}", "{ \"match\" : \"cart:*\" }")).checksum,
            plain.checksum
        );
        assert_ne!(pair("return 1\nor 3\n", CART).checksum, plain.checksum);
        assert_ne!(pair("return 1\nor 2\n", &CART.replace("cart", "car")).checksum, plain.checksum);
    }

    #[test]
    fn the_rollback_of_a_redis_pair_gets_the_same_keys_or_its_own() {
        let files = [
            ("migrations/redis/001_a.json", CART),
            ("migrations/redis/001_a.lua", "return 1"),
            ("migrations/redis/001_a_rollback.lua", "return 2"),
        ];
        let down = one(&read(&files)).down.clone().expect("a rollback");
        assert_eq!(down.text, r#"[{"type":"script","lua":"return 2","keys":{"match":"cart:*"},"args":["1"]}]"#);
        let own = CART
            .replace("\"name\":\"a\"", "\"name\":\"a_rollback\"")
            .replace("cart:*", "old:*")
            .replace(",\"args\":[\"1\"]", "");
        let mut all = files.to_vec();
        all.push(("migrations/redis/001_a_rollback.json", &own));
        let set = read(&all);
        let down = one(&set).down.clone().expect("a rollback");
        assert!(down.text.contains("old:*") && down.text.contains(r#""args":["1"]"#), "{}", down.text);
        assert_eq!(one(&set).files.len(), 4);
        // Without a script the operations stand in the JSON.
        let renamed = CART.replace(
            "\"keys\":{\"match\":\"cart:*\"},\"args\":[\"1\"]",
            r#""operations":[{"type":"rename_keys","keys":["a:1"],"from":"a:","to":"b:"}]"#,
        );
        assert!(one(&read(&[("migrations/redis/001_a.json", &renamed)])).is_reversible());
        for (json, part) in [(CART, "`keys` for a `.lua` file that is not there"), ("{}", "missing field")] {
            let set = read(&[("migrations/redis/001_a.json", json)]);
            assert!(
                set.problems.iter().any(|p| p.message.contains(part) || p.message.contains("neither `operations`")),
                "{:?}",
                set.problems
            );
        }
        let both = read(&[("migrations/redis/001_a.json", &renamed), ("migrations/redis/001_a.lua", "return 1")]);
        assert!(both.problems[0].message.contains("as well as a `.lua`"), "{:?}", both.problems);
    }

    #[test]
    fn s4_45_numbers_and_versions_tell_one_order() {
        let at = |n: u32, version: &str| (format!("migrations/mongodb/{n:03}_a.json"), MONGO.replace("1.0.0", version));
        let rules = |versions: [&str; 3]| {
            let files: Vec<_> = (1u32..).zip(versions).map(|(n, v)| at(n, v)).collect();
            let files: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
            let set = read(&files);
            set.problems.iter().map(|p| (p.rule, p.line)).collect::<Vec<_>>()
        };
        assert_eq!(rules(["1.0.0", "1.9.0", "1.10.0"]), []);
        assert_eq!(rules(["1.0.0", "1.2.0", "1.1.9"]), [("version-order", 2)]);
        assert_eq!(rules(["1.0.0", "1.0.0", "2.0.0"]), [("duplicate-version", 2)]);
    }

    #[test]
    fn the_folder_of_an_engine_that_is_known_may_have_any_name() {
        let files = [SourceFile::new("deep/changes/001_a.json", MONGO.as_bytes())];
        let root = MigrationRoot { engine: Some(Engine::Mongodb), ..MigrationRoot::folder("deep/changes") };
        assert_eq!(one(&resolve(&files, &[root])).engine, Engine::Mongodb);
        // Where nothing is configured, the folder's name and the file's own word are enough; one of them is not.
        let everywhere = |path: &str, text: &str| {
            resolve(&[SourceFile::new(path, text.as_bytes())], &[MigrationRoot::folder("**")]).migrations.len()
        };
        assert_eq!(everywhere("mongodb/001_a.json", MONGO), 1);
        assert_eq!(everywhere("fixtures/001_a.json", MONGO), 0);
        assert_eq!(everywhere("fixtures/mongodb/001_a.json", "{}"), 0);
    }
}
