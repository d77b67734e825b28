//! `CREATE UNIQUE INDEX CONCURRENTLY`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "unique-index-concurrently",
        category: Category::Fails,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "Unique index built concurrently fails on duplicates",
    },
    check: Check::Statement(check),
    help: "look for duplicates first (`GROUP BY … HAVING count(*) > 1`) and mend them in an earlier migration; after a failure drop the invalid index",
    ok: &[
        "create index concurrently i on t (a);",
        "create table t (a int); create unique index concurrently i on t (a);",
    ],
    bad: &["create unique index concurrently i on t (a);"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::CreateIndex(create) = &statement.node else { return };
    if create.unique_token().is_some() && create.concurrently_token().is_some() {
        report.add(
            create.syntax(),
            format!(
                "one duplicate in `{}` fails the build at its end and leaves an invalid index that slows every write",
                named(create.table_relation_name())
            ),
        );
    }
}
