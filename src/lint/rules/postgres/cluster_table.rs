//! `CLUSTER`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "cluster-table",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "CLUSTER rewrites the table",
    },
    check: Check::Statement(check),
    help: "leave the order to an index, or use a tool that copies the table beside the running application",
    ok: &[
        "create index concurrently i on t (a);",
        "create table t (a int); create index i on t (a); cluster t using i;",
    ],
    bad: &["cluster t using i;", "cluster;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Cluster(cluster) = &statement.node else { return };
    report.add(cluster.syntax(), "`CLUSTER` copies the table while nobody can read or write it");
}
