//! Foreign keys from one service's tables to another's that nobody declared: on a new database the other service may come
//! later [S1-10].

use std::collections::{BTreeSet, HashMap};

use squawk_syntax::SourceFile;
use squawk_syntax::ast::{self, AstNode as _};

use super::check::cannot_parse;
use super::script::name_of;
use super::{depth, squawk};
use crate::ids::Engine;
use crate::migration::{Layout, Migration, MigrationSet, Problem, Severity, graph};

/// The tables that a script makes and those that its foreign keys name, with the byte where they do.
struct Tables {
    made: Vec<String>,
    referred: Vec<(String, usize)>,
}

/// A table with its schema; one that is not written is the service's own.
fn qualified(name: String, own: &str) -> String {
    if name.contains('.') { name } else { format!("{own}.{name}") }
}

fn tables_of(migration: &Migration, own: &str) -> Tables {
    let mut tables = Tables { made: Vec::new(), referred: Vec::new() };
    let text = &migration.up.text;
    if cannot_parse(text).is_some() {
        return tables;
    }
    let inert = squawk::without_marks(text);
    for node in SourceFile::parse(&inert).tree().syntax().descendants() {
        let referred = if let Some(create) = ast::CreateTable::cast(node.clone()) {
            if let Some(name) = create.table_name().map(|n| name_of(n.syntax())) {
                tables.made.push(qualified(name, own));
            }
            continue;
        } else if let Some(key) = ast::ForeignKeyConstraint::cast(node.clone()) {
            key.table_name_ref()
        } else if let Some(key) = ast::ReferencesConstraint::cast(node) {
            key.table()
        } else {
            continue;
        };
        if let Some(table) = referred {
            let at = usize::from(table.syntax().text_range().start());
            tables.referred.push((qualified(name_of(table.syntax()), own), at));
        }
    }
    tables
}

/// What the services of a set do not declare.
pub(super) fn undeclared(set: &MigrationSet) -> Vec<Problem> {
    let of_services: Vec<(usize, String)> = set
        .migrations
        .iter()
        .enumerate()
        .filter(|(_, m)| m.layout == Layout::Service && m.engine == Engine::Postgresql)
        .filter_map(|(at, m)| m.schema().map(|schema| (at, schema)))
        .collect();
    let services: BTreeSet<&str> = of_services.iter().map(|(_, schema)| schema.as_str()).collect();
    if services.len() < 2 {
        return Vec::new();
    }
    let tables: Vec<Tables> =
        depth::map_with_stack(&of_services, |(at, schema)| tables_of(&set.migrations[*at], schema));
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for ((at, _), found) in of_services.iter().zip(&tables) {
        for table in &found.made {
            makers.entry(table).or_insert(*at);
        }
    }
    let edges = graph::edges(set);
    let mut problems = Vec::new();
    for ((at, _), found) in of_services.iter().zip(&tables) {
        let migration = &set.migrations[*at];
        let mut needs = None;
        for (table, byte) in &found.referred {
            let Some(&maker) = makers.get(table.as_str()) else { continue };
            let other = &set.migrations[maker];
            let needs = needs.get_or_insert_with(|| graph::needs(&edges, *at));
            if other.unit == migration.unit || needs.contains(&maker) {
                continue;
            }
            let up_to = &migration.up.text[..(*byte).min(migration.up.text.len())];
            let line = migration.up.first_line + u32::try_from(up_to.matches('\n').count()).unwrap_or(0);
            let entry = format!("{}/{}", other.service.as_deref().unwrap_or(&other.unit), other.id);
            problems.push(Problem {
                file: migration.up.path.clone(),
                line,
                column: 1,
                rule: "undeclared-dependency",
                severity: Severity::Error,
                message: format!("refers to `{table}`, which `{entry}` makes, and does not depend on it"),
                help: format!("add `\"{entry}\"` to `depends_on` of `{}` in `dependencies.json`", migration.id),
            });
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    const USERS: &str = "CREATE TABLE users (id bigint PRIMARY KEY);";
    const ORDERS: &str =
        "CREATE TABLE orders (\n  id bigint PRIMARY KEY,\n  user_id bigint REFERENCES user_service.users (id)\n);";

    fn found(orders: &str, json: &str) -> Vec<Problem> {
        let files = [
            ("services/user-service/migrations/0001_users.up.sql", USERS),
            ("services/user-service/migrations/0001_users.down.sql", "drop table users;"),
            ("services/a-orders/migrations/0001_orders.up.sql", orders),
            ("services/a-orders/migrations/0001_orders.down.sql", "drop table orders;"),
            ("services/a-orders/migrations/dependencies.json", json),
        ]
        .map(|(p, t)| SourceFile::new(p, t));
        let set = resolve(&files, &[MigrationRoot::folder("**")]);
        assert_eq!(set.problems, []);
        undeclared(&set)
    }

    #[test]
    fn s1_10_a_foreign_key_to_another_service_is_declared_or_named_with_its_entry() {
        let none = r#"{ "migrations": { "0001_orders": {} } }"#;
        let problems = found(ORDERS, none);
        assert_eq!(problems.len(), 1);
        assert_eq!(
            (problems[0].line, problems[0].file.as_str()),
            (3, "services/a-orders/migrations/0001_orders.up.sql")
        );
        assert!(problems[0].help.contains("\"user-service/0001_users\""), "{}", problems[0].help);
        let altered = "CREATE TABLE orders (id bigint, u bigint);\nALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (u) REFERENCES user_service.users (id);";
        assert_eq!(found(altered, none).len(), 1);
        let declared = r#"{ "migrations": { "0001_orders": { "depends_on": ["user-service/0001_users"] } } }"#;
        assert_eq!(found(ORDERS, declared), []);
        assert_eq!(found("CREATE TABLE orders (id bigint, of bigint REFERENCES orders (id));", none), []);
    }
}
