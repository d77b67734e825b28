//! The verdict about a pull request, and about one environment when its run starts.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::policy::Start;
use super::voices::Voices;
use super::{EnvironmentVerdict, Evaluation, Policy, PullRequestSnapshot, Status, Verdict, environment, gates};
use crate::ids::{EnvironmentName, RoleName};

/// Judges the pull request: every environment's cell, and the gates that hold for all of them.
///
/// The status covers the environments that a merge would start by itself (INTERFACE 4); one that is promoted by a
/// person is judged too, for the comment, and once more when it is promoted.
pub fn evaluate(policy: &Policy, snapshot: &PullRequestSnapshot, now: DateTime<Utc>) -> Verdict {
    let voices = Voices::of(policy, snapshot);
    let mut verdict = Verdict {
        status: Status::Skipped,
        summary: String::new(),
        missing_roles: BTreeSet::new(),
        environments: Vec::new(),
        gates: Vec::new(),
        ignored: voices.ignored.clone(),
        notes: notes(policy, snapshot, &voices),
    };
    let has_migrations = has_migrations(snapshot);
    if snapshot.draft && !snapshot.incomplete {
        verdict.environments = skipped(policy, snapshot, "the pull request is a draft");
        verdict.summary = "Draft: nobody is asked until it is ready for review".to_owned();
        return verdict;
    }
    if !has_migrations && snapshot.policy_paths.is_empty() && !snapshot.incomplete {
        verdict.status = Status::Approved;
        verdict.environments = skipped(policy, snapshot, "no migrations");
        verdict.summary = "Nothing to approve: no migrations in this pull request".to_owned();
        return verdict;
    }
    verdict.gates = gates::judge(policy, snapshot, &voices);
    verdict.environments = if has_migrations || snapshot.incomplete {
        policy.repo.environments.iter().map(|e| environment::judge(policy, snapshot, &voices, e, now)).collect()
    } else {
        skipped(policy, snapshot, "no migrations")
    };
    let automatic = verdict.environments.iter().filter(|e| e.automatic);
    verdict.missing_roles = automatic.clone().flat_map(missing_roles).collect();
    verdict.status = match worst(automatic.map(|e| e.evaluation.status).chain(verdict.gates.iter().map(|g| g.status))) {
        // Nothing that a merge starts asks for anything.
        Status::Skipped => Status::Approved,
        other => other,
    };
    verdict.summary = summary(&verdict);
    verdict
}

/// Judges one environment as it is when its run starts: its cell, with every gate as a part of the tree.
/// The run may start when the tree's status is [`Status::Approved`], and never otherwise.
pub fn evaluate_environment(
    policy: &Policy,
    snapshot: &PullRequestSnapshot,
    environment: &EnvironmentName,
    now: DateTime<Utc>,
) -> EnvironmentVerdict {
    let voices = Voices::of(policy, snapshot);
    let mut verdict = environment::judge(policy, snapshot, &voices, environment, now);
    if !policy.repo.environments.contains(environment) {
        verdict.evaluation = Evaluation::leaf(
            environment.as_str(),
            Status::Disapproved,
            format!("`{environment}` is not an environment of this repository"),
        );
        return verdict;
    }
    let gates = gates::judge(policy, snapshot, &voices);
    let own = verdict.evaluation.status;
    let status = if own == Status::Skipped { own } else { worst(gates.iter().map(|g| g.status).chain([own])) };
    if status != own
        && let Some(gate) = gates.iter().find(|g| g.status == status)
    {
        verdict.evaluation.reason = gate.reason.clone();
    }
    verdict.evaluation.status = status;
    verdict.evaluation.missing.extend(gates.iter().flat_map(|g| g.missing.clone()));
    verdict.evaluation.children.extend(gates);
    verdict
}

/// The status of parts together: one no is a no, one missing is missing; what does not apply does not matter.
pub fn worst(parts: impl Iterator<Item = Status>) -> Status {
    let rank = |status: &Status| match status {
        Status::Skipped => 0,
        Status::Approved => 1,
        Status::Pending => 2,
        Status::Disapproved => 3,
    };
    parts.max_by_key(rank).unwrap_or(Status::Skipped)
}

fn has_migrations(snapshot: &PullRequestSnapshot) -> bool {
    // A digest without paths is a set whose files the snapshot does not list: judged like any other.
    !snapshot.migration_paths.is_empty() || (snapshot.binding.is_some() && snapshot.policy_paths.is_empty())
}

fn skipped(policy: &Policy, snapshot: &PullRequestSnapshot, why: &str) -> Vec<EnvironmentVerdict> {
    let base = (&snapshot.base_ref, snapshot.default_branch.as_deref());
    policy
        .repo
        .environments
        .iter()
        .map(|name| {
            let automatic = policy.starts(name, base.0, base.1) == Start::Merge;
            environment::unasked(name, automatic, Status::Skipped, why)
        })
        .collect()
}

/// The roles that still wait for somebody: unfilled ones, or every role of the cell when only the number is short.
fn missing_roles(verdict: &EnvironmentVerdict) -> Vec<RoleName> {
    match verdict.evaluation.status {
        Status::Skipped | Status::Approved => Vec::new(),
        Status::Pending | Status::Disapproved => {
            let open: Vec<RoleName> =
                verdict.required_roles.iter().filter(|r| !verdict.filled.contains_key(*r)).cloned().collect();
            if open.is_empty() { verdict.required_roles.clone() } else { open }
        }
    }
}

fn summary(verdict: &Verdict) -> String {
    let automatic: Vec<&EnvironmentVerdict> = verdict.environments.iter().filter(|e| e.automatic).collect();
    match verdict.status {
        Status::Skipped | Status::Approved => {
            let names: Vec<&str> = automatic
                .iter()
                .filter(|e| e.evaluation.status == Status::Approved)
                .map(|e| e.environment.as_str())
                .collect();
            if names.is_empty() {
                "Approved: the merge starts no environment by itself".to_owned()
            } else {
                format!("Approved for {}", names.join(", "))
            }
        }
        Status::Disapproved => {
            let gate = verdict.gates.iter().find(|g| g.status == Status::Disapproved).map(|g| g.reason.clone());
            let cell = || {
                let blocked = automatic.iter().find(|e| e.evaluation.status == Status::Disapproved)?;
                Some(format!("{}: {}", blocked.environment, blocked.evaluation.reason))
            };
            format!("Blocked: {}", gate.or_else(cell).unwrap_or_default())
        }
        Status::Pending => {
            let mut parts: Vec<String> = automatic
                .iter()
                .filter(|e| e.evaluation.status == Status::Pending)
                .map(|e| {
                    let roles = missing_roles(e);
                    let who = if roles.is_empty() {
                        "one more person".to_owned()
                    } else {
                        roles.iter().map(RoleName::as_str).collect::<Vec<_>>().join(", ")
                    };
                    format!("{}: {who}", e.environment)
                })
                .collect();
            parts.extend(verdict.gates.iter().filter(|g| g.status == Status::Pending).map(|g| g.name.clone()));
            format!("Waiting for {}", parts.join("; "))
        }
    }
}

fn notes(policy: &Policy, snapshot: &PullRequestSnapshot, voices: &Voices<'_>) -> Vec<String> {
    let mut notes: Vec<String> = policy.notes.iter().map(ToString::to_string).collect();
    let unknown: Vec<String> = gates::unknown_committers(snapshot).map(|e| format!("`{e}`")).collect();
    if !unknown.is_empty() {
        notes.push(format!("commits name {}, which belong to no account on GitHub", unknown.join(", ")));
    }
    let own: Vec<String> =
        voices.approvals.keys().filter(|l| voices.writers.contains(*l)).map(|l| format!("@{l}")).collect();
    if !own.is_empty() {
        notes.push(format!(
            "{} wrote part of this change: outside development such an approval does not count",
            own.join(", ")
        ));
    }
    if snapshot.from_fork {
        notes.push("the change comes from a fork: nothing of it runs before it is merged".to_owned());
    }
    let silent: Vec<String> = policy
        .environments
        .0
        .iter()
        .filter(|e| e.migration.auto_approve && !policy.auto_approves(&e.name))
        .map(|e| format!("`{}`", e.name))
        .collect();
    if !silent.is_empty() {
        notes.push(format!("`auto_approve` of {} is ignored: it is the last environment", silent.join(", ")));
    }
    for environment in policy.environments.0.iter().filter(|e| !e.distrusted_by.is_empty()) {
        let services: Vec<String> = environment.distrusted_by.iter().map(|s| format!("`{s}`")).collect();
        notes.push(format!(
            "`auto_approve` of `{}` does not hold here: the `environments.json` of {} asks for somebody else's approval",
            environment.name,
            services.join(", ")
        ));
    }
    notes
}
