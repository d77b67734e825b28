//! What the runner relies on, asked of each driver in the same words. A new engine is finished when this passes.

use chrono::Utc;
use godwit::drivers::postgres::PostgresDriver;
use godwit::drivers::sqlite::SqliteDriver;
use godwit::drivers::{Driver, DriverError, Script, Session, SessionOptions, SingleStatement};
use godwit::ids::{Checksum, Epoch, MigrationId, RunId, TargetName};
use godwit::migration::execution::Nature;
use godwit::plan::{HistoryRow, MigrationState, StepAction};
use secrecy::SecretString;

use crate::support::{Database, Kind, wait};

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
        by: "o'brien; drop table a".to_owned(),
        pr: Some(godwit::ids::PrNumber(17)),
        commit: godwit::ids::CommitSha::new("0123456789abcdef0123456789abcdef01234567").ok(),
        statements_done: 0,
        error: None,
    }
}

fn script<'a>(text: &'a str, row: &'a HistoryRow) -> Script<'a> {
    Script { text, body: 0..text.len(), modes: None, row, row_exists: false }
}

async fn suite<D: Driver, F: Future<Output = Result<D, DriverError>>>(database: &Database, connect: impl Fn() -> F) {
    // Nobody has been here.
    let mut driver = connect().await.unwrap();
    assert_eq!(driver.history().await.unwrap(), []);
    assert_eq!(driver.holder().await.unwrap(), None);

    // The lock keeps a second one out, tells it who, and goes with its holder.
    let first = options();
    let session = driver.lock(&first).await.unwrap();
    let mut second = connect().await.unwrap();
    let holder = second.holder().await.unwrap().expect("somebody holds it");
    assert!(holder.who.contains(&format!("godwit:{}", first.run)), "{holder:?}");
    let refused = second.lock(&options()).await.err().expect("it is held");
    assert!(matches!(refused, DriverError::Locked(h) if h.who.contains(first.run.as_str())));
    session.unlock().await.unwrap();
    let dropped = connect().await.unwrap().lock(&options()).await.unwrap();
    drop(dropped);

    // The fence only rises.
    let mine = options();
    let mut patient = mine.clone();
    patient.lock_wait = std::time::Duration::from_secs(20);
    let mut session = connect().await.unwrap().lock(&patient).await.unwrap();
    let epoch = session.fence(Epoch(41)).await.unwrap();
    assert_eq!(epoch, Epoch(42));
    assert_eq!(session.fence(Epoch(0)).await.unwrap(), Epoch(43));
    let epoch = Epoch(43);

    // A script, its row and the fence are one.
    let applied = row("1_a", MigrationState::Applied, &mine.run, epoch);
    session.run_script(&script("create table a (n integer); -- end", &applied)).await.unwrap();
    let broken = row("2_b", MigrationState::Applied, &mine.run, epoch);
    let text = "create table b (n integer);\n\ninsert into nope values (1);";
    let failure = session.run_script(&script(text, &broken)).await.expect_err("no such table");
    assert!(matches!(failure, DriverError::Statement(f) if f.line == Some(3) && f.message.contains("nope")));
    let read = session.history().await.unwrap();
    assert_eq!(read.len(), 1);
    let [read] = &read[..] else { panic!("one row") };
    assert_eq!(
        (&read.unit, &read.id, &read.by, read.pr, &read.commit, read.epoch),
        (&applied.unit, &applied.id, &applied.by, applied.pr, &applied.commit, epoch)
    );
    assert!(read.finished_at.is_some() && (Utc::now() - read.started_at).num_seconds().abs() < 60);

    // Statement by statement: what can commits with its mark.
    let running = row("3_c", MigrationState::Running, &mine.run, epoch);
    session.write_row(&running).await.unwrap();
    let text = "insert into a values (1)";
    let single = |done| SingleStatement {
        text,
        range: 0..text.len(),
        nature: Nature::Transactional,
        backfill: None,
        unit: &running.unit,
        id: &running.id,
        done,
    };
    session.run_statement(&single(1)).await.unwrap();
    let marks =
        |rows: Vec<HistoryRow>| rows.iter().find(|r| r.id.as_str() == "3_c").map(|r| (r.state, r.statements_done));
    assert_eq!(marks(session.history().await.unwrap()), Some((MigrationState::Running, 1)));

    // Who was taken over changes nothing more, in any of the ways.
    session.unlock().await.unwrap();
    let mut stale = connect().await.unwrap().lock(&patient).await.unwrap();
    stale.fence(Epoch(0)).await.unwrap();
    let raise = "update godwit_fence set epoch = epoch + 1";
    let kind = database.kind;
    let url = database.url.clone();
    std::thread::scope(|s| {
        s.spawn(|| Database::at(kind, &url).execute(raise)).join().unwrap();
    });
    let late = row("4_d", MigrationState::Applied, &mine.run, epoch);
    let results = [
        stale.run_script(&script("create table d (n integer)", &late)).await,
        stale.run_statement(&single(2)).await.map(|_| ()),
        stale.mark(&single(2)).await,
        stale.write_row(&late).await,
    ];
    for result in results {
        assert!(matches!(result, Err(DriverError::Fenced)), "{result:?}");
    }
    let rows = stale.history().await.unwrap();
    assert!(rows.iter().all(|r| r.id.as_str() != "4_d"));
    assert_eq!(marks(rows), Some((MigrationState::Running, 1)));
    stale.unlock().await.unwrap();
}

#[test]
fn postgresql_conforms() {
    let database = Database::fresh(Kind::Postgres);
    let url = SecretString::from(database.url.clone());
    wait(suite(&database, || PostgresDriver::connect(&url)));
}

#[test]
fn sqlite_conforms() {
    let database = Database::fresh(Kind::Sqlite);
    let url = SecretString::from(database.url.clone());
    wait(suite(&database, || SqliteDriver::connect(&url)));
}
