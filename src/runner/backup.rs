//! Backups around runs: made with the target's lock held and before anything of a run is on its way, brought back under the
//! same lock and above every earlier fencing token.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono::Utc;
use secrecy::SecretString;

use super::connect::with_driver;
use super::target::{Job, give_back, refusal_of};
use super::{Actor, Keeper, RunError, Target};
use crate::backup::meta::{Meta, Scope};
pub use crate::backup::seal::Keys;
use crate::backup::{self as engine, BackupError, Made, Order, Restored, Subject};
use crate::drivers::{Driver, DriverError, Session, SessionOptions, failpoint};
use crate::ids::{Checksum, Engine, Epoch, MigrationId, RunId, TargetName};
use crate::migration::{Migration, Script};
use crate::plan::backup::{Coming, Question, Why, begins_major, touched, why};
use crate::plan::planner::history_hash;
use crate::plan::{HistoryRow, MigrationPlan, MigrationState, Outcome, Refusal, Step, StepAction};
use crate::store::runs::{StepIntent, StepRecord, TargetIntent};
use crate::store::{AuditEntry, Store};

/// What stands in a target's history while it is between its old and its restored state.
pub const RESTORING: &str = "godwit-restore";

/// When backups are made, and where they go.
#[derive(Debug, Clone, Default)]
pub struct BackupWish {
    /// The folder.
    pub dir: PathBuf,
    /// The environment requires one before every run.
    pub required: bool,
    /// Somebody asks for one.
    pub asked: bool,
    /// Of everything, also where a part is enough.
    pub whole: bool,
    /// Only these keys or indices, for a backup that no run needs.
    pub only: Vec<String>,
    /// Migrations (`unit/id`) that take data away, as the linter found.
    pub destroys: BTreeSet<String>,
    /// Another server to verify on.
    pub scratch: Option<SecretString>,
    /// Keys for encryption.
    pub keys: Keys,
    /// The regions of targets.
    pub regions: BTreeMap<TargetName, String>,
}

impl BackupWish {
    fn subject(&self, target: &Target) -> Subject {
        Subject {
            environment: target.environment.clone(),
            region: self.regions.get(&target.name).cloned(),
            name: target.name.clone(),
            engine: target.engine,
            url: target.url.clone(),
        }
    }
}

/// Why a backup is made before this plan, if one is; `lost` are the migrations whose rollback loses what the target holds.
fn reason(job: &Job<'_>, plan: &MigrationPlan, lost: &BTreeSet<MigrationId>) -> Option<Why> {
    let wish = job.options.backup.as_ref()?;
    let destroys = |step: &Step| {
        let name =
            if step.unit.is_empty() { step.migration.to_string() } else { format!("{}/{}", step.unit, step.migration) };
        match step.action {
            StepAction::Apply | StepAction::Undo => {
                wish.destroys.contains(&name) || script_of(job, step).is_some_and(|s| s.destroys(step.engine))
            }
            // A computed way back has no script that says so.
            StepAction::Rollback => {
                lost.contains(&step.migration) || script_of(job, step).is_some_and(|s| s.destroys(step.engine))
            }
            StepAction::Baseline => false,
        }
    };
    let coming = |step: &Step| Coming {
        migration: step.migration.to_string(),
        major: migration_of(job, step).is_some_and(begins_major),
        action: step.action,
        destroys: destroys(step),
        wanted_by: migration_of(job, step)
            .zip(job.target.environment.as_ref())
            .and_then(|(migration, environment)| job.set.wants_backup(migration, environment))
            .map(str::to_owned),
    };
    why(&Question {
        environment: job.target.environment.as_ref(),
        required: wish.required,
        asked: wish.asked,
        steps: &plan.steps.iter().map(coming).collect::<Vec<_>>(),
    })
}

fn migration_of<'a>(job: &Job<'a>, step: &Step) -> Option<&'a Migration> {
    job.set.migrations.iter().find(|m| m.id == step.migration && m.unit == step.unit)
}

fn script_of<'a>(job: &Job<'a>, step: &Step) -> Option<&'a Script> {
    super::locked::script_of(migration_of(job, step)?, step.action)
}

/// How much is copied before this plan.
fn scope(job: &Job<'_>, plan: &MigrationPlan, wish: &BackupWish) -> Scope {
    match job.target.engine {
        Engine::Postgresql | Engine::Sqlite | Engine::Mongodb => Scope::All,
        Engine::Redis | Engine::Elasticsearch if wish.whole => Scope::All,
        Engine::Redis | Engine::Elasticsearch => {
            // A computed way back touches what the way forward did.
            let script = |step| script_of(job, step).or_else(|| migration_of(job, step).map(|m| &m.up));
            let texts = plan.steps.iter().filter_map(script).map(|script| script.text.as_str());
            touched(job.target.engine, texts).map_or(Scope::All, Scope::Only)
        }
    }
}

/// What a plan says about the backup that its run makes first.
pub(super) fn announced(job: &Job<'_>, plan: &MigrationPlan, lost: &BTreeSet<MigrationId>) -> Option<String> {
    let wish = job.options.backup.as_ref()?;
    let why = reason(job, plan, lost)?;
    let of = match scope(job, plan, wish) {
        Scope::All => "all of it".to_owned(),
        Scope::Only(names) => names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "),
    };
    Some(format!("{}: a backup of {of} is made and verified first ({why})", job.target.name))
}

/// Makes the backup that a plan needs; the second part is why there is none, which ends the run.
pub(super) async fn before(
    store: &Store,
    job: &Job<'_>,
    plan: &MigrationPlan,
    lost: &BTreeSet<MigrationId>,
) -> Result<Result<Option<Made>, Refusal>, RunError> {
    let (Some(wish), Some(why)) = (job.options.backup.as_ref(), reason(job, plan, lost)) else { return Ok(Ok(None)) };
    let order = Order {
        dir: wish.dir.clone(),
        scope: scope(job, plan, wish),
        scratch: wish.scratch.clone(),
        keys: wish.keys.clone(),
        reason: why.to_string(),
        by: job.actor.by.clone(),
        run: job.run.clone(),
        commit: job.actor.commit.clone(),
        pr: job.actor.pr,
        pending: plan.steps.iter().map(|s| s.migration.to_string()).collect(),
    };
    let made = engine::make(&wish.subject(job.target), &order).await;
    audit_backup(store, job.actor, job.target, job.run, &order, &made).await?;
    match made {
        Ok(made) => Ok(Ok(Some(made))),
        Err(error) => Ok(Err(Refusal {
            reason: "backup".to_owned(),
            message: format!("no backup of `{}` could be made ({why}): {error}", job.target.name),
            what_to_do: "nothing was changed; mend that and run again".to_owned(),
            needs_human: false,
        })),
    }
}

async fn audit_backup(
    store: &Store,
    actor: &Actor,
    target: &Target,
    run: &RunId,
    order: &Order,
    made: &Result<Made, BackupError>,
) -> Result<(), RunError> {
    let mut entry = AuditEntry::new(Utc::now(), &actor.by, "backup", if made.is_ok() { "verified" } else { "failed" });
    fill(&mut entry, actor, target, run);
    entry.basis = Some(order.reason.clone());
    match made {
        Ok(made) => {
            entry.details.insert("backup".to_owned(), made.meta.backup_file.clone());
            entry.details.insert("sha256".to_owned(), made.meta.sha256.clone());
            entry.details.insert("size_bytes".to_owned(), made.meta.size_bytes.to_string());
            if let Some(verified) = &made.meta.verified {
                entry.details.insert("verified_into".to_owned(), verified.into.clone());
                entry.details.insert("verified_entries".to_owned(), verified.counted.to_string());
            }
        }
        Err(error) => {
            entry.details.insert("error".to_owned(), crate::redact::text(&error.to_string()));
        }
    }
    store.append_audit(entry).await?;
    Ok(())
}

fn fill(entry: &mut AuditEntry, actor: &Actor, target: &Target, run: &RunId) {
    entry.repo.clone_from(&actor.repo);
    entry.pr = actor.pr;
    entry.commit.clone_from(&actor.commit);
    entry.correlation.clone_from(&actor.correlation);
    entry.environment.clone_from(&target.environment);
    entry.target = Some(target.name.clone());
    entry.run = Some(run.clone());
}

/// Why a backup or a restore was not done.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// The target is busy, frozen or in a state that forbids it.
    #[error("{}; {}", .0.message, .0.what_to_do)]
    Refused(Refusal),
    /// The backup itself.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The target or the store cannot be reached.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<DriverError> for NotDone {
    fn from(error: DriverError) -> Self {
        refusal_of(error).map_or_else(NotDone::Run, NotDone::Refused)
    }
}

impl From<crate::store::StoreError> for NotDone {
    fn from(error: crate::store::StoreError) -> Self {
        NotDone::Run(error.into())
    }
}

/// Makes a backup of a target that is not about to be changed, with its lock held.
///
/// # Errors
/// Why there is none.
pub async fn backup(keeper: &Keeper, target: &Target, actor: &Actor, wish: &BackupWish) -> Result<Made, NotDone> {
    let work = Backing { store: keeper.open().await?, target, actor, wish, run: RunId::generate() };
    on_target(target, &work).await?
}

/// Brings a backup back into its target, and lets the store know that the target is older than it was.
///
/// # Errors
/// Why it was not done; [`BackupError::Half`] when the target is between its old and its restored state.
pub async fn restore(
    keeper: &Keeper,
    target: &Target,
    actor: &Actor,
    wish: &BackupWish,
    file: &Path,
) -> Result<Recovered, NotDone> {
    let meta = engine::inspect(&wish.subject(target), file).await?;
    let store = keeper.open().await?;
    if let Some(environment) = &target.environment
        && let Some(lock) = store.environment_lock(actor.repo.as_ref(), environment).await?
    {
        return Err(NotDone::Refused(Refusal {
            reason: "locked".to_owned(),
            message: format!("`{environment}` is frozen by {}: {}", lock.by, lock.reason),
            what_to_do: format!("ask them, or `godwit unlock --env {environment}`"),
            needs_human: false,
        }));
    }
    let run = RunId::generate();
    let work = Restoring { backing: Backing { store, target, actor, wish, run }, file, meta };
    on_target(target, &work).await?
}

/// What came of a restore.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// What is there now.
    pub restored: Restored,
    /// What was brought back.
    pub meta: Meta,
    /// Migrations that the store held for applied and the target, as it is now, does not have.
    pub unapplied: Vec<String>,
}

/// Something that is done with a driver, whatever its type is.
trait OnTarget {
    type Gives;

    async fn with<D: Driver>(&self, driver: D) -> Result<Self::Gives, NotDone>;
}

async fn on_target<W: OnTarget>(target: &Target, work: &W) -> Result<Result<W::Gives, NotDone>, RunError> {
    with_driver!(target, driver => Ok(work.with(driver).await))
}

struct Backing<'a> {
    store: &'a Store,
    target: &'a Target,
    actor: &'a Actor,
    wish: &'a BackupWish,
    run: RunId,
}

impl Backing<'_> {
    async fn locked<D: Driver>(&self, driver: D) -> Result<D::Session, NotDone> {
        let options = SessionOptions::new(self.run.clone(), &self.actor.by, &self.target.name);
        Ok(driver.lock(&options).await?)
    }
}

impl OnTarget for Backing<'_> {
    type Gives = Made;

    async fn with<D: Driver>(&self, driver: D) -> Result<Made, NotDone> {
        let session = self.locked(driver).await?;
        failpoint::hit("lock_post");
        let order = Order {
            dir: self.wish.dir.clone(),
            scope: if self.wish.only.is_empty() { Scope::All } else { Scope::Only(self.wish.only.clone()) },
            scratch: self.wish.scratch.clone(),
            keys: self.wish.keys.clone(),
            reason: Why::Asked.to_string(),
            by: self.actor.by.clone(),
            run: self.run.clone(),
            commit: self.actor.commit.clone(),
            pr: self.actor.pr,
            pending: Vec::new(),
        };
        let made = engine::make(&self.wish.subject(self.target), &order).await;
        give_back(session).await;
        audit_backup(self.store, self.actor, self.target, &self.run, &order, &made).await?;
        Ok(made?)
    }
}

/// Writes rows of a backup over those of the history; what has no row in it counts as undone.
async fn rewrite<S: Session>(
    session: &mut S,
    rows: &[HistoryRow],
    epoch: Epoch,
    run: &RunId,
) -> Result<(), DriverError> {
    let same = |a: &HistoryRow, b: &HistoryRow| a.unit == b.unit && a.id == b.id;
    let now = session.history().await?;
    for row in rows {
        if now.iter().find(|n| same(n, row)).is_none_or(|n| n.state != row.state || n.checksum != row.checksum) {
            session.write_row(&HistoryRow { epoch, run: run.clone(), ..row.clone() }).await?;
        }
    }
    for row in now.into_iter().filter(|n| n.id.as_str() != RESTORING && !rows.iter().any(|r| same(r, n))) {
        let state = MigrationState::RolledBack;
        session
            .write_row(&HistoryRow { epoch, run: run.clone(), state, error: None, statements_done: 0, ..row })
            .await?;
    }
    Ok(())
}

struct Restoring<'a> {
    backing: Backing<'a>,
    file: &'a Path,
    meta: Meta,
}

impl OnTarget for Restoring<'_> {
    type Gives = Recovered;

    async fn with<D: Driver>(&self, driver: D) -> Result<Recovered, NotDone> {
        let mut session = self.backing.locked(driver).await?;
        let result = self.bring_back(&mut session).await;
        let told = self.audit(&result).await;
        give_back(session).await;
        let recovered = result?;
        told?;
        if self.backing.target.environment.is_some() {
            // What stands there now is right: it is what the backup says.
            super::drift::accept(self.backing.store, std::slice::from_ref(self.backing.target), self.backing.actor)
                .await?;
        }
        Ok(recovered)
    }
}

impl Restoring<'_> {
    async fn bring_back<S: Session>(&self, session: &mut S) -> Result<Recovered, NotDone> {
        let Backing { store, target, wish, run, .. } = &self.backing;
        let before = match session.history().await {
            // What cannot be read any more may be why it is restored.
            Err(DriverError::History(_) | DriverError::Statement(_)) => Vec::new(),
            other => other?,
        };
        let mut alive: Vec<RunId> =
            before.iter().filter(|r| r.state == MigrationState::Running).map(|r| r.run.clone()).collect();
        alive.sort();
        alive.dedup();
        session.settle_orphans(&alive).await?;
        let at_least = super::settle::highest_epoch(store, session.fingerprint(), &before).await?;
        let mut epoch = session.fence(at_least).await?;
        if engine::atomicity(target.engine).is_some() {
            session.write_row(&self.marker(epoch)).await?;
        }
        let restored = engine::bring_back(&wish.subject(target), self.file, &self.meta, &wish.keys, epoch).await?;
        if let Some(rows) = &restored.history {
            rewrite(session, rows, epoch, run).await?;
        }
        let was = session.fingerprint().to_owned();
        session.identify().await?;
        let history = session.history().await?;
        if session.fingerprint() != was {
            // The backup is from before the database was made anew: what is known of that one holds from here on.
            let at_least = super::settle::highest_epoch(store, session.fingerprint(), &history).await?;
            epoch = session.fence(at_least.max(epoch)).await?;
        }
        if history.iter().any(|r| r.id.as_str() == RESTORING) {
            // A part of the target was restored, and not its history.
            session
                .write_row(&HistoryRow { state: MigrationState::RolledBack, error: None, ..self.marker(epoch) })
                .await?;
        }
        let unapplied = self.agree(session.fingerprint(), epoch, &history).await?;
        Ok(Recovered { restored, meta: self.meta.clone(), unapplied })
    }

    /// Stands in the history while the target is half restored, and keeps every run away from it.
    fn marker(&self, epoch: Epoch) -> HistoryRow {
        let now = Utc::now();
        let id = MigrationId::new(RESTORING).expect("a plain word is an id");
        HistoryRow {
            unit: String::new(),
            version: String::new(),
            checksum: Checksum::new(format!("sha256:{}", self.meta.sha256)).expect("the file's checksum was compared"),
            id,
            state: MigrationState::NeedsHuman,
            action: StepAction::Baseline,
            epoch,
            run: self.backing.run.clone(),
            started_at: now,
            finished_at: Some(now),
            duration_ms: 0,
            by: self.backing.actor.by.clone(),
            pr: None,
            commit: None,
            statements_done: 0,
            error: Some(format!("a restore was cut short: run `{}` again", self.meta.restore_command)),
        }
    }

    /// Lets the store's record agree with the target's history, as far as the restore is the reason that it does not.
    async fn agree(&self, fingerprint: &str, epoch: Epoch, history: &[HistoryRow]) -> Result<Vec<String>, NotDone> {
        let Backing { store, target, actor, run, .. } = &self.backing;
        let row = |unit: &str, id: &MigrationId| {
            history
                .iter()
                .find(|r| &r.id == id && (r.unit == unit || unit.is_empty()))
                .or_else(|| history.iter().find(|r| &r.id == id))
        };
        let changed: Vec<(String, MigrationId, MigrationState, Option<&HistoryRow>)> = store
            .ledger(fingerprint)
            .await?
            .into_iter()
            .filter_map(|entry| {
                let row = row(&entry.unit, &entry.migration);
                let now = match row.map(|r| r.state) {
                    Some(MigrationState::Applied) => MigrationState::Applied,
                    Some(_) | None => MigrationState::RolledBack,
                };
                (now != entry.state).then_some((entry.unit, entry.migration, now, row))
            })
            .collect();
        let nothing = crate::migration::MigrationSet::default().digest();
        let new = actor.run(run, StepAction::Baseline, target, nothing);
        let intent = TargetIntent {
            target: target.name.clone(),
            engine: target.engine,
            fingerprint: fingerprint.to_owned(),
            epoch,
            plan_hash: format!("sha256:{}", self.meta.sha256),
            history_hash: history_hash(history),
            steps: changed
                .iter()
                .enumerate()
                .map(|(n, (unit, migration, _, row))| StepIntent {
                    position: i64::try_from(n).unwrap_or(i64::MAX),
                    unit: unit.clone(),
                    migration: migration.to_string(),
                    checksum: row.map_or_else(String::new, |r| r.checksum.to_string()),
                    action: "restore",
                    recovery: "atomic",
                    recovery_reason: "the history came back with the backup".to_owned(),
                })
                .collect(),
        };
        store.record_intents(&new, &intent).await?;
        let records: Vec<StepRecord> = changed
            .iter()
            .enumerate()
            .map(|(n, (_, _, state, _))| StepRecord {
                position: i64::try_from(n).unwrap_or(i64::MAX),
                state: state.as_str(),
                duration_ms: 0,
                error: None,
            })
            .collect();
        store.record_steps(run, &target.name, &records, None).await?;
        store.finish_run(run, Outcome::Applied, Utc::now()).await?;
        for open in store.unfinished_runs(fingerprint).await? {
            store.interrupt_run(&open.run, Utc::now()).await?;
        }
        Ok(changed
            .into_iter()
            .filter(|(_, _, state, _)| *state == MigrationState::RolledBack)
            .map(|(_, migration, _, _)| migration.to_string())
            .collect())
    }

    async fn audit(&self, result: &Result<Recovered, NotDone>) -> Result<(), NotDone> {
        let Backing { store, target, actor, run, .. } = &self.backing;
        let word = match result {
            Ok(_) => "ok",
            Err(NotDone::Backup(BackupError::Half(_))) => "half",
            Err(_) => "failed",
        };
        let mut entry = AuditEntry::new(Utc::now(), &actor.by, "restore", word);
        fill(&mut entry, actor, target, run);
        entry.details.insert("backup".to_owned(), self.meta.backup_file.clone());
        entry.details.insert("sha256".to_owned(), self.meta.sha256.clone());
        entry.details.insert("made_at".to_owned(), self.meta.created_at.to_rfc3339());
        match result {
            Ok(recovered) => {
                for name in &recovered.unapplied {
                    entry.details.insert(format!("{}/{name}", target.name), "no longer applied".to_owned());
                }
            }
            Err(error) => {
                entry.details.insert("error".to_owned(), crate::redact::text(&error.to_string()));
            }
        }
        store.append_audit(entry).await?;
        Ok(())
    }
}
