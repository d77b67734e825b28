//! `DROP … CASCADE`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "drop-cascade",
        category: Category::Destructive,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "CASCADE drops what the statement does not name",
    },
    check: Check::Statement(check),
    help: "name every dependent object in a `DROP` of its own, so that a reviewer sees what goes; `RESTRICT` is the default",
    ok: &[
        "drop table t;",
        "drop view v restrict;",
        "alter table t drop column c;",
        "create table t (a int); drop table t cascade;",
    ],
    bad: &[
        "drop table t cascade;",
        "alter table t drop column c cascade;",
        "drop schema s cascade;",
        "drop type e cascade;",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if !script.words.cascade || !statement_is_drop(&statement.node) {
        return;
    }
    let node = statement_node(statement);
    let cascade =
        node.descendants_with_tokens().filter_map(|e| e.into_token()).find(|t| t.kind() == SyntaxKind::CASCADE_KW);
    if let Some(token) = cascade {
        let range = usize::from(token.text_range().start())..usize::from(token.text_range().end());
        report.add_range(range, "`CASCADE` also drops every object that depends on this one, without naming any");
    }
}

/// Statements in which `CASCADE` drops things (in `REFERENCES … ON DELETE CASCADE` it does not).
fn statement_is_drop(stmt: &ast::Stmt) -> bool {
    match stmt {
        ast::Stmt::AlterTable(alter) => alter
            .actions()
            .any(|a| matches!(a, ast::AlterTableAction::DropColumn(_) | ast::AlterTableAction::DropConstraint(_))),
        ast::Stmt::DropTable(_)
        | ast::Stmt::DropSchema(_)
        | ast::Stmt::DropView(_)
        | ast::Stmt::DropMaterializedView(_)
        | ast::Stmt::DropType(_)
        | ast::Stmt::DropDomain(_)
        | ast::Stmt::DropSequence(_)
        | ast::Stmt::DropFunction(_)
        | ast::Stmt::DropExtension(_)
        | ast::Stmt::DropOwned(_) => true,
        _ => false,
    }
}
