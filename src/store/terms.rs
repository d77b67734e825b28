//! Under which terms people have agreed to a content: which databases a run goes to, and how it goes there.

use chrono::{DateTime, Utc};
use sqlx::Row as _;

use super::approvals::number;
use super::{Store, StoreError, millis};
use crate::approval::Binding;
use crate::ids::{EnvironmentName, PrNumber, RepoName};
use crate::plan::terms::Terms;

/// What was agreed to, where.
#[derive(Debug, Clone, Copy)]
pub struct AgreedTo<'a> {
    /// The repository.
    pub repo: &'a RepoName,
    /// The pull request.
    pub pr: PrNumber,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The content, and the policy.
    pub binding: &'a Binding,
}

/// The terms of an agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// As they were when people had agreed, or when somebody accepted others.
    pub agreed: Terms,
    /// As they were found when a run was about to begin, if that was something else.
    pub found: Option<Terms>,
}

fn read(text: &str) -> Result<Terms, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Value { what: "terms", value: text.to_owned() })
}

fn written(terms: &Terms) -> String {
    // Plain maps of text; `null` would not be read as terms again.
    serde_json::to_string(terms).unwrap_or_else(|_| "null".to_owned())
}

impl Store {
    /// The terms of an agreement, if any are known.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn terms(&self, to: AgreedTo<'_>) -> Result<Option<Kept>, StoreError> {
        let row = sqlx::query(
            "SELECT agreed, found FROM terms WHERE repo = $1 AND pr = $2 AND environment = $3 AND digest = $4 AND policy_hash = $5",
        )
        .bind(to.repo.as_str())
        .bind(number(to.pr))
        .bind(to.environment.as_str())
        .bind(to.binding.digest.as_str())
        .bind(&to.binding.policy_hash)
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let found: Option<String> = row.try_get(1)?;
        Ok(Some(Kept { agreed: read(&row.try_get::<String, _>(0)?)?, found: found.as_deref().map(read).transpose()? }))
    }

    /// Keeps the terms of an agreement, instead of those that are known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_terms(&self, to: AgreedTo<'_>, kept: &Kept, now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO terms (repo, pr, environment, digest, policy_hash, agreed, agreed_at, found) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (repo, pr, environment, digest, policy_hash) \
             DO UPDATE SET agreed = excluded.agreed, agreed_at = excluded.agreed_at, found = excluded.found",
        )
        .bind(to.repo.as_str())
        .bind(number(to.pr))
        .bind(to.environment.as_str())
        .bind(to.binding.digest.as_str())
        .bind(&to.binding.policy_hash)
        .bind(written(&kept.agreed))
        .bind(millis(now))
        .bind(kept.found.as_ref().map(written))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }
}
