//! A change of many rows at once.

use super::prelude::*;

pub(in crate::lint) static RULE: OwnRule = OwnRule {
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
        "update t set a = 0 where (id = 7) and b is null;",
        "delete from t where (id, b) = (1, 2);",
        "delete from t where id = 1 or id = 2;",
        "update t set a = u.a from u where t.id = u.t_id and u.id = 7;",
        "create table t (a int); update t set a = 0 where b is null;",
        "update t set a = 0 where a is null and /* godwit:batch */ true;",
        "merge into t using (values (1, 2)) as u (id, a) on t.id = u.id when not matched then insert values (1, 2);",
        "create table t (a int); merge into t using u on t.id = u.id when matched then delete;",
    ],
    bad: &[
        "update t set a = 0 where a is null;",
        "delete from t where created_at < now();",
        "update t set a = 0 where state='x';",
        "delete from t where id = 1 or a = 2;",
        "update t as t1 set a = u2.a from u as u2 where t1.id = u2.t_id;",
        "with old as (delete from t where created_at < now() returning *) insert into u select * from old;",
        "merge into t using u on t.id = u.id when matched then update set a = u.a;",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let mut add = |node: &SyntaxNode, table: String| {
        report.add(node, message(&table)).tables.push(table);
    };
    if let ast::Stmt::Merge(merge) = &statement.node
        && changes_what_is_there(merge)
    {
        add(merge.syntax(), named(merge.table_relation_name()));
    }
    for change in changes_of(script, statement) {
        let Some(picked) = change.picked() else { continue };
        if !picked.is_few(picked::by_name) && !in_batches(script, statement) {
            add(change.syntax(), change.table());
        }
    }
}

/// What is said of a change of the rows of `table`.
pub(in crate::lint) fn message(table: &str) -> String {
    format!("one statement changes an unknown number of rows of `{table}` and keeps them locked until it commits")
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
