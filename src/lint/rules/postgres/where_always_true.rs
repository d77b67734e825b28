//! A condition that lets every row through.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "where-always-true",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Sql,
        title: "UPDATE or DELETE whose WHERE holds for every row",
    },
    check: Check::Statement(check),
    help: "change the rows in batches that commit one by one, and keep a copy of what is overwritten",
    ok: &[
        "update t set a = 0 where a = 1;",
        "delete from t where a = b;",
        "update t set a = 0 where /* godwit:batch */ true;",
    ],
    bad: &[
        "update t set a = 0 where true;",
        "delete from t where 1 = 1;",
        "delete from t where (true);",
        "with gone as (delete from t where true returning a) select count(*) from gone;",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    for change in changes_of(script, statement) {
        let verb = match change {
            Change::Update(_) => "changes",
            Change::Delete(_) => "removes",
        };
        let Some(ast::WhereClauseOrCurrentOf::WhereClause(clause)) = change.condition() else { continue };
        let text: String = clause.expr().map(|e| name_of(e.syntax())).unwrap_or_default();
        let always = text == "true" || text.split_once('=').is_some_and(|(a, b)| a == b && a.parse::<i64>().is_ok());
        if always && !in_batches(script, statement) {
            let message = format!("the condition is true for every row, so the statement {verb} the whole table");
            report.add(clause.syntax(), message).tables = vec![change.table()];
        }
    }
}
