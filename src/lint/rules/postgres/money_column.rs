//! Columns of type `money`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "money-column",
        category: Category::Style,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Postgresql,
        title: "money is rounded by the locale",
    },
    check: Check::Statement(check),
    help: "`numeric`, with the currency in a column of its own",
    ok: &["create table t (a numeric(12, 2), b time, c timestamptz);", "alter table t add column a numeric;"],
    bad: &["create table t (a money);", "alter table t add column a money;"],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if !script.words.money {
        return;
    }
    for ty in types_made(&statement.node).into_iter().filter(|t| name_of(t.syntax()) == "money") {
        report.add(
            ty.syntax(),
            "`money` takes its currency and its decimals from `lc_monetary`: the same bytes read as another sum on another server",
        );
    }
}
