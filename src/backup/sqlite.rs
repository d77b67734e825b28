//! SQLite: the online backup of the library, from one read transaction; brought back by the same way, which is one write
//! transaction of the database.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use secrecy::{ExposeSecret as _, SecretString};

use super::file::{Content, Sink, private_file, with_suffix};
use super::meta::{SetDigest, Sum};
use super::{BackupError, Copied, Rehearsed, Restored, SCRATCH, ended_early};
use crate::drivers::{FENCE, sqlite};
use crate::ids::{Epoch, RunId};

/// How long a database that others use is waited for.
const BUSY: Duration = Duration::from_secs(30);
/// Tables up to this many rows are compared by content.
const READ_WHOLE: u64 = 1_000_000;

fn failed(what: &str, file: &Path) -> impl Fn(rusqlite::Error) -> BackupError {
    move |e| BackupError::Failed(format!("{what} `{}`: {e}", file.display()))
}

/// A copy beside the database, gone when dropped, with what SQLite puts beside it.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(database: &Path) -> Result<Self, BackupError> {
        let path = with_suffix(database, &format!("{SCRATCH}{}", RunId::generate().as_str().to_lowercase()));
        private_file(&path).map_err(|e| BackupError::Failed(format!("cannot make `{}`: {e}", path.display())))?;
        Ok(Self(path))
    }

    /// Fills it with a backup's content.
    fn fill(&self, content: &mut Content) -> Result<(), BackupError> {
        let cannot =
            |e: std::io::Error| BackupError::Failed(format!("cannot copy the backup to `{}`: {e}", self.0.display()));
        let mut out = std::fs::OpenOptions::new().write(true).open(&self.0).map_err(cannot)?;
        std::io::copy(content, &mut out).map_err(cannot)?;
        out.sync_all().map_err(cannot)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", "-journal"] {
            let mut name = self.0.as_os_str().to_owned();
            name.push(end);
            let _ = std::fs::remove_file(PathBuf::from(name));
        }
    }
}

/// Copies every page, waiting for others that use the databases.
fn copy_pages(from: &Connection, to: &mut Connection) -> Result<(), String> {
    let backup = Backup::new(from, to).map_err(|e| e.to_string())?;
    let began = Instant::now();
    loop {
        // All pages in one step: what is copied is of one moment.
        match backup.step(-1).map_err(|e| e.to_string())? {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            _ if began.elapsed() < BUSY => std::thread::sleep(Duration::from_millis(20)),
            _ => return Err("others use the database and did not let go of it".to_owned()),
        }
    }
}

/// Copies the database into `sink`.
///
/// # Errors
/// When the database cannot be read, or the disk does not take it.
pub async fn copy_out(url: &SecretString, sink: Sink) -> Result<(Sink, Copied), BackupError> {
    let file = sqlite::file_of(url.expose_secret())?;
    tokio::task::spawn_blocking(move || copy_out_of(&file, sink)).await.map_err(ended_early)?
}

fn copy_out_of(file: &Path, mut sink: Sink) -> Result<(Sink, Copied), BackupError> {
    let cannot = failed("cannot back up", file);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(file, flags).map_err(&cannot)?;
    source.busy_timeout(BUSY).map_err(&cannot)?;
    let copy = Temporary::beside(file)?;
    // What is counted and what is copied are of one read transaction.
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_master;").map_err(&cannot)?;
    let contents = count(&source).map_err(&cannot)?;
    {
        let mut to = Connection::open(&copy.0).map_err(&cannot)?;
        copy_pages(&source, &mut to)
            .map_err(|e| BackupError::Failed(format!("cannot back up `{}`: {e}", file.display())))?;
        // The copy is one file, whatever the journal of the database is.
        to.execute_batch("PRAGMA journal_mode = DELETE").map_err(&cannot)?;
    }
    source.execute_batch("COMMIT").map_err(&cannot)?;
    let mut input = std::fs::File::open(&copy.0)
        .map_err(|e| BackupError::Failed(format!("cannot read `{}`: {e}", copy.0.display())))?;
    let mut buffer = vec![0_u8; 1 << 18];
    loop {
        let read = input
            .read(&mut buffer)
            .map_err(|e| BackupError::Failed(format!("cannot read `{}`: {e}", copy.0.display())))?;
        if read == 0 {
            break;
        }
        sink.write_all(&buffer[..read]).map_err(|e| sink.cannot(&e))?;
    }
    let database = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let copied = Copied {
        engine_version: rusqlite::version().to_owned(),
        database,
        contents,
        consistent: true,
        snapshot: None,
        notes: Vec::new(),
    };
    Ok((sink, copied))
}

/// Rows of every table, and what tells them from others; the schema as one entry.
fn count(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Sum>> {
    let mut out = BTreeMap::new();
    let mut schema = SetDigest::default();
    let mut statement = connection.prepare("SELECT type, name, coalesce(sql, '') FROM sqlite_master")?;
    let objects: Vec<(String, String, String)> =
        statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?.collect::<Result<_, _>>()?;
    for (kind, name, sql) in &objects {
        schema.add(&[kind.as_bytes(), name.as_bytes(), sql.as_bytes()]);
        if kind != "table" || sql.to_ascii_uppercase().starts_with("CREATE VIRTUAL") {
            continue;
        }
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let count: i64 = connection.query_row(&format!("SELECT count(*) FROM {quoted}"), [], |r| r.get(0))?;
        let count = u64::try_from(count).unwrap_or(0);
        let digest = if count <= READ_WHOLE { Some(digest(connection, &quoted)?) } else { None };
        out.insert(format!("table {name}"), Sum { count, digest });
    }
    out.insert("schema".to_owned(), Sum { count: objects.len() as u64, digest: Some(schema.text()) });
    Ok(out)
}

fn digest(connection: &Connection, table: &str) -> rusqlite::Result<String> {
    let mut set = SetDigest::default();
    let mut statement = connection.prepare(&format!("SELECT * FROM {table}"))?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut bytes = Vec::new();
        for column in 0..columns {
            let (kind, value): (u8, &[u8]) = match row.get_ref(column)? {
                ValueRef::Null => (0, &[]),
                ValueRef::Integer(n) => (1, &n.to_le_bytes()),
                ValueRef::Real(n) => (2, &n.to_bits().to_le_bytes()),
                ValueRef::Text(text) => (3, text),
                ValueRef::Blob(blob) => (4, blob),
            };
            bytes.push(kind);
            bytes.extend((value.len() as u64).to_le_bytes());
            bytes.extend(value);
        }
        set.add(&[&bytes]);
    }
    Ok(set.text())
}

/// Restores into a file of its own, has SQLite check all of it, and counts.
///
/// # Errors
/// When the file cannot be made or read.
pub async fn rehearse(url: &SecretString, mut content: Content) -> Result<Rehearsed, BackupError> {
    let file = sqlite::file_of(url.expose_secret())?;
    tokio::task::spawn_blocking(move || {
        let copy = Temporary::beside(&file)?;
        copy.fill(&mut content)?;
        let cannot = failed("cannot read the restored", &copy.0);
        let scratch = Connection::open_with_flags(&copy.0, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(&cannot)?;
        let mut statement = scratch.prepare("PRAGMA integrity_check").map_err(&cannot)?;
        let said: Vec<String> =
            statement.query_map([], |r| r.get(0)).and_then(|rows| rows.collect()).map_err(&cannot)?;
        let differences = said.into_iter().filter(|s| s != "ok").collect();
        Ok(Rehearsed { into: "a file of its own".to_owned(), contents: count(&scratch).map_err(&cannot)?, differences })
    })
    .await
    .map_err(ended_early)?
}

/// Copies an empty database over this one, in one transaction.
///
/// # Errors
/// When it was not done; the database is as it was.
pub async fn clear(url: &SecretString) -> Result<(), BackupError> {
    let file = sqlite::file_of(url.expose_secret())?;
    tokio::task::spawn_blocking(move || {
        let cannot = failed("cannot empty", &file);
        let nothing = Connection::open_in_memory().map_err(&cannot)?;
        // A database without a page has nothing to copy.
        nothing.execute_batch("PRAGMA user_version = 0; VACUUM").map_err(&cannot)?;
        let mut target = Connection::open(&file).map_err(&cannot)?;
        target.busy_timeout(BUSY).map_err(&cannot)?;
        copy_pages(&nothing, &mut target)
            .map_err(|e| BackupError::Failed(format!("cannot empty `{}`: {e}; it is as it was", file.display())))
    })
    .await
    .map_err(ended_early)?
}

/// Copies the backup over the database in one transaction: whoever reads sees the old state or the restored one, and after
/// a crash in the middle SQLite's journal brings the old one back.
///
/// # Errors
/// When it was not done; the database is as it was.
pub async fn bring_back(url: &SecretString, mut content: Content, floor: Epoch) -> Result<Restored, BackupError> {
    let file = sqlite::file_of(url.expose_secret())?;
    tokio::task::spawn_blocking(move || {
        let copy = Temporary::beside(&file)?;
        copy.fill(&mut content)?;
        let cannot = failed("cannot restore", &file);
        let source = Connection::open(&copy.0).map_err(&cannot)?;
        let fenced: i64 = source
            .query_row("SELECT count(*) FROM sqlite_master WHERE name = ?1", [FENCE], |r| r.get(0))
            .map_err(&cannot)?;
        if fenced > 0 {
            // In the copy, so that the token never goes down in the database.
            source.execute(&format!("UPDATE {FENCE} SET epoch = max(epoch, ?1)"), [floor.0]).map_err(&cannot)?;
        }
        let contents = count(&source).map_err(&cannot)?;
        let mut target = Connection::open(&file).map_err(&cannot)?;
        target.busy_timeout(BUSY).map_err(&cannot)?;
        target.execute_batch("PRAGMA synchronous = FULL").map_err(&cannot)?;
        crate::drivers::failpoint::hit("restore_pre");
        copy_pages(&source, &mut target)
            .map_err(|e| BackupError::Failed(format!("cannot restore `{}`: {e}; it is as it was", file.display())))?;
        crate::drivers::failpoint::hit("restore_post");
        Ok(Restored { contents, notes: Vec::new(), history: None })
    })
    .await
    .map_err(ended_early)?
}
