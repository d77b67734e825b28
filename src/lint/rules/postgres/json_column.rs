//! Columns of type `json`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "json-column",
        category: Category::Style,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Postgresql,
        title: "json has no equality",
    },
    check: Check::Statement(check),
    help: "use `jsonb`",
    ok: &["create table t (a jsonb);", "alter table t add column a jsonb;"],
    bad: &["create table t (a json);", "alter table t add column a json;"],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if !script.words.json {
        return;
    }
    let mut look = |ty: Option<ast::Type>| {
        if let Some(ty) = ty.filter(|t| name_of(t.syntax()) == "json") {
            report.add(ty.syntax(), "`json` has no equality: `DISTINCT`, `GROUP BY` and `UNION` on it fail");
        }
    };
    match &statement.node {
        ast::Stmt::CreateTable(create) => {
            for arg in create.table_arg_list().into_iter().flat_map(|l| l.args()) {
                if let ast::TableArg::Column(column) = arg {
                    look(column.ty());
                }
            }
        }
        ast::Stmt::AlterTable(alter) => {
            for action in alter.actions() {
                if let ast::AlterTableAction::AddColumn(add) = action {
                    look(add.ty());
                }
            }
        }
        _ => {}
    }
}
