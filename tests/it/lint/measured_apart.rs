//! What cannot be tried on the server that every test uses: it changes the server itself, or what comes behind it. Both
//! directions, as in `measured`.

use godwit::config::LintConfig;
use godwit::ids::Engine;
use godwit::lint::effect::{Effect, effect_of};
use godwit::lint::fix::fixes;
use godwit::lint::{Scope, check};
use godwit::migration::execution::{Execution, execution};
use godwit::migration::{MigrationRoot, SourceFile, resolve};

use super::hazards::{Hazard, SCHEMA, hazards};
use super::measured::{fill, run};
use crate::support::servers::OwnServer;
use crate::support::{Database, Kind};

fn hazard(code: &str) -> &'static Hazard {
    hazards().find(|h| h.code == code && h.apart.is_some()).unwrap_or_else(|| panic!("{code}: not apart"))
}

#[test]
fn every_hazard_that_is_tried_apart_names_a_test_of_this_file() {
    let here = include_str!("measured_apart.rs");
    for hazard in hazards().filter(|h| h.apart.is_some()) {
        let test = hazard.apart.unwrap();
        assert!(here.contains(&format!("fn {test}(")), "{}: {test}", hazard.code);
        assert!(test.contains(&hazard.code.to_lowercase()), "{}: {test}", hazard.code);
    }
}

#[test]
fn p168_set_tablespace_writes_the_table_anew() {
    let server = OwnServer::up("postgres");
    let database = Database::alone_on(Kind::Postgres, &server.url);
    fill(&database, true);
    // A place within the server's own folder; it is a setting of each session.
    database.query(&format!("alter database {} set allow_in_place_tablespaces = on", database.name()));
    database.query("create tablespace fast location ''");
    let hazard = hazard("P168");
    assert_eq!(effect_of(hazard.rule), Effect::Rewrites);
    let seen = run(&database, hazard.bad);
    assert_eq!(seen.failed, None);
    assert!(seen.shows(Effect::Rewrites), "{seen:?}");
    for good in hazard.good {
        let seen = run(&database, good);
        assert!(seen.failed.is_none() && !seen.shows(Effect::Rewrites), "{good}: {seen:?}");
    }
}

/// A role that may change every row of a database, and nothing about the server.
fn plain(database: &Database) -> String {
    database.query(
        "create role plain login password 'plain'; grant usage on schema public, s to plain; \
         grant all on all tables in schema public, s to plain;",
    );
    let (scheme, rest) = database.url.split_once("://").unwrap();
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://plain:plain@{place}")
}

#[test]
fn p173_p174_p181_what_reaches_beyond_the_database_needs_rights() {
    let server = OwnServer::up("postgres");
    let mut database = Database::alone_on(Kind::Postgres, &server.url);
    fill(&database, true);
    let owner = database.url.clone();
    let plain = plain(&database);
    // What there is of the server's settings, extensions and files, before and behind.
    let settings =
        "select count(*)::text from pg_file_settings where name = 'work_mem' and sourcefile like '%auto.conf'";
    let extensions = "select count(*)::text from pg_extension";
    let has_files = database.one("select count(*)::text from pg_available_extensions where name = 'pgcrypto'") == "1";
    for code in ["P173", "P174", "P181"] {
        let hazard = hazard(code);
        assert_eq!(effect_of(hazard.rule), Effect::NeedsRights, "{code}");
        database.url.clone_from(&plain);
        let refused = database.try_query(hazard.bad).expect_err("a role without rights");
        let refused = refused.as_database_error().unwrap_or_else(|| panic!("{code}: {refused}"));
        assert!(matches!(refused.code().as_deref(), Some("42501" | "0A000" | "58P01")), "{code}: {refused}");
        for good in hazard.good {
            database.query(&format!("begin; {good} rollback;"));
        }
        database.url.clone_from(&owner);
        let before = (database.one(settings), database.one(extensions));
        let done = database.try_query(hazard.bad);
        let after = (database.one(settings), database.one(extensions));
        match code {
            "P173" => {
                done.expect("the server's owner");
                assert_eq!((before.0.as_str(), after.0.as_str()), ("0", "1"), "every database gets the setting");
                let inside = database.try_query(&format!("begin; {} commit", hazard.bad)).expect_err("no transaction");
                assert!(inside.to_string().contains("transaction block"), "{inside}");
            }
            // Without its files not even the server's owner can.
            "P174" if !has_files => assert!(done.is_err()),
            "P174" => {
                done.expect("the server's owner");
                assert_ne!(before.1, after.1);
            }
            _ => {
                done.expect("the server's owner");
                // A program of the server's own user, in the server's own folder.
                database.query("copy t (id) to program 'cat > p181.out'");
                assert_eq!(database.one("select (length(pg_read_file('p181.out')) > 0)::text"), "true");
            }
        }
        if code != "P173" {
            assert_eq!(before.0, after.0);
        }
    }
}

#[test]
fn p184_a_commit_of_its_own_keeps_half_of_a_migration() {
    let database = Database::fresh(Kind::Postgres);
    let hazard = hazard("P184");
    // The server takes it: the statement in front of the COMMIT stays, though the one behind it fails.
    database.try_query(&format!("begin; {} select 1 / 0;", hazard.bad)).expect_err("a division by zero");
    assert!(database.has_table("a1"));
    database.query("drop table a1");
    assert!(execution(Engine::Postgresql, hazard.bad, false).is_err(), "Godwit refuses it before anything is sent");
    for good in hazard.good {
        let Ok(Execution::Transaction { body, .. }) = execution(Engine::Postgresql, good, false) else {
            panic!("{good} is one transaction")
        };
        database.try_query(&format!("begin; {} select 1 / 0; commit;", &good[body])).expect_err("a division by zero");
        assert!(!database.has_table("a1"), "{good}");
    }
}

/// A migration behind [`SCHEMA`] with every rewrite that holds, and the rules that it mends.
fn rewritten(sql: &str) -> (String, Vec<String>) {
    let files = [
        SourceFile::new("0001_schema.up.sql", SCHEMA.as_bytes()),
        SourceFile::new("0002_m.up.sql", sql.as_bytes()),
        SourceFile::new("0002_m.down.sql", "select 1;".as_bytes()),
    ];
    let set = resolve(&files, &[MigrationRoot::folder("")]);
    let scope = Scope::Paths(["0002_m.up.sql".to_owned()].into());
    let today = chrono::NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
    let report = check(&set, &LintConfig::default(), &scope, today);
    let fixed = fixes(&set, &report, &LintConfig::default(), &scope, today);
    let Some(file) = fixed.first() else { return (sql.to_owned(), Vec::new()) };
    (file.apply(sql).unwrap(), file.mended.iter().map(|v| v.rule.clone()).collect())
}

/// The statements of a script as a run sends them: all of them as one, or one by one.
fn sent(sql: &str) -> Vec<String> {
    match execution(Engine::Postgresql, sql, sql.contains("-- godwit: no-transaction")) {
        Ok(Execution::Transaction { body, .. }) => vec![sql[body].to_owned()],
        Ok(Execution::Statements(all)) => all.into_iter().map(|s| sql[s.range].to_owned()).collect(),
        Err(error) => panic!("{sql}: {error}"),
    }
}

#[test]
fn what_fix_writes_runs_and_does_no_longer_what_the_rule_warns_of() {
    let mut without = Vec::new();
    for (rule, bad) in [
        ("adding-field-with-default", "alter table t add column c uuid default gen_random_uuid();"),
        ("add-column-with-check", "alter table t add column c int default 1 check (c > 0);"),
        ("adding-foreign-key-constraint", "alter table t add column c bigint default 1 references ref (id);"),
        ("adding-not-nullable-field", "alter table t alter column f set not null;"),
        ("disallowed-unique-constraint", "alter table t add constraint t_f unique (f);"),
        ("constraint-missing-not-valid", "alter table t add constraint positive check (e >= 0);"),
        ("require-concurrent-index-creation", "create index i on t (a);"),
        ("require-concurrent-index-deletion", "drop index t_b;"),
        ("concurrent-index-if-not-exists", "create index concurrently if not exists i on t (a);"),
        ("drop-cascade", "drop view v cascade;"),
        ("timeout-off", "set lock_timeout = 0; alter table t add column c int;"),
        ("foreign-key-without-index", "create table c (id bigint primary key, ref_id bigint references ref (id));"),
        ("json-column", "alter table t add column c json;"),
        ("prefer-timestamp-tz", "alter table t add column c timestamp;"),
    ] {
        let (good, mended) = rewritten(bad);
        if !mended.iter().any(|r| r == rule) {
            without.push(format!("{rule}: {bad} gives {good} ({mended:?})"));
            continue;
        }
        let database = Database::fresh(Kind::Postgres);
        fill(&database, true);
        let effect = effect_of(rule);
        let lossy = matches!(effect, Effect::Loses | Effect::Unmeasured | Effect::FailsOnRows);
        for statement in sent(&good) {
            let seen = run(&database, &statement);
            if let Some(error) = &seen.failed {
                panic!("{rule}: `{statement}` does not run: {error}");
            }
            assert!(lossy || !seen.shows(effect), "{rule}: `{statement}` still shows {effect:?}: {seen:?}");
            // What ran in a transaction of its own was rolled back to be looked at.
            if matches!(execution(Engine::Postgresql, &statement, false), Ok(Execution::Transaction { .. })) {
                database.query(&statement);
            }
        }
    }
    assert!(without.is_empty(), "{}", without.join("\n"));
}

#[test]
fn not_null_and_unique_hold_once_fix_has_rewritten_them() {
    let database = Database::fresh(Kind::Postgres);
    fill(&database, true);
    for bad in ["alter table t alter column f set not null;", "alter table t add constraint t_f unique (f);"] {
        sent(&rewritten(bad).0).iter().for_each(|statement| drop(database.query(statement)));
    }
    let columns = "select attnotnull::text from pg_attribute where attrelid = 't'::regclass and attname = 'f'";
    assert_eq!(database.one(columns), "true");
    let constraints = "select string_agg(contype::text, ',' order by conname) from pg_constraint \
                       where conrelid = 't'::regclass and conname in ('t_f', 't_f_not_null')";
    assert_eq!(database.one(constraints), "u");
    database.try_query("insert into t (id, f) values (100001, 1)").expect_err("f is unique");
}
