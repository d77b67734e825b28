//! Hides comments of the bot that speak of a content which is no longer there. The comments that are kept up to date
//! (summary, runs) stay.

use super::Bot;
use super::gather::Place;
use super::worker::chain;
use crate::github::{is_own_comment, model};
use crate::ids::{Login, PrNumber};

/// First lines of comments that answer one moment.
const OF_A_MOMENT: [&str; 3] = ["<!-- godwit:answer:", "<!-- godwit:label:", "<!-- godwit:button"];

/// Node ids of the bot's own comments that answered an earlier moment.
fn outdated(comments: &[model::Comment], bot: &Login, app: u64) -> Vec<String> {
    let of_a_moment = |c: &&model::Comment| {
        let first = c.body.as_deref().and_then(|b| b.lines().next()).unwrap_or_default();
        OF_A_MOMENT.iter().any(|start| first.starts_with(start))
    };
    comments
        .iter()
        .filter(|c| is_own_comment(c, bot, app) && !c.node_id.is_empty())
        .filter(of_a_moment)
        .map(|c| c.node_id.clone())
        .collect()
}

impl Bot {
    /// Hides what was said about an earlier content. That it could not be done is no failure of anything.
    pub(super) async fn hide_outdated(&self, place: &Place, number: PrNumber) {
        let hidden = async {
            let bot = self.github.bot_login().await?;
            let comments = place.api.comments(number).await?;
            place.api.hide_outdated(&outdated(&comments, &bot, self.github.app_id())).await
        };
        if let Err(error) = hidden.await {
            tracing::debug!(error = chain(&error), "outdated comments could not be hidden");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::model::{AppRef, User};

    #[test]
    fn b15_only_our_own_answers_of_a_moment_are_hidden() {
        let comment = |id: u64, login: &str, body: &str| model::Comment {
            id,
            node_id: format!("IC_{id}"),
            html_url: String::new(),
            body: Some(body.into()),
            user: Some(User { login: Login::new(login), kind: String::new() }),
            performed_via_github_app: (login == "godwit[bot]").then_some(AppRef { id: 7 }),
        };
        let comments = [
            comment(1, "godwit[bot]", "<!-- godwit:summary -->\nx"),
            comment(2, "godwit[bot]", "<!-- godwit:answer:9 -->\nx"),
            comment(3, "mallory", "<!-- godwit:answer:9 -->\nx"),
            comment(4, "godwit[bot]", "<!-- godwit:run:staging -->\nx"),
            comment(5, "godwit[bot]", "<!-- godwit:label:hold -->\nx"),
        ];
        assert_eq!(outdated(&comments, &Login::new("godwit[bot]"), 7), ["IC_2", "IC_5"]);
    }
}
