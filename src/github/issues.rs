//! Issues that the App opens, for what somebody has to look at later.

use serde::Deserialize;
use serde_json::json;

use super::client::{Method, Repeat, segment};
use super::error::GithubError;
use super::model::User;
use super::repo::RepoApi;

/// An issue, as far as links to it need.
#[derive(Debug, Clone, Deserialize)]
pub struct IssueRef {
    /// Its number.
    pub number: u64,
    /// Its text.
    #[serde(default)]
    body: Option<String>,
    /// Who opened it.
    #[serde(default)]
    user: Option<User>,
}

impl RepoApi {
    /// Keeps one issue whose first line is `marker`: finds the App's own among those with `label`, open or closed, or opens
    /// one.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or the repository has no issues.
    pub async fn keep_issue(
        &self,
        marker: &str,
        label: &str,
        title: &str,
        body: &str,
    ) -> Result<IssueRef, GithubError> {
        let bot = self.github.bot_login().await?;
        let path = self.path(&format!("/issues?state=all&labels={}", segment(label)));
        let known: Vec<IssueRef> = self.caller.list(&path).await?;
        let own = known.into_iter().find(|issue| {
            issue.user.as_ref().is_some_and(|u| u.login == bot)
                && issue.body.as_deref().and_then(|b| b.lines().next()).is_some_and(|first| first.trim_end() == marker)
        });
        if let Some(issue) = own {
            return Ok(issue);
        }
        let text = json!({ "title": title, "body": format!("{marker}\n{body}"), "labels": [label] });
        self.caller.write(Method::Post, &self.path("/issues"), &text, Repeat::Never).await
    }
}
