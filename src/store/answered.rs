//! Comments whose commands were dealt with, and how far a repository's comments were read for those that never arrived.

use chrono::{DateTime, Utc};

use super::installations::big;
use super::{Store, StoreError, millis, time_of};

/// What became of a comment's commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// They were answered; they are not obeyed again, however often they come.
    Done,
    /// They were tried until they were given up, and who wrote them was told; only a redelivery tries them again.
    GivenUp,
}

impl Answered {
    fn as_str(self) -> &'static str {
        match self {
            Answered::Done => "done",
            Answered::GivenUp => "given-up",
        }
    }
}

/// How far a repository's comments were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommentsRead {
    /// What was written before is not looked for.
    pub from: DateTime<Utc>,
    /// When they were read last; `None` when they never were.
    pub last: Option<DateTime<Utc>>,
}

impl Store {
    /// What became of a comment's commands; `None` while they are still to be answered.
    ///
    /// # Errors
    /// When the database fails, or holds what this version does not understand.
    pub async fn answered(&self, comment: u64) -> Result<Option<Answered>, StoreError> {
        let how: Option<String> = sqlx::query_scalar("SELECT how FROM answered WHERE comment = $1")
            .bind(big(comment))
            .fetch_optional(self.reader())
            .await?;
        how.map(|how| {
            [Answered::Done, Answered::GivenUp]
                .into_iter()
                .find(|known| known.as_str() == how)
                .ok_or(StoreError::Value { what: "what became of a command", value: how })
        })
        .transpose()
    }

    /// Remembers what became of a comment's commands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_answer(&self, comment: u64, how: Answered) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO answered (comment, how, at) VALUES ($1, $2, $3) \
             ON CONFLICT (comment) DO UPDATE SET how = excluded.how, at = excluded.at",
        )
        .bind(big(comment))
        .bind(how.as_str())
        .bind(millis(Utc::now()))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// How far a repository's comments were read. One of which nobody wrote down since when it is known is read from now on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn comments_read(&self, repository: u64) -> Result<CommentsRead, StoreError> {
        let row: Option<(Option<i64>, Option<i64>)> =
            sqlx::query_as("SELECT COALESCE(commands_from, known_at), commands_read FROM repositories WHERE id = $1")
                .bind(big(repository))
                .fetch_optional(self.reader())
                .await?;
        let (from, last) = row.unwrap_or_default();
        if let Some(from) = from {
            return Ok(CommentsRead { from: time_of(from)?, last: last.map(time_of).transpose()? });
        }
        let now = Utc::now();
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE repositories SET commands_from = $2 WHERE id = $1")
            .bind(big(repository))
            .bind(millis(now))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(CommentsRead { from: now, last: None })
    }

    /// Remembers that a repository's comments were read up to a moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_comments_read(&self, repository: u64, at: DateTime<Utc>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE repositories SET commands_read = $2 WHERE id = $1")
            .bind(big(repository))
            .bind(millis(at))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }
}
