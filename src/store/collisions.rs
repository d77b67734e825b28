//! What open pull requests touch, and which of them were found in each other's way.

use sqlx::Row as _;

use super::approvals::number;
use super::{Store, StoreError};
use crate::approval::collisions::Touched;
use crate::ids::{PrNumber, RepoName};

/// Two pull requests that collide, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCollision {
    /// The other pull request.
    pub other: PrNumber,
    /// In what they collide, as sentences.
    pub what: Vec<String>,
    /// How it ended; `None` while it lasts.
    pub settled: Option<String>,
}

impl Store {
    /// Remembers what an open pull request touches.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_changes(&self, repo: &RepoName, pr: PrNumber, touched: &[Touched]) -> Result<(), StoreError> {
        let text = serde_json::to_string(touched).unwrap_or_default();
        let there: Option<String> = sqlx::query_scalar("SELECT touched FROM open_changes WHERE repo = $1 AND pr = $2")
            .bind(repo.as_str())
            .bind(number(pr))
            .fetch_optional(self.reader())
            .await?;
        if there.as_deref() == Some(text.as_str()) || (there.is_none() && touched.is_empty()) {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO open_changes (repo, pr, touched) VALUES ($1, $2, $3) \
             ON CONFLICT (repo, pr) DO UPDATE SET touched = excluded.touched",
        )
        .bind(repo.as_str())
        .bind(number(pr))
        .bind(&text)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Forgets what a pull request touches, as when it is closed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_changes(&self, repo: &RepoName, pr: PrNumber) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM open_changes WHERE repo = $1 AND pr = $2")
            .bind(repo.as_str())
            .bind(number(pr))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// What the other open pull requests of a repository touch, oldest first.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn changes_of_others(
        &self,
        repo: &RepoName,
        pr: PrNumber,
    ) -> Result<Vec<(PrNumber, Vec<Touched>)>, StoreError> {
        let rows = sqlx::query("SELECT pr, touched FROM open_changes WHERE repo = $1 AND pr <> $2 ORDER BY pr")
            .bind(repo.as_str())
            .bind(number(pr))
            .fetch_all(self.reader())
            .await?;
        rows.iter()
            .map(|row| {
                let text: String = row.try_get(1)?;
                let touched =
                    serde_json::from_str(&text).map_err(|_| StoreError::Value { what: "changes", value: text })?;
                Ok((pr_of(row.try_get(0)?), touched))
            })
            .collect()
    }

    /// The collisions of a pull request, those that are settled too.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn collisions(&self, repo: &RepoName, pr: PrNumber) -> Result<Vec<StoredCollision>, StoreError> {
        let rows = sqlx::query(
            "SELECT pr, other, what, settled FROM collisions WHERE repo = $1 AND (pr = $2 OR other = $2) \
             ORDER BY pr, other",
        )
        .bind(repo.as_str())
        .bind(number(pr))
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                let (low, high): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                let what: String = row.try_get(2)?;
                Ok(StoredCollision {
                    other: pr_of(if low == number(pr) { high } else { low }),
                    what: serde_json::from_str(&what)
                        .map_err(|_| StoreError::Value { what: "a collision", value: what })?,
                    settled: row.try_get(3)?,
                })
            })
            .collect()
    }

    /// Remembers that two pull requests collide, or how that ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_collision(
        &self,
        repo: &RepoName,
        pr: PrNumber,
        collision: &StoredCollision,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO collisions (repo, pr, other, what, settled) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (repo, pr, other) DO UPDATE SET what = excluded.what, settled = excluded.settled",
        )
        .bind(repo.as_str())
        .bind(number(pr.min(collision.other)))
        .bind(number(pr.max(collision.other)))
        .bind(serde_json::to_string(&collision.what).unwrap_or_default())
        .bind(collision.settled.as_deref())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }
}

/// The pull request of a stored number.
pub(super) fn pr_of(number: i64) -> PrNumber {
    PrNumber(u64::try_from(number).unwrap_or_default())
}
