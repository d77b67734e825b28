//! `ALTER TABLE … SET UNLOGGED` and `SET LOGGED`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "set-unlogged",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "SET LOGGED or UNLOGGED rewrites the table",
    },
    check: Check::Statement(check),
    help: "choose when the table is created; an unlogged table is empty after a crash and never reaches a replica",
    ok: &["create unlogged table t (a int);", "create table t (a int); alter table t set unlogged;"],
    bad: &["alter table t set unlogged;", "alter table t set logged;"],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if !script.words.logged {
        return;
    }
    let ast::Stmt::AlterTable(alter) = &statement.node else { return };
    let table = named(alter.table_relation_name());
    for action in alter.actions() {
        match action {
            ast::AlterTableAction::SetUnlogged(set) => {
                report.add(
                    set.syntax(),
                    format!("`{table}` is rewritten under an exclusive lock, and from then on a crash empties it"),
                );
            }
            ast::AlterTableAction::SetLogged(set) => {
                report.add(
                    set.syntax(),
                    format!("`{table}` is rewritten under an exclusive lock and written to the log as a whole"),
                );
            }
            _ => {}
        }
    }
}
