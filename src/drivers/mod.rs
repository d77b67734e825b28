//! The databases that migrations run on: one thin driver per engine. No policy inside.
//!
//! A [`Driver`] reads. Whoever wants to change something asks it for its lock and gets a [`Session`], the only value
//! that can; dropping it closes the connection that holds the lock, so no path leaves it behind.

mod batches;
#[cfg(feature = "elasticsearch")]
pub mod elasticsearch;
pub mod failpoint;
pub mod lease;
pub mod limits;
#[cfg(feature = "mongodb")]
pub mod mongodb;
mod native;
#[cfg(feature = "postgres")]
pub mod notices;
pub mod pace;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
pub mod scratch;
pub mod sqlite;
#[cfg(any(feature = "postgres", feature = "mongodb", feature = "redis", feature = "elasticsearch"))]
mod tls;
mod url;

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::ids::{Epoch, MigrationId, RunId, TargetName};
use crate::migration::execution::{Long, Nature};
use crate::migration::native::{Book, Found};
use crate::migration::{Backfill, Check};
use crate::plan::health::Reading;
use crate::plan::{Capabilities, HistoryRow, LockHolder, MigrationPlan, Objection, SchemaSnapshot};
use crate::risk::facts::TargetFacts;
pub use limits::Limits;
pub use pace::{Cancel, Pace, Progress};
pub use url::check_url;

/// Name of the table in which a target keeps what was applied.
pub const HISTORY: &str = "godwit_history";
/// Name of the table that holds a target's fencing token.
pub const FENCE: &str = "godwit_fence";
/// What a fenced statement fails with; chosen so that no server says it by itself.
pub const FENCED: &str = "GODWIT FENCED";

/// Whether a session makes Godwit's own tables where they are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnTables {
    /// It does: a run needs them.
    Make,
    /// It leaves the target as it is: what is done needs the lock alone.
    Leave,
}

/// How a session behaves.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// The run that asks.
    pub run: RunId,
    /// Who causes it, told to others who wait.
    pub by: String,
    /// How long to wait for another runner.
    pub lock_wait: Duration,
    /// How long one statement may wait for a lock of the database.
    pub lock_timeout: Duration,
    /// How long a step that could not get a lock is tried again, in all.
    pub retry_for: Duration,
    /// When the whole run must have ended.
    pub deadline: Option<Instant>,
    /// How long a lock lives without a word from its holder, where that is not known to be dead.
    pub lease: Duration,
    /// How a long statement goes on.
    pub pace: Pace,
    /// The name of the target, for what is told while it runs.
    pub target: TargetName,
    /// A person accepts that data is lost.
    pub accept_data_loss: bool,
    /// What becomes of Godwit's own tables; heeded by engines that know other tools' tables.
    pub own_tables: OwnTables,
}

impl SessionOptions {
    /// Usual bounds for `run`: a minute for another runner, three seconds for a lock, half a minute of trying again.
    pub fn new(run: RunId, by: &str, target: &TargetName) -> Self {
        Self {
            run,
            by: by.to_owned(),
            lock_wait: Duration::from_secs(60),
            lock_timeout: Duration::from_secs(3),
            retry_for: Duration::from_secs(30),
            deadline: None,
            lease: Duration::from_secs(30),
            pace: Pace::default(),
            target: target.clone(),
            accept_data_loss: false,
            own_tables: OwnTables::Make,
        }
    }
}

/// A script that runs as one transaction together with its history row.
#[derive(Debug)]
pub struct Script<'a> {
    /// The file's text.
    pub text: &'a str,
    /// The part of it that is sent.
    pub body: Range<usize>,
    /// Where the text is not held: what is known of the file, which is read while it is sent.
    pub long: Option<&'a Long>,
    /// Its queries that must give a value.
    pub checks: &'a [Check],
    /// The modes of the file's own BEGIN.
    pub modes: Option<&'a str>,
    /// The row as it reads afterwards; its times are the server's.
    pub row: &'a HistoryRow,
    /// Whether the history has a row of that name already.
    pub row_exists: bool,
}

/// One statement of a script that runs statement by statement.
#[derive(Debug)]
pub struct SingleStatement<'a> {
    /// The file's text.
    pub text: &'a str,
    /// The statement in it.
    pub range: Range<usize>,
    /// The line of the text, from 1, at which it begins.
    pub line: u32,
    /// The text's queries that must give a value.
    pub checks: &'a [Check],
    /// What may be done about it after a crash.
    pub nature: Nature,
    /// The row to mark progress in.
    pub unit: &'a str,
    /// The row to mark progress in.
    pub id: &'a MigrationId,
    /// Statements known done once this one is.
    pub done: i32,
    /// How it goes, for a statement in batches.
    pub backfill: Option<&'a Backfill>,
}

impl SingleStatement<'_> {
    /// The statement itself.
    pub fn sql(&self) -> &str {
        &self.text[self.range.clone()]
    }

    /// The queries in it that must give a value.
    pub fn own_checks(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|c| c.end > self.range.start && c.end <= self.range.end)
    }
}

/// What a read-only look says about a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Nothing of it is there.
    NotStarted,
    /// Somebody works on it at this moment.
    InProgress(String),
    /// Its effect is there, complete and as written.
    Done,
    /// Begun and not finished; these statements clean up, after which it can be run, or (`completes`) end it.
    Broken {
        /// What was found.
        found: String,
        /// Statements that repair, run outside a transaction.
        repair: Vec<String>,
        /// Whether the repair completes the effect rather than taking it back.
        completes: bool,
    },
    /// Something else has its place.
    Different(String),
    /// Nothing can be told.
    Unknown(String),
}

impl Probe {
    /// One line for the store's record.
    pub fn describe(&self) -> String {
        match self {
            Probe::NotStarted => "absent".to_owned(),
            Probe::InProgress(what) => format!("in progress: {what}"),
            Probe::Done => "done".to_owned(),
            Probe::Broken { found, .. } => format!("broken: {found}"),
            Probe::Different(what) => format!("different: {what}"),
            Probe::Unknown(why) => format!("unknown: {why}"),
        }
    }
}

/// Why a driver could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DriverError {
    /// The target cannot be reached, or went away and did not come back.
    #[error("{0}")]
    Unreachable(String),
    /// Another runner holds the lock and did not give it back in time.
    #[error("another run holds this target's lock: {} from {}, process {}, since {}", .0.who, .0.from, .0.pid, .0.since)]
    Locked(LockHolder),
    /// The connection goes through something that breaks the lock.
    #[error("{0}")]
    Pooled(String),
    /// A newer run took the target over; nothing of this one was done.
    #[error("a newer run has taken this target over; this one stopped before changing anything more")]
    Fenced,
    /// The server refused a statement.
    #[error("{0}")]
    Statement(StatementFailure),
    /// The connection was lost and made anew; what became of the statement must be probed.
    #[error("the connection was lost while a statement ran: {0}")]
    Lost(String),
    /// Somebody or the clock stopped a long statement between two batches; what is done is kept.
    #[error("{0}")]
    Stopped(String),
    /// The target's own tables hold something that this version does not understand.
    #[error("{0}")]
    History(String),
}

/// A statement's failure, located in the script's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementFailure {
    /// The server's own words.
    pub message: String,
    /// The server's code.
    pub code: Option<String>,
    /// Line within the script's text, from 1, if it can be told.
    pub line: Option<u32>,
    /// What to do, or who is in the way.
    pub hint: Option<String>,
}

impl std::fmt::Display for StatementFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Reads a target, and gives out its lock.
pub trait Driver: Sized + Send {
    /// What can change it.
    type Session: Session;

    /// What the target says was applied; empty where Godwit has never been.
    fn history(&mut self) -> impl Future<Output = Result<Vec<HistoryRow>, DriverError>> + Send;

    /// What identifies this database even when its name or address changes; none where Godwit has never been.
    fn identity(&mut self) -> impl Future<Output = Result<Option<String>, DriverError>> + Send;

    /// What the tables of other migration tools say, where they are there.
    fn native(&mut self, _book: &Book) -> impl Future<Output = Result<Vec<Found>, DriverError>> + Send {
        std::future::ready(Ok(Vec::new()))
    }

    /// Who holds the lock at the moment.
    fn holder(&mut self) -> impl Future<Output = Result<Option<LockHolder>, DriverError>> + Send;

    /// What the server can do, and how it calls itself.
    fn capabilities(&mut self) -> impl Future<Output = Result<Capabilities, DriverError>> + Send;

    /// Reads what the plan is about to touch and says what would go wrong or be lost, before anything is changed: a
    /// server below the floor of versions, an existing index of another shape, documents that break a new validator, a
    /// drop of a collection that is not empty. Changes nothing.
    fn preflight(&mut self, plan: &MigrationPlan) -> impl Future<Output = Result<Vec<Objection>, DriverError>> + Send;

    /// The live schema, object by object, without Godwit's own tables; two equal databases give equal snapshots.
    fn schema(&mut self) -> impl Future<Output = Result<SchemaSnapshot, DriverError>> + Send;

    /// What the server says of its own health. What it does not tell, or not to this user, is left out.
    fn vitals(&mut self) -> impl Future<Output = Result<Vec<Reading>, DriverError>> + Send;

    /// How large its tables are and who holds them, of all or `only` of those named; `None` where an engine is not asked
    /// that.
    fn facts(
        &mut self,
        _only: Option<&BTreeSet<String>>,
    ) -> impl Future<Output = Result<Option<TargetFacts>, DriverError>> + Send {
        std::future::ready(Ok(None))
    }

    /// Whether a table, collection or index is there and can be read.
    fn readable(&mut self, name: &str) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// The first value of the first row of a query, which can change nothing; `None` without a row. Only SQL databases
    /// take queries.
    fn answer(&mut self, _sql: &str) -> impl Future<Output = Result<Option<String>, DriverError>> + Send {
        async { Err(no_queries()) }
    }

    /// Waits for the lock by polling, at most `options.lock_wait`, and makes Godwit's own tables where they are missing.
    fn lock(self, options: &SessionOptions) -> impl Future<Output = Result<Self::Session, DriverError>> + Send;
}

/// A connection that holds the target's lock.
pub trait Session: Send {
    /// What identifies this database even when its name or address changes.
    fn fingerprint(&self) -> &str;

    /// Reads again what identifies this database, after it was replaced as a whole from a backup of itself or of what it
    /// was before somebody made it anew.
    fn identify(&mut self) -> impl Future<Output = Result<(), DriverError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Raises the target's fencing token above its own and above `at_least`; lower ones are refused from then on.
    fn fence(&mut self, at_least: Epoch) -> impl Future<Output = Result<Epoch, DriverError>> + Send;

    /// What the target says was applied.
    fn history(&mut self) -> impl Future<Output = Result<Vec<HistoryRow>, DriverError>> + Send;

    /// What the tables of other migration tools say, where they are there.
    fn native(&mut self, _book: &Book) -> impl Future<Output = Result<Vec<Found>, DriverError>> + Send {
        std::future::ready(Ok(Vec::new()))
    }

    /// Keeps those tables from now on: what is written into the history is written into them in the same transaction.
    /// Those of `units` that are made where they are missing are made, with `applied` in them.
    fn keep_native(
        &mut self,
        _book: &Book,
        _found: &[Found],
        _units: &BTreeSet<&str>,
        _applied: &[(String, MigrationId)],
    ) -> impl Future<Output = Result<(), DriverError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Waits until no statement of `runs` is alive on the server, ending them when it takes too long.
    fn settle_orphans(&mut self, runs: &[RunId]) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Runs a script and writes its row in one transaction that asserts the fence. Lock waits are bounded and tried
    /// again; a lost connection is resolved by reading the row.
    fn run_script(&mut self, script: &Script<'_>) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Runs one statement and marks it done: in one transaction where the statement allows it, else one after the other.
    /// A statement in batches goes on from the checkpoint that an earlier attempt left. Gives the rows, documents or keys
    /// that it changed, those of earlier attempts included, where the server tells.
    fn run_statement(
        &mut self,
        statement: &SingleStatement<'_>,
    ) -> impl Future<Output = Result<Option<u64>, DriverError>> + Send;

    /// Says before the first statement of a script how the row reads once all are done. A driver that can writes the row
    /// together with the last one; [`Session::write_row`] is called all the same.
    fn ends_with(&mut self, _row: &HistoryRow) {}

    /// Whether the statement with which so many are done was done together with one before it, since the row was written.
    fn came_along(&self, _done: i32) -> bool {
        false
    }

    /// Marks a statement done that a probe found done.
    fn mark(&mut self, statement: &SingleStatement<'_>) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Looks whether a statement's effect is there. Changes nothing.
    fn probe(&mut self, statement: &SingleStatement<'_>) -> impl Future<Output = Result<Probe, DriverError>> + Send;

    /// Runs a repair that a probe named.
    fn repair(&mut self, statement: &str) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Why the next batch or migration should wait, if it should: the server or a replica has more to do than `limits` allow
    /// [S4-90]. What the server does not tell, or not to this user, is no reason.
    fn strain(&mut self, _limits: &Limits) -> impl Future<Output = Result<Option<String>, DriverError>> + Send {
        std::future::ready(Ok(None))
    }

    /// Puts data into the target, from the text of a file in the form of its engine. SQL is one transaction, which is taken
    /// back where it fails; of the others what stands before the failure may stay.
    fn fill(&mut self, text: &str) -> impl Future<Output = Result<(), DriverError>> + Send {
        async move {
            // A comment may end the script without a line break.
            let done = self.repair(&format!("BEGIN;\n{text}\n;COMMIT")).await;
            if matches!(done, Err(DriverError::Statement(_))) {
                // Nothing may be open where the server has taken it back by itself.
                let _ = self.repair("ROLLBACK").await;
            }
            done
        }
    }

    /// Writes a row as it is, under the fence. `started_at`, `finished_at` and `duration_ms` are taken from the server
    /// where the row says `running` or ends a running one.
    fn write_row(&mut self, row: &HistoryRow) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Gives the lock back.
    fn unlock(self) -> impl Future<Output = Result<(), DriverError>> + Send;
}

fn no_queries() -> DriverError {
    refused("this kind of database takes no queries")
}

/// A failure that no server said.
fn refused(message: impl Into<String>) -> DriverError {
    DriverError::Statement(StatementFailure { message: message.into(), code: None, line: None, hint: None })
}

/// The one query of a text; several could leave the transaction that keeps them from changing anything.
fn one_query(engine: crate::ids::Engine, sql: &str) -> Result<&str, DriverError> {
    let statements = crate::migration::execution::statements(engine, sql).map_err(|e| refused(e.message))?;
    match statements.as_slice() {
        [one] => Ok(&sql[one.range.clone()]),
        _ => Err(refused("write one query")),
    }
}

/// The objection to a server whose version is below `floor`; one whose version cannot be read is let pass.
#[cfg(any(feature = "postgres", feature = "mongodb", feature = "redis", feature = "elasticsearch"))]
pub(crate) fn below_floor(name: &str, version: &str, floor: &[u32]) -> Option<Objection> {
    let parts: Option<Vec<u32>> = version.split('.').take(floor.len()).map(|p| p.parse().ok()).collect();
    let too_old = parts.is_some_and(|p| !p.is_empty() && p.as_slice() < floor);
    let floor = floor.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    too_old.then(|| Objection {
        kind: crate::plan::ObjectionKind::Version,
        migration: None,
        file: None,
        line: None,
        message: format!("the server is {name} {version}; migrations need {floor} or newer"),
        what_to_do: format!("upgrade it to {name} {floor} at least"),
    })
}

/// A waiting time around `base`: half of it to one and a half, so that runners do not step together.
pub(crate) fn jittered(base: Duration) -> Duration {
    // The clock's nanoseconds are random enough for that.
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    base / 2 + base.mul_f64(f64::from(nanos % 1000) / 1000.0)
}

#[cfg(all(test, any(feature = "postgres", feature = "mongodb", feature = "redis", feature = "elasticsearch")))]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_number_by_number_with_the_floor() {
        for (version, floor, refused) in [
            ("7.9", &[7, 15][..], true),
            ("7.9.3", &[7, 15], true),
            ("7.15.0", &[7, 15], false),
            ("7.17.29", &[7, 15], false),
            ("8.0.0", &[7, 15], false),
            ("6.10", &[7, 15], true),
            ("12.18", &[13], true),
            ("13.0", &[13], false),
            ("13devel", &[13], false),
            ("", &[13], false),
        ] {
            let objection = below_floor("It", version, floor);
            assert_eq!(objection.is_some(), refused, "{version} against {floor:?}");
            if let Some(objection) = objection {
                assert!(objection.message.contains(&format!("the server is It {version}; ")), "{objection:?}");
            }
        }
    }
}
