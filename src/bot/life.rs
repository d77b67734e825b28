//! The App's own life: installed, suspended, taken off; repositories that come, go and change their names. Work for what
//! is gone is closed with a reason, and taken up by a sweep when it comes back.

use chrono::{DateTime, Utc};

use super::Bot;
use super::error::JobError;
use super::worker::chain;
use crate::github::{RepoRef, Repository, model};
use crate::store::installations::InstallationState;
use crate::store::{Claim, StoreError};

/// Repositories that an owner picks by hand, at most.
const CHOSEN: usize = 5;

/// What becomes of work that was claimed.
pub(super) enum Ended {
    /// It is done.
    Done,
    /// There is nobody to do it for, and why.
    Undone(String),
}

/// Whether work may begin.
pub(super) enum Admission {
    /// It may.
    GoesOn,
    /// There is nobody to do it for, and why.
    Closed(String),
    /// The repository has another name now.
    Moved(Box<Repository>),
}

impl Bot {
    /// Looks whether the repository of a claim is still there, and under which name.
    pub(super) async fn admit(&self, claim: &Claim, now: DateTime<Utc>) -> Result<Admission, JobError> {
        let Some(event) = claim.jobs.last().map(|job| &job.event) else { return Ok(Admission::GoesOn) };
        let Some(repo) = event.repo() else { return Ok(Admission::GoesOn) };
        if let Some(id) = event.installation()
            && let Some(reason) = self.store.installation(id).await?.and_then(closed)
        {
            return Ok(Admission::Closed(reason));
        }
        match self.store.repository(repo.id).await? {
            None => {
                self.store.name_repository(repo.id, &repo.name, repo.installation, now).await?;
                Ok(Admission::GoesOn)
            }
            Some((_, true)) => {
                Ok(Admission::Closed("the repository was taken out of the App's installation".to_owned()))
            }
            Some((known, false)) if known == repo.name => Ok(Admission::GoesOn),
            Some((_, false)) => self.settle_name(repo, now).await,
        }
    }

    /// Two names for one repository: GitHub knows which is the present one, since it redirects from former ones.
    async fn settle_name(&self, repo: &Repository, now: DateTime<Utc>) -> Result<Admission, JobError> {
        let found = self.place(repo).await?.api.repository().await?;
        if found.id != repo.id {
            let reason = format!("`{}` is another repository by now", repo.name);
            return Ok(Admission::Closed(reason));
        }
        self.store.name_repository(repo.id, &found.full_name, repo.installation, now).await?;
        if found.full_name == repo.name {
            tracing::info!(repo = %repo.name, "a repository was renamed; its approvals and records moved along");
            return Ok(Admission::GoesOn);
        }
        Ok(Admission::Moved(Box::new(repository_of(found, repo.installation))))
    }

    /// Queues the jobs of a claim under the repository's present name.
    pub(super) async fn follow(&self, claim: &Claim, to: &Repository) -> Result<(), StoreError> {
        for job in &claim.jobs {
            let mut event = job.event.clone();
            event.set_repo(to);
            if let Some(key) = event.serial_key() {
                self.store.enqueue(&key, &event, job.delivery.as_ref()).await?;
            }
        }
        Ok(())
    }

    /// How an installation stands now, as GitHub says: events may come late or in another order.
    pub(super) async fn look_at_installation(
        &self,
        id: u64,
        now: DateTime<Utc>,
    ) -> Result<InstallationState, JobError> {
        let all = self.github.all_installations().await?;
        let state = state_of(all.iter().find(|i| i.id == id));
        if self.store.set_installation(id, state, now).await? {
            tracing::info!(installation = id, state = state.as_str(), "an installation of the App changed");
        }
        Ok(state)
    }

    /// The reason why nothing can be done through an installation, where that is so.
    pub(super) async fn why_closed(&self, id: u64, now: DateTime<Utc>) -> Result<Option<String>, JobError> {
        Ok(closed(self.look_at_installation(id, now).await?))
    }

    /// Acts on `installation` and `installation_repositories`.
    pub(super) async fn installation_changed(
        &self,
        installation: u64,
        action: &str,
        added: &[RepoRef],
        removed: &[RepoRef],
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        for repo in removed {
            self.store.remove_repository(repo.id, now).await?;
            tracing::info!(repo = %repo.name, "a repository was taken out of the App's installation");
        }
        if self.look_at_installation(installation, now).await? != InstallationState::Active {
            return Ok(());
        }
        if removed.is_empty() || !added.is_empty() {
            self.sweep_installation(installation, now).await?;
        }
        if matches!(action, "created" | "added") {
            self.welcome(installation, added).await?;
        }
        Ok(())
    }

    /// Proposes Godwit's files to repositories that came with an installation. Where many came at once, only to those that
    /// hold migrations: nobody chose the others.
    async fn welcome(&self, installation: u64, added: &[RepoRef]) -> Result<(), JobError> {
        let chosen = added.len() <= CHOSEN;
        for repo in self.github.repositories(installation).await?.into_iter().filter(|r| !r.archived) {
            if !added.iter().any(|a| a.id == repo.id) {
                continue;
            }
            let repository = repository_of(repo, installation);
            if let Err(error) = self.propose_files(&repository, chosen).await {
                tracing::warn!(repo = %repository.name, error = chain(&error), "the files could not be proposed");
            }
        }
        Ok(())
    }

    /// Takes note of how every installation stands; gives those that work.
    pub(super) async fn note_installations(&self, now: DateTime<Utc>) -> Result<Vec<u64>, JobError> {
        let all = self.github.all_installations().await?;
        for installation in &all {
            self.store.set_installation(installation.id, state_of(Some(installation)), now).await?;
        }
        for known in self.store.live_installations().await? {
            if !all.iter().any(|i| i.id == known) {
                self.store.set_installation(known, InstallationState::Deleted, now).await?;
            }
        }
        Ok(all.into_iter().filter(|i| i.suspended_at.is_none()).map(|i| i.id).collect())
    }
}

fn state_of(found: Option<&model::Installation>) -> InstallationState {
    match found {
        None => InstallationState::Deleted,
        Some(installation) if installation.suspended_at.is_some() => InstallationState::Suspended,
        Some(_) => InstallationState::Active,
    }
}

fn closed(state: InstallationState) -> Option<String> {
    match state {
        InstallationState::Active => None,
        InstallationState::Suspended => {
            Some("the App's installation is suspended; work is taken up when that is taken back".to_owned())
        }
        InstallationState::Deleted => Some("the App was taken off the account".to_owned()),
    }
}

/// A repository as the API gives it, as events name it.
pub(super) fn repository_of(repo: model::Repo, installation: u64) -> Repository {
    Repository {
        id: repo.id,
        name: repo.full_name,
        clone_url: repo.clone_url,
        default_branch: repo.default_branch,
        installation,
    }
}
