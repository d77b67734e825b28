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
        "alter table t drop constraint f, add constraint f foreign key (a) references u (id) on delete cascade;",
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
    // Not the `CASCADE` of a foreign key that the same statement adds.
    let cascade = statement_node(statement).descendants().filter_map(ast::Cascade::cast).find(|c| {
        c.syntax()
            .parent()
            .is_some_and(|p| !matches!(p.kind(), SyntaxKind::ON_DELETE_ACTION | SyntaxKind::ON_UPDATE_ACTION))
    });
    if let Some(token) = cascade.and_then(|c| c.cascade_token()) {
        let range = usize::from(token.text_range().start())..usize::from(token.text_range().end());
        let finding =
            report.add_range(range, "`CASCADE` also drops every object that depends on this one, without naming any");
        finding.fix = crate::lint::rewrite::without_cascade(script, statement)
            .filter(|_| !matches!(statement.node, ast::Stmt::DropOwned(_)));
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
