//! `OWNER TO` of what was there before.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "change-owner",
        category: Category::Security,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "An object changes hands",
    },
    check: Check::Statement(check),
    help: "grant the rights that are needed instead; where the owner has to change, do it while no release relies on the old one",
    ok: &[
        "grant select on t to app;",
        "create table t (a int); alter table t owner to app;",
        "create function f() returns int language sql as 'select 1'; alter function f() owner to app;",
    ],
    bad: &[
        "alter table t owner to app;",
        "alter schema s owner to app;",
        "alter view v owner to app;",
        "reassign owned by app to other;",
    ],
};

fn check(script: &Script<'_>, index: usize, statement: &Statement, report: &mut Report<'_>) {
    if let ast::Stmt::Reassign(reassign) = &statement.node {
        let message = "everything that the role owns in this database changes hands, without any of it being named";
        let finding = report.add(reassign.syntax(), message);
        finding.risk = Some(Risk::High);
        return;
    }
    if !script.words.owner {
        return;
    }
    let node = statement_node(statement);
    let Some(owner) = node.descendants().find_map(ast::OwnerTo::cast) else { return };
    let Some(object) = node.descendants().find(is_object) else { return };
    let name = name_of(&object);
    let made_here = script.statements[..index]
        .iter()
        .filter(|s| script.text[s.range.clone()].get(..6).is_some_and(|w| w.eq_ignore_ascii_case("create")))
        .any(|s| s.node.syntax().descendants().find(is_object).is_some_and(|o| name_of(&o) == name));
    if !made_here {
        report.add(
            owner.syntax(),
            format!(
                "`{}` may alter, drop and grant `{name}` from then on, and who owned it may not any more",
                named(owner.role_ref())
            ),
        );
    }
}

fn is_object(node: &SyntaxNode) -> bool {
    matches!(
        node.kind(),
        SyntaxKind::TABLE_NAME
            | SyntaxKind::TABLE_NAME_REF
            | SyntaxKind::TABLE_RELATION_NAME
            | SyntaxKind::RELATION_NAME
            | SyntaxKind::RELATION_NAME_REF
            | SyntaxKind::VIEW
            | SyntaxKind::VIEW_REF
            | SyntaxKind::SEQUENCE
            | SyntaxKind::SEQUENCE_REF
            | SyntaxKind::SCHEMA
            | SyntaxKind::SCHEMA_REF
            | SyntaxKind::FUNCTION_NAME
            | SyntaxKind::FUNCTION_NAME_REF
            | SyntaxKind::TYPE_NAME
            | SyntaxKind::TYPE_NAME_REF
    )
}
