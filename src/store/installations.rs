//! Installations of the App, and the names of their repositories: a renamed repository keeps everything.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, millis, time_of};
use crate::ids::RepoName;

/// Tables whose rows belong to a repository by its name and move with it. The audit log keeps its rows as they were
/// written and is read under former names as well.
pub const NAMED: &[&str] = &[
    "bindings",
    "asked",
    "pushers",
    "environment_records",
    "environment_locks",
    "verdicts",
    "schemas_left",
    "releases",
    "runs",
    "told",
    "protection_requests",
    "turns",
    "legs",
    "rollback_requests",
    "open_changes",
    "collisions",
    "entered",
    "asked_in",
    "pulls",
    "table_facts",
    "said_on_heads",
    "terms",
];

/// How an installation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallationState {
    /// It works.
    Active,
    /// An owner suspended it; nothing is done until that is taken back.
    Suspended,
    /// An owner took it off.
    Deleted,
}

impl InstallationState {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            InstallationState::Active => "active",
            InstallationState::Suspended => "suspended",
            InstallationState::Deleted => "deleted",
        }
    }
}

impl Store {
    /// Remembers how an installation stands; `true` when that is news.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_installation(
        &self,
        id: u64,
        state: InstallationState,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        if self.installation(id).await? == Some(state) {
            return Ok(false);
        }
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO installations (id, state, at) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, at = excluded.at",
        )
        .bind(big(id))
        .bind(state.as_str())
        .bind(millis(at))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// How an installation stands; `None` when nothing was heard of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn installation(&self, id: u64) -> Result<Option<InstallationState>, StoreError> {
        let state: Option<String> = sqlx::query_scalar("SELECT state FROM installations WHERE id = $1")
            .bind(big(id))
            .fetch_optional(self.reader())
            .await?;
        state.map(|word| state_of(&word)).transpose()
    }

    /// Installations that were not taken off, as far as was heard.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn live_installations(&self) -> Result<Vec<u64>, StoreError> {
        let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM installations WHERE state <> 'deleted' ORDER BY id")
            .fetch_all(self.reader())
            .await?;
        Ok(ids.into_iter().filter_map(|id| u64::try_from(id).ok()).collect())
    }

    /// The name that a repository is known by, and whether it was taken out of its installation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn repository(&self, id: u64) -> Result<Option<(RepoName, bool)>, StoreError> {
        let row: Option<(String, Option<i64>)> =
            sqlx::query_as("SELECT name, removed_at FROM repositories WHERE id = $1")
                .bind(big(id))
                .fetch_optional(self.reader())
                .await?;
        row.map(|(name, removed)| Ok((super::approvals::parsed("a repository", name)?, removed.is_some()))).transpose()
    }

    /// When a repository was first heard of; `None` when that was not written down.
    ///
    /// # Errors
    /// When the database fails or holds no time there.
    pub async fn known_since(&self, id: u64) -> Result<Option<DateTime<Utc>>, StoreError> {
        let at: Option<Option<i64>> = sqlx::query_scalar("SELECT known_at FROM repositories WHERE id = $1")
            .bind(big(id))
            .fetch_optional(self.reader())
            .await?;
        at.flatten().map(time_of).transpose()
    }

    /// Remembers a repository's name; everything that is kept under another name that it had moves along. What stood
    /// under the new name belonged to another repository, which is gone, and is dropped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn name_repository(
        &self,
        id: u64,
        name: &RepoName,
        installation: u64,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let known: Option<String> = sqlx::query_scalar("SELECT name FROM repositories WHERE id = $1")
            .bind(big(id))
            .fetch_optional(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO repositories (id, name, installation, removed_at, known_at) VALUES ($1, $2, $3, NULL, $4) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, installation = excluded.installation, removed_at = NULL",
        )
        .bind(big(id))
        .bind(name.as_str())
        .bind(big(installation))
        .bind(millis(at))
        .execute(&mut *tx)
        .await?;
        if let Some(former) = known.filter(|former| former != name.as_str()) {
            for table in NAMED {
                for sql in [
                    format!("DELETE FROM {table} WHERE repo = $1"),
                    format!("UPDATE {table} SET repo = $1 WHERE repo = $2"),
                ] {
                    let with_former = sql.contains("$2");
                    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(name.as_str());
                    let query = if with_former { query.bind(&former) } else { query };
                    query.execute(&mut *tx).await?;
                }
            }
            sqlx::query(
                "INSERT INTO former_names (former, repository, until_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (former, repository) DO UPDATE SET until_at = excluded.until_at",
            )
            .bind(&former)
            .bind(big(id))
            .bind(millis(at))
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Remembers that a repository was taken out of its installation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_repository(&self, id: u64, at: DateTime<Utc>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE repositories SET removed_at = $2 WHERE id = $1")
            .bind(big(id))
            .bind(millis(at))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// What was told last about something; `pr` 0 means the repository as a whole.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn told(&self, repo: &RepoName, pr: u64, what: &str) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT said FROM told WHERE repo = $1 AND pr = $2 AND what = $3")
            .bind(repo.as_str())
            .bind(big(pr))
            .bind(what)
            .fetch_optional(self.reader())
            .await?)
    }

    /// Remembers what was told about something, in place of what was told before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_told(
        &self,
        repo: &RepoName,
        pr: u64,
        what: &str,
        said: &str,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO told (repo, pr, what, said, at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (repo, pr, what) DO UPDATE SET said = excluded.said, at = excluded.at",
        )
        .bind(repo.as_str())
        .bind(big(pr))
        .bind(what)
        .bind(said)
        .bind(millis(at))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Forgets what was told about something, so that it is told again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_told(&self, repo: &RepoName, pr: u64, what: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM told WHERE repo = $1 AND pr = $2 AND what = $3")
            .bind(repo.as_str())
            .bind(big(pr))
            .bind(what)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }
}

fn state_of(word: &str) -> Result<InstallationState, StoreError> {
    [InstallationState::Active, InstallationState::Suspended, InstallationState::Deleted]
        .into_iter()
        .find(|s| s.as_str() == word)
        .ok_or_else(|| StoreError::Value { what: "the state of an installation", value: word.to_owned() })
}

/// Ids of GitHub stay far below the largest number that the store takes.
pub(super) fn big(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
