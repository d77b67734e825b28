//! `NOT VALID` and `VALIDATE CONSTRAINT` of one constraint in one transaction.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "validate-in-same-transaction",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "NOT VALID and VALIDATE in one transaction",
    },
    check: Check::Script(check),
    help: "validate the constraint in a migration of its own: that takes only a SHARE UPDATE EXCLUSIVE lock",
    ok: &[
        "alter table t add constraint c check (a > 0) not valid;",
        "alter table t validate constraint c;",
        "alter table t add constraint c check (a > 0) not valid; alter table t validate constraint other;",
        "create table t (a int); alter table t add constraint c check (a > 0) not valid; alter table t validate constraint c;",
    ],
    bad: &[
        "alter table t add constraint c check (a > 0) not valid; alter table t validate constraint c;",
        "alter table t add constraint f foreign key (a) references u (id) not valid, validate constraint f;",
    ],
};

fn check(script: &Script<'_>, report: &mut Report<'_>) {
    if !script.words.validate || !script.in_transaction {
        return;
    }
    let mut unproved: Vec<(String, String)> = Vec::new();
    for statement in &script.statements {
        match &statement.node {
            ast::Stmt::AlterTable(alter) => {
                let table = named(alter.table_relation_name());
                for action in alter.actions() {
                    match action {
                        ast::AlterTableAction::AddConstraint(add) => {
                            let constraint = add.constraint().filter(ast::Constraint::is_not_valid);
                            if let Some(name) = constraint.and_then(|c| c.constraint_name()) {
                                unproved.push((table.clone(), name_of(name.syntax())));
                            }
                        }
                        ast::AlterTableAction::ValidateConstraint(validate) => {
                            let key = (table.clone(), named(validate.constraint_name_ref()));
                            if unproved.contains(&key) {
                                report.add(
                                    validate.syntax(),
                                    format!(
                                        "the lock that added `{}` is held while every row of `{table}` is checked",
                                        key.1
                                    ),
                                );
                            }
                        }
                        _ => {}
                    }
                }
            }
            ast::Stmt::Commit(_) => unproved.clear(),
            _ => {}
        }
    }
}
