//! `DROP OWNED`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "drop-owned",
        category: Category::Destructive,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "DROP OWNED drops what the statement does not name",
    },
    check: Check::Statement(check),
    help: "drop each object by name",
    ok: &["drop table t;", "drop role r;"],
    bad: &["drop owned by app;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::DropOwned(drop) = &statement.node else { return };
    report.add(drop.syntax(), "`DROP OWNED` drops everything the role owns in this database, without naming any of it");
}
