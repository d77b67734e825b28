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

fn check(script: &Script<'_>, index: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Update(update) = &statement.node else { return };
    if update.where_clause_or_current_of().is_some() {
        return;
    }
    let table = named(update.relation_name());
    if fills_new_columns(script, index, update, &table) {
        let finding = report.add(
            update.syntax(),
            format!(
                "`UPDATE {table}` fills a new column of every row at once, and keeps them all locked until it commits"
            ),
        );
        finding.severity = Some(Severity::Warning);
        return;
    }
    report.add(
        update.syntax(),
        format!("`UPDATE {table}` without `WHERE` overwrites every row and locks them all until it commits"),
    );
}

/// Whether all that is set are columns that the script adds above: nothing is overwritten.
fn fills_new_columns(script: &Script<'_>, index: usize, update: &ast::Update, table: &str) -> bool {
    let mut new = Vec::new();
    for statement in &script.statements[..index] {
        let ast::Stmt::AlterTable(alter) = &statement.node else { continue };
        if named(alter.table_relation_name()) == table {
            new.extend(alter.actions().filter_map(|action| match action {
                ast::AlterTableAction::AddColumn(add) => Some(named(add.column_name())),
                _ => None,
            }));
        }
    }
    let Some(set) = update.set_clause() else { return false };
    let mut targets = set.syntax().descendants().filter_map(ast::ColumnTarget::cast).peekable();
    !new.is_empty() && targets.peek().is_some() && targets.all(|t| new.contains(&name_of(t.syntax())))
}
