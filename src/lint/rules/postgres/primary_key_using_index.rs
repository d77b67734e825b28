//! A primary key made of an index that is there.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "primary-key-using-index",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "PRIMARY KEY USING INDEX sets its columns NOT NULL",
    },
    check: Check::Statement(check),
    help: "prove `CHECK (column IS NOT NULL)` first (`NOT VALID`, then `VALIDATE`) and set the columns NOT NULL, each in a migration of its own",
    ok: &["alter table t add constraint t_u unique using index t_a;"],
    bad: &[
        "alter table t add constraint t_pkey primary key using index t_a;",
        "alter table t add primary key using index t_a;",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if !script.words.primary {
        return;
    }
    let ast::Stmt::AlterTable(alter) = &statement.node else { return };
    for action in alter.actions() {
        let ast::AlterTableAction::AddConstraint(add) = action else { continue };
        if let Some(ast::Constraint::PrimaryKeyConstraint(key)) = add.constraint()
            && key.using_index().is_some()
        {
            let table = named(alter.table_relation_name());
            report.add(
                add.syntax(),
                format!("a column of the key that may be NULL is set NOT NULL: all of `{table}` is scanned under an ACCESS EXCLUSIVE lock"),
            );
        }
    }
}
