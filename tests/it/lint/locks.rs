//! The locks that a plan tells, beside those that the server gives.

use std::collections::BTreeMap;

use godwit::lint::effect::Lock;
use godwit::lint::locks_of;

use crate::support::{Database, Kind, Project};

/// What is there before each statement.
const SCHEMA: &str = "
create table r (id int primary key, a int);
create table t (id int primary key, a int, b int, c text);
alter table t add constraint positive check (a > 0) not valid;
create index t_b on t (b);
create function nothing() returns trigger language plpgsql as 'begin return new; end';
create trigger looks before insert on t for each row execute function nothing();
create policy mine on t using (true);
create materialized view mv as select id from r;
create unique index mv_id on mv (id);
create table p (id int, a int) partition by list (a);
create table p1 partition of p for values in (1);
create table alone (id int, a int);
";

/// The locks that `statement` holds at its end, the strongest of each relation that was there; reading is left out, and so are
/// the indexes of the tables that it is about.
fn held(database: &Database, statement: &str) -> BTreeMap<String, Lock> {
    let quoted = statement.replace('\'', "''");
    let text = format!(
        "begin; create temporary table there on commit drop as
           select oid, relname::text as name, relkind from pg_class where relnamespace = 'public'::regnamespace;
         {statement};
         select name, mode::text from pg_locks join there on oid = relation
           where pid = pg_backend_pid() and granted and (relkind <> 'i' or position(name in '{quoted}') > 0); rollback;"
    );
    let mut held: BTreeMap<String, Lock> = BTreeMap::new();
    for row in database.try_query(&text).unwrap_or_else(|e| panic!("{statement}: {e}")) {
        let lock = Lock::of_mode(&row[1]).unwrap();
        let strongest = held.entry(row[0].clone()).or_insert(lock);
        *strongest = lock.max(*strongest);
    }
    held.retain(|_, lock| *lock > Lock::AccessShare);
    held
}

#[test]
fn r15_the_locks_of_a_plan_are_those_that_the_server_gives() {
    let database = Database::fresh(Kind::Postgres);
    database.query(SCHEMA);
    for statement in [
        "alter table t add column d int",
        "alter table t drop column c",
        "alter table t alter column a type bigint",
        "alter table t alter column a set not null",
        "alter table t alter column a set statistics 500",
        "alter table t alter column a set (n_distinct = 5)",
        "alter table t set (fillfactor = 70)",
        "alter table t validate constraint positive",
        "alter table t add constraint small check (a < 9) not valid",
        "alter table t add constraint t_r foreign key (a) references r (id) not valid",
        "alter table t add column r_id int references r (id)",
        "alter table t disable trigger looks",
        "alter table t enable row level security",
        "alter table t rename to u",
        "alter table p attach partition alone for values in (2)",
        "alter table p detach partition p1",
        "create table made (id int references r (id))",
        "create table p3 partition of p for values in (3)",
        "create index on t (a)",
        "create trigger looks_again before insert on t for each row execute function nothing()",
        "drop trigger looks on t",
        "create policy yours on t using (true)",
        "drop policy mine on t",
        "create rule r1 as on insert to t do nothing",
        "drop index t_b",
        "drop table alone",
        "truncate alone",
        "lock table t in share row exclusive mode",
        "refresh materialized view mv",
        "refresh materialized view concurrently mv",
        "reindex table r",
        "cluster t using t_pkey",
        "insert into r values (1)",
        "update t set a = 1",
        "delete from t",
        "with gone as (delete from alone returning id) insert into r select id from gone",
    ] {
        let told: BTreeMap<String, Lock> = locks_of(statement).unwrap().into_iter().collect();
        let held = held(&database, statement);
        for (object, lock) in &told {
            assert_eq!(held.get(object), Some(lock), "{statement}: {object} of {held:?}");
        }
        // What it takes besides is on what hangs on the table; nothing stronger may be left out.
        let strongest = |locks: &BTreeMap<String, Lock>| locks.values().max().copied();
        assert_eq!(strongest(&told), strongest(&held), "{statement}: {told:?} of {held:?}");
    }
}

#[test]
fn r15_a_plan_tells_locks_and_probes() {
    let project = Project::new(
        Kind::Postgres,
        &[
            ("0001_t.up.sql", "create table t (id int primary key, a int);"),
            ("0002_i.up.sql", "create index concurrently t_a on t (a);"),
            ("0003_c.up.sql", "alter table t add column b int;\nupdate t set b = 1;"),
        ],
    );
    project.run(&["apply", "--yes", "--to", "0001_t"]).expect(0);
    let plan = project.run(&["plan", "--format", "json"]).expect(0).json();
    let (index, column) = (&plan["steps"][0], &plan["steps"][1]);
    assert_eq!(index["locks"], serde_json::json!([{ "object": "t", "mode": "SHARE UPDATE EXCLUSIVE" }]), "{plan}");
    assert_eq!(index["probe"], "`pg_index.indisvalid` and the index's definition");
    assert_eq!(column["locks"], serde_json::json!([{ "object": "t", "mode": "ACCESS EXCLUSIVE" }]));
    assert_eq!(column["probe"], "its row in the history, which commits with it");
    let said = project.run(&["plan"]).expect(0);
    for part in ["locks: t ACCESS EXCLUSIVE", "after a crash: `pg_index.indisvalid`", "after a crash: its row"] {
        assert!(said.stdout.contains(part), "{part}: {said:?}");
    }
    // What was run is told as it went.
    let done = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
    assert!(done["steps"][0].get("locks").is_none() && done["steps"][0].get("probe").is_none(), "{done}");
}
