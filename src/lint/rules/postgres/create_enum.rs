//! `CREATE TYPE … AS ENUM`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "create-enum",
        category: Category::Style,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Postgresql,
        title: "Values of an enum cannot be taken away",
    },
    check: Check::Statement(check),
    help: "where the list will change, use text with a check, or a table that is referred to",
    ok: &["create type p as (a int, b int);", "create table t (state text check (state in ('new', 'paid')));"],
    bad: &["create type state as enum ('new', 'paid');"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::CreateType(create) = &statement.node else { return };
    if let Some(ast::CreateTypeKind::EnumType(_)) = create.kind() {
        report.add(
            create.syntax(),
            format!(
                "values can be added to `{}` and renamed, never removed or put in another order",
                named(create.type_name())
            ),
        );
    }
}
