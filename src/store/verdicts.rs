//! What the server found people to have agreed to, migration by migration, for the command line to read.

use chrono::{DateTime, Utc};
use sqlx::Row as _;

use super::approvals::{number, parsed};
use super::{Store, StoreError, millis, time_of};
use crate::ids::{Digest, EnvironmentName, PrNumber, RepoName, Risk};

/// A migration that may run in an environment, as far as people are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The environment.
    pub environment: EnvironmentName,
    /// Digest of that one migration.
    pub digest: Digest,
    /// The policy it was judged by.
    pub policy_hash: String,
    /// The risk it was judged at.
    pub risk: Risk,
    /// Who filled which role.
    pub basis: String,
    /// When the approvals go stale; `None` when they do not.
    pub expires_at: Option<DateTime<Utc>>,
}

const SELECT: &str = "SELECT environment, digest, policy_hash, risk, basis, expires_at FROM verdicts";

impl Store {
    /// Remembers what is agreed to in a pull request, instead of what was before. Nothing is written when it is the same.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_agreed(&self, repo: &RepoName, pr: PrNumber, agreed: &[Agreed]) -> Result<(), StoreError> {
        let sql = format!("{SELECT} WHERE repo = $1 AND pr = $2");
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(repo.as_str()).bind(number(pr)).fetch_all(self.reader()).await?;
        let there: Vec<Agreed> = rows.iter().map(agreed_of).collect::<Result<_, _>>()?;
        if there.len() == agreed.len() && agreed.iter().all(|a| there.contains(a)) {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM verdicts WHERE repo = $1 AND pr = $2")
            .bind(repo.as_str())
            .bind(number(pr))
            .execute(&mut *tx)
            .await?;
        for one in agreed {
            sqlx::query(
                "INSERT INTO verdicts (repo, pr, environment, digest, policy_hash, risk, basis, expires_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (repo, pr, environment, digest) DO NOTHING",
            )
            .bind(repo.as_str())
            .bind(number(pr))
            .bind(one.environment.as_str())
            .bind(one.digest.as_str())
            .bind(&one.policy_hash)
            .bind(one.risk.as_str())
            .bind(&one.basis)
            .bind(one.expires_at.map(millis))
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Everything agreed to for an environment, of every repository of the store.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn agreed_in(&self, environment: &EnvironmentName) -> Result<Vec<Agreed>, StoreError> {
        let sql = format!("{SELECT} WHERE environment = $1 ORDER BY digest");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(environment.as_str()).fetch_all(self.reader()).await?;
        rows.iter().map(agreed_of).collect()
    }
}

fn agreed_of(row: &sqlx::any::AnyRow) -> Result<Agreed, StoreError> {
    Ok(Agreed {
        environment: parsed("an environment", row.try_get(0)?)?,
        digest: parsed("a digest", row.try_get(1)?)?,
        policy_hash: row.try_get(2)?,
        risk: parsed("a risk", row.try_get(3)?)?,
        basis: row.try_get(4)?,
        expires_at: row.try_get::<Option<i64>, _>(5)?.map(time_of).transpose()?,
    })
}
