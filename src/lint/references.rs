//! What one service's migrations name of another's that nobody declared: on a new database the other service may come
//! later [S1-10].

use std::collections::{BTreeSet, HashMap, HashSet};

use squawk_syntax::SourceFile;
use squawk_syntax::SyntaxKind;
use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode as _};

use super::check::cannot_parse;
use super::script::name_of;
use super::{depth, squawk};
use crate::ids::Engine;
use crate::migration::{Layout, Migration, MigrationSet, Problem, Severity, graph};

/// What a script makes, by its name with its schema (the service's own where none is written), and the names with a schema
/// that it says, each with the byte where it first does.
struct Names {
    made: Vec<String>,
    said: Vec<(String, usize)>,
}

/// The name of what a statement makes, where others can name it.
fn made_by(statement: &ast::Stmt) -> Option<SyntaxNode> {
    Some(match statement {
        ast::Stmt::CreateTable(s) => s.table_name()?.syntax().clone(),
        ast::Stmt::CreateTableAs(s) => s.table_name()?.syntax().clone(),
        ast::Stmt::CreateView(s) => s.view()?.syntax().clone(),
        ast::Stmt::CreateMaterializedView(s) => s.view()?.syntax().clone(),
        ast::Stmt::CreateType(s) => s.type_name()?.syntax().clone(),
        ast::Stmt::CreateFunction(s) => s.name()?.syntax().clone(),
        _ => return None,
    })
}

fn names_of(migration: &Migration, own: &str) -> Names {
    let mut names = Names { made: Vec::new(), said: Vec::new() };
    let text = &migration.up.text;
    if cannot_parse(text).is_some() {
        return names;
    }
    let mut seen = HashSet::new();
    for statement in SourceFile::parse(&squawk::without_marks(text)).tree().stmts() {
        if let Some(made) = made_by(&statement) {
            let written = qualified_names(&made, 0).into_iter().next();
            names.made.push(written.map_or_else(|| format!("{own}.{}", name_of(&made)), |(name, _)| name));
        }
        let said = qualified_names(statement.syntax(), 0);
        names.said.extend(said.into_iter().filter(|(name, _)| seen.insert(name.clone())));
    }
    names
}

/// The first two parts of every name that is written with a dot, in the text of a function or a block too.
fn qualified_names(node: &SyntaxNode, from: usize) -> Vec<(String, usize)> {
    /// A function in a function is as deep as anybody goes.
    const DEEPEST: usize = 2;
    fn walk(node: &SyntaxNode, from: usize, depth: usize, found: &mut Vec<(String, usize)>) {
        let tokens: Vec<_> = node
            .descendants_with_tokens()
            .filter_map(|e| e.into_token())
            .filter(|t| !matches!(t.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT))
            .collect();
        for (n, token) in tokens.iter().enumerate() {
            let at = from + usize::from(token.text_range().start());
            if token.kind() == SyntaxKind::DOLLAR_QUOTED_STRING && depth < DEEPEST {
                let Some(mark) = token.text()[1..].find('$').map(|end| end + 2) else { continue };
                let Some(body) = token.text().get(mark..token.text().len().saturating_sub(mark)) else { continue };
                if depth::is_bounded(body) {
                    walk(SourceFile::parse(body).tree().syntax(), at + mark, depth + 1, found);
                }
                continue;
            }
            let (Some(dot), Some(last)) = (tokens.get(n + 1), tokens.get(n + 2)) else { continue };
            let begins = n == 0 || tokens[n - 1].kind() != SyntaxKind::DOT;
            if begins
                && dot.kind() == SyntaxKind::DOT
                && let (Some(schema), Some(name)) = (part(token.text()), part(last.text()))
            {
                found.push((format!("{schema}.{name}"), at));
            }
        }
    }
    let mut found = Vec::new();
    walk(node, from, 0, &mut found);
    found
}

/// A part of a name as PostgreSQL compares it; `None` for what is no name.
fn part(token: &str) -> Option<String> {
    match token.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(quoted) => Some(quoted.replace("\"\"", "\"")),
        None => token.starts_with(|c: char| c.is_alphabetic() || c == '_').then(|| token.to_ascii_lowercase()),
    }
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
    let names: Vec<Names> = depth::map_with_stack(&of_services, |(at, schema)| names_of(&set.migrations[*at], schema));
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for ((at, _), found) in of_services.iter().zip(&names) {
        for name in &found.made {
            makers.entry(name).or_insert(*at);
        }
    }
    let edges = graph::edges(set);
    let mut problems = Vec::new();
    for ((at, _), found) in of_services.iter().zip(&names) {
        let migration = &set.migrations[*at];
        let mut needs = None;
        for (name, byte) in &found.said {
            let Some(&maker) = makers.get(name.as_str()) else { continue };
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
                end_column: 1,
                rule: "undeclared-dependency",
                severity: Severity::Error,
                message: format!("refers to `{name}`, which `{entry}` makes, and does not depend on it"),
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
    fn s1_10_whatever_names_a_table_of_another_service_is_declared() {
        let none = r#"{ "migrations": { "0001_orders": {} } }"#;
        let declared = r#"{ "migrations": { "0001_orders": { "depends_on": ["user-service/0001_users"] } } }"#;
        for sql in [
            "CREATE VIEW v AS SELECT * FROM user_service.users;",
            "CREATE MATERIALIZED VIEW v AS SELECT u.id FROM o JOIN \"user_service\".users u USING (id);",
            "INSERT INTO o SELECT id FROM user_service.users;",
            "UPDATE o SET a = 1 FROM User_Service.Users u WHERE u.id = o.id;",
            "DELETE FROM o USING user_service.users u WHERE u.id = o.id;",
            "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM user_service.users $$;",
            "CREATE FUNCTION f() RETURNS SETOF user_service.users LANGUAGE sql AS 'SELECT 1';",
            "DO $x$ BEGIN\nPERFORM 1 FROM user_service.users;\nEND $x$;",
            "CREATE TRIGGER t AFTER INSERT ON user_service.users FOR EACH ROW EXECUTE FUNCTION f();",
            "CREATE TABLE o (LIKE user_service.users);",
            "CREATE TABLE o (id bigint, u user_service.users);",
            "GRANT SELECT ON user_service.users TO app;",
            "COMMENT ON TABLE user_service.users IS 'x';",
        ] {
            let problems = found(sql, none);
            assert_eq!(problems.len(), 1, "{sql}: {problems:?}");
            assert!(problems[0].message.contains("`user_service.users`"), "{sql}: {}", problems[0].message);
            assert_eq!(problems[0].line, if sql.starts_with("DO") { 2 } else { 1 }, "{sql}");
            assert_eq!(found(sql, declared), [], "{sql}");
        }
        for sql in [
            "-- user_service.users\nSELECT 'user_service.users';",
            "SELECT x.user_service.users FROM x;",
            "SELECT * FROM user_service.others;",
        ] {
            assert_eq!(found(sql, none), [], "{sql}");
        }
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
