//! `CREATE TRIGGER`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "create-trigger",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "New trigger on an existing table",
    },
    check: Check::Statement(check),
    help: "set `lock_timeout`, keep the function short, and watch the time of writes after it",
    ok: &["create table t (a int); create trigger g after insert on t for each row execute function f();"],
    bad: &["create trigger g after insert on t for each row execute function f();"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::CreateTrigger(create) = &statement.node else { return };
    let tables = tables_of(&statement.node).join("`, `");
    report.add(create.syntax(), format!("writes to `{tables}` wait while it is added, and run its code from then on"));
}
