//! Who is looked at again when something ended in an environment.

use std::collections::{BTreeMap, BTreeSet};

use super::approvals::number;
use super::turns::{TurnState, targets_of};
use super::{Store, StoreError};
use crate::github::Event;
use crate::ids::{EnvironmentName, PrNumber, RepoName, TargetName};

/// Waiters of a queue that are told of their new place at once; those behind them look by themselves, ever more rarely.
const FIRST: usize = 3;

/// What a pull request brought to an environment.
#[derive(Debug, Clone, Copy)]
pub struct Brought<'a> {
    /// The repository.
    pub repo: &'a RepoName,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The pull request.
    pub pr: PrNumber,
    /// The targets that it needed.
    pub targets: &'a [TargetName],
    /// References of its migrations.
    pub migrations: &'a BTreeSet<String>,
}

impl Store {
    /// Queues another look at those who may go on because a pull request is done in an environment: the first of those who
    /// wait for their turn on one of its targets, and whoever waits for one of its migrations. All others wait for
    /// something else, and looking at each of them after every run would make a long list of waiters ever slower.
    ///
    /// # Errors
    /// When the database fails, or holds what this version does not understand.
    pub async fn wake_after(&self, done: Brought<'_>) -> Result<(), StoreError> {
        let rows: Vec<(i64, String, String, String, String, String)> = sqlx::query_as(
            "SELECT pr, environment, targets, state, waits_for, event FROM turns WHERE repo = $1 AND state <> $2 \
             ORDER BY merged_at, pr",
        )
        .bind(done.repo.as_str())
        .bind(TurnState::Running.as_str())
        .fetch_all(self.reader())
        .await?;
        let mut next = BTreeMap::new();
        let mut left: BTreeMap<&TargetName, usize> = done.targets.iter().map(|target| (target, FIRST)).collect();
        for (pr, environment, targets, state, waits_for, event) in rows.into_iter().filter(|r| r.0 != number(done.pr)) {
            let awaited = waits_for.lines().any(|reference| done.migrations.contains(reference));
            let mut in_turn = false;
            if environment == done.environment.as_str() && state == TurnState::Queued.as_str() {
                for target in targets_of(&targets)? {
                    if let Some(left) = left.get_mut(&target).filter(|left| **left > 0) {
                        *left -= 1;
                        in_turn = true;
                    }
                }
            }
            if awaited || in_turn {
                next.insert(pr, event);
            }
        }
        self.look_at(next.into_values()).await
    }

    /// Queues another look at everybody who stands in an environment, besides `but`; of every repository where none is
    /// named.
    ///
    /// # Errors
    /// When the database fails, or holds what this version does not understand.
    pub async fn wake(
        &self,
        repo: Option<&RepoName>,
        environment: &EnvironmentName,
        but: Option<PrNumber>,
    ) -> Result<(), StoreError> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT pr, event FROM turns WHERE environment = $2 AND state <> 'running' AND ($1 = '' OR repo = $1) \
             ORDER BY merged_at, pr",
        )
        .bind(repo.map_or("", RepoName::as_str))
        .bind(environment.as_str())
        .fetch_all(self.reader())
        .await?;
        self.look_at(rows.into_iter().filter(|(pr, _)| but.is_none_or(|but| number(but) != *pr)).map(|(_, e)| e)).await
    }

    /// Queues the looks that stored events ask for.
    async fn look_at(&self, events: impl Iterator<Item = String>) -> Result<(), StoreError> {
        for event in events {
            let event: Event = serde_json::from_str(&event)
                .map_err(|e| StoreError::Value { what: "an event", value: e.to_string() })?;
            if let Some(key) = event.serial_key() {
                self.enqueue(&key, &event, None).await?;
            }
        }
        Ok(())
    }
}
