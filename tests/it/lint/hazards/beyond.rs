//! Beyond the list: rules that only the history or another statement can show, with what has it and what has it not.

use godwit::ids::Risk;

use super::{Hazard, hazard};

const LOW: Risk = Risk::Low;
const MEDIUM: Risk = Risk::Medium;
const HIGH: Risk = Risk::High;

/// Those that the list has not, or has in another shape.
pub const BEYOND: &[Hazard] = &[
    hazard(
        "P127",
        "duplicate-index",
        LOW,
        "create index concurrently i on t (b);",
        &["create index concurrently i on t (f);"],
    ),
    hazard(
        "F213",
        "existing-object",
        HIGH,
        "create table t (id bigint primary key);",
        &["create table other (id bigint primary key);"],
    ),
    hazard(
        "F213",
        "missing-object",
        HIGH,
        "alter table t drop column nothing;",
        &["alter table t add column something int;"],
    ),
    hazard(
        "F213",
        "object-in-use",
        HIGH,
        "drop table ref;",
        &["create table x (id bigint primary key); drop table x;"],
    ),
    hazard(
        "P156",
        "grant-all",
        MEDIUM,
        "grant all on t to current_user;",
        &["grant select, insert on t to current_user;"],
    ),
    hazard(
        "P177",
        "setval-constant",
        HIGH,
        "select setval('sq', 7);",
        &["select setval('sq', (select max(id) from t) + 5000);"],
    ),
    hazard(
        "P117",
        "delete-without-where",
        HIGH,
        "with gone as (delete from s.within returning id) select count(*) from gone;",
        &["with gone as (delete from s.within where id = 7 returning id) select count(*) from gone;"],
    ),
    hazard(
        "P115",
        "update-without-where",
        HIGH,
        "with new as (update t set a = 0 returning a) select count(*) from new;",
        &["with new as (update t set a = 0 where id = 7 returning a) select count(*) from new;"],
    ),
    hazard(
        "P118",
        "unbatched-change",
        MEDIUM,
        "merge into t using ref on t.id = ref.id when matched then update set a = ref.a;",
        &[
            "merge into ref using (values (1000, 1)) as v (id, a) on ref.id = v.id when not matched then insert values (v.id, v.a);",
        ],
    ),
    hazard(
        "P156",
        "grant-to-public",
        HIGH,
        "alter default privileges grant select on tables to public;",
        &["alter default privileges grant select on tables to current_user;"],
    ),
    hazard("P177", "ban-drop-sequence", HIGH, "drop sequence sq;", &["create sequence sq2;"]),
    hazard("P175", "ban-drop-domain", HIGH, "drop domain dom cascade;", &["create domain dom2 as int;"]),
    hazard(
        "P175",
        "ban-drop-function",
        MEDIUM,
        "drop function note() cascade;",
        &["create function other() returns int language sql as $$ select 1 $$;"],
    ),
    hazard(
        "P105",
        "ban-drop-generated-expression",
        MEDIUM,
        "alter table t alter column stored drop expression;",
        &["alter table t add column c int;"],
    ),
    hazard(
        "P104",
        "ban-alter-identity",
        MEDIUM,
        "alter table t alter column own drop identity;",
        &["alter table t add column c int;"],
    ),
    hazard(
        "P163",
        "ban-alter-policy-condition",
        HIGH,
        "alter policy pol on t using (id > 5);",
        &["create policy two on t as restrictive using (true);"],
    ),
    hazard(
        "P163",
        "ban-alter-policy-roles",
        HIGH,
        "alter policy pol on t to current_user;",
        &["create policy two on t as restrictive using (true);"],
    ),
    hazard("Q01", "syntax-error", HIGH, "alter tabel t add column c int;", &["alter table t add column c int;"]),
    hazard(
        "Q01",
        "ban-duplicate-column-assignments",
        LOW,
        "update t set a = 1, a = 2 where id = 7;",
        &["update t set a = 1, b = 2 where id = 7;"],
    ),
    hazard(
        "F220",
        "opaque-block",
        HIGH,
        "do $$ declare q text := 'select 1'; begin execute q; end $$;",
        &["do $$ begin execute 'select 1'; end $$;"],
    ),
    hazard(
        "P113",
        "truncate-table",
        HIGH,
        "do $$ begin if exists (select from t) then truncate t; end if; end $$;",
        &["do $$ begin delete from t where id = 1; end $$;"],
    ),
    hazard(
        "P130",
        "mixed-transaction",
        HIGH,
        "do $$ begin execute 'create index concurrently i on t (a)'; end $$;",
        &["create index concurrently i on t (a);"],
    ),
    hazard(
        "Q08",
        "timeout-off",
        MEDIUM,
        "set lock_timeout = 0; alter table t add column c int;",
        &["set local lock_timeout = '2s'; alter table t add column c int;"],
    ),
    hazard(
        "Q06",
        "limit-without-order",
        LOW,
        "insert into s.within select id + 1000 from t limit 10;",
        &["insert into s.within select id + 2000 from t order by id limit 10;"],
    ),
    hazard(
        "Q06",
        "not-in-subquery",
        LOW,
        "delete from s.within where id not in (select ref_id from child);",
        &["delete from s.within where not exists (select from child where child.ref_id = within.id);"],
    ),
    hazard(
        "Q07",
        "index-before-load",
        LOW,
        "create table u (a int primary key); create index u_a on u (a); insert into u select f from t where f is not null;",
        &[
            "create table u (a int primary key); insert into u select f from t where f is not null; create index u_a on u (a);",
        ],
    ),
    hazard(
        "Q10",
        "money-column",
        LOW,
        "create table u (a int primary key, b money);",
        &["create table u (a int primary key, b numeric);"],
    ),
    hazard(
        "Q10",
        "timetz-column",
        LOW,
        "create table u (a int primary key, b timetz);",
        &["create table u (a int primary key, b timestamptz);"],
    ),
    hazard(
        "Q10",
        "create-rule",
        LOW,
        "create rule kept as on delete to ref do instead nothing;",
        &["create trigger kept before delete on ref for each row execute function note();"],
    ),
    hazard("Q10", "table-inheritance", LOW, "create table u (b int) inherits (ref);", &["create table u (like ref);"]),
    hazard(
        "N12",
        "several-concerns",
        LOW,
        "alter table t add column c int; alter table child drop column ref_id; drop view v;",
        &["alter table t add column c int; create index t_c on t (c);"],
    ),
];
