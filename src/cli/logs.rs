//! `godwit logs`: what runs did, step by step [S1-71] [S0-69]; `logs prune` deletes old notes [S0-59].

use std::fmt::Write as _;

use chrono::{DateTime, Duration, Utc};
use serde_json::json;

use super::exit::Failure;
use super::{Exit, Format, Global, print};
use crate::ids::{EnvironmentName, RunId};
use crate::plan::StepAction;
use crate::store::Store;
use crate::store::ledger::RunSummary;
use crate::store::logs::{LoggedEvent, LoggedStep, Prune};

/// Arguments of `godwit logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit logs
  godwit logs 01JD3ZQ7V3MZ5T4Q9C1XKX7B2H -v     # every note of one run
  godwit logs --env production --last 5 --format json
  godwit logs prune --older-than 90")]
pub struct Args {
    /// A run, or `prune`
    #[arg(value_name = "RUN")]
    what: Option<String>,
    /// Only of this environment
    #[arg(long = "env", value_name = "ENVIRONMENT")]
    environment: Option<EnvironmentName>,
    /// The newest so many
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    last: u32,
    /// `prune`: notes of runs that ended longer ago than this
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(1..=36_500))]
    older_than: Option<i64>,
    /// `prune`: tell how many there are, and delete none
    #[arg(long, requires = "older_than")]
    dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// A run that is not there; a store that fails.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    if args.what.as_deref() == Some("prune") {
        let Some(days) = args.older_than else {
            return Err(Failure::usage("say which: `godwit logs prune --older-than DAYS`"));
        };
        return prune(global, Utc::now() - Duration::days(days), args.dry_run);
    }
    if args.older_than.is_some() {
        return Err(Failure::usage("`--older-than` belongs to `godwit logs prune`"));
    }
    let wanted = match &args.what {
        Some(word) => Some(
            RunId::new(word.as_str())
                .map_err(|_| Failure::usage(format!("`{word}` is no run; `godwit logs` lists them")))?,
        ),
        None => None,
    };
    let environment = args.environment.map(|e| global.environment(&e)).transpose()?;
    let runs = global.block_on(async {
        let store = global.open_store().await?;
        let limit = if wanted.is_some() { u32::MAX } else { args.last };
        let mut runs = store.recent_runs(environment.as_ref(), limit).await?;
        if let Some(wanted) = &wanted {
            runs.retain(|r| &r.run == wanted);
            if runs.is_empty() {
                return Err(Failure::usage(format!("this store knows no run `{wanted}`; name another with `--store`")));
            }
        }
        runs.reverse();
        let mut all = Vec::new();
        for run in runs {
            all.push(with_notes(&store, run, wanted.is_some() || global.verbose > 0).await?);
        }
        Ok(all)
    })?;
    if global.format == Format::Json {
        let all: Vec<_> = runs
            .iter()
            .map(|(r, steps, events)| {
                json!({ "run": r.run, "action": r.action, "environment": r.environment, "by": r.by, "pr": r.pr,
                        "started_at": r.started_at, "finished_at": r.finished_at, "outcome": r.outcome,
                        "steps": steps, "events": events })
            })
            .collect();
        print::json(&json!({ "runs": all }))?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for (run, steps, events) in &runs {
        told(&mut text, run, steps, events);
    }
    if runs.is_empty() {
        text.push_str("no run is recorded\n");
    }
    print::prose(&text)?;
    Ok(Exit::Done)
}

type Noted = (RunSummary, Vec<LoggedStep>, Vec<LoggedEvent>);

async fn with_notes(store: &Store, run: RunSummary, notes: bool) -> anyhow::Result<Noted> {
    let steps = store.logged_steps(&run.run).await?;
    let events = if notes { store.logged_events(&run.run).await? } else { Vec::new() };
    Ok((run, steps, events))
}

/// What a run did: where only rows of the history were written, its steps know for what.
fn work<'a>(run: &'a RunSummary, steps: &'a [LoggedStep]) -> &'a str {
    steps.first().filter(|_| run.action == StepAction::Baseline.as_str()).map_or(&run.action, |step| &step.action)
}

fn told(out: &mut String, run: &RunSummary, steps: &[LoggedStep], events: &[LoggedEvent]) {
    let at = |t: DateTime<Utc>| t.format("%Y-%m-%d %H:%M:%S").to_string();
    let place = run.environment.as_ref().map_or("one database".to_owned(), ToString::to_string);
    let pr = run.pr.map_or(String::new(), |pr| format!(", {pr}"));
    let took =
        run.finished_at.map_or(String::new(), |end| format!(" in {} ms", (end - run.started_at).num_milliseconds()));
    let outcome = run.outcome.as_deref().unwrap_or("not ended");
    let _ = writeln!(
        out,
        "{}  {}  {} on {place} by {}{pr}: {outcome}{took}",
        run.run,
        at(run.started_at),
        work(run, steps),
        run.by
    );
    for step in steps {
        // A row that was forgotten was not rolled back, and is not called so anywhere.
        let state = if step.action == "reset" { "reset" } else { step.state.as_str() };
        let _ = writeln!(
            out,
            "  {:<12} {}  {} on {}  {} ms",
            state, step.migration, step.action, step.target, step.duration_ms
        );
        if let Some(error) = &step.error {
            let _ = writeln!(out, "    {error}");
        }
    }
    for event in events {
        let _ = writeln!(
            out,
            "    {}  {} {}: {} {}",
            at(event.at),
            event.target,
            event.position,
            event.event,
            event.detail
        );
    }
}

fn prune(global: &Global, before: DateTime<Utc>, dry_run: bool) -> anyhow::Result<Exit> {
    let how = if dry_run { Prune::Count } else { Prune::Delete };
    let found = global.block_on(async { Ok(global.open_store().await?.prune_events(before, how).await?) })?;
    if global.format == Format::Json {
        print::json(&json!({ "deleted": found, "dry_run": dry_run }))?;
    } else {
        let word = if dry_run { "would be deleted" } else { "deleted" };
        let count = usize::try_from(found).unwrap_or(usize::MAX);
        print::prose(&format!("{} {word}; runs and their steps stay\n", crate::report::count(count, "note")))?;
    }
    Ok(Exit::Done)
}
