//! Approvals that were entered outside GitHub, and when the people of one environment were asked.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::approvals::{number, parsed};
use super::collisions::pr_of;
use super::{AuditEntry, Store, StoreError, millis, time_of};
use crate::approval::{Asked, Binding, Source};
use crate::ids::{EnvironmentName, Login, PrNumber, RepoName, RoleName};
use crate::redact;

/// An approval to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntered {
    /// The repository.
    pub repo: RepoName,
    /// The pull request it is for; `None`: for one migration, wherever it comes.
    pub pr: Option<PrNumber>,
    /// The environment.
    pub environment: EnvironmentName,
    /// The role it is given in.
    pub role: RoleName,
    /// Whose approval it is.
    pub approver: Login,
    /// Whom the token belongs to that entered it.
    pub entered_by: Login,
    /// The way it came.
    pub source: Source,
    /// What the person said.
    pub comment: String,
    /// What was approved, for people: the migration, or the pull request.
    pub subject: String,
    /// What it is bound to; the digest is that of `subject`.
    pub binding: Binding,
    /// When.
    pub at: DateTime<Utc>,
}

/// One that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnteredRow {
    /// Its id, a ULID.
    pub id: String,
    /// What it says.
    pub approval: NewEntered,
}

impl EnteredRow {
    /// It as the API and `--format json` give it.
    pub fn as_json(&self) -> Value {
        let a = &self.approval;
        json!({
            "id": self.id, "repository": a.repo, "pull": a.pr, "environment": a.environment, "role": a.role,
            "approver": a.approver, "entered_by": a.entered_by, "source": a.source, "comment": a.comment,
            "subject": a.subject, "digest": a.binding.digest, "policy_hash": a.binding.policy_hash,
            "risk": a.binding.risk, "at": a.at,
        })
    }
}

impl NewEntered {
    /// The audit row of its being entered.
    pub fn audit_entry(&self) -> AuditEntry {
        let mut entry = AuditEntry::new(self.at, self.entered_by.as_str(), "approve", "entered");
        entry.repo = Some(self.repo.clone());
        entry.pr = self.pr;
        entry.environment = Some(self.environment.clone());
        entry.digest = Some(self.binding.digest.clone());
        entry.policy_hash = Some(self.binding.policy_hash.clone());
        entry.basis = Some(format!("{}: {}", self.role, self.approver));
        for (key, value) in [
            ("approver", self.approver.to_string()),
            ("entered_by", self.entered_by.to_string()),
            ("source", self.source.as_str().to_owned()),
            ("subject", self.subject.clone()),
            ("risk", self.binding.risk.to_string()),
            ("comment", self.comment.clone()),
        ] {
            entry.details.insert(key.to_owned(), value);
        }
        entry
    }
}

const SELECT: &str = "SELECT id, repo, pr, environment, role, approver, entered_by, source, comment, subject, digest, \
                      policy_hash, risk, at FROM entered";

impl Store {
    /// Keeps an approval; the same person's word for the same content, environment and role is kept once. Gives its id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enter_approval(&self, new: &NewEntered) -> Result<String, StoreError> {
        let sql = format!(
            "{SELECT} WHERE repo = $1 AND environment = $2 AND role = $3 AND approver = $4 AND digest = $5 \
             AND policy_hash = $6 AND risk = $7 AND COALESCE(pr, -1) = $8 ORDER BY id DESC LIMIT 1"
        );
        let id = self.next_id();
        let mut tx = self.begin().await?;
        let same = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(new.repo.as_str())
            .bind(new.environment.as_str())
            .bind(new.role.as_str())
            .bind(new.approver.as_str())
            .bind(new.binding.digest.as_str())
            .bind(&new.binding.policy_hash)
            .bind(new.binding.risk.as_str())
            .bind(new.pr.map_or(-1, number))
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(row) = same {
            // Said once more, it holds from now on: what expired is given anew that way.
            let id: String = row.try_get(0)?;
            sqlx::query("UPDATE entered SET at = $2, entered_by = $3, comment = $4 WHERE id = $1")
                .bind(&id)
                .bind(millis(new.at))
                .bind(new.entered_by.as_str())
                .bind(redact::text(&new.comment))
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            return Ok(id);
        }
        sqlx::query(
            "INSERT INTO entered (id, repo, pr, environment, role, approver, entered_by, source, comment, subject, digest, \
             policy_hash, risk, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(&id)
        .bind(new.repo.as_str())
        .bind(new.pr.map(number))
        .bind(new.environment.as_str())
        .bind(new.role.as_str())
        .bind(new.approver.as_str())
        .bind(new.entered_by.as_str())
        .bind(new.source.as_str())
        .bind(redact::text(&new.comment))
        .bind(&new.subject)
        .bind(new.binding.digest.as_str())
        .bind(&new.binding.policy_hash)
        .bind(new.binding.risk.as_str())
        .bind(millis(new.at))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// The approvals entered for a repository, oldest first; those of one pull request alone where one is named, with
    /// those given for single migrations.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn entered(&self, repo: &RepoName, pr: Option<PrNumber>) -> Result<Vec<EnteredRow>, StoreError> {
        let sql =
            format!("{SELECT} WHERE repo = $1 AND (pr IS NULL OR CAST($2 AS BIGINT) = -1 OR pr = $2) ORDER BY id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(repo.as_str())
            .bind(pr.map_or(-1, number))
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(row_of).collect()
    }

    /// The approvals entered for an environment, of every repository, oldest first.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn entered_in(&self, environment: &EnvironmentName) -> Result<Vec<EnteredRow>, StoreError> {
        let sql = format!("{SELECT} WHERE environment = $1 ORDER BY id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(environment.as_str()).fetch_all(self.reader()).await?;
        rows.iter().map(row_of).collect()
    }

    /// When the people of single environments were asked at this binding.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn asked_in(
        &self,
        repo: &RepoName,
        pr: PrNumber,
        binding: &Binding,
    ) -> Result<BTreeMap<EnvironmentName, Asked>, StoreError> {
        let rows = sqlx::query(
            "SELECT environment, at, anew FROM asked_in \
             WHERE repo = $1 AND pr = $2 AND digest = $3 AND policy_hash = $4 AND risk = $5",
        )
        .bind(repo.as_str())
        .bind(number(pr))
        .bind(binding.digest.as_str())
        .bind(&binding.policy_hash)
        .bind(binding.risk.as_str())
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                let asked = Asked { at: time_of(row.try_get(1)?)?, anew: row.try_get::<i64, _>(2)? != 0 };
                Ok((parsed("an environment", row.try_get(0)?)?, asked))
            })
            .collect()
    }

    /// Remembers that the people of an environment are asked from `asked.at` on; an earlier time stays unless they are
    /// asked anew.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ask_in(
        &self,
        repo: &RepoName,
        pr: PrNumber,
        environment: &EnvironmentName,
        binding: &Binding,
        asked: Asked,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO asked_in (repo, pr, environment, digest, policy_hash, risk, at, anew) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (repo, pr, environment, digest, policy_hash, risk) \
             DO UPDATE SET at = excluded.at, anew = excluded.anew WHERE excluded.anew = 1",
        )
        .bind(repo.as_str())
        .bind(number(pr))
        .bind(environment.as_str())
        .bind(binding.digest.as_str())
        .bind(&binding.policy_hash)
        .bind(binding.risk.as_str())
        .bind(millis(asked.at))
        .bind(i64::from(asked.anew))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }
}

fn row_of(row: &AnyRow) -> Result<EnteredRow, StoreError> {
    let source: String = row.try_get(7)?;
    Ok(EnteredRow {
        id: row.try_get(0)?,
        approval: NewEntered {
            repo: parsed("a repository", row.try_get(1)?)?,
            pr: row.try_get::<Option<i64>, _>(2)?.map(pr_of),
            environment: parsed("an environment", row.try_get(3)?)?,
            role: parsed("a role", row.try_get(4)?)?,
            approver: Login::new(row.try_get::<String, _>(5)?),
            entered_by: Login::new(row.try_get::<String, _>(6)?),
            source: Source::parse(&source).ok_or(StoreError::Value { what: "a source", value: source })?,
            comment: row.try_get(8)?,
            subject: row.try_get(9)?,
            binding: Binding {
                digest: parsed("a digest", row.try_get(10)?)?,
                policy_hash: row.try_get(11)?,
                risk: parsed("a risk", row.try_get(12)?)?,
            },
            at: time_of(row.try_get(13)?)?,
        },
    })
}
