//! Columns of type `timetz`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "timetz-column",
        category: Category::Style,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Postgresql,
        title: "timetz knows no day",
    },
    check: Check::Statement(check),
    help: "`timestamptz` for a moment, `time` for a time of day",
    ok: &["create table t (a numeric(12, 2), b time, c timestamptz);", "alter table t add column a numeric;"],
    bad: &[
        "create table t (a timetz);",
        "alter table t add column a timetz;",
        "create table t (a time with time zone);",
        "create table t (a time(3)\n with time zone);",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if !script.words.timetz {
        return;
    }
    for ty in types_made(&statement.node).into_iter().filter(|t| is_timetz(&name_of(t.syntax()))) {
        report.add(
            ty.syntax(),
            "`time with time zone` has no day, so its offset is wrong for half of the year wherever clocks change",
        );
    }
}

/// With or without the number of digits behind `time`.
fn is_timetz(name: &str) -> bool {
    name.starts_with("timetz")
        || (name.starts_with("time") && !name.starts_with("timestamp") && name.ends_with("withtimezone"))
}
