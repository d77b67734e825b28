//! Godwit as a custom deployment protection rule: a workflow job that deploys waits until the environment holds the
//! migrations of its commit, or, for the head of an open pull request, until people have agreed to them.

use chrono::{DateTime, Duration, Utc};

use std::collections::BTreeSet;

use super::Bot;
use super::asked::Subject;
use super::contents::{self, Unreadable, policy_at};
use super::decide::{self, Next};
use super::error::JobError;
use super::gather::{Found, Gathered, Place};
use super::plans::{takers, takes_any};
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
/// Characters of what keeps a run from beginning; a report has room for 1,024.
const REASON: usize = 300;
/// Migrations named in a report.
const NAMED: usize = 10;

/// What is known about a job that asks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Standing {
    /// Migrations of the commit that the environment lacks.
    pending: Vec<String>,
    /// Migrations that failed there, or whose state nobody knows.
    stuck: Vec<String>,
    /// Migrations that it will never hold, because it has no target for them.
    homeless: Vec<String>,
    /// Whether it has no target at all, or none that takes anything of the commit.
    aimless: bool,
    /// Whether the commit brings no migration.
    empty: bool,
    /// For the head of an open pull request: whether its run might begin now.
    agreed: bool,
    /// What keeps such a run from beginning.
    closed: Option<String>,
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
    if standing.aimless || !standing.homeless.is_empty() {
        let what = if standing.homeless.is_empty() {
            format!("{name} has no target that takes migrations of this commit")
        } else {
            format!("No target of any environment takes {}", names(&standing.homeless))
        };
        return (
            GateWord::Rejected,
            format!("{what}: name one in `godwit.yml` and `environments.yml`, then run the job again."),
        );
    }
    if standing.empty {
        return (GateWord::Approved, format!("This commit has no migrations; {name} needs none."));
    }
    if standing.pending.is_empty() {
        return (GateWord::Approved, format!("{name} holds every migration of this commit."));
    }
    if standing.agreed {
        return (
            GateWord::Approved,
            format!(
                "Everybody whom {name} asks for has agreed to the migrations of this commit, and its gates are open."
            ),
        );
    }
    let mut report = format!("{name} does not hold these migrations of the commit yet: {}.", names(&standing.pending));
    if !standing.missing.is_empty() {
        report.push_str(&format!(" Still missing: {}.", standing.missing.join(", ")));
    }
    if let Some(closed) = &standing.closed {
        report.push_str(&format!(" Now: {}.", closed.chars().take(REASON).collect::<String>()));
    }
    report.push_str(" The job goes on by itself once it does.");
    (GateWord::Waits, report)
}

/// The environment of the same branch that comes before, among those that take something.
fn before_in_chain<'p>(
    policy: &'p Policy,
    gathered: &Gathered,
    default_branch: &str,
    environment: &EnvironmentName,
    own: &[&Migration],
) -> Option<&'p EnvironmentName> {
    let chain = policy.chain(&gathered.pull.base.branch, default_branch);
    let taking: Vec<_> = chain.into_iter().map(|(e, _)| e).filter(|e| takes_any(policy, e, own)).collect();
    let place = taking.iter().position(|e| *e == environment)?;
    taking.get(place.checked_sub(1)?).copied()
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
        let mut standing = Standing { empty: all.is_empty(), ..Standing::default() };
        // Zero targets are never a success (B-19).
        standing.aimless = settings.targets.is_empty() || (!all.is_empty() && !takes_any(&policy, &environment, &all));
        let homeless = |m: &&&Migration| !policy.environments.0.iter().any(|e| !takers(e, &[**m]).is_empty());
        standing.homeless = all.iter().filter(homeless).map(|m| m.id.to_string()).collect();
        if standing.aimless || standing.empty || !standing.homeless.is_empty() {
            return Ok(Some(word(&environment, &standing)));
        }
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
        let statuses = match runner::status(None, &set, &targets, &released).await {
            Ok(statuses) => statuses,
            Err(error) => {
                let report = format!("{} cannot be looked at: {error}", code(environment.as_str()));
                return Ok(Some((GateWord::Waits, report)));
            }
        };
        let mut pending: BTreeSet<String> = BTreeSet::new();
        for migration in statuses.iter().flat_map(|t| &t.migrations) {
            // What the history knows and the commit does not is nothing that the commit needs.
            let Some(known) = set.migrations.iter().find(|m| m.id == migration.id && m.unit == migration.unit) else {
                continue;
            };
            match migration.state {
                MigrationState::Applied => {}
                MigrationState::Failed | MigrationState::NeedsHuman => standing.stuck.push(migration.id.to_string()),
                MigrationState::Pending | MigrationState::Running | MigrationState::RolledBack => {
                    standing.pending.push(migration.id.to_string());
                    pending.insert(known.reference());
                }
            }
        }
        // What only other workers reach is as the store last saw it.
        let known = self.held_elsewhere(&place.repository.name, settings, &set, &here).await?;
        let theirs = |m: &&Migration| there.iter().any(|leg| leg.targets.iter().any(|t| m.target.as_ref() == Some(t)));
        let lacking = all.iter().filter(|m| theirs(m) && !known.contains(&m.reference()));
        for migration in lacking {
            standing.pending.push(migration.id.to_string());
            pending.insert(migration.reference());
        }
        if !standing.pending.is_empty() && standing.stuck.is_empty() {
            Box::pin(self.gate_people(place, request, &environment, &pending, &mut standing, now)).await?;
        }
        Ok(Some(word(&environment, &standing)))
    }

    /// What people said about the pull requests that the commit belongs to, and whether a run of what `pending` names might
    /// begin now. A commit may be the head of several; each that concerns the environment has a say.
    async fn gate_people(
        &self,
        place: &Place,
        request: &ProtectionRequest,
        environment: &EnvironmentName,
        pending: &BTreeSet<String>,
        standing: &mut Standing,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let pulls = place.api.pulls_of_commit(&request.commit).await?;
        let of_commit = pulls.iter().filter(|p| {
            let head = p.head.sha == request.commit && p.state == "open";
            head || (p.is_merged() && p.merge_commit_sha.as_ref().is_some_and(|m| *m == request.commit))
        });
        let mut words: Vec<Next> = Vec::new();
        for pull in of_commit {
            let Found::Complete(gathered) = Box::pin(self.gather(place, pull.number, now)).await? else {
                standing.closed = Some(format!("the policy that judges {} cannot be read", pull.number));
                return Ok(());
            };
            let verdict = evaluate_environment(&gathered.contents.policy, &gathered.snapshot, environment, now);
            // A merge of it would not concern the environment.
            if verdict.evaluation.status == Status::Skipped && !gathered.snapshot.draft {
                continue;
            }
            standing.missing.extend(verdict.evaluation.missing.iter().map(|m| crate::report::escape::prose(m)));
            if gathered.merged.is_none() {
                words.push(Box::pin(self.might_run(place, &gathered, environment, pending, now)).await?);
            }
        }
        standing.agreed = !words.is_empty() && words.iter().all(|word| *word == Next::Runs);
        standing.closed = words.into_iter().find_map(|word| match word {
            Next::Waits(refusal) => Some(crate::report::escape::prose(&refusal.message)),
            Next::Stopped => Some(format!("its last run in {} failed", code(environment.as_str()))),
            Next::Holds | Next::Runs => None,
        });
        Ok(())
    }

    /// Whether a run of an open pull request might begin in an environment now, by the judgement that a run is begun by. It
    /// is not merged, so nobody could have let it pass over anything.
    async fn might_run(
        &self,
        place: &Place,
        gathered: &Gathered,
        environment: &EnvironmentName,
        pending: &BTreeSet<String>,
        now: DateTime<Utc>,
    ) -> Result<Next, JobError> {
        let (repo, contents) = (&place.repository.name, &gathered.contents);
        let policy = &contents.policy;
        let waits = |reason: &str, message: String| {
            Ok(Next::Waits(decide::refusal(reason, message, "it goes on by itself then".to_owned())))
        };
        if let Some(first) = decide::blockers(contents).first() {
            return waits("policy", first.reason.clone());
        }
        let foreign: Vec<String> = pending.difference(&contents.own).cloned().collect();
        if !foreign.is_empty() {
            let whose = gathered.snapshot.number;
            return waits("promotion", format!("{} must run first and are not part of {whose}", names(&foreign)));
        }
        let own: Vec<&Migration> = contents.own_migrations().collect();
        let (Some(digest), Some(settings)) = (&contents.digest, policy.environments.get(environment)) else {
            return waits("no-target", format!("it brings nothing to {}", code(environment.as_str())));
        };
        let mut earlier =
            self.earlier_of(place, policy, &gathered.pull.base.branch, &own, environment).await?.map(|e| e.refusal);
        if let Some(before) = before_in_chain(policy, gathered, &place.repository.default_branch, environment, &own) {
            let record = self.store.latest_environment(repo, before, digest).await?;
            if !decide::holds(record.as_ref()) {
                let message = format!("`{before}` must hold these migrations first");
                earlier = Some(decide::refusal("promotion", message, "merge it".to_owned()));
            }
        }
        let about = Subject { repo, number: gathered.snapshot.number, environment, digest };
        let asked = self.asked(about, now).await?;
        let record = self.store.latest_environment(repo, environment, digest).await?;
        let lock = self.store.environment_lock(Some(repo), environment).await?;
        let verdict = evaluate_environment(policy, &gathered.snapshot, environment, now);
        let never = decide::never(contents, environment);
        Ok(decide::next(decide::Standing {
            environment,
            record: record.as_ref(),
            lock: lock.as_ref(),
            promotion: settings.promotion,
            promoted: asked.promoted,
            retry: asked.retry_at.is_some_and(|at| record.as_ref().is_none_or(|r| r.at < at)),
            cancelled: asked.cancelled.as_deref(),
            released: false,
            never: never.as_ref(),
            earlier: earlier.as_ref(),
            window: &settings.window_at(now),
            emergency: false,
            verdict: &verdict,
        }))
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
            (Standing { empty: true, ..Standing::default() }, GateWord::Approved, "no migrations"),
            (Standing { aimless: true, ..Standing::default() }, GateWord::Rejected, "no target"),
            (Standing { homeless: list(&["0003_z"]), ..Standing::default() }, GateWord::Rejected, "`0003_z`"),
            (
                Standing { pending: list(&["0002_x"]), closed: Some("locked".into()), ..Standing::default() },
                GateWord::Waits,
                "locked",
            ),
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
