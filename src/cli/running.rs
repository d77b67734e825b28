//! What every command that talks to databases shares once it knows where: its options, who asks, who keeps the record, and
//! how it ends.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;

use super::bounds::Bounds;
use super::exit::Failure;
use super::settings::user;
use super::targets::{Gathered, keys_of, place_of};
use super::{Exit, Format, Global, print};
use crate::config::urls::UrlList;
use crate::config::{Environment, HealthChecks};
use crate::migration::Migration;
use crate::plan::{Outcome, Refusal, RunReport};
use crate::report;
use crate::runner::health::HealthWish;
use crate::runner::sealed::Opening;
use crate::runner::{Actor, ApplyOptions, Keeper, Limits, RunError, Target};

impl Gathered {
    /// Options of a run with `bounds`.
    ///
    /// # Errors
    /// When the folder or the keys of backups cannot be had.
    pub fn options(&self, bounds: &Bounds, global: &Global) -> anyhow::Result<ApplyOptions> {
        let settings =
            self.environment.as_ref().zip(self.policy.as_ref()).and_then(|(name, p)| p.environments.get(name));
        let mut options = ApplyOptions {
            service: self.service.clone(),
            brief: global.format != Format::Json,
            risks: self.risks.clone(),
            #[cfg(feature = "postgres")]
            ahead: self.ahead.clone(),
            backup: bounds.backup(settings, &self.destroys)?,
            health: self.health(settings),
            opening: Opening::With(keys_of(settings)),
            ..bounds.options(self.timeout)
        };
        let stated = settings.map(|s| Limits::of(&s.migration)).unwrap_or_default();
        options.pace.limits = options.pace.limits.or(stated);
        super::progress::listen(global, &mut options.pace);
        Ok(options)
    }

    /// The environment's own bound on a run of these migrations, or that of one of their services if it is shorter; `None` for
    /// an ad hoc run.
    pub fn timeout_of(&self, migrations: &[&Migration]) -> Option<Duration> {
        let asked = self.set.settings_of(migrations);
        let (policy, name) = (self.policy.as_ref()?, self.environment.as_ref()?);
        let tightened = policy.environments.tightened(asked);
        tightened.get(name).map(|environment| Duration::from_secs(environment.migration.timeout))
    }

    /// Remembers of a large folder that all of it is applied, where a run has found just that.
    pub fn remember(&mut self, report: &RunReport) {
        #[cfg(feature = "postgres")]
        if let Some(whole) = self.whole.take().filter(|_| report.outcome == Outcome::Nothing && report.notes.is_empty())
        {
            super::unchanged::remember(whole);
        }
        #[cfg(not(feature = "postgres"))]
        let _ = report;
    }

    /// What is looked at around a run of the environment; any address may be asked from a command line.
    fn health(&self, settings: Option<&Environment>) -> Option<HealthWish> {
        let (policy, settings) = (self.policy.as_ref()?, settings?);
        Some(HealthWish { checks: HealthChecks::of(&policy.repo, settings), allowed: UrlList::Any })
    }

    /// The databases that were not named and may need what is undone on those that were.
    ///
    /// # Errors
    /// The variable that is not set, and the key that needs it.
    pub fn beside(&self) -> anyhow::Result<Vec<Target>> {
        let settings =
            self.environment.as_ref().zip(self.policy.as_ref()).and_then(|(name, p)| p.environments.get(name));
        let Some(settings) = settings else { return Ok(Vec::new()) };
        self.beside.iter().map(|t| place_of(settings, t)).collect()
    }

    /// Where a release holds: the environment, or the target of an ad hoc run.
    pub fn release_place(&self) -> String {
        match (&self.environment, self.targets.first()) {
            (Some(environment), _) => environment.to_string(),
            (None, Some(target)) => format!("target {}", target.name),
            (None, None) => String::new(),
        }
    }

    /// The contract migrations that were released here. The store is asked only where there are any.
    pub async fn released(&self, global: &Global) -> anyhow::Result<BTreeSet<String>> {
        if !self.set.migrations.iter().any(Migration::is_contract) {
            return Ok(BTreeSet::new());
        }
        Ok(global.open_store().await?.releases(None, &self.release_place()).await?)
    }

    /// Findings at error level among the steps of a report.
    pub fn lint_refusals(&self, report: &RunReport) -> Vec<Refusal> {
        self.lint_errors
            .iter()
            .filter(|(reference, _)| {
                report
                    .steps
                    .iter()
                    .any(|s| reference == s.migration.as_str() || reference.ends_with(&format!("/{}", s.migration)))
            })
            .map(|(_, refusal)| refusal.clone())
            .collect()
    }
}

/// The person at this machine.
pub(super) fn actor() -> Actor {
    Actor { by: user(), repo: None, pr: None, commit: None, correlation: None }
}

/// A store that is opened only when there is something to record.
pub(super) fn keeper(global: &Global) -> Keeper {
    let global = global.clone();
    Keeper::later(Box::new(move || {
        let global = global.clone();
        Box::pin(async move { global.open_store().await.map_err(|e| RunError::Store(format!("{e:#}"))) })
    }))
}

/// The store for what only looks: none is made for it.
pub(super) fn keeper_if_there(global: &Global) -> Keeper {
    match global.store_url().map(|url| crate::store::Store::may_be_at(&url)) {
        Ok(Ok(true)) => keeper(global),
        Ok(Ok(false) | Err(_)) | Err(_) => Keeper::none(),
    }
}

/// Runs a command's work on one thread: a run is one conversation with one database at a time.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start what waits for databases")?;
    let done = runtime.block_on(work);
    // A name that is still being looked up for a connection nobody needs any more is not waited for.
    runtime.shutdown_background();
    done
}

/// A run's error with its exit code.
pub(super) fn failed(error: RunError) -> anyhow::Error {
    Failure::unreachable(crate::redact::text(&error.to_string()))
}

/// Prints a report and gives its exit code.
pub(super) fn conclude(global: &Global, report: &RunReport) -> anyhow::Result<Exit> {
    match global.format {
        Format::Json => {
            let shown = report::run::masked(report);
            let text = serde_json::to_string_pretty(&shown).context("the report has no JSON form")?;
            print::text(&format!("{text}\n"))?;
        }
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
            if !(global.quiet && matches!(report.outcome, Outcome::Applied | Outcome::Nothing | Outcome::Planned)) {
                print::text(&report::run::run(report, global.verbose > 0, print::width()))?;
            }
        }
    }
    Ok(exit_of(report))
}

fn exit_of(report: &RunReport) -> Exit {
    match report.outcome {
        Outcome::Blocked => Exit::of_refusals(&report.blocked_by),
        outcome => Exit::of_outcome(outcome),
    }
}

/// Asks for the word `expected`; without a terminal it is an error that names `--yes`.
///
/// # Errors
/// Exit 2 where nobody can be asked.
pub(super) fn confirm(question: &str, expected: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{question}; without a terminal, say `--yes`")));
    }
    anstream::eprint!("{question}. Type `{expected}` to go on: ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(answer.trim() == expected)
}
