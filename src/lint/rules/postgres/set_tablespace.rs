//! `SET TABLESPACE`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "set-tablespace",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "SET TABLESPACE copies the table",
    },
    check: Check::Statement(check),
    help: "move it outside a migration with a tool that copies beside the running application; new objects can be created there at once",
    ok: &["create table t (a int) tablespace fast;", "create table t (a int); alter table t set tablespace fast;"],
    bad: &[
        "alter table t set tablespace fast;",
        "alter index i set tablespace fast;",
        "alter table all in tablespace a set tablespace b;",
        "alter materialized view v set tablespace fast;",
        "alter materialized view all in tablespace a set tablespace b;",
    ],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    const MESSAGE: &str = "every block is copied while nobody can read or write it";
    let several = match &statement.node {
        ast::Stmt::AlterTable(alter) => alter.all_in_tablespace().is_some(),
        ast::Stmt::AlterMaterializedView(alter) => alter.all_in_tablespace().is_some(),
        ast::Stmt::AlterIndex(alter) => {
            alter.all_in_tablespace().is_some()
                || matches!(alter.action(), Some(ast::AlterIndexAction::SetTablespace(_)))
        }
        _ => false,
    };
    if several {
        report.add(&statement_node(statement), MESSAGE);
    }
    let mut actions = table_actions(&statement.node).into_iter();
    if let Some((table, _)) = actions.find(|(_, a)| matches!(a, ast::AlterTableAction::SetTablespace(_))) {
        report.add(&statement_node(statement), MESSAGE).tables = vec![table];
    }
}
