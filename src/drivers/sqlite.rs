//! SQLite: a lock of the operating system on a file beside the database, and one transaction per migration.

mod batches;
mod health;
mod native;
mod session;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection};

pub use session::SqliteSession;

use super::{Driver, DriverError, FENCE, HISTORY, SessionOptions, StatementFailure, jittered};
use crate::ids::{Checksum, CommitSha, Epoch, MigrationId, PrNumber, RunId};
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

    async fn identity(&mut self) -> Result<Option<String>, DriverError> {
        match &mut self.connection {
            Some(connection) => read_identity(connection).await.map_err(|e| held(e, &self.path)),
            None => Ok(None),
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
        SqliteSession::begin_on(self.path, connection, file, options).await
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

/// What identifies the database.
async fn read_identity(connection: &mut SqliteConnection) -> Result<Option<String>, DriverError> {
    let sql = format!("SELECT target_id FROM {FENCE} WHERE k = 'target'");
    match sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_optional(&mut *connection).await {
        Ok(found) => Ok(found),
        Err(sqlx::Error::Database(e)) if e.message().contains("no such table") => Ok(None),
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
