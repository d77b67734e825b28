//! `godwit resume`.

use super::bounds::Bounds;
use super::targets::{self, Place};
use super::{Exit, Global};
use crate::ids::EnvironmentName;
use crate::runner;

/// Arguments of `godwit resume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit resume --env staging
  godwit resume --url sqlite:shop.db --path migrations")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    bounds: Bounds,
}

/// Runs the command. It never asks: what it goes on with was agreed to when it began.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let gathered = args.place.or_word(args.word)?.gather(global)?;
    let options = gathered.options(&args.bounds, global);
    let actor = targets::actor();
    targets::block_on(async {
        targets::on_ctrl_c(&options);
        let keeper = targets::keeper(global);
        let report = runner::resume(&keeper, &gathered.set, &gathered.targets, &actor, &options)
            .await
            .map_err(targets::failed)?;
        targets::audit(&keeper, &actor, "resume-finished", &report, None).await;
        targets::conclude(global, &report)
    })
}
