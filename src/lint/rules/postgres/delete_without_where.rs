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
    ok: &[
        "delete from t where a = 0;",
        "explain delete from t;",
        "explain (analyze off, costs) delete from t;",
        "create table t (a int); delete from t;",
        "create table t (a int); with gone as (delete from t returning *) select * from gone;",
        "with gone as (delete from t where a = 0 returning *) insert into u select * from gone;",
    ],
    bad: &[
        "delete from t;",
        "delete from t using u;",
        "explain analyze delete from t;",
        "explain (costs, analyze) delete from t;",
        "with gone as (delete from t returning *) insert into u select * from gone;",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    for change in changes_of(script, statement) {
        if matches!(change, Change::Delete(_)) && change.condition().is_none() {
            let table = change.table();
            let message = format!("`DELETE FROM {table}` without `WHERE` removes every row");
            report.add(change.syntax(), message).tables = vec![table];
        }
    }
}
