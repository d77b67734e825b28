//! `godwit apply`.

use super::bounds::Bounds;
use super::targets::{self, Gathered, Place};
use super::{Exit, Global};
use crate::ids::{EnvironmentName, Risk};
use crate::plan::{Outcome, RunReport};
use crate::runner::{self, Actor, ApplyOptions};

/// Arguments of `godwit apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit apply --url sqlite:shop.db --path migrations
  godwit apply --url postgres://me@localhost/shop --path db/migrations --to 0004
  godwit apply staging --dry-run")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    bounds: Bounds,
    /// Stop after this migration or version
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// Tell what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let gathered = args.place.or_word(args.word)?.gather(global)?;
    let mut options = gathered.options(&args.bounds, global);
    options.to = args.to;
    options.dry_run = args.dry_run;
    let actor = targets::actor();
    targets::block_on(async {
        if let Some(refused) = before(&gathered, &actor, &mut options, args.yes).await? {
            return targets::conclude(global, &refused);
        }
        targets::on_ctrl_c(&options);
        let keeper = targets::keeper(global);
        let report = runner::apply_with(&keeper, &gathered.set, &gathered.targets, &actor, &options)
            .await
            .map_err(targets::failed)?;
        targets::audit(&keeper, &actor, "run-finished", &report, None).await;
        targets::conclude(global, &report)
    })
}

/// What has to be looked at first: findings that block an environment, and whether somebody must agree (DECISIONS 17).
/// Gives a report if nothing may run. What was looked at is what may run, nothing else.
async fn before(
    gathered: &Gathered,
    actor: &Actor,
    options: &mut ApplyOptions,
    yes: bool,
) -> anyhow::Result<Option<RunReport>> {
    if options.dry_run || (yes && gathered.environment.is_none()) {
        return Ok(None);
    }
    let mut plan = runner::plan(&gathered.set, &gathered.targets, actor, options).await.map_err(targets::failed)?;
    if plan.outcome != Outcome::Planned {
        return Ok(None);
    }
    let findings = gathered.lint_refusals(&plan);
    if !findings.is_empty() {
        plan.blocked_by = findings;
        plan.outcome = Outcome::Blocked;
        return Ok(Some(plan));
    }
    if !yes && !agreed(gathered, &plan)? {
        plan.outcome = Outcome::Blocked;
        plan.blocked_by.push(crate::plan::Refusal {
            reason: "declined".to_owned(),
            message: "nobody agreed".to_owned(),
            what_to_do: String::new(),
            needs_human: false,
        });
        return Ok(Some(plan));
    }
    options.approved = Some(plan.digest);
    Ok(None)
}

/// How many migrations, in words: `1 migration`, `2 migrations`.
fn counted(migrations: usize) -> String {
    format!("{migrations} migration{}", if migrations == 1 { "" } else { "s" })
}

fn agreed(gathered: &Gathered, plan: &RunReport) -> anyhow::Result<bool> {
    if let Some(environment) = gathered.environment.as_ref().filter(|e| gathered.is_last || e.as_str() == "production")
    {
        let question = format!("{} will run in {environment}", counted(plan.steps.len()));
        return targets::confirm(&question, environment.as_str());
    }
    if plan.risk >= Risk::High {
        let question =
            format!("{} will run, with something that cannot be taken back without loss", counted(plan.steps.len()));
        return targets::confirm(&question, "yes");
    }
    Ok(true)
}
