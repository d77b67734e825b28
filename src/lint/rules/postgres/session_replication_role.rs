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
        "select set_config('session_replication_role', 'origin', false);",
        "select set_config('search_path', 'replica', false);",
    ],
    bad: &[
        "set session_replication_role = replica;",
        "set local session_replication_role to 'replica';",
        "select set_config('session_replication_role', 'replica', false);",
        "select pg_catalog.set_config('session_replication_role', 'replica', true);",
    ],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let message = "foreign keys and triggers are off from here on: rows that break them stay unnoticed";
    match &statement.node {
        ast::Stmt::Set(set) => {
            let text = name_of(set.syntax());
            if text.contains("session_replication_role")
                && text.contains("replica'") | text.trim_end_matches(';').ends_with("replica")
            {
                report.add(set.syntax(), message);
            }
        }
        ast::Stmt::Select(select) => {
            for call in select.syntax().descendants().filter_map(ast::CallExpr::cast) {
                if builtin(&call).is_some_and(|name| name == "set_config") && switches_off(&call) {
                    report.add(call.syntax(), message);
                }
            }
        }
        _ => {}
    }
}

/// Whether the setting that is given is this one, and its value `replica`.
fn switches_off(call: &ast::CallExpr) -> bool {
    let arguments: Vec<String> =
        call.arg_list().map(|l| l.args().map(|a| name_of(a.syntax())).collect()).unwrap_or_default();
    matches!(arguments.as_slice(), [setting, value, ..] if setting == "'session_replication_role'" && value == "'replica'")
}
