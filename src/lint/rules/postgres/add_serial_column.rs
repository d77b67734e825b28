//! `ADD COLUMN … serial`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "add-serial-column",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "Adding a serial column rewrites the table",
    },
    check: Check::Statement(check),
    help: "add a plain `bigint` column, attach a sequence as its default, fill the old rows in batches, then make it an identity",
    ok: &[
        "create table t (id bigserial);",
        "create table t (a int); alter table t add column id serial;",
        "alter table t add column a bigint;",
    ],
    bad: &["alter table t add column id bigserial;", "alter table t add id serial4;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::AlterTable(alter) = &statement.node else { return };
    for action in alter.actions() {
        let ast::AlterTableAction::AddColumn(add) = action else { continue };
        let Some(ty) = add.ty() else { continue };
        let name = name_of(ty.syntax());
        if matches!(name.as_str(), "serial" | "bigserial" | "smallserial" | "serial2" | "serial4" | "serial8") {
            report.add(
                add.syntax(),
                format!(
                    "a `{name}` column gives every row a number: `{}` is rewritten under an exclusive lock",
                    named(alter.table_relation_name())
                ),
            );
        }
    }
}
