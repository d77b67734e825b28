//! Offers rewrites on the lines of a pull request, each once.

use std::collections::BTreeSet;

use super::Bot;
use super::gather::{Gathered, Place};
use super::worker::chain;
use crate::github::{GithubError, LineComment};
use crate::report::suggestion::{self, Suggestion, suggestion};

impl Bot {
    /// Posts the suggestions that were not made yet, as one review. One that cannot be posted holds nothing up: the
    /// finding is told by the check as well.
    pub(super) async fn suggest(&self, place: &Place, gathered: &Gathered) {
        if gathered.contents.proposals.is_empty() {
            return;
        }
        if let Err(error) = self.post_suggestions(place, gathered).await {
            tracing::warn!(error = chain(&error), "suggestions could not be posted");
        }
    }

    async fn post_suggestions(&self, place: &Place, gathered: &Gathered) -> Result<(), GithubError> {
        let (snapshot, contents) = (&gathered.snapshot, &gathered.contents);
        let links = self.links(place, &snapshot.head);
        let all: Vec<Suggestion> = contents.proposals.iter().filter_map(|p| suggestion(p, &links)).collect();
        let bot = self.github.bot_login().await?;
        let made: BTreeSet<String> = place
            .api
            .line_comments(snapshot.number)
            .await?
            .into_iter()
            .filter(|c| c.user.as_ref().is_some_and(|u| u.login == bot))
            .filter_map(|c| Some(c.body?.lines().next()?.trim_end().to_owned()))
            .filter(|first| first.starts_with(suggestion::MARKER))
            .collect();
        let room = suggestion::MOST.saturating_sub(made.len());
        let new: Vec<LineComment<'_>> =
            all.iter().filter(|s| !made.contains(&s.marker)).take(room).map(on_lines).collect();
        if new.is_empty() {
            return Ok(());
        }
        let text = "Some findings have a rewrite that needs no thought: commit the ones you want, \
                    or run `godwit lint --base` with the base branch and `--fix`.";
        place.api.review_lines(snapshot.number, &snapshot.head, text, &new).await
    }
}

fn on_lines(suggestion: &Suggestion) -> LineComment<'_> {
    LineComment {
        path: &suggestion.path,
        first_line: suggestion.first_line,
        last_line: suggestion.last_line,
        body: &suggestion.body,
    }
}
