//! `godwit store`: Godwit's own tables into a file, back, or to another database.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use super::exit::Failure;
use super::{Exit, Format, Global};
use crate::redact;
use crate::store::copy::{Copied, CopyError, Damaged};
use crate::store::{AuditKey, Store};

/// Arguments of `godwit store`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit store backup /backup/godwit-2026-03-01.db
  godwit store restore /backup/godwit-2026-03-01.db
  godwit store move --to postgres://godwit@db.internal/godwit

The store is the one of `--store`, `GODWIT_STORE_URL` or the data directory. A password need not stand in a URL:
`PGPASSWORD` and a password file (`PGPASSFILE`) are read as by psql.")]
pub struct Args {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Copy the store into a new file, also while servers use it
    #[command(after_help = "Examples:
  godwit store backup /backup/godwit-2026-03-01.db
  godwit store backup backup.db --store postgres://godwit@db.internal/godwit

The file is a SQLite database. The audit key is not in it: keep that elsewhere.")]
    Backup(BackupArgs),
    /// Fill an empty store from such a file
    #[command(after_help = "Examples:
  godwit store restore /backup/godwit-2026-03-01.db
  godwit store restore backup.db --store postgres://godwit@db.internal/godwit")]
    Restore(RestoreArgs),
    /// Copy the store to another, empty database: from SQLite to PostgreSQL, or back
    #[command(after_help = "Examples:
  godwit store move --to postgres://godwit@db.internal/godwit
  godwit store move --store postgres://godwit@db.internal/godwit --to sqlite:/var/lib/godwit/godwit.db

Stop the servers first. The store it was copied from stays as it is.")]
    Move(MoveArgs),
}

#[derive(Debug, clap::Args)]
struct BackupArgs {
    /// The new file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    damaged: DamagedArg,
}

#[derive(Debug, clap::Args)]
struct RestoreArgs {
    /// A file that `backup` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    damaged: DamagedArg,
}

#[derive(Debug, clap::Args)]
struct MoveArgs {
    /// Where to: `postgres://USER@HOST/DATABASE` or `sqlite:FILE`; nothing may be in it
    #[arg(long, value_name = "URL")]
    to: String,
    #[command(flatten)]
    damaged: DamagedArg,
}

#[derive(Debug, clap::Args)]
struct DamagedArg {
    /// Copy an audit log that is not valid as it is, instead of refusing
    #[arg(long)]
    damaged: bool,
}

impl DamagedArg {
    fn wish(&self) -> Damaged {
        if self.damaged { Damaged::Accepted } else { Damaged::Refused }
    }
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    global.block_on(async {
        match args.command {
            StoreCommand::Backup(args) => backup(global, &args).await,
            StoreCommand::Restore(args) => restore(global, &args).await,
            StoreCommand::Move(args) => move_to(global, &args).await,
        }
    })
}

/// Where the store is that is copied.
fn source(global: &Global) -> anyhow::Result<String> {
    let url = global.store_url()?;
    match Store::may_be_at(&url) {
        Ok(true) => Ok(url),
        Ok(false) => Err(Failure::usage(format!(
            "there is no store at `{url}`; say with `--store` or `GODWIT_DATA_DIR` where it is"
        ))),
        Err(error) => Err(Failure::usage(error.to_string())),
    }
}

/// Into `FILE.partial`, which gets its name when it is whole.
async fn backup(global: &Global, args: &BackupArgs) -> anyhow::Result<Exit> {
    if args.file.exists() {
        return Err(Failure::usage(format!("`{}` is there already; name a new file", args.file.display())));
    }
    let url = source(global)?;
    let (key, key_file) = global.audit_key_at(&url)?;
    let store = global.open_store_with(&url, key.clone()).await?;
    let mut name = args.file.clone().into_os_string();
    name.push(".partial");
    let partial = Scratch(PathBuf::from(name));
    partial.clear();
    let copied = into_file(global, &store, &partial.0, key, args.damaged.wish()).await?;
    store.close().await;
    std::fs::File::open(&partial.0)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(&partial.0, &args.file))
        .with_context(|| format!("cannot write `{}`", args.file.display()))?;
    let key = match key_file {
        Some(file) => format!("keep `{}` too, elsewhere: whoever holds both can forge the log", file.display()),
        None => "keep the audit key too, elsewhere: whoever holds both can forge the log".to_owned(),
    };
    told(global, &copied, &args.file.display().to_string(), &[key])
}

async fn into_file(
    global: &Global,
    store: &Store,
    file: &Path,
    key: AuditKey,
    damaged: Damaged,
) -> anyhow::Result<Copied> {
    let to = global.open_store_with(&format!("sqlite:{}", file.display()), key).await?;
    let copied = store.copy_into(&to, damaged).await;
    to.close().await;
    copied.map_err(failed)
}

/// From a copy of the file, because a store that is opened is brought up to date.
async fn restore(global: &Global, args: &RestoreArgs) -> anyhow::Result<Exit> {
    let url = global.store_url()?;
    let (key, key_file) = global.audit_key_at(&url)?;
    let to = global.open_store_with(&url, key.clone()).await?;
    let beside = Store::audit_key_file(&url, Some(&super::settings::data_dir_or(None)?))?;
    let scratch = Scratch(beside.with_file_name(format!("restore-{}.db", ulid::Ulid::generate())));
    copy_backup(&args.file, &scratch.0)?;
    let from = global
        .open_store_with(&format!("sqlite:{}", scratch.0.display()), key)
        .await
        .with_context(|| format!("`{}` is no backup of a store", args.file.display()))?;
    let copied = from.copy_into(&to, args.damaged.wish()).await;
    from.close().await;
    let copied = copied.map_err(failed)?;
    to.anchor_audit().await?;
    let verdict = to.verify_audit(None).await?;
    to.close().await;
    let mut next = Vec::new();
    if let Some(problem) = verdict.problem.filter(|_| copied.audit.valid) {
        // The anchor of the store that was lost knows of more than the backup has.
        next.push(problem);
    }
    if let Some(file) = key_file {
        next.push(format!("the log is checked with the key in `{}`", file.display()));
    }
    next.push("start the servers; nothing runs twice, because each target holds its own history".to_owned());
    told(global, &copied, &redact::text(&url), &next)
}

/// Copies a file that looks like a store, for its owner only.
fn copy_backup(from: &Path, to: &Path) -> anyhow::Result<()> {
    use std::io::Read as _;
    let cannot = || format!("cannot read `{}`", from.display());
    let mut source = std::fs::File::open(from).map_err(|e| Failure::usage(format!("{}: {e}", cannot())))?;
    let mut start = [0; 16];
    if source.read(&mut start).with_context(cannot)? < start.len() || &start != b"SQLite format 3\0" {
        return Err(Failure::usage(format!("`{}` is no backup of a store", from.display())));
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(to).with_context(|| format!("cannot write `{}`", to.display()))?;
    std::io::Write::write_all(&mut out, &start)
        .and_then(|()| std::io::copy(&mut source, &mut out).map(drop))
        .with_context(cannot)
}

async fn move_to(global: &Global, args: &MoveArgs) -> anyhow::Result<Exit> {
    let url = source(global)?;
    if url == args.to {
        return Err(Failure::usage("`--to` is where the store is already"));
    }
    // Before anything is made there.
    let data = super::settings::data_dir_or(None)?;
    let there = Store::audit_key_file(&args.to, Some(&data)).map_err(|e| Failure::usage(e.to_string()))?;
    let (key, key_file) = global.audit_key_at(&url)?;
    let from = global.open_store_with(&url, key.clone()).await?;
    from.is_left_alone().await.map_err(failed)?;
    if key_file.is_some() {
        key.keep(&there).map_err(|e| Failure::with_causes(Exit::Usage, "the audit key cannot go along", &e))?;
    }
    let to = global.open_store_with(&args.to, key).await?;
    let copied = from.copy_into(&to, args.damaged.wish()).await.map_err(failed)?;
    to.anchor_audit().await?;
    to.close().await;
    from.close().await;
    let shown = redact::text(&args.to);
    let key = match key_file {
        Some(_) => format!(
            "the audit key stays what it is: it is in `{}`; give it to every replica on another machine as \
             `GODWIT_AUDIT_KEY_FILE`",
            there.display()
        ),
        None => "the audit key stays what it is".to_owned(),
    };
    let next = [
        format!("set `GODWIT_STORE_URL` to `{shown}` for every server and command line, then start them"),
        key,
        format!(
            "`{}` is as it was; keep it until `godwit audit verify` is content with the new one",
            redact::text(&url)
        ),
    ];
    told(global, &copied, &shown, &next)
}

/// With the exit code of its kind, and what to do.
fn failed(error: CopyError) -> anyhow::Error {
    let hint = match &error {
        CopyError::Store(_) => return Failure::with_causes(Exit::Unreachable, "nothing was copied", &error),
        CopyError::NotEmpty(_) => "nothing was copied: name a database or a file that holds no store yet",
        CopyError::Damaged(_) => "nothing was copied: see `godwit audit verify`; `--damaged` copies it as it is",
        CopyError::Lost { .. } => "try again",
        CopyError::Served { .. } => {
            return Failure::with_causes(
                Exit::Blocked,
                "stop every server first; one that was killed is forgotten after a minute",
                &error,
            );
        }
    };
    Failure::with_causes(Exit::Failed, hint, &error)
}

fn told(global: &Global, copied: &Copied, to: &str, next: &[String]) -> anyhow::Result<Exit> {
    let rows: u64 = copied.tables.values().sum();
    match global.format {
        Format::Json => anstream::println!(
            "{}",
            json!({ "to": to, "rows": rows, "tables": copied.tables, "audit": copied.audit, "next": next })
        ),
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
            anstream::println!("{rows} rows in {} tables are in {to}", copied.tables.len());
            let (valid, records, head) = (copied.audit.valid, copied.audit.records, &copied.audit.head);
            let word = if valid { "valid" } else { "NOT valid, as before" };
            anstream::println!("the audit log is {word}: {records} records, head {head}");
            for line in next {
                anstream::println!("next: {line}");
            }
        }
    }
    Ok(Exit::Done)
}

/// A file that goes, with SQLite's companions of it, when this does.
struct Scratch(PathBuf);

impl Scratch {
    fn clear(&self) {
        for end in ["", "-wal", "-shm"] {
            let mut name = self.0.clone().into_os_string();
            name.push(end);
            // It may never have been made, or have got its name.
            let _ = std::fs::remove_file(name);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.clear();
    }
}
