//! Source E's pairs `001_name.json` + `001_name.sql` (+ `001_name_rollback.sql`), in a folder named after the engine
//! (SPEC 3.1, 3.4). This version reads the SQL half: `postgresql/` and `sqlite/`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::numbered::parse_name;
use super::{Folder, Found, Reader};
use crate::ids::{Engine, Risk};
use crate::migration::{FileContent, Severity, SourceFile, Version};

/// The JSON half (SPEC 3.1); a PostgreSQL pair has no `operations` [S4-23].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    version: String,
    name: String,
    description: String,
    database_type: String,
    migration_type: MigrationType,
    #[serde(default)]
    depends_on: Vec<String>,
    risk: Option<String>,
    #[serde(rename = "duration")]
    _duration: Option<String>,
    #[serde(rename = "author")]
    _author: Option<String>,
    #[serde(rename = "ticket")]
    _ticket: Option<String>,
    #[serde(rename = "compliance")]
    _compliance: Option<Vec<String>>,
    #[serde(rename = "regions")]
    _regions: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum MigrationType {
    Schema,
    Index,
    Data,
    Hotfix,
}

#[derive(Default)]
struct Parts<'a> {
    json: Option<&'a SourceFile>,
    sql: Option<&'a SourceFile>,
    rollback_sql: Option<&'a SourceFile>,
    rollback_json: Option<&'a SourceFile>,
}

pub(super) fn read(folder: &Folder<'_>, reader: &mut Reader<'_>) {
    let mut stems: BTreeMap<&str, Parts<'_>> = BTreeMap::new();
    for &(file_name, file) in &folder.files {
        let Some((stem, extension)) = file_name.rsplit_once('.') else { continue };
        if matches!(file.content, FileContent::Directory) {
            let _ = reader.script(file);
            continue;
        }
        let numbered = stem.starts_with(|c: char| c.is_ascii_digit());
        let slot = match (stem.strip_suffix("_rollback"), extension) {
            (Some(of), "sql") if numbered => &mut stems.entry(of).or_default().rollback_sql,
            (Some(of), "json") if numbered => &mut stems.entry(of).or_default().rollback_json,
            (None, "sql") if numbered => &mut stems.entry(stem).or_default().sql,
            (None, "json") if numbered => &mut stems.entry(stem).or_default().json,
            (_, "sql" | "json") => {
                reader.stray(file, "is no migration: its name has no number in front");
                continue;
            }
            (_, _) => continue,
        };
        *slot = Some(file);
    }
    match reader.engine {
        Engine::Postgresql | Engine::Sqlite => {}
        Engine::Mongodb | Engine::Redis | Engine::Elasticsearch => {
            for parts in stems.values() {
                if let Some(file) = parts.json.or(parts.sql) {
                    let message = format!("is a migration for {}, which this version does not run", reader.engine);
                    let help = "keep it out of the configured folders until it is supported";
                    reader.problem(&file.path, 1, "unsupported-engine", Severity::Error, message, help);
                }
            }
            return;
        }
    }
    for (stem, parts) in stems {
        read_pair(stem, &parts, reader);
    }
}

fn read_pair(stem: &str, parts: &Parts<'_>, reader: &mut Reader<'_>) {
    let (json, sql) = match (parts.json, parts.sql) {
        (Some(json), Some(sql)) => (json, sql),
        (Some(half), None) => return half_missing(half, ".sql", reader),
        (None, Some(half)) => return half_missing(half, ".json", reader),
        (None, None) => {
            if let Some(orphan) = parts.rollback_sql.or(parts.rollback_json) {
                let message = "undoes a migration that does not exist".to_owned();
                reader.problem(
                    &orphan.path,
                    1,
                    "orphan-down",
                    Severity::Error,
                    message,
                    "add the migration or delete this file",
                );
            }
            return;
        }
    };
    let file_name = format!("{stem}.sql");
    let Some(name) = parse_name(&file_name) else {
        let message = "does not fit `NNN_name.json`".to_owned();
        reader.problem(&json.path, 1, "file-name", Severity::Error, message, "three digits, `_`, a name");
        return;
    };
    let Some(text) = reader.script(json) else { return };
    let metadata: Metadata = match serde_json::from_str(&text.text) {
        Ok(metadata) => metadata,
        Err(e) => {
            let line = u32::try_from(e.line()).unwrap_or(1).max(1);
            let help = "the fields are version, name, description, database_type, migration_type, depends_on, risk, \
                        duration, author, ticket, compliance, regions";
            reader.problem(&json.path, line, "invalid-metadata", Severity::Error, e.to_string(), help);
            return;
        }
    };
    check(&metadata, name.name, json, reader);
    let risk = match metadata.risk.as_deref().map(str::parse::<Risk>) {
        None => None,
        Some(Ok(risk)) => Some(risk),
        Some(Err(e)) => {
            reader.problem(&json.path, 1, "invalid-metadata", Severity::Error, e.to_string(), "correct `risk`");
            None
        }
    };
    let number = Version::numeric(name.version);
    let version = Version::with_key_of(&metadata.version, &number);
    let metadata_files = std::iter::once(json).chain(parts.rollback_json).collect();
    let found =
        Found { id: stem, version, name: name.name, up: sql, down: parts.rollback_sql, metadata: metadata_files };
    if let Some(migration) = reader.add(found) {
        migration.description = Some(metadata.description);
        migration.directives.depends_on.extend(metadata.depends_on);
        migration.directives.risk = migration.directives.risk.max(risk);
    }
}

fn check(metadata: &Metadata, name: &str, json: &SourceFile, reader: &mut Reader<'_>) {
    let mut wrong = |message: String, help: &str| {
        reader.problem(&json.path, 1, "invalid-metadata", Severity::Error, message, help);
    };
    let semver = metadata.version.split('.').collect::<Vec<_>>();
    if semver.len() != 3 || !semver.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit())) {
        wrong(format!("`version` is `{}`, not of the form 1.2.3 [S4-07]", metadata.version), "use three numbers");
    }
    if metadata.name != name {
        wrong(format!("`name` is `{}`, but the file is named `{name}` [S4-08]", metadata.name), "make them equal");
    }
    if metadata.description.trim().is_empty() {
        wrong("`description` is empty [S4-09]".to_owned(), "say what the migration does");
    }
    let folder = reader.engine.as_str();
    if metadata.database_type != folder {
        reader.problem(
            &json.path,
            1,
            "invalid-metadata",
            Severity::Error,
            format!("`database_type` is `{}`, but the folder is `{folder}` [S4-10]", metadata.database_type),
            "make them equal",
        );
    }
    match metadata.migration_type {
        MigrationType::Schema | MigrationType::Index | MigrationType::Data | MigrationType::Hotfix => {}
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
        assert_eq!(rules, ["unsupported-engine", "pair-half-missing", "pair-half-missing", "orphan-down"]);
    }
}
