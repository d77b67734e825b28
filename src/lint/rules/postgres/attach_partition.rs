//! `ATTACH PARTITION`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "attach-partition",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "ATTACH PARTITION scans the new partition",
    },
    check: Check::Statement(check),
    help: "give the new partition a valid `CHECK` that implies its bounds first (and the default partition one that excludes them); the scan is then left out",
    ok: &["alter table p detach partition p1 concurrently;", "create table p1 partition of p for values in (1);"],
    bad: &[
        "alter table p attach partition p1 for values in (1);",
        "create table n (id bigint) partition by range (id); alter table n attach partition t for values from (1) to (2);",
    ],
};

fn check(script: &Script<'_>, index: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::AlterTable(alter) = &statement.node else { return };
    for action in alter.actions() {
        let ast::AlterTableAction::AttachPartition(attach) = action else { continue };
        let partition = named(attach.table_name_ref());
        if !script.creates_before(&partition, index) {
            let message =
                format!("every row of `{partition}`, and of the default partition, is checked under an exclusive lock");
            // The table that is altered may be new; the rows are the partition's.
            report.add(attach.syntax(), message).tables = vec![partition];
        }
    }
}
