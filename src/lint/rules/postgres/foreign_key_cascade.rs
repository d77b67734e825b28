//! `ON DELETE CASCADE` on an existing table.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "foreign-key-cascade",
        category: Category::Compatibility,
        severity: Some(Severity::Info),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "Deletes pass through a new foreign key",
    },
    check: Check::Statement(check),
    help: "delete dependent rows in the application, or make sure the referencing column has an index and that losing the rows is meant",
    ok: &[
        "create table c (id bigint references t (id) on delete cascade);",
        "alter table c add constraint f foreign key (a) references t (id) not valid;",
    ],
    bad: &["alter table c add constraint f foreign key (a) references t (id) on delete cascade not valid;"],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if !script.words.cascade {
        return;
    }
    let ast::Stmt::AlterTable(alter) = &statement.node else { return };
    for action in alter.actions() {
        let node = match &action {
            ast::AlterTableAction::AddConstraint(add) => add.syntax().clone(),
            ast::AlterTableAction::AddColumn(add) => add.syntax().clone(),
            _ => continue,
        };
        if name_of(&node).contains("ondeletecascade") {
            report.add(
                &node,
                format!(
                    "one delete in the referenced table removes rows of `{}`, however many there are",
                    named(alter.table_relation_name())
                ),
            );
        }
    }
}
