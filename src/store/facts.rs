//! What targets said of their tables when a change was judged.

use chrono::{DateTime, Utc};
use sqlx::Row as _;

use super::approvals::number;
use super::{Store, StoreError, millis, time_of};
use crate::ids::{Digest, PrNumber, RepoName};
use crate::risk::facts::PlaceFacts;

impl Store {
    /// What was known when this content of a pull request was judged, and since when.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn table_facts(
        &self,
        repo: &RepoName,
        pr: PrNumber,
        digest: &Digest,
    ) -> Result<Option<(DateTime<Utc>, Vec<PlaceFacts>)>, StoreError> {
        let row = sqlx::query("SELECT at, facts FROM table_facts WHERE repo = $1 AND pr = $2 AND digest = $3")
            .bind(repo.as_str())
            .bind(number(pr))
            .bind(digest.as_str())
            .fetch_optional(self.reader())
            .await?;
        let Some(row) = row else { return Ok(None) };
        // What another version wrote otherwise is as good as nothing: it is read anew.
        let facts: Option<Vec<PlaceFacts>> = serde_json::from_str(row.try_get(1)?).ok();
        let at = time_of(row.try_get(0)?)?;
        Ok(facts.map(|facts| (at, facts)))
    }

    /// Keeps what is known now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_table_facts(
        &self,
        repo: &RepoName,
        pr: PrNumber,
        digest: &Digest,
        facts: &[PlaceFacts],
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(facts).unwrap_or_default();
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO table_facts (repo, pr, digest, at, facts) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (repo, pr, digest) DO UPDATE SET at = excluded.at, facts = excluded.facts",
        )
        .bind(repo.as_str())
        .bind(number(pr))
        .bind(digest.as_str())
        .bind(millis(at))
        .bind(text)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}
