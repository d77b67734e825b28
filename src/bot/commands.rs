//! Answers commands in comments: 👀 at once, then one comment per comment, edited in place when the work is repeated.

use chrono::{DateTime, Utc};

use super::command::{self, Command, addresses_bot, commands};
use super::contents::{Unreadable, policy_at};
use super::error::JobError;
use super::gather::{Found, Gathered, Place};
use super::work::{Comment, Judge};
use super::{Bot, decide};
use crate::approval::{Permission, Policy};
use crate::config::ConfigError;
use crate::git::Want;
use crate::github::{GithubError, model};
use crate::ids::{EnvironmentName, Login};
use crate::report::{EnvironmentPlan, escape};

/// What a command asks of the work that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Look again.
    Look,
    /// Start an environment where its gate is open.
    Start(EnvironmentName),
    /// Open a manual gate.
    Promote(EnvironmentName, Login),
    /// Try again after a failure or an expiry.
    Retry(EnvironmentName, Login),
}

impl Bot {
    /// Answers the commands of a comment; gives what they ask for beyond the answer.
    pub(super) async fn answer(&self, comment: &Comment, now: DateTime<Utc>) -> Result<Vec<(Judge, Wish)>, JobError> {
        if !addresses_bot(&comment.body) {
            return Ok(Vec::new());
        }
        let place = self.place(&comment.repo).await?;
        match place.api.react(comment.id, "eyes").await {
            // The comment was deleted meanwhile; what it said still stands in the delivery.
            Ok(()) | Err(GithubError::NotFound { .. }) => {}
            Err(e) => return Err(e.into()),
        }
        let pull = place.api.pull(comment.number).await?;
        let policy = match self.policy_of_base(&place, &pull).await? {
            Ok(policy) => policy,
            Err(errors) => {
                let list: String = errors.iter().map(|e| format!("- {}\n", escape::prose(&e.to_string()))).collect();
                let text = format!("The policy of the base branch cannot be read, so I can do nothing:\n\n{list}");
                self.reply(&place, comment, &text).await?;
                return Ok(Vec::new());
            }
        };
        if !self.may_command(&place, &policy, &comment.by).await? {
            let text = format!(
                "{} has neither write access to this repository nor a role in its policy, so I do nothing.",
                escape::code(comment.by.as_str())
            );
            self.reply(&place, comment, &text).await?;
            return Ok(Vec::new());
        }
        self.carry_out(&place, comment, &pull, &policy, now).await
    }

    async fn carry_out(
        &self,
        place: &Place,
        comment: &Comment,
        pull: &model::PullRequest,
        policy: &Policy,
        now: DateTime<Utc>,
    ) -> Result<Vec<(Judge, Wish)>, JobError> {
        let judge = Judge {
            repo: comment.repo.clone(),
            number: comment.number,
            correlation: comment.correlation.clone(),
            by: Some(comment.by.clone()),
        };
        let (mut answers, mut wishes) = (Vec::new(), Vec::new());
        for (line, read) in commands(&comment.body, &policy.repo.environments) {
            let text = match read {
                Err(wrong) => format!("⚠️ {wrong}."),
                Ok(command) => {
                    let (text, wish) = self.one(place, comment, pull, &command, now).await?;
                    wishes.extend(wish.map(|w| (judge.clone(), w)));
                    text
                }
            };
            answers.push(format!("> {}\n\n{text}", escape::code(&line)));
        }
        self.reply(place, comment, &answers.join("\n\n")).await?;
        Ok(wishes)
    }

    /// One command: its answer, and what it asks for beyond.
    async fn one(
        &self,
        place: &Place,
        comment: &Comment,
        pull: &model::PullRequest,
        command: &Command,
        now: DateTime<Utc>,
    ) -> Result<(String, Option<Wish>), JobError> {
        let not_merged =
            || (String::from("This pull request is not merged yet; its merge starts the environments."), None);
        let started = |environment: &EnvironmentName| {
            format!("Looking at `{environment}` now; its comment tells how it went, or what it waits for.")
        };
        Ok(match command {
            Command::Help => (command::help(), None),
            Command::Lint => ("Looking again; the checks and the summary follow.".to_owned(), Some(Wish::Look)),
            Command::Status => (self.status_text(place, pull, now).await?, None),
            Command::Plan(environment) => (self.plan_text(place, pull, environment.as_ref(), now).await?, None),
            Command::Retry(environment) if !pull.is_merged() => (
                format!(
                    "If the approvals for `{environment}` have expired, people are asked anew; the summary shows it."
                ),
                Some(Wish::Retry(environment.clone(), comment.by.clone())),
            ),
            Command::Apply(_) | Command::Promote(_) if !pull.is_merged() => not_merged(),
            Command::Apply(environment) => (started(environment), Some(Wish::Start(environment.clone()))),
            Command::Promote(environment) => {
                (started(environment), Some(Wish::Promote(environment.clone(), comment.by.clone())))
            }
            Command::Retry(environment) => {
                (started(environment), Some(Wish::Retry(environment.clone(), comment.by.clone())))
            }
            Command::Lock(..)
            | Command::Unlock(_)
            | Command::Rollback(..)
            | Command::Cancel(_)
            | Command::Confirm(_)
            | Command::Resolve { .. }
            | Command::Emergency(..) => (
                "This version cannot do that from a comment yet; use the command line (`godwit --help`).".to_owned(),
                None,
            ),
        })
    }

    /// Whether a person may give commands: write access, or a role.
    async fn may_command(&self, place: &Place, policy: &Policy, login: &Login) -> Result<bool, JobError> {
        let person = self.person(place, policy, login).await?;
        let holds_a_role = policy.roles.0.keys().any(|role| policy.roles.holds(role, login, &person.teams));
        Ok(person.permission >= Permission::Write || holds_a_role)
    }

    async fn reply(&self, place: &Place, comment: &Comment, text: &str) -> Result<(), JobError> {
        let marker = format!("<!-- godwit:answer:{} -->", comment.id);
        let body = format!("{marker}\n@{}\n\n{text}", comment.by);
        let body = escape::cut_at(&crate::redact::text(&body), escape::COMMENT_LIMIT, "_The rest is cut._");
        place.api.keep_comment(comment.number, &marker, &body).await?;
        Ok(())
    }

    async fn policy_of_base(
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
        let record = self.store.latest_environment(repo, environment, digest).await?;
        Ok(record
            .map_or_else(|| "pending".to_owned(), |r| format!("{} at {}", r.outcome.as_str(), decide::stamp(r.at))))
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
