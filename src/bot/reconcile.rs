//! The pass that repairs what lost events left behind: everything open, and what was merged lately, is looked at again.

use chrono::{DateTime, Duration, Utc};

use super::Bot;
use super::error::JobError;
use super::gather::Place;
use super::handle::look;
use super::life::repository_of;
use super::worker::chain;
use crate::github::{Repository, model};
use crate::store::AuditFilter;

/// How long after its merge a pull request is still looked at: gates may open late.
pub(super) const LATELY: Duration = Duration::days(14);

impl Bot {
    /// Queues a look at every open pull request, and at every merged one that the bot knows and that is not done.
    ///
    /// # Errors
    /// When GitHub cannot name the installations, or the store fails.
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<(), JobError> {
        // What only an event tells, such as a command, comes back by GitHub's own log alone.
        if let Err(error) = self.redeliver_lost(now).await {
            tracing::warn!(error = chain(&error), "the log of deliveries was not looked at");
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
        for pull in place.api.open_pulls(None).await? {
            self.look_unless_queued(&place, &pull).await?;
        }
        for pull in place.api.recently_closed().await? {
            if pull.merged_at.is_some_and(|at| at > now - LATELY) && self.knows(&place, &pull).await? {
                self.look_unless_queued(&place, &pull).await?;
            }
        }
        self.answer_gates(&place, now).await
    }

    /// A pass that is quicker than the work adds nothing to it.
    async fn look_unless_queued(&self, place: &Place, pull: &model::PullRequest) -> Result<(), JobError> {
        self.hand_to(&None, &look(&place.repository, pull), None).await
    }

    /// Whether a verdict was ever recorded: what was merged before the App came is none of its business.
    pub(super) async fn knows(&self, place: &Place, pull: &model::PullRequest) -> Result<bool, JobError> {
        let filter = AuditFilter {
            repo: Some(place.repository.name.clone()),
            pr: Some(pull.number),
            last: Some(1),
            ..AuditFilter::default()
        };
        Ok(!self.store.audit(&filter).await?.is_empty())
    }
}
