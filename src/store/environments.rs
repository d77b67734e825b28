//! What each environment was brought to, and which environments are frozen.

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::approvals::{number, parsed};
use super::audit::{AuditEntry, AuditHead};
use super::{Store, StoreError, WriteTransaction, millis, time_of};
use crate::ids::{CommitSha, Digest, EnvironmentName, PrNumber, RepoName, RunId};
use crate::plan::Outcome;
use crate::redact;

/// How one run left one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentRecord {
    /// The repository.
    pub repo: RepoName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The pull request it came from.
    pub pr: Option<PrNumber>,
    /// The commit the migrations were read at.
    pub commit: CommitSha,
    /// Digest of what was brought.
    pub digest: Digest,
    /// How it ended.
    pub outcome: Outcome,
    /// The run, where one took place.
    pub run: Option<RunId>,
    /// When it ended.
    pub at: DateTime<Utc>,
}

/// A frozen environment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EnvironmentLock {
    /// The repository; `None`: of every repository.
    pub repo: Option<RepoName>,
    /// The environment.
    pub environment: EnvironmentName,
    /// Why.
    pub reason: String,
    /// Who froze it.
    pub by: String,
    /// Since when.
    pub at: DateTime<Utc>,
}

impl Store {
    /// Remembers how a run left an environment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_environment(&self, record: &EnvironmentRecord) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.record_environment_in(&mut tx, record).await?;
        Ok(tx.commit().await?)
    }

    /// Adds the end of a run to the audit log and remembers how it left its environment, both or neither: a process that
    /// is killed here never leaves an end that is told a second time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_environment(
        &self,
        entry: AuditEntry,
        record: &EnvironmentRecord,
    ) -> Result<AuditHead, StoreError> {
        let mut tx = self.begin().await?;
        let (head, before) = self.append_audit_in(&mut tx, entry).await?;
        let sound = self.continues(&mut tx, &before).await?;
        self.record_environment_in(&mut tx, record).await?;
        tx.commit().await?;
        if sound {
            self.drop_anchor(&head);
        }
        Ok(head)
    }

    async fn record_environment_in(
        &self,
        tx: &mut WriteTransaction,
        record: &EnvironmentRecord,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO environment_records (id, repo, environment, pr, commit_id, digest, outcome, run, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(self.next_id())
        .bind(record.repo.as_str())
        .bind(record.environment.as_str())
        .bind(record.pr.map(number))
        .bind(record.commit.as_str())
        .bind(record.digest.as_str())
        .bind(record.outcome.as_str())
        .bind(record.run.as_ref().map(RunId::as_str))
        .bind(millis(record.at))
        .execute(&mut **tx)
        .await?;
        let Some(pr) = record.pr else { return Ok(()) };
        // Whether anything is left to do is found out by the next look.
        sqlx::query("UPDATE pulls SET done_at = NULL WHERE repo = $1 AND pr = $2 AND done_at IS NOT NULL")
            .bind(record.repo.as_str())
            .bind(number(pr))
            .execute(&mut **tx)
            .await?;
        super::legs::end_legs(tx, &record.repo, &record.environment, pr).await
    }

    /// The newest record of an environment for one digest; `None` when it never was there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_environment(
        &self,
        repo: &RepoName,
        environment: &EnvironmentName,
        digest: &Digest,
    ) -> Result<Option<EnvironmentRecord>, StoreError> {
        let row = sqlx::query(
            "SELECT repo, environment, pr, commit_id, digest, outcome, run, at FROM environment_records \
             WHERE repo = $1 AND environment = $2 AND digest = $3 ORDER BY id DESC LIMIT 1",
        )
        .bind(repo.as_str())
        .bind(environment.as_str())
        .bind(digest.as_str())
        .fetch_optional(self.reader())
        .await?;
        row.as_ref().map(record_of).transpose()
    }

    /// The newest record that a pull request left in an environment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_of_pull(
        &self,
        repo: &RepoName,
        environment: &EnvironmentName,
        pr: PrNumber,
    ) -> Result<Option<EnvironmentRecord>, StoreError> {
        let row = sqlx::query(
            "SELECT repo, environment, pr, commit_id, digest, outcome, run, at FROM environment_records \
             WHERE repo = $1 AND environment = $2 AND pr = $3 ORDER BY id DESC LIMIT 1",
        )
        .bind(repo.as_str())
        .bind(environment.as_str())
        .bind(number(pr))
        .fetch_optional(self.reader())
        .await?;
        row.as_ref().map(record_of).transpose()
    }

    /// The records of a repository's environments, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn environment_records(&self, repo: &RepoName, limit: u32) -> Result<Vec<EnvironmentRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT repo, environment, pr, commit_id, digest, outcome, run, at FROM environment_records \
             WHERE repo = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(repo.as_str())
        .bind(i64::from(limit))
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(record_of).collect()
    }

    /// Freezes an environment, of one repository or (`None`) of all. When it is frozen already nothing changes and the
    /// lock that is there is given back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_environment(
        &self,
        repo: Option<&RepoName>,
        environment: &EnvironmentName,
        reason: &str,
        by: &str,
    ) -> Result<Option<EnvironmentLock>, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "INSERT INTO environment_locks (repo, environment, reason, locked_by, at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (repo, environment) DO NOTHING",
        )
        .bind(repo.map_or("", RepoName::as_str))
        .bind(environment.as_str())
        .bind(redact::text(reason))
        .bind(by)
        .bind(millis(Utc::now()))
        .execute(&mut *tx)
        .await?;
        let held = if done.rows_affected() == 0 {
            sqlx::query(
                "SELECT repo, environment, reason, locked_by, at FROM environment_locks \
                 WHERE repo = $1 AND environment = $2",
            )
            .bind(repo.map_or("", RepoName::as_str))
            .bind(environment.as_str())
            .fetch_optional(&mut *tx)
            .await?
        } else {
            None
        };
        tx.commit().await?;
        held.as_ref().map(lock_of).transpose()
    }

    /// Unfreezes an environment, by the same words it was frozen with; gives the lock that was taken off.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unlock_environment(
        &self,
        repo: Option<&RepoName>,
        environment: &EnvironmentName,
    ) -> Result<Option<EnvironmentLock>, StoreError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query(
            "DELETE FROM environment_locks WHERE repo = $1 AND environment = $2 \
             RETURNING repo, environment, reason, locked_by, at",
        )
        .bind(repo.map_or("", RepoName::as_str))
        .bind(environment.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.as_ref().map(lock_of).transpose()
    }

    /// The lock that keeps a repository's environment frozen: its own, else the one of every repository.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn environment_lock(
        &self,
        repo: Option<&RepoName>,
        environment: &EnvironmentName,
    ) -> Result<Option<EnvironmentLock>, StoreError> {
        let row = sqlx::query(
            "SELECT repo, environment, reason, locked_by, at FROM environment_locks \
             WHERE environment = $2 AND (repo = $1 OR repo = '') ORDER BY repo DESC LIMIT 1",
        )
        .bind(repo.map_or("", RepoName::as_str))
        .bind(environment.as_str())
        .fetch_optional(self.reader())
        .await?;
        row.as_ref().map(lock_of).transpose()
    }
}

fn record_of(row: &AnyRow) -> Result<EnvironmentRecord, StoreError> {
    let run: Option<String> = row.try_get(6)?;
    Ok(EnvironmentRecord {
        repo: parsed("a repository", row.try_get(0)?)?,
        environment: parsed("an environment", row.try_get(1)?)?,
        pr: row.try_get::<Option<i64>, _>(2)?.and_then(|n| u64::try_from(n).ok()).map(PrNumber),
        commit: parsed("a commit", row.try_get(3)?)?,
        digest: parsed("a digest", row.try_get(4)?)?,
        outcome: outcome_of(row.try_get(5)?)?,
        run: run.map(|run| parsed("a run", run)).transpose()?,
        at: time_of(row.try_get(7)?)?,
    })
}

fn outcome_of(name: String) -> Result<Outcome, StoreError> {
    const ALL: [Outcome; 6] =
        [Outcome::Planned, Outcome::Applied, Outcome::Nothing, Outcome::Failed, Outcome::Blocked, Outcome::NeedsHuman];
    ALL.into_iter().find(|o| o.as_str() == name).ok_or(StoreError::Value { what: "an outcome", value: name })
}

fn lock_of(row: &AnyRow) -> Result<EnvironmentLock, StoreError> {
    let repo: String = row.try_get(0)?;
    Ok(EnvironmentLock {
        repo: if repo.is_empty() { None } else { Some(parsed("a repository", repo)?) },
        environment: parsed("an environment", row.try_get(1)?)?,
        reason: row.try_get(2)?,
        by: row.try_get(3)?,
        at: time_of(row.try_get(4)?)?,
    })
}
