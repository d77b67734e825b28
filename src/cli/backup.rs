//! `godwit backup` and `godwit backups`.

use std::fmt::Write as _;

use chrono::Utc;
use serde_json::{Value, json};

use super::bounds::ShelfArgs;
use super::exit::Failure;
use super::running;
use super::targets::Place;
use super::{Exit, Format, Global, print};
use crate::backup::meta::Meta;
use crate::backup::retention::{self, Listed, Shelf};
use crate::backup::{self, BackupError, Made, Subject};
use crate::ids::{Engine, EnvironmentName, TargetName};
use crate::runner::backup::{BackupWish, NotDone};
use crate::runner::{self};

/// Arguments of `godwit backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit backup production
  godwit backup --env staging --target shop-pg --dir /mnt/backups
  godwit backup --url sqlite:shop.db")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
    /// Redis and Elasticsearch: only these keys or indices, by name or pattern (default: everything)
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    #[command(flatten)]
    shelf: ShelfArgs,
}

/// Arguments of `godwit backups`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit backups
  godwit backups --env production
  godwit backups prune --keep 10 --older-than 30")]
pub struct ListArgs {
    /// Delete old ones instead
    #[arg(value_name = "prune")]
    action: Option<Action>,
    /// Only of this environment
    #[arg(long = "env", value_name = "ENVIRONMENT")]
    environment: Option<EnvironmentName>,
    /// Only of this database
    #[arg(long, value_name = "TARGET")]
    target: Option<TargetName>,
    /// Of each database the newest so many stay
    #[arg(long, value_name = "COUNT", requires = "action")]
    keep: Option<usize>,
    /// What is not older than this stays
    #[arg(long, value_name = "DAYS", requires = "action", value_parser = days)]
    older_than: Option<chrono::Duration>,
    /// Tell what would be deleted, and delete nothing
    #[arg(long, requires = "action")]
    dry_run: bool,
    /// The cluster whose snapshots go too, where no environment says which
    #[arg(long, value_name = "URL", requires = "action")]
    url: Option<String>,
    #[command(flatten)]
    shelf: ShelfArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Action {
    /// Delete old backups
    Prune,
}

fn days(text: &str) -> Result<chrono::Duration, String> {
    let wrong = || "give days, such as `30` or `30d`, or hours, such as `12h`".to_owned();
    let (number, hours) = match text.strip_suffix('h') {
        Some(number) => (number, 1),
        None => (text.strip_suffix('d').unwrap_or(text), 24),
    };
    let number: i64 = number.parse().map_err(|_| wrong())?;
    if !(0..=100_000).contains(&number) {
        return Err(wrong());
    }
    Ok(chrono::Duration::hours(number * hours))
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let exit = match &error {
            BackupError::Usage(_) => Exit::Usage,
            BackupError::Failed(_) | BackupError::Damaged(_) => Exit::Failed,
            BackupError::Unreachable(_) => Exit::Unreachable,
            BackupError::Half(_) => Exit::NeedsHuman,
        };
        Failure { exit, message: error.to_string() }
    }
}

/// The error with its exit code.
pub(super) fn failed(error: NotDone) -> anyhow::Error {
    match error {
        NotDone::Backup(error) => Failure::from(error).into(),
        NotDone::Refused(refusal) => {
            let exit = if refusal.needs_human { Exit::NeedsHuman } else { Exit::Blocked };
            Failure { exit, message: format!("{}; {}", refusal.message, refusal.what_to_do) }.into()
        }
        NotDone::Run(error) => running::failed(error),
    }
}

/// Makes backups, one database after the other.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let databases = args.place.or_word(args.word)?.databases(global)?;
    let mut wish: BackupWish = args.shelf.wish()?;
    let whole = |e: Engine| matches!(e, Engine::Postgresql | Engine::Sqlite | Engine::Mongodb);
    if let Some(target) = databases.targets.iter().find(|t| !args.only.is_empty() && whole(t.engine)) {
        return Err(Failure::usage(format!("`{}` is copied whole: leave `--only` out", target.name)));
    }
    wish.only = args.only;
    if let Some(settings) = &databases.settings {
        wish.regions = settings.targets.iter().filter_map(|t| Some((t.name.clone(), t.region.clone()?))).collect();
    }
    let actor = running::actor();
    running::block_on(async {
        let keeper = running::keeper(global);
        let mut made = Vec::new();
        for target in &databases.targets {
            made.push(runner::backup::backup(&keeper, target, &actor, &wish).await.map_err(failed)?);
            if let (Some(last), Format::Text) = (made.last(), global.format)
                && !global.quiet
            {
                print::prose(&told(last))?;
            }
        }
        if global.format == Format::Json {
            let all: Vec<Value> = made.iter().map(|m| entry(&m.file, &m.meta, true)).collect();
            print::json(&json!({ "backups": all }))?;
        }
        Ok(Exit::Done)
    })
}

fn told(made: &Made) -> String {
    let Made { file, meta } = made;
    let mut out = format!("{}: {} ({})\n", meta.target, file.display(), size(meta.size_bytes));
    if let Some(verified) = &meta.verified {
        let _ = writeln!(
            out,
            "  verified: restored into {}, {} entries counted, {} compared",
            verified.into, verified.counted, verified.compared
        );
    }
    if let Some(snapshot) = &meta.snapshot {
        let _ = writeln!(out, "  its documents are in the snapshot {snapshot}");
    }
    for note in &meta.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    let _ = writeln!(out, "  to bring it back: {}", meta.restore_command);
    out
}

/// One backup as JSON: its meta file and where it is.
fn entry(file: &std::path::Path, meta: &Meta, reachable: bool) -> Value {
    let mut value = serde_json::to_value(meta).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("path".to_owned(), json!(file.display().to_string()));
        object.insert("reachable".to_owned(), json!(reachable));
    }
    value
}

fn size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let number = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", number / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", number / 1e6),
        _ => format!("{:.1} GB", number / 1e9),
    }
}

fn age(backup: &Listed) -> String {
    let age = Utc::now() - backup.meta.created_at;
    match age.num_hours() {
        ..1 => format!("{} min", age.num_minutes().max(0)),
        1..48 => format!("{} h", age.num_hours()),
        _ => format!("{} days", age.num_days()),
    }
}

/// Lists backups, or deletes old ones.
pub fn list(global: &Global, args: ListArgs) -> anyhow::Result<Exit> {
    let dir = args.shelf.folder()?;
    let mut shelf = retention::list(&dir).map_err(Failure::from)?;
    shelf.backups.retain(|b| {
        args.environment.as_ref().is_none_or(|e| b.meta.environment.as_ref() == Some(e))
            && args.target.as_ref().is_none_or(|t| &b.meta.target == t)
    });
    match args.action {
        None => show(global, &shelf),
        Some(Action::Prune) => prune(global, &shelf, &args),
    }
}

fn show(global: &Global, shelf: &Shelf) -> anyhow::Result<Exit> {
    if global.format == Format::Json {
        let all: Vec<Value> = shelf.backups.iter().map(|b| entry(&b.file, &b.meta, b.reachable)).collect();
        print::json(&json!({ "backups": all, "leftovers": shelf.leftovers }))?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    if shelf.backups.is_empty() {
        text.push_str("there are no backups\n");
    }
    for backup in &shelf.backups {
        let place = backup.meta.environment.as_ref().map_or_else(String::new, |e| format!("{e}/"));
        let state = match (backup.reachable, backup.meta.is_verified()) {
            (false, _) => "FILE MISSING OR CUT OFF",
            (true, true) => "verified",
            (true, false) => "not verified",
        };
        let sealed = if backup.meta.encrypted { ", encrypted" } else { "" };
        let _ = writeln!(
            text,
            "{}  {place}{}  {} old, {}, {state}{sealed}",
            backup.file.display(),
            backup.meta.target,
            age(backup),
            size(backup.meta.size_bytes)
        );
    }
    for file in &shelf.leftovers {
        let _ = writeln!(text, "{}  left by a backup that was cut short", file.display());
    }
    print::prose(&text)?;
    Ok(Exit::Done)
}

/// Deletes the snapshot that a backup only names.
fn forget_snapshot(global: &Global, backup: &Listed, url: Option<&str>) -> anyhow::Result<()> {
    let Some(snapshot) = &backup.meta.snapshot else { return Ok(()) };
    let place = match (&backup.meta.environment, url) {
        (Some(environment), _) => Place {
            environment: Some(environment.clone()),
            targets: vec![backup.meta.target.clone()],
            ..Place::default()
        },
        (None, Some(url)) => Place { url: Some(url.to_owned()), ..Place::default() },
        (None, None) => {
            return Err(Failure::usage(format!(
                "`{}` names the snapshot `{snapshot}`, and no environment says of which cluster: give its URL with `--url`",
                backup.file.display()
            )));
        }
    };
    let databases = place.databases(global)?;
    let Some(target) = databases.targets.first() else {
        return Err(Failure::usage(format!("there is no database `{}` any more", backup.meta.target)));
    };
    let subject = Subject {
        environment: backup.meta.environment.clone(),
        region: backup.meta.region.clone(),
        name: target.name.clone(),
        engine: target.engine,
        url: target.url.clone(),
    };
    running::block_on(async { backup::forget(&subject, snapshot).await.map_err(|e| Failure::from(e).into()) })
}

fn prune(global: &Global, shelf: &Shelf, args: &ListArgs) -> anyhow::Result<Exit> {
    if args.keep.is_none() && args.older_than.is_none() {
        return Err(Failure::usage("say which ones: `--keep COUNT`, `--older-than DAYS`, or both"));
    }
    let going = shelf.prunable(args.keep, args.older_than, Utc::now());
    if !args.dry_run {
        for backup in &going {
            forget_snapshot(global, backup, args.url.as_deref())?;
            retention::remove(&backup.file).map_err(Failure::from)?;
        }
    }
    let files: Vec<String> = going.iter().map(|b| b.file.display().to_string()).collect();
    if global.format == Format::Json {
        print::json(&json!({ "deleted": files, "dry_run": args.dry_run }))?;
        return Ok(Exit::Done);
    }
    for file in &files {
        anstream::println!("{} {file}", if args.dry_run { "would delete" } else { "deleted" });
    }
    if files.is_empty() {
        anstream::println!("nothing to delete; the newest verified backup of each database always stays");
    }
    Ok(Exit::Done)
}
