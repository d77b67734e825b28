//! The schema that a program declares beside its migrations, against the one that the migrations build [S3-112].

mod prisma;

use std::collections::BTreeSet;

use super::check::changes_of;
use super::schema::{Built, built};
use super::{Scope, depth};
use crate::ids::Engine;
use crate::migration::{Migration, MigrationSet, Models, Problem, Severity};
use prisma::{Model, Schema};

/// Disagreements of one schema that are told; more of them are one.
const MOST: usize = 20;
/// The table that Prisma keeps for itself.
const OWN: &str = "_prisma_migrations";

/// A disagreement, with the names that it is about.
struct Disagreement {
    place: (String, u32),
    names: Vec<String>,
    message: String,
    help: String,
}

/// Where the declared schema and the migrations disagree. A change that leaves the declaration alone is told only of what
/// its own migrations name.
pub(super) fn problems(set: &MigrationSet, scope: &Scope) -> Vec<Problem> {
    set.models.iter().flat_map(|models| of_unit(set, models, scope)).collect()
}

fn of_unit(set: &MigrationSet, models: &Models, scope: &Scope) -> Vec<Problem> {
    let own: Vec<&Migration> =
        set.migrations.iter().filter(|m| m.unit == models.unit && m.engine == Engine::Postgresql).collect();
    let touched = models.files.iter().any(|(path, _)| scope.holds_path(path));
    let changed: Vec<&Migration> = own.iter().copied().filter(|m| scope.holds(m)).collect();
    let schema = prisma::read(&models.files);
    if schema.models.is_empty() || own.is_empty() || (!touched && changed.is_empty()) {
        return Vec::new();
    }
    let scripts = depth::map_with_stack(&own, |m| changes_of(&m.up.text));
    let built = built(scripts.iter().map(Vec::as_slice));
    let mut found = compare(&schema, &built, &models.files[0].0);
    if !touched {
        let texts: Vec<&str> = changed.iter().map(|m| m.up.text.as_str()).collect();
        found.retain(|d| d.names.iter().all(|name| texts.iter().any(|text| text.contains(name.as_str()))));
    }
    let more = found.len().saturating_sub(MOST);
    found.truncate(MOST);
    let mut out: Vec<Problem> = found
        .into_iter()
        .map(|d| {
            let (file, line) = match changed.last().filter(|_| !touched) {
                Some(last) => (last.up.path.clone(), last.up.first_line),
                None => d.place,
            };
            Problem {
                file,
                line,
                column: 1,
                end_column: 1,
                rule: "models-disagree",
                severity: Severity::Error,
                message: d.message,
                help: d.help,
            }
        })
        .collect();
    if let Some(last) = out.last_mut().filter(|_| more > 0) {
        last.message.push_str(&format!("; and {more} more"));
    }
    out
}

fn compare(schema: &Schema, built: &Built, first: &str) -> Vec<Disagreement> {
    if built.anything {
        return Vec::new();
    }
    let unknown = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or(name);
        built.unknown.contains(name) || built.unknown.contains(last) || built.unknown.contains(&last.to_lowercase())
    };
    let mut found = Vec::new();
    for model in schema.models.iter().filter(|m| !unknown(&m.table)) {
        match built.tables.get(&model.table) {
            Some(columns) => of_table(model, columns, &mut found),
            None => found.push(Disagreement {
                place: model.place.clone(),
                names: vec![model.table.clone()],
                message: format!(
                    "the model `{}` stands for the table `{}`, which no migration makes",
                    model.name, model.table
                ),
                help: "`prisma migrate dev --create-only --name WHAT` on a development database writes the migration"
                    .to_owned(),
            }),
        }
    }
    let declared: BTreeSet<&str> = schema.models.iter().map(|m| m.table.as_str()).collect();
    for table in built.tables.keys() {
        let last = table.rsplit('.').next().unwrap_or(table);
        // Tables between two lists of models have no model of their own.
        let between = last.starts_with('_');
        let other = declared.contains(table.as_str()) || schema.other.contains(table) || last == OWN;
        if !between && !other && !unknown(table) {
            found.push(Disagreement {
                place: (first.to_owned(), 1),
                names: vec![table.clone()],
                message: format!("the migrations make the table `{table}`, and no model stands for it: Prisma's next migration drops it"),
                help: "add a model (`prisma db pull` writes it), or a migration that drops the table".to_owned(),
            });
        }
    }
    found
}

fn of_table(
    model: &Model,
    columns: &std::collections::BTreeMap<String, super::schema::BuiltColumn>,
    found: &mut Vec<Disagreement>,
) {
    let at = |line: u32| (model.place.0.clone(), line);
    for field in &model.fields {
        let shown = format!("`{}.{}`", model.name, field.name);
        let mut tell = |message: String, help: &str| {
            found.push(Disagreement {
                place: at(field.line),
                names: vec![model.table.clone(), field.column.clone()],
                message,
                help: help.to_owned(),
            });
        };
        match (columns.get(&field.column), field.optional) {
            (None, _) => tell(
                format!(
                    "{shown} stands for the column `{}` of `{}`, which no migration adds",
                    field.column, model.table
                ),
                "add a migration for it: `prisma migrate dev --create-only --name WHAT`",
            ),
            (Some(column), Some(optional)) if column.not_null == optional => tell(
                if optional {
                    format!("{shown} may be missing, but its column is NOT NULL")
                } else {
                    format!("{shown} is never missing, but its column may be NULL: a row with NULL cannot be read")
                },
                "make the two agree: a `?` in the model, or a migration that sets or drops NOT NULL",
            ),
            (Some(_), _) => {}
        }
    }
    if model.unclear {
        return;
    }
    for column in columns.keys().filter(|c| !model.fields.iter().any(|f| f.column == **c)) {
        found.push(Disagreement {
            place: model.place.clone(),
            names: vec![model.table.clone(), column.clone()],
            message: format!(
                "the migrations give `{}` the column `{column}`, and `{}` has no field for it: Prisma's next migration drops it",
                model.table, model.name
            ),
            help: "add the field, or a migration that drops the column".to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    const USERS: &str = "CREATE TABLE \"users\" (\"id\" TEXT NOT NULL, \"email\" TEXT, CONSTRAINT \"users_pkey\" PRIMARY KEY (\"id\"));\n";
    const MODEL: &str = "model User {\n  id String @id\n  email String?\n  @@map(\"users\")\n}\n";

    fn told(migrations: &[&str], schema: &str, scope: &Scope) -> Vec<(String, u32, String)> {
        let mut files: Vec<SourceFile> = migrations
            .iter()
            .enumerate()
            .map(|(n, sql)| {
                SourceFile::new(format!("prisma/migrations/2024010100000{n}_m/migration.sql"), sql.as_bytes())
            })
            .collect();
        files.push(SourceFile::new("prisma/schema.prisma", schema.as_bytes()));
        let set = resolve(&files, &[MigrationRoot::folder("prisma/migrations")]);
        problems(&set, scope).into_iter().map(|p| (p.file, p.line, p.message)).collect()
    }

    #[test]
    fn n16_s3_112_models_and_migrations_are_compared() {
        for (sql, schema, expected) in [
            (USERS, MODEL.to_owned(), None),
            (USERS, MODEL.replace("  email", "  nick String\n  email"), Some((3, "which no migration adds"))),
            (USERS, MODEL.replace("email String?", "email String"), Some((3, "may be NULL"))),
            (USERS, MODEL.replace("  email String?\n", ""), Some((1, "has no field for it"))),
            (USERS, format!("{MODEL}model Post {{\n  id Int @id\n}}\n"), Some((6, "which no migration makes"))),
            (USERS, MODEL.replace("users", "people"), Some((1, "`people`, which no migration makes"))),
            // What a script may have done to anything is not known.
            ("DO $$ BEGIN EXECUTE current_setting('x'); END $$;", MODEL.to_owned(), None),
            (USERS, String::new(), None),
            (USERS, "generator client {\n}\n".to_owned(), None),
        ] {
            let found = told(&[sql], &schema, &Scope::All);
            match expected {
                None if sql == USERS => assert_eq!(found, [], "{schema}"),
                None => {}
                Some((line, part)) => assert!(
                    found.iter().any(|(file, l, m)| file == "prisma/schema.prisma" && *l == line && m.contains(part)),
                    "{schema}: {found:?}"
                ),
            }
        }
        let more = "ALTER TABLE \"users\" ADD COLUMN \"nick\" TEXT;";
        assert_eq!(told(&[USERS, more], &MODEL.replace("  email", "  nick String?\n  email"), &Scope::All), []);
    }

    #[test]
    fn n16_a_change_is_told_of_what_it_names_alone() {
        let paths = |names: &[&str]| Scope::Paths(names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>());
        let second = "prisma/migrations/20240101000001_m/migration.sql";
        let sql = "CREATE TABLE \"other\" (\"id\" TEXT PRIMARY KEY);";
        let schema = MODEL.replace("email String?", "email String");
        let found = told(&[USERS, sql], &schema, &paths(&[second]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0 == second && found[0].2.contains("`other`"), "{found:?}");
        assert_eq!(told(&[USERS, sql], &schema, &paths(&["prisma/schema.prisma"])).len(), 2);
        assert_eq!(told(&[USERS, sql], &schema, &paths(&["readme.txt"])), []);
    }
}
