//! What runs did, as the store knows it: what was last recorded of every migration, by database and by environment, and the
//! runs as lists. How a run is written down is in [`super::runs`].

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::Row as _;

use super::approvals::parsed;
use super::runs::{migration_id, run_id, state};
use super::{Store, StoreError, time_of};
use crate::ids::{Engine, EnvironmentName, MigrationId, PrNumber, RepoName, RunId, TargetName};
use crate::migration::Migration;
use crate::plan::{MigrationState, RecoveryClass, StepAction};

/// What the store last recorded about a migration on a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The unit of the migration.
    pub unit: String,
    /// The migration.
    pub migration: MigrationId,
    /// Where the store last saw it.
    pub state: MigrationState,
    /// The run that was.
    pub run: RunId,
}

/// What the store last recorded about a migration in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedEntry {
    /// The target's name then.
    pub target: TargetName,
    /// The unit of the migration.
    pub unit: String,
    /// The migration.
    pub migration: MigrationId,
    /// Checksum of its forward script then.
    pub checksum: String,
    /// Where the store last saw it.
    pub state: MigrationState,
}

impl PlacedEntry {
    /// Whether it says that a migration is there as its file is now.
    pub fn holds(&self, migration: &Migration) -> bool {
        self.migration == migration.id
            && self.unit == migration.unit
            && self.state == MigrationState::Applied
            && self.checksum == migration.checksum.as_str()
    }
}

/// A step that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedStep {
    /// The run.
    pub run: RunId,
    /// The target.
    pub target: TargetName,
    /// Its kind.
    pub engine: Engine,
    /// The unit of the migration.
    pub unit: String,
    /// The migration.
    pub migration: MigrationId,
    /// What was done.
    pub action: StepAction,
    /// Its recovery class.
    pub recovery: RecoveryClass,
    /// Milliseconds it took.
    pub duration_ms: u64,
}

/// A run for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// What it did.
    pub action: String,
    /// The environment; `None` for an ad hoc run.
    pub environment: Option<EnvironmentName>,
    /// Who caused it.
    pub by: String,
    /// The pull request it came from.
    pub pr: Option<PrNumber>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended, if it did.
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended, if it did.
    pub outcome: Option<String>,
}

impl Store {
    /// What the store last recorded about every migration on a database.
    ///
    /// # Errors
    /// When the store fails or holds something this version does not understand.
    pub async fn ledger(&self, fingerprint: &str) -> Result<Vec<LedgerEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT s.unit, s.migration, s.state, s.run FROM run_steps s JOIN run_targets t ON t.run = s.run AND t.target = s.target \
             WHERE t.fingerprint = $1 AND s.state IN ('applied', 'rolled_back') ORDER BY s.run, s.position",
        )
        .bind(fingerprint)
        .fetch_all(self.reader())
        .await?;
        let mut last: BTreeMap<(String, String), LedgerEntry> = BTreeMap::new();
        for row in rows {
            let (unit, migration): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let entry = LedgerEntry {
                unit: unit.clone(),
                migration: migration_id(migration.clone())?,
                state: state(row.try_get(2)?)?,
                run: run_id(row.try_get(3)?)?,
            };
            last.insert((unit, migration), entry);
        }
        Ok(last.into_values().collect())
    }

    /// What the store last recorded about every migration in an environment, on whichever database that was then: what
    /// runs of `repo` did and those of the command line, which name none; of every repository where none is given.
    ///
    /// # Errors
    /// When the store fails or holds something this version does not understand.
    pub async fn environment_ledger(
        &self,
        repo: Option<&RepoName>,
        environment: &EnvironmentName,
    ) -> Result<Vec<PlacedEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT s.target, s.unit, s.migration, s.checksum, s.state FROM run_steps s JOIN runs r ON r.id = s.run \
             WHERE r.environment = $1 AND ($2 = '' OR r.repo = $2 OR r.repo IS NULL) \
             AND s.state IN ('applied', 'rolled_back') ORDER BY s.run, s.position",
        )
        .bind(environment.as_str())
        .bind(repo.map_or("", |r| r.as_str()))
        .fetch_all(self.reader())
        .await?;
        let mut last: BTreeMap<(String, String, String), PlacedEntry> = BTreeMap::new();
        for row in rows {
            let (target, unit, migration): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let entry = PlacedEntry {
                target: TargetName::new(target.as_str())
                    .map_err(|_| StoreError::Value { what: "a target", value: target.clone() })?,
                unit: unit.clone(),
                migration: migration_id(migration.clone())?,
                checksum: row.try_get(3)?,
                state: state(row.try_get(4)?)?,
            };
            last.insert((target, unit, migration), entry);
        }
        Ok(last.into_values().collect())
    }

    /// What runs of a pull request applied in an environment, of which no record of the environment tells: the process
    /// was ended between the last commit and the record.
    ///
    /// # Errors
    /// When the store fails or holds something this version does not understand.
    pub async fn untold_steps(
        &self,
        repo: &RepoName,
        pr: PrNumber,
        environment: &EnvironmentName,
    ) -> Result<Vec<AppliedStep>, StoreError> {
        let rows = sqlx::query(
            "SELECT s.run, s.target, t.engine, s.unit, s.migration, s.action, s.recovery, s.duration_ms FROM run_steps s \
             JOIN runs r ON r.id = s.run JOIN run_targets t ON t.run = s.run AND t.target = s.target \
             WHERE r.repo = $1 AND r.pr = $2 AND r.environment = $3 AND s.state = 'applied' AND s.action = 'apply' \
             AND NOT EXISTS (SELECT 1 FROM environment_records e WHERE e.run = s.run) \
             AND NOT EXISTS (SELECT 1 FROM legs l WHERE l.run = s.run) ORDER BY s.run, s.target, s.position",
        )
        .bind(repo.as_str())
        .bind(i64::try_from(pr.0).unwrap_or(i64::MAX))
        .bind(environment.as_str())
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                let value = |what, value: String| StoreError::Value { what, value };
                let (action, recovery): (String, String) = (row.try_get(5)?, row.try_get(6)?);
                Ok(AppliedStep {
                    run: run_id(row.try_get(0)?)?,
                    target: parsed("a target", row.try_get(1)?)?,
                    engine: parsed("an engine", row.try_get(2)?)?,
                    unit: row.try_get(3)?,
                    migration: migration_id(row.try_get(4)?)?,
                    action: StepAction::parse(&action).ok_or_else(|| value("an action", action))?,
                    recovery: RecoveryClass::parse(&recovery).ok_or_else(|| value("a recovery class", recovery))?,
                    duration_ms: u64::try_from(row.try_get::<i64, _>(7)?).unwrap_or(0),
                })
            })
            .collect()
    }

    /// How many runs left a migration of which nobody knows whether it happened, and which nobody has settled since.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unknown_runs(&self) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar(
            "SELECT count(DISTINCT s.run) FROM run_steps s JOIN run_targets t ON t.run = s.run AND t.target = s.target \
             WHERE s.state = 'needs_human' AND NOT EXISTS (SELECT 1 FROM run_steps later JOIN run_targets there \
             ON there.run = later.run AND there.target = later.target WHERE there.fingerprint = t.fingerprint \
             AND later.unit = s.unit AND later.migration = s.migration AND later.run > s.run AND later.state <> 'pending')",
        )
        .fetch_one(self.reader())
        .await?;
        Ok(count)
    }

    /// The newest runs, of one environment or of all.
    ///
    /// # Errors
    /// When the store fails or holds something this version does not understand.
    pub async fn recent_runs(
        &self,
        environment: Option<&EnvironmentName>,
        limit: u32,
    ) -> Result<Vec<RunSummary>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, action, environment, actor, pr, started_at, finished_at, outcome FROM runs \
             WHERE $1 IS NULL OR environment = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(environment.map(|e| e.as_str()))
        .bind(i64::from(limit))
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(summary).collect()
    }

    /// Runs of the command line that were cut short, so that they could not write into the audit log what they had done,
    /// and of which nobody has written it since; oldest first.
    ///
    /// # Errors
    /// When the store fails or holds something this version does not understand.
    pub async fn unaudited_runs(&self) -> Result<Vec<RunSummary>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, action, environment, actor, pr, started_at, finished_at, outcome FROM runs r \
             WHERE outcome = 'interrupted' AND repo IS NULL AND NOT EXISTS (SELECT 1 FROM audit a WHERE a.run = r.id) \
             ORDER BY id",
        )
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(summary).collect()
    }
}

fn summary(r: &sqlx::any::AnyRow) -> Result<RunSummary, StoreError> {
    let environment: Option<String> = r.try_get(2)?;
    Ok(RunSummary {
        run: run_id(r.try_get(0)?)?,
        action: r.try_get(1)?,
        environment: environment.and_then(|e| EnvironmentName::new(e).ok()),
        by: r.try_get(3)?,
        pr: r.try_get::<Option<i64>, _>(4)?.and_then(|p| u64::try_from(p).ok()).map(PrNumber),
        started_at: time_of(r.try_get(5)?)?,
        finished_at: r.try_get::<Option<i64>, _>(6)?.map(time_of).transpose()?,
        outcome: r.try_get(7)?,
    })
}
