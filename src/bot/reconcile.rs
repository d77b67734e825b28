//! The pass that repairs what lost events left behind: everything open, and what was merged lately, is looked at again, and
//! commands that nobody heard of are answered.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};

use super::Bot;
use super::error::JobError;
use super::gather::Place;
use super::handle::look;
use super::life::repository_of;
use super::worker::{boxed, chain};
use crate::github::{Event, Repository, model};
use crate::store::StoreError;

/// How long after its merge a pull request is still looked at: gates may open late.
pub(super) const LATELY: Duration = Duration::days(14);

impl Bot {
    /// Queues a look at every open pull request, at every merged one that is not done, and at those whose end was not heard
    /// of.
    ///
    /// # Errors
    /// When GitHub cannot name the installations, or the store fails.
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<(), JobError> {
        // What only an event tells, such as who pushed, comes back by GitHub's own log alone.
        if let Err(error) = self.redeliver_lost(now).await {
            tracing::warn!(error = chain(&error), "the log of deliveries was not looked at");
        }
        if let Err(error) = boxed(|| self.tell_of_dead(Utc::now())).await {
            tracing::warn!(error = chain(&error), "work that was given up was not told of");
        }
        for installation in self.note_installations(now).await? {
            // One broken installation does not keep the others waiting.
            if let Err(error) = self.sweep_installation(installation, now).await {
                tracing::warn!(installation, error = chain(&error), "an installation was passed over");
            }
        }
        Ok(())
    }

    /// The same for the repositories of one installation.
    pub(super) async fn sweep_installation(&self, installation: u64, now: DateTime<Utc>) -> Result<(), JobError> {
        for repo in self.github.repositories(installation).await?.into_iter().filter(|r| !r.archived) {
            let repository = repository_of(repo, installation);
            if let Err(error) = self.sweep_repository(&repository, now).await {
                tracing::warn!(repo = %repository.name, error = chain(&error), "a repository was passed over");
            }
        }
        Ok(())
    }

    async fn sweep_repository(&self, repository: &Repository, now: DateTime<Utc>) -> Result<(), JobError> {
        // A repository that is back in its installation, or has another name.
        if self.store.repository(repository.id).await?.is_none_or(|known| known != (repository.name.clone(), false)) {
            self.store.name_repository(repository.id, &repository.name, repository.installation, now).await?;
        }
        let place = self.place(repository).await?;
        if let Err(error) = self.bring_commands(&place).await {
            tracing::warn!(repo = %repository.name, error = chain(&error), "the comments were not read for commands");
        }
        for pull in place.api.open_pulls(None).await? {
            self.look_unless_queued(&look(&place.repository, &pull)).await?;
        }
        // GitHub's list ends somewhere; what is known to be unfinished does not.
        let mut unfinished = BTreeMap::new();
        for judged in self.store.unfinished(&repository.name, now - LATELY).await? {
            unfinished.insert(judged.pr, judged.look);
        }
        for pull in place.api.recently_closed().await? {
            if !unfinished.contains_key(&pull.number) && self.concerns(&place, &pull, now).await? {
                self.look_unless_queued(&look(&place.repository, &pull)).await?;
            }
        }
        for text in unfinished.into_values() {
            let mut event: Event =
                serde_json::from_str(&text).map_err(|_| StoreError::Value { what: "an event", value: text.clone() })?;
            event.set_repo(repository);
            self.look_unless_queued(&event).await?;
        }
        self.answer_gates(&place, now).await
    }

    /// A pass that is quicker than the work adds nothing to it.
    async fn look_unless_queued(&self, event: &Event) -> Result<(), JobError> {
        self.hand_to(&None, event, None).await
    }

    /// Whether a closed pull request is to be looked at: its end was not heard of, or nothing was heard of it at all since
    /// the App came. What was merged before that is none of its business, and what is done needs no further look.
    async fn concerns(&self, place: &Place, pull: &model::PullRequest, now: DateTime<Utc>) -> Result<bool, JobError> {
        if let Some(standing) = self.store.standing(&place.repository.name, pull.number).await? {
            return Ok(standing.open);
        }
        let lately = pull.merged_at.is_some_and(|at| at > now - LATELY);
        let since = if lately { self.store.known_since(place.repository.id).await? } else { None };
        Ok(since.zip(pull.created_at).is_some_and(|(since, created)| created >= since))
    }
}
