//! Godwit as a custom deployment protection rule: a workflow job that deploys waits until the environment holds the
//! migrations of its commit, or, for the head of an open pull request, until people have agreed to them.

use chrono::{DateTime, Duration, Utc};

use super::Bot;
use super::contents::{self, Unreadable, policy_at};
use super::error::JobError;
use super::gather::{Found, Place};
use super::plans::takers;
use super::worker::chain;
use crate::approval::{Policy, Status, evaluate_environment};
use crate::git::{GitError, Want};
use crate::github::{Event, GateWord, GithubError};
use crate::ids::EnvironmentName;
use crate::migration::{Migration, MigrationSet};
use crate::plan::MigrationState;
use crate::report::escape::code;
use crate::runner;
use crate::store::gates::ProtectionRequest;

/// GitHub ends jobs that waited longer.
const LONGEST: Duration = Duration::days(30);
/// Reports before the final word; GitHub takes ten.
const REPORTS: u32 = 9;
/// Migrations named in a report.
const NAMED: usize = 10;

/// What is known about a job that asks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Standing {
    /// Migrations of the commit that the environment lacks.
    pending: Vec<String>,
    /// Migrations that failed there, or whose state nobody knows.
    stuck: Vec<String>,
    /// For the head of an open pull request: whether people agreed to this environment.
    agreed: bool,
    /// Who is missing.
    missing: Vec<String>,
}

/// The word that follows, with its report.
fn word(environment: &EnvironmentName, standing: &Standing) -> (GateWord, String) {
    let name = code(environment.as_str());
    if !standing.stuck.is_empty() {
        let list = names(&standing.stuck);
        return (
            GateWord::Rejected,
            format!(
                "In {name} these migrations of the commit did not end well: {list}. Settle them, then run the job again."
            ),
        );
    }
    if standing.pending.is_empty() {
        return (GateWord::Approved, format!("{name} holds every migration of this commit."));
    }
    if standing.agreed {
        return (
            GateWord::Approved,
            format!("Everybody whom {name} asks for has agreed to the migrations of this commit."),
        );
    }
    let mut report = format!("{name} does not hold these migrations of the commit yet: {}.", names(&standing.pending));
    if !standing.missing.is_empty() {
        report.push_str(&format!(" Still missing: {}.", standing.missing.join(", ")));
    }
    report.push_str(" The job goes on by itself once it does.");
    (GateWord::Waits, report)
}

fn names(list: &[String]) -> String {
    let mut out: Vec<String> = list.iter().take(NAMED).map(|n| code(n)).collect();
    if list.len() > NAMED {
        out.push(format!("and {} more", list.len() - NAMED));
    }
    out.join(", ")
}

impl Bot {
    /// Answers the jobs of a repository that wait, as far as there is something new to say.
    pub(super) async fn answer_gates(&self, place: &Place, now: DateTime<Utc>) -> Result<(), JobError> {
        let repo = &place.repository.name;
        for request in self.store.waiting_gates(repo, now - LONGEST).await? {
            let Some((word, report)) = self.gate_word(place, &request, now).await? else { continue };
            let report = crate::redact::text(&report);
            if word == GateWord::Waits && (report == request.said || request.reports >= REPORTS) {
                continue;
            }
            let ends = (word != GateWord::Waits).then_some(now);
            match place.api.answer_protection_rule(request.run, &request.environment, word, &report).await {
                Ok(()) => self.store.note_gate(repo, &request, &report, ends).await?,
                // The job is gone or was let through by a person, or the App may not answer it.
                Err(
                    error @ (GithubError::NotFound { .. }
                    | GithubError::Forbidden { .. }
                    | GithubError::Rejected { .. }),
                ) => {
                    tracing::warn!(repo = %repo, run = request.run, error = chain(&error), "a job could not be answered");
                    self.store.note_gate(repo, &request, &report, Some(now)).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The word of this worker; `None` when another one reaches the databases, which has the job by now.
    async fn gate_word(
        &self,
        place: &Place,
        request: &ProtectionRequest,
        now: DateTime<Utc>,
    ) -> Result<Option<(GateWord, String)>, JobError> {
        let (policy, set) = match self.gate_contents(place, request).await {
            Ok(Ok(found)) => found,
            Ok(Err(what)) => return Ok(Some((GateWord::Waits, format!("The policy cannot be read: {what}")))),
            Err(JobError::Git(GitError::Missing(_))) => {
                let gone = "This commit is not in the repository any more.".to_owned();
                return Ok(Some((GateWord::Rejected, gone)));
            }
            Err(error) => return Err(error),
        };
        let known = EnvironmentName::new(request.environment.as_str()).ok();
        let settings = known.as_ref().and_then(|name| policy.environments.get(name));
        let (Some(environment), Some(settings)) = (known, settings) else {
            let list: Vec<String> = policy.environments.0.iter().map(|e| e.name.to_string()).collect();
            let report = format!(
                "Godwit knows no environment {}. It knows {}: call the workflow's environment like one of them, or take \
                 this rule off it.",
                code(&request.environment),
                names(&list)
            );
            return Ok(Some((GateWord::Rejected, report)));
        };
        let all: Vec<&Migration> = set.migrations.iter().collect();
        let (here, there) = self.reached(settings, &takers(settings, &all)).await?;
        if let (true, Some(other)) = (here.is_empty(), there.first()) {
            let event = Event::ProtectionRule {
                repo: place.repository.clone(),
                environment: request.environment.clone(),
                run: request.run,
                commit: request.commit.clone(),
            };
            self.hand_to(&other.owner, &event, None).await?;
            return Ok(None);
        }
        let targets = match self.targets(place, settings, &here) {
            Ok(targets) => targets,
            Err(refusal) => return Ok(Some((GateWord::Waits, format!("{}; {}", refusal.message, refusal.what_to_do)))),
        };
        let released = self.store.releases(Some(&place.repository.name), environment.as_str()).await?;
        let statuses = match runner::status(&set, &targets, &released).await {
            Ok(statuses) => statuses,
            Err(error) => {
                let report = format!("{} cannot be looked at: {error}", code(environment.as_str()));
                return Ok(Some((GateWord::Waits, report)));
            }
        };
        let mut standing = Standing::default();
        for migration in statuses.iter().flat_map(|t| &t.migrations) {
            // What the history knows and the commit does not is nothing that the commit needs.
            if !set.migrations.iter().any(|m| m.id == migration.id && m.unit == migration.unit) {
                continue;
            }
            match migration.state {
                MigrationState::Applied => {}
                MigrationState::Failed | MigrationState::NeedsHuman => standing.stuck.push(migration.id.to_string()),
                MigrationState::Pending | MigrationState::Running | MigrationState::RolledBack => {
                    standing.pending.push(migration.id.to_string());
                }
            }
        }
        // What only other workers reach is as the store last saw it.
        let known = self.held_elsewhere(&place.repository.name, settings, &set, &here).await?;
        let theirs = |m: &&Migration| there.iter().any(|leg| leg.targets.iter().any(|t| m.target.as_ref() == Some(t)));
        let lacking = all.iter().filter(|m| theirs(m) && !known.contains(&m.reference()));
        standing.pending.extend(lacking.map(|m| m.id.to_string()));
        if !standing.pending.is_empty() && standing.stuck.is_empty() {
            self.gate_people(place, request, &environment, &mut standing, now).await?;
        }
        Ok(Some(word(&environment, &standing)))
    }

    /// What people said about the pull request that the commit belongs to.
    async fn gate_people(
        &self,
        place: &Place,
        request: &ProtectionRequest,
        environment: &EnvironmentName,
        standing: &mut Standing,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let pulls = place.api.pulls_of_commit(&request.commit).await?;
        let of_commit = pulls.iter().find(|p| {
            p.head.sha == request.commit || p.merge_commit_sha.as_ref().is_some_and(|m| *m == request.commit)
        });
        let Some(pull) = of_commit else { return Ok(()) };
        let Found::Complete(gathered) = self.gather(place, pull.number, now).await? else { return Ok(()) };
        let verdict = evaluate_environment(&gathered.contents.policy, &gathered.snapshot, environment, now);
        let is_head = gathered.merged.is_none() && gathered.pull.head.sha == request.commit;
        let clean = super::decide::blockers(&gathered.contents).is_empty();
        standing.agreed = is_head && clean && verdict.evaluation.status == Status::Approved;
        standing.missing = verdict.evaluation.missing.iter().map(|m| crate::report::escape::prose(m)).collect();
        Ok(())
    }

    /// The policy of the default branch, and every migration that the commit has.
    async fn gate_contents(
        &self,
        place: &Place,
        request: &ProtectionRequest,
    ) -> Result<Result<(Policy, MigrationSet), String>, JobError> {
        let (branch, commit) = (place.repository.default_branch.clone(), request.commit.clone());
        let wants = [Want::Branch(branch.clone()), Want::Commit(commit.clone())];
        self.git(place, &wants, move |mirror| {
            let Some(tip) = mirror.branch(&branch)? else { return Ok(Err("the default branch is gone".to_owned())) };
            match policy_at(mirror, &tip) {
                Ok(policy) => {
                    let set = contents::set_at(mirror, &commit, &policy.repo.migrations)?;
                    Ok(Ok((policy, set)))
                }
                Err(Unreadable::Policy(errors)) => Ok(Err(errors.first().map(ToString::to_string).unwrap_or_default())),
                Err(Unreadable::Git(e)) => Err(e),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_may_deploy_only_where_everything_it_needs_is_there() {
        let production = EnvironmentName::new("production").unwrap();
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        for (standing, expected, part) in [
            (Standing::default(), GateWord::Approved, "holds every"),
            (Standing { pending: list(&["0002_x"]), ..Standing::default() }, GateWord::Waits, "`0002_x`"),
            (
                Standing { pending: list(&["0002_x"]), missing: list(&["dba"]), ..Standing::default() },
                GateWord::Waits,
                "dba",
            ),
            (
                Standing { pending: list(&["0002_x"]), agreed: true, ..Standing::default() },
                GateWord::Approved,
                "agreed",
            ),
            (
                Standing { stuck: list(&["0001_y"]), agreed: true, ..Standing::default() },
                GateWord::Rejected,
                "`0001_y`",
            ),
        ] {
            let (said, report) = word(&production, &standing);
            assert_eq!(said, expected, "{standing:?}");
            assert!(report.contains(part), "{report}");
        }
        let many = Standing { pending: (0..400).map(|n| format!("{n:04}_migration")).collect(), ..Standing::default() };
        assert!(word(&production, &many).1.chars().count() < 1024);
    }
}
