//! A condition that lets every row through.

use super::prelude::*;
use crate::lint::truth::{self, Truth};

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "where-always-true",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Sql,
        title: "UPDATE, DELETE or MERGE whose condition holds for every row",
    },
    check: Check::Statement(check),
    help: "change the rows in batches that commit one by one, and keep a copy of what is overwritten",
    ok: &[
        "update t set a = 0 where a = 1;",
        "delete from t where a = b;",
        "delete from t where t.a = u.a;",
        "merge into t using u on t.id = u.id when matched then delete;",
        "merge into t using (select 1) as u on true when matched and t.a = 1 then delete;",
        "merge into t using (select 1) as u on true when not matched then insert values (1);",
        "update t set a = 0 where /* godwit:batch */ true;",
        "update t set a = 0 where a = 2 or 1 = 0;",
        "delete from t where exists (select 1 from u where u.id = t.id);",
        "update t set a = 0 where b is not null;",
    ],
    bad: &[
        "update t set a = 0 where true;",
        "delete from t where 1 = 1;",
        "delete from t where (true);",
        "delete from t where id = id;",
        "update t set a = 0 where t.id = id;",
        "update t set a = 0 where 1=1 or a = 2;",
        "update t set a = 0 where not false;",
        "delete from t where exists (select 1);",
        "delete from t where true and true;",
        "update t set a = 0 where 'a' = 'a';",
        "delete from t where coalesce(true, a = 2);",
        "merge into t using (select 1) as u on true when matched then delete;",
        "merge into t using u on 1 = 1 when matched and true then update set a = 0;",
        "with gone as (delete from t where true returning a) select count(*) from gone;",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    for change in changes_of(script, statement) {
        let (verb, table) = match &change {
            Change::Update(_) => ("changes", change.table()),
            Change::Delete(_) => ("removes", change.table()),
        };
        let Some(ast::WhereClauseOrCurrentOf::WhereClause(clause)) = change.condition() else { continue };
        if in_batches(script, statement) {
            continue;
        }
        let message = match clause.expr().map(|e| truth::of(&e, &table)) {
            Some(Truth::Always) => {
                format!("the condition is true for every row, so the statement {verb} the whole table")
            }
            // Who asks for it in words may mean it; the schema tells whether that leaves a row out.
            Some(Truth::Holding(columns)) if !columns.asked => {
                let names: Vec<String> = columns.names.iter().map(|name| format!("`{name}`")).collect();
                format!(
                    "the condition is true for every row in which {} is not NULL, so the statement {verb} all of them",
                    names.join(" and ")
                )
            }
            _ => continue,
        };
        report.add(clause.syntax(), message).tables = vec![table];
    }
    if let ast::Stmt::Merge(merge) = &statement.node {
        merged(merge, report);
    }
}

/// A `MERGE` whose join picks no rows, and that changes or removes what it finds.
fn merged(merge: &ast::Merge, report: &mut Report<'_>) {
    let Some(on) = merge.using_on_clause().and_then(|using| using.on_clause()) else { return };
    let table = merge.table_relation_name().map(|n| name_of(n.syntax())).unwrap_or_default();
    let picks_none = |expr: Option<ast::Expr>| expr.is_some_and(|e| truth::of(&e, &table) == Truth::Always);
    if !picks_none(on.expr()) {
        return;
    }
    for clause in merge.merge_when_clauses() {
        let ast::MergeWhenClause::MergeWhenMatched(matched) = clause else { continue };
        let verb = match matched.merge_action() {
            Some(ast::MergeAction::MergeDelete(_)) => "removes",
            Some(ast::MergeAction::MergeUpdate(_)) => "changes",
            Some(ast::MergeAction::MergeInsert(_) | ast::MergeAction::MergeDoNothing(_)) | None => continue,
        };
        if matched.merge_condition().is_none_or(|condition| picks_none(condition.expr())) {
            let message = format!("the join is true for every row, so the statement {verb} the whole table");
            report.add(matched.syntax(), message).tables = vec![table.clone()];
        }
    }
}
