//! The driver by itself: history, lock, fence.

use std::time::Duration;

use chrono::Utc;
use godwit::drivers::elasticsearch::{ElasticsearchDriver, ElasticsearchSession};
use godwit::drivers::{Driver as _, DriverError, Probe, Session as _, SessionOptions, SingleStatement};
use godwit::ids::{Checksum, Epoch, MigrationId, PrNumber, RunId, TargetName};
use godwit::migration::execution::Nature;
use godwit::plan::{HistoryRow, MigrationState, StepAction};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::elasticsearch::Cluster;
use crate::support::wait;

async fn connect(cluster: &Cluster) -> ElasticsearchDriver {
    ElasticsearchDriver::connect(&SecretString::from(cluster.url.clone())).await.unwrap()
}

fn options() -> SessionOptions {
    let mut options = SessionOptions::new(RunId::generate(), "tester", &TargetName::new("shop").unwrap());
    options.lock_wait = Duration::from_millis(300);
    options.retry_for = Duration::from_secs(5);
    options
}

fn patient() -> SessionOptions {
    SessionOptions { lock_wait: Duration::from_secs(20), ..options() }
}

fn row(id: &str, state: MigrationState, run: &RunId, epoch: Epoch) -> HistoryRow {
    let now = Utc::now();
    HistoryRow {
        unit: "u'n\\it/ü".to_owned(),
        id: MigrationId::new(id).unwrap(),
        version: "1".to_owned(),
        checksum: Checksum::new(format!("sha256:{}", "a".repeat(64))).unwrap(),
        state,
        action: StepAction::Apply,
        epoch,
        run: run.clone(),
        started_at: now,
        finished_at: (state != MigrationState::Running).then_some(now),
        duration_ms: 0,
        by: "o'brien".to_owned(),
        pr: Some(PrNumber(17)),
        commit: None,
        statements_done: 0,
        error: None,
    }
}

fn statement<'a>(text: &'a str, row: &'a HistoryRow, done: i32) -> SingleStatement<'a> {
    SingleStatement {
        text,
        range: 0..text.len(),
        line: 1,
        checks: &[],
        nature: Nature::Verifiable,
        backfill: None,
        unit: &row.unit,
        id: &row.id,
        done,
    }
}

/// A session with a fence and a row that is being worked on.
async fn begun(cluster: &Cluster, options: &SessionOptions, id: &str) -> (ElasticsearchSession, HistoryRow) {
    let mut session = connect(cluster).await.lock(options).await.unwrap();
    let epoch = session.fence(Epoch(0)).await.unwrap();
    let row = row(id, MigrationState::Running, &options.run, epoch);
    session.write_row(&row).await.unwrap();
    (session, row)
}

#[test]
fn it_does_what_the_runner_relies_on() {
    let cluster = Cluster::fresh();
    wait(async {
        let mut driver = connect(&cluster).await;
        assert_eq!(driver.history().await.unwrap(), []);
        assert_eq!(driver.holder().await.unwrap(), None);
        assert!(driver.capabilities().await.unwrap().version.starts_with("7."));

        // The lock keeps a second one out, tells it who, and goes with its holder.
        let first = options();
        let session = driver.lock(&first).await.unwrap();
        let mut second = connect(&cluster).await;
        let holder = second.holder().await.unwrap().expect("somebody holds it");
        assert!(holder.who.contains(&format!("godwit:{}", first.run)), "{holder:?}");
        let refused = second.lock(&options()).await.err().expect("it is held");
        assert!(matches!(refused, DriverError::Locked(h) if h.who.contains(first.run.as_str())));
        session.unlock().await.unwrap();
        drop(connect(&cluster).await.lock(&options()).await.unwrap());

        // The fence only rises.
        let mine = patient();
        let mut session = connect(&cluster).await.lock(&mine).await.unwrap();
        assert_eq!(session.fence(Epoch(41)).await.unwrap(), Epoch(42));
        assert_eq!(session.fence(Epoch(0)).await.unwrap(), Epoch(43));
        let fingerprint = session.fingerprint().to_owned();

        // Rows are read as they were written, each one and all together.
        let mut rows = Vec::new();
        for n in 0..5 {
            let mut row = row(&format!("{n}_a"), MigrationState::Running, &mine.run, Epoch(43));
            session.write_row(&row).await.unwrap();
            row.state = MigrationState::Applied;
            row.finished_at = Some(Utc::now());
            session.write_row(&row).await.unwrap();
            rows.push(row);
        }
        let read = session.history().await.unwrap();
        assert_eq!(read.len(), 5);
        for (read, row) in read.iter().zip(&rows) {
            assert_eq!((&read.unit, &read.id, read.state, read.pr), (&row.unit, &row.id, row.state, row.pr));
            assert!(read.finished_at.is_some() && (Utc::now() - read.started_at).num_seconds().abs() < 60);
        }
        session.unlock().await.unwrap();
        let mut again = connect(&cluster).await;
        assert_eq!(again.history().await.unwrap(), read);
        let session = again.lock(&mine).await.unwrap();
        assert_eq!(session.fingerprint(), fingerprint);
        session.unlock().await.unwrap();
    });
    // Godwit's own indices are no part of the schema, and not reached by patterns.
    let all = cluster.ok("GET", "_cat/indices/*?format=json&h=index", None).to_string();
    assert!(!all.contains(&format!("godwit_{}", cluster.prefix)), "{all}");
}

#[test]
fn r4_a_runner_that_was_overtaken_changes_nothing_in_any_way() {
    let cluster = Cluster::fresh();
    cluster.fill("~v1", 3);
    cluster.fill("~v2", 3);
    cluster.ok("PUT", "~v1/_alias/~orders", None);
    wait(async {
        let (mut stale, row) = begun(&cluster, &options(), "1_a").await;
        // It is stopped for longer than its lease; another takes over. The lock's document is taken away to say so.
        cluster.ok("DELETE", &format!("godwit_{}_fence/_doc/lock", cluster.prefix), None);
        let (newer, _) = begun(&cluster, &options(), "2_b").await;
        let create = cluster.text(r#"{"type": "create_index", "index": "~zombie"}"#);
        let swap = cluster.text(r#"{"type": "swap_alias", "alias": "~orders", "from": "~v1", "to": "~v2"}"#);
        let delete = cluster.text(r#"{"type": "delete_index", "index": "~v1"}"#);
        let mut results = Vec::new();
        for text in [&create, &swap, &delete] {
            results.push(stale.run_statement(&statement(text, &row, 1)).await.map(|_| ()));
            results.push(stale.mark(&statement(text, &row, 1)).await);
        }
        results.push(stale.write_row(&HistoryRow { state: MigrationState::Applied, ..row.clone() }).await);
        for result in results {
            assert!(matches!(result, Err(DriverError::Fenced)), "{result:?}");
        }
        drop(stale);
        newer.unlock().await.unwrap();
    });
    assert_eq!(cluster.indices(), ["v1", "v2"]);
    assert_eq!(cluster.on("~orders"), ["v1"]);
    assert_eq!(cluster.history(), ["1_a running", "2_b running"]);
}

#[test]
fn r4_the_call_that_moves_an_alias_or_deletes_an_index_fails_by_itself_when_the_epoch_has_risen() {
    let cluster = Cluster::fresh();
    cluster.fill("~v1", 1);
    cluster.ok("PUT", "~v1/_alias/~orders", None);
    let fence = format!("godwit_{}_fence", cluster.prefix);
    wait(async {
        let (session, _) = begun(&cluster, &options(), "1_a").await;
        session.unlock().await.unwrap();
        let (session, _) = begun(&cluster, &options(), "1_a").await;
        session.unlock().await.unwrap();
    });
    // What a runner of epoch 1 had already sent arrives now.
    let gate = |epoch: i64| {
        vec![
            json!({"remove": {"index": fence, "alias": format!("{fence}_e{epoch}"), "must_exist": true}}),
            json!({"add": {"index": fence, "alias": format!("{fence}_e{epoch}"), "is_hidden": true}}),
        ]
    };
    for late in [
        json!({"remove": {"index": "~v1", "alias": "~orders", "must_exist": true}}),
        json!({"remove_index": {"index": "~v1"}}),
    ] {
        let mut actions = gate(1);
        actions.push(late);
        let (status, answer) = cluster.call("POST", "_aliases", Some(json!({"actions": actions})));
        assert_eq!(status, 404, "{answer}");
    }
    assert_eq!(cluster.on("~orders"), ["v1"]);
    let mut actions = gate(2);
    actions.push(json!({"remove": {"index": "~v1", "alias": "~orders", "must_exist": true}}));
    cluster.ok("POST", "_aliases", Some(json!({"actions": actions})));
    assert!(cluster.on("~orders").is_empty());
}

#[test]
fn r9_a_dead_process_is_taken_over_at_once_and_a_silent_one_after_its_lease_and_not_before() {
    let cluster = Cluster::fresh();
    wait(async {
        let session = connect(&cluster).await.lock(&options()).await.unwrap();
        session.unlock().await.unwrap();
    });
    let path = format!("godwit_{}_fence/_doc/lock?refresh=true", cluster.prefix);
    let owner = |lease: u64, beat: u64| {
        json!({"run": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "by": "ann", "host": "elsewhere", "pid": 1, "process": null,
               "since": "2024-01-01T00:00:00Z", "lease_ms": lease, "beat": beat})
    };
    cluster.ok("PUT", &path, Some(owner(60_000, 0)));
    wait(async {
        let refused = connect(&cluster).await.lock(&options()).await.err().expect("it may be alive");
        assert!(matches!(refused, DriverError::Locked(h) if h.from == "elsewhere"));
    });
    // One that still renews is alive, however long it takes.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for beat in 1..8 {
                cluster.ok("PUT", &path, Some(owner(800, beat)));
                std::thread::sleep(Duration::from_millis(150));
            }
        });
        wait(async {
            let options = SessionOptions { lock_wait: Duration::from_millis(900), ..options() };
            let refused = connect(&cluster).await.lock(&options).await;
            assert!(matches!(refused, Err(DriverError::Locked(_))), "it renews");
        });
    });
    wait(async {
        let options = SessionOptions { lock_wait: Duration::from_secs(20), ..options() };
        connect(&cluster).await.lock(&options).await.expect("its lease is over").unlock().await.unwrap();
    });
}

#[test]
fn r5_a_copy_that_a_dead_run_left_is_ended_before_anything_else() {
    let cluster = Cluster::fresh();
    cluster.fill("~v1", 300);
    cluster.ok("PUT", "~v2", None);
    wait(async {
        let dead = options();
        let (mut session, row) = begun(&cluster, &dead, "1_a").await;
        let text = cluster.text(
            r#"{"type": "reindex", "source": "~v1", "dest": "~v2", "wait": false, "requests_per_second": 20, "batch_size": 10}"#,
        );
        session.run_statement(&statement(&text, &row, 1)).await.unwrap();
        session.unlock().await.unwrap();
        let tasks = || cluster.ok("GET", "_tasks?detailed=true&actions=*reindex", None).to_string();
        assert!(tasks().contains(&format!("godwit:{}:", dead.run)), "{}", tasks());
        let mut next = connect(&cluster).await.lock(&options()).await.unwrap();
        next.settle_orphans(&[RunId::generate()]).await.unwrap();
        assert!(tasks().contains(dead.run.as_str()), "another's is left alone");
        next.settle_orphans(std::slice::from_ref(&dead.run)).await.unwrap();
        assert!(!tasks().contains(dead.run.as_str()), "{}", tasks());
        next.unlock().await.unwrap();
    });
}

#[test]
fn what_an_operation_found_is_kept_until_the_migration_begins_anew() {
    let cluster = Cluster::fresh();
    let create = cluster.text(r#"{"type": "create_index", "index": "~a"}"#);
    let undo =
        cluster.text(r#"{"type": "undo", "operation": 0, "line": 1, "of": {"type": "create_index", "index": "~a"}}"#);
    wait(async {
        let mine = options();
        let (mut session, row) = begun(&cluster, &mine, "1_a").await;
        // Nothing is taken back of what never took effect.
        assert_eq!(session.probe(&statement(&undo, &row, 1)).await.unwrap(), Probe::Done);
        session.run_statement(&statement(&create, &row, 1)).await.unwrap();
        assert_eq!(session.probe(&statement(&create, &row, 1)).await.unwrap(), Probe::Done);
        let applied = HistoryRow {
            state: MigrationState::Applied,
            finished_at: Some(Utc::now()),
            statements_done: 1,
            ..row.clone()
        };
        session.write_row(&applied).await.unwrap();
        let other = super::session::row("2_b", MigrationState::Running, &mine.run, row.epoch);
        session.write_row(&other).await.unwrap();
        let back = HistoryRow { action: StepAction::Rollback, statements_done: 0, ..row.clone() };
        session.write_row(&back).await.unwrap();
        assert_eq!(session.probe(&statement(&undo, &row, 1)).await.unwrap(), Probe::NotStarted);
        session.run_statement(&statement(&undo, &row, 1)).await.unwrap();
        assert!(!cluster.exists("~a"));
        session.write_row(&HistoryRow { state: MigrationState::RolledBack, ..back }).await.unwrap();
        session.write_row(&row).await.unwrap();
        assert_eq!(session.probe(&statement(&undo, &row, 1)).await.unwrap(), Probe::Done);
        session.unlock().await.unwrap();
    });
    let shown: Value = cluster.own("fence", "target");
    assert_eq!(shown["_source"]["entry"]["undo"], json!({}));
}
