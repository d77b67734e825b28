//! What the runner relies on, asked of each driver in the same words. A new engine is finished when this passes.

mod counters;
mod fixtures;
mod questions;

use std::pin::Pin;
use std::time::Duration;

use chrono::Utc;
use godwit::drivers::elasticsearch::ElasticsearchDriver;
use godwit::drivers::mongodb::MongodbDriver;
use godwit::drivers::postgres::PostgresDriver;
use godwit::drivers::redis::RedisDriver;
use godwit::drivers::sqlite::SqliteDriver;
use godwit::drivers::{Driver, DriverError, Session, SessionOptions, SingleStatement};
use godwit::ids::{Checksum, Epoch, MigrationId, RunId, TargetName};
use godwit::migration::execution::{self, Statement};
use godwit::plan::{HistoryRow, MigrationState, StepAction};

use crate::kill::steps::{files, fill, steps};
use crate::support::{ALL, Kind, Own, Project, wait};
use fixtures::Fixture;

/// How a driver of a type is made.
type Connecting<D> = Pin<Box<dyn Future<Output = Result<D, DriverError>>>>;

/// A fixture and how to come to its driver.
struct World<D> {
    it: Fixture,
    connect: Box<dyn Fn() -> Connecting<D>>,
}

impl<D: Driver> World<D> {
    async fn driver(&self) -> D {
        (self.connect)().await.unwrap()
    }

    /// A session with a fence of its own.
    async fn session(&self, options: &SessionOptions) -> (D::Session, Epoch) {
        let mut session = self.driver().await.lock(options).await.unwrap();
        let epoch = session.fence(Epoch(0)).await.unwrap();
        (session, epoch)
    }

    /// The statements of a script of this engine, and what they are on this server.
    async fn statements(&self, text: &str) -> Vec<Statement> {
        let transactions = self.driver().await.capabilities().await.unwrap().transactions;
        let mut all = execution::statements(self.it.database.kind.engine(), text).unwrap();
        for statement in &mut all {
            statement.nature = statement.nature_on(transactions);
        }
        all
    }
}

fn options() -> SessionOptions {
    let mut options = SessionOptions::new(RunId::generate(), "tester", &TargetName::new("shop").unwrap());
    options.lock_wait = Duration::from_secs(20);
    options
}

fn impatient() -> SessionOptions {
    SessionOptions { lock_wait: Duration::from_millis(300), ..options() }
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

fn single<'a>(text: &'a str, statement: &Statement, row: &'a HistoryRow, done: i32) -> SingleStatement<'a> {
    SingleStatement {
        text,
        range: statement.range.clone(),
        line: statement.line,
        checks: &[],
        nature: statement.nature,
        backfill: None,
        unit: &row.unit,
        id: &row.id,
        done,
    }
}

/// The state of a row, and how many of its statements are done.
fn marks(rows: &[HistoryRow], id: &str) -> Option<(MigrationState, i32)> {
    rows.iter().find(|r| r.id.as_str() == id).map(|r| (r.state, r.statements_done))
}

/// Every question of every kind, each a test of its own.
macro_rules! ask {
    ($($module:ident: $kind:ident, $driver:ty;)*) => {
        $(mod $module {
            use super::*;
            fn world() -> World<$driver> {
                let it = Fixture::of(Kind::$kind);
                let url = it.database.secret_url();
                World {
                    it,
                    connect: Box::new(move || {
                        let url = url.clone();
                        Box::pin(async move { <$driver>::connect(&url).await })
                    }),
                }
            }
            ask!(@each
                nobody_has_been_here
                r9_the_lock_keeps_a_second_one_out_and_tells_it_who
                r9_the_lock_of_a_dead_process_is_taken
                r9_the_lock_of_a_living_process_is_not_taken
                r9_clocks_that_are_hours_apart_neither_end_a_lease_nor_keep_it
                r4_the_fence_only_rises
                a_statement_takes_effect_and_is_marked
                a_failed_statement_tells_the_servers_words_and_leaves_nothing
                a_mark_alone_changes_nothing_else
                r4_who_was_taken_over_changes_nothing_in_any_way
                rows_read_as_they_were_written
                r21_a_probe_tells_what_is_there_from_what_is_not
                what_was_done_can_be_taken_back_and_what_was_not_is_left_alone
                r20_batches_go_on_where_they_were_stopped
                capabilities_and_schema_say_the_same_twice_and_nothing_of_godwit
            );
        })*
    };
    (@each $($question:ident)*) => {
        $(#[test]
        fn $question() {
            wait(questions::$question(&world()));
        })*
    };
}

ask! {
    postgresql: Postgres, PostgresDriver;
    sqlite: Sqlite, SqliteDriver;
    mongodb: Mongodb, MongodbDriver;
    mongodb_standalone: MongodbStandalone, MongodbDriver;
    redis: Redis, RedisDriver;
    redis_cluster: RedisCluster, RedisDriver;
    elasticsearch: Elasticsearch, ElasticsearchDriver;
}

/// A release by one who was overtaken: its runtime stands still while the lease passes and another takes the lock.
fn overtaken<D: Driver>(kind: Kind, connect: impl Fn(&secrecy::SecretString) -> Connecting<D>) {
    let it = Fixture::of(kind);
    let url = it.database.secret_url();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (slow, quick) = (runtime(), runtime());
    let short = SessionOptions { lease: Duration::from_millis(400), ..options() };
    let first = slow.block_on(async { connect(&url).await.unwrap().lock(&short).await.unwrap() });
    let mine = options();
    let second = quick.block_on(async { connect(&url).await.unwrap().lock(&mine).await.unwrap() });
    let _ = slow.block_on(first.unlock());
    let holder = quick.block_on(async { connect(&url).await.unwrap().holder().await.unwrap() });
    assert!(holder.is_some_and(|h| h.who.contains(mine.run.as_str())), "{kind:?}: the lock was given away");
    quick.block_on(second.unlock()).unwrap();
}

#[test]
fn r9_a_release_never_takes_anothers_lock() {
    // The locks of PostgreSQL and SQLite are a connection's and a process's: there is nothing that another could take.
    for kind in [Kind::Mongodb, Kind::MongodbStandalone] {
        overtaken::<MongodbDriver>(kind, |url| {
            let url = url.clone();
            Box::pin(async move { MongodbDriver::connect(&url).await })
        });
    }
    for kind in [Kind::Redis, Kind::RedisCluster] {
        overtaken::<RedisDriver>(kind, |url| {
            let url = url.clone();
            Box::pin(async move { RedisDriver::connect(&url).await })
        });
    }
    overtaken::<ElasticsearchDriver>(Kind::Elasticsearch, |url| {
        let url = url.clone();
        Box::pin(async move { ElasticsearchDriver::connect(&url).await })
    });
}

#[test]
fn r15_a_plan_writes_nothing_on_any_engine() {
    for kind in ALL {
        for step in steps(kind) {
            let project = Project::new(kind, &[]);
            for (name, text) in files(&project.database, *step) {
                project.write(&name, &text);
            }
            let first = if matches!(kind, Kind::Postgres | Kind::Sqlite) { "0001_first" } else { "001_first" };
            project.run(&["apply", "--yes", "--to", first]).expect(0);
            fill(&project.database);
            let now = || (project.database.contents(Own::Too), project.database.look().schema);
            let before = now();
            for arguments in [&["plan", "--format", "json"][..], &["apply", "--dry-run"], &["status"]] {
                project.run(arguments).expect(0);
                assert_eq!(now(), before, "{kind:?} {arguments:?}");
            }
        }
    }
}
