//! Source E's migrations: `001_name.json` alone (MongoDB, Elasticsearch), with `001_name.sql` (PostgreSQL, SQLite) or with
//! `001_name.lua` (Redis), and `_rollback` partners of each, in a folder named after the engine (SPEC 3.1–3.5).

mod metadata;
mod operations;

use std::collections::BTreeMap;

use super::numbered::parse_name;
use super::{Folder, Found, Reader};
use crate::ids::Engine;
use crate::migration::{FileContent, Severity, SourceFile, Version};

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
                let message = format!("is no migration: those for {} are not written in it", reader.engine);
                reader.stray(file, &message);
                continue;
            }
            _ => continue,
        };
        *slot = Some(file);
    }
    let mut before: Option<([u64; 3], String)> = None;
    for (stem, parts) in stems {
        let Some((semver, line)) = read_one(stem, &parts, reader) else { continue };
        let path = parts.json.map_or_else(String::new, |f| f.path.clone());
        check_order(before.as_ref(), semver, line, &path, reader);
        if before.as_ref().is_none_or(|(highest, _)| *highest < semver) {
            before = Some((semver, stem.to_owned()));
        }
    }
}

/// The numbers in front of the names and the semantic versions tell the same order [S4-45] [S4-76].
fn check_order(before: Option<&([u64; 3], String)>, semver: [u64; 3], line: u32, path: &str, reader: &mut Reader<'_>) {
    let Some((highest, stem)) = before else { return };
    let written = |v: &[u64; 3]| format!("{}.{}.{}", v[0], v[1], v[2]);
    if *highest == semver {
        let message = format!("`version` {} is taken by `{stem}` already", written(&semver));
        let help = "give this migration the next free version";
        reader.problem(path, line, "duplicate-version", Severity::Error, message, help);
    } else if *highest > semver {
        let message =
            format!("`version` {} is lower than the {} of `{stem}` before it", written(&semver), written(highest));
        let help = "number and version must tell the same order; give this migration the next free version";
        reader.problem(path, line, "version-order", Severity::Error, message, help);
    }
}

/// Reads the migration of one stem; gives its semantic version with its line.
fn read_one(stem: &str, parts: &Parts<'_>, reader: &mut Reader<'_>) -> Option<([u64; 3], u32)> {
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
    let Some(name) = parse_name(&file_name) else {
        let message = "does not fit `NNN_name.json`".to_owned();
        reader.problem(&json.path, 1, "file-name", Severity::Error, message, "three digits, `_`, a name");
        return None;
    };
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
            about.semver.map(|v| (v, about.version_line))
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
        assert!(set.problems.iter().all(|p| p.rule == "missing-down"), "{:?}", set.problems);
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
            (ROLES.replace("{", "{{"), "invalid-metadata", "line 1"),
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
        let rules: Vec<_> = set.problems.iter().map(|p| p.rule).collect();
        assert_eq!(rules, ["invalid-metadata", "pair-half-missing", "pair-half-missing", "orphan-down"]);
    }
}
