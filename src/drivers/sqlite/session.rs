//! The connection that changes a SQLite database.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

use super::{COLUMNS, failure, health, held, is_busy, native, open, read_history};
use crate::drivers::native::Kept;
use crate::drivers::{
    DriverError, FENCE, HISTORY, OwnTables, Probe, Script, Session, SessionOptions, SingleStatement, StatementFailure,
    failpoint, jittered, refused,
};
use crate::ids::{Engine, Epoch, MigrationId, RunId};
use crate::migration::execution::{self, Nature, touches_session};
use crate::migration::native::{Book, Found};
use crate::plan::{HistoryRow, MigrationState};

/// The connection that changes a SQLite target; see [`Session`].
#[derive(Debug)]
pub struct SqliteSession {
    path: PathBuf,
    pub(super) connection: SqliteConnection,
    lock: File,
    options: SessionOptions,
    fingerprint: String,
    epoch: Epoch,
    kept: Option<Kept>,
    /// Whether what runs is a migration's, which ends with the run's time; what is recorded of it does not.
    bounded: Arc<AtomicBool>,
}

/// Steps of SQLite's machine between two looks at the clock.
const LOOK_EVERY: i32 = 10_000;

impl SqliteSession {
    /// A session on a database whose lock is held, ready to run.
    pub(super) async fn begin_on(
        path: PathBuf,
        connection: SqliteConnection,
        lock: File,
        options: &SessionOptions,
    ) -> Result<Self, DriverError> {
        let mut session = Self {
            path,
            connection,
            lock,
            options: options.clone(),
            fingerprint: String::new(),
            epoch: Epoch(0),
            kept: None,
            bounded: Arc::default(),
        };
        session.watch_the_clock().await?;
        // One that was opened to be read waits as long as a reader does.
        let patience = format!("PRAGMA busy_timeout = {}", options.lock_timeout.as_millis());
        session.say(&patience).await?;
        let prepared = session.prepare().await;
        prepared.map_err(|e| held(e, &session.path))?;
        Ok(session)
    }

    /// Has statements of migrations stopped once the run's time is up.
    async fn watch_the_clock(&mut self) -> Result<(), DriverError> {
        let Some(deadline) = self.options.deadline else { return Ok(()) };
        let bounded = Arc::clone(&self.bounded);
        let mut handle = self.connection.lock_handle().await.map_err(|e| failure(&e, None))?;
        handle.set_progress_handler(LOOK_EVERY, move || !bounded.load(Ordering::Relaxed) || Instant::now() < deadline);
        Ok(())
    }

    /// From here on a migration's own statements run, or they have run.
    pub(super) fn bound(&self, own: bool) {
        self.bounded.store(own, Ordering::Relaxed);
    }

    /// An error in the words of a run: that its time was up is why SQLite was interrupted.
    pub(super) fn explained(&self, error: DriverError) -> DriverError {
        match error {
            DriverError::Statement(mut f) if f.code.as_deref() == Some("9") && self.check_time().is_err() => {
                f.message = format!("{TIME_IS_UP}: {}", f.message);
                DriverError::Statement(f)
            }
            other => other,
        }
    }

    async fn prepare(&mut self) -> Result<(), DriverError> {
        let read = format!("SELECT target_id FROM {FENCE} WHERE k = 'target'");
        if let Ok(row) = sqlx::query(AssertSqlSafe(read)).persistent(false).fetch_one(&mut self.connection).await {
            self.fingerprint = row.try_get(0).map_err(|e| failure(&e, None))?;
            return match self.options.own_tables {
                OwnTables::Make => self.upgrade().await,
                OwnTables::Leave => Ok(()),
            };
        }
        if self.options.own_tables == OwnTables::Leave {
            return Ok(());
        }
        let id = RunId::generate();
        let make = format!(
            "BEGIN IMMEDIATE;\
             CREATE TABLE IF NOT EXISTS {HISTORY} (unit TEXT NOT NULL, id TEXT NOT NULL, version TEXT NOT NULL, \
             checksum TEXT NOT NULL, state TEXT NOT NULL, action TEXT NOT NULL, epoch INTEGER NOT NULL, run TEXT NOT NULL, \
             started_at INTEGER NOT NULL, finished_at INTEGER, duration_ms INTEGER NOT NULL, by_whom TEXT NOT NULL, pr INTEGER, \
             commit_id TEXT, statements_done INTEGER NOT NULL, error TEXT, progress TEXT, PRIMARY KEY (unit, id));\
             CREATE TABLE IF NOT EXISTS {FENCE} (k TEXT NOT NULL PRIMARY KEY, epoch INTEGER NOT NULL, target_id TEXT NOT NULL, \
             taken_by TEXT NOT NULL, taken_at INTEGER NOT NULL);\
             INSERT OR IGNORE INTO {FENCE} VALUES ('target', 0, '{id}', '', 0);\
             COMMIT;"
        );
        self.say(&make).await?;
        let read = format!("SELECT target_id FROM {FENCE} WHERE k = 'target'");
        let row = sqlx::query(AssertSqlSafe(read))
            .persistent(false)
            .fetch_one(&mut self.connection)
            .await
            .map_err(|e| failure(&e, None))?;
        self.fingerprint = row.try_get(0).map_err(|e| failure(&e, None))?;
        Ok(())
    }

    /// Adds the column that tables of earlier versions do not have.
    async fn upgrade(&mut self) -> Result<(), DriverError> {
        let sql = format!("SELECT 1 FROM pragma_table_info('{HISTORY}') WHERE name = 'progress'");
        let found = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_optional(&mut self.connection)
            .await
            .map_err(|e| failure(&e, None))?;
        match found {
            Some(_) => Ok(()),
            None => self.say(&format!("ALTER TABLE {HISTORY} ADD COLUMN progress TEXT")).await,
        }
    }

    pub(super) async fn say(&mut self, sql: &str) -> Result<(), DriverError> {
        self.say_at(sql, None).await
    }

    async fn say_at(&mut self, sql: &str, line: Option<u32>) -> Result<(), DriverError> {
        // SQLite reads no further, and what asks it for the next statement would ask for ever.
        if sql.contains('\0') {
            return Err(refused("holds a NUL byte"));
        }
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await.map(|_| ()).map_err(|e| failure(&e, line))
    }

    /// Opens the write transaction and asserts the fence in it.
    pub(super) async fn begin(&mut self) -> Result<(), DriverError> {
        self.say("BEGIN IMMEDIATE").await?;
        let sql = format!("SELECT epoch FROM {FENCE} WHERE k = 'target'");
        let epoch: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_optional(&mut self.connection)
            .await
            .map_err(|e| failure(&e, None))?;
        if epoch == Some(self.epoch.0) { Ok(()) } else { Err(DriverError::Fenced) }
    }

    async fn put(&mut self, row: &HistoryRow, started: DateTime<Utc>) -> Result<(), DriverError> {
        let now = Utc::now();
        let finished = row.finished_at.map(|_| now.timestamp_millis());
        // Begun milliseconds count: what was done took some time.
        let took = || (now - started).num_microseconds().map_or(i64::MAX, |us| us.max(0).saturating_add(999) / 1000);
        let duration = if row.finished_at.is_some() { took() } else { 0 };
        // A checkpoint outlives every attempt, but not the end of the matter.
        let over = matches!(row.state, MigrationState::Applied | MigrationState::RolledBack);
        let progress = if over { ", progress=NULL" } else { "" };
        let sql = format!(
            "INSERT INTO {HISTORY} ({COLUMNS}) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16) \
             ON CONFLICT (unit, id) DO UPDATE SET version=excluded.version, checksum=excluded.checksum, state=excluded.state, \
             action=excluded.action, epoch=excluded.epoch, run=excluded.run, started_at=excluded.started_at, \
             finished_at=excluded.finished_at, duration_ms=excluded.duration_ms, by_whom=excluded.by_whom, pr=excluded.pr, \
             commit_id=excluded.commit_id, statements_done=excluded.statements_done, error=excluded.error{progress}"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(&row.unit)
            .bind(row.id.as_str())
            .bind(&row.version)
            .bind(row.checksum.as_str())
            .bind(row.state.as_str())
            .bind(row.action.as_str())
            .bind(row.epoch.0)
            .bind(row.run.as_str())
            .bind(started.timestamp_millis())
            .bind(finished)
            .bind(duration)
            .bind(&row.by)
            .bind(row.pr.and_then(|p| i64::try_from(p.0).ok()))
            .bind(row.commit.as_ref().map(|c| c.as_str()))
            .bind(row.statements_done)
            .bind(&row.error)
            .execute(&mut self.connection)
            .await
            .map_err(|e| failure(&e, None))?;
        match self.kept.as_ref().map(|kept| kept.follow(row, "")).filter(|sql| !sql.is_empty()) {
            Some(sql) => self.say(&sql).await,
            None => Ok(()),
        }
    }

    async fn set_done(&mut self, statement: &SingleStatement<'_>) -> Result<(), DriverError> {
        let sql = format!("UPDATE {HISTORY} SET statements_done = ?1, progress = NULL WHERE unit = ?2 AND id = ?3");
        sqlx::query(AssertSqlSafe(sql))
            .bind(statement.done)
            .bind(statement.unit)
            .bind(statement.id.as_str())
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(|e| failure(&e, None))
    }

    pub(super) fn check_time(&self) -> Result<(), DriverError> {
        if self.options.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(DriverError::Statement(StatementFailure {
                message: TIME_IS_UP.to_owned(),
                code: None,
                line: None,
                hint: None,
            }));
        }
        Ok(())
    }

    /// One attempt at a script; the caller rolls back.
    async fn attempt(&mut self, script: &Script<'_>) -> Result<(), DriverError> {
        let started = Utc::now();
        if script.long.is_some() {
            return Err(refused("a script of SQLite is held as a whole"));
        }
        self.begin().await?;
        let body = &script.text[script.body.clone()];
        let offset = line_of(script.text, script.body.start) - 1;
        let statements = execution::statements(Engine::Sqlite, body).map_err(|e| {
            DriverError::Statement(StatementFailure {
                message: e.message,
                code: None,
                line: Some(offset + e.line),
                hint: Some(e.help),
            })
        })?;
        self.bound(true);
        for (n, statement) in statements.iter().enumerate() {
            self.check_time()?;
            let line = Some(offset + statement.line);
            self.say_at(&body[statement.range.clone()], line).await?;
            let end = script.body.start + statement.range.end;
            for check in script.checks.iter().filter(|c| c.end == end) {
                health::holds(&mut self.connection, check, line).await?;
            }
            if n == 0 {
                failpoint::hit("stmt_sent");
            }
        }
        self.bound(false);
        failpoint::hit("stmt_acked");
        self.put(script.row, started).await?;
        failpoint::hit("commit_sent");
        self.say("COMMIT").await?;
        failpoint::hit("commit_acked");
        Ok(())
    }

    async fn attempt_statement(&mut self, statement: &SingleStatement<'_>) -> Result<(), DriverError> {
        self.check_time()?;
        let sql = &statement.text[statement.range.clone()];
        let line = Some(statement.line);
        self.begin().await?;
        if statement.nature != Nature::Transactional {
            self.say("COMMIT").await?;
            failpoint::hit("stmt_sent");
            self.bound(true);
            self.say_at(sql, line).await?;
            self.bound(false);
            failpoint::hit("stmt_acked");
            self.begin().await?;
        } else {
            failpoint::hit("stmt_sent");
            self.bound(true);
            self.say_at(sql, line).await?;
            for check in statement.own_checks() {
                health::holds(&mut self.connection, check, Some(check.line)).await?;
            }
            self.bound(false);
            failpoint::hit("stmt_acked");
        }
        self.set_done(statement).await?;
        failpoint::hit("commit_sent");
        self.say("COMMIT").await?;
        failpoint::hit("commit_acked");
        Ok(())
    }

    /// What came of an attempt: rolled back if it failed, and whether to try again.
    async fn settle(&mut self, result: Result<(), DriverError>, began: Instant) -> Option<Result<(), DriverError>> {
        let Err(error) = result else { return Some(Ok(())) };
        self.bound(false);
        // Nothing is open when BEGIN itself failed.
        let _ = self.say("ROLLBACK").await;
        if is_busy(&error) && began.elapsed() < self.options.retry_for {
            tokio::time::sleep(jittered(Duration::from_millis(50))).await;
            return None;
        }
        Some(Err(match error {
            DriverError::Statement(mut f) if f.code.as_deref().is_some_and(|c| c == "5" || c == "517") => {
                f.hint = Some("another program is writing to this database; end it and run again".to_owned());
                DriverError::Statement(f)
            }
            other => self.explained(other),
        }))
    }
}

/// What is said of a run that may not go on.
const TIME_IS_UP: &str = "the run's time is up";

/// Line (from 1) of byte `at`.
fn line_of(text: &str, at: usize) -> u32 {
    u32::try_from(text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1).unwrap_or(u32::MAX)
}

impl Session for SqliteSession {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    async fn identify(&mut self) -> Result<(), DriverError> {
        self.prepare().await
    }

    async fn fence(&mut self, at_least: Epoch) -> Result<Epoch, DriverError> {
        let sql = format!(
            "UPDATE {FENCE} SET epoch = max(epoch, ?1) + 1, taken_by = ?2, taken_at = ?3 WHERE k = 'target' RETURNING epoch"
        );
        let epoch: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .persistent(false)
            .bind(at_least.0)
            .bind(&self.options.by)
            .bind(Utc::now().timestamp_millis())
            .fetch_one(&mut self.connection)
            .await
            .map_err(|e| failure(&e, None))?;
        self.epoch = Epoch(epoch);
        Ok(self.epoch)
    }

    async fn history(&mut self) -> Result<Vec<HistoryRow>, DriverError> {
        read_history(&mut self.connection).await
    }

    async fn native(&mut self, book: &Book) -> Result<Vec<Found>, DriverError> {
        native::read(&mut self.connection, book).await
    }

    async fn keep_native(
        &mut self,
        book: &Book,
        found: &[Found],
        units: &BTreeSet<&str>,
        applied: &[(String, MigrationId)],
    ) -> Result<(), DriverError> {
        let (kept, missing) = native::keep(book, found, units, applied);
        if !missing.is_empty() {
            self.say(&format!("BEGIN IMMEDIATE;{missing}COMMIT;")).await?;
        }
        self.kept = Some(kept);
        Ok(())
    }

    async fn settle_orphans(&mut self, _runs: &[RunId]) -> Result<(), DriverError> {
        // A statement of SQLite runs in the process that sent it and ends with it.
        Ok(())
    }

    async fn run_script(&mut self, script: &Script<'_>) -> Result<(), DriverError> {
        let began = Instant::now();
        loop {
            let result = self.attempt(script).await;
            if let Some(end) = self.settle(result, began).await {
                end?;
                break;
            }
        }
        if touches_session(Engine::Sqlite, &script.text[script.body.clone()]) {
            self.connection = open(&self.path, false, self.options.lock_timeout).await?;
            self.watch_the_clock().await?;
        }
        Ok(())
    }

    async fn run_statement(&mut self, statement: &SingleStatement<'_>) -> Result<Option<u64>, DriverError> {
        if statement.nature == Nature::Batched {
            let options = self.options.clone();
            return crate::drivers::batches::run(self, statement, &options).await;
        }
        let began = Instant::now();
        loop {
            let result = self.attempt_statement(statement).await;
            if let Some(end) = self.settle(result, began).await {
                return end.map(|()| None);
            }
        }
    }

    async fn mark(&mut self, statement: &SingleStatement<'_>) -> Result<(), DriverError> {
        let began = Instant::now();
        loop {
            let result = async {
                self.begin().await?;
                self.set_done(statement).await?;
                self.say("COMMIT").await
            }
            .await;
            if let Some(end) = self.settle(result, began).await {
                return end;
            }
        }
    }

    async fn probe(&mut self, _statement: &SingleStatement<'_>) -> Result<Probe, DriverError> {
        Ok(Probe::Unknown("SQLite keeps no record that could be looked at".to_owned()))
    }

    async fn repair(&mut self, statement: &str) -> Result<(), DriverError> {
        self.say(statement).await
    }

    async fn write_row(&mut self, row: &HistoryRow) -> Result<(), DriverError> {
        let began = Instant::now();
        loop {
            let result = async {
                self.begin().await?;
                self.put(row, row.started_at).await?;
                self.say("COMMIT").await
            }
            .await;
            if let Some(end) = self.settle(result, began).await {
                return end;
            }
        }
    }

    async fn unlock(self) -> Result<(), DriverError> {
        let _ = self.connection.close().await;
        // Closing the file gives the lock back.
        drop(self.lock);
        Ok(())
    }
}
