//! Commands that only another region's worker can answer, because it alone reaches the databases that they are about.

use chrono::{DateTime, Utc};

use super::Bot;
use super::command::Command;
use super::contents::Contents;
use super::decide::refusal;
use super::error::JobError;
use super::gather::Place;
use super::merge_run::quoted;
use super::orders::refused;
use super::regions::{self, Owner, Whose, named};
use super::work::Comment;
use crate::github::{Event, Sender, model};
use crate::ids::{EnvironmentName, MigrationReference, TargetName};
use crate::migration::Migration;
use crate::plan::Refusal;
use crate::plan::planner::belongs;
use crate::report::escape::code;

impl Bot {
    /// Whether the workers of another region answer a comment with these commands; then they have it by now, and whoever
    /// wrote it is told whom it waits for.
    pub(super) async fn answers_elsewhere(
        &self,
        place: &Place,
        comment: &Comment,
        pull: &model::PullRequest,
        commands: &[&Command],
        now: DateTime<Utc>,
    ) -> Result<bool, JobError> {
        let wanted: Vec<(&EnvironmentName, Option<&MigrationReference>)> =
            commands.iter().filter_map(|command| reaches(command)).collect();
        if wanted.is_empty() || self.served().await?.is_empty() {
            return Ok(false);
        }
        // A policy that cannot be read is told of by whoever answers.
        let Ok(tip) = self.tip(place, pull, now).await? else { return Ok(false) };
        let mut owners: Vec<Owner> = Vec::new();
        for (environment, migration) in wanted {
            match self.whose(&tip, environment, migration.map(MigrationReference::as_str)).await? {
                Whose::Of(owner) if owners.contains(&owner) => {}
                Whose::Of(owner) => owners.push(owner),
                // A plan is told as far as it can be made here.
                Whose::Several(_) if migration.is_none() => {}
                Whose::Several(workers) => {
                    let why = of_several(environment, &workers);
                    self.reply(place, comment, &refused(&why.message, &why.what_to_do)).await?;
                    return Ok(true);
                }
            }
        }
        match &owners[..] {
            [] => Ok(false),
            [one] if *one == self.settings.region => Ok(false),
            [one] => {
                let (who, start) = named(one);
                let text = format!(
                    "{} answers this: it alone holds the credentials that it takes. If none runs: {}.",
                    capital(&who),
                    code(&start)
                );
                self.reply(place, comment, &text).await?;
                self.hand_to(one, &as_event(comment), comment.correlation.as_ref()).await?;
                Ok(true)
            }
            several => {
                let names: Vec<String> = several.iter().map(|owner| named(owner).0).collect();
                let message =
                    format!("these commands are for different workers ({}); nothing was done", names.join(", "));
                self.reply(place, comment, &refused(&message, "write each in a comment of its own")).await?;
                Ok(true)
            }
        }
    }

    /// Who runs what a command wants of a migration in an environment, or of the whole environment.
    pub(super) async fn whose(
        &self,
        tip: &Contents,
        environment: &EnvironmentName,
        migration: Option<&str>,
    ) -> Result<Whose, JobError> {
        let Some(settings) = tip.policy.environments.get(environment) else { return Ok(Whose::Of(None)) };
        let found: Option<&Migration> = migration.and_then(|name| tip.set.find(name));
        let names: Vec<TargetName> = settings
            .targets
            .iter()
            .filter(|t| found.is_none_or(|m| belongs(m, &t.name, t.engine)))
            .map(|t| t.name.clone())
            .collect();
        if names.is_empty() || (migration.is_some() && found.is_none()) {
            // Whoever comes to it says that there is nothing.
            return Ok(Whose::Of(self.settings.region.clone()));
        }
        Ok(regions::whose(settings, &names, &self.served().await?))
    }
}

/// Why nobody does what concerns targets of several workers at once.
pub(super) fn of_several(environment: &EnvironmentName, workers: &[String]) -> Refusal {
    refusal(
        "region",
        format!("its targets in `{environment}` belong to different workers: {}", quoted(workers)),
        "do it on the command line, target by target, where their credentials are".to_owned(),
    )
}

/// What a command reaches databases for: an environment, and the migration where it names one.
fn reaches(command: &Command) -> Option<(&EnvironmentName, Option<&MigrationReference>)> {
    match command {
        Command::Rollback(environment, migration) | Command::Resolve { environment, migration, .. } => {
            Some((environment, Some(migration)))
        }
        Command::Plan(Some(environment)) => Some((environment, None)),
        // They write something down and leave the rest to the pull request's own line, which finds its worker by itself.
        Command::Help
        | Command::Status
        | Command::Lint
        | Command::Plan(None)
        | Command::Apply(_)
        | Command::Promote(_)
        | Command::Retry(_)
        | Command::Cancel(_)
        | Command::Confirm(_)
        | Command::Lock(..)
        | Command::Unlock(_)
        | Command::Emergency(..)
        | Command::Release(..) => None,
    }
}

/// The comment as it came.
fn as_event(comment: &Comment) -> Event {
    Event::Comment {
        repo: comment.repo.clone(),
        number: comment.number,
        comment: comment.id,
        body: comment.body.clone(),
        sender: Sender { login: comment.by.clone(), bot: false },
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
