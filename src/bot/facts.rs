//! The sizes of the tables that a pull request is about: read from the targets through accounts that may only read, kept
//! with what was judged, and reckoned into its risk.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};

use super::Bot;
use super::contents::Contents;
use super::error::JobError;
use super::gather::Place;
use super::worker::chain;
use crate::config::{Environment, TargetConfig};
use crate::ids::{Digest, Engine, PrNumber, RepoName};
use crate::judge::judge;
use crate::lint::{check_judged, objects_of};
use crate::migration::Migration;
use crate::risk::facts::{PlaceFacts, oldest, weigh};
use crate::runner::{self, Target};

/// After this long (hours) what is known of an open pull request's tables is asked anew.
const STALE: i64 = 24;
/// What is said of a target that could not be reached.
const AWAY: &str = "it does not answer";

impl Contents {
    /// Reckons the facts into the findings and their risk.
    pub(super) fn weigh(&mut self, facts: &[PlaceFacts], today: NaiveDate) {
        if facts.is_empty() {
            return;
        }
        if let Some(version) = oldest(facts).filter(|v| self.policy.lint.postgres_version.as_ref() != Some(v)) {
            let mut config = self.policy.lint.clone();
            config.postgres_version = Some(version);
            self.report = check_judged(&self.set, &judge(&self.set), &config, &self.scope(), today);
        }
        let report = std::mem::replace(&mut self.report, super::act::empty_report());
        self.report = weigh(report, &self.set, facts);
    }
}

impl Bot {
    /// Reckons what the tables hold into an open pull request. Pull requests of forks reach no database (B-14).
    pub(super) async fn weigh_open(
        &self,
        place: &Place,
        number: PrNumber,
        contents: &mut Contents,
        from_fork: bool,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let repo = &place.repository.name;
        let Some(digest) = contents.digest.clone().filter(|_| !from_fork) else { return Ok(()) };
        let known = self.store.table_facts(repo, number, &digest).await?;
        let fresh = known.as_ref().is_some_and(|(at, _)| now - *at < TimeDelta::hours(STALE));
        let facts = match known {
            Some((_, facts)) if fresh || self.settings.looks_only => facts,
            _ if self.settings.looks_only => Vec::new(),
            known => {
                let read = self.read_facts(place, contents, now).await;
                // A target that is away is asked again; until then what was known before is better than nothing.
                let away = read.iter().any(|f| f.read.as_ref().is_err_and(|why| why == AWAY));
                match known {
                    Some((_, old)) if away => old,
                    _ => {
                        if !away && !read.is_empty() {
                            self.store.remember_table_facts(repo, number, &digest, &read, now).await?;
                        }
                        read
                    }
                }
            }
        };
        contents.weigh(&facts, now.date_naive());
        Ok(())
    }

    /// Reckons into a content what was known when it was judged.
    pub(super) async fn weigh_as_known(
        &self,
        repo: &RepoName,
        number: PrNumber,
        contents: &mut Contents,
        today: NaiveDate,
    ) -> Result<(), JobError> {
        let Some(digest) = contents.digest.clone() else { return Ok(()) };
        let facts = self.known_facts(repo, number, &digest).await?;
        contents.weigh(&facts, today);
        Ok(())
    }

    /// What was known of the tables when a content was judged.
    pub(super) async fn known_facts(
        &self,
        repo: &RepoName,
        number: PrNumber,
        digest: &Digest,
    ) -> Result<Vec<PlaceFacts>, JobError> {
        Ok(self.store.table_facts(repo, number, digest).await?.map(|(_, facts)| facts).unwrap_or_default())
    }

    /// Asks every target that takes one of the change's migrations and names an account that may only read. As soon as
    /// one of them names such an account, the others count as places of which nothing is known.
    async fn read_facts(&self, place: &Place, contents: &Contents, now: DateTime<Utc>) -> Vec<PlaceFacts> {
        let own: Vec<&Migration> = contents.own_migrations().filter(|m| m.engine == Engine::Postgresql).collect();
        let wanted: BTreeSet<String> = own.iter().flat_map(|m| objects_of(m)).collect();
        let mut places: Vec<PlaceFacts> = Vec::new();
        let mut asked: Vec<(usize, Target)> = Vec::new();
        let mut named = false;
        for name in &contents.policy.repo.environments {
            let Some(settings) = contents.policy.environments.get(name) else { continue };
            let takes = |t: &&TargetConfig| own.iter().any(|m| m.target.as_ref() == Some(&t.name));
            for target in settings.targets.iter().filter(takes) {
                named |= target.reader.is_some();
                let read = match self.reader(place, settings, target) {
                    Ok(url) => {
                        let engine = target.engine;
                        let target = Target { environment: Some(name.clone()), name: target.name.clone(), engine, url };
                        asked.push((places.len(), target));
                        Err(String::new())
                    }
                    Err(why) => Err(why),
                };
                places.push(PlaceFacts { environment: Some(name.clone()), target: target.name.clone(), at: now, read });
            }
        }
        if !named {
            return Vec::new();
        }
        let (numbers, targets): (Vec<usize>, Vec<Target>) = asked.into_iter().unzip();
        for (number, answer) in numbers.into_iter().zip(runner::facts::read(&targets, Some(&wanted)).await) {
            places[number].read = match answer {
                Ok(Some(mut facts)) => {
                    facts.keep(&wanted);
                    Ok(facts)
                }
                Ok(None) => Err("its engine is not asked".to_owned()),
                Err(error) => {
                    tracing::warn!(environment = ?places[number].environment, error = chain(&error), "table sizes could not be read");
                    Err(AWAY.to_owned())
                }
            };
        }
        places
    }

    /// The URL of a target's account that may only read, or why there is none.
    fn reader(&self, place: &Place, settings: &Environment, target: &TargetConfig) -> Result<SecretString, String> {
        let lookup = |variable: &str| -> Option<String> {
            let read = |name: &str| (self.settings.lookup)(name);
            let rules = &self.settings.secret_vars;
            let value: SecretString = rules.look_up(&place.repository.name, &settings.name, variable, &read)?;
            Some(value.expose_secret().to_owned())
        };
        match settings.resolve_reader(target, &lookup) {
            Some(Ok(url)) => Ok(url),
            Some(Err(missing)) => Err(missing.to_string()),
            None => Err("it names no `reader_url`".to_owned()),
        }
    }
}
