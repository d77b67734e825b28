//! The database that holds the store: a SQLite file or PostgreSQL, behind sqlx's `Any`.
//!
//! Both get one body of SQL. What they cannot say alike is in [`StoreKind`], and nowhere else.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _};

use super::StoreError;

/// How long a writer waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that read.
const READERS: u32 = 4;
/// Connections that write to PostgreSQL: one holds the lock, deliveries do not need it, one waits.
const WRITERS: u32 = 3;
/// How long a caller waits for a connection; GitHub gives an answer ten seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// What SQLite says while others hold the file: `SQLITE_BUSY`, `SQLITE_LOCKED`.
const SQLITE_WAITS: [u32; 2] = [5, 6];
/// What has a meaning in a URL of a file.
const IN_A_PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ').add(b'\\');

/// Each connection to PostgreSQL: a commit is on disk when it returns, whatever the server's default, and a replica that
/// froze with the lock in its hand loses it before those behind it give up ([`CONNECT_TIMEOUT`]).
const POSTGRES_SETTINGS: &str = "SET idle_in_transaction_session_timeout = '5s'; SET lock_timeout = '20s'; \
     SET application_name = 'godwit store'; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// Which database holds a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// A file: one machine.
    Sqlite,
    /// A server: any number of replicas.
    Postgres,
}

impl StoreKind {
    /// Begins a transaction that writes; on PostgreSQL others write meanwhile, unless it [waits](Self::wait_alone) for them.
    pub(super) fn begin_writing(self) -> &'static str {
        match self {
            // A deferred transaction that reads first may be refused when it wants to write later.
            StoreKind::Sqlite => "BEGIN IMMEDIATE",
            StoreKind::Postgres => "BEGIN",
        }
    }

    /// Waits within such a transaction until nobody else writes, in any process. A statement of its own: where it fails, the transaction
    /// is rolled back, and its connection is fit for the next.
    pub(super) fn wait_alone(self) -> Option<&'static str> {
        match self {
            StoreKind::Sqlite => None,
            // "godwit" as a number. Each statement behind it sees what was committed before the lock was had.
            StoreKind::Postgres => Some("SELECT pg_advisory_xact_lock(113728124578164)"),
        }
    }

    /// Begins a transaction that sees one moment.
    pub(super) fn begin_reading(self) -> &'static str {
        match self {
            StoreKind::Sqlite => "BEGIN",
            StoreKind::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// The elements of the JSON array in a parameter, as rows of one column `value`: for `FROM`.
    pub(super) fn each(self, parameter: &str) -> String {
        match self {
            StoreKind::Sqlite => format!("json_each({parameter})"),
            StoreKind::Postgres => format!("json_array_elements(CAST({parameter} AS json))"),
        }
    }

    /// The same of an array of texts.
    pub(super) fn each_text(self, parameter: &str) -> String {
        match self {
            StoreKind::Sqlite => format!("json_each({parameter})"),
            StoreKind::Postgres => format!("json_array_elements_text(CAST({parameter} AS json))"),
        }
    }
}

/// Where a store is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In this file.
    File(PathBuf),
    /// At this URL.
    Server(String),
}

impl Place {
    /// Reads a store's URL.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let refuse = || StoreError::Url(crate::redact::url(url));
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            if !cfg!(feature = "postgres") {
                return Err(refuse());
            }
            AnyConnectOptions::from_str(url).map_err(|_| refuse())?;
            return Ok(Place::Server(url.to_owned()));
        }
        let rest = url.strip_prefix("sqlite:").ok_or_else(refuse)?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        if rest.is_empty() || rest.starts_with(':') || rest.contains('?') {
            return Err(refuse());
        }
        Ok(Place::File(PathBuf::from(rest)))
    }

    pub fn kind(&self) -> StoreKind {
        match self {
            Place::File(_) => StoreKind::Sqlite,
            Place::Server(_) => StoreKind::Postgres,
        }
    }

    /// Where the store keeps what must not be in it: beside the file, or in the data directory.
    pub fn folder(&self, data_dir: Option<&Path>) -> Result<PathBuf, StoreError> {
        match self {
            Place::File(file) => Ok(file.with_file_name("")),
            Place::Server(_) => Ok(data_dir.ok_or(StoreError::NoFolder)?.to_path_buf()),
        }
    }

    /// A name for files that belong to this store.
    pub fn name(&self) -> String {
        match self {
            Place::File(file) => file.file_stem().map_or_else(|| "store".into(), |s| s.to_string_lossy()).into_owned(),
            Place::Server(url) => {
                let path = url.split(['?', '#']).next().and_then(|u| u.splitn(4, '/').nth(3)).unwrap_or_default();
                let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
                format!("postgres-{}", path.chars().map(plain).collect::<String>())
            }
        }
    }

    /// The connections that write. What cannot be opened is refused at once, with the database's own words.
    pub async fn writer(&self) -> Result<AnyPool, StoreError> {
        let options = self.options("rwc")?;
        let (pool, settings) = match self {
            Place::File(_) => {
                let pragmas = format!(
                    "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON",
                    BUSY_TIMEOUT.as_millis()
                );
                (pool(1, pragmas.clone()), pragmas)
            }
            Place::Server(_) => {
                let pool = pool(WRITERS, POSTGRES_SETTINGS.to_owned()).acquire_timeout(CONNECT_TIMEOUT);
                (pool, POSTGRES_SETTINGS.to_owned())
            }
        };
        // A pool tries again until its time is up, and then tells of the time alone.
        let passes = match self.try_once(&options, settings).await {
            Ok(()) => None,
            Err(error) if self.passes(&error) => Some(error),
            Err(error) => return Err(error.into()),
        };
        match (pool.connect_with(options).await, passes) {
            (Err(sqlx::Error::PoolTimedOut), Some(cause)) => Err(cause.into()),
            (done, _) => Ok(done?),
        }
    }

    /// Connects once, and prepares the connection as the pool will.
    async fn try_once(&self, options: &AnyConnectOptions, settings: String) -> Result<(), sqlx::Error> {
        let once = async {
            let mut connection = AnyConnection::connect_with(options).await?;
            connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(settings))).await?;
            connection.close().await
        };
        match self {
            // SQLite itself knows how long it waits.
            Place::File(_) => once.await,
            Place::Server(_) => tokio::time::timeout(CONNECT_TIMEOUT, once).await.unwrap_or_else(|_| {
                let silent = format!("the server did not answer within {} seconds", CONNECT_TIMEOUT.as_secs());
                Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, silent)))
            }),
        }
    }

    /// Whether another attempt may succeed in a moment: others hold the file, the server starts or is full.
    fn passes(&self, error: &sqlx::Error) -> bool {
        let sqlx::Error::Database(told) = error else { return false };
        match self {
            Place::File(_) => {
                let code = told.code().and_then(|code| code.parse::<u32>().ok());
                code.is_some_and(|code| SQLITE_WAITS.contains(&(code & 0xff)))
            }
            Place::Server(_) => told.is_transient_in_connect_phase(),
        }
    }

    /// The connections that read; none is opened before it is needed.
    pub fn reader(&self) -> Result<AnyPool, StoreError> {
        let pool = match self {
            Place::File(_) => pool(READERS, format!("PRAGMA busy_timeout = {}", BUSY_TIMEOUT.as_millis())),
            Place::Server(_) => pool(READERS, POSTGRES_SETTINGS.to_owned()).acquire_timeout(CONNECT_TIMEOUT),
        };
        Ok(pool.connect_lazy_with(self.options("ro")?))
    }

    fn options(&self, mode: &str) -> Result<AnyConnectOptions, StoreError> {
        sqlx::any::install_default_drivers();
        let url = match self {
            Place::File(file) => {
                let file =
                    std::path::absolute(file).map_err(|source| StoreError::File { file: file.clone(), source })?;
                format!("sqlite://{}?mode={mode}", utf8_percent_encode(&file.to_string_lossy(), IN_A_PATH))
            }
            Place::Server(url) => url.clone(),
        };
        Ok(url.parse()?)
    }
}

/// A pool whose connections are prepared by `settings`.
fn pool(connections: u32, settings: String) -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(connections).after_connect(move |connection: &mut AnyConnection, _| {
        let settings = sqlx::AssertSqlSafe(settings.clone());
        Box::pin(async move { connection.execute(sqlx::raw_sql(settings)).await.map(drop) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_servers_are_stores() {
        for (url, expected) in [("sqlite:a/b.db", "a/b.db"), ("sqlite:///a/b.db", "/a/b.db")] {
            let Place::File(file) = Place::parse(url).unwrap() else { panic!("{url}") };
            assert_eq!(file, Path::new(expected));
        }
        assert_eq!(Place::parse("postgres://u:p@h/d").unwrap().kind(), StoreKind::Postgres);
        assert_eq!(Place::parse("postgres://u:p@h:5/my.db?sslmode=disable").unwrap().name(), "postgres-my_db");
        for bad in
            ["sqlite:", "sqlite::memory:", "mysql://u:p@h/d", "a.db", "sqlite:a.db?mode=ro", "postgres://u:p@h:x/d"]
        {
            let error = Place::parse(bad).unwrap_err().to_string();
            assert!(error.contains("sqlite:FILE") && !error.contains(":p@"), "{error}");
        }
    }
}
