//! `SET ACCESS METHOD`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "set-access-method",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "SET ACCESS METHOD rewrites the table",
    },
    check: Check::Statement(check),
    help: "create a table with the new method, fill it in batches, then let it take the name of the old one",
    ok: &[
        "create table t (a int) using columnar;",
        "create table t (a int); alter table t set access method columnar;",
        "create materialized view v as select 1 as a; alter materialized view v set access method columnar;",
        "set default_table_access_method = columnar;",
    ],
    bad: &[
        "alter table t set access method columnar;",
        "alter table t set access method default;",
        "alter materialized view v set access method columnar;",
    ],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    for (table, action) in table_actions(&statement.node) {
        if let ast::AlterTableAction::SetAccessMethod(set) = action {
            let message = format!("`{table}` is rewritten under an exclusive lock, with all its indexes");
            report.add(set.syntax(), message).tables = vec![table];
        }
    }
}
