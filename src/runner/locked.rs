//! The steps of a plan on one target, with its lock held: settle, fence, intent, step by step, self-check, record.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use futures_util::future::BoxFuture;
use tracing::Instrument as _;

use super::sealed::{self, Opened};
use super::target::{Job, TargetOutcome, reference, refusal_of};
use super::{RunError, Work, pending_steps, refused, step_report, stepwise};
use crate::drivers::failpoint;
use crate::drivers::{DriverError, Script, Session, StatementFailure};
use crate::ids::{Epoch, MigrationId, RunId};
use crate::migration::execution::Execution;
use crate::migration::{Migration, MigrationSet, Script as Text, verify};
use crate::plan::planner::{self, Index, Planned};
use crate::plan::{
    HistoryRow, MigrationPlan, MigrationState, Outcome, Refusal, Step, StepAction, StepError, StepReport,
};
use crate::store::Store;
use crate::store::runs::{Goal, NewRun, StepEvent, StepIntent, StepRecord, TargetIntent};

/// How often steps that are safe in the target are told to the store while the run goes on.
const TELL_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// What [`locked`] does, on the heap; beside the plan stand the migrations whose rollback loses what the target holds.
pub(super) fn begin<'a, S: Session>(
    session: &'a mut S,
    store: &'a Store,
    job: &'a Job<'a>,
    planned: (&'a Planned, &'a BTreeSet<MigrationId>),
    history: &'a [HistoryRow],
) -> BoxFuture<'a, Result<TargetOutcome, RunError>> {
    Box::pin(locked(session, store, job, planned, history))
}

/// With the lock held: settle, fence, intent, steps, self-check, record.
async fn locked<S: Session>(
    session: &mut S,
    store: &Store,
    job: &Job<'_>,
    (planned, lost): (&Planned, &BTreeSet<MigrationId>),
    history: &[HistoryRow],
) -> Result<TargetOutcome, RunError> {
    let plan = &planned.plan;
    let stop = |refusals: Vec<Refusal>| TargetOutcome {
        steps: pending_steps(&plan.steps),
        risk: plan.risk,
        ..TargetOutcome::refused(refusals)
    };
    let reconciled = super::settle::reconcile(store, job.set, session.fingerprint(), job.run, history).await?;
    if !reconciled.drifted.is_empty() {
        return Ok(stop(reconciled.drifted));
    }
    let mut orphans: Vec<RunId> = history
        .iter()
        .filter(|r| r.state == MigrationState::Running && &r.run != job.run)
        .map(|r| r.run.clone())
        .collect();
    orphans.sort();
    orphans.dedup();
    let at_least = super::settle::highest_epoch(store, session.fingerprint(), history).await?;
    let fenced = match session.settle_orphans(&orphans).await {
        Ok(()) => session.fence(at_least).await,
        Err(error) => Err(error),
    };
    let epoch = match fenced {
        Ok(epoch) => epoch,
        Err(error) => return Ok(stop(vec![refusal_of(error)?])),
    };
    let backup = match super::backup::before(store, job, plan, lost).await? {
        Ok(made) => made.map(|m| m.meta.backup_file),
        Err(refusal) => return Ok(TargetOutcome { outcome: Outcome::Failed, ..stop(vec![refusal]) }),
    };
    failpoint::hit("intent_pre");
    let intent = intent_of(job, plan, session.fingerprint(), epoch);
    let action = plan.steps.first().map_or(StepAction::Apply, |s| s.action);
    let run = job.actor.run(job.run, action, job.target, job.digest.clone());
    let run = NewRun { goal: goal_of(job, plan), ..run };
    store.record_intents(&run, &intent).await?;
    failpoint::hit("intent_post");

    let (index, by_name) = (Index::new(job.set, history), ByName::new(job.set));
    let mut reports = Vec::with_capacity(plan.steps.len());
    let mut told = Teller { store, job, told: 0, at: Instant::now() };
    let mut end = Outcome::Applied;
    let mut refusals = Vec::new();
    let (mut looked, mut asked) = (Instant::now(), super::strain::first_look(job));
    for (position, step) in plan.steps.iter().enumerate() {
        if end != Outcome::Applied {
            reports.push(step_report(step, MigrationState::Pending));
            continue;
        }
        job.options.pace.comes_to(&job.target.name, Some(&step.migration), position, plan.steps.len());
        let mut stops = should_stop(job);
        if job.work != &Work::Baseline {
            if stops.is_none() {
                stops = super::health::between(job, &mut looked).await;
            }
            if stops.is_none() {
                stops = super::strain::before(session, job, step, &mut asked).await;
            }
        }
        if let Some(refusal) = stops {
            refusals.push(refusal);
            end = Outcome::Failed;
            reports.push(step_report(step, MigrationState::Pending));
            continue;
        }
        let began = Instant::now();
        let migration = by_name.of(step);
        let before = migration.and_then(|m| index.of(m));
        let mut report = step_report(step, done_state(step.action));
        let opened = Arc::new(Opened::default());
        let run = StepRun { job, step, migration, epoch, before, position, notes: Notes::default(), opened };
        let span = super::spans::of_step(job, step, epoch);
        let (ended, said) = heard(&run, one_step(session, store, &run).instrument(span.clone())).await;
        report.notices = said.iter().map(|text| run.opened.blot(text)).collect();
        match ended? {
            StepEnd::Done(rows) => {
                report.rows = rows;
                report.verified = migration.filter(|_| step.action == StepAction::Apply).map_or(0, |m| m.checks.len());
            }
            StepEnd::Failed(error) => {
                report.state = MigrationState::Failed;
                report.error = Some(error);
                end = Outcome::Failed;
            }
            StepEnd::NeedsHuman(error) => {
                report.state = MigrationState::NeedsHuman;
                report.error = Some(error);
                end = Outcome::NeedsHuman;
            }
            StepEnd::Refused(refusal) => {
                let refusal = run.opened.blot_refusal(refusal);
                report.state = MigrationState::Pending;
                end = refused(std::slice::from_ref(&refusal));
                refusals.push(refusal);
            }
            StepEnd::Cancelled(refusal, error) => {
                report.state = MigrationState::Running;
                report.error = Some(error);
                end = Outcome::Failed;
                refusals.push(refusal);
            }
        }
        report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        super::spans::step_ended(&span, &report);
        reports.push(report);
        told.tell(&reports).await?;
    }
    if end == Outcome::Applied {
        job.options.pace.comes_to(&job.target.name, None, plan.steps.len(), plan.steps.len());
    }
    let (refused, after) = match refusals.is_empty() {
        true => self_check(session, job, plan, end == Outcome::Applied).await?,
        false => (None, None),
    };
    if let Some(refusal) = refused {
        refusals.push(refusal);
        end = Outcome::NeedsHuman;
    }
    failpoint::hit("record_pre");
    told.tell_all(&reports, after.as_deref()).await?;
    failpoint::hit("record_post");
    // After a failure people mend the database by hand: that is no drift.
    if end == Outcome::Applied
        && let Err(error) = super::drift::remember(store, job).await
    {
        tracing::warn!(%error, "the schema that this run left could not be recorded; drift cannot be told until the next run");
    }
    let applied = reports
        .iter()
        .zip(&plan.steps)
        .filter(|(r, _)| r.state == MigrationState::Applied)
        .map(|(_, s)| reference(s))
        .collect();
    let undone = reports
        .iter()
        .zip(&plan.steps)
        .filter(|(r, s)| r.state == MigrationState::RolledBack && s.action == StepAction::Rollback)
        .map(|(_, s)| reference(s))
        .collect();
    let ended = reconciled.ended;
    Ok(TargetOutcome {
        outcome: end,
        steps: reports,
        refusals,
        risk: plan.risk,
        applied,
        undone,
        waits: None,
        left_out: Vec::new(),
        notes: Vec::new(),
        ended,
        backup,
    })
}

/// What the run undoes on all targets; on one alone its own plan tells.
fn goal_of(job: &Job<'_>, plan: &MigrationPlan) -> Vec<Goal> {
    if !job.goal.is_empty() {
        return job.goal.to_vec();
    }
    let undone = plan.steps.iter().filter(|s| s.action == StepAction::Rollback);
    undone.map(|s| Goal { target: job.target.name.clone(), migration: reference(s) }).collect()
}

fn done_state(action: StepAction) -> MigrationState {
    match action {
        StepAction::Apply | StepAction::Baseline => MigrationState::Applied,
        StepAction::Rollback => MigrationState::RolledBack,
        // What was taken back by itself has failed.
        StepAction::Undo => MigrationState::Failed,
    }
}

/// A step's work together with what the server says meanwhile.
#[cfg(feature = "postgres")]
async fn heard<T>(run: &StepRun<'_>, work: impl Future<Output = T>) -> (T, Vec<String>) {
    let StepRun { job, step, opened, .. } = run;
    if step.engine != crate::ids::Engine::Postgresql {
        return (work.await, Vec::new());
    }
    let tell = job.options.pace.notices.clone().map(|listener| {
        let (target, migration, opened) = (step.target.clone(), step.migration.clone(), Arc::clone(opened));
        Arc::new(move |text: &str| listener(&target, &migration, &opened.blot(text)))
            as crate::drivers::notices::NoticeTeller
    });
    crate::drivers::notices::listen(tell, work).await
}

#[cfg(not(feature = "postgres"))]
async fn heard<T>(_: &StepRun<'_>, work: impl Future<Output = T>) -> (T, Vec<String>) {
    (work.await, Vec::new())
}

/// The migrations by unit and id.
pub(super) struct ByName<'a>(HashMap<(&'a str, &'a str), &'a Migration>);

impl<'a> ByName<'a> {
    pub fn new(set: &'a MigrationSet) -> Self {
        Self(set.migrations.iter().map(|m| ((m.unit.as_str(), m.id.as_str()), m)).collect())
    }

    pub fn of(&self, step: &Step) -> Option<&'a Migration> {
        self.0.get(&(step.unit.as_str(), step.migration.as_str())).copied()
    }

    /// Whether a row of a history is one of them.
    pub fn explains(&self, row: &HistoryRow) -> bool {
        self.0.contains_key(&(row.unit.as_str(), row.id.as_str()))
    }
}

/// The script of a migration that does what is to be done with it, if it has one.
pub(super) fn script_of(migration: &Migration, action: StepAction) -> Option<&Text> {
    match action {
        StepAction::Apply | StepAction::Baseline | StepAction::Undo => Some(&migration.up),
        StepAction::Rollback => migration.down.as_ref(),
    }
}

/// A cancel or the end of the time, at the border between two statements.
pub(super) fn should_stop(job: &Job<'_>) -> Option<Refusal> {
    let refusal = |reason: &str, message: &str, what: &str| {
        Some(Refusal {
            reason: reason.to_owned(),
            message: message.to_owned(),
            what_to_do: what.to_owned(),
            needs_human: false,
        })
    };
    if job.options.cancel.is_cancelled() {
        return refusal(
            "cancelled",
            "the run was cancelled before its next statement",
            "run it again to go on from there",
        );
    }
    if job.deadline.is_some_and(|d| Instant::now() >= d) {
        return refusal("timeout", "the run's time is up", "run it again to go on from there, with more time");
    }
    None
}

/// Tells the store what came of steps, now and then.
struct Teller<'a> {
    store: &'a Store,
    job: &'a Job<'a>,
    told: usize,
    at: Instant,
}

impl Teller<'_> {
    /// Those that are due.
    async fn tell(&mut self, reports: &[StepReport]) -> Result<(), RunError> {
        if self.at.elapsed() < TELL_EVERY { Ok(()) } else { self.tell_all(reports, None).await }
    }

    /// All of them; where the run has ended, with what the target's history says `after` it.
    async fn tell_all(&mut self, reports: &[StepReport], after: Option<&str>) -> Result<(), RunError> {
        let records: Vec<StepRecord> = reports[self.told..]
            .iter()
            .enumerate()
            .map(|(n, r)| StepRecord {
                position: i64::try_from(self.told + n).unwrap_or(i64::MAX),
                state: r.state.as_str(),
                duration_ms: i64::try_from(r.duration_ms).unwrap_or(i64::MAX),
                error: r.error.as_ref().map(|e| e.message.clone()),
            })
            .collect();
        self.store.record_steps(self.job.run, &self.job.target.name, &records, after).await?;
        self.told = reports.len();
        self.at = Instant::now();
        Ok(())
    }
}

fn intent_of(job: &Job<'_>, plan: &MigrationPlan, fingerprint: &str, epoch: Epoch) -> TargetIntent {
    TargetIntent {
        target: job.target.name.clone(),
        engine: job.target.engine,
        fingerprint: fingerprint.to_owned(),
        epoch,
        plan_hash: planner::plan_hash(plan, fingerprint),
        history_hash: plan.history_hash.clone(),
        steps: plan
            .steps
            .iter()
            .enumerate()
            .map(|(n, s)| StepIntent {
                position: i64::try_from(n).unwrap_or(i64::MAX),
                unit: s.unit.clone(),
                migration: s.migration.to_string(),
                checksum: s.checksum.to_string(),
                action: s.action.as_str(),
                recovery: s.recovery.as_str(),
                recovery_reason: s.recovery_reason.clone(),
            })
            .collect(),
    }
}

/// The target must say of every step what the run believes of it, where that is `done`. With it the hash of what it says.
async fn self_check<S: Session>(
    session: &mut S,
    job: &Job<'_>,
    plan: &MigrationPlan,
    done: bool,
) -> Result<(Option<Refusal>, Option<String>), RunError> {
    let history = match session.history().await {
        Ok(history) => history,
        // What went wrong before is the news.
        Err(_) if !done => return Ok((None, None)),
        Err(error) => return Ok((Some(refusal_of(error)?), None)),
    };
    let after = Some(planner::history_hash(&history));
    if !done {
        return Ok((None, after));
    }
    let (index, by_name) = (Index::new(job.set, &history), ByName::new(job.set));
    let wrong = plan.steps.iter().find(|s| {
        by_name.of(s).and_then(|m| index.of(m)).is_none_or(|r| r.state != done_state(s.action) || &r.run != job.run)
    });
    let refused = wrong.map(|s| Refusal {
        reason: "drift".to_owned(),
        message: format!("the target's history does not say what this run did to `{}`", s.migration),
        what_to_do: "somebody changes `godwit_history` beside Godwit; look at it before going on".to_owned(),
        needs_human: true,
    });
    Ok((refused, after))
}

/// One step as it runs.
pub(super) struct StepRun<'a> {
    pub job: &'a Job<'a>,
    pub step: &'a Step,
    /// Its files; `None` if they are gone.
    pub migration: Option<&'a Migration>,
    pub epoch: Epoch,
    /// What the history said about the migration before.
    pub before: Option<&'a HistoryRow>,
    /// Its place in the plan.
    pub position: usize,
    /// What happened and is not in the store yet.
    pub notes: Notes,
    /// The values of its script that were sealed.
    pub opened: Arc<Opened>,
}

/// What happened to a step and waits for its place in the store.
#[derive(Debug, Default)]
pub(super) struct Notes(std::sync::Mutex<Vec<StepEvent>>);

impl Notes {
    pub fn push(&self, event: StepEvent) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(event);
    }

    pub fn take(&self) -> Vec<StepEvent> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// How a step ended.
pub(super) enum StepEnd {
    /// With the rows, documents or keys changed, where the server tells.
    Done(Option<u64>),
    Failed(StepError),
    NeedsHuman(StepError),
    Refused(Refusal),
    /// Stopped between two statements; the history says how far it came.
    Cancelled(Refusal, StepError),
}

impl StepRun<'_> {
    /// The migration's row as it reads in `state`.
    pub fn row(&self, state: MigrationState) -> HistoryRow {
        let now = Utc::now();
        HistoryRow {
            // A row keeps the unit it was written under, even when the folder has moved since.
            unit: self.before.map_or_else(|| self.step.unit.clone(), |b| b.unit.clone()),
            id: self.step.migration.clone(),
            version: self.step.version.clone(),
            checksum: self.step.checksum.clone(),
            state,
            action: self.step.action,
            epoch: self.epoch,
            run: self.job.run.clone(),
            started_at: now,
            finished_at: (state != MigrationState::Running).then_some(now),
            duration_ms: 0,
            by: self.job.actor.by.clone(),
            pr: self.job.actor.pr,
            commit: self.job.actor.commit.clone(),
            statements_done: 0,
            error: None,
        }
    }

    /// Its script as the files have it.
    pub fn written(&self) -> Option<&Text> {
        script_of(self.migration?, self.step.action)
    }

    /// A failure with its place in the file.
    pub fn error(&self, script: &Text, failure: StatementFailure, undone: bool) -> StepError {
        StepError {
            message: self.opened.blot(&failure.message),
            code: failure.code,
            file: script.path.clone(),
            line: script.first_line + failure.line.unwrap_or(1).saturating_sub(1),
            operation: None,
            undone,
            hint: failure.hint.map(|hint| self.opened.blot(&hint)),
        }
    }
}

async fn one_step<S: Session>(session: &mut S, store: &Store, run: &StepRun<'_>) -> Result<StepEnd, RunError> {
    if run.step.action == StepAction::Baseline {
        return match session.write_row(&run.row(MigrationState::Applied)).await {
            Ok(()) => Ok(StepEnd::Done(None)),
            Err(error) => Ok(StepEnd::Refused(refusal_of(error)?)),
        };
    }
    let gone = || Refusal {
        reason: "stale".to_owned(),
        message: format!("`{}` is no longer among the files", run.step.migration),
        what_to_do: "run again".to_owned(),
        needs_human: false,
    };
    let Some(migration) = run.migration else { return Ok(StepEnd::Refused(gone())) };
    let Some(script) = run.written() else { return Ok(StepEnd::Refused(gone())) };
    let script = match sealed::open(run.step.engine, script, &run.job.options.opening, &run.job.kept, &run.opened) {
        Ok(script) => script,
        Err(refusal) => return Ok(StepEnd::Refused(refusal)),
    };
    let script = script.as_ref();
    match script.execution(run.step.engine, migration.directives.no_transaction) {
        Ok(Execution::Transaction { body, modes }) => {
            let row = run.row(done_state(run.step.action));
            let checks = verify::checks(run.step.engine, &script.text);
            let sent = Script {
                text: &script.text,
                body,
                long: script.long.as_deref(),
                checks: &checks,
                modes: modes.map(|m| &script.text[m]),
                row: &row,
                row_exists: run.before.is_some(),
            };
            match session.run_script(&sent).await {
                Ok(()) => Ok(StepEnd::Done(None)),
                Err(DriverError::Statement(failure)) => {
                    let error = run.error(script, failure, true);
                    note_failure(session, run, &error, 0).await;
                    Ok(StepEnd::Failed(error))
                }
                Err(error) => Ok(StepEnd::Refused(refusal_of(error)?)),
            }
        }
        Ok(Execution::Statements(statements)) => stepwise::run(session, store, run, script, &statements).await,
        Err(e) => Ok(StepEnd::Refused(Refusal {
            reason: e.rule.to_owned(),
            message: format!("{}:{}: {}", script.path, script.first_line + e.line - 1, e.message),
            what_to_do: e.help,
            needs_human: false,
        })),
    }
}

/// Leaves word in the target that a forward step was tried. A backward one leaves the row as it was: still applied.
pub(super) async fn note_failure<S: Session>(session: &mut S, run: &StepRun<'_>, error: &StepError, done: i32) {
    if run.step.action == StepAction::Rollback && done == 0 {
        return;
    }
    // Half undone: only `resume` may go on, from here.
    let half_undone = run.step.action == StepAction::Rollback;
    let mut row = run.row(if half_undone { MigrationState::Running } else { MigrationState::Failed });
    row.statements_done = done;
    row.error = Some(error.message.clone());
    // The failure itself is reported; that it could not be noted as well adds nothing.
    let _ = session.write_row(&row).await;
}
