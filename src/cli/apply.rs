//! `godwit apply`.

use std::collections::BTreeSet;

use super::begun::Asked;
use super::bounds::Bounds;
use super::exit::Failure;
use super::gates::{self, Word};
use super::running;
use super::targets::{Gathered, Place};
use super::{Exit, Global, hooks, stopping, table_facts};
use crate::ids::EnvironmentName;
use crate::plan::{MigrationState, Outcome};
use crate::runner::{self, ApplyOptions};

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
    /// Stop after this migration or version; `latest` is everything
    #[arg(long, visible_alias = "version", value_name = "VERSION")]
    to: Option<String>,
    /// Only these migrations, whatever else is pending
    #[arg(long, value_name = "MIGRATION", conflicts_with = "to")]
    only: Vec<String>,
    /// Tell what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Pass over approvals and promotion order; the reason is recorded
    #[arg(long, value_name = "REASON", conflicts_with = "url")]
    emergency: Option<String>,
    /// Do not ask
    #[arg(short, long, alias = "force", overrides_with = "yes")]
    yes: bool,
    #[cfg(feature = "bot")]
    #[command(flatten)]
    github: super::person::GithubArgs,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let place = args.place.or_word(args.word)?;
    let mut word = Word { yes: args.yes, emergency: gates::emergency(args.emergency)?, ..Word::default() };
    #[cfg(feature = "bot")]
    {
        word.github = Some(args.github);
    }
    let actor = running::actor();
    // Whoever asks for less, or for a plan, is told about each file.
    let all = args.only.is_empty() && args.to.is_none() && !args.dry_run && word.emergency.is_none();
    let asked = if all { Asked::Everything } else { Asked::Part };
    running::block_on(async {
        let mut begun = place.begin(global, asked).await?;
        if let Some(report) = begun.known().await {
            return running::conclude(global, &report);
        }
        let mut gathered = begun.gather(global).await?;
        let mut options = gathered.options(&args.bounds, global)?;
        options.released = gathered.released(global).await?;
        options.to = args.to.filter(|to| to != "latest");
        only(&mut gathered, &args.only, &options).await?;
        options.dry_run = args.dry_run;
        options.brief &= !args.dry_run;
        let keeper = running::keeper(global);
        let (bounds, all) = (&args.bounds, &mut gathered);
        if let Some(refused) = gates::before(global, all, &keeper, &actor, &mut options, bounds, &mut word).await? {
            return running::conclude(global, &refused);
        }
        stopping::on_ctrl_c(&options);
        stopping::on_cancel(&keeper, &mut options);
        let mut report = runner::apply_with(&keeper, &gathered.set, &gathered.targets, &actor, &options)
            .await
            .map_err(running::failed)?;
        if args.dry_run {
            table_facts::reckon(&mut gathered, &mut report).await?;
            super::drift::foretell(global, &gathered, &mut report).await?;
        }
        super::audited::audit(&keeper, &actor, "run-finished", &report, word.emergency.as_deref()).await;
        gathered.remember(&report);
        report.notes.extend(word.passed_over);
        let exit = running::conclude(global, &report)?;
        if report.outcome == Outcome::Applied && !args.dry_run {
            hooks::after(global, &gathered)?;
        }
        Ok(exit)
    })
}

/// Leaves out of the set what is pending and was not named: a person has looked, and wants these alone [S4-80].
async fn only(gathered: &mut Gathered, names: &[String], options: &ApplyOptions) -> anyhow::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let mut wanted = BTreeSet::new();
    for name in names {
        match gathered.set.find(name) {
            Some(migration) => wanted.insert((migration.unit.clone(), migration.id.clone())),
            None => return Err(Failure::usage(format!("`{name}` is no migration here, or several; write `unit/id`"))),
        };
    }
    let found =
        runner::status(None, &gathered.set, &gathered.targets, &options.released).await.map_err(running::failed)?;
    let touched: BTreeSet<_> = found
        .iter()
        .flat_map(|t| &t.migrations)
        .filter(|m| m.state != MigrationState::Pending)
        .map(|m| (m.unit.clone(), m.id.clone()))
        .collect();
    gathered.set.migrations.retain(|m| {
        let name = (m.unit.clone(), m.id.clone());
        wanted.contains(&name) || touched.contains(&name)
    });
    Ok(())
}
