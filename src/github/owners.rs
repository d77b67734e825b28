//! Whom GitHub takes addresses, teams and owners for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::segment;
use super::error::GithubError;
use super::model::{Commit, GrantedRepo, OwnerFaults};
use super::repo::{RepoApi, permission_word};
use crate::approval::Permission;
use crate::ids::{CommitSha, Login, TeamSlug};

/// Commits asked about in one query.
const BATCH: usize = 100;
/// With this, GitHub says what a team may do in a repository, and not only that it may do something.
const REPOSITORY: &str = "application/vnd.github.v3.repository+json";

/// Somebody a commit names as its author, or as one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitAuthor {
    /// As the commit says.
    pub email: String,
    /// The account that the address belongs to.
    pub login: Option<Login>,
}

impl RepoApi {
    /// The authors of commits, co-authors of their trailers among them, with the accounts that GitHub maps their addresses
    /// to: by any address that somebody proved to be theirs. What was told of a commit is kept.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn commit_authors(&self, commits: &[CommitSha]) -> Result<Vec<CommitAuthor>, GithubError> {
        let mut found = Vec::new();
        let mut open = Vec::new();
        for commit in commits {
            let kept = self.caller.kept(&kept_under(commit));
            match kept.and_then(|text| serde_json::from_str::<Vec<CommitAuthor>>(&text).ok()) {
                Some(authors) => found.extend(authors),
                None => open.push(commit),
            }
        }
        for batch in open.chunks(BATCH) {
            let objects: String = batch
                .iter()
                .enumerate()
                .map(|(n, sha)| {
                    format!(
                        " c{n}: object(oid: \"{sha}\") {{ ... on Commit {{ authors(first: 100) {{ nodes {{ email user {{ login }} }} }} }} }}"
                    )
                })
                .collect();
            let query = format!(
                "query($owner: String!, $name: String!) {{ repository(owner: $owner, name: $name) {{{objects} }} }}"
            );
            let variables = json!({ "owner": self.repo.owner(), "name": self.repo.name() });
            let data = self.caller.graphql(&json!({ "query": query, "variables": variables })).await?;
            let told: BTreeMap<String, Option<Told>> =
                serde_json::from_value(data["repository"].clone()).map_err(|e| {
                    GithubError::Unusable(format!("cannot read GitHub's answer about the authors of commits: {e}"))
                })?;
            for (n, sha) in batch.iter().enumerate() {
                let Some(Some(commit)) = told.get(&format!("c{n}")) else { continue };
                let nodes = commit.authors.iter().flat_map(|a| &a.nodes).flatten();
                let authors: Vec<CommitAuthor> = nodes
                    .filter_map(|node| {
                        let login = node.user.as_ref().and_then(|u| u.login.clone());
                        Some(CommitAuthor { email: node.email.clone()?, login })
                    })
                    .collect();
                // Somebody may prove an address to be theirs at any time.
                if authors.iter().all(|a| a.login.is_some()) {
                    self.caller.keep(&kept_under(sha), &serde_json::to_string(&authors).unwrap_or_default());
                }
                found.extend(authors);
            }
        }
        Ok(found)
    }

    /// What a team itself may do in the repository, by itself or by a team above it. A team that the App cannot see, or that
    /// has no access, may do nothing.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn team_permission(&self, team: &TeamSlug) -> Result<Permission, GithubError> {
        let (org, slug) = (segment(team.org()), segment(team.slug()));
        let (owner, name) = (segment(self.repo.owner()), segment(self.repo.name()));
        let path = format!("/orgs/{org}/teams/{slug}/repos/{owner}/{name}");
        match self.caller.get_as::<GrantedRepo>(&path, REPOSITORY).await {
            Ok(granted) => {
                let words = granted.permissions.iter().filter(|(_, held)| **held).map(|(word, _)| word.as_str());
                let coarse = words.filter_map(|word| match word {
                    "push" => Some(Permission::Write),
                    "pull" => Some(Permission::Read),
                    other => permission_word(other),
                });
                Ok(coarse.max().unwrap_or(Permission::None))
            }
            Err(GithubError::NotFound { .. }) => Ok(Permission::None),
            // An older server only says that there is access; what is not known takes no ownership away.
            Err(GithubError::Unusable(_)) => Ok(Permission::Write),
            Err(e) => Err(e),
        }
    }

    /// The account whose address wrote a commit of the default branch.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn author_by_email(&self, address: &str) -> Result<Option<Login>, GithubError> {
        let path = self.path(&format!("/commits?author={}&per_page=1", segment(address)));
        let found: Vec<Commit> = self.caller.get(&path).await?;
        let same = |c: &Commit| c.commit.author.as_ref().is_some_and(|a| a.email.eq_ignore_ascii_case(address));
        Ok(found.into_iter().find(same).and_then(|c| c.author?.login))
    }

    /// What GitHub finds fault with in CODEOWNERS.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or there is no such file.
    pub async fn codeowners_errors(&self, at: &CommitSha) -> Result<Vec<super::model::OwnerFault>, GithubError> {
        let found: OwnerFaults = self.caller.get(&self.path(&format!("/codeowners/errors?ref={at}"))).await?;
        Ok(found.errors)
    }
}

#[derive(Deserialize)]
struct Told {
    authors: Option<Nodes>,
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<Option<Node>>,
}

#[derive(Deserialize)]
struct Node {
    email: Option<String>,
    user: Option<super::model::MaybeUser>,
}

fn kept_under(commit: &CommitSha) -> String {
    format!("authors of {commit}")
}
