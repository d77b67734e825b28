//! `SET session_replication_role`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "session-replication-role",
        category: Category::Security,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "session_replication_role switches foreign keys and triggers off",
    },
    check: Check::Statement(check),
    help: "leave it alone; load data in an order that the foreign keys allow, or make them deferrable",
    ok: &[
        "set local lock_timeout = '1s';",
        "reset session_replication_role;",
        "set session_replication_role = origin;",
    ],
    bad: &["set session_replication_role = replica;", "set local session_replication_role to 'replica';"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Set(set) = &statement.node else { return };
    let text = name_of(set.syntax());
    if text.contains("session_replication_role")
        && text.contains("replica'") | text.trim_end_matches(';').ends_with("replica")
    {
        report.add(set.syntax(), "foreign keys and triggers are off from here on: rows that break them stay unnoticed");
    }
}
