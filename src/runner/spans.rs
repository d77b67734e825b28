//! Spans of runs and their migrations, for whoever collects traces; where nobody does, they cost nothing. And the
//! lines of the log by which a run leaves a trace there.

use std::time::Instant;

use tracing::Span;
use tracing::field::Empty;

use super::target::Job;
use super::{Actor, ApplyOptions, RunError, Target, Work};
use crate::ids::{EnvironmentName, Epoch, MigrationId};
use crate::plan::{MigrationState, Outcome, RunReport, Step, StepReport};

/// How many migrations a line of the log names.
const NAMED: usize = 20;

/// What spans for traces are marked with; no log line is.
pub const TRACE: &str = "trace";

/// A run, or the making of a plan.
pub(super) fn of_run(targets: &[Target], actor: &Actor, options: &ApplyOptions, work: &Work) -> Span {
    let action = match work {
        Work::Apply => "apply",
        Work::Resume => "resume",
        Work::Rollback(_) => "rollback",
        Work::Baseline => "baseline",
    };
    let span = tracing::info_span!(
        target: TRACE,
        "run",
        otel.name = if options.dry_run { "plan" } else { "run" },
        otel.status_code = Empty,
        run = Empty,
        action,
        environment = Empty,
        by = actor.by,
        repo = Empty,
        pr = Empty,
        commit = Empty,
        outcome = Empty,
        error = Empty,
    );
    if let Some(environment) = targets.first().and_then(|t| t.environment.as_ref()) {
        span.record("environment", environment.as_str());
    }
    if let Some(repo) = &actor.repo {
        span.record("repo", repo.as_str());
    }
    if let Some(pr) = actor.pr {
        span.record("pr", pr.0);
    }
    if let Some(commit) = &actor.commit {
        span.record("commit", commit.as_str());
    }
    span
}

/// How it ended.
pub(super) fn run_ended(span: &Span, ended: &Result<RunReport, RunError>) {
    match ended {
        Ok(report) => {
            span.record("run", report.run.as_str());
            span.record("outcome", report.outcome.as_str());
            let failed = matches!(report.outcome, Outcome::Failed | Outcome::NeedsHuman);
            if let Some(refusal) = report.blocked_by.first().filter(|_| failed) {
                span.record("error", refusal.message.as_str());
            }
            if failed {
                span.record("otel.status_code", "ERROR");
            }
        }
        Err(error) => {
            span.record("error", error.to_string());
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// Says in the log that a run begins on a target; its end is told by [`tell_end`].
pub(super) fn tell_beginning(job: &Job<'_>, steps: &[Step]) {
    tracing::info!(
        run = job.run.as_str(),
        environment = job.target.environment.as_ref().map(EnvironmentName::as_str),
        targets = job.target.name.as_str(),
        by = job.actor.by,
        migrations = names(steps.iter().map(|s| &s.migration)),
        "a run begins"
    );
}

/// Says in the log how a run ended: what it brought, and how long all of it took.
pub(super) fn tell_end(targets: &[Target], ended: &Result<RunReport, RunError>, began: Instant) {
    let environment = targets.first().and_then(|t| t.environment.as_ref()).map(EnvironmentName::as_str);
    let on = targets.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ");
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match ended {
        Ok(report) => {
            let done = |s: &&StepReport| matches!(s.state, MigrationState::Applied | MigrationState::RolledBack);
            tracing::info!(
                run = report.run.as_str(),
                environment,
                targets = on,
                migrations = names(report.steps.iter().filter(done).map(|s| &s.migration)),
                outcome = report.outcome.as_str(),
                why = report.blocked_by.first().map(|refusal| refusal.message.as_str()),
                duration_ms,
                "a run ended"
            );
        }
        Err(error) => {
            tracing::warn!(environment, targets = on, %error, duration_ms, "a run ended");
        }
    }
}

/// The first migrations by their names, and how many more there are.
fn names<'a>(all: impl Iterator<Item = &'a MigrationId>) -> String {
    let mut names: Vec<&str> = all.map(MigrationId::as_str).collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{and_more}", names.join(", "))
}

/// A migration on a target.
pub(super) fn of_step(job: &Job<'_>, step: &Step, epoch: Epoch) -> Span {
    tracing::info_span!(
        target: TRACE,
        "migration",
        otel.status_code = Empty,
        run = job.run.as_str(),
        target = step.target.as_str(),
        engine = step.engine.as_str(),
        migration = step.migration.as_str(),
        action = step.action.as_str(),
        recovery = step.recovery.as_str(),
        epoch = epoch.0,
        probe_before = Empty,
        probe_after = Empty,
        state = Empty,
        rows = Empty,
        error = Empty,
    )
}

/// What came of it.
pub(super) fn step_ended(span: &Span, report: &StepReport) {
    span.record("state", report.state.as_str());
    if let Some(rows) = report.rows {
        span.record("rows", rows);
    }
    if let Some(error) = &report.error {
        span.record("error", error.message.as_str());
    }
    if matches!(report.state, MigrationState::Failed | MigrationState::NeedsHuman) {
        span.record("otel.status_code", "ERROR");
    }
}

/// What a look at the target said, before the statement or after it.
pub(super) fn looked(event: &str, said: &str) {
    let field = match event {
        "probe" => "probe_before",
        "done" => "probe_after",
        _ => return,
    };
    Span::current().record(field, said);
}
