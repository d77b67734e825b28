//! Parts of an environment that are done while others still wait: its targets belong to the workers of several regions, and
//! none of them reaches all.

use chrono::{DateTime, Utc};

use super::approvals::{number, parsed};
use super::audit::{AuditEntry, AuditHead};
use super::stops::HANDED_ON;
use super::{Store, StoreError, WriteTransaction, millis, time_of};
use crate::ids::{Digest, EnvironmentName, PrNumber, RepoName, RunId, TargetName};
use crate::plan::RunReport;

/// What is brought where in parts.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'a> {
    /// The repository.
    pub repo: &'a RepoName,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The pull request.
    pub pr: PrNumber,
    /// Digest of what it brings.
    pub digest: &'a Digest,
}

/// A part that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoneLeg {
    /// The run that did it.
    pub run: RunId,
    /// The targets that it brought forward.
    pub targets: Vec<TargetName>,
    /// What came of it.
    pub report: RunReport,
    /// When.
    pub at: DateTime<Utc>,
}

impl Store {
    /// Remembers that a part is done, in the audit log too, and that the turn stays with the pull request until the rest
    /// is: all of it or nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish_leg(
        &self,
        entry: AuditEntry,
        whole: Whole<'_>,
        leg: &DoneLeg,
    ) -> Result<AuditHead, StoreError> {
        let targets: Vec<&str> = leg.targets.iter().map(TargetName::as_str).collect();
        let report = serde_json::to_string(&leg.report)
            .map_err(|e| StoreError::Value { what: "a report", value: e.to_string() })?;
        let mut tx = self.begin().await?;
        let (head, before) = self.append_audit_in(&mut tx, entry).await?;
        let sound = self.continues(&mut tx, &before).await?;
        sqlx::query(
            "INSERT INTO legs (run, repo, environment, pr, digest, targets, report, ended, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8)",
        )
        .bind(leg.run.as_str())
        .bind(whole.repo.as_str())
        .bind(whole.environment.as_str())
        .bind(number(whole.pr))
        .bind(whole.digest.as_str())
        .bind(targets.join(" "))
        .bind(report)
        .bind(millis(leg.at))
        .execute(&mut *tx)
        .await?;
        sqlx::query("UPDATE turns SET reason = $4, seen_at = $5 WHERE repo = $1 AND environment = $2 AND pr = $3")
            .bind(whole.repo.as_str())
            .bind(whole.environment.as_str())
            .bind(number(whole.pr))
            .bind(HANDED_ON)
            .bind(millis(leg.at))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        if sound {
            self.drop_anchor(&head);
        }
        Ok(head)
    }

    /// The parts that are done of what is not done as a whole, in the order in which they were.
    ///
    /// # Errors
    /// When the database fails, or holds what this version does not understand.
    pub async fn done_legs(&self, whole: Whole<'_>) -> Result<Vec<DoneLeg>, StoreError> {
        let rows: Vec<(String, String, String, i64)> = sqlx::query_as(
            "SELECT run, targets, report, at FROM legs WHERE repo = $1 AND environment = $2 AND pr = $3 AND digest = $4 \
             AND ended = 0 ORDER BY at, run",
        )
        .bind(whole.repo.as_str())
        .bind(whole.environment.as_str())
        .bind(number(whole.pr))
        .bind(whole.digest.as_str())
        .fetch_all(self.reader())
        .await?;
        rows.into_iter()
            .map(|(run, targets, report, at)| {
                let names = targets.split(' ').filter(|t| !t.is_empty());
                Ok(DoneLeg {
                    run: parsed("a run", run)?,
                    targets: names.map(|t| parsed("a target", t.to_owned())).collect::<Result<_, _>>()?,
                    report: serde_json::from_str(&report)
                        .map_err(|e| StoreError::Value { what: "a report", value: e.to_string() })?,
                    at: time_of(at)?,
                })
            })
            .collect()
    }

    /// Lets everything of an environment begin anew, as when something of it was undone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_legs(
        &self,
        repo: &RepoName,
        environment: &EnvironmentName,
        pr: PrNumber,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        end_legs(&mut tx, repo, environment, pr).await?;
        Ok(tx.commit().await?)
    }
}

/// Says that a pull request's parts of an environment are told of by a record of the whole.
pub(super) async fn end_legs(
    tx: &mut WriteTransaction,
    repo: &RepoName,
    environment: &EnvironmentName,
    pr: PrNumber,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE legs SET ended = 1 WHERE repo = $1 AND environment = $2 AND pr = $3 AND ended = 0")
        .bind(repo.as_str())
        .bind(environment.as_str())
        .bind(number(pr))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
