//! `TRUNCATE`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "truncate-table",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "TRUNCATE empties a table",
    },
    check: Check::Statement(check),
    help: "delete the rows that are not needed, or move the table aside with a rename in an earlier migration and drop it later",
    ok: &["create table t (a int); truncate t;", "delete from t where a = 1;"],
    bad: &["truncate t;", "truncate table only t, u restart identity;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Truncate(truncate) = &statement.node else { return };
    let tables = tables_of(&statement.node).join("`, `");
    report.add(truncate.syntax(), format!("`TRUNCATE` removes every row of `{tables}` under an exclusive lock"));
}
