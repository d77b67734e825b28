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
        "with new as (update t set a = 0 returning a) select count(*) from new;",
    ],
};

fn check(script: &Script<'_>, index: usize, statement: &Statement, report: &mut Report<'_>) {
    for change in changes_of(script, statement) {
        let Change::Update(update) = &change else { continue };
        if change.condition().is_some() {
            continue;
        }
        let table = change.table();
        let finding = if fills_new_columns(script, index, update, &table) {
            let message = format!(
                "`UPDATE {table}` fills a new column of every row at once, and keeps them all locked until it commits"
            );
            let finding = report.add(update.syntax(), message);
            finding.severity = Some(Severity::Warning);
            finding
        } else {
            let message =
                format!("`UPDATE {table}` without `WHERE` overwrites every row and locks them all until it commits");
            report.add(update.syntax(), message)
        };
        finding.tables = vec![table];
    }
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
