//! `ALTER TABLE` and a change or a copy of its rows in one transaction.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "ddl-with-backfill",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "Schema change and backfill in one transaction",
    },
    check: Check::Script(check),
    help: "put the change of the rows into a migration of its own, in batches",
    ok: &[
        "create table t (a int); alter table t add column b int; update t set b = 1 where a = 1;",
        "update t set a = 1 where id = 2; alter table t add column b int;",
        "alter table t add column b int; update u set b = 1 where id = 1;",
        "alter table t add column b int; insert into u select a from v;",
        "alter table t add column b int; insert into t (a) values (1);",
        "create table t (a int); alter table t add column b int; insert into t select a from v;",
    ],
    bad: &[
        "alter table t add column b int; update t set b = 1 where b is null;",
        "alter table t drop column c; delete from t where a = 1;",
        "alter table t add column b int; insert into u select a from t;",
        "alter table t add column b int; insert into t select a from v;",
        "alter table t add column b int; with x as (update t set b = 1 where b is null returning b) select * from x;",
    ],
};

fn check(script: &Script<'_>, report: &mut Report<'_>) {
    if !script.in_transaction {
        return;
    }
    let mut altered: Vec<String> = Vec::new();
    for statement in &script.statements {
        match &statement.node {
            ast::Stmt::AlterTable(_) => altered.extend(tables_of(&statement.node)),
            ast::Stmt::Commit(_) => altered.clear(),
            _ if altered.is_empty() => {}
            _ => {
                for change in changes_of(script, statement) {
                    let table = change.table();
                    if altered.contains(&table) {
                        let message = format!(
                            "`{table}` was altered above in the same transaction: it stays locked against everyone until these rows are changed"
                        );
                        report.add(change.syntax(), message).tables = vec![table];
                    }
                }
                let ast::Stmt::Insert(insert) = &statement.node else { continue };
                let mut held = copied_from(script, insert);
                if !held.is_empty() {
                    held.push(named(insert.relation_name_ref()));
                }
                held.retain(|table| altered.contains(table));
                if let Some(first) = held.first() {
                    let message = format!(
                        "`{first}` was altered above in the same transaction: it stays locked against everyone until all rows are copied"
                    );
                    report.add(insert.syntax(), message).tables = held;
                }
            }
        }
    }
}
