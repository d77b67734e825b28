//! What the store keeps about runs, for people to read: each run with its steps, and what was noted statement by statement.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::Row as _;

use super::{Store, StoreError, millis, time_of};
use crate::ids::RunId;

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedStep {
    /// The target.
    pub target: String,
    /// The unit of the migration.
    pub unit: String,
    /// The migration.
    pub migration: String,
    /// What was done.
    pub action: String,
    /// Where it ended.
    pub state: String,
    /// Milliseconds it took.
    pub duration_ms: i64,
    /// What went wrong.
    pub error: Option<String>,
}

/// Something that was noted while a step ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// The target.
    pub target: String,
    /// The step's place in the run.
    pub position: i64,
    /// What: an intent, a probe, an end.
    pub event: String,
    /// More of it.
    pub detail: String,
}

/// A step together with its run, for lists over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepOfRun {
    /// The run.
    pub run: String,
    /// When the run began.
    pub at: DateTime<Utc>,
    /// The environment; `None` for an ad hoc run.
    pub environment: Option<String>,
    /// Who caused it.
    pub by: String,
    /// How the run ended, if it did.
    pub outcome: Option<String>,
    /// The step.
    pub step: LoggedStep,
}

const STEP: &str = "s.target, s.unit, s.migration, s.action, s.state, s.duration_ms, s.error";

fn step(row: &sqlx::any::AnyRow, from: usize) -> Result<LoggedStep, StoreError> {
    Ok(LoggedStep {
        target: row.try_get(from)?,
        unit: row.try_get(from + 1)?,
        migration: row.try_get(from + 2)?,
        action: row.try_get(from + 3)?,
        state: row.try_get(from + 4)?,
        duration_ms: row.try_get(from + 5)?,
        error: row.try_get(from + 6)?,
    })
}

impl Store {
    /// The steps of a run, in its order.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn logged_steps(&self, run: &RunId) -> Result<Vec<LoggedStep>, StoreError> {
        let sql = format!("SELECT {STEP} FROM run_steps s WHERE s.run = $1 ORDER BY s.target, s.position");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(run.as_str()).fetch_all(self.reader()).await?;
        rows.iter().map(|row| step(row, 0)).collect()
    }

    /// What was noted in a run, in its order.
    ///
    /// # Errors
    /// When the store fails or holds something this version does not understand.
    pub async fn logged_events(&self, run: &RunId) -> Result<Vec<LoggedEvent>, StoreError> {
        let rows = sqlx::query(
            "SELECT at, target, position, event, detail FROM run_events WHERE run = $1 ORDER BY target, position, id",
        )
        .bind(run.as_str())
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(LoggedEvent {
                    at: time_of(row.try_get(0)?)?,
                    target: row.try_get(1)?,
                    position: row.try_get(2)?,
                    event: row.try_get(3)?,
                    detail: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// Every step of the runs that began in a time, oldest first.
    ///
    /// # Errors
    /// When the store fails or holds something this version does not understand.
    pub async fn steps_between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<StepOfRun>, StoreError> {
        let sql = format!(
            "SELECT r.id, r.started_at, r.environment, r.actor, r.outcome, {STEP} FROM runs r \
             JOIN run_steps s ON s.run = r.id WHERE r.started_at >= $1 AND r.started_at < $2 \
             ORDER BY r.id, s.target, s.position"
        );
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(millis(from)).bind(millis(to)).fetch_all(self.reader()).await?;
        rows.iter()
            .map(|row| {
                Ok(StepOfRun {
                    run: row.try_get(0)?,
                    at: time_of(row.try_get(1)?)?,
                    environment: row.try_get(2)?,
                    by: row.try_get(3)?,
                    outcome: row.try_get(4)?,
                    step: step(row, 5)?,
                })
            })
            .collect()
    }

    /// How many notes there are of runs that ended before a moment; with `delete`, they are deleted. Runs and their steps
    /// stay: what is applied where is read from them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn prune_events(&self, before: DateTime<Utc>, delete: Prune) -> Result<i64, StoreError> {
        const OLD: &str =
            "FROM run_events WHERE run IN (SELECT id FROM runs WHERE finished_at IS NOT NULL AND finished_at < $1)";
        let count = format!("SELECT count(*) {OLD}");
        let before = millis(before);
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).bind(before).fetch_one(self.reader()).await?;
        if found > 0 && delete == Prune::Delete {
            let mut tx = self.begin().await?;
            sqlx::query(sqlx::AssertSqlSafe(format!("DELETE {OLD}"))).bind(before).execute(&mut *tx).await?;
            tx.commit().await?;
        }
        Ok(found)
    }
}

/// Whether [`Store::prune_events`] deletes or only counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// Counts.
    Count,
    /// Deletes.
    Delete,
}
