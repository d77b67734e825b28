//! `godwit resolve`.

use chrono::Utc;
use clap::ValueEnum;
use serde_json::json;

use super::exit::Failure;
use super::running;
use super::targets::Place;
use super::{Exit, Format, Global};
use crate::ids::EnvironmentName;
use crate::plan::planner;
use crate::runner::{self, Settlement};
use crate::store::AuditEntry;

/// Arguments of `godwit resolve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit resolve 0004_orders --env staging --as rolled-back --reason \"dropped by hand\"")]
pub struct Args {
    /// The migration: its id, or `unit/id`
    #[arg(value_name = "MIGRATION")]
    migration: String,
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    /// What you found in the database
    #[arg(long = "as", value_name = "STATE")]
    state: State,
    /// Why; recorded in the audit log
    #[arg(long, value_name = "REASON")]
    reason: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// Its effect is there, as the file says now
    Applied,
    /// Nothing of it is there
    RolledBack,
    /// Run it again, from the statement it stopped at, as the file says now
    Retry,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    if args.reason.trim().is_empty() {
        return Err(Failure::usage("a reason is needed; it is recorded"));
    }
    let gathered = args.place.or_word(args.word)?.gather(global)?;
    // The target that takes the migration; where its file is gone, the only one.
    let owner = gathered.set.find(&args.migration);
    if owner.is_none() && !gathered.set.meant(&args.migration).is_empty() {
        let refusal = planner::unknown(&gathered.set, &args.migration);
        return Err(Failure::usage(format!("{}; {}", refusal.message, refusal.what_to_do)));
    }
    let mut fitting = gathered.targets.iter().filter(|t| owner.is_none_or(|m| planner::belongs(m, &t.name, t.engine)));
    let (Some(target), None) = (fitting.next(), fitting.next()) else {
        return Err(Failure::usage(format!(
            "say on which database with `--target`: `{}` may be on several",
            args.migration
        )));
    };
    let settlement = match args.state {
        State::Applied => Settlement::Applied,
        State::RolledBack => Settlement::RolledBack,
        State::Retry => Settlement::Retry,
    };
    let actor = running::actor();
    running::block_on(async {
        let store = global.open_store().await?;
        let settled = runner::resolve(&store, &gathered.set, target, &actor, &args.migration, settlement)
            .await
            .map_err(running::failed)?;
        let (was, is) = match settled {
            Ok(states) => states,
            Err(refusal) => {
                let exit = Exit::of_refusals(std::slice::from_ref(&refusal));
                return Err(Failure { exit, message: format!("{}; {}", refusal.message, refusal.what_to_do) }.into());
            }
        };
        let mut entry = AuditEntry::new(Utc::now(), &actor.by, "resolve", is.as_str());
        entry.environment.clone_from(&gathered.environment);
        entry.target = Some(target.name.clone());
        entry.basis = Some(args.reason.trim().to_owned());
        entry.details.insert("migration".to_owned(), args.migration.clone());
        entry.details.insert("before".to_owned(), was.as_str().to_owned());
        store.append_audit(entry).await?;
        match global.format {
            Format::Json => {
                anstream::println!(
                    "{}",
                    json!({ "migration": args.migration, "target": target.name, "before": was, "state": is })
                );
            }
            Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
                anstream::println!("{} on {} was {}, is {}", args.migration, target.name, was.as_str(), is.as_str());
            }
        }
        Ok(Exit::Done)
    })
}
