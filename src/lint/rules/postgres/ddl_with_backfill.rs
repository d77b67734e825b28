//! `ALTER TABLE` and a change or a copy of its rows in one transaction.

use super::prelude::*;
use crate::lint::effect::Lock;
use crate::lint::locks::of_action;

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
        "alter table t add column b int; update t set b = 1 where id = 5;",
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
    let mut altered: Vec<(String, Lock)> = Vec::new();
    for statement in &script.statements {
        match &statement.node {
            ast::Stmt::AlterTable(alter) => {
                let lock = alter.actions().map(|action| of_action(&action)).max().unwrap_or(Lock::AccessExclusive);
                // Beside a weaker lock rows are changed as they are without it.
                if lock >= Lock::Share {
                    altered.extend(tables_of(&statement.node).into_iter().map(|table| (table, lock)));
                }
            }
            ast::Stmt::Commit(_) => altered.clear(),
            _ if altered.is_empty() => {}
            _ => {
                for change in changes_of(script, statement) {
                    let table = change.table();
                    // A row or two that a key picks are changed at once.
                    let is_few = change.picked().is_some_and(|picked| picked.is_few(picked::by_name));
                    if let Some(lock) = held_on(&altered, &table).filter(|_| !is_few) {
                        let message = format!(
                            "`{table}` was altered above in the same transaction: it stays locked against {} until these rows are changed",
                            whom(lock)
                        );
                        report.add(change.syntax(), message).tables = vec![table];
                    }
                }
                if let Some(mut held) = read_by(&statement.node) {
                    held.retain(|table| held_on(&altered, table).is_some());
                    if let Some((first, lock)) = held.first().and_then(|first| Some((first, held_on(&altered, first)?)))
                    {
                        let message = format!(
                            "`{first}` was altered above in the same transaction: it stays locked against {} until all of it is \
                             read",
                            whom(lock)
                        );
                        report.add(statement.node.syntax(), message).tables = held;
                    }
                }
                let ast::Stmt::Insert(insert) = &statement.node else { continue };
                let mut held = copied_from(script, insert);
                if !held.is_empty() {
                    held.push(named(insert.relation_name_ref()));
                }
                held.retain(|table| held_on(&altered, table).is_some());
                if let Some((first, lock)) = held.first().and_then(|first| Some((first, held_on(&altered, first)?))) {
                    let message = format!(
                        "`{first}` was altered above in the same transaction: it stays locked against {} until all rows are copied",
                        whom(lock)
                    );
                    report.add(insert.syntax(), message).tables = held;
                }
            }
        }
    }
}

/// The strongest lock that a table was altered under.
fn held_on(altered: &[(String, Lock)], table: &str) -> Option<Lock> {
    altered.iter().filter(|(name, _)| name == table).map(|(_, lock)| *lock).max()
}

/// Whom a lock keeps out.
fn whom(lock: Lock) -> &'static str {
    if lock == Lock::AccessExclusive { "everyone" } else { "everyone who writes" }
}

/// The tables that a new table or a materialized view is filled from, if it is filled at once, or that a query reads.
fn read_by(statement: &ast::Stmt) -> Option<Vec<String>> {
    let (node, data) = match statement {
        ast::Stmt::CreateTableAs(create) => (create.syntax(), create.data_option()),
        ast::Stmt::CreateMaterializedView(create) => (create.syntax(), create.data_option()),
        ast::Stmt::Select(select) => return scanned(select).map(|table| vec![table]),
        _ => return None,
    };
    (!matches!(data, Some(ast::DataOption::WithNoData(_)))).then(|| read_whole(node))
}

#[cfg(test)]
mod tests {
    use crate::lint::sample;

    fn told(files: &[(&str, &str)]) -> Option<String> {
        let found = sample(files).0.violations;
        found.into_iter().find(|v| v.rule == "ddl-with-backfill").map(|v| v.message)
    }

    #[test]
    fn the_lock_that_is_held_tells_who_waits() {
        let one = |sql: &str| told(&[("0001_m.up.sql", sql)]);
        let update = "update t set b = 1 where b is null;";
        let trigger = one(&format!("alter table t disable trigger user; {update}")).expect("told");
        assert!(trigger.contains("locked against everyone who writes"), "{trigger}");
        let both = one(&format!("alter table t disable trigger user; alter table t add column b int; {update}"));
        assert!(both.is_some_and(|m| m.contains("against everyone until")));
        assert_eq!(one(&format!("alter table t validate constraint c; {update}")), None);
        assert_eq!(one("alter table t disable trigger user; update t set b = 1 where id = 1;"), None);
    }

    #[test]
    fn a_row_that_a_key_picks_is_changed_at_once() {
        let table = "create table t (id bigint primary key, area text, n int, unique (area));";
        let of = |sql: &str| told(&[("0001_t.up.sql", table), ("0002_m.up.sql", sql)]);
        assert_eq!(of("alter table t add column b int; update t set b = 1 where id = 7;"), None);
        assert_eq!(of("alter table t add column b int; update t set b = 1 where area = 'x';"), None);
        assert!(of("alter table t add column b int; update t set b = 1 where n = 7;").is_some());
    }

    fn count(sql: &str) -> usize {
        let (report, _) = sample(&[
            ("0001_t.up.sql", "create table t (id int primary key, a int); create table u (a int);"),
            ("0002_m.up.sql", sql),
        ]);
        report.violations.iter().filter(|v| v.rule == "ddl-with-backfill").count()
    }

    #[test]
    fn what_is_filled_from_a_table_that_was_altered_is_told() {
        for sql in [
            "alter table t add column b int; create table w as select a from t;",
            "alter table t add column b int; create table w as select a, count(*) from t group by a;",
            "alter table t add column b int; create materialized view w as select b, count(*) from t group by b;",
            "alter table t add column b int; create table w as select t.a from t join u on u.a = t.a;",
        ] {
            assert_eq!(count(sql), 1, "{sql}");
        }
        for sql in [
            "create table w as select a from t; alter table t add column b int;",
            "alter table t add column b int; create table w as select a from u;",
            "alter table t add column b int; create table w as select a from t with no data;",
            "alter table t add column b int; create materialized view w as select a from t with no data;",
            "alter table t add column b int; create view w as select a from t;",
            "alter table t add column b int; create table w as select a from t limit 10;",
        ] {
            assert_eq!(count(sql), 0, "{sql}");
        }
    }

    #[test]
    fn a_query_of_all_rows_behind_a_change_of_the_table_is_told() {
        for sql in [
            "alter table t add column b int; select count(*) from t;",
            "alter table t add column b int; select * from t;",
            "alter table t add column b int; select a, count(*) from t group by a order by a;",
            "alter table t add column b int; insert into u values (1); select sum(a) from t;",
        ] {
            assert_eq!(count(sql), 1, "{sql}");
        }
        for sql in [
            "select count(*) from t; alter table t add column b int;",
            "alter table t add column b int; select count(*) from u;",
            "alter table t add column b int; select count(*) from t where id = 1;",
            "alter table t add column b int; select * from t limit 1;",
            "alter table t add column b int; select max(id) from t;",
            "alter table t add column b int; select setval('t_id_seq', (select max(id) from t));",
            "alter table t add column b int; select exists (select 1 from t);",
            "alter table t alter column a set statistics 100; select count(*) from t;",
            "create table w (a int); alter table w add column b int; select count(*) from w;",
            "-- godwit: no-transaction\nalter table t add column b int; select count(*) from t;",
        ] {
            assert_eq!(count(sql), 0, "{sql}");
        }
    }
}
