//! Shows each environment of a merged pull request as a GitHub deployment and as a commit status. Where the App may not
//! write them nothing is lost but the picture: no run waits for it or fails by it.

use std::time::Duration;

use super::Bot;
use super::merge_run::Journey;
use super::worker::chain;
use crate::github::{GithubError, own_comment};
use crate::ids::EnvironmentName;
use crate::plan::Outcome;
use crate::report::run_comment;

/// The longest that a run waits for its picture.
const PATIENCE: Duration = Duration::from_secs(10);

/// How an environment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Picture<'a> {
    /// It waits, for this.
    Waits(&'a str),
    /// Its run began.
    Runs,
    /// Its run ended.
    Ended(Outcome),
    /// It held the migrations, and they were undone.
    Undone,
}

impl Picture<'_> {
    /// The state of a deployment and of a commit status, in GitHub's words, and one line about it.
    fn words(self) -> (&'static str, &'static str, String) {
        match self {
            Picture::Waits(why) => ("queued", "pending", format!("waits: {why}")),
            Picture::Runs => ("in_progress", "pending", "migrations are running".to_owned()),
            Picture::Ended(Outcome::Applied) => ("success", "success", "migrations applied".to_owned()),
            Picture::Ended(Outcome::Nothing) => ("success", "success", "everything was applied already".to_owned()),
            Picture::Ended(Outcome::Failed) => ("failure", "failure", "failed; see the comment".to_owned()),
            Picture::Ended(Outcome::NeedsHuman) => ("error", "error", "a person is needed; see the comment".to_owned()),
            Picture::Undone => ("inactive", "failure", "migrations were undone".to_owned()),
            Picture::Ended(Outcome::Blocked | Outcome::Planned) => ("queued", "pending", "not started".to_owned()),
        }
    }
}

impl Bot {
    /// Shows how an environment stands at the merge commit, unless that is what was shown last.
    pub(super) async fn picture(&self, journey: &Journey<'_>, environment: &EnvironmentName, picture: Picture<'_>) {
        let (repo, number) = (&journey.place.repository.name, journey.gathered.snapshot.number.0);
        let (deployment, status, line) = picture.words();
        // Back-ticks are not read as Markdown there.
        let line = crate::redact::text(&line.replace('`', ""));
        let (what, said) =
            (format!("environment {environment}"), format!("{} {deployment} {line}", journey.merged.commit));
        match self.store.told(repo, number, &what).await {
            Ok(told) if told.as_deref() == Some(&said) => return,
            Ok(_) | Err(_) => {}
        }
        let shown = self.show_picture(journey, environment, (deployment, status), &line);
        match tokio::time::timeout(PATIENCE, shown).await {
            Ok(Ok(())) => {
                if let Err(error) = self.store.remember_told(repo, number, &what, &said, chrono::Utc::now()).await {
                    tracing::warn!(error = chain(&error), "what was shown of a deployment could not be noted");
                }
            }
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "a deployment could not be shown"),
            Err(_) => tracing::warn!("a deployment could not be shown in time"),
        }
    }

    async fn show_picture(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        (deployment, status): (&str, &str),
        line: &str,
    ) -> Result<(), GithubError> {
        let api = &journey.place.api;
        let (sha, name) = (&journey.merged.commit, environment.as_str());
        let bot = self.github.bot_login().await?;
        let comments = api.comments(journey.gathered.snapshot.number).await?;
        let told = own_comment(&comments, &run_comment::marker(environment), &bot, self.github.app_id());
        let log = told.map(|c| c.html_url.clone()).filter(|u| !u.is_empty());
        allowed(api.show_deployment(sha, name, deployment, line, log.as_deref()).await)?;
        if deployment == "success" {
            allowed(api.retire_deployments(sha, name).await)?;
        }
        allowed(api.set_status(sha, &format!("godwit / {environment}"), status, line, log.as_deref()).await)
    }
}

/// What the App may not do is left out; `godwit doctor` names the permission that is missing.
fn allowed(done: Result<(), GithubError>) -> Result<(), GithubError> {
    match done {
        Err(
            refused @ (GithubError::Forbidden { .. } | GithubError::NotFound { .. } | GithubError::Rejected { .. }),
        ) => {
            tracing::debug!(error = %refused, "left out");
            Ok(())
        }
        other => other,
    }
}
