//! Workflow jobs that asked whether they may deploy, until they have a final word.

use chrono::{DateTime, Utc};

use super::installations::big;
use super::{Store, StoreError, approvals::parsed, millis};
use crate::ids::{CommitSha, RepoName};

/// A workflow job that waits for a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectionRequest {
    /// The workflow run.
    pub run: u64,
    /// The environment, as the workflow calls it.
    pub environment: String,
    /// The commit that would be deployed.
    pub commit: CommitSha,
    /// The last report; empty before the first.
    pub said: String,
    /// How many reports were made.
    pub reports: u32,
}

impl Store {
    /// Remembers a job that asks; one that is known stays as it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_gate(
        &self,
        repo: &RepoName,
        run: u64,
        environment: &str,
        commit: &CommitSha,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO protection_requests (repo, run_id, environment, commit_id, said, reports, answered_at, at) \
             VALUES ($1, $2, $3, $4, '', 0, NULL, $5) ON CONFLICT (repo, run_id, environment) DO NOTHING",
        )
        .bind(repo.as_str())
        .bind(big(run))
        .bind(environment)
        .bind(commit.as_str())
        .bind(millis(at))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// The jobs of a repository that wait, oldest first; those that asked before `since` are GitHub's to end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting_gates(
        &self,
        repo: &RepoName,
        since: DateTime<Utc>,
    ) -> Result<Vec<ProtectionRequest>, StoreError> {
        let rows: Vec<(i64, String, String, String, i64)> = sqlx::query_as(
            "SELECT run_id, environment, commit_id, said, reports FROM protection_requests \
             WHERE repo = $1 AND answered_at IS NULL AND at >= $2 ORDER BY at, run_id",
        )
        .bind(repo.as_str())
        .bind(millis(since))
        .fetch_all(self.reader())
        .await?;
        rows.into_iter()
            .map(|(run, environment, commit, said, reports)| {
                Ok(ProtectionRequest {
                    run: u64::try_from(run).unwrap_or_default(),
                    environment,
                    commit: parsed("a commit", commit)?,
                    said,
                    reports: u32::try_from(reports).unwrap_or(u32::MAX),
                })
            })
            .collect()
    }

    /// Remembers what a job was told; `ends` when that is the final word.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_gate(
        &self,
        repo: &RepoName,
        request: &ProtectionRequest,
        said: &str,
        ends: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE protection_requests SET said = $4, reports = reports + 1, answered_at = $5 \
             WHERE repo = $1 AND run_id = $2 AND environment = $3",
        )
        .bind(repo.as_str())
        .bind(big(request.run))
        .bind(&request.environment)
        .bind(said)
        .bind(ends.map(millis))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }
}
