//! `godwit rollback`.

use serde_json::json;

use super::bounds::Bounds;
use super::exit::Failure;
use super::gates;
use super::running;
use super::settings::known_as;
use super::targets::{self, Gathered, Place};
use super::{Exit, Format, Global, print, rehearse, stopping};
use crate::ids::EnvironmentName;
use crate::migration::Migration;
use crate::plan::planner::{Selector, belongs};
use crate::plan::rehearsal::Rehearsed;
use crate::plan::{Outcome, RunReport};
use crate::report;
use crate::runner::rehearse::Plans;
use crate::runner::{self, ApplyOptions, Keeper};

/// Arguments of `godwit rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit rollback --url sqlite:shop.db --path migrations --steps 1
  godwit rollback --env staging 0004_orders
  godwit rollback staging 0004_orders
  godwit rollback production 0004_orders --rehearse-url postgres://postgres:scratch@localhost/postgres
  godwit rollback 1.1.0       # everything above that version, where `apply` without an environment runs")]
pub struct Args {
    /// The environment (unless `--env` or `--url` says where), and the migration to undo
    #[arg(value_name = "ENVIRONMENT MIGRATION", num_args = 0..=2)]
    words: Vec<String>,
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
    /// Try it before on a scratch database of this server: forward, back, forward again
    #[arg(long, value_name = "URL", env = "GODWIT_REHEARSE_URL", hide_env_values = true)]
    rehearse_url: Option<String>,
    /// Why it cannot wait; recorded, also where nothing is said
    #[arg(long, value_name = "REASON", num_args = 0..=1, default_missing_value = NOT_GIVEN, conflicts_with = "url")]
    emergency: Option<String>,
    /// Do not ask
    #[arg(short, long, alias = "force", overrides_with = "yes")]
    yes: bool,
}

/// What is recorded of an emergency of which nothing was said [S2-78].
const NOT_GIVEN: &str = "not given";

/// What the words before the options mean.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    environment: Option<EnvironmentName>,
    selector: Option<Selector>,
}

/// Reads the words. `placed`: an option says where. `selected`: an option says what.
fn read(words: Vec<String>, placed: bool, selected: bool) -> Result<Said, String> {
    let environment = |word: &str| {
        EnvironmentName::new(word).map(Some).map_err(|_| format!("say where: `{word}` is no environment's name"))
    };
    let mut words = words.into_iter();
    match (words.next(), words.next()) {
        (Some(_), Some(_)) if placed => Err("say where once, and name one migration".to_owned()),
        (Some(_), Some(_)) if selected => Err("say once what to undo".to_owned()),
        (Some(place), Some(migration)) => {
            Ok(Said { environment: environment(&place)?, selector: Some(Selector::Migration(migration)) })
        }
        (Some(_), None) if placed && selected => Err("say once what to undo".to_owned()),
        (Some(place), None) if selected => Ok(Said { environment: environment(&place)?, selector: None }),
        // A bare version stays, what is above it goes [S4-35].
        (Some(version), None) if !placed && is_semver(&version) => {
            Ok(Said { environment: None, selector: Some(Selector::To(version)) })
        }
        (Some(migration), None) => Ok(Said { environment: None, selector: Some(Selector::Migration(migration)) }),
        (None, _) => Ok(Said::default()),
    }
}

fn is_semver(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3 && parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let selected = args.to.is_some() || args.steps.is_some();
    let said = read(args.words, args.place.is_said(), selected).map_err(Failure::usage)?;
    if let (Some(Selector::Migration(word)), None, false) = (&said.selector, &said.environment, args.place.is_said()) {
        no_place(global, word)?;
    }
    let selector = match (said.selector, args.to, args.steps) {
        (Some(selector), _, _) => selector,
        (None, Some(to), _) => Selector::To(to),
        (None, None, Some(n)) => Selector::Steps(n as usize),
        (None, None, None) => {
            return Err(Failure::usage("say what to undo: a migration, `--to VERSION` or `--steps N`"));
        }
    };
    let reason = gates::emergency(args.emergency)?;
    let gathered = args.place.or_word(said.environment)?.gather(global)?;
    only_where(&gathered, &selector)?;
    let mut options = gathered.options(&args.bounds, global)?;
    options.dry_run = args.dry_run;
    options.beside = gathered.beside()?;
    let actor = running::actor();
    running::block_on(async {
        let (set, all) = (&gathered.set, &gathered.targets);
        if !options.dry_run {
            let look = ApplyOptions { dry_run: true, ..options.clone() };
            let plan = runner::rollback(&Keeper::none(), set, all, &actor, &look, selector.clone())
                .await
                .map_err(running::failed)?;
            // What one target refuses must not be half done on another.
            if plan.outcome != Outcome::Planned {
                return running::conclude(global, &plan);
            }
            let undone: Vec<&Migration> = gates::planned(&gathered, &plan).into_iter().map(|(m, _)| m).collect();
            options.timeout = args.bounds.timeout_or(gathered.timeout_of(&undone));
            if let Some(url) = &args.rehearse_url
                && !is_sound_on(url, global, &gathered, &plan).await?
            {
                return Ok(Exit::Failed);
            }
            let place = gates::guarded(&gathered);
            let question = format!(
                "{} will be undone{}; what they added is lost",
                gates::counted(plan.steps.len()),
                place.map_or(String::new(), |e| format!(" in {e}"))
            );
            let expected = place.map_or("yes", |e| e.as_str());
            if !args.yes && !running::confirm(&question, expected)? {
                return Ok(Exit::Blocked);
            }
        }
        stopping::on_ctrl_c(&options);
        let keeper = running::keeper(global);
        let mut report =
            runner::rollback(&keeper, set, all, &actor, &options, selector).await.map_err(running::failed)?;
        if args.dry_run {
            super::drift::foretell(global, &gathered, &mut report).await?;
        }
        super::audited::audit(&keeper, &actor, "rollback-finished", &report, reason.as_deref()).await;
        running::conclude(global, &report)
    })
}

/// Whether what a plan would undo can be undone on a scratch database of the server at `url`, where that is of its engine
/// [S1-59]. What went wrong is told.
async fn is_sound_on(url: &str, global: &Global, gathered: &Gathered, plan: &RunReport) -> anyhow::Result<bool> {
    let engine = targets::engine_of(url)?;
    let mut set = gathered.set.for_environment(gathered.environment.as_ref()).0.into_owned();
    set.migrations.retain(|m| m.engine == engine);
    let is_undone =
        |m: &&Migration| plan.steps.iter().any(|step| step.migration == m.id && belongs(m, &step.target, step.engine));
    let only: Vec<String> = set.migrations.iter().filter(is_undone).map(Migration::reference).collect();
    if only.is_empty() {
        return Err(Failure::usage(format!("nothing that would be undone is of {engine}, as `--rehearse-url` is")));
    }
    let tried = rehearse::tried_on(url, &set, &only, None, Plans::Left).await?;
    if tried.iter().all(Rehearsed::is_sound) {
        return Ok(true);
    }
    if global.format == Format::Json {
        print::json(&json!({ "migrations": tried }))?;
    } else {
        print::prose(&report::rehearsal::rehearsal(&tried))?;
    }
    anstream::eprintln!("nothing was undone: it did not go well on the scratch database");
    Ok(false)
}

/// Whoever names an environment alone has not said what to undo: it would be looked for as a migration, elsewhere.
fn no_place(global: &Global, word: &str) -> anyhow::Result<()> {
    let Ok(word) = EnvironmentName::new(word) else { return Ok(()) };
    let environments = global.repo_config()?.environments;
    let known = known_as(&word, &|name| environments.contains(name));
    if environments.contains(&known) {
        return Err(Failure::usage(format!(
            "say what to undo in `{known}`: `godwit rollback {word} MIGRATION`, or `--to VERSION` or `--steps N` behind it"
        )));
    }
    Ok(())
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
        Selector::Steps(_) | Selector::To(_) | Selector::These(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_23_s4_35_words_name_a_place_and_a_migration_or_a_version_that_stays() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let migration = |name: &str| Some(Selector::Migration(name.to_owned()));
        let env = |name: &str| EnvironmentName::new(name).ok();
        for (text, placed, selected, environment, selector) in [
            ("production 0004_a", false, false, env("production"), migration("0004_a")),
            ("0004_a", true, false, None, migration("0004_a")),
            ("0004_a", false, false, None, migration("0004_a")),
            ("1.0.0", false, false, None, Some(Selector::To("1.0.0".to_owned()))),
            ("1.0.0", true, false, None, migration("1.0.0")),
            ("staging", false, true, env("staging"), None),
            ("", true, true, None, None),
        ] {
            assert_eq!(read(words(text), placed, selected), Ok(Said { environment, selector }), "{text}");
        }
        for (text, placed, selected) in
            [("a b", true, false), ("a b", false, true), ("a", true, true), ("a! b", false, false)]
        {
            assert!(read(words(text), placed, selected).is_err(), "{text}");
        }
    }
}
