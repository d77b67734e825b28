//! What the store says that environments hold, for the rule that recorded migrations stand still.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::approvals::parsed;
use super::collisions::pr_of;
use super::{Store, StoreError, time_of};
use crate::approval::ledger::Recorded;
use crate::ids::RepoName;

impl Store {
    /// What the store says that the environments of a repository hold: rows of this repository, and of runs that name none.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn recorded(&self, repo: &RepoName) -> Result<Vec<Recorded>, StoreError> {
        let rows = sqlx::query(
            "SELECT r.environment, s.target, s.unit, s.migration, s.checksum, s.state, r.pr, r.started_at, r.repo, s.action \
             FROM run_steps s JOIN runs r ON r.id = s.run \
             WHERE r.environment IS NOT NULL AND (r.repo = $1 OR r.repo IS NULL) \
             AND s.state IN ('applied', 'rolled_back', 'running', 'needs_human') ORDER BY s.run, s.position",
        )
        .bind(repo.as_str())
        .fetch_all(self.reader())
        .await?;
        let mut last = BTreeMap::new();
        for row in &rows {
            let place: (String, String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            let state: String = row.try_get(5)?;
            if state == "rolled_back" {
                last.remove(&place);
                continue;
            }
            let action: String = row.try_get(9)?;
            // A rollback that is under way, or came to a halt, is about what was recorded before.
            if action == "rollback" && last.contains_key(&place) {
                continue;
            }
            let record = Recorded {
                environment: parsed("an environment", place.0.clone())?,
                target: parsed("a target", place.1.clone())?,
                unit: place.2.clone(),
                migration: place.3.clone(),
                checksum: row.try_get(4)?,
                pr: row.try_get::<Option<i64>, _>(6)?.map(pr_of),
                at: time_of(row.try_get(7)?)?,
                of_this_repository: row.try_get::<Option<String>, _>(8)?.is_some(),
            };
            last.insert(place, record);
        }
        Ok(last.into_values().collect())
    }
}
