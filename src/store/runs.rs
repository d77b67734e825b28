//! Runs in the store: intents that are durable before the first statement, and what came of each step.
//!
//! For a step that commits together with its history row the target is the truth; what stands here of it may be written
//! later and in one go. A step that goes statement by statement is followed event by event. What all of them did is read in
//! [`super::ledger`].

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use ulid::Ulid;

use super::approvals::parsed;
use super::{Store, StoreError, millis, time_of};
use crate::ids::{
    CommitSha, DeliveryId, Digest, Engine, EnvironmentName, Epoch, MigrationId, PrNumber, RepoName, RunId, TargetName,
};
use crate::plan::{MigrationState, Outcome, StepAction};

/// A run as it begins.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// What it does.
    pub action: StepAction,
    /// The environment; `None` for an ad hoc run.
    pub environment: Option<EnvironmentName>,
    /// The repository, for runs of the bot.
    pub repo: Option<RepoName>,
    /// The pull request, for runs of the bot.
    pub pr: Option<PrNumber>,
    /// The commit the migrations were read at.
    pub commit: Option<CommitSha>,
    /// Who causes it.
    pub by: String,
    /// The delivery that started it.
    pub correlation: Option<DeliveryId>,
    /// Digest of the migration set.
    pub digest: Digest,
    /// When it began.
    pub at: DateTime<Utc>,
    /// What it undoes on all its targets, in order; nothing for a run forward.
    pub goal: Vec<Goal>,
}

/// A migration that a run undoes on a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goal {
    /// The target.
    pub target: TargetName,
    /// The migration, as `unit/id`.
    pub migration: String,
}

/// What a run means to do to one target.
#[derive(Debug, Clone)]
pub struct TargetIntent {
    /// The target.
    pub target: TargetName,
    /// Its kind.
    pub engine: Engine,
    /// What the database says it is.
    pub fingerprint: String,
    /// The run's fencing token.
    pub epoch: Epoch,
    /// Hash of the plan.
    pub plan_hash: String,
    /// Hash of the history the plan was made for: the probe before the run.
    pub history_hash: String,
    /// The steps in order.
    pub steps: Vec<StepIntent>,
}

/// One step of an intent.
#[derive(Debug, Clone, Serialize)]
pub struct StepIntent {
    /// Place within the run's steps for the target, from 0.
    pub position: i64,
    /// The unit of the migration.
    pub unit: String,
    /// The migration.
    pub migration: String,
    /// Of its forward script.
    pub checksum: String,
    /// What is done.
    pub action: &'static str,
    /// Its recovery class.
    pub recovery: &'static str,
    /// Why it is of that class.
    pub recovery_reason: String,
}

/// What came of a step.
#[derive(Debug, Clone, Serialize)]
pub struct StepRecord {
    /// Its place.
    pub position: i64,
    /// Where it stands now.
    pub state: &'static str,
    /// Milliseconds it took.
    pub duration_ms: i64,
    /// What went wrong, if something did.
    pub error: Option<String>,
}

/// A run that was begun on a target and has not said how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedRun {
    /// The run.
    pub run: RunId,
    /// The target's name in it.
    pub target: TargetName,
    /// Its fencing token.
    pub epoch: Epoch,
    /// Who caused it.
    pub by: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// Its steps: place, unit, migration, and where the store last saw them.
    pub steps: Vec<(i64, String, MigrationId, MigrationState)>,
}

/// Something that happened to a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEvent {
    /// Its kind: `intent`, `probe`, `repair`, `done`, `failed`, `finished`.
    pub event: &'static str,
    /// What was seen or said.
    pub detail: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl StepEvent {
    /// The kind that says of a step that failed how many statements are done, and what they read: `2 sha256:…`.
    pub const FINISHED: &str = "finished";
}

impl Store {
    /// The highest fencing token this store has seen for a database.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn highest_epoch(&self, fingerprint: &str) -> Result<Epoch, StoreError> {
        let epoch: Option<i64> = sqlx::query_scalar("SELECT max(epoch) FROM run_targets WHERE fingerprint = $1")
            .bind(fingerprint)
            .fetch_one(self.reader())
            .await?;
        Ok(Epoch(epoch.unwrap_or(0)))
    }

    /// Records the run, unless it is there, and what it means to do to one target, in one transaction. Durable once
    /// this returns; no statement may reach the target before.
    ///
    /// # Errors
    /// When the store fails; then nothing may run.
    pub async fn record_intents(&self, run: &NewRun, intent: &TargetIntent) -> Result<(), StoreError> {
        let steps = serde_json::to_string(&intent.steps).unwrap_or_default();
        let goal =
            if run.goal.is_empty() { String::new() } else { serde_json::to_string(&run.goal).unwrap_or_default() };
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO runs (id, action, environment, repo, pr, commit_id, actor, correlation, digest, tool, started_at, goal) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING",
        )
        .bind(run.id.as_str())
        .bind(run.action.as_str())
        .bind(run.environment.as_ref().map(|e| e.as_str()))
        .bind(run.repo.as_ref().map(|r| r.as_str()))
        .bind(run.pr.and_then(|p| i64::try_from(p.0).ok()))
        .bind(run.commit.as_ref().map(|c| c.as_str()))
        .bind(&run.by)
        .bind(run.correlation.as_ref().map(|c| c.as_str()))
        .bind(run.digest.as_str())
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(millis(run.at))
        .bind(goal)
        .execute(&mut *tx)
        .await?;
        // A target may come round again within a run, when it waited for another one: its steps are added.
        let first: i64 = sqlx::query_scalar("SELECT count(*) FROM run_steps WHERE run = $1 AND target = $2")
            .bind(run.id.as_str())
            .bind(intent.target.as_str())
            .fetch_one(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO run_targets (run, target, engine, fingerprint, epoch, plan_hash, history_hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (run, target) DO UPDATE SET epoch = excluded.epoch, \
             plan_hash = excluded.plan_hash, history_hash = excluded.history_hash",
        )
        .bind(run.id.as_str())
        .bind(intent.target.as_str())
        .bind(intent.engine.as_str())
        .bind(&intent.fingerprint)
        .bind(intent.epoch.0)
        .bind(&intent.plan_hash)
        .bind(&intent.history_hash)
        .execute(&mut *tx)
        .await?;
        // One statement for any number of steps.
        let sql = format!(
            "INSERT INTO run_steps (run, target, position, unit, migration, checksum, action, recovery, recovery_reason, \
             state, duration_ms) SELECT $1, $2, $3 + CAST(value ->> 'position' AS BIGINT), value ->> 'unit', value ->> 'migration', \
             value ->> 'checksum', value ->> 'action', value ->> 'recovery', value ->> 'recovery_reason', 'pending', 0 FROM {}",
            self.kind().each("$4")
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(run.id.as_str())
            .bind(intent.target.as_str())
            .bind(first)
            .bind(&steps)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Records what came of steps, and where the run has ended there, the hash of the target's history.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn record_steps(
        &self,
        run: &RunId,
        target: &TargetName,
        records: &[StepRecord],
        after: Option<&str>,
    ) -> Result<(), StoreError> {
        if records.is_empty() && after.is_none() {
            return Ok(());
        }
        let records = serde_json::to_string(records).unwrap_or_default();
        let mut tx = self.begin().await?;
        // An UPDATE … FROM would be planned the other way round: for each step, a walk through the whole list.
        let sql = format!(
            "INSERT INTO run_steps (run, target, position, unit, migration, checksum, action, recovery, state, duration_ms, error) \
             SELECT s.run, s.target, s.position, s.unit, s.migration, s.checksum, s.action, s.recovery, r.value ->> 'state', \
             CAST(r.value ->> 'duration_ms' AS BIGINT), r.value ->> 'error' FROM {} r CROSS JOIN run_steps s \
             WHERE s.run = $1 AND s.target = $2 AND s.position = CAST(r.value ->> 'position' AS BIGINT) \
             ON CONFLICT (run, target, position) DO UPDATE SET state = excluded.state, duration_ms = excluded.duration_ms, \
             error = excluded.error",
            self.kind().each("$3")
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(run.as_str())
            .bind(target.as_str())
            .bind(&records)
            .execute(&mut *tx)
            .await?;
        if let Some(after) = after {
            sqlx::query("UPDATE run_targets SET history_after = $3 WHERE run = $1 AND target = $2")
                .bind(run.as_str())
                .bind(target.as_str())
                .bind(after)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Appends to the record of a step, in one transaction: the intent for one statement, a probe's answer, an error.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn append_step_events(
        &self,
        run: &RunId,
        target: &TargetName,
        position: i64,
        events: &[StepEvent],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for StepEvent { event, detail, at } in events {
            sqlx::query(
                "INSERT INTO run_events (id, run, target, position, event, detail, at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(Ulid::generate().to_string())
            .bind(run.as_str())
            .bind(target.as_str())
            .bind(position)
            .bind(*event)
            .bind(detail)
            .bind(millis(*at))
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// What the statements read that were done when a run's step failed behind `done` of them: what it noted as
    /// [`StepEvent::FINISHED`].
    ///
    /// # Errors
    /// When the store fails.
    pub async fn finished_statements(
        &self,
        run: &RunId,
        unit: &str,
        migration: &MigrationId,
        done: i32,
    ) -> Result<Option<String>, StoreError> {
        let found: Option<String> = sqlx::query_scalar(
            "SELECT e.detail FROM run_events e JOIN run_steps s ON s.run = e.run AND s.target = e.target \
             AND s.position = e.position WHERE e.run = $1 AND e.event = $2 AND s.unit = $3 AND s.migration = $4 \
             ORDER BY e.id DESC LIMIT 1",
        )
        .bind(run.as_str())
        .bind(StepEvent::FINISHED)
        .bind(unit)
        .bind(migration.as_str())
        .fetch_optional(self.reader())
        .await?;
        Ok(found.and_then(|detail| detail.strip_prefix(&format!("{done} ")).map(str::to_owned)))
    }

    /// Records the last steps and how the run ended, in one transaction.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn finish_run(&self, run: &RunId, outcome: Outcome, at: DateTime<Utc>) -> Result<(), StoreError> {
        self.end_run(run, outcome.as_str(), at).await
    }

    /// Records that a run was cut short, once its steps are settled.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn interrupt_run(&self, run: &RunId, at: DateTime<Utc>) -> Result<(), StoreError> {
        self.end_run(run, "interrupted", at).await
    }

    async fn end_run(&self, run: &RunId, outcome: &str, at: DateTime<Utc>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE runs SET outcome = $2, finished_at = $3 WHERE id = $1 AND finished_at IS NULL")
            .bind(run.as_str())
            .bind(outcome)
            .bind(millis(at))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Runs on a database that have not said how they ended, oldest first.
    ///
    /// # Errors
    /// When the store fails or holds something this version does not understand.
    pub async fn unfinished_runs(&self, fingerprint: &str) -> Result<Vec<UnfinishedRun>, StoreError> {
        let rows = sqlx::query(
            "SELECT r.id, t.target, t.epoch, r.actor, r.started_at FROM runs r JOIN run_targets t ON t.run = r.id \
             WHERE t.fingerprint = $1 AND r.finished_at IS NULL ORDER BY r.id",
        )
        .bind(fingerprint)
        .fetch_all(self.reader())
        .await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows {
            let (id, target): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let steps = sqlx::query(
                "SELECT position, unit, migration, state FROM run_steps WHERE run = $1 AND target = $2 ORDER BY position",
            )
            .bind(&id)
            .bind(&target)
            .fetch_all(self.reader())
            .await?;
            let steps = steps
                .iter()
                .map(|s| Ok((s.try_get(0)?, s.try_get(1)?, migration_id(s.try_get(2)?)?, state(s.try_get(3)?)?)))
                .collect::<Result<_, StoreError>>()?;
            runs.push(UnfinishedRun {
                run: run_id(id)?,
                target: TargetName::new(target.as_str())
                    .map_err(|_| StoreError::Value { what: "a target", value: target })?,
                epoch: Epoch(row.try_get(2)?),
                by: row.try_get(3)?,
                started_at: time_of(row.try_get(4)?)?,
                steps,
            });
        }
        Ok(runs)
    }

    /// Which of `runs` another repository than `repo` began.
    ///
    /// # Errors
    /// When the store fails or holds something this version does not understand.
    pub async fn runs_of_others(
        &self,
        repo: &RepoName,
        runs: &std::collections::BTreeSet<&RunId>,
    ) -> Result<std::collections::BTreeMap<RunId, RepoName>, StoreError> {
        let names: Vec<&str> = runs.iter().map(|r| r.as_str()).collect();
        let sql = format!(
            "SELECT id, repo FROM runs WHERE repo IS NOT NULL AND repo <> $1 AND id IN (SELECT value FROM {})",
            self.kind().each_text("$2")
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(repo.as_str())
            .bind(serde_json::to_string(&names).unwrap_or_default())
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(|r| Ok((run_id(r.try_get(0)?)?, parsed("a repository", r.try_get(1)?)?))).collect()
    }

    /// What a run meant to undo, if it was cut short, and whether nobody has said yet that it was.
    ///
    /// # Errors
    /// When the store fails or holds something this version does not understand.
    pub async fn interrupted_goal(&self, run: &RunId) -> Result<Option<(Vec<Goal>, bool)>, StoreError> {
        let row = sqlx::query(
            "SELECT goal, outcome FROM runs WHERE id = $1 AND goal <> '' AND (finished_at IS NULL OR outcome = 'interrupted')",
        )
        .bind(run.as_str())
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let (goal, outcome): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        let goal = serde_json::from_str(&goal).map_err(|_| StoreError::Value { what: "a run's goal", value: goal })?;
        Ok(Some((goal, outcome.is_none())))
    }

    /// Whether a run on that target of a repository's environment has not said how it ended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_open_run(
        &self,
        repo: Option<&RepoName>,
        environment: Option<&EnvironmentName>,
        target: &TargetName,
    ) -> Result<bool, StoreError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM runs r JOIN run_targets t ON t.run = r.id WHERE r.finished_at IS NULL \
             AND t.target = $1 AND COALESCE(r.repo, '') = $2 AND COALESCE(r.environment, '') = $3",
        )
        .bind(target.as_str())
        .bind(repo.map_or("", |r| r.as_str()))
        .bind(environment.map_or("", |e| e.as_str()))
        .fetch_one(self.reader())
        .await?;
        Ok(count > 0)
    }
}

/// A run as it is kept.
pub(super) fn run_id(text: String) -> Result<RunId, StoreError> {
    RunId::new(text.as_str()).map_err(|_| StoreError::Value { what: "a run", value: text })
}

/// A migration as it is kept.
pub(super) fn migration_id(text: String) -> Result<MigrationId, StoreError> {
    MigrationId::new(text.as_str()).map_err(|_| StoreError::Value { what: "a migration", value: text })
}

/// A state as it is kept.
pub(super) fn state(text: String) -> Result<MigrationState, StoreError> {
    MigrationState::parse(&text).ok_or(StoreError::Value { what: "a state", value: text })
}
