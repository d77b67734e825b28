//! What pull requests were last judged to be, for the API and for whoever looks without GitHub.

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::approvals::{number, parsed};
use super::collisions::pr_of;
use super::{Store, StoreError, millis, time_of};
use crate::approval::Binding;
use crate::ids::{CommitSha, PrNumber, RepoName};

/// A pull request as it was last judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedPull {
    /// The repository.
    pub repo: RepoName,
    /// The number.
    pub pr: PrNumber,
    /// `open`, `merged` or `closed`.
    pub state: String,
    /// The event that asks for another look, as JSON.
    pub look: String,
    /// The commit that was judged.
    pub head: CommitSha,
    /// The branch it goes into.
    pub base_ref: String,
    /// The verdict's word.
    pub status: String,
    /// The verdict in a sentence.
    pub summary: String,
    /// What an approval is bound to now; `None` when there is nothing to approve.
    pub binding: Option<Binding>,
    /// The whole verdict, as JSON.
    pub verdict: String,
    /// When it was judged to be so.
    pub at: DateTime<Utc>,
}

/// How a pull request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullStanding {
    /// When it was last looked at it was neither merged nor closed.
    pub open: bool,
    /// It is merged, and nothing is left to do for it.
    pub done: bool,
}

const SELECT: &str = "SELECT repo, pr, state, look, head, base_ref, status, summary, risk, digest, policy_hash, verdict, at \
                      FROM pulls";

impl Store {
    /// Remembers what a pull request was judged to be. Nothing is written when all but the time is the same.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_judged(&self, judged: &JudgedPull) -> Result<(), StoreError> {
        let there = self.judged(&judged.repo, judged.pr).await?;
        if there.is_some_and(|t| JudgedPull { at: judged.at, ..t } == *judged) {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO pulls (repo, pr, state, look, head, base_ref, status, summary, risk, digest, policy_hash, verdict, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
             ON CONFLICT (repo, pr) DO UPDATE SET state = excluded.state, look = excluded.look, head = excluded.head, \
                 base_ref = excluded.base_ref, status = excluded.status, summary = excluded.summary, risk = excluded.risk, \
                 digest = excluded.digest, policy_hash = excluded.policy_hash, verdict = excluded.verdict, at = excluded.at",
        )
        .bind(judged.repo.as_str())
        .bind(number(judged.pr))
        .bind(&judged.state)
        .bind(&judged.look)
        .bind(judged.head.as_str())
        .bind(&judged.base_ref)
        .bind(&judged.status)
        .bind(&judged.summary)
        .bind(judged.binding.as_ref().map(|b| b.risk.as_str()))
        .bind(judged.binding.as_ref().map(|b| b.digest.as_str()))
        .bind(judged.binding.as_ref().map(|b| b.policy_hash.as_str()))
        .bind(&judged.verdict)
        .bind(millis(judged.at))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Remembers that a pull request was closed without a merge.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn close_judged(&self, repo: &RepoName, pr: PrNumber) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE pulls SET state = 'closed' WHERE repo = $1 AND pr = $2 AND state <> 'closed'")
            .bind(repo.as_str())
            .bind(number(pr))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Remembers that there is nothing left to do for a merged pull request, or that there is something again. Nothing is
    /// written when that is known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_done(&self, repo: &RepoName, pr: PrNumber, at: Option<DateTime<Utc>>) -> Result<(), StoreError> {
        if self.standing(repo, pr).await?.is_none_or(|known| known.done == at.is_some()) {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE pulls SET done_at = $3 WHERE repo = $1 AND pr = $2")
            .bind(repo.as_str())
            .bind(number(pr))
            .bind(at.map(millis))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// How a pull request stands; `None` when it was never judged.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn standing(&self, repo: &RepoName, pr: PrNumber) -> Result<Option<PullStanding>, StoreError> {
        let row: Option<(String, Option<i64>)> =
            sqlx::query_as("SELECT state, done_at FROM pulls WHERE repo = $1 AND pr = $2")
                .bind(repo.as_str())
                .bind(number(pr))
                .fetch_optional(self.reader())
                .await?;
        Ok(row.map(|(state, done)| PullStanding { open: state == "open", done: done.is_some() }))
    }

    /// The merged pull requests of a repository for which something is left to do, of those that were judged anew since.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn unfinished(&self, repo: &RepoName, since: DateTime<Utc>) -> Result<Vec<JudgedPull>, StoreError> {
        let sql = format!("{SELECT} WHERE repo = $1 AND state = 'merged' AND done_at IS NULL AND at >= $2 ORDER BY pr");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(repo.as_str())
            .bind(millis(since))
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(judged_of).collect()
    }

    /// What a pull request was last judged to be.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn judged(&self, repo: &RepoName, pr: PrNumber) -> Result<Option<JudgedPull>, StoreError> {
        let sql = format!("{SELECT} WHERE repo = $1 AND pr = $2");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(repo.as_str())
            .bind(number(pr))
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(judged_of).transpose()
    }

    /// Queues another look at a pull request, serial with everything else about it.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    #[cfg(feature = "bot")]
    pub async fn look_again(&self, judged: &JudgedPull) -> Result<(), StoreError> {
        let event: crate::github::Event = serde_json::from_str(&judged.look)
            .map_err(|_| StoreError::Value { what: "an event", value: judged.look.clone() })?;
        match event.serial_key() {
            Some(key) => self.enqueue(&key, &event, None).await,
            None => Ok(()),
        }
    }

    /// The pull requests of every repository that are open and wait for somebody, longest first.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn waiting_pulls(&self) -> Result<Vec<JudgedPull>, StoreError> {
        let sql =
            format!("{SELECT} WHERE state = 'open' AND status IN ('pending', 'disapproved') ORDER BY at, repo, pr");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(self.reader()).await?;
        rows.iter().map(judged_of).collect()
    }

    /// The pull requests of a repository that were judged, newest first.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn judged_pulls(&self, repo: &RepoName, limit: u32) -> Result<Vec<JudgedPull>, StoreError> {
        let sql = format!("{SELECT} WHERE repo = $1 ORDER BY pr DESC LIMIT $2");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(repo.as_str())
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(judged_of).collect()
    }
}

fn judged_of(row: &AnyRow) -> Result<JudgedPull, StoreError> {
    let bound: (Option<String>, Option<String>, Option<String>) = (row.try_get(8)?, row.try_get(9)?, row.try_get(10)?);
    let binding = match bound {
        (Some(risk), Some(digest), Some(policy_hash)) => {
            Some(Binding { digest: parsed("a digest", digest)?, policy_hash, risk: parsed("a risk", risk)? })
        }
        _ => None,
    };
    Ok(JudgedPull {
        repo: parsed("a repository", row.try_get(0)?)?,
        pr: pr_of(row.try_get(1)?),
        state: row.try_get(2)?,
        look: row.try_get(3)?,
        head: parsed("a commit", row.try_get(4)?)?,
        base_ref: row.try_get(5)?,
        status: row.try_get(6)?,
        summary: row.try_get(7)?,
        binding,
        verdict: row.try_get(11)?,
        at: time_of(row.try_get(12)?)?,
    })
}
