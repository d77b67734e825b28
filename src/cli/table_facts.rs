//! The sizes of the tables that a change meets, asked of the databases: for `godwit lint --facts`, and for what a plan, a
//! run and a status say of the risk.

use std::collections::BTreeSet;

use chrono::Utc;

use super::exit::Failure;
use super::gates::planned;
use super::lint::Looked;
use super::running;
use super::targets::Gathered;
use super::{Global, targets};
use crate::config::LintConfig;
use crate::ids::{Engine, EnvironmentName, Risk};
use crate::judge::judge;
use crate::lint::{LintReport, Scope, check_judged};
use crate::migration::{Migration, MigrationSet};
use crate::plan::{MigrationState, Outcome, RunReport, TargetStatus};
use crate::risk::facts::{PlaceFacts, asked_for, oldest, weigh};
use crate::runner::{self, Target};

/// The report with the risks that the tables of a database give: of one given by its URL, or of an environment's
/// PostgreSQL targets, through the account that may only read where they name one.
///
/// # Errors
/// An environment that is not there, a variable that is not set, a database that does not answer.
pub(super) fn weighed(global: &Global, place: &str, looked: Looked) -> anyhow::Result<Looked> {
    let databases = if is_url(place) { vec![targets::ad_hoc_target(place)?] } else { of_environment(global, place)? };
    let facts = running::block_on(async { Ok(read(databases).await) })??;
    let Looked { mut report, set, mut config, scope, today } = looked;
    if let Some(version) = oldest(&facts).filter(|v| config.postgres_version.as_ref() != Some(v)) {
        config = LintConfig { postgres_version: Some(version), ..config };
        report = check_judged(&set, &judge(&set), &config, &scope, today);
    }
    Ok(Looked { report: weigh(report, &set, &facts), set, config, scope, today })
}

/// Whether a place is a database's URL; no environment's name has a colon in it.
fn is_url(place: &str) -> bool {
    place.contains("://") || place.starts_with("sqlite:")
}

async fn read(databases: Vec<Target>) -> anyhow::Result<Vec<PlaceFacts>> {
    let mut facts = Vec::new();
    for (target, answer) in databases.iter().zip(runner::facts::read(&databases, None).await) {
        if let Some(found) = answer.map_err(running::failed)? {
            facts.push(PlaceFacts {
                environment: target.environment.clone(),
                target: target.name.clone(),
                at: Utc::now(),
                read: Ok(found),
            });
        }
    }
    Ok(facts)
}

fn of_environment(global: &Global, word: &str) -> anyhow::Result<Vec<Target>> {
    let policy = targets::policy(global)?;
    let known = EnvironmentName::new(word).ok().and_then(|name| policy.environments.get(&name).cloned());
    let Some(environment) = known else {
        let names: Vec<&str> = policy.environments.0.iter().map(|e| e.name.as_str()).collect();
        let names = crate::config::yaml::list(&names);
        return Err(Failure::usage(format!(
            "there is no environment `{word}`; `policies/environments.yml` names {names}; a database is given by its URL"
        )));
    };
    environment
        .targets
        .iter()
        .filter(|t| t.engine == Engine::Postgresql)
        .map(|target| targets::reader_of(&environment, target))
        .collect()
}

/// Reckons the tables that a plan meets into its risk, and says what they are. Nothing is asked where there is nothing to
/// run, or where no finding depends on a table.
///
/// # Errors
/// When the addresses of the databases cannot be had.
pub(super) async fn reckon(gathered: &mut Gathered, plan: &mut RunReport) -> anyhow::Result<()> {
    if plan.outcome != Outcome::Planned || plan.steps.is_empty() {
        return Ok(());
    }
    let pending: BTreeSet<String> = planned(gathered, plan).iter().map(|(m, _)| m.reference()).collect();
    let Some(told) = weigh_pending(gathered, &pending).await? else { return Ok(()) };
    plan.risk = planned(gathered, plan).iter().map(|(_, risk)| *risk).max().unwrap_or(Risk::Low);
    plan.notes.extend(told);
    Ok(())
}

/// The same for what a status shows as pending.
///
/// # Errors
/// When the addresses of the databases cannot be had.
pub(super) async fn reckon_status(gathered: &mut Gathered, found: &[TargetStatus]) -> anyhow::Result<()> {
    let waits = |m: &Migration| {
        found
            .iter()
            .flat_map(|t| &t.migrations)
            .any(|s| s.state == MigrationState::Pending && s.unit == m.unit && s.id == m.id)
    };
    let pending = gathered.set.migrations.iter().filter(|m| waits(m)).map(Migration::reference).collect();
    weigh_pending(gathered, &pending).await.map(drop)
}

/// Puts the risks of what is pending, as the tables make them, into what was gathered; gives what is to be said of them.
/// `None` where no finding depends on a table.
async fn weigh_pending(gathered: &mut Gathered, pending: &BTreeSet<String>) -> anyhow::Result<Option<Vec<String>>> {
    if pending.is_empty() || !gathered.targets.iter().any(|t| t.engine == Engine::Postgresql) {
        return Ok(None);
    }
    let set = named_alike(&gathered.set);
    let own = set.migrations.iter().filter(|m| m.engine == Engine::Postgresql && pending.contains(&m.reference()));
    let scope = Scope::Paths(own.flat_map(|m| m.files.iter().map(|f| f.path.clone())).collect());
    let today = Utc::now().date_naive();
    let mut config = gathered.policy.as_ref().map_or_else(LintConfig::default, |policy| policy.lint.clone());
    let by_rules = check_judged(&set, &judge(&set), &config, &scope, today);
    let wanted = asked_for(&by_rules);
    if wanted.is_empty() {
        return Ok(None);
    }
    let places = readers(gathered)?;
    let facts = answers(&places, &wanted).await;
    let mut before = by_rules;
    if let Some(version) = oldest(&facts).filter(|v| config.postgres_version.as_ref() != Some(v)) {
        config = LintConfig { postgres_version: Some(version), ..config };
        before = check_judged(&set, &judge(&set), &config, &scope, today);
    }
    let messages: Vec<String> = before.violations.iter().map(|v| v.message.clone()).collect();
    let after = weigh(before, &set, &facts);
    let told = sentences(&messages, &after, &set);
    for summary in &after.migrations {
        let is = |m: &&Migration| m.id.as_str() == summary.id && m.unit == summary.unit;
        if let Some(migration) = set.migrations.iter().find(is) {
            gathered.risks.insert(migration.reference(), summary.risk);
        }
    }
    Ok(Some(told))
}

/// The set with each migration's files named as its scripts are: a folder that was given by its path shows its scripts with
/// that path.
pub(super) fn named_alike(set: &MigrationSet) -> MigrationSet {
    let mut set = set.clone();
    for migration in &mut set.migrations {
        for script in std::iter::once(&migration.up).chain(&migration.down) {
            for file in migration.files.iter_mut().filter(|f| script.path.ends_with(&f.path)) {
                file.path.clone_from(&script.path);
            }
        }
    }
    set
}

/// Who is asked: the accounts that may only read, where the environment names them.
fn readers(gathered: &Gathered) -> anyhow::Result<Vec<Target>> {
    let environment =
        gathered.environment.as_ref().zip(gathered.policy.as_ref()).and_then(|(name, p)| p.environments.get(name));
    let mut places = Vec::new();
    for target in gathered.targets.iter().filter(|t| t.engine == Engine::Postgresql) {
        let configured = environment.and_then(|e| e.targets.iter().find(|t| t.name == target.name).map(|t| (e, t)));
        places.push(match configured {
            Some((environment, settings)) => targets::reader_of(environment, settings)?,
            None => target.clone(),
        });
    }
    Ok(places)
}

/// What they say; one that does not answer is told as such, and lowers nothing.
async fn answers(places: &[Target], wanted: &BTreeSet<String>) -> Vec<PlaceFacts> {
    let found = places.iter().zip(runner::facts::read(places, Some(wanted)).await);
    found
        .filter_map(|(target, answer)| {
            let read = match answer {
                Ok(facts) => Ok(facts?),
                Err(error) => Err(crate::redact::text(&error.to_string())),
            };
            let (environment, target) = (target.environment.clone(), target.name.clone());
            Some(PlaceFacts { environment, target, at: Utc::now(), read })
        })
        .collect()
}

/// What the tables add to what the rules say, a line for each migration and table.
fn sentences(before: &[String], after: &LintReport, set: &MigrationSet) -> Vec<String> {
    let owners = set.by_path();
    let mut told: Vec<String> = Vec::new();
    for (violation, before) in after.violations.iter().zip(before) {
        let added = violation.message.strip_prefix(before.trim_end_matches('.')).unwrap_or_default();
        let added = added.trim_start_matches(['.', ' ']);
        if added.is_empty() {
            continue;
        }
        let Some(owner) = owners.get(violation.file.as_str()) else { continue };
        let line = format!("{}, line {}: {added} ({}, {})", owner.id, violation.line, violation.rule, violation.risk);
        if !told.contains(&line) {
            told.push(line);
        }
    }
    told
}
