//! Comments, reactions and labels.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::client::{Method, Repeat, segment};
use super::error::GithubError;
use super::model::{Comment, LabelName, RepoComment};
use super::repo::RepoApi;
use crate::ids::{CommitSha, Login, PrNumber};

/// A comment on lines of a file as the pull request leaves it.
#[derive(Debug, Clone, Copy)]
pub struct LineComment<'a> {
    /// The file.
    pub path: &'a str,
    /// The first line, from 1.
    pub first_line: u32,
    /// The last line.
    pub last_line: u32,
    /// The text.
    pub body: &'a str,
}

impl RepoApi {
    /// Every comment, oldest first.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn comments(&self, number: PrNumber) -> Result<Vec<Comment>, GithubError> {
        self.caller.list(&self.path(&format!("/issues/{}/comments", number.0))).await
    }

    /// Every comment of the repository that was written or edited since a moment, the one that was touched last at the end.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn comments_since(&self, since: DateTime<Utc>) -> Result<Vec<RepoComment>, GithubError> {
        let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
        self.caller.list(&self.path(&format!("/issues/comments?since={since}&sort=updated&direction=asc"))).await
    }

    /// A comment as it is now; `None` when it is gone.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn comment(&self, id: u64) -> Result<Option<RepoComment>, GithubError> {
        match self.caller.get(&self.path(&format!("/issues/comments/{id}"))).await {
            Ok(comment) => Ok(Some(comment)),
            Err(GithubError::NotFound { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Writes a new comment. Not repeated when the answer is lost: that would write it twice.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or refuses the text.
    pub async fn create_comment(&self, number: PrNumber, body: &str) -> Result<Comment, GithubError> {
        let path = self.path(&format!("/issues/{}/comments", number.0));
        self.caller.write(Method::Post, &path, &json!({ "body": body }), Repeat::Never).await
    }

    /// Every comment on a line of a pull request, oldest first.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn line_comments(&self, number: PrNumber) -> Result<Vec<Comment>, GithubError> {
        self.caller.list(&self.path(&format!("/pulls/{}/comments", number.0))).await
    }

    /// Comments on lines of a pull request at `commit`, all of them in one review, which neither approves nor asks for
    /// changes. Not repeated when the answer is lost: look with [`RepoApi::line_comments`] first.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or one of the lines is not part of the change; then none is written.
    pub async fn review_lines(
        &self,
        number: PrNumber,
        commit: &CommitSha,
        text: &str,
        comments: &[LineComment<'_>],
    ) -> Result<(), GithubError> {
        let comment = |c: &LineComment<'_>| {
            let mut comment = json!({ "path": c.path, "body": c.body, "line": c.last_line, "side": "RIGHT" });
            if c.first_line < c.last_line {
                comment["start_line"] = json!(c.first_line);
                comment["start_side"] = json!("RIGHT");
            }
            comment
        };
        let comments: Vec<Value> = comments.iter().map(comment).collect();
        let body = json!({ "commit_id": commit, "event": "COMMENT", "body": text, "comments": comments });
        let path = self.path(&format!("/pulls/{}/reviews", number.0));
        self.caller.send(Method::Post, &path, Some(&body), Repeat::Never).await.map(drop)
    }

    /// Replaces the text of a comment.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or refuses the text.
    pub async fn update_comment(&self, id: u64, body: &str) -> Result<Comment, GithubError> {
        let path = self.path(&format!("/issues/comments/{id}"));
        self.caller.write(Method::Patch, &path, &json!({ "body": body }), Repeat::Safe).await
    }

    /// Keeps one comment whose first line is `marker`: edits the oldest of the App's own, or writes it. Others can paste
    /// the marker, so who wrote the comment counts as well. Nothing is sent when the text is the same.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or refuses the text.
    pub async fn keep_comment(&self, number: PrNumber, marker: &str, body: &str) -> Result<u64, GithubError> {
        let bot = self.github.bot_login().await?;
        let comments = self.comments(number).await?;
        match own_comment(&comments, marker, &bot, self.github.app_id()) {
            Some(comment) if comment.body.as_deref().is_some_and(|b| same_text(b, body)) => Ok(comment.id),
            Some(comment) => Ok(self.update_comment(comment.id, body).await?.id),
            None => Ok(self.create_comment(number, body).await?.id),
        }
    }

    /// Whether the App has a comment of its own with `marker` as its first line.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn has_own_comment(&self, number: PrNumber, marker: &str) -> Result<bool, GithubError> {
        let bot = self.github.bot_login().await?;
        Ok(own_comment(&self.comments(number).await?, marker, &bot, self.github.app_id()).is_some())
    }

    /// Reacts to a comment; doing it twice leaves one reaction.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn react(&self, comment: u64, content: &str) -> Result<(), GithubError> {
        let path = self.path(&format!("/issues/comments/{comment}/reactions"));
        self.caller.send(Method::Post, &path, Some(&json!({ "content": content })), Repeat::Safe).await.map(drop)
    }

    /// Adds labels to a pull request; GitHub makes the ones it does not have yet.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn add_labels(&self, number: PrNumber, labels: &[String]) -> Result<(), GithubError> {
        let path = self.path(&format!("/issues/{}/labels", number.0));
        self.caller.send(Method::Post, &path, Some(&json!({ "labels": labels })), Repeat::Safe).await.map(drop)
    }

    /// Takes a label off a pull request; one that is not there is fine.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn remove_label(&self, number: PrNumber, label: &str) -> Result<(), GithubError> {
        let path = self.path(&format!("/issues/{}/labels/{}", number.0, segment(label)));
        match self.caller.send(Method::Delete, &path, None, Repeat::Safe).await {
            Ok(_) | Err(GithubError::NotFound { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Makes a label with its colour and description where the repository does not have it.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn ensure_label(&self, name: &str, colour: &str, description: &str) -> Result<(), GithubError> {
        match self.caller.get::<LabelName>(&self.path(&format!("/labels/{}", segment(name)))).await {
            Ok(_) => return Ok(()),
            Err(GithubError::NotFound { .. }) => {}
            Err(e) => return Err(e),
        }
        let body: Value = json!({ "name": name, "color": colour, "description": description });
        match self.caller.send(Method::Post, &self.path("/labels"), Some(&body), Repeat::Safe).await {
            // 422: somebody else made it in between.
            Ok(_) | Err(GithubError::Rejected { status: 422, .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// The oldest comment with `marker` as its first line that the App wrote itself.
pub fn own_comment<'a>(comments: &'a [Comment], marker: &str, bot: &Login, app_id: u64) -> Option<&'a Comment> {
    comments
        .iter()
        .filter(|c| is_own_comment(c, bot, app_id))
        .find(|c| c.body.as_deref().and_then(|b| b.lines().next()).is_some_and(|first| first.trim_end() == marker))
}

/// Whether the App wrote a comment itself.
pub fn is_own_comment(comment: &Comment, bot: &Login, app_id: u64) -> bool {
    comment.user.as_ref().is_some_and(|u| &u.login == bot)
        || comment.performed_via_github_app.as_ref().is_some_and(|a| a.id == app_id)
}

/// GitHub gives texts back with its own line ends and without the last newline.
fn same_text(a: &str, b: &str) -> bool {
    a.replace("\r\n", "\n").trim_end() == b.replace("\r\n", "\n").trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::model::{AppRef, User};

    fn comment(id: u64, login: &str, app: Option<u64>, body: &str) -> Comment {
        Comment {
            id,
            node_id: format!("IC_{id}"),
            html_url: String::new(),
            body: Some(body.into()),
            user: Some(User { login: Login::new(login), kind: String::new() }),
            performed_via_github_app: app.map(|id| AppRef { id }),
        }
    }

    #[test]
    fn b15_the_sticky_comment_is_the_oldest_of_our_own() {
        let marker = "<!-- godwit:summary -->";
        let text = "<!-- godwit:summary -->\r\nhello";
        let comments = [
            comment(1, "mallory", None, text),
            comment(2, "godwit[bot]", None, "see <!-- godwit:summary -->"),
            comment(3, "godwit[bot]", None, text),
            comment(4, "godwit[bot]", None, text),
        ];
        let found = |c: &[Comment]| own_comment(c, marker, &Login::new("godwit[bot]"), 7).map(|c| c.id);
        assert_eq!(found(&comments), Some(3));
        assert_eq!(found(&comments[..2]), None);
        assert_eq!(found(&[comment(9, "renamed[bot]", Some(7), text)]), Some(9));
        assert_eq!(found(&[comment(9, "other[bot]", Some(8), text)]), None);
    }

    #[test]
    fn line_ends_alone_are_no_edit() {
        assert!(same_text("a\r\nb", "a\nb\n"));
        assert!(!same_text("a\nb", "a\nc"));
    }
}
