//! `godwit drift`.

use chrono::Utc;
use serde_json::json;

use super::exit::Failure;
use super::running;
use super::targets::{self, Gathered, Place};
use super::{Exit, Format, Global, print};
use crate::ids::EnvironmentName;
use crate::plan::drift::TargetDrift;
use crate::plan::{Outcome, RunReport};
use crate::store::AuditEntry;
use crate::{report, runner};

/// Arguments of `godwit drift`.
#[derive(Debug, clap::Args)]
// A run without an environment leaves nothing behind that could be compared.
#[command(mut_arg("url", |a| a.hide(true)), mut_arg("path", |a| a.hide(true)))]
#[command(after_help = "Examples:
  godwit drift staging
  godwit drift --env production --format json
  godwit drift production --against staging
  godwit drift --env production --accept --reason \"index added by the DBA during the incident\"")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
    /// Compare with what the last run of another environment left there instead
    #[arg(long, value_name = "ENVIRONMENT", conflicts_with = "accept")]
    against: Option<EnvironmentName>,
    /// Take the live schema over as the right one
    #[arg(long, requires = "reason")]
    accept: bool,
    /// Why; recorded in the audit log
    #[arg(long, value_name = "REASON", requires = "accept")]
    reason: Option<String>,
}

/// Puts into a plan what would stop its run: a schema that was changed outside Godwit, a target that is older than what was
/// recorded of it.
///
/// # Errors
/// When a database or the store cannot be reached.
pub(super) async fn foretell(global: &Global, gathered: &Gathered, plan: &mut RunReport) -> anyhow::Result<()> {
    if plan.steps.is_empty() || plan.outcome == Outcome::NeedsHuman {
        return Ok(());
    }
    let store = match gathered.environment {
        Some(_) => global.store_if_there().await?,
        // A database that was named by its URL alone can be planned for without what is recorded of it.
        None => global.store_to_look_into().await,
    };
    let Some(store) = store else { return Ok(()) };
    let found = runner::foretell_drift(&store, &gathered.set, &gathered.targets, &running::actor(), plan).await;
    let found = found.map_err(running::failed)?;
    if !found.is_empty() {
        plan.outcome = plan.outcome.or_worse(Outcome::NeedsHuman);
        plan.blocked_by.extend(found);
    }
    Ok(())
}

/// Runs the command: exit 0 when nothing is different, 4 when something is. Two environments may differ by migrations that
/// only one of them has; that is told, and no drift.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let gathered = args.place.or_word(args.word)?.gather(global)?;
    let Some(environment) = gathered.environment.clone() else {
        return Err(Failure::usage(
            "drift is told against what a run of an environment left behind; name one with `--env`",
        ));
    };
    if let Some(other) = &args.against {
        targets::environment(&targets::policy(global)?, other)?;
    }
    let reason = args.reason.unwrap_or_default();
    if args.accept && reason.trim().is_empty() {
        return Err(Failure::usage("a reason is needed; it is recorded"));
    }
    let actor = running::actor();
    running::block_on(async {
        let store = global.open_store().await?;
        let found = match &args.against {
            Some(other) => runner::drift_against(&store, &gathered.targets, &actor, other).await,
            None => runner::drift(&store, &gathered.set, &gathered.targets, &actor).await,
        };
        let found = found.map_err(running::failed)?;
        match (global.format, &args.against) {
            (Format::Json, None) => {
                print::json(&json!({ "environment": environment, "accepted": args.accept, "targets": found }))?;
            }
            (Format::Json, Some(other)) => {
                print::json(&json!({ "environment": environment, "against": other, "targets": found }))?;
            }
            (_, Some(other)) => print::prose(&report::drift::apart(&found, other))?,
            (_, None) => print::prose(&report::drift::drift(&found))?,
        }
        if args.accept {
            runner::accept_drift(&store, &gathered.targets, &actor).await.map_err(running::failed)?;
            let mut entry = AuditEntry::new(Utc::now(), &actor.by, "drift-accepted", "accepted");
            entry.environment = Some(environment);
            entry.basis = Some(reason.trim().to_owned());
            for target in &found {
                entry.details.insert(target.target.to_string(), target.fingerprint.clone());
            }
            store.append_audit(entry).await?;
            return Ok(Exit::Done);
        }
        let drifted = found.iter().any(TargetDrift::is_drift);
        Ok(if drifted { Exit::NeedsHuman } else { Exit::Done })
    })
}
