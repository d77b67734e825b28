//! What would be done and what came of it, as data. Pure: `planner` decides, `runner` carries out and fills in.

pub mod backup;
pub mod diagnosis;
pub mod drift;
pub mod health;
pub mod loss;
pub mod planner;
pub mod rehearsal;
pub mod terms;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{
    Checksum, CommitSha, Digest, Engine, EnvironmentName, Epoch, MigrationId, PrNumber, Risk, RunId, TargetName,
};

/// Why a crash in the middle of a step cannot hurt (RECOVERY 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecoveryClass {
    /// Effect and history row commit together in the target.
    Atomic,
    /// Not atomic, but a read-only probe tells not started, in progress, done or broken.
    Verifiable,
    /// Running it again converges.
    Idempotent,
    /// Nothing can be proved: a crash ends in `needs_human`.
    Manual,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepAction {
    /// Run the forward script.
    Apply,
    /// Run the backward script.
    Rollback,
    /// Record as applied without running.
    Baseline,
    /// Take back by itself what a failed forward script had completed.
    Undo,
}

/// The state of a migration on a target (INTERFACE 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationState {
    /// Not applied.
    Pending,
    /// A run has begun it and not said how it ended.
    Running,
    /// Applied and recorded.
    Applied,
    /// Tried; the target is as before.
    Failed,
    /// Was applied, then undone.
    RolledBack,
    /// What the target holds cannot be proved; `godwit resolve` settles it.
    NeedsHuman,
}

impl StepAction {
    /// Its name in JSON, in the store and in the target's history.
    pub fn as_str(self) -> &'static str {
        match self {
            StepAction::Apply => "apply",
            StepAction::Rollback => "rollback",
            StepAction::Baseline => "baseline",
            StepAction::Undo => "undo",
        }
    }

    /// The action of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [StepAction::Apply, StepAction::Rollback, StepAction::Baseline, StepAction::Undo]
            .into_iter()
            .find(|a| a.as_str() == name)
    }
}

impl RecoveryClass {
    /// Its name in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            RecoveryClass::Atomic => "atomic",
            RecoveryClass::Verifiable => "verifiable",
            RecoveryClass::Idempotent => "idempotent",
            RecoveryClass::Manual => "manual",
        }
    }

    /// The class of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [RecoveryClass::Atomic, RecoveryClass::Verifiable, RecoveryClass::Idempotent, RecoveryClass::Manual]
            .into_iter()
            .find(|c| c.as_str() == name)
    }
}

impl MigrationState {
    /// Every state with its name in JSON, in the store and in the target's history.
    pub const ALL: [(MigrationState, &'static str); 6] = [
        (MigrationState::Pending, "pending"),
        (MigrationState::Running, "running"),
        (MigrationState::Applied, "applied"),
        (MigrationState::Failed, "failed"),
        (MigrationState::RolledBack, "rolled_back"),
        (MigrationState::NeedsHuman, "needs_human"),
    ];

    /// Its name in JSON, in the store and in the target's history.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(s, _)| *s == self).map_or("", |(_, n)| n)
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(s, _)| *s)
    }
}

/// How a plan or a run ended (INTERFACE 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Only planned.
    Planned,
    /// Every step was applied.
    Applied,
    /// There was nothing to do.
    Nothing,
    /// A step failed; what could be undone was undone.
    Failed,
    /// Something forbids the run: approval, lock, window, policy, order.
    Blocked,
    /// A step's state cannot be proved.
    NeedsHuman,
}

impl Outcome {
    /// Its name in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Planned => "planned",
            Outcome::Applied => "applied",
            Outcome::Nothing => "nothing",
            Outcome::Failed => "failed",
            Outcome::Blocked => "blocked",
            Outcome::NeedsHuman => "needs_human",
        }
    }

    /// The one of two that weighs more, for what both are part of.
    #[must_use]
    pub fn or_worse(self, other: Self) -> Self {
        let weight = |outcome: Self| match outcome {
            Outcome::Nothing => 0,
            Outcome::Planned => 1,
            Outcome::Applied => 2,
            Outcome::Blocked => 3,
            Outcome::Failed => 4,
            Outcome::NeedsHuman => 5,
        };
        if weight(other) > weight(self) { other } else { self }
    }
}

/// One row of a target's history: what the target itself says about a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// The unit (directory) the migration is numbered in.
    pub unit: String,
    /// Name within the unit.
    pub id: MigrationId,
    /// Version as written.
    pub version: String,
    /// Of the forward script as it was applied.
    pub checksum: Checksum,
    /// Where it stands.
    pub state: MigrationState,
    /// What the run that wrote the row last was about; with `running` it tells which script is half done.
    pub action: StepAction,
    /// The fencing token of the run that wrote the row last.
    pub epoch: Epoch,
    /// The run that wrote the row last.
    pub run: RunId,
    /// When it was begun.
    pub started_at: DateTime<Utc>,
    /// When it ended, if it did.
    pub finished_at: Option<DateTime<Utc>>,
    /// Milliseconds it took.
    pub duration_ms: i64,
    /// Who caused it: a login, or a user name of the machine for ad hoc runs.
    pub by: String,
    /// The pull request it came from.
    pub pr: Option<PrNumber>,
    /// The commit it was read at.
    pub commit: Option<CommitSha>,
    /// For a script run statement by statement: how many are known done.
    pub statements_done: i32,
    /// What went wrong, if something did.
    pub error: Option<String>,
}

impl HistoryRow {
    /// Undoing it was begun and did not end: only `resume` goes on, from where it stopped.
    pub fn is_half_undone(&self) -> bool {
        self.action == StepAction::Rollback && matches!(self.state, MigrationState::Running | MigrationState::Failed)
    }

    /// It failed, and something that it did, or something that was to be taken back, may be there.
    pub fn failed_half_way(&self) -> bool {
        self.state == MigrationState::Failed && (self.statements_done > 0 || self.action != StepAction::Apply)
    }
}

/// One statement of a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlannedStatement {
    /// The text as it will be sent.
    pub sql: String,
    /// Line of the file (from 1) at which it starts.
    pub line: u32,
    /// The recovery class of this statement where the step runs statement by statement.
    pub recovery: RecoveryClass,
    /// Why it is of that class.
    #[serde(default)]
    pub why: String,
}

/// A lock that a step takes on something that was there before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TakenLock {
    /// The table, view or index.
    pub object: String,
    /// In SQL's words: `ACCESS EXCLUSIVE`.
    pub mode: String,
}

/// One migration, one direction, one target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// The unit of the migration.
    pub unit: String,
    /// The migration.
    pub migration: MigrationId,
    /// Its version as written.
    pub version: String,
    /// The target it runs on.
    pub target: TargetName,
    /// The kind of database.
    pub engine: Engine,
    /// What is done.
    pub action: StepAction,
    /// The weakest class of its statements.
    pub recovery: RecoveryClass,
    /// Why it is of that class.
    pub recovery_reason: String,
    /// What is looked at after a crash to tell how far it came.
    #[serde(default)]
    pub probe: String,
    /// The locks that it takes by name; `None` where nobody asked, or nothing can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locks: Option<Vec<TakenLock>>,
    /// `true`: one transaction with the history row. `false`: statement by statement.
    pub in_transaction: bool,
    /// What is sent, in order.
    pub statements: Vec<PlannedStatement>,
    /// The file it came from.
    pub path: String,
    /// Checksum of the forward script.
    pub checksum: Checksum,
    /// Its risk.
    pub risk: Risk,
    /// Whether a backward script exists.
    pub reversible: bool,
    /// How its statement in batches goes, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<crate::migration::Backfill>,
}

/// Everything one run will do to one target; nothing is left to choose.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MigrationPlan {
    /// The environment; `None` for an ad hoc run.
    pub environment: Option<EnvironmentName>,
    /// The target.
    pub target: TargetName,
    /// Digest of the migration set the plan was made from.
    pub digest: Digest,
    /// Hash over the history the plan was made for; if the history moved, the plan is stale.
    pub history_hash: String,
    /// The highest risk of its steps.
    pub risk: Risk,
    /// In order.
    pub steps: Vec<Step>,
}

/// Why nothing may run, for a person; `what_to_do` names the command or the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable kebab-case word: `edited`, `missing`, `out-of-order`, `dirty`, `dependency`, `mixed-transaction`, `psql-command`, `own-tables`,
    /// `invalid-set`, `no-down`, `dependants`, `no-target`, `already-applied`, `locked`, `approval`, `policy`, `promotion`, `drift`, `stale`, `health`, `health-check`.
    pub reason: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub what_to_do: String,
    /// Whether only a person can settle it (exit 4) rather than a change of circumstances (exit 3).
    pub needs_human: bool,
}

/// What reports of earlier versions leave out.
fn usually() -> bool {
    true
}

/// Whether there is nothing to tell.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_none(count: &usize) -> bool {
    *count == 0
}

/// What came of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// The unit of the migration.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// The migration.
    pub migration: MigrationId,
    /// The target.
    pub target: TargetName,
    /// The kind of database.
    pub engine: Engine,
    /// What was done.
    pub action: StepAction,
    /// Its recovery class.
    pub recovery: RecoveryClass,
    /// Whether it is one transaction; else every statement commits by itself.
    #[serde(default = "usually")]
    pub in_transaction: bool,
    /// Why it is of that class.
    #[serde(default)]
    pub recovery_reason: String,
    /// What is looked at after a crash to tell how far it came; in a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// The locks that it takes by name; in a plan, on PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locks: Option<Vec<TakenLock>>,
    /// Rows, documents or keys changed, where the server tells.
    #[serde(default)]
    pub rows: Option<u64>,
    /// The statements' texts.
    pub statements: Vec<String>,
    /// Where it stands now.
    pub state: MigrationState,
    /// What the server said meanwhile, such as `RAISE NOTICE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Queries of the script that returned what they say they should.
    #[serde(default, skip_serializing_if = "is_none")]
    pub verified: usize,
    /// Milliseconds it took.
    pub duration_ms: u64,
    /// What went wrong, with file, line and what was undone.
    pub error: Option<StepError>,
}

/// Where one migration stands on one target; an entry of `status --format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationStatus {
    /// Name within its unit.
    pub id: MigrationId,
    /// The unit (directory).
    pub unit: String,
    /// Where it stands.
    pub state: MigrationState,
    /// What brought it there: `baseline` where it was only recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<StepAction>,
    /// When it was applied, or last tried.
    pub applied_at: Option<DateTime<Utc>>,
    /// Who caused it.
    pub by: Option<String>,
    /// Milliseconds it took.
    pub duration_ms: Option<i64>,
    /// The pull request it came from.
    pub pr: Option<PrNumber>,
    /// The commit it was read at.
    pub commit: Option<CommitSha>,
    /// What is wrong with it: edited since, its file gone, the error of the last try.
    pub note: Option<String>,
}

/// What a history row says of a migration that `reset` had its target forget.
pub const FORGOTTEN: &str = "forgotten by `godwit reset`; what it changed is still there";

impl MigrationStatus {
    /// Whether it was there before Godwit was, and is only recorded.
    pub fn is_adopted(&self) -> bool {
        self.state == MigrationState::Applied && self.action == Some(StepAction::Baseline)
    }

    /// Whether it was forgotten, rather than rolled back.
    pub fn is_reset(&self) -> bool {
        self.state == MigrationState::RolledBack && self.note.as_deref() == Some(FORGOTTEN)
    }
}

/// What a server can do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Its version, as it says it.
    pub version: String,
    /// Whether several changes can commit together.
    pub transactions: bool,
    /// What a person should know before a run: weaker classes, lost durability.
    pub notes: Vec<String>,
}

/// What an objection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectionKind {
    /// It would fail; nothing runs.
    Impossible,
    /// This connection may not do what every run needs; nothing runs, and who only looks is told so.
    Right,
    /// The server is older than this program supports; nothing runs.
    Version,
    /// Data would be lost; runs only when a person accepts that.
    DataLoss,
    /// Worth knowing; runs all the same.
    Note,
}

/// What a look at the target before a run found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    /// What it is about.
    pub kind: ObjectionKind,
    /// The migration, where it is about one.
    pub migration: Option<MigrationId>,
    /// File of the operation or statement.
    pub file: Option<String>,
    /// Its line, from 1.
    pub line: Option<u32>,
    /// What is wrong, in the words of who found it.
    pub message: String,
    /// What to do.
    pub what_to_do: String,
}

/// A schema, object by object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaSnapshot {
    /// Kind and name of an object (`table public.orders`, `index shop.orders/by_status`) → its definition, one property
    /// a line, in an order that does not depend on how it came to be.
    pub objects: std::collections::BTreeMap<String, String>,
    /// What earlier versions did not read (who owns and may what, row security, rules, parameters), in the same form; `None`
    /// in what they recorded, and on databases that have no such things.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<std::collections::BTreeMap<String, String>>,
}

/// Who holds a target's lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// Process of the server (PostgreSQL) or of the machine (SQLite).
    pub pid: i64,
    /// Who it says it is: `godwit:RUN:EPOCH` and the user.
    pub who: String,
    /// Where it comes from: an address, or the machine itself.
    pub from: String,
    /// Since when.
    pub since: String,
    /// Whether it does something at the moment, and what.
    pub doing: Option<String>,
}

/// What one target says about a set; an entry of `status --format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// Its name.
    pub target: TargetName,
    /// Its kind.
    pub engine: Engine,
    /// Who runs on it just now.
    pub lock: Option<LockHolder>,
    /// What was recorded of it and its history does not know: it is older than that. Only where the store was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older: Vec<Refusal>,
    /// Each migration in run order, and behind them those the history knows and the set does not.
    pub migrations: Vec<MigrationStatus>,
}

/// An error of a step, located.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// The server's own words.
    pub message: String,
    /// The server's code (SQLSTATE, SQLite result code), if it gave one.
    pub code: Option<String>,
    /// File of the statement.
    pub file: String,
    /// Line in that file, from 1.
    pub line: u32,
    /// Which operation of the migration it was, from 1, where it is a list of operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<usize>,
    /// What became of the step's effects: `undone`, or what may remain.
    pub undone: bool,
    /// What to do.
    pub hint: Option<String>,
}

/// What came of one attempt to bring one environment forward; the shape of `plan|apply --format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    /// The environment; `None` for an ad hoc run.
    pub environment: Option<EnvironmentName>,
    /// Digest of the migration set.
    pub digest: Digest,
    /// The highest risk of the steps.
    pub risk: Risk,
    /// How it ended.
    pub outcome: Outcome,
    /// Each step in order; steps not reached are `pending`.
    pub steps: Vec<StepReport>,
    /// Why nothing ran, when it did not.
    pub blocked_by: Vec<Refusal>,
    /// What each server can do and what was noticed before the run.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The backup made before, if any.
    pub backup: Option<String>,
    /// The run.
    pub run: RunId,
    /// Runs that were cut short before and are over with this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<RunId>,
    /// How the systems behind it fared, where the environment asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<health::Health>,
    /// Milliseconds in all.
    pub duration_ms: u64,
}

impl RunReport {
    /// The report of a run of files with `digest` that has nothing to tell yet, on a database that is in no environment.
    pub fn nothing(digest: Digest, run: RunId) -> Self {
        Self {
            environment: None,
            digest,
            risk: Risk::Low,
            outcome: Outcome::Nothing,
            steps: Vec::new(),
            blocked_by: Vec::new(),
            notes: Vec::new(),
            backup: None,
            run,
            ended: Vec::new(),
            health: None,
            duration_ms: 0,
        }
    }

    /// This report with what `before` tells of other targets of the environment, which another worker brought forward in
    /// runs of its own.
    #[must_use]
    pub fn with_earlier(mut self, before: impl IntoIterator<Item = RunReport>) -> Self {
        let mut whole: Option<RunReport> = None;
        for part in before {
            whole = Some(match whole {
                Some(earlier) => part.after(earlier),
                None => part,
            });
        }
        if let Some(earlier) = whole {
            self = self.after(earlier);
        }
        self
    }

    fn after(mut self, earlier: RunReport) -> Self {
        let RunReport { steps, blocked_by, notes, ended, .. } = self;
        self.environment = earlier.environment.or(self.environment);
        self.risk = self.risk.max(earlier.risk);
        self.outcome = self.outcome.or_worse(earlier.outcome);
        self.steps = earlier.steps.into_iter().chain(steps).collect();
        self.blocked_by = earlier.blocked_by.into_iter().chain(blocked_by).collect();
        self.notes = both(earlier.notes, notes);
        self.ended = both(earlier.ended, ended);
        let backups: Vec<String> = earlier.backup.into_iter().chain(self.backup).collect();
        self.backup = (!backups.is_empty()).then(|| backups.join(", "));
        self.health = self.health.or(earlier.health);
        self.duration_ms = self.duration_ms.saturating_add(earlier.duration_ms);
        self
    }

    /// The report of a run that did not begin, and what was in its way.
    pub fn blocked(environment: EnvironmentName, digest: Digest, risk: Risk, refusal: Refusal, run: RunId) -> Self {
        Self {
            environment: Some(environment),
            risk,
            outcome: Outcome::Blocked,
            blocked_by: vec![refusal],
            ..Self::nothing(digest, run)
        }
    }
}

/// What stands in either list, each once.
fn both<T: PartialEq>(mut first: Vec<T>, second: Vec<T>) -> Vec<T> {
    for item in second {
        if !first.contains(&item) {
            first.push(item);
        }
    }
    first
}
