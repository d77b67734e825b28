//! Rules that are off until the policy names them: each finds what it is about once it is asked for, and nothing else.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use godwit::config::LintConfig;
use godwit::lint::{Scope, check, table};
use godwit::migration::{MigrationRoot, SourceFile, resolve};

/// A rule, what has it, and what has it not.
const ROWS: &[(&str, &str, &str)] = &[
    ("ban-add-column", "alter table t add column c bigint;", "create table n (id bigint primary key);"),
    ("ban-add-composite-attribute", "alter type pair add attribute c int;", "create type pair as (a int);"),
    ("ban-add-enum-value", "alter type en add value 'q';", "create type en as enum ('q');"),
    ("ban-alter-database-options", "alter database shop set work_mem = '64MB';", "set work_mem = '64MB';"),
    ("ban-alter-extension", "alter extension pgcrypto update;", "create extension if not exists pgcrypto;"),
    ("ban-alter-function-options", "alter function f() cost 10;", "comment on function f() is 'x';"),
    (
        "ban-alter-generated-expression",
        "alter table t alter column c set expression as (a * 3);",
        "alter table t alter column c set statistics 100;",
    ),
    ("ban-alter-role-options", "alter role app nologin;", "create role app nologin;"),
    ("ban-alter-system-options", "alter system set work_mem = '64MB';", "set work_mem = '64MB';"),
    ("ban-alter-view-options", "alter view v set (security_barrier = true);", "create view v as select 1 as a;"),
    ("ban-create-policy", "create policy p on t using (true);", "comment on table t is 'x';"),
    ("ban-detach-inheritance", "alter table t no inherit p;", "alter table t inherit p;"),
    ("ban-drop-index", "drop index concurrently t_b;", "create index concurrently t_b on t (b);"),
    ("ban-drop-trigger", "drop trigger tg on t;", "create trigger tg after insert on t execute function f();"),
    (
        "ban-new-write-restriction",
        "alter table t add constraint k check (a > 0) not valid;",
        "alter table t validate constraint k;",
    ),
    ("ban-replace-view-function", "create or replace view v as select 1 as a;", "create view v as select 1 as a;"),
    ("ban-revoke", "revoke select on t from app;", "grant select on t to app;"),
    ("ban-set-default", "alter table t alter column a set default 1;", "create table n (a bigint default 1);"),
    ("require-enum-value-ordering", "alter type en add value 'q';", "alter type en add value 'q' after 'p';"),
    (
        "require-lock-timeout",
        "alter table t add column c bigint;",
        "set lock_timeout = '2s'; alter table t add column c bigint;",
    ),
    (
        "require-statement-timeout",
        "alter table t add column c bigint;",
        "set statement_timeout = '2s'; alter table t add column c bigint;",
    ),
    ("require-table-schema", "create table n (id bigint);", "create table app.n (id bigint);"),
    (
        "prefer-robust-stmts",
        "-- godwit: no-transaction\ncreate table n (id bigint); create table m (id bigint);",
        "-- godwit: no-transaction\ncreate table if not exists n (id bigint); create table if not exists m (id bigint);",
    ),
];

/// Rules that are on, and in no list of hazards.
const ON: &[(&str, &str, &str)] = &[
    ("ban-create-domain-with-constraint", "create domain d as int check (value > 0);", "create domain d as int;"),
    ("prefer-bigint-over-int", "create table n (id int primary key);", "create table n (id bigint primary key);"),
    (
        "prefer-bigint-over-smallint",
        "create table n (id smallint primary key);",
        "create table n (id bigint primary key);",
    ),
    ("prefer-identity", "create table n (id bigserial primary key);", "create table n (id bigint primary key);"),
    ("prefer-text-field", "create table n (id bigint, a varchar(9));", "create table n (id bigint, a text);"),
    ("prefer-timestamp-tz", "create table n (a timestamp);", "create table n (a timestamptz);"),
    ("ban-char-field", "create table n (a char(9));", "create table n (a text);"),
    ("untagged-personal-data", "create table n (email text);", "-- Compliance: GDPR\ncreate table n (email text);"),
];

#[test]
fn q10_x03_matters_of_form_are_told_and_what_is_right_is_not() {
    for (rule, bad, good) in ON {
        assert!(finds(rule, bad, false), "{rule} finds nothing in {bad}");
        assert!(!finds(rule, good, false), "{rule} finds something in {good}");
    }
}

#[test]
fn x03_the_metadata_of_a_typed_pair_answers_as_a_comment_does() {
    for (compliance, told) in [("", true), (r#","compliance":[]"#, true), (r#","compliance":["GDPR"]"#, false)] {
        let about = format!(
            r#"{{"version":"1.0.0","name":"people","description":"Who buys","database_type":"postgresql","migration_type":"schema"{compliance}}}"#
        );
        let files = [
            ("migrations/postgresql/001_people.json", &*about),
            ("migrations/postgresql/001_people.sql", "create table people (id bigint primary key, email text);"),
            ("migrations/postgresql/001_people_rollback.sql", "drop table people;"),
        ]
        .map(|(path, text)| SourceFile::new(path, text));
        let set = resolve(&files, &[MigrationRoot::folder("migrations/*")]);
        let config = LintConfig::parse("policies/lint.yml", "rules: {}\n").unwrap();
        let report = check(&set, &config, &Scope::All, NaiveDate::from_ymd_opt(2026, 11, 21).unwrap());
        let found = report.violations.iter().any(|v| v.rule == "untagged-personal-data");
        assert_eq!(found, told, "{compliance}: {:?}", report.violations);
    }
}

fn finds(rule: &str, sql: &str, asked: bool) -> bool {
    let policy = if asked { format!("rules: {{ {rule}: warning }}\n") } else { "rules: {}\n".to_owned() };
    let config = LintConfig::parse("policies/lint.yml", &policy).unwrap();
    let set = resolve(&[SourceFile::new("0001_m.up.sql", sql.as_bytes())], &[MigrationRoot::folder("")]);
    let report = check(&set, &config, &Scope::All, NaiveDate::from_ymd_opt(2026, 11, 21).unwrap());
    assert!(report.violations.iter().all(|v| v.rule != "syntax-error"), "{sql}: {:?}", report.violations);
    report.violations.iter().any(|v| v.rule == rule)
}

#[test]
fn every_rule_that_is_off_finds_what_it_is_about_when_the_policy_asks_for_it() {
    for (rule, bad, good) in ROWS {
        assert!(finds(rule, bad, true), "{rule} finds nothing in {bad}");
        assert!(!finds(rule, good, true), "{rule} finds something in {good}");
        assert!(!finds(rule, bad, false), "{rule} is not asked for");
    }
    let tried: BTreeSet<&str> = ROWS.iter().map(|(rule, ..)| *rule).collect();
    let off: BTreeSet<&str> =
        table::all().values().filter(|info| info.severity.is_none()).map(|info| info.id).collect();
    assert_eq!(off.difference(&tried).collect::<Vec<_>>(), Vec::<&&str>::new(), "in no row");
    assert_eq!(tried.difference(&off).collect::<Vec<_>>(), Vec::<&&str>::new(), "not off");
}
