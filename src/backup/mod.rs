//! Backups of targets: made whole, checked by restoring them into scratch, and brought back (SPEC 8, R-24).
//!
//! One module per engine knows how to copy its databases out and in; nothing here decides when a backup is made, and
//! nothing here takes a lock: `runner::backup` does both.

#[cfg(feature = "elasticsearch")]
pub mod elasticsearch;
pub mod file;
pub mod meta;
#[cfg(feature = "mongodb")]
pub mod mongodb;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
pub mod retention;
pub mod seal;
pub mod sqlite;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::Utc;
use secrecy::SecretString;

use crate::drivers::DriverError;
use crate::ids::{CommitSha, Engine, EnvironmentName, Epoch, PrNumber, RunId, TargetName};
use crate::plan::HistoryRow;
use file::{Content, Sink};
use meta::{Meta, Scope, Snapshot, Sum, Verified, differences};
use seal::{Keys, Seal};

/// What every backup's name begins with [S3-54].
pub const PREFIX: &str = "migration_backup_";
/// What scratch databases, collections, keys and indices are named after; a rehearsal's too, so that what it left behind is
/// swept as well.
pub use crate::drivers::scratch::PREFIX as SCRATCH;

/// Why a backup could not be made or brought back.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackupError {
    /// Something was asked for that cannot be: a wrong key, a backup of another database, a program that is missing.
    #[error("{0}")]
    Usage(String),
    /// The server, or the machine that Godwit runs on, did not do it.
    #[error("{0}")]
    Failed(String),
    /// The file is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// The target cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// A restore was cut short after it had begun to change the target.
    #[error("{0}")]
    Half(String),
}

impl From<DriverError> for BackupError {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::Unreachable(m) | DriverError::Lost(m) => BackupError::Unreachable(m),
            other => BackupError::Failed(other.to_string()),
        }
    }
}

/// A database to back up or to bring back.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The environment that owns it; `None` where only a URL is given.
    pub environment: Option<EnvironmentName>,
    /// Its region.
    pub region: Option<String>,
    /// Its name.
    pub name: TargetName,
    /// Its kind.
    pub engine: Engine,
    /// How to reach it.
    pub url: SecretString,
}

/// What a backup is made for, and where it goes.
#[derive(Debug, Clone)]
pub struct Order {
    /// The folder.
    pub dir: PathBuf,
    /// How much.
    pub scope: Scope,
    /// Another server to restore into for verification; the same one if not given.
    pub scratch: Option<SecretString>,
    /// Keys for encryption.
    pub keys: Keys,
    /// Why, in words.
    pub reason: String,
    /// Who causes it.
    pub by: String,
    /// The run.
    pub run: RunId,
    /// The commit that is about to run.
    pub commit: Option<CommitSha>,
    /// The pull request that is about to run.
    pub pr: Option<PrNumber>,
    /// What is about to run.
    pub pending: Vec<String>,
}

/// What was copied out of a database.
#[derive(Debug, Clone, Default)]
pub struct Copied {
    /// The server's version.
    pub engine_version: String,
    /// The database's own name.
    pub database: String,
    /// What is in the copy.
    pub contents: BTreeMap<String, Sum>,
    /// Whether all of it is of one moment.
    pub consistent: bool,
    /// Where the documents are, when the copy only names a snapshot.
    pub snapshot: Option<Snapshot>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What a restore into scratch showed.
#[derive(Debug, Clone, Default)]
pub struct Rehearsed {
    /// Where, in words.
    pub into: String,
    /// What was there.
    pub contents: BTreeMap<String, Sum>,
    /// What else was different.
    pub differences: Vec<String>,
}

/// What a restore did.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// What is there now.
    pub contents: BTreeMap<String, Sum>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// The rows of the history, where they are written by the session that holds the target's lock.
    pub history: Option<Vec<HistoryRow>>,
}

/// Whether a restore of this engine happens all at once, or what readers see meanwhile.
pub fn atomicity(engine: Engine) -> Option<&'static str> {
    match engine {
        Engine::Postgresql | Engine::Sqlite => None,
        Engine::Mongodb => Some(
            "each collection is built aside and swapped in at once, but one after the other: for a moment some are old and \
             some are restored",
        ),
        Engine::Redis => Some("keys are written one by one: for a moment some are old and some are restored"),
        Engine::Elasticsearch => Some(
            "each index is built aside; aliases move at once, but an index that is used by its own name is away for a moment",
        ),
    }
}

/// A backup that is complete.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its file.
    pub file: PathBuf,
    /// What it is.
    pub meta: Meta,
}

fn extension(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgresql => "sql",
        Engine::Mongodb => "archive",
        Engine::Redis => "jsonl",
        Engine::Elasticsearch => "ndjson",
        Engine::Sqlite => "sqlite",
    }
}

/// A name that nothing in the folder has: the moment, the environment and the target.
fn free_name(dir: &Path, at: chrono::DateTime<Utc>, subject: &Subject, sealed: bool) -> PathBuf {
    let environment = subject.environment.as_ref().map_or_else(String::new, |e| format!("_{e}"));
    let stem = format!("{PREFIX}{}{environment}_{}", at.format("%Y%m%d_%H%M%S"), subject.name);
    let end = format!("{}{}", extension(subject.engine), if sealed { ".age" } else { "" });
    let mut file = dir.join(format!("{stem}.{end}"));
    let mut n = 2;
    while file.exists() || file::partial_of(&file).exists() {
        file = dir.join(format!("{stem}_{n}.{end}"));
        n += 1;
    }
    file
}

fn restore_command(subject: &Subject, file: &Path) -> String {
    match &subject.environment {
        Some(environment) => format!("godwit restore {environment} {}", file.display()),
        None => format!("godwit restore --url URL {}", file.display()),
    }
}

/// Takes the file away when the backup does not come to its end.
struct Draft(Option<PathBuf>);

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Copies a database into a file, restores that into scratch, compares, and only then gives the file its name. A backup
/// that does not stand the test is an error, and its file is gone.
///
/// # Errors
/// Whatever keeps the backup from being whole and proved.
pub async fn make(subject: &Subject, order: &Order) -> Result<Made, BackupError> {
    let (subject, order) = (subject.clone(), order.clone());
    aside(move |runtime| runtime.block_on(make_here(&subject, &order))).await
}

/// Work with files goes on in a thread of its own: what renews the target's lock meanwhile must not wait for a disk.
async fn aside<T: Send + 'static>(
    work: impl FnOnce(tokio::runtime::Handle) -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let (runtime, span) = (tokio::runtime::Handle::current(), tracing::Span::current());
    tokio::task::spawn_blocking(move || span.in_scope(|| work(runtime))).await.map_err(ended_early)?
}

async fn make_here(subject: &Subject, order: &Order) -> Result<Made, BackupError> {
    let cannot = |e: std::io::Error| {
        BackupError::Failed(format!("cannot make the folder for backups `{}`: {e}", order.dir.display()))
    };
    make_private_folder(&order.dir).map_err(cannot)?;
    let seal = order.keys.seal()?;
    let at = Utc::now();
    let file = free_name(&order.dir, at, subject, seal.is_some());
    let sink = Sink::create(&file, seal.as_ref())?;
    let partial = file::partial_of(&file);
    let mut draft = Draft(Some(partial.clone()));
    let (sink, copied) = copy_out(subject, &order.scope, &file, sink).await?;
    let snapshot = copied.snapshot.clone();
    let made = prove(subject, order, Copying { at, file, partial, seal, sink, copied }).await;
    match (&made, snapshot) {
        (Ok(_), _) => draft.0 = None,
        (Err(_), Some(snapshot)) => {
            if let Err(error) = forget(subject, &snapshot).await {
                tracing::warn!(%error, %snapshot, "a snapshot of no use was left in its repository");
            }
        }
        (Err(_), None) => {}
    }
    made
}

/// What was copied and is not yet a backup.
struct Copying {
    at: chrono::DateTime<Utc>,
    file: PathBuf,
    partial: PathBuf,
    seal: Option<Seal>,
    sink: Sink,
    copied: Copied,
}

/// Restores a copy into scratch, and gives its file its name when it is what was copied.
async fn prove(subject: &Subject, order: &Order, copying: Copying) -> Result<Made, BackupError> {
    let Copying { at, file, partial, seal, sink, copied } = copying;
    let written = tokio::task::spawn_blocking(move || sink.finish()).await.map_err(ended_early)??;
    crate::drivers::failpoint::hit("backup_written");
    let mut meta = Meta {
        backup_file: file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        created_at: chrono::SubsecRound::trunc_subsecs(at, 0),
        environment: subject.environment.clone(),
        region: subject.region.clone(),
        engine: subject.engine,
        engine_version: copied.engine_version,
        database: copied.database,
        size_bytes: written.size,
        sha256: written.sha256,
        encrypted: seal.is_some(),
        tool: concat!("godwit ", env!("CARGO_PKG_VERSION")).to_owned(),
        run_id: order.run.clone(),
        git_commit: order.commit.clone(),
        pull_request: order.pr,
        pending: order.pending.clone(),
        restore_command: restore_command(subject, &file),
        target: subject.name.clone(),
        reason: order.reason.clone(),
        by: order.by.clone(),
        scope: order.scope.clone(),
        consistent: copied.consistent,
        contents: copied.contents,
        verified: None,
        snapshot: copied.snapshot,
        notes: copied.notes,
    };
    let verified = verify(subject, order.scratch.as_ref(), &partial, &meta, seal.as_ref()).await?;
    let ok = verified.ok;
    let told = verified.differences.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
    meta.verified = Some(verified);
    if !ok {
        return Err(BackupError::Failed(format!(
            "the backup was restored into scratch and is not what was backed up: {told}; it was thrown away"
        )));
    }
    let cannot = |e: std::io::Error| BackupError::Failed(format!("cannot name the backup `{}`: {e}", file.display()));
    std::fs::rename(&partial, &file).map_err(cannot)?;
    meta.write(&file)?;
    Ok(Made { file, meta })
}

/// A folder that only its owner may enter, if it has to be made.
fn make_private_folder(dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn ended_early(error: tokio::task::JoinError) -> BackupError {
    BackupError::Failed(format!("the work on a backup ended early: {error}"))
}

async fn verify(
    subject: &Subject,
    scratch: Option<&SecretString>,
    file: &Path,
    meta: &Meta,
    seal: Option<&Seal>,
) -> Result<Verified, BackupError> {
    let began = Instant::now();
    // What is on the disk is what counts, so it is read back from there.
    let (path, size, sha256) = (file.to_path_buf(), meta.size_bytes, meta.sha256.clone());
    tokio::task::spawn_blocking(move || file::check(&path, size, &sha256)).await.map_err(ended_early)??;
    let content = file::open(file, seal.map(Seal::opener).as_ref())?;
    let found = rehearse(subject, scratch, content, meta).await?;
    let mut all = differences(&meta.contents, &found.contents);
    all.extend(found.differences);
    let counted = meta.contents.values().map(|s| s.count).sum();
    let compared = meta.contents.values().filter(|s| s.digest.is_some()).map(|s| s.count).sum();
    Ok(Verified {
        ok: all.is_empty(),
        at: Utc::now(),
        into: found.into,
        counted,
        compared,
        differences: all,
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

fn unsupported<T>(engine: Engine) -> Result<T, BackupError> {
    Err(BackupError::Usage(format!("this build cannot back up {engine}")))
}

/// Deletes a snapshot from its repository; one that is gone already is as good.
///
/// # Errors
/// When the cluster cannot be reached or refuses.
pub async fn forget(subject: &Subject, snapshot: &Snapshot) -> Result<(), BackupError> {
    let _ = snapshot;
    match subject.engine {
        #[cfg(feature = "elasticsearch")]
        Engine::Elasticsearch => elasticsearch::snapshot::forget(&subject.url, snapshot).await,
        other => unsupported(other),
    }
}

async fn copy_out(subject: &Subject, scope: &Scope, file: &Path, sink: Sink) -> Result<(Sink, Copied), BackupError> {
    let _ = (scope, file);
    match subject.engine {
        #[cfg(feature = "postgres")]
        Engine::Postgresql => postgres::copy_out(&subject.url, sink).await,
        Engine::Sqlite => sqlite::copy_out(&subject.url, sink).await,
        #[cfg(feature = "mongodb")]
        Engine::Mongodb => mongodb::copy_out(&subject.url, sink).await,
        #[cfg(feature = "redis")]
        Engine::Redis => redis::copy_out(&subject.url, scope, sink).await,
        #[cfg(feature = "elasticsearch")]
        Engine::Elasticsearch => elasticsearch::copy_out(&subject.url, scope, file, sink).await,
        #[allow(unreachable_patterns)]
        other => unsupported(other),
    }
}

async fn rehearse(
    subject: &Subject,
    scratch: Option<&SecretString>,
    content: Content,
    meta: &Meta,
) -> Result<Rehearsed, BackupError> {
    let url = scratch.unwrap_or(&subject.url);
    let _ = (url, meta);
    match subject.engine {
        #[cfg(feature = "postgres")]
        Engine::Postgresql => postgres::rehearse(&subject.url, url, content, meta).await,
        Engine::Sqlite => sqlite::rehearse(&subject.url, content).await,
        #[cfg(feature = "mongodb")]
        Engine::Mongodb => mongodb::rehearse(url, content).await,
        #[cfg(feature = "redis")]
        Engine::Redis => redis::rehearse(url, content).await,
        #[cfg(feature = "elasticsearch")]
        Engine::Elasticsearch => elasticsearch::rehearse(url, content).await,
        #[allow(unreachable_patterns)]
        other => unsupported(other),
    }
}

/// Empties a database: everything that is the user's, and Godwit's own tables. Of a server that others may share, the keys or
/// indices of `scope` go and nothing else. Whoever calls this holds the target's lock.
///
/// # Errors
/// What the server said; and a server that others may share without such names.
pub async fn clear(subject: &Subject, scope: &Scope) -> Result<(), BackupError> {
    match (subject.engine, scope) {
        #[cfg(feature = "postgres")]
        (Engine::Postgresql, Scope::All) => postgres::clear(&subject.url).await,
        (Engine::Sqlite, Scope::All) => sqlite::clear(&subject.url).await,
        #[cfg(feature = "mongodb")]
        (Engine::Mongodb, Scope::All) => mongodb::clear(&subject.url).await,
        #[cfg(feature = "redis")]
        (Engine::Redis, Scope::Only(names)) => redis::clear(&subject.url, names).await,
        #[cfg(feature = "elasticsearch")]
        (Engine::Elasticsearch, Scope::Only(_)) => elasticsearch::clear(&subject.url, scope).await,
        (engine @ (Engine::Redis | Engine::Elasticsearch), Scope::All) => Err(BackupError::Usage(format!(
            "`{}` is {engine}, which others may share: say whose keys or indices go",
            subject.name
        ))),
        (engine, _) => unsupported(engine),
    }
}

/// Looks whether a backup may be brought back into this database, and whether its file is what was written.
///
/// # Errors
/// Why not.
pub async fn inspect(subject: &Subject, file: &Path) -> Result<Meta, BackupError> {
    let meta = Meta::read(file)?;
    let of = |environment: &Option<EnvironmentName>, name: &TargetName| match environment {
        Some(environment) => format!("`{environment}`, database `{name}`"),
        None => format!("the database `{name}`"),
    };
    if meta.engine != subject.engine || meta.target != subject.name || meta.environment != subject.environment {
        return Err(BackupError::Usage(format!(
            "`{}` is a backup of {} ({}), not of {} ({})",
            file.display(),
            of(&meta.environment, &meta.target),
            meta.engine,
            of(&subject.environment, &subject.name),
            subject.engine,
        )));
    }
    let (path, size, sha256) = (file.to_path_buf(), meta.size_bytes, meta.sha256.clone());
    tokio::task::spawn_blocking(move || file::check(&path, size, &sha256)).await.map_err(ended_early)??;
    Ok(meta)
}

/// Brings a backup back into its database. The fencing token stays above `floor`, so that a runner from before the
/// restore can change nothing. Whoever calls this holds the target's lock and has called [`inspect`].
///
/// # Errors
/// [`BackupError::Half`] when the target is between its old and its restored state; any other error leaves it as it was.
pub async fn bring_back(
    subject: &Subject,
    file: &Path,
    meta: &Meta,
    keys: &Keys,
    floor: Epoch,
) -> Result<Restored, BackupError> {
    let (subject, file, meta, keys) = (subject.clone(), file.to_path_buf(), meta.clone(), keys.clone());
    aside(move |runtime| runtime.block_on(bring_back_here(&subject, &file, &meta, &keys, floor))).await
}

async fn bring_back_here(
    subject: &Subject,
    file: &Path,
    meta: &Meta,
    keys: &Keys,
    floor: Epoch,
) -> Result<Restored, BackupError> {
    let opener = if meta.encrypted { Some(keys.opener()?) } else { None };
    let content = file::open(file, opener.as_ref())?;
    let _ = floor;
    match subject.engine {
        #[cfg(feature = "postgres")]
        Engine::Postgresql => postgres::bring_back(&subject.url, content, floor).await,
        Engine::Sqlite => sqlite::bring_back(&subject.url, content, floor).await,
        #[cfg(feature = "mongodb")]
        Engine::Mongodb => mongodb::bring_back(&subject.url, content, meta).await,
        #[cfg(feature = "redis")]
        Engine::Redis => redis::bring_back(&subject.url, content, meta).await,
        #[cfg(feature = "elasticsearch")]
        Engine::Elasticsearch => elasticsearch::bring_back(&subject.url, content, meta).await,
        #[allow(unreachable_patterns)]
        other => unsupported(other),
    }
}
