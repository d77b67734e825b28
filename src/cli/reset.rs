//! `godwit reset`: what was applied is forgotten, and a copy of that kept (DECISIONS 16).

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::Utc;
use serde_json::json;

use super::by_hand::{is_production, not_frozen, refused};
use super::exit::Failure;
use super::running;
use super::settings::data_dir_or;
use super::targets::Place;
use super::{Exit, Format, Global, print};
use crate::ids::EnvironmentName;
use crate::runner::Target;
use crate::runner::reset::{Forgotten, forget};
use crate::store::AuditEntry;

/// Arguments of `godwit reset`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit reset staging --confirm --reason \"restored from a dump of before Godwit\"
  godwit reset --env production --target shop-pg --confirm --reason …

Every migration counts as not applied from then on; tables, rows, documents and keys stay as they are. What was recorded is
kept in a file. `godwit baseline` says afterwards what is there.")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
    /// Yes, forget it
    #[arg(long)]
    confirm: bool,
    /// Why; recorded in the audit log
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    #[cfg(feature = "bot")]
    #[command(flatten)]
    github: super::person::GithubArgs,
}

/// Has an environment's databases forget what was applied.
///
/// # Errors
/// Without `--confirm`; where a role is missing; where a database is busy.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    if !args.confirm {
        return Err(Failure::usage(
            "say `--confirm`: every migration will count as not applied, while the data stays as it is",
        ));
    }
    let reason = args.reason.as_deref().map(str::trim).filter(|r| !r.is_empty()).map(str::to_owned);
    let gathered = args.place.or_word(args.word)?.gather(global)?;
    let guarded = match (&gathered.policy, &gathered.environment) {
        (Some(policy), Some(environment)) => is_production(policy, environment),
        (None, _) | (_, None) => false,
    };
    if guarded && reason.is_none() {
        return Err(Failure::usage("say why with `--reason`; it is recorded"));
    }
    let actor = running::actor();
    running::block_on(async {
        #[cfg(feature = "bot")]
        let by = match &gathered.policy {
            Some(policy) if guarded => {
                super::person::lead(global, policy, &args.github, "reset this environment").await?
            }
            Some(_) | None => None,
        };
        #[cfg(not(feature = "bot"))]
        let by: Option<String> = None;
        let store = global.open_store().await?;
        if let Some(environment) = &gathered.environment {
            not_frozen(&store, environment).await?;
        }
        let folder = data_dir_or(None)?.join("resets");
        let mut told = Vec::new();
        for target in &gathered.targets {
            let copy = |forgotten: &Forgotten| keep(&folder, target, forgotten).map_err(|e| format!("{e:#}"));
            let forgotten = forget(&store, &gathered.set, target, &actor, &copy).await.map_err(running::failed)?;
            let forgotten = forgotten.map_err(refused)?;
            let file = copy_of(&folder, target, &forgotten);
            let mut entry = AuditEntry::new(Utc::now(), by.as_deref().unwrap_or(&actor.by), "reset", "ok");
            entry.environment.clone_from(&gathered.environment);
            entry.target = Some(target.name.clone());
            entry.run = Some(forgotten.run.clone());
            entry.basis.clone_from(&reason);
            entry.details.insert("migrations".to_owned(), forgotten.migrations.len().to_string());
            entry.details.insert("copy".to_owned(), file.display().to_string());
            store.append_audit(entry).await?;
            told.push((target, forgotten, file));
        }
        if global.format == Format::Json {
            let all: Vec<_> = told
                .iter()
                .map(|(target, f, file)| {
                    json!({ "target": target.name, "run": f.run, "forgotten": f.migrations, "copy": file })
                })
                .collect();
            print::json(&json!({ "environment": gathered.environment, "targets": all }))?;
            return Ok(Exit::Done);
        }
        let mut text = String::new();
        for (target, forgotten, file) in &told {
            text.push_str(&format!(
                "{}: {} forgotten; the data is as it was\n  what was recorded: {}\n",
                target.name,
                crate::report::count(forgotten.migrations.len(), "migration"),
                file.display()
            ));
        }
        let place = match &gathered.environment {
            Some(environment) => environment.to_string(),
            None => "--url … --path …".to_owned(),
        };
        text.push_str(&format!(
            "next: `godwit baseline {place} --to VERSION` for what is there, or `godwit apply {place}` to run everything again\n"
        ));
        print::prose(&text)?;
        Ok(Exit::Done)
    })
}

/// Writes what was recorded into a file of its own that only its owner may read.
fn keep(folder: &Path, target: &Target, forgotten: &Forgotten) -> anyhow::Result<()> {
    let cannot = || format!("a copy of what was recorded cannot be written into `{}`", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    let file = copy_of(folder, target, forgotten);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let text = crate::redact::text(&serde_json::to_string_pretty(forgotten)?);
    let mut out = options.open(&file).with_context(cannot)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).with_context(cannot)
}

/// The file of a copy.
fn copy_of(folder: &Path, target: &Target, forgotten: &Forgotten) -> PathBuf {
    let place = target.environment.as_ref().map_or_else(String::new, |e| format!("{e}_"));
    folder.join(format!("reset_{place}{}_{}.json", target.name, forgotten.run))
}
