//! `godwit plan`.

use super::begun::Asked;
use super::bounds::Bounds;
use super::running;
use super::targets::Place;
use super::{Exit, Global, table_facts};
use crate::ids::EnvironmentName;
use crate::runner;

/// Arguments of `godwit plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit plan --url sqlite:shop.db --path migrations
  godwit plan staging --format json")]
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
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let place = args.place.or_word(args.word)?;
    running::block_on(async {
        let mut gathered = place.begin(global, Asked::Part).await?.gather(global).await?;
        let mut options = gathered.options(&args.bounds, global)?;
        options.released = gathered.released(global).await?;
        options.to = args.to;
        options.brief = false;
        options.looks_only = true;
        let keeper = running::keeper_if_there(global);
        let mut report = runner::plan_with(&keeper, &gathered.set, &gathered.targets, &running::actor(), &options)
            .await
            .map_err(running::failed)?;
        table_facts::reckon(&mut gathered, &mut report).await?;
        report.blocked_by.extend(gathered.lint_refusals(&report));
        if gathered.lint_errors.iter().any(|(_, r)| report.blocked_by.contains(r)) {
            report.outcome = crate::plan::Outcome::Blocked;
        }
        super::drift::foretell(global, &gathered, &mut report).await?;
        running::conclude(global, &report)
    })
}
