//! Carries out plans on targets, recording each step; the only caller of `drivers`.
//!
//! One algorithm for every engine: read the history and plan; take the target's lock, read again and plan again if the
//! history moved; settle what an interrupted run left; take a fencing token; make the intent durable; run the steps;
//! read the history once more and compare; record; give the lock back. The target's history is the truth, the store's
//! record is checked against it, and where the two disagree nothing runs.

mod across;
pub mod backup;
mod by_hand;
mod connect;
pub mod data;
mod drift;
mod examine;
pub mod facts;
pub mod health;
mod keeper;
mod locked;
mod losing;
mod measured;
mod native;
pub mod rehearse;
pub mod reset;
pub mod sealed;
mod settle;
mod spans;
mod stepwise;
mod strain;
mod target;
mod undo;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chrono::Utc;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use tracing::Instrument as _;

pub use crate::drivers::failpoint;
#[cfg(feature = "postgres")]
pub use crate::drivers::notices;
#[cfg(feature = "postgres")]
pub use crate::drivers::postgres::{Ahead, First};
pub use drift::{accept as accept_drift, against as drift_against, drift, foretell as foretell_drift};
pub use examine::examine;
pub use keeper::{Keeper, OpenStore};
pub use settle::{Settlement, resolve};

pub use crate::drivers::{Cancel, Limits, Pace, Progress};
pub use spans::TRACE;

use crate::drivers::Driver as _;
use crate::ids::{CommitSha, DeliveryId, Digest, Engine, EnvironmentName, PrNumber, RepoName, Risk, RunId, TargetName};
use crate::migration::native::Book;
use crate::migration::{Migration, MigrationSet};
use crate::plan::planner::{self, Detail, Native, OutOfOrder, Selector};
use crate::plan::{MigrationState, Outcome, Refusal, RunReport, StepAction, StepReport, TargetStatus};
use crate::store::runs::{Goal, NewRun};
use crate::store::{EnvironmentLock, Store};
use across::Across;
use connect::with_driver;
use target::{Job, TargetOutcome};

/// Who causes a run and from what; written into history, store and audit.
#[derive(Debug, Clone)]
pub struct Actor {
    /// A login, or the machine's user name for ad hoc runs.
    pub by: String,
    /// The repository, for runs of the bot.
    pub repo: Option<RepoName>,
    /// The pull request, for runs of the bot.
    pub pr: Option<PrNumber>,
    /// The commit the migrations were read at.
    pub commit: Option<CommitSha>,
    /// The delivery that started it.
    pub correlation: Option<DeliveryId>,
}

impl Actor {
    /// How a run that they cause on a target begins in the store.
    fn run(&self, id: &RunId, action: StepAction, target: &Target, digest: Digest) -> NewRun {
        NewRun {
            id: id.clone(),
            action,
            environment: target.environment.clone(),
            repo: self.repo.clone(),
            pr: self.pr,
            commit: self.commit.clone(),
            by: self.by.clone(),
            correlation: self.correlation.clone(),
            digest,
            at: Utc::now(),
            goal: Vec::new(),
        }
    }
}

/// A database to run on; the URL is complete (no `${VAR}`) and secret.
#[derive(Debug, Clone)]
pub struct Target {
    /// The environment that owns it; `None` for an ad hoc run.
    pub environment: Option<EnvironmentName>,
    /// Its name.
    pub name: TargetName,
    /// Its kind.
    pub engine: Engine,
    /// How to reach it.
    pub url: SecretString,
}

/// What the caller asks for beyond "everything pending".
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// Stop after this version or id.
    pub to: Option<String>,
    /// Only the migrations of this service.
    pub service: Option<String>,
    /// Write nothing anywhere; tell what would be done.
    pub dry_run: bool,
    /// This plan is for somebody to look at: nothing runs with this connection, so what it may not do is only told.
    pub looks_only: bool,
    /// Bound on the whole run.
    pub timeout: Option<Duration>,
    /// What to do with migrations whose version is lower than an applied one.
    pub out_of_order: OutOfOrder,
    /// Leave the statements' texts out of the report.
    pub brief: bool,
    /// The risk of migrations by `unit/id`, as the linter judged it; others are judged by their words.
    pub risks: BTreeMap<String, Risk>,
    /// Stops the run before its next statement.
    pub cancel: Cancel,
    /// How long to wait for another runner on the same target; a minute if not given.
    pub lock_wait: Option<Duration>,
    /// How long a statement may wait for a lock of the database; three seconds if not given.
    pub lock_timeout: Option<Duration>,
    /// How long a step that could not get a lock is tried again; half a minute if not given.
    pub retry_for: Option<Duration>,
    /// The digest that was approved: anything else is refused.
    pub approved: Option<Digest>,
    /// A connection to the target that is being made already.
    #[cfg(feature = "postgres")]
    pub ahead: Ahead,
    /// The contract migrations that a person released, as [`Migration::release_key`].
    pub released: BTreeSet<String>,
    /// A person accepts that data is lost, also by taking steps back.
    pub accept_data_loss: bool,
    /// What the migrations themselves destroy was agreed to by those who approved them.
    pub loss_agreed: bool,
    /// What is undone was brought by this very run, and takes nothing away but what that made.
    pub by_itself: bool,
    /// How long a lock lives without a word from its holder, on servers that do not end it with the connection.
    pub lease: Option<Duration>,
    /// How long statements in batches go on.
    pub pace: Pace,
    /// When a backup is made first; never if not given.
    pub backup: Option<backup::BackupWish>,
    /// What opens the values that migrations hold sealed.
    pub opening: sealed::Opening,
    /// What is looked at before, between and after; nothing if not given.
    pub health: Option<health::HealthWish>,
    /// The run's id, where the caller wants to know it while the run goes on.
    pub run: Option<RunId>,
    /// Targets that come one group after the other, such as the regions of an environment: a group begins when the one
    /// before it has ended well. What no group names comes with the first.
    pub waves: Vec<Vec<TargetName>>,
    /// Migrations, as `unit/id`, that targets of the environment hold which this run does not reach: others may wait for
    /// them.
    pub held_elsewhere: BTreeSet<String>,
    /// Other targets of the environment, which a rollback looks at and never touches: what they hold may need what is
    /// undone.
    pub beside: Vec<Target>,
}

/// Why a run could not even be judged, or what became of it cannot be told from here.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The target cannot be reached (exit 5).
    #[error("{0}")]
    Unreachable(String),
    /// The store failed (exit 5).
    #[error("{0}")]
    Store(String),
}

impl From<crate::store::StoreError> for RunError {
    fn from(error: crate::store::StoreError) -> Self {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        RunError::Store(crate::redact::text(&text))
    }
}

/// What a run is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Work {
    Apply,
    /// Finishes an interrupted rollback if there is one, else everything pending.
    Resume,
    Rollback(Selector),
    Baseline,
}

/// Brings `targets` forward to `set`, one after the other, and tells how each step ended. An interrupted earlier run is
/// settled first. Stops at the first failure.
///
/// # Errors
/// When a target or the store cannot be reached; everything else is an outcome in the report.
pub async fn apply(
    store: &Store,
    set: &MigrationSet,
    targets: &[Target],
    actor: &Actor,
    options: &ApplyOptions,
) -> Result<RunReport, RunError> {
    apply_with(&Keeper::opened(store), set, targets, actor, options).await
}

/// The same with a store that is opened only if there is something to do.
///
/// # Errors
/// As [`apply`].
pub async fn apply_with(
    keeper: &Keeper,
    set: &MigrationSet,
    targets: &[Target],
    actor: &Actor,
    options: &ApplyOptions,
) -> Result<RunReport, RunError> {
    run_all(keeper, set, targets, actor, options, &Work::Apply).await
}

/// What [`apply`] would do. Writes nothing anywhere.
///
/// # Errors
/// When a target cannot be reached.
pub async fn plan(
    set: &MigrationSet,
    targets: &[Target],
    actor: &Actor,
    options: &ApplyOptions,
) -> Result<RunReport, RunError> {
    plan_with(&Keeper::none(), set, targets, actor, options).await
}

/// The same with a store, which is looked into where what the targets say is not enough.
///
/// # Errors
/// When a target or the store cannot be reached.
pub async fn plan_with(
    keeper: &Keeper,
    set: &MigrationSet,
    targets: &[Target],
    actor: &Actor,
    options: &ApplyOptions,
) -> Result<RunReport, RunError> {
    let options = ApplyOptions { dry_run: true, ..options.clone() };
    run_all(keeper, set, targets, actor, &options, &Work::Apply).await
}

/// Undoes what `selector` names, newest first.
///
/// # Errors
/// As [`apply`].
pub async fn rollback(
    keeper: &Keeper,
    set: &MigrationSet,
    targets: &[Target],
    actor: &Actor,
    options: &ApplyOptions,
    selector: Selector,
) -> Result<RunReport, RunError> {
    run_all(keeper, set, targets, actor, options, &Work::Rollback(selector)).await
}

/// Goes on after a crash: finishes an interrupted rollback, or an interrupted run forward.
///
/// # Errors
/// As [`apply`].
pub async fn resume(
    keeper: &Keeper,
    set: &MigrationSet,
    targets: &[Target],
    actor: &Actor,
    options: &ApplyOptions,
) -> Result<RunReport, RunError> {
    run_all(keeper, set, targets, actor, options, &Work::Resume).await
}

/// Records everything up to `options.to` as applied without running it.
///
/// # Errors
/// As [`apply`].
pub async fn baseline(
    keeper: &Keeper,
    set: &MigrationSet,
    targets: &[Target],
    actor: &Actor,
    options: &ApplyOptions,
) -> Result<RunReport, RunError> {
    run_all(keeper, set, targets, actor, options, &Work::Baseline).await
}

/// What each target says about the set; with a store, also where one is older than what was recorded of it. Writes nothing
/// anywhere.
///
/// # Errors
/// When a target or the store cannot be reached.
pub async fn status(
    store: Option<&Store>,
    set: &MigrationSet,
    targets: &[Target],
    released: &BTreeSet<String>,
) -> Result<Vec<TargetStatus>, RunError> {
    let mut out = Vec::with_capacity(targets.len());
    for target in targets {
        let recorded = store.map(|store| (store, set));
        let (set, _) = set.for_environment(target.environment.as_ref());
        let set = set.as_ref();
        let book = Book::of(set, &target.name, target.engine);
        let ((history, older), book, found, lock) = with_driver!(target, driver => {
            let (history, older) = settle::history_with(&mut driver, recorded).await?;
            let book = book.looking_around(history.is_empty());
            let found = driver.native(&book).await.map_err(unreachable)?;
            ((history, older), book, found, driver.holder().await.map_err(unreachable)?)
        });
        let native = Native::of(book, found, set, &target.name, target.engine);
        out.push(TargetStatus {
            target: target.name.clone(),
            engine: target.engine,
            lock,
            older,
            migrations: planner::statuses(
                set,
                &target.name,
                target.engine,
                &history,
                &native,
                released,
                target.environment.as_ref(),
            ),
        });
    }
    Ok(out)
}

/// How often a run is planned anew because others were faster.
const FASTER_OTHERS: u32 = 5;

async fn run_one(job: &Job<'_>) -> Result<TargetOutcome, RunError> {
    for _ in 0..FASTER_OTHERS {
        if let Some(outcome) = once(job).await? {
            return Ok(outcome);
        }
    }
    Ok(TargetOutcome::refused(vec![Refusal {
        reason: "locked".to_owned(),
        message: format!("other runs change `{}` again and again while this one waits for its lock", job.target.name),
        what_to_do: "wait until they have ended".to_owned(),
        needs_human: false,
    }]))
}

/// What [`run_once`] does, on the heap: connections of every engine would lie on the stack together.
fn once<'a>(job: &'a Job<'a>) -> BoxFuture<'a, Result<Option<TargetOutcome>, RunError>> {
    Box::pin(run_once(job))
}

/// `None` when the target was changed while its lock was waited for: what was judged is not what is there.
async fn run_once(job: &Job<'_>) -> Result<Option<TargetOutcome>, RunError> {
    #[cfg(feature = "postgres")]
    if job.target.engine == Engine::Postgresql {
        let driver = job.options.ahead.connect(&job.target.url).await.map_err(connect::unreachable)?;
        return target::on(driver, job).await;
    }
    with_driver!(job.target, driver => target::on(driver, job).await)
}

/// Everything that a run over several targets is called with.
#[derive(Clone, Copy)]
struct Call<'a> {
    keeper: &'a Keeper,
    set: &'a MigrationSet,
    targets: &'a [Target],
    actor: &'a Actor,
    options: &'a ApplyOptions,
    work: &'a Work,
}

async fn run_all(
    keeper: &Keeper,
    set: &MigrationSet,
    targets: &[Target],
    actor: &Actor,
    options: &ApplyOptions,
    work: &Work,
) -> Result<RunReport, RunError> {
    let began = Instant::now();
    let call = Call { keeper, set, targets, actor, options, work };
    let wish = options.health.as_ref().filter(|_| !options.dry_run && work != &Work::Baseline);
    let span = spans::of_run(targets, actor, options, work);
    // Boxed, as everything below that is large: a caller has a stack of its own.
    let ended = match wish {
        Some(wish) => Box::pin(health::around(&call, wish)).instrument(span.clone()).await,
        None => Box::pin(on_targets(&call)).instrument(span.clone()).await,
    };
    spans::run_ended(&span, &ended);
    if !options.dry_run {
        spans::tell_end(targets, &ended, began);
    }
    let mut report = finish(keeper, ended?, began).await;
    if matches!(work, Work::Apply | Work::Resume) {
        report.notes.extend(set.passed_over());
    }
    Ok(report)
}

async fn on_targets(call: &Call<'_>) -> Result<RunReport, RunError> {
    going(call).await.map(|(report, _)| report)
}

/// What [`carry_out`] does, on the heap.
fn going<'a>(call: &'a Call<'a>) -> BoxFuture<'a, Result<(RunReport, Vec<Goal>), RunError>> {
    Box::pin(carry_out(call))
}

/// The second part is what a plan of a rollback undoes, in order.
async fn carry_out(call: &Call<'_>) -> Result<(RunReport, Vec<Goal>), RunError> {
    let Call { keeper, set, targets, actor, options, work } = *call;
    let began = Instant::now();
    let digest = set.digest();
    let mut report = RunReport {
        environment: targets.first().and_then(|t| t.environment.clone()),
        ..RunReport::nothing(digest.clone(), options.run.clone().unwrap_or_else(RunId::generate))
    };
    if let Some(approved) = options.approved.as_ref().filter(|a| **a != digest) {
        report.blocked_by.push(Refusal {
            reason: "stale".to_owned(),
            message: format!("`{approved}` was approved, but the files are `{digest}`"),
            what_to_do: "ask for the approvals again".to_owned(),
            needs_human: false,
        });
        report.outcome = Outcome::Blocked;
        return Ok((report, Vec::new()));
    }
    if let Some(refusal) = frozen(keeper, actor, options, &report).await? {
        report.blocked_by.push(refusal);
        report.outcome = Outcome::Blocked;
        return Ok((report, Vec::new()));
    }
    let (set, elsewhere) = set.for_environment(report.environment.as_ref());
    let set = set.as_ref();
    report.notes.extend(elsewhere);
    let deadline = options.timeout.map(|t| began + t);
    let mut across = Box::pin(Across::of(call, set)).await?;
    if let (Some(across), Work::Rollback(_), false) = (&mut across, work, options.dry_run) {
        // What one target refuses must not be half done on another.
        let look = ApplyOptions { dry_run: true, run: Some(report.run.clone()), ..options.clone() };
        let (plan, goal) = going(&Call { options: &look, ..*call }).await?;
        if plan.outcome != Outcome::Planned {
            return Ok((plan, Vec::new()));
        }
        across.goal = goal;
    }
    let mut known: BTreeSet<String> = options.held_elsewhere.clone();
    let mut waves = in_waves(targets, &options.waves).into_iter();
    let mut waiting: Vec<&Target> = waves.next().unwrap_or_default();
    // A target whose next migration waits for another target's comes round again once that one has moved.
    while !waiting.is_empty() {
        let (mut later, mut moved, mut reasons) = (Vec::new(), false, Vec::new());
        let each: Vec<(Work, BTreeSet<String>)> = match &across {
            Some(across) => waiting.iter().map(|t| (across.work(t, work), across.known(t, &known))).collect(),
            None => Vec::new(),
        };
        let goal = across.as_ref().map_or(&[][..], |a| &a.goal);
        let jobs: Vec<Job<'_>> = waiting
            .iter()
            .enumerate()
            .map(|(n, target)| Job {
                keeper,
                set,
                digest: &digest,
                target,
                actor,
                options,
                run: &report.run,
                work: each.get(n).map_or(work, |(work, _)| work),
                known: each.get(n).map_or(&known, |(_, known)| known),
                goal,
                deadline,
                transactions: OnceLock::new(),
                kept: sealed::Kept::default(),
            })
            .collect();
        // Targets share nothing: they run side by side, each on its own connection.
        let ended = futures_util::future::join_all(jobs.iter().map(run_one)).await;
        drop(jobs);
        let mut lost = None;
        for (target, ended) in waiting.into_iter().zip(ended) {
            let outcome = match ended {
                Ok(outcome) => outcome,
                Err(error) => {
                    lost.get_or_insert((target, error));
                    continue;
                }
            };
            report.risk = report.risk.max(outcome.risk);
            moved |= across.as_mut().is_some_and(|a| a.ended(target, &outcome, options.dry_run));
            // What a target holds already may be what another one waits for.
            let known_before = known.len();
            if across.is_none() {
                known.extend(outcome.applied);
            }
            moved |= known.len() > known_before || !(outcome.steps.is_empty() || options.dry_run);
            report.ended.extend(outcome.ended.into_iter().filter(|r| !report.ended.contains(r)).collect::<Vec<_>>());
            // A plan of a target that came round again begins with what was planned for it before.
            let planned = |step: &StepReport| {
                options.dry_run && report.steps.iter().any(|s| s.target == step.target && s.migration == step.migration)
            };
            let new: Vec<StepReport> = outcome.steps.into_iter().filter(|s| !planned(s)).collect();
            report.steps.extend(new);
            report.blocked_by.extend(outcome.refusals);
            report.notes.extend(outcome.notes.into_iter().filter(|n| !report.notes.contains(n)).collect::<Vec<_>>());
            if let Some(backup) = outcome.backup {
                report.backup =
                    Some(report.backup.map_or_else(|| backup.clone(), |others| format!("{others}, {backup}")));
            }
            report.outcome = report.outcome.or_worse(outcome.outcome);
            if let Some(reason) = outcome.waits {
                later.push(target);
                reasons.push(reason);
            }
        }
        if let Some((target, error)) = lost {
            if report.steps.iter().all(|s| s.state == MigrationState::Pending) {
                return Err(error);
            }
            // What the others did must be told.
            report.outcome = report.outcome.or_worse(Outcome::Failed);
            report.blocked_by.push(Refusal {
                reason: "unreachable".to_owned(),
                message: format!("`{}`: {error}", target.name),
                what_to_do: "run again once it can be reached: it goes on from there".to_owned(),
                needs_human: false,
            });
        }
        if !matches!(report.outcome, Outcome::Planned | Outcome::Applied | Outcome::Nothing) {
            return Ok((report, Vec::new()));
        }
        if let Some(next) = if moved && !later.is_empty() { None } else { waves.next() } {
            // What waits for a target of the next group comes round with it.
            later.extend(next);
            waiting = later;
            continue;
        }
        if !moved {
            if !reasons.is_empty() {
                report.outcome = Outcome::Blocked;
            }
            report.blocked_by.extend(reasons);
            break;
        }
        waiting = later;
    }
    Ok((report, across.map_or_else(Vec::new, |a| a.goal)))
}

/// The targets in the groups that come one after the other.
fn in_waves<'t>(targets: &'t [Target], waves: &[Vec<TargetName>]) -> Vec<Vec<&'t Target>> {
    let place = |t: &Target| waves.iter().position(|names| names.contains(&t.name)).unwrap_or(0);
    let count = waves.len().max(1);
    let group = |n: usize| targets.iter().filter(|t| place(t) == n).collect::<Vec<_>>();
    (0..count).map(group).filter(|group| !group.is_empty()).collect()
}

/// Records how the run ended, if it began.
async fn finish(keeper: &Keeper, mut report: RunReport, began: Instant) -> RunReport {
    report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Some(store) = keeper.if_open() {
        // The steps are recorded; a run without its end is settled by the next one.
        let _ = store.finish_run(&report.run, report.outcome, Utc::now()).await;
    }
    report
}

/// A freeze of the environment by a person.
async fn frozen(
    keeper: &Keeper,
    actor: &Actor,
    options: &ApplyOptions,
    report: &RunReport,
) -> Result<Option<Refusal>, RunError> {
    let Some(environment) = report.environment.as_ref().filter(|_| !options.dry_run) else { return Ok(None) };
    let store = keeper.open().await?;
    let lock = store.environment_lock(actor.repo.as_ref(), environment).await?;
    Ok(lock.map(|l| freeze(environment, &l)))
}

/// A freeze of `environment` as the reason why nothing runs.
pub fn freeze(environment: &EnvironmentName, lock: &EnvironmentLock) -> Refusal {
    Refusal {
        reason: "locked".to_owned(),
        message: format!(
            "`{environment}` is frozen by {} since {}: {}",
            lock.by,
            lock.at.format("%Y-%m-%d %H:%M UTC"),
            lock.reason
        ),
        what_to_do: format!("ask them, or `godwit unlock --env {environment}`"),
        needs_human: false,
    }
}

/// The outcome that refusals make.
fn refused(refusals: &[Refusal]) -> Outcome {
    if refusals.iter().any(|r| r.needs_human) { Outcome::NeedsHuman } else { Outcome::Blocked }
}

/// Steps of a plan that is only told: with what happens while they run, and after a crash.
fn planned_steps(steps: &[crate::plan::Step]) -> Vec<StepReport> {
    let told = |step: &crate::plan::Step| StepReport {
        probe: Some(step.probe.clone()),
        locks: step.locks.clone(),
        ..step_report(step, MigrationState::Pending)
    };
    steps.iter().map(told).collect()
}

/// Steps of a plan that were not run, for the report.
fn pending_steps(steps: &[crate::plan::Step]) -> Vec<StepReport> {
    steps.iter().map(|s| step_report(s, MigrationState::Pending)).collect()
}

fn step_report(step: &crate::plan::Step, state: MigrationState) -> StepReport {
    StepReport {
        unit: step.unit.clone(),
        migration: step.migration.clone(),
        target: step.target.clone(),
        engine: step.engine,
        action: step.action,
        recovery: step.recovery,
        in_transaction: step.in_transaction,
        recovery_reason: step.recovery_reason.clone(),
        probe: None,
        locks: None,
        rows: None,
        statements: step.statements.iter().map(|s| s.sql.clone()).collect(),
        state,
        notices: Vec::new(),
        verified: 0,
        duration_ms: 0,
        error: None,
    }
}

fn detail(options: &ApplyOptions) -> Detail {
    match (options.brief, options.dry_run) {
        (true, _) => Detail::Brief,
        (false, true) => Detail::Plan,
        (false, false) => Detail::Full,
    }
}

fn risk_of(options: &ApplyOptions, migration: &Migration) -> Risk {
    if options.risks.is_empty() {
        return planner::plain_risk(migration);
    }
    options.risks.get(&migration.reference()).copied().unwrap_or_else(|| planner::plain_risk(migration))
}
