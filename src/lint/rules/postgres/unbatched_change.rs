//! A change of many rows at once.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "unbatched-change",
        category: Category::Lock,
        severity: Some(Severity::Info),
        risk: Risk::Medium,
        applies: Applies::Sql,
        title: "Bulk UPDATE or DELETE in one statement",
    },
    check: Check::Statement(check),
    help: "have it run in batches: `-- godwit: backfill=TABLE key=COLUMN` in a migration of its own, and `/* godwit:batch */ true` in its WHERE",
    ok: &[
        "update t set a = 0 where id = 7;",
        "delete from t where id in (1, 2);",
        "create table t (a int); update t set a = 0 where b is null;",
        "update t set a = 0 where a is null and /* godwit:batch */ true;",
    ],
    bad: &["update t set a = 0 where a is null;", "delete from t where created_at < now();"],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let (condition, table) = match &statement.node {
        ast::Stmt::Update(update) => (update.where_clause_or_current_of(), named(update.relation_name())),
        ast::Stmt::Delete(delete) => (delete.where_clause_or_current_of(), named(delete.relation_name())),
        _ => return,
    };
    let Some(ast::WhereClauseOrCurrentOf::WhereClause(clause)) = condition else { return };
    if clause.expr().is_some_and(|e| !picks_rows(&e)) && !in_batches(script, statement) {
        report.add(
            &statement_node(statement),
            format!(
                "one statement changes an unknown number of rows of `{table}` and keeps them locked until it commits"
            ),
        );
    }
}

/// Whether a condition compares a column with a constant: a handful of rows.
fn picks_rows(expr: &ast::Expr) -> bool {
    let text = expr.syntax().text().to_string();
    let has = |word: &str| text.to_ascii_lowercase().split(|c: char| !c.is_ascii_alphanumeric()).any(|w| w == word);
    match expr {
        ast::Expr::BinExpr(_) => {
            (text.contains('=') || has("in"))
                && !text.contains(['<', '>', '!'])
                && !["select", "not", "or", "is", "like"].iter().any(|w| has(w))
                && text.contains(|c: char| c.is_ascii_digit() || c == '\'')
        }
        _ => false,
    }
}
