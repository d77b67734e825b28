//! What GitHub cannot tell afterwards about a pull request: what reviews and labels were given for, since when people are
//! asked, who pushed.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::Row as _;

use super::{Store, StoreError, millis, time_of};
use crate::approval::Binding;
use crate::ids::{Digest, Login, PrNumber, RepoName, Risk};

/// What a review or a label was given for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBinding {
    /// `review:ID` or `label:NAME`.
    pub subject: String,
    /// Who gave it.
    pub login: Login,
    /// What it was given for.
    pub binding: Binding,
    /// When.
    pub at: DateTime<Utc>,
}

impl Store {
    /// Remembers what `subject` was given for. For a review (`review:ID`) the first word holds, since a review never moves
    /// to other content; a label (`label:NAME`) can be taken off and set again, so the later event holds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_binding(
        &self,
        repo: &RepoName,
        pr: PrNumber,
        subject: &str,
        login: &Login,
        binding: &Binding,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let sql = if subject.starts_with("label:") {
            "INSERT INTO bindings (repo, pr, subject, login, digest, policy_hash, risk, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (repo, pr, subject) DO UPDATE SET login = excluded.login, digest = excluded.digest, \
                 policy_hash = excluded.policy_hash, risk = excluded.risk, at = excluded.at \
             WHERE bindings.at < excluded.at"
        } else {
            "INSERT INTO bindings (repo, pr, subject, login, digest, policy_hash, risk, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (repo, pr, subject) DO NOTHING"
        };
        let mut tx = self.begin().await?;
        sqlx::query(sql)
            .bind(repo.as_str())
            .bind(number(pr))
            .bind(subject)
            .bind(login.as_str())
            .bind(binding.digest.as_str())
            .bind(&binding.policy_hash)
            .bind(binding.risk.as_str())
            .bind(millis(at))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Forgets what `subject` was given for, as when a label is taken off.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_binding(&self, repo: &RepoName, pr: PrNumber, subject: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM bindings WHERE repo = $1 AND pr = $2 AND subject = $3")
            .bind(repo.as_str())
            .bind(number(pr))
            .bind(subject)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Everything remembered by [`Store::remember_binding`] for a pull request, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bindings(&self, repo: &RepoName, pr: PrNumber) -> Result<Vec<StoredBinding>, StoreError> {
        let rows = sqlx::query(
            "SELECT subject, login, digest, policy_hash, risk, at FROM bindings WHERE repo = $1 AND pr = $2 \
             ORDER BY at, subject",
        )
        .bind(repo.as_str())
        .bind(number(pr))
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(StoredBinding {
                    subject: row.try_get(0)?,
                    login: Login::new(row.try_get::<String, _>(1)?),
                    binding: Binding {
                        digest: parsed::<Digest>("a digest", row.try_get(2)?)?,
                        policy_hash: row.try_get(3)?,
                        risk: parsed::<Risk>("a risk", row.try_get(4)?)?,
                    },
                    at: time_of(row.try_get(5)?)?,
                })
            })
            .collect()
    }

    /// When people were first asked at this binding; `now` is remembered when they never were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn asked_at(
        &self,
        repo: &RepoName,
        pr: PrNumber,
        binding: &Binding,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, StoreError> {
        let mut tx = self.begin().await?;
        let at: i64 = sqlx::query_scalar(
            "INSERT INTO asked (repo, pr, digest, policy_hash, risk, at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (repo, pr, digest, policy_hash, risk) DO UPDATE SET at = asked.at RETURNING at",
        )
        .bind(repo.as_str())
        .bind(number(pr))
        .bind(binding.digest.as_str())
        .bind(&binding.policy_hash)
        .bind(binding.risk.as_str())
        .bind(millis(now))
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        time_of(at)
    }

    /// When people were first asked at this binding, if they were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn asked_since(
        &self,
        repo: &RepoName,
        pr: PrNumber,
        binding: &Binding,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar(
            "SELECT at FROM asked WHERE repo = $1 AND pr = $2 AND digest = $3 AND policy_hash = $4 AND risk = $5",
        )
        .bind(repo.as_str())
        .bind(number(pr))
        .bind(binding.digest.as_str())
        .bind(&binding.policy_hash)
        .bind(binding.risk.as_str())
        .fetch_optional(self.reader())
        .await?;
        at.map(time_of).transpose()
    }

    /// Remembers that somebody pushed to the pull request; such a person cannot approve it (DECISIONS 5).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_pusher(&self, repo: &RepoName, pr: PrNumber, login: &Login) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO pushers (repo, pr, login) VALUES ($1, $2, $3) ON CONFLICT (repo, pr, login) DO NOTHING",
        )
        .bind(repo.as_str())
        .bind(number(pr))
        .bind(login.as_str().to_ascii_lowercase())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Everybody who was seen pushing to the pull request.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pushers(&self, repo: &RepoName, pr: PrNumber) -> Result<BTreeSet<Login>, StoreError> {
        let logins: Vec<String> = sqlx::query_scalar("SELECT login FROM pushers WHERE repo = $1 AND pr = $2")
            .bind(repo.as_str())
            .bind(number(pr))
            .fetch_all(self.reader())
            .await?;
        Ok(logins.into_iter().map(Login::new).collect())
    }
}

/// A pull request's number as a database can hold it; GitHub's stay far below the bound.
pub(super) fn number(pr: PrNumber) -> i64 {
    i64::try_from(pr.0).unwrap_or(i64::MAX)
}

/// A stored text as the type it was made from.
pub(super) fn parsed<T: std::str::FromStr>(what: &'static str, value: String) -> Result<T, StoreError> {
    value.parse().map_err(|_| StoreError::Value { what, value })
}
