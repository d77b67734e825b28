//! What is written besides checks and comments: requests for reviews, issues, files with their pull request; and the
//! rules of a branch.

use std::collections::BTreeSet;

use serde_json::json;

use super::client::{Method, Repeat, segment};
use super::error::GithubError;
use super::model::{Branch, BranchRule, Issue, MadeObject, PullRequest};
use super::repo::RepoApi;
use crate::ids::{CommitSha, Login, PrNumber};

/// A check that must succeed before anything is merged into a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required {
    /// Its name.
    pub name: String,
    /// Whose it must be.
    pub of: Source,
}

/// Whose check satisfies a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// That of this App alone.
    App(u64),
    /// Anybody's of that name.
    Anybody,
    /// GitHub does not say.
    Untold,
}

impl Source {
    fn of(app: Option<i64>) -> Self {
        app.and_then(|id| u64::try_from(id).ok()).map_or(Source::Anybody, Source::App)
    }
}

impl RepoApi {
    /// Asks people and teams (by their slugs) for a review; whom GitHub asks already it does not notify again.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or refuses one of them; then none is asked.
    pub async fn request_reviews(
        &self,
        number: PrNumber,
        people: &[Login],
        teams: &[String],
    ) -> Result<(), GithubError> {
        let path = self.path(&format!("/pulls/{}/requested_reviewers", number.0));
        let body = json!({ "reviewers": people, "team_reviewers": teams });
        self.caller.send(Method::Post, &path, Some(&body), Repeat::Safe).await.map(drop)
    }

    /// Hides comments as outdated, by their node ids.
    ///
    /// # Errors
    /// When GitHub cannot be asked or refuses.
    pub async fn hide_outdated(&self, comments: &[String]) -> Result<(), GithubError> {
        let mutation = "mutation($id: ID!) { minimizeComment(input: { subjectId: $id, classifier: OUTDATED }) \
                        { minimizedComment { isMinimized } } }";
        for id in comments {
            self.caller.graphql(&json!({ "query": mutation, "variables": { "id": id } })).await?;
        }
        Ok(())
    }

    /// The checks that must succeed before anything is merged into a branch, by its rulesets and by its classic protection.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn required_checks(&self, branch: &str) -> Result<Vec<Required>, GithubError> {
        let rules = self.caller.list::<BranchRule>(&self.path(&format!("/rules/branches/{}", segment(branch)))).await;
        let rules = match rules {
            // An older GitHub Enterprise Server has no rulesets.
            Err(GithubError::NotFound { .. }) => Vec::new(),
            other => other?,
        };
        let mut required: Vec<Required> = rules
            .into_iter()
            .filter_map(|r| r.parameters)
            .flat_map(|p| p.required_status_checks)
            .map(|c| Required { name: c.context, of: Source::of(c.integration_id) })
            .collect();
        match self.caller.get::<Branch>(&self.path(&format!("/branches/{}", segment(branch)))).await {
            Ok(branch) => {
                if let Some(classic) = branch.protection.and_then(|p| p.required_status_checks) {
                    let bound = classic.checks.unwrap_or_default();
                    let told: BTreeSet<&str> = bound.iter().map(|c| c.context.as_str()).collect();
                    let silent = classic.contexts.into_iter().filter(|name| !told.contains(name.as_str()));
                    required.extend(silent.map(|name| Required { name, of: Source::Untold }));
                    required.extend(bound.into_iter().map(|c| Required { name: c.context, of: Source::of(c.app_id) }));
                }
            }
            Err(GithubError::NotFound { .. }) => {}
            Err(e) => return Err(e),
        }
        Ok(required)
    }

    /// The newest issue of the App whose first line is `marker`, open or closed.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn own_issue(&self, marker: &str) -> Result<Option<Issue>, GithubError> {
        let bot = self.github.bot_login().await?;
        let path = self.path(&format!("/issues?state=all&creator={}", segment(bot.as_str())));
        let all: Vec<Issue> = self.caller.list(&path).await?;
        Ok(all
            .into_iter()
            .filter(|i| i.pull_request.is_none() && i.user.as_ref().is_some_and(|u| u.login == bot))
            .filter(|i| i.body.as_deref().and_then(|b| b.lines().next()).is_some_and(|l| l.trim_end() == marker))
            .max_by_key(|i| i.number.0))
    }

    /// Opens an issue. Not repeated when the answer is lost: look with [`RepoApi::own_issue`] first.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or refuses the text.
    pub async fn create_issue(&self, title: &str, body: &str) -> Result<Issue, GithubError> {
        let body = json!({ "title": title, "body": body });
        self.caller.write(Method::Post, &self.path("/issues"), &body, Repeat::Never).await
    }

    /// Replaces the text of an issue.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or refuses the text.
    pub async fn update_issue(&self, number: PrNumber, body: &str) -> Result<(), GithubError> {
        let path = self.path(&format!("/issues/{}", number.0));
        self.caller.send(Method::Patch, &path, Some(&json!({ "body": body })), Repeat::Safe).await.map(drop)
    }

    /// Pull requests that ever came from a branch of this repository, open or not.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn pulls_from(&self, branch: &str) -> Result<Vec<PullRequest>, GithubError> {
        let head = format!("{}:{branch}", self.repo.owner());
        self.caller.list(&self.path(&format!("/pulls?state=all&head={}", segment(&head)))).await
    }

    /// Puts files onto a new branch, on top of `parent`, in one commit. A branch that is there stays as it is.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or the App may not write files.
    pub async fn push_files(
        &self,
        branch: &str,
        parent: &CommitSha,
        message: &str,
        files: &[(String, String)],
    ) -> Result<(), GithubError> {
        let entries: Vec<_> = files
            .iter()
            .map(|(path, text)| json!({ "path": path, "mode": "100644", "type": "blob", "content": text }))
            .collect();
        let body = json!({ "base_tree": parent, "tree": entries });
        let tree: MadeObject = self.caller.write(Method::Post, &self.path("/git/trees"), &body, Repeat::Safe).await?;
        let body = json!({ "message": message, "tree": tree.sha, "parents": [parent] });
        let commit: MadeObject =
            self.caller.write(Method::Post, &self.path("/git/commits"), &body, Repeat::Safe).await?;
        let body = json!({ "ref": format!("refs/heads/{branch}"), "sha": commit.sha });
        match self.caller.send(Method::Post, &self.path("/git/refs"), Some(&body), Repeat::Safe).await {
            // 422: the branch is there, perhaps by the request whose answer was lost.
            Ok(_) | Err(GithubError::Rejected { status: 422, .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Opens a pull request from a branch of this repository.
    ///
    /// # Errors
    /// When GitHub cannot be asked or refuses.
    pub async fn open_pull(&self, head: &str, base: &str, title: &str, body: &str) -> Result<PullRequest, GithubError> {
        let body = json!({ "title": title, "head": head, "base": base, "body": body });
        self.caller.write(Method::Post, &self.path("/pulls"), &body, Repeat::Never).await
    }
}
