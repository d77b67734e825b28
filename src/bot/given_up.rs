//! Work that was given up is told where people wait for it: under the command, on the merged pull request, or by red checks.

use chrono::{DateTime, TimeDelta, Utc};

use super::Bot;
use super::command::addresses_bot;
use super::decide::stamp;
use super::error::JobError;
use super::work::{Comment, Judge, coalesce};
use super::worker::chain;
use crate::github::GithubError;
use crate::report::escape::code;
use crate::store::answered::Answered;
use crate::store::{Job, MAX_ATTEMPTS};

/// How long GitHub or a server may fail before attempts count: as long as GitHub itself would deliver again.
pub(super) const PATIENCE: TimeDelta = TimeDelta::days(3);
/// The first line of the comment on a merged pull request.
const MARKER: &str = "<!-- godwit:given-up -->";
/// Whoever gave work up tells of it at once; what is older was not told.
const TOLD_WITHIN: TimeDelta = TimeDelta::minutes(1);

impl Bot {
    /// Tells people about jobs that were just given up. What cannot be told now is told by a sweep.
    pub(super) async fn tell_given_up(&self, jobs: &[Job]) {
        for job in jobs {
            tracing::error!(job = job.id, attempts = job.attempt, "work was given up");
            if let Err(error) = self.tell_one_given_up(job).await {
                tracing::warn!(job = job.id, error = chain(&error), "that work was given up could not be told yet");
            }
        }
    }

    /// Tells people about work that was given up and that nobody told them of, as where its worker died again and again.
    pub(super) async fn tell_of_dead(&self, now: DateTime<Utc>) -> Result<(), JobError> {
        let untold = self.store.untold(now - TOLD_WITHIN).await?;
        self.tell_given_up(&untold).await;
        Ok(())
    }

    async fn tell_one_given_up(&self, job: &Job) -> Result<(), JobError> {
        match self.say_given_up(job).await {
            // Nobody is there any more who could be told.
            Ok(())
            | Err(JobError::Github(
                GithubError::NotFound { .. } | GithubError::Forbidden { .. } | GithubError::Rejected { .. },
            )) => Ok(self.store.mark_told(job).await?),
            Err(error) => Err(error),
        }
    }

    async fn say_given_up(&self, job: &Job) -> Result<(), JobError> {
        let work = coalesce(std::slice::from_ref(job));
        for comment in work.comments.iter().filter(|c| addresses_bot(&c.body)) {
            if self.store.answered(comment.id).await?.is_some() {
                continue;
            }
            let text = format!(
                "⚠️ I could not do this: it failed {MAX_ATTEMPTS} times, and I do not try it again. Once what is wrong is mended, \
                 write the command again. The server's log says more under {}.",
                code(&job.id)
            );
            self.reply(&self.place(&comment.repo).await?, comment, &text).await?;
            self.store.remember_answer(comment.id, Answered::GivenUp).await?;
        }
        let Some(Judge { repo, number, .. }) = work.judge else { return Ok(()) };
        let place = self.place(&repo).await?;
        let pull = place.api.pull(number).await?;
        if pull.is_merged() {
            let text = format!(
                "{MARKER}\n⚠️ At {} I gave up going on with this pull request: it failed {MAX_ATTEMPTS} times. It is looked at \
                 again by itself from time to time, and at once with `/godwit status` and `/godwit retry ENV`; the comments \
                 about the environments say how each of them stands. The server's log says more under {}.\n",
                stamp(Utc::now()),
                code(&job.id)
            );
            place.api.keep_comment(number, MARKER, &text).await?;
            return Ok(());
        }
        let error = JobError::Internal("given up".to_owned());
        if pull.state == "open" { self.show_failure(&place, &pull, &error, &job.id).await } else { Ok(()) }
    }

    /// Says under commands that wait for a lasting failure of GitHub or of a server to end that they are not lost.
    pub(super) async fn tell_of_outage(&self, jobs: &[Job]) {
        for job in jobs {
            for comment in coalesce(std::slice::from_ref(job)).comments {
                if !addresses_bot(&comment.body) {
                    continue;
                }
                if let Err(error) = self.say_outage(&comment, job).await {
                    tracing::warn!(job = job.id, error = chain(&error), "that a command waits could not be told");
                }
            }
        }
    }

    async fn say_outage(&self, comment: &Comment, job: &Job) -> Result<(), JobError> {
        if self.store.answered(comment.id).await?.is_some() {
            return Ok(());
        }
        let text = format!(
            "⏳ GitHub, or a server that this needs, fails at the moment. I go on trying until {} and answer here; nothing has to \
             be written again. The server's log says more under {}.",
            stamp(job.created_at + PATIENCE),
            code(&job.id)
        );
        self.reply(&self.place(&comment.repo).await?, comment, &text).await
    }
}
