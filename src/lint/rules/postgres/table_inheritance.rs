//! `INHERITS`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "table-inheritance",
        category: Category::Style,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Postgresql,
        title: "Table inheritance keeps no keys",
    },
    check: Check::Statement(check),
    help: "declarative partitions (`PARTITION BY`), or a foreign key between the two tables",
    ok: &[
        "create table p (a int primary key) partition by range (a);",
        "create table p1 partition of p for values from (0) to (9);",
        "create table t (like u);",
    ],
    bad: &["create table t (a int) inherits (u);", "alter table t inherit u;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    const OUTCOME: &str =
        "keys, unique and foreign, hold for the rows of one table only: the parent's hold nothing here";
    match &statement.node {
        ast::Stmt::CreateTable(create) => {
            if let Some(inherits) = create.inherits() {
                report.add(inherits.syntax(), OUTCOME);
            }
        }
        ast::Stmt::AlterTable(alter) => {
            for action in alter.actions() {
                if let ast::AlterTableAction::InheritTable(inherit) = action {
                    report.add(inherit.syntax(), OUTCOME);
                }
            }
        }
        _ => {}
    }
}
