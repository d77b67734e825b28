//! Which runs somebody wants to stop before their next statement, in whatever process they go on.

use chrono::Utc;

use super::approvals::parsed;
use super::{Store, StoreError, millis};
use crate::ids::{EnvironmentName, RepoName, RunId};

/// What a turn waits for between two parts of its run: it is kept, however long the next worker takes.
pub(super) const HANDED_ON: &str = "region";
/// What a turn waits for between two tries on a database that somebody else holds.
pub(super) const BUSY: &str = "busy";

impl Store {
    /// Asks a run to stop before its next statement; whoever carries it out looks here.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ask_to_stop(&self, run: &RunId, by: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO run_stops (run, by_whom, at) VALUES ($1, $2, $3) ON CONFLICT (run) DO NOTHING")
            .bind(run.as_str())
            .bind(by)
            .bind(millis(Utc::now()))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Who asked a run to stop, if somebody did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn asked_to_stop(&self, run: &RunId) -> Result<Option<String>, StoreError> {
        let by: Option<(String,)> = sqlx::query_as("SELECT by_whom FROM run_stops WHERE run = $1")
            .bind(run.as_str())
            .fetch_optional(self.reader())
            .await?;
        Ok(by.map(|(by,)| by))
    }

    /// Runs in an environment that have not said how they ended: those of the repository, and those of the command line;
    /// of every repository where none is named.
    ///
    /// # Errors
    /// When the database fails, or holds what this version does not understand.
    pub async fn open_runs(
        &self,
        repo: Option<&RepoName>,
        environment: &EnvironmentName,
    ) -> Result<Vec<RunId>, StoreError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT id FROM runs WHERE environment = $2 AND finished_at IS NULL AND ($1 = '' OR repo = $1 OR repo IS NULL) \
             UNION SELECT run FROM turns WHERE environment = $2 AND ($1 = '' OR repo = $1) AND state = 'running' \
             AND reason NOT IN ($3, $4)",
        )
        .bind(repo.map_or("", RepoName::as_str))
        .bind(environment.as_str())
        // What rests between two parts or tries does not go on at the moment.
        .bind(HANDED_ON)
        .bind(BUSY)
        .fetch_all(self.reader())
        .await?;
        rows.into_iter().map(|(run,)| parsed("a run", run)).collect()
    }
}
