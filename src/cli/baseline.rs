//! `godwit baseline`.

use super::bounds::Bounds;
use super::running;
use super::targets::Place;
use super::{Exit, Global};
use crate::ids::EnvironmentName;
use crate::runner;

/// Arguments of `godwit baseline`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit baseline --env staging
  godwit baseline staging --to 0004
  godwit baseline --url sqlite:shop.db --path migrations --to 0004")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    bounds: Bounds,
    /// The last migration or version that the database holds already (default: what the table of another migration tool
    /// says)
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// Tell what would be recorded, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let gathered = args.place.or_word(args.word)?.gather(global)?;
    let mut options = gathered.options(&args.bounds, global)?;
    options.to = args.to;
    options.dry_run = args.dry_run;
    let actor = running::actor();
    running::block_on(async {
        let keeper = running::keeper(global);
        let report = runner::baseline(&keeper, &gathered.set, &gathered.targets, &actor, &options)
            .await
            .map_err(running::failed)?;
        super::audited::audit(&keeper, &actor, "baseline", &report, None).await;
        running::conclude(global, &report)
    })
}
