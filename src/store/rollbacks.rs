//! What people asked to be undone: each request once, and what became of it.

use chrono::{DateTime, Utc};

use super::approvals::{number, parsed};
use super::{Store, StoreError, millis, time_of};
use crate::ids::{EnvironmentName, Login, PrNumber, RepoName, RunId};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    /// It waits for a second person.
    Pending,
    /// It may run.
    Ready,
    /// It ran.
    Done,
    /// It could not run any more.
    Refused,
    /// It was taken back.
    Withdrawn,
}

/// A request to undo a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackRequest {
    /// Its id, by which a second person confirms it.
    pub id: RunId,
    /// Where.
    pub environment: EnvironmentName,
    /// The pull request on which it was asked.
    pub pr: PrNumber,
    /// Which, as `unit/id`.
    pub migration: String,
    /// The pull request whose run applied it, where that is known.
    pub brought_by: Option<PrNumber>,
    /// Hash of what would be undone when it was asked.
    pub steps: String,
    /// Who asked.
    pub asked_by: Login,
    /// The comment in which.
    pub asked_in: u64,
    /// Which of its commands.
    pub line: u64,
    /// Who confirmed.
    pub confirmed_by: Option<Login>,
    /// What became of it.
    pub state: RequestState,
    /// When it was asked.
    pub asked_at: DateTime<Utc>,
    /// When it may no longer be confirmed.
    pub expires_at: DateTime<Utc>,
}

impl RequestState {
    const ALL: [RequestState; 5] = [
        RequestState::Pending,
        RequestState::Ready,
        RequestState::Done,
        RequestState::Refused,
        RequestState::Withdrawn,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            RequestState::Pending => "pending",
            RequestState::Ready => "ready",
            RequestState::Done => "done",
            RequestState::Refused => "refused",
            RequestState::Withdrawn => "withdrawn",
        }
    }
}

type Row = (String, String, i64, String, Option<i64>, String, String, i64, i64, Option<String>, String, i64, i64);
const COLUMNS: &str = "SELECT id, environment, pr, migration, brought_by, steps, asked_by, asked_in, line, confirmed_by, state, \
                       asked_at, expires_at FROM rollback_requests";

impl Store {
    /// Stores a request, unless this command of this comment made one before; gives the one that is there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request_rollback(
        &self,
        repo: &RepoName,
        request: &RollbackRequest,
    ) -> Result<RollbackRequest, StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO rollback_requests (id, repo, environment, pr, migration, brought_by, steps, asked_by, asked_in, line, \
             confirmed_by, state, asked_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
             ON CONFLICT (repo, asked_in, line) DO NOTHING",
        )
        .bind(request.id.as_str())
        .bind(repo.as_str())
        .bind(request.environment.as_str())
        .bind(number(request.pr))
        .bind(&request.migration)
        .bind(request.brought_by.map(number))
        .bind(&request.steps)
        .bind(request.asked_by.as_str())
        .bind(i64::try_from(request.asked_in).unwrap_or(i64::MAX))
        .bind(i64::try_from(request.line).unwrap_or(i64::MAX))
        .bind(request.confirmed_by.as_ref().map(|l| l.as_str().to_owned()))
        .bind(request.state.as_str())
        .bind(millis(request.asked_at))
        .bind(millis(request.expires_at))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let kept = self.rollback_asked_in(repo, request.asked_in, request.line).await?;
        Ok(kept.unwrap_or_else(|| request.clone()))
    }

    /// The request that a command of a comment made.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rollback_asked_in(
        &self,
        repo: &RepoName,
        comment: u64,
        line: u64,
    ) -> Result<Option<RollbackRequest>, StoreError> {
        let sql = format!("{COLUMNS} WHERE repo = $1 AND asked_in = $2 AND line = $3");
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(repo.as_str())
            .bind(i64::try_from(comment).unwrap_or(i64::MAX))
            .bind(i64::try_from(line).unwrap_or(i64::MAX))
            .fetch_optional(self.reader())
            .await?;
        row.map(request_of).transpose()
    }

    /// A repository's request by its id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rollback_request(&self, repo: &RepoName, id: &RunId) -> Result<Option<RollbackRequest>, StoreError> {
        let sql = format!("{COLUMNS} WHERE repo = $1 AND id = $2");
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(repo.as_str())
            .bind(id.as_str())
            .fetch_optional(self.reader())
            .await?;
        row.map(request_of).transpose()
    }

    /// The requests of a pull request in one state, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rollback_requests(
        &self,
        repo: &RepoName,
        pr: PrNumber,
        state: RequestState,
    ) -> Result<Vec<RollbackRequest>, StoreError> {
        let sql = format!("{COLUMNS} WHERE repo = $1 AND pr = $2 AND state = $3 ORDER BY id");
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(repo.as_str())
            .bind(number(pr))
            .bind(state.as_str())
            .fetch_all(self.reader())
            .await?;
        rows.into_iter().map(request_of).collect()
    }

    /// Moves a request on; `false` when it no longer is in the state `from`. `by`: who confirmed it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn move_rollback(
        &self,
        id: &RunId,
        from: RequestState,
        to: RequestState,
        by: Option<&Login>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE rollback_requests SET state = $3, confirmed_by = COALESCE($4, confirmed_by) WHERE id = $1 AND state = $2",
        )
        .bind(id.as_str())
        .bind(from.as_str())
        .bind(to.as_str())
        .bind(by.map(|l| l.as_str().to_owned()))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

fn request_of(row: Row) -> Result<RollbackRequest, StoreError> {
    let (
        id,
        environment,
        pr,
        migration,
        brought_by,
        steps,
        asked_by,
        asked_in,
        line,
        confirmed_by,
        state,
        asked_at,
        expires_at,
    ) = row;
    let pull = |n: i64| PrNumber(u64::try_from(n).unwrap_or_default());
    Ok(RollbackRequest {
        id: parsed("a request", id)?,
        environment: parsed("an environment", environment)?,
        pr: pull(pr),
        migration,
        brought_by: brought_by.map(pull),
        steps,
        asked_by: Login::new(asked_by),
        asked_in: u64::try_from(asked_in).unwrap_or_default(),
        line: u64::try_from(line).unwrap_or_default(),
        confirmed_by: confirmed_by.map(Login::new),
        state: RequestState::ALL
            .into_iter()
            .find(|s| s.as_str() == state)
            .ok_or(StoreError::Value { what: "a request", value: state })?,
        asked_at: time_of(asked_at)?,
        expires_at: time_of(expires_at)?,
    })
}
