//! Every fail point × what can go wrong there × every kind of database × the kinds of step it has; the oracle is an
//! uninterrupted run. Tests play a part of it; `scripts/kill-matrix` plays all and writes `docs/kill-matrix.md`.

use std::path::PathBuf;
use std::time::Instant;

use godwit::drivers::failpoint::NAMES;

use super::cell::{Cell, FAULTS, Fault, Place};
use super::report::Results;
use super::steps::steps;
use sqlx::Connection as _;

use crate::support::{ALL, BOTH, Database, Kind, Project};

/// Every cell of a kind.
fn all(kind: Kind) -> Vec<Cell> {
    let mut cells = Vec::new();
    for step in steps(kind) {
        for (fault, _) in FAULTS.into_iter().filter(|(f, _)| f.is_for(kind)) {
            cells.extend(NAMES.map(|point| Cell { kind, step: *step, point, fault }));
        }
    }
    cells
}

/// Every point with a kill, the steps taking turns, and one of each other fault that leaves the server alone.
fn part(kind: Kind) -> Vec<Cell> {
    let steps = steps(kind);
    let killed = NAMES.iter().enumerate().map(|(n, point)| (*point, Fault::Kill, n));
    let other = [
        ("stmt_sent", Fault::Reset, 0),
        ("commit_sent", Fault::Reset, 1),
        ("stmt_acked", Fault::Stop, 1),
        // Before anything but the lock: it has to be told of before it is taken.
        ("lock_post", Fault::Stop, 0),
        ("commit_acked", Fault::StoreLost, 0),
        ("record_pre", Fault::StoreOld, 1),
    ];
    killed
        .chain(other)
        .filter(|(_, fault, _)| fault.is_for(kind))
        .map(|(point, fault, n)| Cell { kind, step: steps[n % steps.len()], point, fault })
        .collect()
}

/// What a variable names, or everything.
fn chosen(variable: &str, word: &str) -> bool {
    std::env::var(variable).ok().filter(|v| !v.is_empty()).is_none_or(|v| v.split(',').any(|w| w == word))
}

/// Runs the part, or with GODWIT_KILL_MATRIX, a folder for results, whatever of the whole is not there yet.
fn hold(kind: Kind) {
    let Some(folder) = std::env::var_os("GODWIT_KILL_MATRIX").map(PathBuf::from) else {
        let mut place = Place::shared(kind);
        for cell in part(kind) {
            if let Err(why) = place.run(cell) {
                panic!("{cell}: {why}");
            }
        }
        return;
    };
    let results = Results::in_folder(&folder, std::env::var("GODWIT_KILL_BUILD").unwrap_or_default());
    let done = results.of(kind);
    let mut cells = all(kind);
    cells.retain(|c| {
        chosen("GODWIT_KILL_ENGINE", kind.name())
            && chosen("GODWIT_KILL_POINT", c.point)
            && chosen("GODWIT_KILL_FAULT", c.fault.name())
            && done.get(&c.to_string()).is_none_or(|r| !results.is_settled(r))
    });
    let mut failed = 0;
    if !cells.is_empty() {
        let mut place = Place::own(kind);
        for (n, cell) in cells.iter().enumerate() {
            let began = Instant::now();
            let result = place.run(*cell);
            let ms = began.elapsed().as_millis();
            let why = result.as_ref().err().map(String::as_str);
            results.add(*cell, why, ms);
            failed += u32::from(why.is_some());
            println!("{} {cell} ({}/{}, {ms} ms)", if why.is_some() { "FAIL" } else { "ok  " }, n + 1, cells.len());
        }
    }
    std::fs::write(folder.join("kill-matrix.md"), results.page()).unwrap();
    assert_eq!(failed, 0, "cells of {} do not hold", kind.name());
}

#[test]
fn r1_postgresql_disturbed_at_any_point_then_resumed_is_as_if_never_disturbed() {
    hold(Kind::Postgres);
}

#[test]
fn r1_sqlite_disturbed_at_any_point_then_resumed_is_as_if_never_disturbed() {
    hold(Kind::Sqlite);
}

#[test]
fn r1_mongodb_disturbed_at_any_point_then_resumed_is_as_if_never_disturbed() {
    hold(Kind::Mongodb);
}

#[test]
fn r1_mongodb_without_transactions_disturbed_at_any_point_then_resumed_is_as_if_never_disturbed() {
    hold(Kind::MongodbStandalone);
}

#[test]
fn r1_redis_disturbed_at_any_point_then_resumed_is_as_if_never_disturbed() {
    hold(Kind::Redis);
}

#[test]
fn r1_redis_cluster_disturbed_at_any_point_then_resumed_is_as_if_never_disturbed() {
    hold(Kind::RedisCluster);
}

#[test]
fn r1_elasticsearch_disturbed_at_any_point_then_resumed_is_as_if_never_disturbed() {
    hold(Kind::Elasticsearch);
}

#[test]
fn r1_a_server_that_crashes_and_comes_back_under_a_run_changes_nothing_of_its_end() {
    for (kind, point) in [(Kind::Postgres, "stmt_sent"), (Kind::Redis, "stmt_acked")] {
        let mut place = Place::own(kind);
        for step in steps(kind) {
            let cell = Cell { kind, step: *step, point, fault: Fault::Restart };
            if let Err(why) = place.run(cell) {
                panic!("{cell}: {why}");
            }
        }
    }
}

/// Three migrations of which the middle one takes its time.
fn files(kind: Kind) -> Vec<(&'static str, &'static str)> {
    vec![
        ("0001_hits.up.sql", "create table hits (n integer);\ninsert into hits values (1);"),
        (
            "0002_middle.up.sql",
            match kind {
                Kind::Postgres => "insert into hits values (2);\nselect pg_sleep(0.1);\ninsert into hits values (3);",
                _ => "insert into hits values (2);\ninsert into hits values (3);",
            },
        ),
        ("0003_more.up.sql", "insert into hits values (4);"),
    ]
}

#[test]
fn r2_killed_before_commit_neither_table_nor_row_is_there() {
    for (kind, sleep) in [(Kind::Postgres, "select pg_sleep(2);"), (Kind::Sqlite, "select 1;")] {
        let text = format!("create table a (n integer);\n{sleep}\ncreate table b (n integer);");
        let project = Project::new(kind, &[("1_a.up.sql", &text)]);
        let killed = project.run_killed_at("stmt_sent:kill", &["apply", "--yes"]);
        assert_eq!(killed.code, None);
        crate::support::until("the server has noticed", || {
            kind == Kind::Sqlite
                || project.database.one("select count(*)::text from pg_stat_activity where application_name like 'godwit:%' and datname = current_database()") == "0"
        });
        assert!(!project.database.has_table("a") && !project.database.has_table("b"), "{kind:?}");
        assert!(project.database.history().is_empty(), "{kind:?}");
    }
}

#[test]
fn r3_the_intent_is_in_the_store_before_the_first_statement() {
    for kind in BOTH {
        let project = Project::new(kind, &files(kind));
        assert_eq!(project.run_killed_at("intent_post:kill", &["apply", "--yes"]).code, None);
        assert!(!project.database.has_table("hits"));
        let store = format!("sqlite:{}", project.store().display());
        let fingerprint = project.database.one("select target_id from godwit_fence");
        let steps = crate::support::wait(async {
            let store = godwit::store::Store::open(&store).await.unwrap();
            store.unfinished_runs(&fingerprint).await.unwrap()
        });
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].steps.len(), 3);
        assert!(steps[0].epoch.0 > 0);
    }
}

#[test]
fn r3_the_intent_holds_the_hash_of_the_plan_and_every_step_with_its_class_on_every_engine() {
    for kind in ALL {
        let database = Database::fresh(kind);
        let files = super::steps::files(&database, steps(kind)[0]);
        let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        let project = Project::of(database, &files);
        assert_eq!(project.run_killed_at("intent_post:kill", &["apply", "--yes"]).code, None, "{kind:?}");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(project.store());
        let (plan, before, epoch, planned, told) = crate::support::wait(async {
            let mut store = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::query_as::<_, (String, String, i64, i64, i64)>(
                "SELECT t.plan_hash, t.history_hash, t.epoch, count(*), \
                 count(CASE WHEN s.recovery <> '' AND s.recovery_reason <> '' THEN 1 END) \
                 FROM run_targets t JOIN run_steps s ON s.run = t.run AND s.target = t.target GROUP BY 1, 2, 3",
            )
            .fetch_one(&mut store)
            .await
            .unwrap()
        });
        for hash in [&plan, &before] {
            let hash = hash.strip_prefix("sha256:").unwrap_or_else(|| panic!("{kind:?}: {hash}"));
            assert!(hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{kind:?}: {hash}");
        }
        assert_ne!(plan, before, "{kind:?}");
        assert!(epoch > 0, "{kind:?}");
        assert_eq!((planned, told), (3, 3), "{kind:?}");
    }
}

#[test]
fn an_interrupted_rollback_is_finished_by_resume_and_by_nothing_else() {
    for kind in BOTH {
        let down = if kind == Kind::Postgres { "drop index concurrently a_n;" } else { "vacuum;" };
        let up = if kind == Kind::Postgres { "create index concurrently a_n on a (n);" } else { "vacuum;" };
        let project = Project::new(
            kind,
            &[("1_a.up.sql", "create table a (n integer);"), ("2_b.up.sql", up), ("2_b.down.sql", down)],
        );
        project.run(&["apply", "--yes"]).expect(0);
        let killed = project.run_killed_at("stmt_acked:kill", &["rollback", "--steps", "1", "--yes"]);
        assert_eq!(killed.code, None);
        let said = project.run(&["apply", "--yes"]).expect(3);
        assert!(said.stdout.contains("resume"), "{said:?}");
        project.run(&["resume"]).expect(0);
        assert_eq!(project.database.history(), ["1_a applied", "2_b rolled_back"], "{kind:?}");
    }
}

#[test]
fn r4_resume_closes_a_run_that_had_nothing_left_to_do() {
    for kind in BOTH {
        let project = Project::new(kind, &files(kind));
        assert_eq!(project.run_killed_at("record_pre:kill", &["apply", "--yes"]).code, None);
        let fingerprint = project.database.one("select target_id from godwit_fence");
        let store = format!("sqlite:{}", project.store().display());
        let open = || {
            crate::support::wait(async {
                let store = godwit::store::Store::open(&store).await.unwrap();
                store.unfinished_runs(&fingerprint).await.unwrap().len()
            })
        };
        assert_eq!(open(), 1);
        let said = project.run(&["resume", "--format", "json"]).expect(0).json();
        assert_eq!((&said["outcome"], said["ended"].as_array().unwrap().len()), (&"nothing".into(), 1), "{said}");
        assert_eq!(open(), 0, "{kind:?}");
        assert!(project.run(&["resume", "--format", "json"]).expect(0).json().get("ended").is_none());
    }
}
