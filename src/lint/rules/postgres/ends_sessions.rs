//! `pg_terminate_backend` and `pg_cancel_backend`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "ends-sessions",
        category: Category::Security,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "Other sessions or their statements are ended",
    },
    check: Check::Statement(check),
    help: "set `lock_timeout` and run the migration again, or let a person who sees the sessions end them",
    ok: &[
        "select pid from pg_stat_activity where state = 'active';",
        "select 'pg_terminate_backend(1)';",
        "select pg_backend_pid();",
        "create function f() returns boolean language sql as $$ select pg_terminate_backend(1) $$;",
    ],
    bad: &[
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid();",
        "select pg_catalog.pg_cancel_backend(pid) from pg_stat_activity;",
    ],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    // A definition ends nothing yet; what its body does is told where it runs.
    if matches!(statement.node, ast::Stmt::CreateFunction(_) | ast::Stmt::CreateProcedure(_) | ast::Stmt::Do(_)) {
        return;
    }
    for call in statement.node.syntax().descendants().filter_map(ast::CallExpr::cast) {
        let what = match builtin(&call).as_deref() {
            Some("pg_terminate_backend") => "sessions of others are ended in the middle of their work",
            Some("pg_cancel_backend") => "statements of others are broken off",
            _ => continue,
        };
        report.add(
            call.syntax(),
            format!(
                "{what}, programs and the runs of other migrations among them, and a rollback does not bring them back"
            ),
        );
    }
}
