//! `godwit rollback`.

use super::bounds::Bounds;
use super::exit::Failure;
use super::gates;
use super::targets::{self, Gathered, Place};
use super::{Exit, Global};
use crate::plan::Outcome;
use crate::plan::planner::{Selector, belongs};
use crate::runner::{self, ApplyOptions, Keeper};

/// Arguments of `godwit rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit rollback --url sqlite:shop.db --path migrations --steps 1
  godwit rollback --env staging 0004_orders")]
pub struct Args {
    /// The migration to undo
    #[arg(value_name = "MIGRATION", conflicts_with_all = ["to", "steps"])]
    migration: Option<String>,
    /// Undo everything after this migration or version, which itself stays
    #[arg(long, value_name = "VERSION", conflicts_with = "steps")]
    to: Option<String>,
    /// Undo the newest so many
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    bounds: Bounds,
    /// Tell what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let selector = match (args.migration, args.to, args.steps) {
        (Some(m), _, _) => Selector::Migration(m),
        (None, Some(to), _) => Selector::To(to),
        (None, None, Some(n)) => Selector::Steps(n as usize),
        (None, None, None) => {
            return Err(Failure::usage("say what to undo: a migration, `--to VERSION` or `--steps N`"));
        }
    };
    let gathered = args.place.gather(global)?;
    only_where(&gathered, &selector)?;
    let mut options = gathered.options(&args.bounds, global);
    options.dry_run = args.dry_run;
    let actor = targets::actor();
    targets::block_on(async {
        let (set, all) = (&gathered.set, &gathered.targets);
        if !options.dry_run {
            let look = ApplyOptions { dry_run: true, ..options.clone() };
            let plan = runner::rollback(&Keeper::none(), set, all, &actor, &look, selector.clone())
                .await
                .map_err(targets::failed)?;
            // What one target refuses must not be half done on another.
            if plan.outcome != Outcome::Planned {
                return targets::conclude(global, &plan);
            }
            let place = gates::guarded(&gathered);
            let question = format!(
                "{} will be undone{}; what they added is lost",
                gates::counted(plan.steps.len()),
                place.map_or(String::new(), |e| format!(" in {e}"))
            );
            let expected = place.map_or("yes", |e| e.as_str());
            if !args.yes && !targets::confirm(&question, expected)? {
                return Ok(Exit::Blocked);
            }
        }
        targets::on_ctrl_c(&options);
        let keeper = targets::keeper(global);
        let report = runner::rollback(&keeper, set, all, &actor, &options, selector).await.map_err(targets::failed)?;
        targets::audit(&keeper, &actor, "rollback-finished", &report, None).await;
        targets::conclude(global, &report)
    })
}

/// Refuses what would be undone on the wrong database, or on several at once.
fn only_where(gathered: &Gathered, selector: &Selector) -> anyhow::Result<()> {
    let names: Vec<&str> = gathered.targets.iter().map(|t| t.name.as_str()).collect();
    match selector {
        Selector::Steps(_) if names.len() > 1 => Err(Failure::usage(format!(
            "`--steps` counts on one database, and there are {}; name one with `--target`, or the migration to undo",
            names.join(", ")
        ))),
        Selector::Migration(name) => match gathered.set.find(name) {
            Some(m) if !gathered.targets.iter().any(|t| belongs(m, &t.name, t.engine)) => {
                Err(Failure::usage(format!("`{name}` belongs to none of {}", names.join(", "))))
            }
            Some(_) | None => Ok(()),
        },
        Selector::Steps(_) | Selector::To(_) => Ok(()),
    }
}
