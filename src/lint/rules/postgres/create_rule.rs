//! `CREATE RULE`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "create-rule",
        category: Category::Style,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Postgresql,
        title: "A rule rewrites queries",
    },
    check: Check::Statement(check),
    help: "a trigger, which runs for rows that are there; or a view with `INSTEAD OF` triggers",
    ok: &["create view v as select 1 as a;", "create trigger g before insert on t for each row execute function f();"],
    bad: &["create rule r as on insert to t do instead nothing;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if let ast::Stmt::CreateRule(create) = &statement.node {
        report.add(
            create.syntax(),
            "a rule changes the text of queries, not rows: functions in it run twice, and `COPY` and counts pass it by",
        );
    }
}
