//! `REFRESH MATERIALIZED VIEW`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "refresh-materialized-view",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "REFRESH MATERIALIZED VIEW without CONCURRENTLY blocks readers",
    },
    check: Check::Statement(check),
    help: "`REFRESH MATERIALIZED VIEW CONCURRENTLY`, which needs a unique index on the view; or refresh outside the migration",
    ok: &[
        "refresh materialized view concurrently v;",
        "create materialized view v as select 1; refresh materialized view v;",
    ],
    bad: &["refresh materialized view v;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Refresh(refresh) = &statement.node else { return };
    let empties = refresh.data_option().is_some_and(|d| name_of(d.syntax()).contains("no"));
    if refresh.concurrently_token().is_none() && !empties {
        report
            .add(refresh.syntax(), format!("nobody can read `{}` while it is filled anew", named(refresh.view_ref())));
    }
}
