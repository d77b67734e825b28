//! Which objects of a database a migration names: tables, views, indexes, collections, keys. From the syntax tree of SQL
//! and from the fields of operations, never from words in the text.

use std::collections::BTreeSet;

use squawk_syntax::ast::AstNode as _;
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

use super::check::cannot_parse;
use super::depth;
use super::script::name_of;
use crate::ids::Engine;
use crate::migration::Migration;
use crate::migration::operations::{Operation, elasticsearch, mongodb, read_each, redis};

/// The objects that the forward script of `migration` names. What cannot be parsed names nothing; the linter says so.
pub fn objects_of(migration: &Migration) -> BTreeSet<String> {
    match migration.engine {
        Engine::Postgresql | Engine::Sqlite => {
            if cannot_parse(&migration.up.text).is_some() {
                return BTreeSet::new();
            }
            depth::with_stack(|| of_sql(&migration.up.text))
        }
        Engine::Mongodb | Engine::Elasticsearch | Engine::Redis => read_each(migration.engine, &migration.up.text)
            .into_iter()
            .flatten()
            .flat_map(|located| of_operation(&located.operation))
            .collect(),
    }
}

fn of_sql(text: &str) -> BTreeSet<String> {
    let tree = SourceFile::parse(text).tree();
    let mut names: BTreeSet<String> =
        tree.syntax().descendants().filter(is_object).map(|node| name_of(&node)).filter(|n| !n.is_empty()).collect();
    // Names that exist inside one statement only.
    for cte in tree.syntax().descendants().filter(|n| n.kind() == SyntaxKind::CTE_NAME) {
        names.remove(&name_of(&cte));
    }
    names
}

fn is_object(node: &SyntaxNode) -> bool {
    match node.kind() {
        SyntaxKind::TABLE_NAME
        | SyntaxKind::TABLE_NAME_REF
        | SyntaxKind::TABLE_RELATION_NAME
        | SyntaxKind::RELATION_NAME
        | SyntaxKind::RELATION_NAME_REF
        | SyntaxKind::VIEW
        | SyntaxKind::VIEW_REF
        | SyntaxKind::INDEX
        | SyntaxKind::INDEX_REF
        | SyntaxKind::SEQUENCE
        | SyntaxKind::SEQUENCE_REF
        | SyntaxKind::FUNCTION_NAME
        | SyntaxKind::TYPE_NAME => true,
        // Every column names a type; only a change of the type itself is about it.
        SyntaxKind::TYPE_NAME_REF => {
            node.parent().is_some_and(|p| matches!(p.kind(), SyntaxKind::ALTER_TYPE | SyntaxKind::DROP_TYPE))
        }
        _ => false,
    }
}

fn of_operation(operation: &Operation) -> Vec<String> {
    let names: Vec<&String> = match operation {
        Operation::Mongodb(o) => match o {
            mongodb::Operation::CreateCollection { collection, .. }
            | mongodb::Operation::CreateIndex { collection, .. }
            | mongodb::Operation::DropIndex { collection, .. }
            | mongodb::Operation::AddField { collection, .. }
            | mongodb::Operation::RemoveField { collection, .. }
            | mongodb::Operation::RenameField { collection, .. }
            | mongodb::Operation::UpdateDocuments { collection, .. }
            | mongodb::Operation::DropCollection { collection }
            | mongodb::Operation::SetValidator { collection, .. } => vec![collection],
            mongodb::Operation::RenameCollection { from, to } => vec![from, to],
            mongodb::Operation::RunCommand { .. } | mongodb::Operation::Undo { .. } => Vec::new(),
        },
        Operation::Elasticsearch(o) => match o {
            elasticsearch::Operation::CreateIndex { index, .. }
            | elasticsearch::Operation::DeleteIndex { index }
            | elasticsearch::Operation::UpdateMapping { index, .. }
            | elasticsearch::Operation::PutSettings { index, .. }
            | elasticsearch::Operation::UpdateByQuery { index, .. }
            | elasticsearch::Operation::DeleteByQuery { index, .. } => vec![index],
            elasticsearch::Operation::CreateAlias { index, alias, .. } => vec![index, alias],
            elasticsearch::Operation::Reindex { source, dest, .. } => vec![source, dest],
            elasticsearch::Operation::PutTemplate { name, .. } => vec![name],
            elasticsearch::Operation::SwapAlias { alias, from, to, .. } => vec![alias, from, to],
            elasticsearch::Operation::Undo { .. } => Vec::new(),
        },
        Operation::Redis(o) => match o {
            redis::Operation::Script { keys, .. }
            | redis::Operation::RenameKeys { keys, .. }
            | redis::Operation::SetTtl { keys, .. }
            | redis::Operation::DeleteKeys { keys } => match keys {
                redis::Keys::List(keys) => keys.iter().collect(),
                redis::Keys::Matching(matching) => vec![&matching.pattern],
            },
            redis::Operation::Undo { .. } => Vec::new(),
        },
    };
    names.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_from_the_syntax_tree() {
        for (sql, expected) in [
            (
                "CREATE TABLE Orders (id int REFERENCES customers (id), note text DEFAULT 'from users');",
                "customers orders",
            ),
            ("ALTER TABLE public.\"Order\" ADD COLUMN x int; -- users", "Order"),
            ("CREATE INDEX CONCURRENTLY i ON shop.orders (x);", "i shop.orders"),
            ("INSERT INTO a SELECT * FROM b JOIN c ON true;", "a b c"),
            ("UPDATE a SET x = 1 WHERE EXISTS (SELECT 1 FROM b);", "a b"),
            ("DELETE FROM a USING b;", "a b"),
            ("DROP TABLE IF EXISTS a, b CASCADE;", "a b"),
            ("CREATE VIEW v AS SELECT * FROM t;", "t v"),
            ("ALTER TYPE mood ADD VALUE 'sad';", "mood"),
            ("WITH w AS (SELECT 1 FROM t) INSERT INTO a SELECT * FROM w;", "a t"),
            ("TRUNCATE a;", "a"),
            ("this is no SQL at all", ""),
        ] {
            let found: Vec<String> = of_sql(sql).into_iter().collect();
            assert_eq!(found.join(" "), expected, "{sql}");
        }
    }

    #[test]
    fn objects_of_operations_are_their_fields() {
        for (engine, json, expected) in [
            (Engine::Mongodb, r#"[{"type":"rename_collection","from":"a","to":"b"}]"#, "a b"),
            (Engine::Mongodb, r#"[{"type":"rename_field","collection":"c","from":"a","to":"b"}]"#, "c"),
            (Engine::Elasticsearch, r#"[{"type":"swap_alias","alias":"x","from":"x-1","to":"x-2"}]"#, "x x-1 x-2"),
            (Engine::Redis, r#"[{"type":"delete_keys","keys":{"match":"cart:*"}}]"#, "cart:*"),
        ] {
            let found: BTreeSet<String> = read_each(engine, json)
                .into_iter()
                .flat_map(|located| of_operation(&located.expect(json).operation))
                .collect();
            assert_eq!(found.into_iter().collect::<Vec<_>>().join(" "), expected, "{json}");
        }
    }
}
