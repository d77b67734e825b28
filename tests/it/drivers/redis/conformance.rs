//! What the runner relies on; the words of the suite for the other drivers, with Redis' own effects.

use chrono::Utc;
use godwit::drivers::redis::RedisDriver;
use godwit::drivers::{Driver as _, DriverError, Session as _, SessionOptions, SingleStatement};
use godwit::ids::{Checksum, Epoch, MigrationId, RunId, TargetName};
use godwit::migration::execution::Nature;
use godwit::plan::{HistoryRow, MigrationState, StepAction};
use secrecy::SecretString;

use crate::support::redis::{BOTH, RedisProject};
use crate::support::wait;

fn options() -> SessionOptions {
    let mut options = SessionOptions::new(RunId::generate(), "tester", &TargetName::new("shop").unwrap());
    options.lock_wait = std::time::Duration::from_millis(300);
    options
}

fn row(id: &str, state: MigrationState, run: &RunId, epoch: Epoch) -> HistoryRow {
    let now = Utc::now();
    HistoryRow {
        unit: "u'n\\it".to_owned(),
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
        pr: Some(godwit::ids::PrNumber(17)),
        commit: None,
        statements_done: 0,
        error: None,
    }
}

async fn suite(project: &RedisProject) {
    let url = SecretString::from(project.url.clone());
    let connect = || RedisDriver::connect(&url);
    let mut driver = connect().await.unwrap();
    assert_eq!(driver.history().await.unwrap(), []);
    assert_eq!(driver.holder().await.unwrap(), None);
    let capabilities = driver.capabilities().await.unwrap();
    assert!(capabilities.transactions && !capabilities.version.is_empty());
    let schema = driver.schema().await.unwrap();
    assert!(schema.objects.contains_key("setting maxmemory-policy"), "{schema:?}");

    // The lock keeps a second one out, tells it who, and is given back by its owner only.
    let first = options();
    let session = driver.lock(&first).await.unwrap();
    let mut second = connect().await.unwrap();
    let holder = second.holder().await.unwrap().expect("somebody holds it");
    assert!(holder.who.contains(&format!("godwit:{}", first.run)), "{holder:?}");
    let refused = second.lock(&options()).await.expect_err("it is held");
    assert!(matches!(refused, DriverError::Locked(h) if h.who.contains(first.run.as_str())));
    session.unlock().await.unwrap();

    // The fence only rises.
    let mine = options();
    let mut session = connect().await.unwrap().lock(&mine).await.unwrap();
    assert_eq!(session.fence(Epoch(41)).await.unwrap(), Epoch(42));
    assert_eq!(session.fence(Epoch(0)).await.unwrap(), Epoch(43));
    let epoch = Epoch(43);

    // Rows read as they were written; times are the server's.
    let running = row("3_c", MigrationState::Running, &mine.run, epoch);
    session.write_row(&running).await.unwrap();
    let read = session.history().await.unwrap();
    assert_eq!((&read[0].unit, &read[0].by, read[0].pr), (&running.unit, &running.by, running.pr));
    assert!((Utc::now() - read[0].started_at).num_seconds().abs() < 60);

    // What commits with its mark: said twice, it is done once.
    let key = project.key("counter");
    let text = format!(r#"{{"type": "script", "lua": "return redis.call('INCR', KEYS[1])", "keys": ["{key}"]}}"#);
    let single = |done| SingleStatement {
        backfill: None,
        text: &text,
        range: 0..text.len(),
        line: 1,
        checks: &[],
        nature: Nature::Transactional,
        unit: &running.unit,
        id: &running.id,
        done,
    };
    assert_eq!(session.run_statement(&single(1)).await.unwrap(), Some(1));
    session.run_statement(&single(1)).await.unwrap();
    let marks = |rows: Vec<HistoryRow>| rows.iter().map(|r| (r.state, r.statements_done)).collect::<Vec<_>>();
    assert_eq!(marks(session.history().await.unwrap()), [(MigrationState::Running, 1)]);
    assert_eq!(project.ask::<i64>(&["GET", &key]), 1);
    session.unlock().await.unwrap();

    // Who was taken over changes nothing more, in any of the ways.
    let mut stale = connect().await.unwrap().lock(&mine).await.unwrap();
    stale.fence(Epoch(0)).await.unwrap();
    project.ask::<i64>(&["HINCRBY", &format!("godwit:{{{}}}:fence", project.namespace), "epoch", "1"]);
    let late = row("4_d", MigrationState::Applied, &mine.run, epoch);
    let results =
        [stale.run_statement(&single(2)).await.map(|_| ()), stale.mark(&single(2)).await, stale.write_row(&late).await];
    for result in results {
        assert!(matches!(result, Err(DriverError::Fenced)), "{result:?}");
    }
    assert_eq!(marks(stale.history().await.unwrap()), [(MigrationState::Running, 1)]);
    assert_eq!(project.ask::<i64>(&["GET", &key]), 1);
    stale.unlock().await.unwrap();

    // Neither does one whose server has gone back behind its fence.
    let mut early = connect().await.unwrap().lock(&mine).await.unwrap();
    early.fence(Epoch(0)).await.unwrap();
    project.ask::<i64>(&["HINCRBY", &format!("godwit:{{{}}}:fence", project.namespace), "epoch", "-1"]);
    let lost = early.write_row(&late).await;
    assert!(matches!(&lost, Err(DriverError::Unreachable(m)) if m.contains("lost the last things")), "{lost:?}");
}

#[test]
fn redis_conforms() {
    for cluster in BOTH {
        let project = RedisProject::new(cluster, &[]);
        wait(suite(&project));
    }
}
