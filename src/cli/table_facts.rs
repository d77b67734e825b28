//! `godwit lint --facts`: the sizes of the tables that a change meets, asked of a database.

use chrono::Utc;

use super::exit::Failure;
use super::lint::Looked;
use super::{Global, targets};
use crate::config::LintConfig;
use crate::ids::EnvironmentName;
use crate::judge::judge;
use crate::lint::check_judged;
use crate::risk::facts::{PlaceFacts, oldest, weigh};
use crate::runner::{self, Target};

/// The report with the risks that the tables of a database give: of one given by its URL, or of an environment's
/// PostgreSQL targets, through the account that may only read where they name one.
///
/// # Errors
/// An environment that is not there, a variable that is not set, a database that does not answer.
pub(super) fn weighed(global: &Global, place: &str, looked: Looked) -> anyhow::Result<Looked> {
    let databases =
        if place.contains("://") { vec![targets::ad_hoc_target(place)?] } else { of_environment(global, place)? };
    let facts = targets::block_on(async { Ok(read(databases).await) })??;
    let Looked { mut report, set, mut config, scope, today } = looked;
    if let Some(version) = oldest(&facts).filter(|v| *v != config.postgres_version) {
        config = LintConfig { postgres_version: version, ..config };
        report = check_judged(&set, &judge(&set), &config, &scope, today);
    }
    Ok(Looked { report: weigh(report, &set, &facts), set, config, scope, today })
}

async fn read(databases: Vec<Target>) -> anyhow::Result<Vec<PlaceFacts>> {
    let mut facts = Vec::new();
    for (target, answer) in databases.iter().zip(runner::facts::read(&databases).await) {
        if let Some(found) = answer.map_err(targets::failed)? {
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
        .filter(|t| t.engine == crate::ids::Engine::Postgresql)
        .map(|target| targets::reader_of(&environment, target))
        .collect()
}
