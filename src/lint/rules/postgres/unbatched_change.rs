//! A change of many rows at once.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "unbatched-change",
        category: Category::Lock,
        severity: Some(Severity::Info),
        risk: Risk::Medium,
        applies: Applies::Sql,
        title: "Bulk UPDATE or DELETE in one statement",
    },
    check: Check::Statement(check),
    help: "have it run in batches: `-- godwit: backfill=TABLE key=COLUMN` in a migration of its own, and `/* godwit:batch */ true` in its WHERE",
    ok: &[
        "update t set a = 0 where id = 7;",
        "delete from t where id in (1, 2);",
        "create table t (a int); update t set a = 0 where b is null;",
        "update t set a = 0 where a is null and /* godwit:batch */ true;",
        "merge into t using (values (1, 2)) as u (id, a) on t.id = u.id when not matched then insert values (1, 2);",
        "create table t (a int); merge into t using u on t.id = u.id when matched then delete;",
    ],
    bad: &[
        "update t set a = 0 where a is null;",
        "delete from t where created_at < now();",
        "with old as (delete from t where created_at < now() returning *) insert into u select * from old;",
        "merge into t using u on t.id = u.id when matched then update set a = u.a;",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let mut add = |node: &SyntaxNode, table: String| {
        let message = format!(
            "one statement changes an unknown number of rows of `{table}` and keeps them locked until it commits"
        );
        report.add(node, message).tables = vec![table];
    };
    if let ast::Stmt::Merge(merge) = &statement.node
        && changes_what_is_there(merge)
    {
        add(merge.syntax(), named(merge.table_relation_name()));
    }
    for change in changes_of(script, statement) {
        let Some(ast::WhereClauseOrCurrentOf::WhereClause(clause)) = change.condition() else { continue };
        if clause.expr().is_some_and(|e| !picks_rows(&e)) && !in_batches(script, statement) {
            add(change.syntax(), change.table());
        }
    }
}

/// Whether a `MERGE` updates or deletes rows; one that only adds takes no lock that others wait for.
fn changes_what_is_there(merge: &ast::Merge) -> bool {
    merge.merge_when_clauses().any(|clause| {
        let action = match clause {
            ast::MergeWhenClause::MergeWhenMatched(c) => c.merge_action(),
            ast::MergeWhenClause::MergeWhenNotMatchedSource(c) => c.merge_action(),
            ast::MergeWhenClause::MergeWhenNotMatchedTarget(c) => c.merge_action(),
        };
        matches!(action, Some(ast::MergeAction::MergeUpdate(_) | ast::MergeAction::MergeDelete(_)))
    })
}
