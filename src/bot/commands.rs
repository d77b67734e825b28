//! Answers commands in comments: 👀 at once, then one comment per comment, edited in place when the work is repeated.
//!
//! Comments are worked in a line of their own, so that they are heard while a run goes on. What a command asks for is
//! written down here; the pull request's own line, which is told to look again, carries it out.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Bot;
use super::command::{self, Command, addresses_bot, command_lines, commands};
use super::contents::{Unreadable, policy_at};
use super::decide;
use super::error::JobError;
use super::gather::{Found, Gathered, Place, person};
use super::permission::{self, Need, may, need};
use super::work::Comment;
use super::worker::boxed;
use crate::approval::{Person, Policy};
use crate::config::ConfigError;
use crate::git::Want;
use crate::github::{GithubError, model};
use crate::ids::{EnvironmentName, Login, TeamSlug};
use crate::report::{EnvironmentPlan, escape};
use crate::store::answered::Answered;
use crate::store::turns::TurnState;

/// What begins the answer to a command that is not carried out.
pub(super) const REFUSED: &str = "⛔";
const TAKEN_BACK: &str = "⚠️ This line is not in the comment any more, so nothing was done.";
/// A command that is heard of so late is not obeyed: GitHub itself delivers nothing after three days.
const TOO_OLD: TimeDelta = TimeDelta::days(3);
/// How long GitHub may take to show a comment that it told of.
const SETTLES: TimeDelta = TimeDelta::seconds(5);
/// How long to wait before it is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// One command of a comment, with everything that answers it.
pub(super) struct Order<'a> {
    pub place: &'a Place,
    pub comment: &'a Comment,
    /// Which of the comment's commands it is, from 0.
    pub line: u64,
    pub pull: &'a model::PullRequest,
    /// The policy of the tip of the base branch.
    pub policy: &'a Policy,
    pub person: &'a Person,
    pub now: DateTime<Utc>,
}

impl Order<'_> {
    /// Under what it is known once it was carried out.
    pub(super) fn key(&self) -> String {
        format!("{}:{}", self.comment.id, self.line)
    }

    /// Whether who gives it may, or why not.
    pub(super) fn may(&self, need: Need<'_>) -> Result<(), String> {
        may(self.policy, need, &self.comment.by, self.person)
    }
}

impl Bot {
    /// Answers the commands of a comment.
    pub(super) async fn answer(&self, comment: &Comment, now: DateTime<Utc>) -> Result<(), JobError> {
        if !addresses_bot(&comment.body) || self.store.answered(comment.id).await? == Some(Answered::Done) {
            return Ok(());
        }
        let place = self.place(&comment.repo).await?;
        match place.api.react(comment.id, "eyes").await {
            // The comment was deleted meanwhile; that is found out below.
            Ok(()) | Err(GithubError::NotFound { .. }) => {}
            Err(e) => return Err(e.into()),
        }
        let pull = place.api.pull(comment.number).await?;
        let Some(there) = self.still_there(&place, comment).await? else {
            tracing::info!(comment = comment.id, "a comment is gone; what it asked for is not done");
            return Ok(self.store.remember_answer(comment.id, Answered::Done).await?);
        };
        if let Some(text) = boxed(|| self.answer_to(&place, comment, &pull, &there, now)).await? {
            self.reply(&place, comment, &text).await?;
            self.store.remember_answer(comment.id, Answered::Done).await?;
        }
        Ok(())
    }

    /// The comment as it is now; `None` when it was deleted.
    async fn still_there(&self, place: &Place, comment: &Comment) -> Result<Option<model::RepoComment>, JobError> {
        loop {
            let there = place.api.comment(comment.id).await?;
            if there.is_some() || Utc::now() > comment.at + SETTLES {
                return Ok(there);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// What is answered to a comment once what it asks for is written down; `None` when somebody else answers it.
    async fn answer_to(
        &self,
        place: &Place,
        comment: &Comment,
        pull: &model::PullRequest,
        there: &model::RepoComment,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, JobError> {
        if Utc::now() > there.created_at + TOO_OLD {
            return Ok(Some(format!(
                "This was written at {}, and I hear of it only now. Nothing was done: what was right then may be wrong by now. \
                 Write it again if it still holds.",
                decide::stamp(there.created_at)
            )));
        }
        let policy = match self.policy_of_base(place, pull).await? {
            Ok(policy) => policy,
            Err(errors) => {
                let list: String = errors.iter().map(|e| format!("- {}\n", escape::prose(&e.to_string()))).collect();
                return Ok(Some(format!(
                    "The policy of the base branch cannot be read, so I can do nothing:\n\n{list}"
                )));
            }
        };
        let person = holder(place, &policy, &comment.by).await?;
        if let Err(refused) = may(&policy, Need::Anybody, &comment.by, &person) {
            self.note_stranger(place, comment, &refused).await?;
            return Ok(Some(format!("{}.", escape::prose(&refused))));
        }
        let orders = commands(&comment.body, &policy.repo.environments);
        let understood: Vec<&Command> = orders.iter().filter_map(|(_, read)| read.as_ref().ok()).collect();
        if self.answers_elsewhere(place, comment, pull, &understood, now).await? {
            return Ok(None);
        }
        let said: Vec<&str> = command_lines(there.body.as_deref().unwrap_or_default());
        let mut answers = Vec::new();
        for (line, (text, read)) in (0..).zip(orders) {
            let order = Order { place, comment, line, pull, policy: &policy, person: &person, now };
            let answer = match read {
                _ if !said.contains(&text.as_str()) => TAKEN_BACK.to_owned(),
                Err(wrong) => format!("⚠️ {wrong}."),
                Ok(command) => {
                    let answer = match order.may(need(&command)) {
                        Err(refused) => format!("{REFUSED} {}.", escape::prose(&refused)),
                        Ok(()) => boxed(|| self.one(&order, &command)).await?,
                    };
                    if answer.starts_with(REFUSED) {
                        self.note_refused(&order, &command, &text, &answer).await?;
                    }
                    answer
                }
            };
            answers.push(format!("> {}\n\n{answer}", escape::code(&text)));
        }
        answers.extend(command::left_out(&comment.body));
        Ok(Some(answers.join("\n\n")))
    }

    /// One command: its answer, once what it asks for is written down.
    async fn one(&self, order: &Order<'_>, command: &Command) -> Result<String, JobError> {
        let (place, pull, now) = (order.place, order.pull, order.now);
        match command {
            Command::Help => Ok(command::help()),
            Command::Lint => {
                self.enqueue_look(place, pull).await?;
                Ok("Looking again; the checks and the summary follow.".to_owned())
            }
            Command::Status => self.status_text(place, pull, now).await,
            Command::Plan(environment) => self.plan_text(place, pull, environment.as_ref(), now).await,
            Command::Apply(environment) => self.order_apply(order, environment).await,
            Command::Promote(environment) => self.order_promotion(order, environment).await,
            Command::Retry(environment) => self.order_retry(order, environment).await,
            Command::Lock(environment, reason) => self.order_lock(order, environment, reason).await,
            Command::Unlock(environment) => self.order_unlock(order, environment).await,
            Command::Cancel(environment) => self.order_stop(order, environment).await,
            Command::Resolve { environment, migration, settled, reason } => {
                self.order_settlement(order, environment, migration, *settled, reason).await
            }
            Command::Release(environment, migration, reason) => {
                self.order_release(order, environment, migration, reason).await
            }
            Command::Emergency(environment, reason) => {
                self.order_emergency(order, environment, reason.as_deref()).await
            }
            Command::Rollback(environment, migration) => self.order_rollback(order, environment, migration).await,
            Command::Confirm(request) => self.order_confirmation(order, request).await,
        }
    }

    pub(super) async fn reply(&self, place: &Place, comment: &Comment, text: &str) -> Result<(), JobError> {
        let marker = format!("<!-- godwit:answer:{} -->", comment.id);
        let body = format!("{marker}\n@{}\n\n{text}", comment.by);
        let body = escape::cut_at(&crate::redact::text(&body), escape::COMMENT_LIMIT, "_The rest is cut._");
        place.api.keep_comment(comment.number, &marker, &body).await?;
        Ok(())
    }

    pub(super) async fn policy_of_base(
        &self,
        place: &Place,
        pull: &model::PullRequest,
    ) -> Result<Result<Policy, Vec<ConfigError>>, JobError> {
        let (base_ref, fallback) = (pull.base.branch.clone(), pull.base.sha.clone());
        let wants = [Want::Branch(base_ref.clone()), Want::Commit(fallback.clone())];
        self.git(place, &wants, move |mirror| {
            let base = mirror.branch(&base_ref)?.unwrap_or_else(|| fallback.clone());
            match policy_at(mirror, &base) {
                Ok(policy) => Ok(Ok(policy)),
                Err(Unreadable::Policy(errors)) => Ok(Err(errors)),
                Err(Unreadable::Git(e)) => Err(e),
            }
        })
        .await
    }

    async fn status_text(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        now: DateTime<Utc>,
    ) -> Result<String, JobError> {
        let Found::Complete(gathered) = self.gather(place, pull.number, now).await? else {
            return Ok("The policy of the base branch cannot be read.".to_owned());
        };
        let verdict = decide::judge(&gathered.contents, &gathered.snapshot, now);
        let mut text =
            format!("**{}**\n\n| environment | state | missing |\n|---|---|---|\n", escape::prose(&verdict.summary));
        for environment in &verdict.environments {
            let state = self.state_word(place, &gathered, &environment.environment).await?;
            let missing =
                environment.evaluation.missing.iter().map(|m| escape::prose(m)).collect::<Vec<_>>().join(", ");
            text.push_str(&format!("| `{}` | {state} | {missing} |\n", environment.environment));
        }
        text.push_str("\nA rollback (`/godwit rollback ENV MIGRATION`):\n");
        for environment in &gathered.contents.policy.repo.environments {
            let who = permission::who_rolls_back(&gathered.contents.policy, environment);
            text.push_str(&format!("- in {}: {}\n", escape::code(environment.as_str()), escape::prose(&who)));
        }
        Ok(text)
    }

    async fn state_word(
        &self,
        place: &Place,
        gathered: &Gathered,
        environment: &EnvironmentName,
    ) -> Result<String, JobError> {
        let repo = &place.repository.name;
        if let Some(lock) = self.store.environment_lock(Some(repo), environment).await? {
            return Ok(format!("locked: {}", escape::prose(&lock.reason)));
        }
        let digest = gathered.merged.as_ref().and_then(|m| m.contents.digest.as_ref());
        let Some(digest) = digest else { return Ok("not merged".to_owned()) };
        let turns = self.store.turns(repo, environment).await?;
        if let Some(turn) = turns.iter().find(|t| t.pr == gathered.snapshot.number) {
            let since = decide::stamp(turn.since);
            return Ok(match turn.state {
                TurnState::Running => format!("running since {since}"),
                TurnState::Queued => format!("waits for its turn since {since}"),
                TurnState::Waiting => format!("waits since {since}: {}", escape::inline(&turn.reason)),
            });
        }
        let Some(record) = self.store.latest_environment(repo, environment, digest).await? else {
            return Ok("pending".to_owned());
        };
        let undone = match &record.run {
            Some(run) => self.store.is_rollback(run).await?,
            None => false,
        };
        let word = if undone { "undone" } else { record.outcome.as_str() };
        Ok(format!("{word} at {}", decide::stamp(record.at)))
    }

    async fn plan_text(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        environment: Option<&EnvironmentName>,
        now: DateTime<Utc>,
    ) -> Result<String, JobError> {
        let Found::Complete(gathered) = self.gather(place, pull.number, now).await? else {
            return Ok("The policy of the base branch cannot be read.".to_owned());
        };
        if gathered.snapshot.from_fork {
            return Ok("Pull requests from forks are linted only.".to_owned());
        }
        let plans = self.plans(place, &gathered).await?;
        let wanted = plans.iter().filter(|p| environment.is_none_or(|e| &p.environment == e));
        let text: String = wanted.map(plan_of).collect();
        Ok(if text.is_empty() { "There is nothing to do.".to_owned() } else { text })
    }
}

/// What GitHub says of somebody, with every team that holds a role.
pub(super) async fn holder(place: &Place, policy: &Policy, login: &Login) -> Result<Person, JobError> {
    let teams: BTreeSet<TeamSlug> = policy.roles.0.values().flat_map(|h| h.teams.iter().cloned()).collect();
    Ok(person(&place.api, login.clone(), teams).await?.1)
}

/// One environment's plan, briefly; the summary comment shows the statements.
fn plan_of(plan: &EnvironmentPlan) -> String {
    let mut text = format!("**{}**\n", escape::code(plan.environment.as_str()));
    for refusal in &plan.refusals {
        text.push_str(&format!("- ⛔ {} — {}\n", escape::prose(&refusal.message), escape::prose(&refusal.what_to_do)));
    }
    for step in &plan.steps {
        text.push_str(&format!(
            "- {} on {} ({} risk, {} statements)\n",
            escape::code(step.migration.as_str()),
            escape::code(step.target.as_str()),
            step.risk,
            step.statements.len()
        ));
    }
    if plan.steps.is_empty() && plan.refusals.is_empty() {
        text.push_str("- nothing to do\n");
    }
    text.push('\n');
    text
}
