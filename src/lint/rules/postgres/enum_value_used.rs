//! A value added to an enum and used before it is committed.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "enum-value-used",
        category: Category::Fails,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "A new enum value is used before it is committed",
    },
    check: Check::Script(check),
    help: "add the value in a migration of its own, and use it in the next one",
    ok: &[
        "alter type e add value 'q';",
        "alter type e add value 'q'; insert into t (s) values ('other');",
        "alter type e add value 'q'; comment on type e is 'q';",
        "create type e as enum ('a'); alter type e add value 'q'; select 'q'::e;",
    ],
    bad: &[
        "alter type e add value 'q'; select 'q'::e;",
        "alter type e add value if not exists 'q'; alter table t alter column s set default 'q';",
    ],
};

fn check(script: &Script<'_>, report: &mut Report<'_>) {
    if !script.words.value || !script.in_transaction {
        return;
    }
    let mut made: Vec<String> = Vec::new();
    let mut added: Vec<String> = Vec::new();
    for statement in &script.statements {
        match &statement.node {
            ast::Stmt::CreateType(create) => made.push(named(create.type_name())),
            ast::Stmt::AlterType(alter) => {
                if let Some(ast::AlterTypeAction::AddValue(add)) = alter.action()
                    && !made.contains(&named(alter.type_name_ref()))
                {
                    added.extend(add.literal().and_then(|l| l.string_value()));
                }
            }
            ast::Stmt::Commit(_) => added.clear(),
            ast::Stmt::CommentOn(_) | ast::Stmt::CreateFunction(_) | ast::Stmt::CreateProcedure(_) => {}
            _ if added.is_empty() => {}
            _ => {
                let literals = statement.node.syntax().descendants().filter_map(ast::Literal::cast);
                if let Some((literal, value)) =
                    literals.filter_map(|l| l.string_value().map(|v| (l, v))).find(|(_, v)| added.contains(v))
                {
                    report.add(
                        literal.syntax(),
                        format!("PostgreSQL refuses `{value}` as a value of the enum until the transaction that adds it has committed"),
                    );
                }
            }
        }
    }
}
