//! Whom GitHub takes people and teams for: co-authors by any of their verified addresses (B-2), and the owners that
//! CODEOWNERS names (B-5).

use std::collections::{BTreeMap, BTreeSet};

use super::error::JobError;
use super::gather::Place;
use super::{Bot, people};
use crate::approval::codeowners::{Owner, OwnerIs};
use crate::approval::{CommitPerson, Permission, Policy, path_owners};
use crate::github::{GithubError, model};
use crate::ids::{CommitSha, Login};

/// Commits asked about one by one where GitHub's list is cut off; beyond that the verdict is blocked.
const MAX_LOOKUPS: usize = 200;
/// Lines of CODEOWNERS that GitHub finds fault with and that are told.
const NAMED: usize = 5;

impl Bot {
    /// Who made the commits or pushed them, and whether that could not be found out completely.
    pub(super) async fn commit_people(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        names: &[crate::git::CommitNames],
    ) -> Result<(BTreeSet<CommitPerson>, bool), JobError> {
        let listed = place.api.commits(pull.number).await?;
        let told = self.co_authors(place, &people::with_strangers(names, &listed)).await?;
        let host = place.web_host();
        let known = people::Known { listed: &listed, told: &told, host: host.as_deref() };
        let people::CommitPeople { mut people, open } = people::commit_people(names, &known);
        let incomplete = open.len() > MAX_LOOKUPS || (names.is_empty() && pull.commits > listed.len());
        for (email, sha) in open.into_iter().take(MAX_LOOKUPS) {
            let asked = [place.api.commit(&sha).await?];
            let asked = people::commit_people(names, &people::Known { listed: &asked, ..known });
            let found = asked.people.iter().filter(|p| matches!(p, CommitPerson::Known(_))).cloned();
            people.extend(found);
            if asked.open.contains_key(&email) || asked.people.contains(&CommitPerson::Unknown(email.clone())) {
                people.insert(CommitPerson::Unknown(email));
            }
        }
        let pushers = self.store.pushers(&place.repository.name, pull.number).await?;
        people.extend(pushers.into_iter().map(CommitPerson::Known));
        Ok((people, incomplete))
    }

    /// Whose addresses the authors of `commits` used, co-authors among them, as GitHub maps them.
    async fn co_authors(
        &self,
        place: &Place,
        commits: &BTreeSet<CommitSha>,
    ) -> Result<BTreeMap<String, Login>, JobError> {
        let commits: Vec<CommitSha> = commits.iter().cloned().collect();
        match place.api.commit_authors(&commits).await {
            Ok(authors) => {
                Ok(authors.into_iter().filter_map(|a| Some((a.email.to_ascii_lowercase(), a.login?))).collect())
            }
            // Who is not told stays unknown, and is named in the comment.
            Err(
                error @ (GithubError::Rejected { .. }
                | GithubError::Forbidden { .. }
                | GithubError::NotFound { .. }
                | GithubError::Unusable(_)),
            ) => {
                tracing::warn!(repo = %place.repository.name, %error, "co-authors could not be asked about");
                Ok(BTreeMap::new())
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Settles whom the owners of `paths` stand for, as GitHub does: a team that has no write access itself owns nothing,
    /// an address is whoever GitHub says. Gives what people should know.
    pub(super) async fn settle_owners(
        &self,
        place: &Place,
        policy: &mut Policy,
        base: &CommitSha,
        paths: &[String],
    ) -> Result<Vec<String>, JobError> {
        let owners = path_owners(policy, paths);
        let mut settled: BTreeMap<Owner, OwnerIs> = BTreeMap::new();
        let mut notes = Vec::new();
        for owner in owners.iter() {
            match owner {
                Owner::User(_) => {}
                Owner::Team(team) => match place.api.team_permission(team).await {
                    Ok(permission) if permission >= Permission::Write => {}
                    Ok(permission) => {
                        let why = if permission == Permission::None {
                            "GitHub shows no such team with access to this repository"
                        } else {
                            "the team itself has no write access to this repository"
                        };
                        notes.push(format!(
                            "`{owner}` of CODEOWNERS owns nothing, as for GitHub: {why}; give the team write access, or name \
                             another owner"
                        ));
                        settled.insert(owner.clone(), OwnerIs::Nobody);
                    }
                    // What the App may not ask about stays an owner.
                    Err(GithubError::Forbidden { .. }) => {}
                    Err(e) => return Err(e.into()),
                },
                Owner::Email(address) => match self.owner_of(place, address).await? {
                    Some(login) => drop(settled.insert(owner.clone(), OwnerIs::Person(login))),
                    None => notes.push(format!(
                        "GitHub does not say whose address `{address}` of CODEOWNERS is, so nobody can approve by it: write \
                         `@login` or `@org/team` in its place"
                    )),
                },
            }
        }
        if !owners.is_empty() {
            notes.extend(self.faults(place, base, &settled).await?);
        }
        if let Some(codeowners) = &mut policy.codeowners {
            codeowners.settle(&settled);
        }
        Ok(notes)
    }

    /// Whose address it is, by the newest commit of the default branch that it wrote.
    async fn owner_of(&self, place: &Place, address: &str) -> Result<Option<Login>, JobError> {
        match place.api.author_by_email(address).await {
            Ok(found) => Ok(found),
            Err(GithubError::NotFound { .. } | GithubError::Rejected { .. } | GithubError::Forbidden { .. }) => {
                Ok(None)
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Owners that GitHub does not know, which nothing else tells of.
    async fn faults(
        &self,
        place: &Place,
        base: &CommitSha,
        settled: &BTreeMap<Owner, OwnerIs>,
    ) -> Result<Vec<String>, JobError> {
        let errors = match place.api.codeowners_errors(base).await {
            Ok(errors) => errors,
            Err(GithubError::NotFound { .. } | GithubError::Forbidden { .. } | GithubError::Rejected { .. }) => {
                return Ok(Vec::new());
            }
            Err(e) => return Err(e.into()),
        };
        let told = |source: &str| settled.keys().any(|o| source.contains(&o.to_string()));
        let unknown: Vec<_> =
            errors.iter().filter(|e| e.kind.to_ascii_lowercase().contains("owner") && !told(&e.source)).collect();
        let mut notes: Vec<String> = unknown
            .iter()
            .take(NAMED)
            .map(|e| {
                let line = e.source.trim().replace('`', "'");
                format!("GitHub finds fault with line {} of `{}` ({}): `{line}`", e.line, e.path, e.kind)
            })
            .collect();
        if unknown.len() > NAMED {
            notes.push(format!("and with {} more lines of CODEOWNERS", unknown.len() - NAMED));
        }
        Ok(notes)
    }
}
