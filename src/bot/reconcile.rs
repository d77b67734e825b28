//! The pass that repairs what lost events left behind: everything open, and what was merged lately, is looked at again.

use chrono::{DateTime, Duration, Utc};

use super::Bot;
use super::error::JobError;
use super::gather::Place;
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
        for installation in self.github.installations().await? {
            let repositories = match self.github.repositories(installation).await {
                Ok(repositories) => repositories,
                // One suspended or broken installation does not keep the others waiting.
                Err(error) => {
                    tracing::warn!(installation, error = chain(&error), "an installation was passed over");
                    continue;
                }
            };
            for repo in repositories.into_iter().filter(|r| !r.archived) {
                let name = repo.full_name.clone();
                if let Err(error) = self.sweep_repository(repo, installation, now).await {
                    tracing::warn!(repo = %name, error = chain(&error), "a repository was passed over");
                }
            }
        }
        Ok(())
    }

    async fn sweep_repository(&self, repo: model::Repo, installation: u64, now: DateTime<Utc>) -> Result<(), JobError> {
        let repository = Repository {
            id: repo.id,
            name: repo.full_name,
            clone_url: repo.clone_url,
            default_branch: repo.default_branch,
            installation,
        };
        let place = self.place(&repository).await?;
        for pull in place.api.open_pulls(None).await? {
            self.enqueue_look(&place, &pull).await?;
        }
        for pull in place.api.recently_closed().await? {
            if pull.merged_at.is_some_and(|at| at > now - LATELY) && self.knows(&place, &pull).await? {
                self.enqueue_look(&place, &pull).await?;
            }
        }
        Ok(())
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
