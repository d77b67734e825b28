//! What a script in SQL takes away from tables that were there before it: the tables themselves, columns, rows. From the
//! syntax tree, with every name as it is written, so that a server can be asked what is in there.

use std::ops::Range;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

use super::check::cannot_parse;
use super::depth;
use super::script::{Direction, Script, name_of, range_of, statements_of};
use super::squawk::without_marks;
use crate::ids::Engine;

/// What is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// A table with its rows.
    Table(String),
    /// A column with its values.
    Column {
        /// Its table.
        table: String,
        /// Its name.
        column: String,
    },
    /// Rows of a table.
    Rows {
        /// The table.
        table: String,
        /// What a query selects them from, with the condition: `t AS a, u WHERE a.id = u.id`; empty where all of them go.
        from: String,
    },
    /// A schema with its tables.
    Schema(String),
}

/// Everything that a script takes away, each with its bytes, in order. `None` where the text is not looked into, or where
/// nothing certain can be said because parts of it are not understood.
pub fn taken_by(engine: Engine, text: &str) -> Option<Vec<(Range<usize>, Taken)>> {
    if cannot_parse(text).is_some() {
        return None;
    }
    depth::with_stack(|| of_script(engine, text))
}

fn of_script(engine: Engine, text: &str) -> Option<Vec<(Range<usize>, Taken)>> {
    let inert = without_marks(text);
    let parse = SourceFile::parse(&inert);
    let script = Script::new(&inert, statements_of(&parse), engine, Direction::Down, true);
    let mut found = Vec::new();
    for (index, statement) in script.statements.iter().enumerate() {
        // What the script makes itself held nothing before.
        let held = |node: &SyntaxNode| !script.creates_before(&name_of(node), index);
        let taken = of_statement(&statement.node, &held);
        found.extend(taken.into_iter().map(|taken| (statement.range.clone(), taken)));
    }
    (parse.errors().is_empty() || !found.is_empty()).then_some(found)
}

fn of_statement(statement: &ast::Stmt, held: &dyn Fn(&SyntaxNode) -> bool) -> Vec<Taken> {
    let kept = |node: &SyntaxNode| held(node).then(|| written(node));
    match statement {
        ast::Stmt::DropTable(drop) => {
            drop.table_name_refs().filter_map(|table| kept(table.syntax())).map(Taken::Table).collect()
        }
        ast::Stmt::DropSchema(drop) => {
            drop.schema_refs().map(|schema| Taken::Schema(written(schema.syntax()))).collect()
        }
        ast::Stmt::Truncate(truncate) => truncate
            .table_list()
            .into_iter()
            .flat_map(|list| list.table_relation_names())
            .filter_map(|table| kept(table.syntax()))
            .map(|table| Taken::Rows { table, from: String::new() })
            .collect(),
        ast::Stmt::AlterTable(alter) => {
            let Some(table) = alter.table_relation_name().and_then(|table| kept(table.syntax())) else {
                return Vec::new();
            };
            let dropped = alter.actions().filter_map(|action| match action {
                ast::AlterTableAction::DropColumn(drop) => drop.column_name_ref().map(|c| written(c.syntax())),
                _ => None,
            });
            dropped.map(|column| Taken::Column { table: table.clone(), column }).collect()
        }
        // What their `WITH` carries out is carried out with them.
        ast::Stmt::Delete(_)
        | ast::Stmt::Insert(_)
        | ast::Stmt::Update(_)
        | ast::Stmt::Merge(_)
        | ast::Stmt::Select(_) => statement.syntax().descendants().filter_map(|node| deleted(&node, held)).collect(),
        _ => Vec::new(),
    }
}

/// The rows that a node deletes.
fn deleted(node: &SyntaxNode, held: &dyn Fn(&SyntaxNode) -> bool) -> Option<Taken> {
    match node.kind() {
        SyntaxKind::DELETE => {
            let delete = ast::Delete::cast(node.clone())?;
            let relation = delete.relation_name()?;
            let table = held(relation.syntax()).then(|| written(relation.syntax()))?;
            let Some(ast::WhereClauseOrCurrentOf::WhereClause(condition)) = delete.where_clause_or_current_of() else {
                return Some(Taken::Rows { table, from: String::new() });
            };
            let text = |node: &SyntaxNode| node.text().to_string();
            let alias = delete.alias().map(|alias| format!(" {}", text(alias.syntax()))).unwrap_or_default();
            let others = delete.using_clause().into_iter().flat_map(|using| using.items().collect::<Vec<_>>());
            let others: String = others.map(|item| format!(", {}", text(item.syntax()))).collect();
            let from = format!("{table}{alias}{others} {}", text(condition.syntax()));
            Some(Taken::Rows { table, from })
        }
        SyntaxKind::MERGE => {
            let merge = ast::Merge::cast(node.clone())?;
            let deletes = node.descendants().any(|part| part.kind() == SyntaxKind::MERGE_DELETE);
            let table = merge.table_relation_name().filter(|table| deletes && held(table.syntax()))?;
            Some(Taken::Rows { table: written(table.syntax()), from: String::new() })
        }
        _ => None,
    }
}

/// A name as it is written, without `ONLY`, stars, comments and space.
fn written(node: &SyntaxNode) -> String {
    let mut name = String::new();
    let start = range_of(node).start;
    for token in node.descendants_with_tokens().filter_map(|element| element.into_token()) {
        let is_aside = matches!(
            token.kind(),
            SyntaxKind::WHITESPACE
                | SyntaxKind::COMMENT
                | SyntaxKind::ONLY_KW
                | SyntaxKind::STAR
                | SyntaxKind::L_PAREN
                | SyntaxKind::R_PAREN
        );
        if !is_aside && usize::from(token.text_range().start()) >= start {
            name.push_str(token.text());
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sql: &str) -> Option<Vec<String>> {
        let shown = |taken: Taken| match taken {
            Taken::Table(table) => format!("table {table}"),
            Taken::Column { table, column } => format!("column {table} {column}"),
            Taken::Rows { table, from } if from.is_empty() => format!("all {table}"),
            Taken::Rows { from, .. } => format!("rows {from}"),
            Taken::Schema(schema) => format!("schema {schema}"),
        };
        Some(taken_by(Engine::Postgresql, sql)?.into_iter().map(|(_, taken)| shown(taken)).collect())
    }

    #[test]
    fn s4_68_what_a_script_takes_away_is_read_from_its_tree() {
        for (sql, expected) in [
            ("DROP TABLE a;", "table a"),
            ("drop table if exists shop.a, \"B\" cascade;", "table shop.a; table \"B\""),
            ("ALTER TABLE ONLY a DROP COLUMN b, DROP COLUMN IF EXISTS \"C\";", "column a b; column a \"C\""),
            ("ALTER TABLE a DROP b;", "column a b"),
            ("TRUNCATE ONLY a, shop.b *;", "all a; all shop.b"),
            ("DELETE FROM a;", "all a"),
            ("DELETE FROM a WHERE id = 7 RETURNING id;", "rows a WHERE id = 7"),
            ("DELETE FROM a AS x USING b, c y WHERE x.id = b.id;", "rows a AS x, b, c y WHERE x.id = b.id"),
            (
                "WITH gone AS (DELETE FROM a WHERE old RETURNING *) INSERT INTO b SELECT * FROM gone;",
                "rows a WHERE old",
            ),
            ("DROP SCHEMA IF EXISTS shop CASCADE;", "schema shop"),
            ("MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN DELETE;", "all a"),
            ("CREATE TABLE a (id int); DROP TABLE a;", ""),
            ("ALTER TABLE a DROP CONSTRAINT c; DROP INDEX i; DROP VIEW v;", ""),
            ("UPDATE a SET b = 1; INSERT INTO a VALUES ('DROP TABLE a');", ""),
            ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'DELETE FROM a; SELECT 1';", ""),
        ] {
            assert_eq!(shown(sql).expect("it parses").join("; "), expected, "{sql}");
        }
        assert_eq!(shown("this is no SQL"), None);
    }
}
