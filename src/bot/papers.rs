//! What a pull request shows for planning: the report of what is pending, and the checklist before a deployment (SPEC 12.1,
//! 12.2).

use chrono::{DateTime, Utc};

use super::Bot;
use super::contents::Contents;
use super::error::JobError;
use super::gather::{Gathered, Place};
use crate::approval::counted::satisfied;
use crate::approval::{EnvironmentVerdict, Status, Verdict};
use crate::config::Environment;
use crate::ids::{EnvironmentName, Login, PrNumber, Risk, RoleName};
use crate::migration::Migration;
use crate::plan::StepAction;
use crate::plan::backup::{self, Coming, Why, why};
use crate::plan::planner::belongs;
use crate::report::EnvironmentPlan;
use crate::report::checklist::{Checklist, Earlier, Seen, Signature, checks, made_by_the_run, sections, window};
use crate::report::graph::mermaid_around;
use crate::report::pending::{Pending, Question, pending};

/// Where the pages of the GitHub are that a repository lives on, such as `https://github.com/`.
pub(super) fn web(place: &Place) -> &str {
    let address = place.repository.clone_url.trim_end_matches('/').trim_end_matches(".git");
    address.strip_suffix(place.repository.name.as_str()).unwrap_or_default()
}

/// The page with the checks of a pull request.
pub(super) fn page(place: &Place, number: PrNumber) -> Option<String> {
    let web = web(place).trim_end_matches('/');
    (!web.is_empty()).then(|| format!("{web}/{}/pull/{}/checks", place.repository.name, number.0))
}

/// The report of what a pull request would bring [S3-21]; who hears of it follows from the last environment.
pub(super) fn pending_of(contents: &Contents) -> Pending {
    let policy = &contents.policy;
    let roles = |risk: Risk| -> Vec<RoleName> {
        let cell = policy.repo.environments.last().and_then(|last| policy.matrix.cell(last, risk));
        cell.map(|cell| cell.required_roles.clone()).unwrap_or_default()
    };
    let own = |migration: &Migration| contents.own.contains(&migration.reference());
    pending(&Question { set: &contents.set, lint: &contents.report, pending: &own, environment: None, roles: &roles })
}

/// What the migrations of a pull request need, and what needs them.
pub(super) fn graph_of(contents: &Contents) -> Option<String> {
    mermaid_around(&contents.set, &|migration| contents.own.contains(&migration.reference()))
}

/// Whether an environment asks for a checklist: staging, production and the last one always, any at a high risk [S3-45].
fn asks(name: &EnvironmentName, is_last: bool, risk: Risk) -> bool {
    is_last || risk == Risk::High || matches!(name.as_str(), "staging" | "production")
}

fn takes(migration: &Migration, environment: &Environment) -> bool {
    migration.only_in.as_ref().is_none_or(|only| *only == environment.name)
        && environment.targets.iter().any(|t| belongs(migration, &t.name, t.engine))
}

impl Bot {
    /// The checklists of the environments that a pull request is judged for, filled in as far as can be seen.
    pub(super) async fn checklists(
        &self,
        gathered: &Gathered,
        verdict: &Verdict,
        plans: &[EnvironmentPlan],
        now: DateTime<Utc>,
    ) -> Result<Vec<Checklist>, JobError> {
        let contents = &gathered.contents;
        let Some(risk) = gathered.snapshot.binding.as_ref().map(|b| b.risk) else { return Ok(Vec::new()) };
        let order = &contents.policy.repo.environments;
        let mut lists = Vec::new();
        for judged in verdict.environments.iter().filter(|e| e.evaluation.status != Status::Skipped) {
            let name = &judged.environment;
            let Some(settings) = contents.policy.environments.get(name) else { continue };
            let own: Vec<&Migration> = contents.own_migrations().filter(|m| takes(m, settings)).collect();
            // What it holds already is deployed.
            if gathered.snapshot.held.contains(name) || own.is_empty() || !asks(name, order.last() == Some(name), risk)
            {
                continue;
            }
            let before = order.iter().position(|e| e == name).and_then(|n| n.checked_sub(1)).map(|n| &order[n]);
            let plan = plans.iter().find(|p| p.environment == *name);
            let first = order.first().filter(|first| *first != name);
            let seen = Seen {
                pending: own.len(),
                read: read_by_others(gathered, verdict),
                development: self.lacked(gathered, first, &own).await?,
                before: self.lacked(gathered, before, &own).await?,
                backup: backup(contents, settings, &own, plan).map(|why| Ok(made_by_the_run(&why))),
                window: window(settings, now)
                    .map(|(told, is_open)| if is_open { told } else { told + "; a merge before it waits" }),
                no_way_back: own.iter().filter(|m| !m.is_reversible()).map(|m| m.reference()).collect(),
                connections: connections(gathered, plan),
                approvals: match judged.evaluation.status {
                    Status::Approved | Status::Skipped => Ok("what the matrix asks for is there".to_owned()),
                    Status::Pending | Status::Disapproved => Err(judged.evaluation.reason.clone()),
                },
            };
            lists.push(Checklist {
                environment: name.clone(),
                at: now,
                migrations: own.iter().map(|m| m.reference()).collect(),
                risk,
                checks: checks(&seen),
                sections: sections(name, risk),
                sign_off: sign_off(judged),
                missing: missing(judged),
            });
        }
        Ok(lists)
    }

    /// An environment, and which of the migrations it does not hold as they are; `None` where there is no such environment.
    async fn lacked(
        &self,
        gathered: &Gathered,
        name: Option<&EnvironmentName>,
        own: &[&Migration],
    ) -> Result<Option<Earlier>, JobError> {
        let Some(settings) = name.and_then(|name| gathered.contents.policy.environments.get(name)) else {
            return Ok(None);
        };
        let ledger = self.store.environment_ledger(Some(&gathered.snapshot.repo), &settings.name).await?;
        let held = |m: &Migration| {
            let mut on = settings.targets.iter().filter(|t| belongs(m, &t.name, t.engine));
            on.all(|t| ledger.iter().any(|e| e.target == t.name && e.holds(m)))
        };
        let lacks = own.iter().filter(|m| takes(m, settings) && !held(m)).map(|m| m.reference()).collect();
        Ok(Some(Earlier { environment: settings.name.clone(), lacks }))
    }
}

/// Whether somebody besides the author agreed to it as it is.
fn read_by_others(gathered: &Gathered, verdict: &Verdict) -> bool {
    let author = gathered.snapshot.author.as_ref();
    let cells = verdict.environments.iter().flat_map(|e| &e.evaluation.approvers);
    cells.chain(satisfied(&verdict.gates).flat_map(|g| &g.approvers)).any(|login| Some(login) != author)
}

/// Why the run makes a backup first, as far as the plan or, where there is none, the migrations say.
fn backup(
    contents: &Contents,
    settings: &Environment,
    own: &[&Migration],
    plan: Option<&EnvironmentPlan>,
) -> Option<Why> {
    let lost = crate::risk::destroying(&contents.set, &contents.report.violations);
    let plan = plan.filter(|p| p.refusals.is_empty());
    let runs = |m: &Migration| {
        plan.is_none_or(|p| {
            p.steps.iter().any(|s| s.action == StepAction::Apply && s.unit == m.unit && s.migration == m.id)
        })
    };
    let steps: Vec<Coming> =
        own.iter().filter(|m| runs(m)).map(|m| Coming::applied_in(&settings.name, &contents.set, m, &lost)).collect();
    let environment = Some(&settings.name);
    why(&backup::Question { environment, required: settings.migration.backup_required, asked: false, steps: &steps })
}

/// What the plan of an environment showed of its databases.
fn connections(gathered: &Gathered, plan: Option<&EnvironmentPlan>) -> Result<String, String> {
    let Some(plan) = plan else {
        return Err(if gathered.snapshot.from_fork {
            "a pull request of a fork reaches no database before it is merged".to_owned()
        } else {
            "not looked at yet: the findings come first".to_owned()
        });
    };
    match plan.refusals.first() {
        Some(refusal) => Err(refusal.message.clone()),
        None => Ok("its databases answered when the plan was made".to_owned()),
    }
}

fn sign_off(judged: &EnvironmentVerdict) -> Vec<Signature> {
    let signature = |role: String, login: &Login| Signature { name: format!("@{login}"), role, at: None };
    let filled = judged.filled.iter().map(|(role, login)| signature(role.to_string(), login));
    // Whoever counts besides holds one of the roles that are asked for.
    let any: Vec<&str> = judged.required_roles.iter().map(RoleName::as_str).collect();
    filled.chain(judged.besides().map(|login| signature(any.join(" or "), login))).collect()
}

fn missing(judged: &EnvironmentVerdict) -> Vec<String> {
    match judged.evaluation.status {
        Status::Approved | Status::Skipped => Vec::new(),
        Status::Pending | Status::Disapproved => judged
            .required_roles
            .iter()
            .filter(|role| !judged.filled.contains_key(*role))
            .map(ToString::to_string)
            .collect(),
    }
}
