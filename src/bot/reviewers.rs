//! Asks the people and teams who hold the missing roles for a review: once for each content, not for drafts, and never
//! whom GitHub asks already.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::Bot;
use super::error::JobError;
use super::gather::{Gathered, Place};
use crate::approval::{CommitPerson, Permission, Policy, PullRequestSnapshot, Status, Verdict};
use crate::github::{GithubError, RepoApi, model};
use crate::ids::{Login, PrNumber};

/// Under what it is remembered that they were asked.
pub(super) const TOLD: &str = "reviewers";
/// GitHub asks no more for one pull request.
const MOST: usize = 15;

/// Who is to be asked: logins, and slugs of teams of the repository's own organisation. Whoever cannot approve is not.
pub(super) fn missing(
    policy: &Policy,
    snapshot: &PullRequestSnapshot,
    verdict: &Verdict,
) -> (BTreeSet<Login>, BTreeSet<String>) {
    let (mut people, mut teams) = (BTreeSet::new(), BTreeSet::new());
    if verdict.status != Status::Pending || snapshot.draft || snapshot.merged || snapshot.from_fork {
        return (people, teams);
    }
    let reads = |login: &Login| snapshot.people.get(login).is_some_and(|p| p.permission >= Permission::Read);
    let made = |login: &Login| {
        snapshot.author.as_ref() == Some(login) || snapshot.commit_people.contains(&CommitPerson::Known(login.clone()))
    };
    // Who has spoken about this very content needs no reminder.
    let spoke = |login: &Login| {
        snapshot.reviews.iter().any(|r| &r.login == login && r.binding.is_some() && r.binding == snapshot.binding)
    };
    for role in &verdict.missing_roles {
        for (_, holders) in policy.roles.counting_as(role) {
            let own = holders.teams.iter().filter(|t| t.org().eq_ignore_ascii_case(snapshot.repo.owner()));
            teams.extend(own.map(|t| t.slug().to_owned()));
            people.extend(holders.users.iter().filter(|u| reads(u) && !made(u) && !spoke(u)).cloned());
        }
    }
    (people, teams)
}

impl Bot {
    /// Asks for the reviews that are missing, unless that was done for this content. Whom GitHub does not take is left
    /// out: the comment names them all the same.
    pub(super) async fn ask_reviewers(
        &self,
        place: &Place,
        gathered: &Gathered,
        verdict: &Verdict,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let (snapshot, repo) = (&gathered.snapshot, &place.repository.name);
        let Some(binding) = &snapshot.binding else { return Ok(()) };
        let (mut people, mut teams) = missing(&gathered.contents.policy, snapshot, verdict);
        let of_binding = format!("{} {} {}", binding.digest, binding.policy_hash, binding.risk);
        if (people.is_empty() && teams.is_empty())
            || self.store.told(repo, snapshot.number.0, TOLD).await?.as_ref() == Some(&of_binding)
        {
            return Ok(());
        }
        people.retain(|p| !gathered.pull.requested_reviewers.iter().any(|r| &r.login == p));
        teams.retain(|t| !gathered.pull.requested_teams.iter().any(|r: &model::TeamName| r.slug == *t));
        let teams: Vec<String> = teams.into_iter().take(MOST).collect();
        let people: Vec<Login> = people.into_iter().take(MOST.saturating_sub(teams.len())).collect();
        if !people.is_empty() || !teams.is_empty() {
            ask(&place.api, snapshot.number, &people, &teams).await?;
        }
        Ok(self.store.remember_told(repo, snapshot.number.0, TOLD, &of_binding, now).await?)
    }
}

/// All at once; one by one where GitHub refuses that, since one who has no access spoils it for the others.
async fn ask(api: &RepoApi, number: PrNumber, people: &[Login], teams: &[String]) -> Result<(), GithubError> {
    match api.request_reviews(number, people, teams).await {
        Err(GithubError::Rejected { .. }) => {}
        other => return passed_over(other),
    }
    for person in people {
        passed_over(api.request_reviews(number, std::slice::from_ref(person), &[]).await)?;
    }
    for team in teams {
        passed_over(api.request_reviews(number, &[], std::slice::from_ref(team)).await)?;
    }
    Ok(())
}

/// A refusal is no failure of the verdict.
fn passed_over(asked: Result<(), GithubError>) -> Result<(), GithubError> {
    match asked {
        Err(
            refused @ (GithubError::Rejected { .. } | GithubError::Forbidden { .. } | GithubError::NotFound { .. }),
        ) => {
            tracing::debug!(error = %refused, "a review could not be asked for");
            Ok(())
        }
        other => other,
    }
}
