//! `LOCK TABLE`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "lock-table",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "LOCK TABLE holds a lock for the whole transaction",
    },
    check: Check::Statement(check),
    help: "take the weakest mode that does, last, and only around short statements; most changes take the lock they need by themselves",
    ok: &["select 1 from t for update;", "create table t (a int); lock table t;"],
    bad: &["lock table t in access exclusive mode;", "lock t;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Lock(lock) = &statement.node else { return };
    let tables = tables_of(&statement.node).join("`, `");
    report.add(
        lock.syntax(),
        format!("`{tables}` stays locked until the migration commits, and everything behind it waits"),
    );
}
