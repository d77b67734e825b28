//! One run on one target.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;
use std::time::Instant;

use chrono::Utc;

use super::keeper::Keeper;
use super::{
    Actor, ApplyOptions, RunError, Target, Work, detail, pending_steps, refused, risk_of, step_report, stepwise,
};
use crate::drivers::failpoint;
use crate::drivers::{Driver, DriverError, Pace, Script, Session, SessionOptions, StatementFailure};
use crate::ids::{Digest, Epoch, RepoName, Risk, RunId};
use crate::migration::execution::{Execution, execution};
use crate::migration::native::Book;
use crate::migration::{Migration, MigrationSet, Script as Text};
use crate::plan::planner::{self, Index, Native, Planned, Request, Selector, history_hash};
use crate::plan::{
    HistoryRow, MigrationPlan, MigrationState, Objection, ObjectionKind, Outcome, Refusal, Step, StepAction, StepError,
    StepReport,
};
use crate::store::Store;
use crate::store::runs::{NewRun, StepIntent, StepRecord, TargetIntent};

/// How often steps that are safe in the target are told to the store while the run goes on.
const TELL_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Everything a run on one target needs.
pub(super) struct Job<'a> {
    pub keeper: &'a Keeper,
    pub set: &'a MigrationSet,
    pub digest: &'a Digest,
    pub target: &'a Target,
    pub actor: &'a Actor,
    pub options: &'a ApplyOptions,
    pub run: &'a RunId,
    pub work: &'a Work,
    /// Migrations known applied on other targets.
    pub known: &'a BTreeSet<String>,
    pub deadline: Option<Instant>,
    /// Whether the server has transactions, once it is known.
    pub transactions: OnceLock<bool>,
}

impl Job<'_> {
    /// Whether the server can commit several changes together.
    pub fn transactions(&self) -> bool {
        self.transactions.get().copied().unwrap_or(true)
    }
}

/// What came of it.
pub(super) struct TargetOutcome {
    pub outcome: Outcome,
    pub steps: Vec<StepReport>,
    pub refusals: Vec<Refusal>,
    pub risk: Risk,
    /// References applied on this target now (or planned, for a plan).
    pub applied: BTreeSet<String>,
    /// The next migration waits for another target.
    pub waits: Option<Refusal>,
    /// What a person should know of this server and what was noticed on it.
    pub notes: Vec<String>,
    /// Runs that were cut short before and are over now.
    pub ended: Vec<RunId>,
    /// The backup that was made first; in a plan, the one that is to be made.
    pub backup: Option<String>,
}

impl TargetOutcome {
    fn refused(refusals: Vec<Refusal>) -> Self {
        Self {
            outcome: refused(&refusals),
            steps: Vec::new(),
            refusals,
            risk: Risk::Low,
            applied: BTreeSet::new(),
            waits: None,
            notes: Vec::new(),
            ended: Vec::new(),
            backup: None,
        }
    }
}

/// A driver's error as the end of a run: a refusal where it says why nothing may run.
pub(super) fn refusal_of(error: DriverError) -> Result<Refusal, RunError> {
    let refusal = |reason: &str, message: String, what_to_do: &str, needs_human: bool| {
        Ok(Refusal { reason: reason.to_owned(), message, what_to_do: what_to_do.to_owned(), needs_human })
    };
    let message = error.to_string();
    match error {
        DriverError::Locked(holder) => {
            let what = match (&holder.doing, holder.pid) {
                (Some(doing), _) => format!("wait until it ends; it runs `{doing}`"),
                (None, _) => "wait until it ends, or end that process".to_owned(),
            };
            refusal("locked", message, &what, false)
        }
        DriverError::Pooled(_) => refusal("pooled", message, "connect to the server itself", false),
        DriverError::Fenced => refusal("fenced", message, "look at the newer run with `godwit status`", false),
        DriverError::Statement(failure) => {
            Err(RunError::Unreachable(format!("the target refuses Godwit's own tables: {failure}")))
        }
        DriverError::Unreachable(m) | DriverError::Lost(m) => Err(RunError::Unreachable(m)),
        DriverError::Stopped(m) => refusal("cancelled", m, "run it again to go on from there", false),
        DriverError::History(m) => refusal("drift", m, "look at the tables `godwit_history` and `godwit_fence`", true),
    }
}

/// The runs behind rows that no file of the set explains, where the store knows that another repository began them.
async fn foreign_runs(job: &Job<'_>, history: &[HistoryRow]) -> Result<BTreeMap<RunId, RepoName>, RunError> {
    let (Some(store), Some(repo)) = (job.keeper.if_open(), &job.actor.repo) else { return Ok(BTreeMap::new()) };
    let known = ByName::new(job.set);
    let strange: BTreeSet<&RunId> =
        history.iter().filter(|r| !known.0.contains_key(&(r.unit.as_str(), r.id.as_str()))).map(|r| &r.run).collect();
    if strange.is_empty() {
        return Ok(BTreeMap::new());
    }
    Ok(store.runs_of_others(repo, &strange).await?)
}

fn make_plan(
    job: &Job<'_>,
    (history, native): (&[HistoryRow], &Native),
    foreign: &BTreeMap<RunId, RepoName>,
    work: &Work,
) -> Result<Planned, Vec<Refusal>> {
    let risk = |m: &Migration| risk_of(job.options, m);
    let elsewhere = |m: &Migration| Some(job.known.contains(&m.reference()));
    let request = Request {
        environment: job.target.environment.as_ref(),
        target: &job.target.name,
        engine: job.target.engine,
        set: job.set,
        digest: job.digest,
        history,
        foreign,
        native,
        to: job.options.to.as_deref(),
        service: job.options.service.as_deref(),
        transactions: job.transactions(),
        out_of_order: job.options.out_of_order,
        released: &job.options.released,
        detail: detail(job.options),
        risk: &risk,
        applied_elsewhere: &elsewhere,
    };
    let alone = |plan: MigrationPlan| Planned { plan, left_out: Vec::new(), held: Vec::new(), waits: None };
    match work {
        Work::Apply | Work::Resume => planner::plan_apply(&request),
        Work::Rollback(selector) => planner::plan_rollback(&request, selector).map(alone),
        Work::Baseline => planner::plan_baseline(&request).map(alone),
    }
}

/// `resume` first finishes a rollback that was cut short.
fn effective_work(work: &Work, history: &[HistoryRow]) -> Work {
    let half_undone = history.iter().find(|r| r.state == MigrationState::Running && r.action == StepAction::Rollback);
    match (work, half_undone) {
        (Work::Resume, Some(row)) if row.unit.is_empty() => Work::Rollback(Selector::Migration(row.id.to_string())),
        (Work::Resume, Some(row)) => Work::Rollback(Selector::Migration(format!("{}/{}", row.unit, row.id))),
        (work, _) => work.clone(),
    }
}

fn applied_in(job: &Job<'_>, history: &[HistoryRow]) -> BTreeSet<String> {
    // Only migrations of other targets are ever looked up in it.
    if job.set.migrations.iter().all(|m| m.directives.depends_on.is_empty()) {
        return BTreeSet::new();
    }
    let index = Index::new(job.set, history);
    job.set
        .migrations
        .iter()
        .filter(|m| planner::belongs(m, &job.target.name, job.target.engine))
        .filter(|m| index.of(m).is_some_and(|r| r.state == MigrationState::Applied))
        .map(Migration::reference)
        .collect()
}

pub(super) async fn run<D: Driver>(mut driver: D, job: &Job<'_>) -> Result<TargetOutcome, RunError> {
    let history = match driver.history().await {
        Ok(history) => history,
        Err(error) => return Ok(TargetOutcome::refused(vec![refusal_of(error)?])),
    };
    let mut native = Native { book: Book::of(job.set, &job.target.name, job.target.engine), found: Vec::new() };
    match driver.native(&native.book).await {
        Ok(found) => native.found = found,
        Err(error) => return Ok(TargetOutcome::refused(vec![refusal_of(error)?])),
    }
    let notes = match driver.capabilities().await {
        Ok(capabilities) => {
            let _ = job.transactions.set(capabilities.transactions);
            capabilities.notes
        }
        Err(error) => return Ok(TargetOutcome::refused(vec![refusal_of(error)?])),
    };
    let mut notes: Vec<String> = notes.into_iter().map(|n| format!("{}: {n}", job.target.name)).collect();
    let mut work = effective_work(job.work, &history);
    let mut planned = match make_plan(job, (&history, &native), &foreign_runs(job, &history).await?, &work) {
        Ok(planned) => planned,
        Err(refusals) => return Ok(TargetOutcome::refused(refusals)),
    };
    notes.extend(
        planned
            .held
            .iter()
            .filter_map(|r| job.set.find(r))
            .map(|m| format!("{} is {}", m.reference(), planner::held(m, job.target.environment.as_ref()))),
    );
    let mut applied = applied_in(job, &history);
    if !planned.plan.steps.is_empty() && job.work != &Work::Baseline {
        let objections = match driver.preflight(&planned.plan).await {
            Ok(objections) => objections,
            Err(error) => return Ok(TargetOutcome::refused(vec![refusal_of(error)?])),
        };
        let (refusals, said) = weigh(objections, job);
        notes.extend(said);
        if !refusals.is_empty() {
            return Ok(TargetOutcome {
                steps: pending_steps(&planned.plan.steps),
                risk: planned.plan.risk,
                notes,
                ..TargetOutcome::refused(refusals)
            });
        }
    }
    if planned.plan.steps.is_empty() || job.options.dry_run {
        let outcome = if planned.plan.steps.is_empty() { Outcome::Nothing } else { Outcome::Planned };
        applied.extend(planned.plan.steps.iter().map(reference));
        let ended = if job.options.dry_run { Vec::new() } else { end_open_runs(driver, job).await? };
        return Ok(TargetOutcome {
            outcome,
            steps: pending_steps(&planned.plan.steps),
            refusals: Vec::new(),
            risk: planned.plan.risk,
            applied,
            waits: planned.waits,
            notes,
            ended,
            backup: super::backup::announced(job, &planned.plan),
        });
    }
    let store = job.keeper.open().await?;
    if job.work != &Work::Baseline && job.target.environment.is_some() {
        let schema = match driver.schema().await {
            Ok(schema) => schema,
            Err(error) => return Ok(TargetOutcome::refused(vec![refusal_of(error)?])),
        };
        if let Some(refusal) = super::drift::forbids(store, job, &schema, &planned.plan.history_hash).await? {
            return Ok(TargetOutcome {
                steps: pending_steps(&planned.plan.steps),
                risk: planned.plan.risk,
                notes,
                ..TargetOutcome::refused(vec![refusal])
            });
        }
    }
    let mut session = match driver.lock(&session_options(job)).await {
        Ok(session) => session,
        Err(error) => {
            return Ok(TargetOutcome {
                steps: pending_steps(&planned.plan.steps),
                risk: planned.plan.risk,
                ..TargetOutcome::refused(vec![refusal_of(error)?])
            });
        }
    };
    failpoint::hit("lock_post");
    let now = match session.history().await {
        Ok(now) => now,
        Err(error) => return Ok(TargetOutcome::refused(vec![refusal_of(error)?])),
    };
    if history_hash(&now) != planned.plan.history_hash {
        // Another run came first while we waited.
        work = effective_work(job.work, &now);
        match session.native(&native.book).await {
            Ok(found) => native.found = found,
            Err(error) => return Ok(TargetOutcome::refused(vec![refusal_of(error)?])),
        }
        planned = match make_plan(job, (&now, &native), &foreign_runs(job, &now).await?, &work) {
            Ok(planned) => planned,
            Err(refusals) => {
                give_back(session).await;
                return Ok(TargetOutcome::refused(refusals));
            }
        };
        applied = applied_in(job, &now);
        if planned.plan.steps.is_empty() {
            give_back(session).await;
            return Ok(TargetOutcome {
                outcome: Outcome::Nothing,
                steps: Vec::new(),
                refusals: Vec::new(),
                risk: Risk::Low,
                applied,
                waits: planned.waits,
                notes,
                ended: Vec::new(),
                backup: None,
            });
        }
    }
    if let Err(error) = keep_native(&mut session, job.set, native, &planned.plan.steps, &now).await {
        give_back(session).await;
        return Ok(TargetOutcome::refused(vec![refusal_of(error)?]));
    }
    let result = locked(&mut session, store, job, &planned, &now).await;
    failpoint::hit("unlock_pre");
    give_back(session).await;
    let mut outcome = result?;
    outcome.applied.extend(applied);
    outcome.waits = planned.waits;
    outcome.notes = notes;
    Ok(outcome)
}

/// Has the session keep the tables of the folders' own tools: those that are there, and those that the steps make. A new
/// one gets what was applied before it was there.
pub(super) async fn keep_native<S: Session>(
    session: &mut S,
    set: &MigrationSet,
    mut native: Native,
    steps: &[Step],
    history: &[HistoryRow],
) -> Result<(), DriverError> {
    if native.book.is_empty() {
        return Ok(());
    }
    let index = Index::new(set, history);
    let mut applied = Vec::new();
    for migration in &set.migrations {
        let Some(row) = index.of(migration) else { continue };
        native.book.also_known(&row.unit, &migration.unit);
        if row.state == MigrationState::Applied {
            applied.push((migration.unit.clone(), migration.id.clone()));
        }
    }
    let forward = steps.iter().filter(|s| matches!(s.action, StepAction::Apply | StepAction::Baseline));
    let units: BTreeSet<&str> = forward.map(|s| s.unit.as_str()).collect();
    session.keep_native(&native.book, &native.found, &units, &applied).await
}

/// What forbids the run, and what is only told.
fn weigh(objections: Vec<Objection>, job: &Job<'_>) -> (Vec<Refusal>, Vec<String>) {
    let (mut refusals, mut said) = (Vec::new(), Vec::new());
    for objection in objections {
        let place = match (&objection.file, objection.line) {
            (Some(file), Some(line)) => format!("{file}:{line}: "),
            (Some(file), None) => format!("{file}: "),
            (None, _) => String::new(),
        };
        let message = format!("{place}{}", objection.message);
        let reason = match objection.kind {
            ObjectionKind::Impossible => "impossible",
            ObjectionKind::Version => "version",
            ObjectionKind::DataLoss if job.options.accept_data_loss || job.options.dry_run => {
                said.push(format!("{}: {message}", job.target.name));
                continue;
            }
            ObjectionKind::DataLoss => "data-loss",
            ObjectionKind::Note => {
                said.push(format!("{}: {message}", job.target.name));
                continue;
            }
        };
        refusals.push(Refusal {
            reason: reason.to_owned(),
            message,
            what_to_do: objection.what_to_do,
            needs_human: false,
        });
    }
    (refusals, said)
}

/// Says of runs that were cut short after their last migration that they are over: with nothing left to do no later run
/// would. Whoever holds the target's lock meanwhile is such a run itself and still alive.
async fn end_open_runs<D: Driver>(driver: D, job: &Job<'_>) -> Result<Vec<RunId>, RunError> {
    let store = match job.work {
        // Who says `resume` means just this; everybody else leaves a store alone that nothing is recorded in.
        Work::Resume => job.keeper.open().await?,
        Work::Apply | Work::Rollback(_) | Work::Baseline => match job.keeper.if_open() {
            Some(store) => store,
            None => return Ok(Vec::new()),
        },
    };
    let environment = job.target.environment.as_ref();
    if !store.has_open_run(job.actor.repo.as_ref(), environment, &job.target.name).await? {
        return Ok(Vec::new());
    }
    let mut session = match driver.lock(&session_options(job)).await {
        Ok(session) => session,
        Err(error) => {
            tracing::info!(%error, "an interrupted run is left for later");
            return Ok(Vec::new());
        }
    };
    let ended = match session.history().await {
        Ok(now) => super::settle::reconcile(store, session.fingerprint(), job.run, &now).await.map(|r| r.ended),
        Err(error) => refusal_of(error).map(|_| Vec::new()),
    };
    give_back(session).await;
    ended
}

fn reference(step: &Step) -> String {
    if step.unit.is_empty() { step.migration.to_string() } else { format!("{}/{}", step.unit, step.migration) }
}

/// What is left to say when this fails was said by the session itself; the connection is closed in any case.
async fn give_back<S: Session>(session: S) {
    if let Err(error) = session.unlock().await {
        tracing::warn!(%error, "the target's lock was not given back in order");
    }
}

pub(super) fn session_options(job: &Job<'_>) -> SessionOptions {
    let mut options = SessionOptions::new(job.run.clone(), &job.actor.by, &job.target.name);
    options.lock_wait = job.options.lock_wait.unwrap_or(options.lock_wait);
    options.lock_timeout = job.options.lock_timeout.unwrap_or(options.lock_timeout);
    options.retry_for = job.options.retry_for.unwrap_or(options.retry_for);
    options.deadline = job.deadline;
    options.lease = job.options.lease.unwrap_or(options.lease);
    options.accept_data_loss = job.options.accept_data_loss;
    options.pace = Pace { cancel: job.options.cancel.clone(), deadline: job.deadline, ..job.options.pace.clone() };
    options
}

/// With the lock held: settle, fence, intent, steps, self-check, record.
async fn locked<S: Session>(
    session: &mut S,
    store: &Store,
    job: &Job<'_>,
    planned: &Planned,
    history: &[HistoryRow],
) -> Result<TargetOutcome, RunError> {
    let plan = &planned.plan;
    let stop = |refusals: Vec<Refusal>| TargetOutcome {
        steps: pending_steps(&plan.steps),
        risk: plan.risk,
        ..TargetOutcome::refused(refusals)
    };
    let reconciled = super::settle::reconcile(store, session.fingerprint(), job.run, history).await?;
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
    let at_least = store.highest_epoch(session.fingerprint()).await?;
    let fenced = match session.settle_orphans(&orphans).await {
        Ok(()) => session.fence(at_least).await,
        Err(error) => Err(error),
    };
    let epoch = match fenced {
        Ok(epoch) => epoch,
        Err(error) => return Ok(stop(vec![refusal_of(error)?])),
    };
    let backup = match super::backup::before(store, job, plan).await? {
        Ok(made) => made.map(|m| m.meta.backup_file),
        Err(refusal) => return Ok(TargetOutcome { outcome: Outcome::Failed, ..stop(vec![refusal]) }),
    };
    failpoint::hit("intent_pre");
    let intent = intent_of(job, plan, session.fingerprint(), epoch);
    store.record_intents(&new_run(job, plan), &intent).await?;
    failpoint::hit("intent_post");

    let (index, by_name) = (Index::new(job.set, history), ByName::new(job.set));
    let mut reports = Vec::with_capacity(plan.steps.len());
    let mut told = Teller { store, job, told: 0, at: Instant::now() };
    let mut end = Outcome::Applied;
    let mut refusals = Vec::new();
    for (position, step) in plan.steps.iter().enumerate() {
        if end != Outcome::Applied {
            reports.push(step_report(step, MigrationState::Pending));
            continue;
        }
        if let Some(refusal) = should_stop(job) {
            refusals.push(refusal);
            end = Outcome::Failed;
            reports.push(step_report(step, MigrationState::Pending));
            continue;
        }
        job.options.pace.comes_to(&job.target.name, Some(&step.migration), position, plan.steps.len());
        let began = Instant::now();
        let migration = by_name.of(step);
        let before = migration.and_then(|m| index.of(m));
        let mut report = step_report(step, done_state(step.action));
        let run = StepRun { job, step, migration, epoch, before, position };
        match one_step(session, store, &run).await? {
            StepEnd::Done(rows) => report.rows = rows,
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
        reports.push(report);
        told.tell(&reports, false).await?;
    }
    if end == Outcome::Applied {
        job.options.pace.comes_to(&job.target.name, None, plan.steps.len(), plan.steps.len());
    }
    if end == Outcome::Applied
        && let Some(refusal) = self_check(session, job, plan).await?
    {
        refusals.push(refusal);
        end = Outcome::NeedsHuman;
    }
    failpoint::hit("record_pre");
    told.tell(&reports, true).await?;
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
    let ended = reconciled.ended;
    Ok(TargetOutcome {
        outcome: end,
        steps: reports,
        refusals,
        risk: plan.risk,
        applied,
        waits: None,
        notes: Vec::new(),
        ended,
        backup,
    })
}

fn done_state(action: StepAction) -> MigrationState {
    match action {
        StepAction::Apply | StepAction::Baseline => MigrationState::Applied,
        StepAction::Rollback => MigrationState::RolledBack,
        // What was taken back by itself has failed.
        StepAction::Undo => MigrationState::Failed,
    }
}

/// The migrations by unit and id.
struct ByName<'a>(HashMap<(&'a str, &'a str), &'a Migration>);

impl<'a> ByName<'a> {
    fn new(set: &'a MigrationSet) -> Self {
        Self(set.migrations.iter().map(|m| ((m.unit.as_str(), m.id.as_str()), m)).collect())
    }

    fn of(&self, step: &Step) -> Option<&'a Migration> {
        self.0.get(&(step.unit.as_str(), step.migration.as_str())).copied()
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
    async fn tell(&mut self, reports: &[StepReport], all: bool) -> Result<(), RunError> {
        if !all && self.at.elapsed() < TELL_EVERY {
            return Ok(());
        }
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
        self.store.record_steps(self.job.run, &self.job.target.name, &records).await?;
        self.told = reports.len();
        self.at = Instant::now();
        Ok(())
    }
}

fn new_run(job: &Job<'_>, plan: &MigrationPlan) -> NewRun {
    NewRun {
        id: job.run.clone(),
        action: plan.steps.first().map_or(StepAction::Apply, |s| s.action),
        environment: job.target.environment.clone(),
        repo: job.actor.repo.clone(),
        pr: job.actor.pr,
        commit: job.actor.commit.clone(),
        by: job.actor.by.clone(),
        correlation: job.actor.correlation.clone(),
        digest: job.digest.clone(),
        at: Utc::now(),
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
            })
            .collect(),
    }
}

/// The target must say of every step what the run believes of it.
async fn self_check<S: Session>(
    session: &mut S,
    job: &Job<'_>,
    plan: &MigrationPlan,
) -> Result<Option<Refusal>, RunError> {
    let history = match session.history().await {
        Ok(history) => history,
        Err(error) => return Ok(Some(refusal_of(error)?)),
    };
    let (index, by_name) = (Index::new(job.set, &history), ByName::new(job.set));
    let wrong = plan.steps.iter().find(|s| {
        by_name.of(s).and_then(|m| index.of(m)).is_none_or(|r| r.state != done_state(s.action) || &r.run != job.run)
    });
    Ok(wrong.map(|s| Refusal {
        reason: "drift".to_owned(),
        message: format!("the target's history does not say what this run did to `{}`", s.migration),
        what_to_do: "somebody changes `godwit_history` beside Godwit; look at it before going on".to_owned(),
        needs_human: true,
    }))
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

    /// A failure with its place in the file.
    pub fn error(&self, script: &Text, failure: StatementFailure, undone: bool) -> StepError {
        StepError {
            message: failure.message,
            code: failure.code,
            file: script.path.clone(),
            line: script.first_line + failure.line.unwrap_or(1).saturating_sub(1),
            undone,
            hint: failure.hint,
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
    let script = match run.step.action {
        StepAction::Apply | StepAction::Baseline | StepAction::Undo => &migration.up,
        StepAction::Rollback => match &migration.down {
            Some(down) => down,
            None => return Ok(StepEnd::Refused(gone())),
        },
    };
    match execution(run.step.engine, &script.text, migration.directives.no_transaction) {
        Ok(Execution::Transaction { body, modes }) => {
            let row = run.row(done_state(run.step.action));
            let modes = modes.map(|m| &script.text[m]);
            let sent = Script { text: &script.text, body, modes, row: &row, row_exists: run.before.is_some() };
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
