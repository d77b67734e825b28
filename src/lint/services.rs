//! Services that reach into what is not theirs: each has a schema of its own [S1-17] [S1-20].

use std::collections::BTreeMap;

use squawk_syntax::SourceFile;
use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

use super::check::cannot_parse;
use super::{depth, squawk};
use crate::ids::Engine;
use crate::migration::{Layout, Migration, MigrationSet, Problem, Severity};

/// What services change outside of their schema.
pub(super) fn problems(set: &MigrationSet) -> Vec<Problem> {
    let of_services: Vec<(&Migration, String)> = set
        .migrations
        .iter()
        .filter(|m| m.layout == Layout::Service && m.engine == Engine::Postgresql)
        .filter_map(|m| m.schema().map(|schema| (m, schema)))
        .collect();
    let owners: BTreeMap<&str, &str> =
        of_services.iter().filter_map(|(m, schema)| Some((schema.as_str(), m.service.as_deref()?))).collect();
    depth::map_with_stack(&of_services, |(migration, own)| foreign(migration, own, &owners))
        .into_iter()
        .flatten()
        .collect()
}

fn foreign(migration: &Migration, own: &str, owners: &BTreeMap<&str, &str>) -> Vec<Problem> {
    let text = &migration.up.text;
    if cannot_parse(text).is_some() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for statement in SourceFile::parse(&squawk::without_marks(text)).tree().stmts() {
        let Some(object) = changed(&statement) else { continue };
        let at = usize::from(object.text_range().start()).min(text.len());
        let line = migration.up.first_line + u32::try_from(text[..at].matches('\n').count()).unwrap_or(0);
        let Some(schema) = schema_of(&object) else {
            found.extend((!is_temporary(&statement)).then(|| unqualified(migration, own, &object, line)));
            continue;
        };
        if schema == own {
            continue;
        }
        let whose = match owners.get(schema.as_str()) {
            Some(service) => format!("the schema of `{service}`"),
            None => "no schema of this service".to_owned(),
        };
        found.push(Problem {
            file: migration.up.path.clone(),
            line,
            column: 1,
            end_column: 1,
            rule: "foreign-schema",
            severity: Severity::Error,
            message: format!("changes `{}`, which is in {whose}", object.text().to_string().trim()),
            help: format!("keep to `{own}`; what another service has is changed by a migration of that service"),
        });
    }
    found
}

/// An object that only the search path puts into the service's schema [S1-67].
fn unqualified(migration: &Migration, own: &str, object: &SyntaxNode, line: u32) -> Problem {
    let name = object.text().to_string().trim().to_owned();
    Problem {
        file: migration.up.path.clone(),
        line,
        column: 1,
        end_column: 1,
        rule: "unqualified-name",
        severity: Severity::Warning,
        message: format!("`{name}` is named without its schema: where the search path is another, so is the object"),
        help: format!("write `{own}.{name}`"),
    }
}

/// Temporary tables have a schema of their own.
fn is_temporary(statement: &ast::Stmt) -> bool {
    matches!(statement, ast::Stmt::CreateTable(create) if create.persistence().is_some())
}

/// What a statement creates, changes or drops, as it names it.
fn changed(statement: &ast::Stmt) -> Option<SyntaxNode> {
    let node = |n: Option<SyntaxNode>| n;
    match statement {
        ast::Stmt::CreateTable(s) => node(s.table_name().map(|n| n.syntax().clone())),
        ast::Stmt::CreateTableAs(s) => node(s.table_name().map(|n| n.syntax().clone())),
        ast::Stmt::CreateView(s) => node(s.view().map(|n| n.syntax().clone())),
        ast::Stmt::CreateMaterializedView(s) => node(s.view().map(|n| n.syntax().clone())),
        ast::Stmt::CreateType(s) => node(s.type_name().map(|n| n.syntax().clone())),
        ast::Stmt::CreateFunction(s) => node(s.name().map(|n| n.syntax().clone())),
        ast::Stmt::CreateIndex(s) => node(s.table_relation_name().map(|n| n.syntax().clone())),
        ast::Stmt::AlterTable(s) => node(s.table_relation_name().map(|n| n.syntax().clone())),
        ast::Stmt::DropTable(s) => node(s.table_name_refs().next().map(|n| n.syntax().clone())),
        ast::Stmt::DropView(s) => node(s.view_refs().next().map(|n| n.syntax().clone())),
        ast::Stmt::Update(s) => node(s.relation_name().map(|n| n.syntax().clone())),
        ast::Stmt::Delete(s) => node(s.relation_name().map(|n| n.syntax().clone())),
        _ => None,
    }
}

/// The schema that a name is written with.
fn schema_of(name: &SyntaxNode) -> Option<String> {
    let text = name.text().to_string();
    let text = text.trim().trim_start_matches("only ").trim_start_matches("ONLY ").trim();
    let (schema, _) = text.split_once('.')?;
    let schema = schema.trim();
    Some(match schema.strip_prefix('"').and_then(|s| s.strip_suffix('"')) {
        Some(quoted) => quoted.to_owned(),
        None => schema.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, SourceFile as File, resolve};

    #[test]
    fn n14_s1_20_s1_67_a_service_keeps_to_its_own_schema_and_names_it() {
        for (sql, expected) in [
            ("CREATE TABLE orders (id bigint PRIMARY KEY);", None),
            ("CREATE TABLE orders_service.orders (id bigint PRIMARY KEY);", None),
            ("CREATE TABLE orders (id bigint REFERENCES user_service.users (id));", None),
            (
                "SELECT 1;\nCREATE TABLE public.orders (id bigint PRIMARY KEY);",
                Some((2, "`public.orders`, which is in no schema of this service")),
            ),
            ("ALTER TABLE user_service.users ADD COLUMN x int;", Some((1, "the schema of `user-service`"))),
            ("UPDATE \"user_service\".users SET a = 1 WHERE id = 1;", Some((1, "the schema of `user-service`"))),
        ] {
            let files = [
                ("services/user-service/migrations/0001_users.up.sql", "CREATE TABLE users (id bigint PRIMARY KEY);"),
                ("services/user-service/migrations/0001_users.down.sql", "DROP TABLE users;"),
                ("services/orders-service/migrations/0001_orders.up.sql", sql),
                ("services/orders-service/migrations/0001_orders.down.sql", "DROP TABLE orders;"),
            ]
            .map(|(path, text)| File::new(path, text.as_bytes()));
            let found = problems(&resolve(&files, &[MigrationRoot::folder("**")]));
            let bare = found.iter().filter(|p| p.rule == "unqualified-name" && p.file.contains("orders-service"));
            assert_eq!(bare.count(), usize::from(sql.starts_with("CREATE TABLE orders (")), "{sql}");
            let told = found.iter().find(|p| p.rule == "foreign-schema").map(|p| (p.line, p.message.as_str()));
            match expected {
                None => assert_eq!(told, None, "{sql}"),
                Some((line, part)) => {
                    assert!(told.is_some_and(|(l, m)| l == line && m.contains(part)), "{sql}: {told:?}");
                }
            }
        }
    }
}
