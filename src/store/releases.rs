//! Which contract migrations a person released, and where.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{Store, StoreError, millis};
use crate::ids::RepoName;
use crate::migration::Migration;
use crate::redact;

/// A person's word that a contract migration may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The repository; `None` on the command line.
    pub repo: Option<RepoName>,
    /// The environment, or the target of an ad hoc run.
    pub place: String,
    /// Who released it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl Store {
    /// Releases a migration as its script reads now; an edit of it needs another release. `false`: it was released before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release(&self, migration: &Migration, release: &Release) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "INSERT INTO releases (repo, place, migration, checksum, by_whom, reason, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (repo, place, migration, checksum) DO NOTHING",
        )
        .bind(release.repo.as_ref().map_or("", RepoName::as_str))
        .bind(&release.place)
        .bind(migration.reference())
        .bind(migration.checksum.as_str())
        .bind(&release.by)
        .bind(redact::text(&release.reason))
        .bind(millis(release.at))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// What was released for a place, as [`Migration::release_key`]; what was released without a repository holds for
    /// each.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn releases(&self, repo: Option<&RepoName>, place: &str) -> Result<BTreeSet<String>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT migration, checksum FROM releases WHERE place = $1 AND (repo = '' OR repo = $2)")
                .bind(place)
                .bind(repo.map_or("", RepoName::as_str))
                .fetch_all(self.reader())
                .await?;
        Ok(rows.into_iter().map(|(migration, checksum)| format!("{migration} {checksum}")).collect())
    }
}
