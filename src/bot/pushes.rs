//! Pushes straight to a branch that environments belong to: nothing runs, and one issue tells the policy owners
//! (DECISIONS 12).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::Bot;
use super::contents::{self, Compare, Contents, Unreadable};
use super::error::JobError;
use super::gather::Place;
use crate::approval::Policy;
use crate::approval::codeowners::Owner;
use crate::config::RepoConfig;
use crate::config::roles::DATA_OPS_LEAD;
use crate::git::{GitError, Want};
use crate::github::{Event, GithubError};
use crate::ids::{CommitSha, RoleName};
use crate::report::straight_push;

/// Commits of a push that are looked at.
const MOST: usize = 100;

impl Bot {
    /// Looks whether a push brought migrations that no pull request did.
    pub(super) async fn pushed(&self, place: &Place, event: &Event, now: DateTime<Utc>) -> Result<(), JobError> {
        let Event::Push { branch, before: Some(before), after: Some(after), sender, looked, .. } = event else {
            return Ok(());
        };
        let Some((contents, commits)) = self.push_contents(place, before, after, now).await? else { return Ok(()) };
        let chain = contents.policy.chain(branch, &place.repository.default_branch);
        if chain.is_empty() || contents.migration_paths.is_empty() {
            return Ok(());
        }
        if self.came_by_pull_requests(place, branch, &commits).await? {
            return Ok(());
        }
        // A merge is a push too, and GitHub may know of the pull request only a little later.
        if !looked && !self.settings.push_grace.is_zero() {
            let mut again = event.clone();
            if let Event::Push { looked, .. } = &mut again {
                *looked = true;
            }
            let due = now + self.settings.push_grace;
            return Ok(self.store.enqueue_at(place.repository.name.as_str(), &again, None, due).await?);
        }
        let entry = straight_push::entry(after, &sender.login, &contents.migration_paths);
        let environments: Vec<String> = chain.iter().map(|(e, _)| e.to_string()).collect();
        let text = straight_push::text(branch, &environments, &owners(&contents.policy), &entry);
        match self.tell_of_push(place, branch, after, &text, &entry).await {
            Err(JobError::Github(
                refused @ (GithubError::Forbidden { .. } | GithubError::NotFound { .. } | GithubError::Rejected { .. }),
            )) => {
                tracing::warn!(repo = %place.repository.name, branch, error = %refused, "a straight push could not be told");
                Ok(())
            }
            other => other,
        }
    }

    /// One issue for each branch while it is open; a further push is added to it, which tells nobody twice.
    async fn tell_of_push(
        &self,
        place: &Place,
        branch: &str,
        after: &CommitSha,
        text: &str,
        entry: &str,
    ) -> Result<(), JobError> {
        let known = place.api.own_issue(&straight_push::marker(branch)).await?;
        let body = known.as_ref().and_then(|i| i.body.clone()).unwrap_or_default();
        if body.contains(after.as_str()) {
            return Ok(());
        }
        match known.filter(|issue| issue.state == "open") {
            Some(issue) => place.api.update_issue(issue.number, &straight_push::with(&body, entry)).await?,
            None => drop(place.api.create_issue(&straight_push::title(branch), text).await?),
        }
        Ok(())
    }

    async fn push_contents(
        &self,
        place: &Place,
        before: &CommitSha,
        after: &CommitSha,
        now: DateTime<Utc>,
    ) -> Result<Option<(Contents, Vec<CommitSha>)>, JobError> {
        let (before, after, today) = (before.clone(), after.clone(), now.date_naive());
        let wants = [Want::Commit(before.clone()), Want::Commit(after.clone())];
        let read = self.git(place, &wants, move |mirror| {
            let contents = match contents::read(mirror, &before, &after, Compare::Merged, None, today) {
                Ok(contents) => contents,
                // Whoever mends a broken policy is told on the pull requests that it breaks.
                Err(Unreadable::Policy(_)) => return Ok(None),
                Err(Unreadable::Git(e)) => return Err(e),
            };
            let commits = mirror.people(&before, &after)?.into_iter().take(MOST).map(|c| c.sha).collect();
            Ok(Some((contents, commits)))
        });
        match read.await {
            // Pushed away meanwhile: the push that did so is looked at itself.
            Err(JobError::Git(GitError::Missing(_))) => Ok(None),
            other => other,
        }
    }

    /// Whether each of `commits` belongs to a pull request that was merged into `branch`.
    async fn came_by_pull_requests(
        &self,
        place: &Place,
        branch: &str,
        commits: &[CommitSha],
    ) -> Result<bool, JobError> {
        let closed = place.api.recently_closed().await?;
        let merges: BTreeSet<&CommitSha> =
            closed.iter().filter(|p| p.is_merged()).filter_map(|p| p.merge_commit_sha.as_ref()).collect();
        for commit in commits.iter().filter(|c| !merges.contains(c)) {
            let pulls = place.api.pulls_of_commit(commit).await?;
            if !pulls.iter().any(|p| p.is_merged() && p.base.branch == branch) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The policy owners, as GitHub tells them when they are named: the code owners of the configuration, else the lead of data
/// operations.
fn owners(policy: &Policy) -> Vec<String> {
    let rule = policy.codeowners.as_ref().and_then(|c| c.owners_of(RepoConfig::FILE));
    let by_file: Vec<String> = rule.map_or_else(Vec::new, |rule| {
        let name = |owner: &Owner| match owner {
            Owner::User(login) => Some(format!("@{login}")),
            Owner::Team(team) => Some(format!("@{team}")),
            Owner::Email(_) => None,
        };
        rule.owners.iter().filter_map(name).collect()
    });
    if !by_file.is_empty() {
        return by_file;
    }
    RoleName::new(DATA_OPS_LEAD).map_or_else(|_| Vec::new(), |lead| policy.roles.describe(&lead))
}
