//! `godwit restore`.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde_json::json;

use super::backup::failed;
use super::bounds::ShelfArgs;
use super::exit::Failure;
use super::running;
use super::targets::Place;
use super::{Exit, Format, Global, print};
use crate::backup::meta::{Meta, Scope};
use crate::backup::{atomicity, retention};
use crate::ids::EnvironmentName;
use crate::runner::backup::{BackupWish, Recovered};
use crate::runner::{self, Target};

/// Arguments of `godwit restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit restore production migration_backup_20241204_143022_production_shop-pg.sql
  godwit restore production --at 2024-12-04T15:00:00Z
  godwit restore --url sqlite:shop.db migration_backup_20241204_143022_shop.sqlite")]
pub struct Args {
    /// The environment (unless `--env` or `--url` says where), and the backup: its file, or its name in the folder of backups
    #[arg(value_name = "ENVIRONMENT BACKUP", num_args = 0..=2)]
    words: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Instead of a backup: of each database the newest one that is not later than this
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<DateTime<Utc>>,
    #[command(flatten)]
    shelf: ShelfArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let day = || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(23, 59, 59);
    text.parse::<DateTime<Utc>>()
        .ok()
        .or_else(|| day().map(|t| t.and_utc()))
        .ok_or_else(|| "give a time such as `2024-12-04T14:30:22Z`, or a day".to_owned())
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let placed = args.place.environment.is_some() || args.place.url.is_some();
    let mut words = args.words.into_iter();
    let environment = match (placed, words.next()) {
        (false, Some(word)) => Some(
            EnvironmentName::new(word.as_str())
                .map_err(|_| Failure::usage(format!("say where: `{word}` is no environment's name")))?,
        ),
        (true, Some(word)) => {
            words = vec![word].into_iter().chain(words).collect::<Vec<_>>().into_iter();
            None
        }
        (_, None) => None,
    };
    let named = words.next();
    if let Some(more) = words.next() {
        return Err(Failure::usage(format!("`{more}` is one word too many: name one backup")));
    }
    let databases = args.place.or_word(environment)?.databases(global)?;
    let wish = args.shelf.wish()?;
    let chosen = match (&named, args.at) {
        (Some(_), Some(_)) => return Err(Failure::usage("name a backup or a time, not both")),
        (None, None) => return Err(Failure::usage("say which backup: its file, or `--at TIME`; see `godwit backups`")),
        (Some(name), None) => vec![by_name(&databases.targets, name, &wish)?],
        (None, Some(at)) => by_time(&databases.targets, at, &wish)?,
    };
    if !args.yes && !agreed(&chosen)? {
        anstream::eprintln!("nothing was changed");
        return Ok(Exit::Blocked);
    }
    let actor = running::actor();
    running::block_on(async {
        let keeper = running::keeper(global);
        let mut all = Vec::new();
        for (target, file, _) in &chosen {
            let recovered = runner::backup::restore(&keeper, target, &actor, &wish, file).await.map_err(failed)?;
            if global.format == Format::Text && !global.quiet {
                print::prose(&told(target, file, &recovered))?;
            }
            all.push(json!({
                "target": target.name, "backup": file.display().to_string(), "made_at": recovered.meta.created_at,
                "contents": recovered.restored.contents, "notes": recovered.restored.notes, "unapplied": recovered.unapplied,
            }));
        }
        if global.format == Format::Json {
            print::json(&json!({ "restored": all }))?;
        }
        Ok(Exit::Done)
    })
}

type Chosen<'a> = (&'a Target, PathBuf, Meta);

fn by_name<'a>(all: &'a [Target], name: &str, wish: &BackupWish) -> anyhow::Result<Chosen<'a>> {
    let given = PathBuf::from(name);
    // As its own `.meta` writes it, from wherever the command is run.
    let short = Path::new(name).file_name().map(|n| wish.dir.join(n));
    let file = [Some(given.clone()), short].into_iter().flatten().find(|f| f.exists()).unwrap_or(given);
    let meta = Meta::read(&file).map_err(Failure::from)?;
    let target = all.iter().find(|t| t.name == meta.target && t.environment == meta.environment).ok_or_else(|| {
        Failure::usage(format!(
            "`{}` is a backup of `{}`{}, which is not what is to be restored",
            file.display(),
            meta.target,
            meta.environment.as_ref().map_or_else(String::new, |e| format!(" of `{e}`"))
        ))
    })?;
    Ok((target, file, meta))
}

fn by_time<'a>(all: &'a [Target], at: DateTime<Utc>, wish: &BackupWish) -> anyhow::Result<Vec<Chosen<'a>>> {
    let shelf = retention::list(&wish.dir).map_err(Failure::from)?;
    all.iter()
        .map(|target| {
            let found = shelf.not_later(target.environment.as_ref(), &target.name, at).ok_or_else(|| {
                Failure::usage(format!(
                    "`{}` has no backup from {at} or before in `{}`",
                    target.name,
                    wish.dir.display()
                ))
            })?;
            Ok((target, found.file.clone(), found.meta.clone()))
        })
        .collect()
}

fn agreed(chosen: &[Chosen<'_>]) -> anyhow::Result<bool> {
    for (target, file, meta) in chosen {
        let of = match &meta.scope {
            Scope::All => "everything in it".to_owned(),
            Scope::Only(names) => names.join(", "),
        };
        anstream::eprintln!(
            "{}: {of} is replaced by `{}` of {}; what was written since is lost",
            target.name,
            file.display(),
            meta.created_at.format("%Y-%m-%d %H:%M:%S UTC")
        );
        if let Some(what) = atomicity(target.engine) {
            anstream::eprintln!("  not all at once: {what}");
        }
    }
    let Some((target, _, _)) = chosen.first() else { return Ok(false) };
    let word = target.environment.as_ref().map_or_else(|| target.name.to_string(), ToString::to_string);
    running::confirm("that is final", &word)
}

fn told(target: &Target, file: &Path, recovered: &Recovered) -> String {
    let entries: u64 = recovered.restored.contents.values().map(|s| s.count).sum();
    let mut out = format!(
        "{}: restored from `{}` of {}, {} entries in {} parts\n",
        target.name,
        file.display(),
        recovered.meta.created_at.format("%Y-%m-%d %H:%M:%S UTC"),
        entries,
        recovered.restored.contents.len()
    );
    for note in &recovered.restored.notes {
        out.push_str(&format!("  note: {note}\n"));
    }
    if !recovered.unapplied.is_empty() {
        out.push_str(&format!(
            "  no longer applied, and pending again: {}\n",
            recovered.unapplied.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
        ));
    }
    out
}
