//! `ADD COLUMN … CHECK (…)`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "add-column-with-check",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "New column with an inline CHECK scans the table",
    },
    check: Check::Statement(check),
    help: "add the column first, then the check as `NOT VALID`, and validate it in a later migration",
    ok: &[
        "alter table t add column a int;",
        "create table t (a int check (a > 0));",
        "alter table t add constraint c check (a > 0) not valid;",
    ],
    bad: &[
        "alter table t add column a int check (a > 0);",
        "alter table t add column a int default 1 constraint c check (a > 0);",
    ],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::AlterTable(alter) = &statement.node else { return };
    for action in alter.actions() {
        let ast::AlterTableAction::AddColumn(add) = action else { continue };
        for constraint in add.constraints() {
            if let ast::Constraint::CheckConstraint(check) = constraint {
                report.add(
                    check.syntax(),
                    format!(
                        "the check is run on every row of `{}` under an exclusive lock",
                        named(alter.table_relation_name())
                    ),
                );
            }
        }
    }
}
