//! A copy of many rows at once.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "unbatched-copy",
        category: Category::Lock,
        severity: Some(Severity::Info),
        risk: Risk::Medium,
        applies: Applies::Sql,
        title: "Bulk INSERT out of a table in one statement",
    },
    check: Check::Statement(check),
    help: "have it run in batches: `-- godwit: backfill=TABLE key=COLUMN` in a migration of its own, and `/* godwit:batch */ true` in the WHERE of its SELECT",
    ok: &[
        "insert into u (a) values (1), (2);",
        "insert into u select 1, 'x' where not exists (select 1 from u where a = 1);",
        "insert into u select a from t where id = 7;",
        "insert into u select a from t order by id limit 10;",
        "insert into u select count(*) from t;",
        "insert into u select n from generate_series(1, 1000) n;",
        "insert into u select oid from pg_catalog.pg_class;",
        "create table t (a int); insert into t values (1); insert into u select a from t;",
        "insert into u select a from t where /* godwit:batch */ true;",
        "with gone as (delete from t where a = 1 returning a) insert into u select a from gone;",
        "create table if not exists t (a int); insert into u select a from t;",
    ],
    bad: &[
        "insert into u select a from t;",
        "create table u (a int); insert into u select a from t where b is not null;",
        "insert into u (select a from t union all select a from v);",
        "insert into u select t.a from t join v on v.id = t.v_id;",
        "with x as (select a from t) insert into u select a from x;",
        "insert into u table t;",
        "insert into u select a, count(*) from t group by a on conflict do nothing;",
        "insert into u select a, (select max(b) from v) from t;",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Insert(insert) = &statement.node else { return };
    let sources = copied_from(script, insert);
    if let Some(first) = sources.first()
        && !in_batches(script, statement)
    {
        let message = format!(
            "one statement copies an unknown number of rows of `{first}`: until it commits nothing that is dead is \
             cleaned up in the whole database, and replicas get it all at once"
        );
        report.add(insert.syntax(), message).tables = sources;
    }
}
