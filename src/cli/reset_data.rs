//! `godwit reset-data`: databases are emptied, only where their environment allows it (DECISIONS 16).

use chrono::Utc;
use serde_json::json;

use super::bounds::ShelfArgs;
use super::by_hand::{blocked, is_production, not_frozen, refused};
use super::exit::Failure;
use super::running;
use super::targets::Place;
use super::{Exit, Format, Global, backup, print, seed};
use crate::ids::EnvironmentName;
use crate::runner::backup::BackupWish;
use crate::runner::data::{NotCleared, empty, is_whole};
use crate::runner::{self, Target};
use crate::store::AuditEntry;

/// Arguments of `godwit reset-data`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit reset-data development --confirm
  godwit reset-data testing --confirm --backup
  godwit reset-data development --confirm --only 'cart:*' --only 'shop_*'

Only where `policies/environments.yml` says `migration: { reset_data: true }`, and never in production. Everything in the
databases is gone afterwards; `godwit apply` and `godwit seed` fill them again. Of Redis and Elasticsearch, which others may
use too, the keys or indices go that `--only` names.")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
    /// Yes, empty them
    #[arg(long)]
    confirm: bool,
    /// Make and verify a backup first, also where the environment does not ask for one
    #[arg(long)]
    backup: bool,
    /// Redis and Elasticsearch: the keys or indices that go, by name or pattern (`*`: all of them)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    #[command(flatten)]
    shelf: ShelfArgs,
}

/// Empties an environment's databases.
///
/// # Errors
/// Where the environment does not allow it; without `--confirm`; where a backup cannot be made.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    if args.place.url.is_some() {
        return Err(Failure::usage("only a database of an environment that allows it is emptied; `--url` names none"));
    }
    let place = args.place.or_word(args.word)?;
    if !place.is_said() {
        return Err(Failure::usage("say which environment: `godwit reset-data development --confirm`"));
    }
    let policy = place.policy(global)?;
    let settings = place.settings(global, &policy)?;
    let environment = &settings.name;
    if is_production(&policy, environment) {
        return Err(blocked(format!("the data of `{environment}` is never reset, whatever is configured")));
    }
    if !settings.migration.reset_data {
        return Err(blocked(format!(
            "`{environment}` does not allow it; write `migration: {{ reset_data: true }}` into its part of \
             `policies/environments.yml`"
        )));
    }
    let databases = place.databases(global)?;
    names_fit(&databases.targets, &args.only)?;
    if !args.confirm {
        let what: Vec<String> = databases.targets.iter().map(|t| what_goes(t, &args.only)).collect();
        return Err(Failure::usage(format!("say `--confirm`: this will be gone: {}", what.join(", "))));
    }
    let actor = running::actor();
    let wish = (args.backup || settings.migration.backup_required).then(|| args.shelf.wish()).transpose()?;
    let done = running::block_on(async {
        let keeper = running::keeper(global);
        let store = keeper.open().await.map_err(running::failed)?;
        not_frozen(store, environment).await?;
        let mut done = Vec::new();
        for target in &databases.targets {
            let only = if is_whole(target.engine) { &[][..] } else { &args.only };
            let file = match &wish {
                Some(wish) => {
                    let wish = BackupWish { only: only.to_vec(), ..wish.clone() };
                    Some(runner::backup::backup(&keeper, target, &actor, &wish).await.map_err(backup::failed)?.file)
                }
                None => None,
            };
            let mut entry = AuditEntry::new(Utc::now(), &actor.by, "reset-data", "asked");
            entry.environment = Some(environment.clone());
            entry.target = Some(target.name.clone());
            entry.basis = Some("--confirm".to_owned());
            if !only.is_empty() {
                entry.details.insert("only".to_owned(), only.join(", "));
            }
            if let Some(file) = &file {
                entry.details.insert("backup".to_owned(), file.display().to_string());
            }
            store.append_audit(entry).await?;
            empty(target, &actor, only).await.map_err(running::failed)?.map_err(not_cleared)?;
            done.push((target.clone(), file));
        }
        Ok(done)
    })?;
    let has_seed = seed::is_there(global, &policy, environment);
    if global.format == Format::Json {
        let all: Vec<_> = done
            .iter()
            .map(|(target, file)| {
                let only = (!is_whole(target.engine)).then_some(&args.only);
                json!({ "target": target.name, "only": only, "backup": file })
            })
            .collect();
        print::json(&json!({ "environment": environment, "emptied": all }))?;
        return Ok(Exit::Done);
    }
    let mut text: String = done.iter().map(|(target, _)| format!("{}\n", what_went(target, &args.only))).collect();
    text.push_str(&format!("next: `godwit apply {environment}`"));
    if has_seed {
        text.push_str(&format!(", then `godwit seed {environment}`"));
    }
    print::prose(&format!("{text}\n"))?;
    Ok(Exit::Done)
}

/// Names go with servers that others may use, and no such server goes without.
fn names_fit(targets: &[Target], only: &[String]) -> anyhow::Result<()> {
    let shared = targets.iter().find(|t| !is_whole(t.engine));
    match shared {
        Some(target) if only.is_empty() => Err(Failure::usage(format!(
            "`{}` is {}, which others may use too: say what goes with `--only 'shop*'` (`--only '*'` is all of it), or name \
             the other databases with `--target`",
            target.name, target.engine
        ))),
        None if !only.is_empty() => {
            Err(Failure::usage("`--only` is for Redis and Elasticsearch; these databases are emptied whole"))
        }
        Some(_) | None => Ok(()),
    }
}

fn what_goes(target: &Target, only: &[String]) -> String {
    if is_whole(target.engine) {
        return format!("everything in `{}`", target.name);
    }
    format!("{} of `{}`", only.join(" and "), target.name)
}

fn what_went(target: &Target, only: &[String]) -> String {
    if is_whole(target.engine) {
        return format!("{} is empty", target.name);
    }
    format!("{} has no {} any more; its migrations count as not applied", target.name, only.join(" and no "))
}

fn not_cleared(error: NotCleared) -> anyhow::Error {
    match error {
        NotCleared::Refused(refusal) => refused(refusal),
        NotCleared::Failed(error) => Failure::from(error).into(),
    }
}
