//! Commands that GitHub never delivered: the sweep reads a repository's new comments, and hands each command that nobody
//! heard of to those who answer the others (B-9).

use chrono::{DateTime, TimeDelta, Utc};

use super::Bot;
use super::command::addresses_bot;
use super::error::JobError;
use super::gather::Place;
use crate::github::{Event, MAX_COMMENT, Repository, Sender, model};

/// How much further back than the last pass each one reads: a list may change while it is read, and clocks differ.
const MARGIN: TimeDelta = TimeDelta::minutes(10);

impl Bot {
    /// Queues the commands of a repository that were written since the last pass and that no delivery brought.
    pub(super) async fn bring_commands(&self, place: &Place) -> Result<(), JobError> {
        let id = place.repository.id;
        let (read, began) = (self.store.comments_read(id).await?, Utc::now());
        let since = read.last.map_or(read.from, |last| (last - MARGIN).max(read.from));
        for comment in place.api.comments_since(since).await? {
            if comment.created_at.timestamp() < read.from.timestamp() {
                continue;
            }
            let Some(event) = spoken(&place.repository, &comment) else { continue };
            if self.store.answered(comment.id).await?.is_none() {
                // What a delivery brought meanwhile waits in the same line, and is answered once.
                self.hand_to(&None, &event, None).await?;
            }
        }
        Ok(self.store.keep_comments_read(id, began).await?)
    }
}

/// The event that a comment should have been delivered as; `None` for what is no command by a person on a pull request.
/// What was edited is left alone: nobody can tell what it said when it was written (B-12).
fn spoken(repository: &Repository, comment: &model::RepoComment) -> Option<Event> {
    let body = comment.body.as_deref()?;
    let user = comment.user.as_ref()?;
    let number = comment.pull_number()?;
    if user.kind == "Bot" || edited(comment.created_at, comment.updated_at) || !addresses_bot(body) {
        return None;
    }
    Some(Event::Comment {
        repo: repository.clone(),
        number,
        comment: comment.id,
        body: body.chars().take(MAX_COMMENT).collect(),
        sender: Sender { login: user.login.clone(), bot: false },
    })
}

fn edited(created: DateTime<Utc>, updated: DateTime<Utc>) -> bool {
    updated != created
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::model::User;
    use crate::ids::{Login, PrNumber, RepoName};

    #[test]
    fn b9_only_what_a_person_wrote_on_a_pull_request_and_left_as_it_was_is_a_command() {
        let repository = Repository {
            id: 1,
            name: RepoName::new("o/r").unwrap(),
            clone_url: String::new(),
            default_branch: "main".into(),
            installation: 1,
        };
        let said = |page: &str, kind: &str, body: &str, later: i64| model::RepoComment {
            id: 5,
            html_url: format!("https://github.com/o/r/{page}/7#issuecomment-5"),
            issue_url: "https://api.github.com/repos/o/r/issues/7".into(),
            body: Some(body.into()),
            user: Some(User { login: Login::new("omar"), kind: kind.into() }),
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(later),
        };
        let heard = spoken(&repository, &said("pull", "User", "/godwit help", 0));
        assert!(
            matches!(&heard, Some(Event::Comment { number: PrNumber(7), comment: 5, body, .. }) if body == "/godwit help"),
            "{heard:?}"
        );
        for quiet in [
            said("issues", "User", "/godwit help", 0),
            said("pull", "Bot", "/godwit help", 0),
            said("pull", "User", "> /godwit help", 0),
            said("pull", "User", "/godwit help", 1),
        ] {
            assert_eq!(spoken(&repository, &quiet), None, "{quiet:?}");
        }
    }
}
