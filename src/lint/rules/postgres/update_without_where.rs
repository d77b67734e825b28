//! `UPDATE` that changes every row.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "update-without-where",
        category: Category::Destructive,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Sql,
        title: "UPDATE without WHERE overwrites every row",
    },
    check: Check::Statement(check),
    help: "say which rows with `WHERE`, in batches on a large table; if every row is meant, say so with `WHERE true`",
    ok: &[
        "update t set a = 0 where a is null;",
        "create table t (a int); update t set a = 0;",
        "update t set a = 0 where current of c;",
    ],
    bad: &[
        "update t set a = 0;",
        "update only public.t set a = 0;",
        "create table if not exists t (a int); update t set a = 0;",
    ],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Update(update) = &statement.node else { return };
    if update.where_clause_or_current_of().is_some() {
        return;
    }
    let table = named(update.relation_name());
    report.add(
        update.syntax(),
        format!("`UPDATE {table}` without `WHERE` overwrites every row and locks them all until it commits"),
    );
}
