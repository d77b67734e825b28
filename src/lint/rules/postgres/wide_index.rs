//! An index over many columns that is not there to be unique.

use super::prelude::*;

/// More columns than this rarely serve one query.
const WIDE: usize = 3;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "wide-index",
        category: Category::Style,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Postgresql,
        title: "Index over more than three columns",
    },
    check: Check::Statement(check),
    help: "keep the columns that narrow the search down; what a query only reads goes into `INCLUDE`",
    ok: &[
        "create index concurrently i on t (a, b, c);",
        "create unique index concurrently i on t (a, b, c, d);",
        "create index concurrently i on t (a) include (b, c, d);",
        "create index concurrently i on t using gin (a, b, c, d);",
    ],
    bad: &["create index concurrently i on t (a, b, c, d);"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::CreateIndex(create) = &statement.node else { return };
    let keys = create.partition_item_list().map_or(0, |l| l.partition_items().count());
    let ordered = create.using_method().is_none_or(|u| name_of(u.syntax()) == "usingbtree");
    if keys > WIDE && create.unique_token().is_none() && ordered {
        report.add(
            create.syntax(),
            format!(
                "an index over {keys} columns of `{}` costs every write, and serves only queries that name the first ones",
                named(create.table_relation_name())
            ),
        );
    }
}
