//! `ALTER SYSTEM`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "alter-system",
        category: Category::Security,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "ALTER SYSTEM changes the whole server",
    },
    check: Check::Statement(check),
    help: "set it where the server is configured; for one database or role there is `ALTER DATABASE … SET` and `ALTER ROLE … SET`",
    ok: &["set local work_mem = '64MB';", "alter role app set work_mem = '64MB';"],
    bad: &["alter system set work_mem = '64MB';", "alter system reset all;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::AlterSystem(alter) = &statement.node else { return };
    report.add(
        alter.syntax(),
        "the setting holds for every database of the server and outlives a rollback of this migration",
    );
}
