//! The tables, collections and indices in which Godwit keeps what was applied: no migration changes them. Pure.

use serde_json::Value;
use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SourceFile, SyntaxNode};

use super::check::cannot_parse;
use super::depth;
use super::script::{name_of, range_of, tables_of};
use super::squawk::without_marks;
use crate::ids::Engine;
use crate::migration::operations;

/// The tables of a SQL database.
const TABLES: [&str; 2] = ["godwit_history", "godwit_fence"];
/// The collections of a MongoDB database.
const COLLECTIONS: [&str; 4] = ["godwit_history", "godwit_fence", "godwit_lock", "godwit_undo"];
/// What every one of these names begins with.
const PREFIX: &str = "godwit_";
/// The fields by which an operation names what it changes.
const NAMED_BY: [&str; 7] = ["collection", "from", "to", "index", "alias", "source", "dest"];

/// The first of Godwit's own tables, collections or indices that a script changes, with its line in the text.
pub fn changes_own(engine: Engine, text: &str) -> Option<(u32, String)> {
    if !mentions(text) {
        return None;
    }
    if operations::are_operations(engine) {
        let listed = operations::read(engine, text).ok()?;
        return listed.into_iter().find_map(|o| Some((o.line, own_of_operation(engine, &text[o.range])?)));
    }
    if cannot_parse(text).is_some() {
        return None;
    }
    depth::with_stack(|| {
        let inert = without_marks(text);
        let found = SourceFile::parse(&inert).tree().stmts().find_map(|s| own_of_statement(&s).into_iter().next());
        found.map(|(node, name)| {
            let at = range_of(&node).start.min(inert.len());
            (u32::try_from(inert[..at].matches('\n').count()).unwrap_or(0) + 1, name)
        })
    })
}

/// What is said of a change of one of them.
pub fn message(name: &str) -> String {
    format!(
        "changes `{name}`, in which Godwit keeps what was applied here; the migration is refused before anything of it runs"
    )
}

/// Whether a text can be about one of them at all: nearly none is, and a search costs nothing.
pub(super) fn mentions(text: &str) -> bool {
    let bytes = text.as_bytes();
    // What it ends with is rarer than what it begins with.
    let ends = bytes.iter().enumerate().filter(|(_, b)| **b == b'_').map(|(at, _)| at + 1);
    ends.filter_map(|end| bytes.get(end.checked_sub(PREFIX.len())?..end))
        .any(|w| w.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

/// Those that a statement changes, drops or makes, itself or in its `WITH`, each at its words.
pub(super) fn own_of_statement(statement: &ast::Stmt) -> Vec<(SyntaxNode, String)> {
    let named = |node: Option<SyntaxNode>| node.map(|n| name_of(&n)).into_iter().collect();
    let names: Vec<String> = match statement {
        ast::Stmt::CreateTable(s) => named(s.table_name().map(|n| n.syntax().clone())),
        ast::Stmt::CreateTableAs(s) => named(s.table_name().map(|n| n.syntax().clone())),
        ast::Stmt::Insert(s) => named(s.relation_name_ref().map(|n| n.syntax().clone())),
        ast::Stmt::Merge(s) => named(s.table_relation_name().map(|n| n.syntax().clone())),
        ast::Stmt::Copy(s) if matches!(s.copy_direction(), Some(ast::CopyDirection::CopyFrom(_))) => {
            named(s.copy_table().and_then(|t| t.table_name_ref()).map(|n| n.syntax().clone()))
        }
        ast::Stmt::CreateRule(s) => named(s.rule_on().map(|n| n.syntax().clone())),
        // It keeps others out for as long as the migration runs, and changes nothing.
        ast::Stmt::Lock(_) => Vec::new(),
        other => tables_of(other),
    };
    let mut found: Vec<(SyntaxNode, String)> =
        names.into_iter().filter(|n| is_table(n)).map(|n| (statement.syntax().clone(), n)).collect();
    for query in statement.syntax().descendants().filter_map(ast::WithQuery::cast) {
        // The statement itself is no part of its own `WITH`.
        if query.syntax() == statement.syntax() {
            continue;
        }
        let target = match &query {
            ast::WithQuery::Update(q) => q.relation_name().map(|n| n.syntax().clone()),
            ast::WithQuery::Delete(q) => q.relation_name().map(|n| n.syntax().clone()),
            ast::WithQuery::Insert(q) => q.relation_name_ref().map(|n| n.syntax().clone()),
            ast::WithQuery::Merge(q) => q.table_relation_name().map(|n| n.syntax().clone()),
            _ => None,
        };
        let name = target.map(|n| name_of(&n)).unwrap_or_default();
        if is_table(&name) {
            found.push((query.syntax().clone(), name));
        }
    }
    found
}

/// Whether a name is that of one of the tables, in whatever schema.
fn is_table(name: &str) -> bool {
    let last = name.rsplit(['.', ' ']).next().unwrap_or(name);
    TABLES.contains(&last)
}

/// The one that an operation names as what it is about.
pub(super) fn own_of_operation(engine: Engine, text: &str) -> Option<String> {
    let Ok(Value::Object(operation)) = serde_json::from_str::<Value>(text) else { return None };
    let is_own = |name: &str| match engine {
        Engine::Mongodb => COLLECTIONS.contains(&name.rsplit('.').next().unwrap_or(name)),
        // `godwit_history`, or `godwit_NAME_history` where several programs share a cluster.
        Engine::Elasticsearch => {
            name.strip_prefix(PREFIX).is_some_and(|rest| rest.contains("history") || rest.contains("fence"))
        }
        // Of Redis, the driver tells: its keys are found by patterns too.
        Engine::Redis | Engine::Postgresql | Engine::Sqlite => false,
    };
    let fields = operation.iter().filter(|(key, _)| NAMED_BY.contains(&key.as_str())).map(|(_, value)| value);
    // A bare command names what it is about as the value of any of its fields.
    let of_command = operation.get("command").and_then(Value::as_object).into_iter().flat_map(|c| c.values());
    let name = |value: &Value| match value {
        Value::String(name) => Some(name.clone()),
        Value::Object(inner) => inner.get("index").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    fields.chain(of_command).filter_map(name).find(|name| is_own(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_does_to_godwits_own_tables_is_seen() {
        for sql in [
            "DROP TABLE godwit_fence;",
            "drop table if exists t, public.Godwit_History cascade;",
            "DELETE FROM godwit_history;",
            "TRUNCATE t, godwit_history;",
            "UPDATE other.godwit_history SET state = 'applied' WHERE id = '1';",
            "INSERT INTO \"godwit_history\" VALUES (1);",
            "ALTER TABLE ONLY godwit_fence RENAME TO fence;",
            "CREATE TABLE IF NOT EXISTS godwit_history (id int);",
            "CREATE INDEX i ON godwit_history (run);",
            "WITH gone AS (DELETE FROM godwit_history RETURNING id) SELECT count(*) FROM gone;",
            "COPY godwit_history FROM stdin;",
        ] {
            for engine in [Engine::Postgresql, Engine::Sqlite] {
                let text = format!("-- one\nSELECT 1;\n{sql}");
                assert_eq!(changes_own(engine, &text).map(|(line, _)| line), Some(3), "{sql}");
            }
        }
        for sql in [
            "SELECT count(*) FROM godwit_history;",
            "CREATE VIEW applied AS SELECT id FROM godwit_history;",
            "INSERT INTO t SELECT id FROM godwit_history;",
            "UPDATE t SET a = (SELECT count(*) FROM godwit_fence);",
            "CREATE TABLE godwit_historical (id int);",
            "-- DROP TABLE godwit_fence;\nSELECT 'DELETE FROM godwit_history';",
            "COPY godwit_history TO stdout;",
        ] {
            assert_eq!(changes_own(Engine::Postgresql, sql), None, "{sql}");
        }
    }

    #[test]
    fn what_an_operation_does_to_them_is_seen() {
        for (engine, operation) in [
            (Engine::Mongodb, r#"{"type":"drop_collection","collection":"godwit_history"}"#),
            (Engine::Mongodb, r#"{"type":"rename_collection","from":"godwit_lock","to":"a"}"#),
            (Engine::Mongodb, r#"{"type":"run_command","command":{"drop":"godwit_undo"}}"#),
            (Engine::Elasticsearch, r#"{"type":"delete_index","index":"godwit_history"}"#),
            (Engine::Elasticsearch, r#"{"type":"delete_index","index":"godwit_shop_fence"}"#),
            (Engine::Elasticsearch, r#"{"type":"reindex","source":{"index":"a"},"dest":{"index":"godwit_history"}}"#),
        ] {
            assert!(own_of_operation(engine, operation).is_some(), "{operation}");
        }
        for (engine, operation) in [
            (Engine::Mongodb, r#"{"type":"add_field","collection":"a","field":"f","value":"godwit_history"}"#),
            (Engine::Elasticsearch, r#"{"type":"delete_index","index":"godwit_carts"}"#),
        ] {
            assert_eq!(own_of_operation(engine, operation), None, "{operation}");
        }
    }
}
