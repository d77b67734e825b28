//! Which databases an environment means here, and what a merge would do to them.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};

use super::Bot;
use super::contents::Contents;
use super::decide::refusal;
use super::error::JobError;
use super::gather::{Gathered, Place};
use crate::approval::Policy;
use crate::config::{Environment, Promotion};
use crate::ids::{EnvironmentName, RepoName, Risk, TargetName};
use crate::migration::{Migration, MigrationSet};
use crate::plan::{PlannedStatement, Refusal, Step, StepReport};
use crate::report::EnvironmentPlan;
use crate::runner::sealed::Keys;
use crate::runner::{self, Actor, ApplyOptions, RunError, Target};

impl Bot {
    /// What a merge would do, for every environment that takes migrations of the pull request and does not hold what was
    /// merged. Pull requests of forks reach no database (B-14).
    pub(super) async fn plans(&self, place: &Place, gathered: &Gathered) -> Result<Vec<EnvironmentPlan>, JobError> {
        let contents = &gathered.contents;
        if gathered.snapshot.from_fork || contents.own.is_empty() || contents.report.has_errors() {
            return Ok(Vec::new());
        }
        let mut plans = Vec::new();
        for name in &contents.policy.repo.environments {
            let Some(settings) = contents.policy.environments.get(name) else { continue };
            if gathered.snapshot.held.contains(name) {
                continue;
            }
            let own: Vec<&Migration> = contents.own_migrations().collect();
            let takes = takers(settings, &own);
            if takes.is_empty() {
                continue;
            }
            let set = gathered.merged.as_ref().map_or(&contents.set, |m| &m.contents.set);
            plans.push(self.plan_one(place, gathered, settings, set, takes).await?);
        }
        Ok(plans)
    }

    async fn plan_one(
        &self,
        place: &Place,
        gathered: &Gathered,
        settings: &Environment,
        set: &MigrationSet,
        takes: Vec<TargetName>,
    ) -> Result<EnvironmentPlan, JobError> {
        let environment = settings.name.clone();
        let refused = |refusals: Vec<Refusal>, targets: Vec<TargetName>| EnvironmentPlan {
            environment: environment.clone(),
            targets,
            steps: Vec::new(),
            refusals,
        };
        // A plan that cannot be made now says nothing against the change: the run is planned anew when it starts.
        let later = |message: String| vec![refusal("stale", message, "it is planned again before it runs".to_owned())];
        let targets = match self.targets(place, settings, &takes) {
            Ok(targets) => targets,
            Err(refusal) => return Ok(refused(later(refusal.message), takes)),
        };
        let actor = Actor {
            by: "godwit".to_owned(),
            repo: Some(gathered.snapshot.repo.clone()),
            pr: Some(gathered.snapshot.number),
            commit: Some(gathered.snapshot.head.clone()),
            correlation: None,
        };
        let repo = &gathered.snapshot.repo;
        let options = ApplyOptions {
            held_elsewhere: self.held_elsewhere(repo, settings, set, &takes).await?,
            risks: risks(&gathered.contents),
            released: self.store.releases(Some(repo), environment.as_str()).await?,
            ..ApplyOptions::default()
        };
        match runner::plan_with(&runner::Keeper::at_need(&self.store), set, &targets, &actor, &options).await {
            Ok(report) => Ok(EnvironmentPlan {
                environment,
                targets: takes,
                steps: report.steps.iter().filter_map(|s| step(set, s, &options)).collect(),
                refusals: report.blocked_by,
            }),
            Err(RunError::Store(message)) => Err(RunError::Store(message).into()),
            Err(error) => Ok(refused(later(format!("it cannot be planned now: {error}")), takes)),
        }
    }

    /// The databases of `names`, their variables filled in where the server allows them for this repository and
    /// environment.
    pub(super) fn targets(
        &self,
        place: &Place,
        settings: &Environment,
        names: &[TargetName],
    ) -> Result<Vec<Target>, Refusal> {
        let (repo, environment) = (&place.repository.name, &settings.name);
        let lookup = |variable: &str| self.variable(repo, environment, variable);
        settings
            .targets
            .iter()
            .filter(|t| names.contains(&t.name))
            .map(|target| {
                let url = settings.resolve_target(target, &lookup).map_err(|missing| {
                    let what_to_do = self.how_to_give(repo, environment, &missing.variable);
                    refusal("no-target", missing.to_string(), what_to_do)
                })?;
                Ok(Target {
                    environment: Some(environment.clone()),
                    name: target.name.clone(),
                    engine: target.engine,
                    url,
                })
            })
            .collect()
    }

    /// The private keys that open an environment's sealed values. Those of the server's own variables open nothing here: a
    /// repository has what `GODWIT_SECRET_VARS` gives it.
    pub(super) fn keys(&self, repo: &RepoName, settings: &Environment) -> Keys {
        let environment = &settings.name;
        let lookup = |variable: &str| self.variable(repo, environment, variable);
        match settings.resolve_identity(&lookup) {
            Some(Ok(keys)) => Keys::parse(keys.expose_secret()),
            Some(Err(missing)) => {
                let what_to_do = self.how_to_give(repo, environment, &missing.variable);
                Keys::missing(format!("{what_to_do}; `{}` needs it", missing.path))
            }
            None => Keys::missing(format!(
                "name its private key: `sealed.identity` of `{environment}` in `policies/environments.yml`"
            )),
        }
    }

    /// A variable's value, as far as the repository's environment may have it.
    fn variable(&self, repo: &RepoName, environment: &EnvironmentName, variable: &str) -> Option<String> {
        let read = |name: &str| (self.settings.lookup)(name);
        let value: SecretString = self.settings.secret_vars.look_up(repo, environment, variable, &read)?;
        Some(value.expose_secret().to_owned())
    }

    /// What the operator does about a variable that is missing.
    fn how_to_give(&self, repo: &RepoName, environment: &EnvironmentName, variable: &str) -> String {
        if self.settings.secret_vars.allows(repo, environment, variable) {
            format!("set `{variable}` for the server")
        } else {
            format!("allow it for the server: `GODWIT_SECRET_VARS={repo}:{environment}={variable}`")
        }
    }
}

/// The targets of an environment that take one of `own`.
pub(super) fn takers(settings: &Environment, own: &[&Migration]) -> Vec<TargetName> {
    settings
        .targets
        .iter()
        .filter(|t| own.iter().any(|m| m.target.as_ref() == Some(&t.name)))
        .map(|t| t.name.clone())
        .collect()
}

/// The environments of the merge's branch that take one of `own`, in promotion order.
pub(super) fn taking<'g>(
    place: &Place,
    gathered: &'g Gathered,
    own: &[&Migration],
) -> Vec<(&'g EnvironmentName, Promotion)> {
    let policy = &gathered.contents.policy;
    let chain = policy.chain(&gathered.pull.base.branch, &place.repository.default_branch);
    chain.into_iter().filter(|(e, _)| takes_any(policy, e, own)).collect()
}

/// Whether any environment of a merge into the branch takes something.
pub(super) fn takes_any(policy: &Policy, environment: &EnvironmentName, own: &[&Migration]) -> bool {
    policy.environments.get(environment).is_some_and(|settings| !takers(settings, own).is_empty())
}

/// The migration a step report is about.
pub(super) fn migration_of<'a>(set: &'a MigrationSet, step: &StepReport) -> Option<&'a Migration> {
    let of_it = |m: &&Migration| {
        m.id == step.migration
            && (step.unit.is_empty() || m.unit == step.unit)
            && m.target.as_ref().is_none_or(|t| *t == step.target)
    };
    set.migrations.iter().find(of_it)
}

/// The risk of each migration as the linter judged it, by `unit/id`.
pub(super) fn risks(contents: &Contents) -> BTreeMap<String, Risk> {
    let reference = |unit: &str, id: &str| if unit.is_empty() { id.to_owned() } else { format!("{unit}/{id}") };
    contents.report.migrations.iter().map(|m| (reference(&m.unit, &m.id), m.risk)).collect()
}

fn step(set: &MigrationSet, report: &StepReport, options: &ApplyOptions) -> Option<Step> {
    let migration = migration_of(set, report)?;
    let statements = report.statements.iter().map(|sql| PlannedStatement {
        sql: sql.clone(),
        line: migration.up.first_line,
        recovery: report.recovery,
        why: report.recovery_reason.clone(),
    });
    Some(Step {
        unit: migration.unit.clone(),
        migration: migration.id.clone(),
        version: migration.version.to_string(),
        target: report.target.clone(),
        engine: report.engine,
        action: report.action,
        recovery: report.recovery,
        recovery_reason: report.recovery_reason.clone(),
        probe: report.probe.clone().unwrap_or_default(),
        locks: report.locks.clone(),
        in_transaction: report.in_transaction,
        statements: statements.collect(),
        path: migration.up.path.clone(),
        checksum: migration.checksum.clone(),
        risk: options.risks.get(&migration.reference()).copied().unwrap_or(Risk::Low),
        reversible: migration.is_reversible(),
        backfill: None,
    })
}
