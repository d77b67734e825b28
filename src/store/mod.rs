//! Godwit's own tables: deliveries, jobs, runs, approvals, locks, audit. Leaves every decision to the callers.
//!
//! SQLite in WAL mode with `synchronous=FULL`, or PostgreSQL: what a function has returned from is on disk. Who writes is
//! alone, in whatever process, so a decision may be read and written in one transaction; several read meanwhile.

mod anchor;
#[cfg(feature = "bot")]
pub mod answered;
mod approvals;
mod audit;
mod audit_chain;
mod audit_key;
mod audit_rotation;
mod collisions;
#[cfg(feature = "bot")]
pub mod copy;
mod database;
mod entered;
mod environments;
#[cfg(feature = "bot")]
mod facts;
pub mod gates;
#[cfg(feature = "bot")]
pub mod heads;
#[cfg(feature = "bot")]
mod ingest;
pub mod installations;
#[cfg(feature = "bot")]
mod jobs;
pub mod ledger;
pub mod legs;
pub mod logs;
mod migrations;
pub mod proofs;
mod pulls;
mod recorded;
pub mod releases;
#[cfg(feature = "bot")]
mod replicas;
#[cfg(feature = "bot")]
pub mod rollbacks;
pub mod runs;
pub mod schemas;
mod stops;
#[cfg(feature = "bot")]
pub mod terms;
#[cfg(feature = "bot")]
pub mod turns;
mod verdicts;
#[cfg(feature = "bot")]
pub mod waking;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Any, AnyPool};
#[cfg(feature = "bot")]
use tokio::sync::{mpsc, watch};

use database::Place;

pub use approvals::StoredBinding;
pub use audit::{AuditBody, AuditEntry, AuditFilter, AuditHead, AuditRecord};
pub use audit_chain::{AuditVerdict, verify_export};
pub use audit_key::AuditKey;
pub use collisions::StoredCollision;
pub use database::StoreKind;
pub use entered::{EnteredRow, NewEntered};
pub use environments::{EnvironmentLock, EnvironmentRecord};
#[cfg(feature = "bot")]
pub use ingest::{Ingest, NewDelivery};
#[cfg(feature = "bot")]
pub use jobs::{Claim, DeadJob, Job, MAX_ATTEMPTS, QueueState, after_outage, next_attempt, wait_after};
pub use pulls::{JudgedPull, PullStanding};
#[cfg(feature = "bot")]
pub use replicas::Replica;
pub use verdicts::Agreed;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL is none that a store can be opened from.
    #[error("`{0}` is not a store; give `sqlite:FILE` or `postgres://USER@HOST/DATABASE`")]
    Url(String),
    /// A store on a server needs a folder for the audit key and the anchor.
    #[error("a store on PostgreSQL needs a data directory for its audit key; name one")]
    NoFolder,
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
    /// Replicas with different keys would make a log that none of them finds valid.
    #[error(
        "the audit key is not the one that this store's log is written with: give every replica the same, as \
         `GODWIT_AUDIT_KEY` or `GODWIT_AUDIT_KEY_FILE`, or copy `audit.key` from the data directory of the first"
    )]
    OtherAuditKey,
    /// The log is written with the present key already.
    #[error(
        "the audit log is written with the present key already: put a new one before it, and keep the old one below"
    )]
    SameAuditKey,
    /// The file that holds the audit key cannot be used.
    #[error("the audit key `{}` cannot be used", file.display())]
    AuditKey {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Whether the database's server did not answer, or went away: it passes without anybody changing anything here.
    pub fn is_outage(&self) -> bool {
        match self {
            StoreError::Database(sqlx::Error::Database(told)) => {
                // Connections that broke, a server without means, one that shuts down or starts.
                told.code().is_some_and(|code| code.len() == 5 && ["08", "53", "57"].contains(&&code[..2]))
            }
            StoreError::Database(error) => matches!(
                error,
                sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed
            ),
            StoreError::Shared(inner) => inner.is_outage(),
            StoreError::Url(_)
            | StoreError::NoFolder
            | StoreError::File { .. }
            | StoreError::Schema(_)
            | StoreError::Value { .. }
            | StoreError::LostClaim
            | StoreError::Stopped
            | StoreError::OtherAuditKey
            | StoreError::SameAuditKey
            | StoreError::AuditKey { .. } => false,
        }
    }
}

/// A handle to the store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
    #[cfg(feature = "bot")]
    fence: Option<replicas::Fence>,
}

#[derive(Debug)]
struct Inner {
    kind: StoreKind,
    writer: AnyPool,
    reader: AnyPool,
    audit_key: RwLock<audit_rotation::Held>,
    anchor: anchor::AnchorFile,
    ids: Arc<Mutex<ulid::Generator>>,
    #[cfg(feature = "bot")]
    changes: watch::Sender<u64>,
    #[cfg(feature = "bot")]
    arrivals: mpsc::Sender<ingest::Arrival>,
    /// Where other processes' words are heard.
    #[cfg(all(feature = "bot", feature = "postgres"))]
    listen_at: Option<String>,
    #[cfg(all(feature = "bot", feature = "postgres"))]
    listening: std::sync::atomic::AtomicBool,
}

/// A transaction that writes; it is taken back when dropped without `commit`.
pub type WriteTransaction = sqlx::Transaction<'static, Any>;

impl Store {
    /// Opens the store in a file (`sqlite:FILE`), makes it when it is missing and brings its schema up to date. The audit
    /// chain's key is read from `audit.key` beside the file and made when missing.
    ///
    /// # Errors
    /// When the URL is of another kind, the file cannot be opened or its schema is newer than this program's.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_in(url, None, None).await
    }

    /// The same with a key for the audit chain.
    ///
    /// # Errors
    /// When the URL is of another kind, the file cannot be opened or its schema is newer than this program's.
    pub async fn open_with_key(url: &str, audit_key: AuditKey) -> Result<Self, StoreError> {
        Self::open_in(url, None, Some(audit_key)).await
    }

    /// Where the audit chain's key is kept when none is given: beside the store's file, or in the data directory of a
    /// store on a server.
    ///
    /// # Errors
    /// When the URL is none of a store, or a store on a server has no data directory.
    pub fn audit_key_file(url: &str, data_dir: Option<&Path>) -> Result<PathBuf, StoreError> {
        Ok(Place::parse(url)?.folder(data_dir)?.join(AuditKey::FILE))
    }

    /// Opens the store at `url`, a file or a server, and brings its schema up to date. `data_dir` is where a store on a
    /// server keeps its anchor, and the audit key when none is given.
    ///
    /// # Errors
    /// When the URL is none of a store, it cannot be reached or its schema is newer than this program's.
    pub async fn open_in(url: &str, data_dir: Option<&Path>, audit_key: Option<AuditKey>) -> Result<Self, StoreError> {
        let place = Place::parse(url)?;
        let folder = place.folder(data_dir)?;
        let audit_key = match audit_key {
            Some(key) => key,
            None => AuditKey::read_or_make(&folder.join(AuditKey::FILE))?,
        };
        if let Place::File(file) = &place {
            keep_private(file)?;
        }
        let anchor = anchor::AnchorFile::of_store(&folder, &place.name());
        let kind = place.kind();
        let writer = place.writer().await?;
        bring_up_to_date(&writer, kind).await?;
        let audit_key = RwLock::new(audit_rotation::agree(&writer, kind, audit_key).await?);
        let reader = place.reader()?;
        let ids = Arc::new(Mutex::new(ulid::Generator::new()));
        #[cfg(feature = "bot")]
        let changes = watch::Sender::new(0);
        #[cfg(feature = "bot")]
        let arrivals = ingest::start(ingest::Writer {
            kind,
            pool: writer.clone(),
            ids: Arc::clone(&ids),
            changes: changes.clone(),
        });
        Ok(Self {
            inner: Arc::new(Inner {
                kind,
                writer,
                reader,
                audit_key,
                anchor,
                ids,
                #[cfg(feature = "bot")]
                changes,
                #[cfg(feature = "bot")]
                arrivals,
                #[cfg(all(feature = "bot", feature = "postgres"))]
                listen_at: match place {
                    Place::File(_) => None,
                    Place::Server(url) => Some(url),
                },
                #[cfg(all(feature = "bot", feature = "postgres"))]
                listening: std::sync::atomic::AtomicBool::new(false),
            }),
            #[cfg(feature = "bot")]
            fence: None,
        })
    }

    /// Whether something that may be a store is at `url`: opening one that is not there makes it.
    ///
    /// # Errors
    /// When the URL is none of a store.
    pub fn may_be_at(url: &str) -> Result<bool, StoreError> {
        match Place::parse(url)? {
            Place::File(file) => Ok(file.exists()),
            Place::Server(_) => Ok(true),
        }
    }

    /// What holds the store.
    pub fn kind(&self) -> StoreKind {
        self.inner.kind
    }

    /// Sets the anchor where there is none yet, as for a store that was just filled.
    ///
    /// # Errors
    /// When the database fails.
    #[cfg(feature = "bot")]
    pub async fn anchor_audit(&self) -> Result<(), StoreError> {
        let head = self.audit_head().await?;
        if let (Some(head), Ok(anchor::Anchor::Missing)) = (head, self.read_anchor()) {
            self.drop_anchor(&head);
        }
        Ok(())
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

    /// Begins a transaction that writes while nobody else does, in this or another process: what it reads stays true
    /// until it ends. Keep it short, and never ask the store for anything else before it ends.
    ///
    /// # Errors
    /// When another process has been writing for too long, the claim that this store is used under is lost, or the
    /// database fails.
    pub async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        // In a task of its own: where whoever asked is gone before it has begun, it is rolled back all the same. Else the
        // connection would stay in a transaction that nobody knows of, and keep everybody else waiting.
        let (writer, kind) = (self.inner.writer.clone(), self.inner.kind);
        let begun = tokio::spawn(async move { begin_alone(&writer, kind).await }).await;
        #[allow(unused_mut, reason = "only a claim looks into it")]
        let mut tx = begun.map_err(|_| sqlx::Error::WorkerCrashed)??;
        #[cfg(feature = "bot")]
        if let Some(fence) = &self.fence {
            fence.check(&mut tx).await?;
        }
        Ok(tx)
    }

    /// An id above every one before it in this process: a ULID.
    pub(crate) fn next_id(&self) -> String {
        next_id(&self.inner.ids)
    }

    /// Connections for reading only; they see what was committed.
    pub fn reader(&self) -> &AnyPool {
        &self.inner.reader
    }
}

/// A transaction that writes while nobody else does.
async fn begin_alone(writer: &AnyPool, kind: StoreKind) -> Result<WriteTransaction, sqlx::Error> {
    let mut tx = writer.begin_with(kind.begin_writing()).await?;
    if let Some(wait) = kind.wait_alone() {
        sqlx::raw_sql(wait).execute(&mut *tx).await?;
    }
    Ok(tx)
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
async fn bring_up_to_date(writer: &AnyPool, kind: StoreKind) -> Result<(), StoreError> {
    let mut left = 20;
    loop {
        match migrations::migrator(kind).run(writer).await {
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
