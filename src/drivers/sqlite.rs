//! SQLite: a lock of the operating system on a file beside the database, and one transaction per migration.

mod batches;
mod health;
mod native;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use super::native::Kept;
use super::{
    Driver, DriverError, FENCE, HISTORY, Probe, Script, Session, SessionOptions, SingleStatement, StatementFailure,
    failpoint, jittered, refused,
};
use crate::ids::{Checksum, CommitSha, Engine, Epoch, MigrationId, PrNumber, RunId};
use crate::migration::execution::{self, Nature, touches_session};
use crate::migration::native::{Book, Found};
use crate::plan::health::Reading;
use crate::plan::{
    Capabilities, HistoryRow, LockHolder, MigrationPlan, MigrationState, Objection, SchemaSnapshot, StepAction,
};

/// A database file, opened if it is there.
#[derive(Debug)]
pub struct SqliteDriver {
    path: PathBuf,
    connection: Option<SqliteConnection>,
}

impl SqliteDriver {
    /// Opens the file of `sqlite:FILE`. A file that is not there counts as an empty database and is made only by a run.
    ///
    /// # Errors
    /// When the URL names no file, or the file is no database.
    pub async fn connect(url: &SecretString) -> Result<Self, DriverError> {
        let path = file_of(url.expose_secret())?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
            return Err(DriverError::Unreachable(format!(
                "there is no folder `{}`, in which the SQLite database `{}` is to be",
                folder.display(),
                path.display()
            )));
        }
        let connection = if path.exists() { Some(open(&path, false, Duration::from_secs(5)).await?) } else { None };
        Ok(Self { path, connection })
    }

    /// How it means to carry out a statement of a rehearsal, line by line.
    ///
    /// # Errors
    /// When the statement has no plan, or names what is not there.
    pub async fn plan(&mut self, statement: &str) -> Result<Vec<String>, DriverError> {
        health::plan(self.connection.as_mut(), statement).await
    }
}

/// The file of a `sqlite:` URL.
pub(crate) fn file_of(url: &str) -> Result<PathBuf, DriverError> {
    let rest = url.strip_prefix("sqlite:").unwrap_or(url);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let file = rest.split('?').next().unwrap_or(rest);
    if file.is_empty() || file == ":memory:" {
        return Err(DriverError::Unreachable("the URL of a SQLite target names its file: `sqlite:FILE`".to_owned()));
    }
    Ok(PathBuf::from(file))
}

async fn open(path: &Path, create: bool, busy: Duration) -> Result<SqliteConnection, DriverError> {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        // As the database itself has it: a migration that rebuilds a table must not cascade.
        .foreign_keys(false)
        .busy_timeout(busy)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|e| DriverError::Unreachable(format!("cannot open the SQLite database `{}`: {e}", path.display())))
}

fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".godwit-lock");
    PathBuf::from(name)
}

impl Driver for SqliteDriver {
    type Session = SqliteSession;

    async fn history(&mut self) -> Result<Vec<HistoryRow>, DriverError> {
        match &mut self.connection {
            Some(connection) => read_history(connection).await.map_err(|e| held(e, &self.path)),
            None => Ok(Vec::new()),
        }
    }

    async fn native(&mut self, book: &Book) -> Result<Vec<Found>, DriverError> {
        match &mut self.connection {
            Some(connection) => native::read(connection, book).await.map_err(|e| held(e, &self.path)),
            None => Ok(Vec::new()),
        }
    }

    async fn holder(&mut self) -> Result<Option<LockHolder>, DriverError> {
        let path = lock_path(&self.path);
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else { return Ok(None) };
        match file.try_lock() {
            Ok(()) => Ok(None),
            Err(_) => Ok(Some(holder_in(&file))),
        }
    }

    async fn capabilities(&mut self) -> Result<Capabilities, DriverError> {
        Ok(Capabilities { version: String::new(), transactions: true, notes: Vec::new() })
    }

    async fn preflight(&mut self, _plan: &MigrationPlan) -> Result<Vec<Objection>, DriverError> {
        // SQLite comes with this program.
        Ok(Vec::new())
    }

    async fn schema(&mut self) -> Result<SchemaSnapshot, DriverError> {
        let Some(connection) = &mut self.connection else { return Ok(SchemaSnapshot::default()) };
        // Other tools' tables are no part of what migrations make.
        let sql = "SELECT type || ' ' || name, coalesce(sql, 'implied') FROM sqlite_master \
                   WHERE tbl_name NOT IN ('godwit_history', 'godwit_fence', 'schema_migrations', '_prisma_migrations', \
                   'flyway_schema_history', '_sqlx_migrations', '__diesel_schema_migrations', 'goose_db_version', \
                   'gorp_migrations') AND name NOT LIKE 'sqlite_%'";
        let rows: Vec<(String, String)> =
            sqlx::query_as(sql).fetch_all(connection).await.map_err(|e| DriverError::Unreachable(e.to_string()))?;
        Ok(SchemaSnapshot { objects: rows.into_iter().collect(), details: None })
    }

    async fn vitals(&mut self) -> Result<Vec<Reading>, DriverError> {
        // A file has no server that could be busy.
        Ok(Vec::new())
    }

    async fn readable(&mut self, name: &str) -> Result<(), DriverError> {
        health::readable(self.connection.as_mut(), name).await
    }

    async fn answer(&mut self, sql: &str) -> Result<Option<String>, DriverError> {
        health::answer(self.connection.as_mut(), sql).await
    }

    async fn lock(self, options: &SessionOptions) -> Result<SqliteSession, DriverError> {
        let path = lock_path(&self.path);
        let cannot = |e: std::io::Error| {
            DriverError::Unreachable(format!("cannot make the lock file `{}`: {e}", path.display()))
        };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(cannot)?;
        let began = Instant::now();
        let mut pause = Duration::from_millis(5);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if began.elapsed() < options.lock_wait => {
                    tokio::time::sleep(jittered(pause)).await;
                    pause = (pause * 2).min(Duration::from_millis(250));
                }
                Err(TryLockError::WouldBlock) => return Err(DriverError::Locked(holder_in(&file))),
                Err(TryLockError::Error(e)) => return Err(cannot(e)),
            }
        }
        let note =
            format!("{}\tgodwit:{} ({})\t{}\n", std::process::id(), options.run, options.by, Utc::now().to_rfc3339());
        // What stands in the file is for people only.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes()));
        let busy = options.lock_timeout;
        let connection = match self.connection {
            Some(connection) => connection,
            None => open(&self.path, true, busy).await?,
        };
        let mut session = SqliteSession {
            path: self.path,
            connection,
            lock: file,
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
}

fn holder_in(mut file: &File) -> LockHolder {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let mut parts = text.trim().split('\t');
    let pid = parts.next().and_then(|p| p.parse().ok()).unwrap_or(0);
    LockHolder {
        pid,
        who: parts.next().unwrap_or("unknown").to_owned(),
        from: "this machine".to_owned(),
        since: parts.next().unwrap_or("unknown").to_owned(),
        doing: None,
    }
}

const COLUMNS: &str = "unit, id, version, checksum, state, action, epoch, run, started_at, finished_at, duration_ms, \
                       by_whom, pr, commit_id, statements_done, error";

async fn read_history(connection: &mut SqliteConnection) -> Result<Vec<HistoryRow>, DriverError> {
    let sql = format!("SELECT {COLUMNS} FROM {HISTORY} ORDER BY started_at, unit, id");
    match sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(&mut *connection).await {
        Ok(rows) => rows.iter().map(history_row).collect(),
        Err(sqlx::Error::Database(e)) if e.message().contains("no such table") => Ok(Vec::new()),
        Err(error) => Err(failure(&error, None)),
    }
}

fn history_row(row: &SqliteRow) -> Result<HistoryRow, DriverError> {
    let bad = |what: &str, value: &str| {
        DriverError::History(format!(
            "the table `{HISTORY}` holds `{value}` as {what}, which this version does not understand"
        ))
    };
    let unreadable = |e: sqlx::Error| DriverError::History(format!("the table `{HISTORY}` cannot be read: {e}"));
    let text = |i: usize| row.try_get::<String, _>(i).map_err(unreadable);
    let number = |i: usize| row.try_get::<i64, _>(i).map_err(unreadable);
    let time = |ms: i64| DateTime::from_timestamp_millis(ms).ok_or_else(|| bad("a time", &ms.to_string()));
    let (id, checksum, state, action, run) = (text(1)?, text(3)?, text(4)?, text(5)?, text(7)?);
    Ok(HistoryRow {
        unit: text(0)?,
        id: MigrationId::new(id.as_str()).map_err(|_| bad("a migration id", &id))?,
        version: text(2)?,
        checksum: Checksum::new(checksum.as_str()).map_err(|_| bad("a checksum", &checksum))?,
        state: MigrationState::parse(&state).ok_or_else(|| bad("a state", &state))?,
        action: StepAction::parse(&action).ok_or_else(|| bad("an action", &action))?,
        epoch: Epoch(number(6)?),
        run: RunId::new(run.as_str()).map_err(|_| bad("a run", &run))?,
        started_at: time(number(8)?)?,
        finished_at: row.try_get::<Option<i64>, _>(9).map_err(unreadable)?.map(time).transpose()?,
        duration_ms: number(10)?,
        by: text(11)?,
        pr: row.try_get::<Option<i64>, _>(12).map_err(unreadable)?.and_then(|n| u64::try_from(n).ok()).map(PrNumber),
        commit: row.try_get::<Option<String>, _>(13).map_err(unreadable)?.and_then(|t| CommitSha::new(t).ok()),
        statements_done: i32::try_from(number(14)?).unwrap_or(i32::MAX),
        error: row.try_get(15).map_err(unreadable)?,
    })
}

/// Any error as the driver's.
fn failure(error: &sqlx::Error, line: Option<u32>) -> DriverError {
    match error {
        sqlx::Error::Database(e) => DriverError::Statement(StatementFailure {
            message: crate::redact::text(e.message()),
            code: e.code().map(|c| c.to_string()),
            line,
            hint: None,
        }),
        other => DriverError::Unreachable(format!("the SQLite database failed: {other}")),
    }
}

/// What a file that somebody else holds says of itself, in words that help.
fn held(error: DriverError, path: &Path) -> DriverError {
    if !is_busy(&error) {
        return error;
    }
    DriverError::Unreachable(format!(
        "another program holds `{}` ({error}): wait until it has ended, or raise `--lock-timeout`",
        path.display()
    ))
}

/// SQLITE_BUSY or SQLITE_LOCKED, extended codes included.
fn is_busy(error: &DriverError) -> bool {
    match error {
        DriverError::Statement(f) => {
            f.code.as_deref().and_then(|c| c.parse::<i32>().ok()).is_some_and(|c| matches!(c & 0xff, 5 | 6))
        }
        DriverError::Unreachable(_)
        | DriverError::Locked(_)
        | DriverError::Pooled(_)
        | DriverError::Fenced
        | DriverError::Lost(_)
        | DriverError::Stopped(_)
        | DriverError::History(_) => false,
    }
}

/// The connection that changes a SQLite target; see [`Session`].
#[derive(Debug)]
pub struct SqliteSession {
    path: PathBuf,
    connection: SqliteConnection,
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
    /// Has statements of migrations stopped once the run's time is up.
    async fn watch_the_clock(&mut self) -> Result<(), DriverError> {
        let Some(deadline) = self.options.deadline else { return Ok(()) };
        let bounded = Arc::clone(&self.bounded);
        let mut handle = self.connection.lock_handle().await.map_err(|e| failure(&e, None))?;
        handle.set_progress_handler(LOOK_EVERY, move || !bounded.load(Ordering::Relaxed) || Instant::now() < deadline);
        Ok(())
    }

    /// From here on a migration's own statements run, or they have run.
    fn bound(&self, own: bool) {
        self.bounded.store(own, Ordering::Relaxed);
    }

    /// An error in the words of a run: that its time was up is why SQLite was interrupted.
    fn explained(&self, error: DriverError) -> DriverError {
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
            return self.upgrade().await;
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

    async fn say(&mut self, sql: &str) -> Result<(), DriverError> {
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
    async fn begin(&mut self) -> Result<(), DriverError> {
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

    fn check_time(&self) -> Result<(), DriverError> {
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
            return super::batches::run(self, statement, &options).await;
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
