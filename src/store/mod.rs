//! Godwit's own tables: deliveries, jobs, runs, approvals, locks, audit. Leaves every decision to the callers.
//!
//! SQLite in WAL mode with `synchronous=FULL`: what a function has returned from is on disk. One connection writes, so
//! transactions never wait for a lock within the process; several read. The SQL is plain enough for PostgreSQL.

mod anchor;
mod approvals;
mod audit;
mod collisions;
mod entered;
mod environments;
#[cfg(feature = "bot")]
mod ingest;
#[cfg(feature = "bot")]
mod jobs;
mod migrations;
mod pulls;
mod recorded;
pub mod releases;
pub mod runs;
pub mod schemas;
mod verdicts;

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
#[cfg(feature = "bot")]
use tokio::sync::{mpsc, watch};

pub use approvals::StoredBinding;
pub use audit::{AuditEntry, AuditFilter, AuditHead, AuditKey, AuditRecord, AuditVerdict, verify_export};
pub use collisions::StoredCollision;
pub use entered::{EnteredRow, NewEntered};
pub use environments::{EnvironmentLock, EnvironmentRecord};
#[cfg(feature = "bot")]
pub use ingest::{Ingest, NewDelivery};
#[cfg(feature = "bot")]
pub use jobs::{Claim, DeadJob, Job, MAX_ATTEMPTS, QueueState, next_attempt, wait_after};
pub use pulls::JudgedPull;
pub use verdicts::Agreed;

/// How long a writer waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that read.
const READERS: u32 = 4;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL is none that a store can be opened from.
    #[error("`{0}` is not a store; give `sqlite:FILE`")]
    Url(String),
    /// The store's file cannot be made.
    #[error("the store's file `{}` cannot be made", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database refused or could not be reached.
    #[error("the store failed")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the store's schema could not be brought up to date")]
    Schema(#[from] sqlx::migrate::MigrateError),
    /// A stored value is none that this version understands.
    #[error("the store holds `{value}` as {what}, which this version does not understand")]
    Value {
        /// What it should have been.
        what: &'static str,
        /// What is there.
        value: String,
    },
    /// The claim's lease had lapsed; somebody else has the work.
    #[error("the lease on the work had lapsed; somebody else has it")]
    LostClaim,
    /// The store's writer is gone, because the process is ending.
    #[error("the store is closing")]
    Stopped,
    /// One failure of several callers whose work shared a transaction.
    #[error(transparent)]
    Shared(Arc<StoreError>),
    /// The file that holds the audit key cannot be used.
    #[error("the audit key `{}` cannot be used", file.display())]
    AuditKey {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A handle to the store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    writer: SqlitePool,
    reader: SqlitePool,
    audit_key: AuditKey,
    anchor: anchor::AnchorFile,
    ids: Arc<Mutex<ulid::Generator>>,
    #[cfg(feature = "bot")]
    changes: watch::Sender<u64>,
    #[cfg(feature = "bot")]
    arrivals: mpsc::Sender<ingest::Arrival>,
}

/// A transaction that writes; it is taken back when dropped without `commit`.
pub type WriteTransaction = sqlx::Transaction<'static, Sqlite>;

impl Store {
    /// Opens the store at `url` (`sqlite:FILE`), makes the file when it is missing and brings its schema up to date. The
    /// audit chain's key is read from `audit.key` beside the file and made when missing.
    ///
    /// # Errors
    /// When the URL is of another kind, the file cannot be opened or its schema is newer than this program's.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with_key(url, AuditKey::read_or_make(&Self::audit_key_file(url)?)?).await
    }

    /// Where the audit chain's key is kept when none is given: beside the store's file.
    ///
    /// # Errors
    /// When the URL is none of a store.
    pub fn audit_key_file(url: &str) -> Result<PathBuf, StoreError> {
        Ok(file_of(url)?.with_file_name(AuditKey::FILE))
    }

    /// The same with a key for the audit chain.
    ///
    /// # Errors
    /// When the URL is of another kind, the file cannot be opened or its schema is newer than this program's.
    pub async fn open_with_key(url: &str, audit_key: AuditKey) -> Result<Self, StoreError> {
        let file = file_of(url)?;
        keep_private(&file)?;
        let anchor = anchor::AnchorFile::of_store(&file);
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        bring_up_to_date(&writer).await?;
        let reader = SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.read_only(true));
        let ids = Arc::new(Mutex::new(ulid::Generator::new()));
        #[cfg(feature = "bot")]
        let changes = watch::Sender::new(0);
        #[cfg(feature = "bot")]
        let arrivals =
            ingest::start(ingest::Writer { pool: writer.clone(), ids: Arc::clone(&ids), changes: changes.clone() });
        Ok(Self {
            inner: Arc::new(Inner {
                writer,
                reader,
                audit_key,
                anchor,
                ids,
                #[cfg(feature = "bot")]
                changes,
                #[cfg(feature = "bot")]
                arrivals,
            }),
        })
    }

    /// Asks the database for an answer.
    ///
    /// # Errors
    /// When it gives none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT COUNT(*) FROM audit WHERE seq = 0").execute(self.reader()).await?;
        Ok(())
    }

    /// Closes every connection; what was written stays. Waits for transactions under way.
    pub async fn close(&self) {
        self.inner.reader.close().await;
        self.inner.writer.close().await;
    }

    /// Begins a transaction that writes. It holds the only writing connection: keep it short, and never ask the store
    /// for anything else before it ends.
    ///
    /// # Errors
    /// When another process has been writing for too long, or the database fails.
    pub async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        // IMMEDIATE: a deferred transaction that reads first may be refused when it wants to write later.
        Ok(self.inner.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// An id above every one before it in this process: a ULID.
    pub(crate) fn next_id(&self) -> String {
        next_id(&self.inner.ids)
    }

    /// Connections for reading only; they see what was committed.
    pub fn reader(&self) -> &SqlitePool {
        &self.inner.reader
    }
}

/// The next id, above every one before it in this process.
fn next_id(ids: &Mutex<ulid::Generator>) -> String {
    let mut ids = ids.lock().unwrap_or_else(PoisonError::into_inner);
    match ids.generate() {
        Ok(id) => id.to_string(),
        Err(overflow) => overflow.commit_overflow_random().to_string(),
    }
}

/// Makes the file readable by its owner only, before anything is written into it; SQLite gives its companions the same
/// permissions.
fn keep_private(file: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(StoreError::File { file: file.to_path_buf(), source }),
    }
}

/// The file of a `sqlite:` URL.
fn file_of(url: &str) -> Result<PathBuf, StoreError> {
    let refuse = || StoreError::Url(crate::redact::text(url));
    let rest = url.strip_prefix("sqlite:").ok_or_else(refuse)?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    if rest.is_empty() || rest.starts_with(':') || rest.contains('?') {
        return Err(refuse());
    }
    PathBuf::from_str(rest).map_err(|_| refuse())
}

/// Milliseconds since 1970, the store's form of a time.
pub(crate) fn millis(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

/// The time of a stored number of milliseconds.
pub(crate) fn time_of(millis: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(millis)
        .ok_or_else(|| StoreError::Value { what: "a time", value: millis.to_string() })
}

/// Applies what the schema lacks. SQLite gives sqlx no lock for that, so of two processes that open a new store at once
/// one fails; it finds the other's work when it looks again.
async fn bring_up_to_date(writer: &SqlitePool) -> Result<(), StoreError> {
    let mut left = 20;
    loop {
        match migrations::migrator().run(writer).await {
            Ok(()) => return Ok(()),
            Err(sqlx::migrate::MigrateError::Execute(_) | sqlx::migrate::MigrateError::ExecuteMigration(_, _))
                if left > 0 =>
            {
                left -= 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_stores() {
        assert_eq!(file_of("sqlite:a/b.db").unwrap(), Path::new("a/b.db"));
        assert_eq!(file_of("sqlite:///a/b.db").unwrap(), Path::new("/a/b.db"));
        for bad in ["sqlite:", "sqlite::memory:", "postgres://u:p@h/d", "a.db", "sqlite:a.db?mode=ro"] {
            let error = file_of(bad).unwrap_err().to_string();
            assert!(error.contains("sqlite:FILE") && !error.contains(":p@"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_store_opens_twice() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("godwit.db").display());
        Store::open(&url).await.unwrap();
        let store = Store::open(&url).await.unwrap();
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(store.reader()).await.unwrap();
        assert_eq!(mode, "wal");
    }
}
