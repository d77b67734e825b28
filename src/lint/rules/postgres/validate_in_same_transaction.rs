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
    let mut altered: Vec<String> = Vec::new();
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
                            let added = unproved.contains(&key);
                            if !added && altered.contains(&table) {
                                let message = format!(
                                    "`{table}` was altered above in the same transaction: it stays locked against everyone while \
                                     every row is checked for `{}`",
                                    key.1
                                );
                                report.add(validate.syntax(), message);
                            }
                            if added {
                                report.add(
                                    validate.syntax(),
                                    format!(
                                        "the lock that added `{}` is held while every row of `{table}` is checked",
                                        key.1
                                    ),
                                );
                            }
                        }
                        action if keeps_all_out(&action) => altered.push(table.clone()),
                        _ => {}
                    }
                }
            }
            ast::Stmt::Commit(_) => {
                unproved.clear();
                altered.clear();
            }
            _ => {}
        }
    }
}

/// Whether an action certainly takes an `ACCESS EXCLUSIVE` lock, which is held until the transaction ends.
fn keeps_all_out(action: &ast::AlterTableAction) -> bool {
    match action {
        ast::AlterTableAction::AddColumn(_)
        | ast::AlterTableAction::DropColumn(_)
        | ast::AlterTableAction::DropConstraint(_)
        | ast::AlterTableAction::RenameColumn(_) => true,
        ast::AlterTableAction::AlterColumn(alter) => matches!(
            alter.option(),
            Some(
                ast::AlterColumnOption::SetType(_)
                    | ast::AlterColumnOption::SetNotNull(_)
                    | ast::AlterColumnOption::DropNotNull(_)
                    | ast::AlterColumnOption::SetDefault(_)
                    | ast::AlterColumnOption::DropDefault(_)
            )
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::sample;

    fn told(sql: &str) -> usize {
        let (report, _) = sample(&[
            ("0001_t.up.sql", "create table t (a int, b text); create table u (a int);"),
            ("0002_c.up.sql", "alter table t add constraint c check (a > 0) not valid;"),
            ("0003_v.up.sql", sql),
        ]);
        report.violations.iter().filter(|v| v.rule == "validate-in-same-transaction").count()
    }

    #[test]
    fn a_check_of_all_rows_behind_another_change_of_the_table_is_told() {
        for sql in [
            "alter table t add column z text; alter table t validate constraint c;",
            "alter table t alter column b set default 'x'; alter table t validate constraint c;",
            "alter table t drop column b; update u set a = 1 where a = 2; alter table t validate constraint c;",
        ] {
            assert_eq!(told(sql), 1, "{sql}");
        }
        for sql in [
            "alter table t validate constraint c;",
            "alter table t validate constraint c; alter table t add column z text;",
            "alter table u add column z text; alter table t validate constraint c;",
            "alter table t alter column b set statistics 100; alter table t validate constraint c;",
            "alter table t set (fillfactor = 80); alter table t validate constraint c;",
        ] {
            assert_eq!(told(sql), 0, "{sql}");
        }
    }
}
