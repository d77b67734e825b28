//! `godwit resume`.

use super::bounds::Bounds;
use super::gates::{self, Word};
use super::running;
use super::targets::Place;
use super::{Exit, Global, stopping};
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
    /// Pass over approvals and promotion order; the reason is recorded
    #[arg(long, value_name = "REASON", conflicts_with = "url")]
    emergency: Option<String>,
    #[cfg(feature = "bot")]
    #[command(flatten)]
    github: super::person::GithubArgs,
}

/// Runs the command. It never asks: what it goes on with was agreed to when it began. In an environment it also brings
/// what came after, so the same gates hold as for `apply`.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let mut gathered = args.place.or_word(args.word)?.gather(global)?;
    let mut word = Word { yes: true, emergency: gates::emergency(args.emergency)?, ..Word::default() };
    #[cfg(feature = "bot")]
    {
        word.github = Some(args.github);
    }
    let mut options = gathered.options(&args.bounds, global)?;
    let actor = running::actor();
    running::block_on(async {
        options.released = gathered.released(global).await?;
        let keeper = running::keeper(global);
        let (bounds, all) = (&args.bounds, &mut gathered);
        if let Some(refused) = gates::before(global, all, &keeper, &actor, &mut options, bounds, &mut word).await? {
            return running::conclude(global, &refused);
        }
        stopping::on_ctrl_c(&options);
        let mut report = runner::resume(&keeper, &gathered.set, &gathered.targets, &actor, &options)
            .await
            .map_err(running::failed)?;
        super::audited::audit(&keeper, &actor, "resume-finished", &report, word.emergency.as_deref()).await;
        report.notes.extend(word.passed_over);
        running::conclude(global, &report)
    })
}
