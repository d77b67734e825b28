//! One run on one target, as far as its lock: what is to be done, and what forbids it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Instant;

use futures_util::future::BoxFuture;

use super::connect::in_words;
use super::drift::Live;
use super::keeper::Keeper;
use super::locked::{self, ByName};
use super::native::keep_native;
use super::sealed::Kept;
use super::{Actor, ApplyOptions, RunError, Target, Work, detail, pending_steps, planned_steps, refused, risk_of};
use crate::drivers::failpoint;
use crate::drivers::{Driver, DriverError, Pace, Session, SessionOptions};
use crate::ids::{Digest, MigrationId, RepoName, Risk, RunId};
use crate::migration::native::Book;
use crate::migration::{Migration, MigrationSet};
use crate::plan::planner::{self, Index, Native, Planned, Request, Selector, history_hash};
use crate::plan::{
    HistoryRow, MigrationPlan, MigrationState, Objection, ObjectionKind, Outcome, Refusal, Step, StepAction, StepReport,
};
use crate::store::Store;
use crate::store::runs::Goal;

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
    /// Everything that the run undoes, where it is known beforehand.
    pub goal: &'a [Goal],
    pub deadline: Option<Instant>,
    /// Whether the server has transactions, once it is known.
    pub transactions: OnceLock<bool>,
    /// The values that were opened to see whether they can be.
    pub kept: Kept,
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
    /// References undone on this target now (or planned to be, for a plan), in order.
    pub undone: Vec<String>,
    /// The next migration waits for another target.
    pub waits: Option<Refusal>,
    /// What waits with it.
    pub left_out: Vec<String>,
    /// What a person should know of this server and what was noticed on it.
    pub notes: Vec<String>,
    /// Runs that were cut short before and are over now.
    pub ended: Vec<RunId>,
    /// The backup that was made first; in a plan, the one that is to be made.
    pub backup: Option<String>,
}

impl TargetOutcome {
    pub fn refused(refusals: Vec<Refusal>) -> Self {
        Self {
            outcome: refused(&refusals),
            steps: Vec::new(),
            refusals,
            risk: Risk::Low,
            applied: BTreeSet::new(),
            undone: Vec::new(),
            waits: None,
            left_out: Vec::new(),
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
        error @ DriverError::Statement(_) => {
            Err(RunError::Unreachable(format!("the target refuses Godwit's own tables: {}", in_words(&error))))
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
    let strange: BTreeSet<&RunId> = history.iter().filter(|r| !known.explains(r)).map(|r| &r.run).collect();
    if strange.is_empty() {
        return Ok(BTreeMap::new());
    }
    Ok(store.runs_of_others(repo, &strange).await?)
}

/// What the finished statements of migrations read that failed behind them and were edited since, as the runs recorded
/// it that failed. Without such a migration the store is not opened.
async fn finished(job: &Job<'_>, history: &[HistoryRow]) -> Result<BTreeMap<String, String>, RunError> {
    let mut found = BTreeMap::new();
    if !history.iter().any(HistoryRow::failed_half_way) {
        return Ok(found);
    }
    let index = Index::new(job.set, history);
    let own = job.set.migrations.iter().filter(|m| planner::belongs(m, &job.target.name, job.target.engine));
    let edited: Vec<(&Migration, &HistoryRow)> = own
        .filter_map(|m| index.of(m).map(|row| (m, row)))
        .filter(|(m, row)| planner::edited::may_go_on(m, row))
        .collect();
    if edited.is_empty() {
        return Ok(found);
    }
    let Some(store) = job.keeper.open_if_any().await? else { return Ok(found) };
    for (migration, row) in edited {
        if let Some(recorded) = store.finished_statements(&row.run, &row.unit, &row.id, row.statements_done).await? {
            found.insert(migration.reference(), recorded);
        }
    }
    Ok(found)
}

fn make_plan(
    job: &Job<'_>,
    (history, native): (&[HistoryRow], &Native),
    (foreign, finished): (&BTreeMap<RunId, RepoName>, &BTreeMap<String, String>),
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
        finished,
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
    let alone =
        |plan: MigrationPlan| Planned { plan, left_out: Vec::new(), late: Vec::new(), held: Vec::new(), waits: None };
    match work {
        Work::Apply | Work::Resume => planner::plan_apply(&request),
        Work::Rollback(selector) => planner::plan_rollback(&request, selector),
        Work::Baseline => planner::plan_baseline(&request).map(alone),
    }
}

/// `resume` first finishes a rollback that was cut short.
fn effective_work(work: &Work, history: &[HistoryRow]) -> Work {
    let half_undone = history.iter().find(|r| r.is_half_undone());
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

/// What was found out before the lock was asked for.
struct Judged {
    planned: Planned,
    native: Native,
    applied: BTreeSet<String>,
    notes: Vec<String>,
    /// Migrations whose rollback loses what the target holds.
    lost: BTreeSet<MigrationId>,
}

/// What runs, on the heap: each of these is large, and one inside the other they would not fit on a thread's stack.
type Running<'a> = BoxFuture<'a, Result<Option<TargetOutcome>, RunError>>;

/// A run on a target. `None` when the target was changed while its lock was waited for: then everything is to be judged
/// anew.
pub(super) fn on<'a, D: Driver + 'a>(driver: D, job: &'a Job<'a>) -> Running<'a> {
    Box::pin(run(driver, job))
}

async fn run<D: Driver>(mut driver: D, job: &Job<'_>) -> Result<Option<TargetOutcome>, RunError> {
    let mut judged = match judge(&mut driver, job).await? {
        Ok(judged) => judged,
        Err(refusals) => return Ok(Some(TargetOutcome::refused(refusals))),
    };
    let Judged { planned, native, notes, lost, .. } = &mut judged;
    let (planned, notes) = (&*planned, &*notes);
    let stop = |refusals: Vec<Refusal>| TargetOutcome {
        steps: pending_steps(&planned.plan.steps),
        risk: planned.plan.risk,
        notes: notes.clone(),
        ..TargetOutcome::refused(refusals)
    };
    let mut said = Vec::new();
    if !planned.plan.steps.is_empty() && job.work != &Work::Baseline {
        let mut objections = match driver.preflight(&planned.plan).await {
            Ok(objections) => objections,
            Err(error) => return Ok(Some(TargetOutcome::refused(vec![refusal_of(error)?]))),
        };
        match super::losing::objections(&mut driver, job, &native.book, &planned.plan).await {
            Ok(more) => objections.extend(more),
            Err(error) => return Ok(Some(TargetOutcome::refused(vec![refusal_of(error)?]))),
        }
        let back = planned.plan.steps.iter().filter(|s| s.action == StepAction::Rollback);
        let named: BTreeSet<&MigrationId> = lossy(&objections).collect();
        *lost = back.map(|s| &s.migration).filter(|m| named.contains(m)).cloned().collect();
        let (mut refusals, told) = weigh(objections, job);
        said = told;
        match super::sealed::foretell(job, &planned.plan) {
            Ok(notes) => said.extend(notes),
            Err(closed) => refusals.extend(closed),
        }
        if !refusals.is_empty() {
            let mut outcome = stop(refusals);
            outcome.notes.extend(said);
            return Ok(Some(outcome));
        }
    }
    if planned.plan.steps.is_empty() || job.options.dry_run {
        let outcome = if planned.plan.steps.is_empty() { Outcome::Nothing } else { Outcome::Planned };
        let ended = if job.options.dry_run { Vec::new() } else { end_open_runs(driver, job).await? };
        let Judged { planned, mut applied, mut notes, lost, .. } = judged;
        notes.extend(said);
        let (back, forth): (Vec<&Step>, Vec<&Step>) =
            planned.plan.steps.iter().partition(|s| s.action == StepAction::Rollback);
        applied.extend(forth.into_iter().map(reference));
        return Ok(Some(TargetOutcome {
            outcome,
            steps: planned_steps(&planned.plan.steps),
            refusals: Vec::new(),
            risk: planned.plan.risk,
            applied,
            undone: back.into_iter().map(reference).collect(),
            waits: planned.waits,
            left_out: planned.left_out,
            notes,
            ended,
            backup: super::backup::announced(job, &planned.plan, &lost),
        }));
    }
    let store = job.keeper.open().await?;
    if job.work != &Work::Baseline && job.target.environment.is_some() {
        let seen = match driver.schema().await {
            Ok(schema) => driver.identity().await.map(|identity| (schema, identity.unwrap_or_default())),
            Err(error) => Err(error),
        };
        let (schema, identity) = match seen {
            Ok(seen) => seen,
            Err(error) => return Ok(Some(TargetOutcome::refused(vec![refusal_of(error)?]))),
        };
        let live = Live { identity, schema, history: planned.plan.history_hash.clone() };
        if let Some(refusal) = super::drift::forbids(store, job, &live).await? {
            let mut outcome = stop(vec![refusal]);
            outcome.notes.extend(said);
            return Ok(Some(outcome));
        }
    }
    super::spans::tell_beginning(job, &planned.plan.steps);
    failpoint::hit("lock_pre");
    let mut session = match driver.lock(&session_options(job)).await {
        Ok(session) => session,
        Err(error) => return Ok(Some(TargetOutcome { notes: Vec::new(), ..stop(vec![refusal_of(error)?]) })),
    };
    failpoint::hit("lock_post");
    let went = holding(&mut session, store, job, judged).await;
    failpoint::hit("unlock_pre");
    // However it went: a lock that a run which is over still has keeps everybody else out.
    give_back(session).await;
    let mut went = went?;
    if let Some(outcome) = &mut went {
        outcome.notes.extend(said);
    }
    Ok(went)
}

/// Reads a target and plans; the second part is why nothing may run.
async fn judge<D: Driver>(driver: &mut D, job: &Job<'_>) -> Result<Result<Judged, Vec<Refusal>>, RunError> {
    let history = match driver.history().await {
        Ok(history) => history,
        Err(error) => return Ok(Err(vec![refusal_of(error)?])),
    };
    let (target, engine) = (&job.target.name, job.target.engine);
    let book = Book::of(job.set, target, engine).looking_around(history.is_empty());
    let native = match driver.native(&book).await {
        Ok(found) => Native::of(book, found, job.set, target, engine),
        Err(error) => return Ok(Err(vec![refusal_of(error)?])),
    };
    let notes = match driver.capabilities().await {
        Ok(capabilities) => {
            let _ = job.transactions.set(capabilities.transactions);
            capabilities.notes
        }
        Err(error) => return Ok(Err(vec![refusal_of(error)?])),
    };
    let mut notes: Vec<String> = notes.into_iter().map(|n| format!("{}: {n}", job.target.name)).collect();
    let work = effective_work(job.work, &history);
    let recorded = (foreign_runs(job, &history).await?, finished(job, &history).await?);
    let planned = match make_plan(job, (&history, &native), (&recorded.0, &recorded.1), &work) {
        Ok(planned) => planned,
        Err(refusals) => return Ok(Err(refusals)),
    };
    notes.extend(
        planned
            .held
            .iter()
            .filter_map(|r| job.set.find(r))
            .map(|m| format!("{} is {}", m.reference(), planner::held(job.set, m, job.target.environment.as_ref()))),
    );
    notes.extend(planned.late.iter().map(|(late, above)| {
        format!("{late} is left out, as asked: it comes before `{above}`, which is applied already")
    }));
    notes.extend(blank(job, &planned));
    let applied = applied_in(job, &history);
    Ok(Ok(Judged { planned, native, applied, notes, lost: BTreeSet::new() }))
}

/// Migrations that are recorded as applied although nothing of them runs.
fn blank(job: &Job<'_>, planned: &Planned) -> Vec<String> {
    if planned.plan.steps.is_empty() {
        return Vec::new();
    }
    let by_name = ByName::new(job.set);
    let forward = planned.plan.steps.iter().filter(|step| step.action == StepAction::Apply);
    forward
        .filter_map(|step| by_name.of(step))
        .filter(|m| m.up.is_blank(m.engine))
        .map(|m| {
            format!(
                "{}: `{}` holds no statement: nothing of it runs, and it counts as applied",
                job.target.name, m.up.path
            )
        })
        .collect()
}

fn holding<'a, S: Session>(session: &'a mut S, store: &'a Store, job: &'a Job<'a>, judged: Judged) -> Running<'a> {
    Box::pin(under_lock(session, store, job, judged))
}

/// The run itself, with the target's lock held; `None` when somebody else was faster.
async fn under_lock<S: Session>(
    session: &mut S,
    store: &Store,
    job: &Job<'_>,
    judged: Judged,
) -> Result<Option<TargetOutcome>, RunError> {
    let Judged { planned, native, applied, notes, lost } = judged;
    let now = match session.history().await {
        Ok(now) => now,
        Err(error) => return Ok(Some(TargetOutcome::refused(vec![refusal_of(error)?]))),
    };
    if history_hash(&now) != planned.plan.history_hash {
        return Ok(None);
    }
    if let Err(error) = keep_native(session, job.set, native, &planned.plan.steps, &now).await {
        return Ok(Some(TargetOutcome::refused(vec![refusal_of(error)?])));
    }
    let mut outcome = locked::begin(session, store, job, (&planned, &lost), &now).await?;
    outcome.applied.extend(applied);
    outcome.waits = planned.waits;
    outcome.left_out = planned.left_out;
    outcome.notes = notes;
    Ok(Some(outcome))
}

/// The migrations by which data would be lost.
fn lossy(objections: &[Objection]) -> impl Iterator<Item = &MigrationId> {
    objections.iter().filter(|o| o.kind == ObjectionKind::DataLoss).filter_map(|o| o.migration.as_ref())
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
            // A plan may be made by an account that may do nothing: one that only reads is the safest to look with.
            ObjectionKind::Right if job.options.looks_only => {
                let (target, what) = (&job.target.name, &objection.what_to_do);
                said.push(format!("{target}: {message}; a run needs an account that may: {what}"));
                continue;
            }
            ObjectionKind::Impossible | ObjectionKind::Right => "impossible",
            ObjectionKind::Version => "version",
            ObjectionKind::DataLoss
                if job.options.accept_data_loss || job.options.loss_agreed || job.options.dry_run =>
            {
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
        Ok(now) => {
            super::settle::reconcile(store, job.set, session.fingerprint(), job.run, &now).await.map(|r| r.ended)
        }
        Err(error) => refusal_of(error).map(|_| Vec::new()),
    };
    give_back(session).await;
    ended
}

pub(super) fn reference(step: &Step) -> String {
    if step.unit.is_empty() { step.migration.to_string() } else { format!("{}/{}", step.unit, step.migration) }
}

/// What is left to say when this fails was said by the session itself; the connection is closed in any case.
pub(super) async fn give_back<S: Session>(session: S) {
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
