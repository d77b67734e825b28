//! `DELETE` that empties a table.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "delete-without-where",
        category: Category::Destructive,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Sql,
        title: "DELETE without WHERE removes every row",
    },
    check: Check::Statement(check),
    help: "say which rows with `WHERE`, in batches on a large table; if every row is meant, say so with `WHERE true`",
    ok: &["delete from t where a = 0;", "create table t (a int); delete from t;"],
    bad: &["delete from t;", "delete from t using u;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Delete(delete) = &statement.node else { return };
    if delete.where_clause_or_current_of().is_some() {
        return;
    }
    let table = named(delete.relation_name());
    report.add(delete.syntax(), format!("`DELETE FROM {table}` without `WHERE` removes every row"));
}
