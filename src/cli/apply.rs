//! `godwit apply`.

use super::bounds::Bounds;
use super::gates::{self, Word};
use super::targets::{self, Place};
use super::{Exit, Global};
use crate::ids::EnvironmentName;
use crate::runner;

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
    /// Pass over approvals and promotion order; the reason is recorded
    #[arg(long, value_name = "REASON", conflicts_with = "url")]
    emergency: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let place = args.place.or_word(args.word)?;
    let word = Word { yes: args.yes, emergency: gates::emergency(args.emergency)? };
    let actor = targets::actor();
    targets::block_on(async {
        let gathered = place.gather_and_connect(global).await?;
        let mut options = gathered.options(&args.bounds, global)?;
        options.released = gathered.released(global).await?;
        options.to = args.to;
        options.dry_run = args.dry_run;
        let keeper = targets::keeper(global);
        if let Some(refused) = gates::before(&gathered, &keeper, &actor, &mut options, &word).await? {
            return targets::conclude(global, &refused);
        }
        targets::on_ctrl_c(&options);
        targets::on_cancel(&keeper, &mut options);
        let report = runner::apply_with(&keeper, &gathered.set, &gathered.targets, &actor, &options)
            .await
            .map_err(targets::failed)?;
        targets::audit(&keeper, &actor, "run-finished", &report, word.emergency.as_deref()).await;
        targets::conclude(global, &report)
    })
}
