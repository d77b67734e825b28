//! An index that is there before the rows come.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "index-before-load",
        category: Category::Style,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Postgresql,
        title: "Index is kept row by row through a bulk load",
    },
    check: Check::Script(check),
    help: "create the index behind the load: it is then built once, from sorted rows",
    ok: &[
        "create table u (a int); insert into u select a from t; create index i on u (a);",
        "create table u (a int); create index i on u (a); insert into u (a) values (1), (2);",
        "create index concurrently i on t (a);",
    ],
    bad: &[
        "create table u (a int); create index i on u (a); insert into u select a from t;",
        "create table u (a int); create index i on u (a); copy u from '/data/u.csv';",
    ],
};

/// Rows written out by hand are no load below this many bytes of SQL.
const MANY: usize = 100_000;

fn check(script: &Script<'_>, report: &mut Report<'_>) {
    let mut indexes: Vec<(String, SyntaxNode, String)> = Vec::new();
    for (index, statement) in script.statements.iter().enumerate() {
        let loaded = match &statement.node {
            // A unique one may be what the load relies on, and one on a table that is in use is told of its lock.
            ast::Stmt::CreateIndex(create) => {
                let table = named(create.table_relation_name());
                if create.unique_token().is_some() || !script.creates_before(&table, index) {
                    continue;
                }
                indexes.push((table, create.syntax().clone(), named(create.index())));
                continue;
            }
            ast::Stmt::Insert(insert) => {
                let many = match insert.insert_source() {
                    Some(ast::InsertSource::SelectVariant(ast::SelectVariant::Values(_))) => {
                        statement.range.len() > MANY
                    }
                    Some(ast::InsertSource::SelectVariant(ast::SelectVariant::Select(select))) => {
                        select.from_clause().is_some()
                    }
                    Some(ast::InsertSource::SelectVariant(_)) => true,
                    Some(ast::InsertSource::DefaultValues(_)) | None => false,
                };
                if !many {
                    continue;
                }
                named(insert.relation_name_ref())
            }
            ast::Stmt::Copy(copy) if matches!(copy.copy_direction(), Some(ast::CopyDirection::CopyFrom(_))) => {
                named(copy.copy_table().and_then(|t| t.table_name_ref()))
            }
            _ => continue,
        };
        // What was made in front of the load is told once, at the index.
        indexes.retain(|(table, node, index)| {
            if *table == loaded {
                let name = if index.is_empty() { "the index".to_owned() } else { format!("`{index}`") };
                report.add(node, format!("{name} is kept row by row while `{table}` is filled below"));
            }
            *table != loaded
        });
    }
}
