//! A run goes where, and goes as, it did when people agreed to it; where that changed since, a person who could have
//! agreed says so first.

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;

use super::Bot;
use super::commands::Order;
use super::contents::Contents;
use super::decide::{self, refusal};
use super::error::JobError;
use super::gather::{Gathered, Place};
use super::merge_run::Journey;
use super::permission::{Need, cell_roles, describe};
use super::plans::takers;
use crate::approval::{Binding, EnvironmentVerdict, Status};
use crate::config::Environment;
use crate::ids::EnvironmentName;
use crate::migration::Migration;
use crate::plan::Refusal;
use crate::plan::terms::Terms;
use crate::store::terms::{AgreedTo, Kept};

/// The audit word for going on although a database, a variable or this program changed since people agreed.
const ACCEPTED: &str = "terms-accepted";
/// The detail that says what changed.
const CHANGED: &str = "changed";

impl Bot {
    /// The terms as they are, for what an environment takes of a pull request; `None` where it takes nothing.
    fn terms_now(&self, place: &Place, contents: &Contents, settings: &Environment) -> Option<Terms> {
        let own: Vec<&Migration> = contents.own_migrations().collect();
        let names = takers(settings, &own);
        if names.is_empty() {
            return None;
        }
        let resolved: Vec<_> = settings
            .targets
            .iter()
            .filter(|t| names.contains(&t.name))
            .map(|t| {
                let url = self.targets(place, settings, std::slice::from_ref(&t.name)).ok();
                (t, url.and_then(|found| found.into_iter().next()))
            })
            .collect();
        let targets = resolved
            .iter()
            .map(|(target, found)| (&target.name, target.engine, found.as_ref().map(|t| t.url.expose_secret())));
        let migrations = own.iter().copied().filter(|m| m.target.as_ref().is_some_and(|t| names.contains(t)));
        Some(Terms::of(targets, migrations))
    }

    /// Remembers the terms under which people have agreed, environment by environment, when they are first seen to have.
    pub(super) async fn remember_terms(
        &self,
        place: &Place,
        gathered: &Gathered,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let Some(binding) = &gathered.snapshot.binding else { return Ok(()) };
        let (contents, also) = match &gathered.merged {
            Some(merged) => (&merged.contents, merged.also.as_ref()),
            None => (&gathered.contents, None),
        };
        let policy = &gathered.contents.policy;
        for environment in &policy.repo.environments {
            let Some(settings) = policy.environments.get(environment) else { continue };
            let verdict = decide::environment_verdict((policy, also), &gathered.snapshot, environment, now);
            if !somebody_agreed(&verdict) {
                continue;
            }
            let to = gathered.agreed_to(environment, binding);
            // To reckon them up is work for each migration, and mostly they are known.
            if self.store.terms(to).await?.is_none()
                && let Some(agreed) = self.terms_now(place, contents, settings)
            {
                self.store.keep_terms(to, &Kept { agreed, found: None }, now).await?;
            }
        }
        Ok(())
    }

    /// Why a run may not begin, where its terms are not those that people agreed to. What they are now is remembered, for
    /// whoever accepts it.
    pub(super) async fn other_terms(
        &self,
        journey: &Journey<'_>,
        settings: &Environment,
        verdict: &EnvironmentVerdict,
    ) -> Result<Option<Refusal>, JobError> {
        let (Some(binding), true) = (&journey.gathered.snapshot.binding, somebody_agreed(verdict)) else {
            return Ok(None);
        };
        let to = journey.gathered.agreed_to(&settings.name, binding);
        let Some(kept) = self.store.terms(to).await? else { return Ok(None) };
        let Some(now) = self.terms_now(journey.place, &journey.merged.contents, settings) else { return Ok(None) };
        let differences = kept.agreed.differences(&now);
        if differences.is_empty() {
            return Ok(None);
        }
        if kept.found.as_ref() != Some(&now) {
            self.store.keep_terms(to, &Kept { agreed: kept.agreed, found: Some(now) }, journey.now).await?;
        }
        let environment = &settings.name;
        let who = who_accepts(journey.gathered, environment);
        Ok(Some(refusal(
            "terms",
            format!("this is not what people agreed to in `{environment}`: {}", differences.join("; ")),
            format!(
                "put it back as it was, or have {who} write `/godwit retry {environment}`, which runs it as it is now"
            ),
        )))
    }

    /// A person asks to try again: if terms changed, whoever could have agreed accepts them by it. Gives what is answered to
    /// somebody who could not.
    pub(super) async fn accept_terms(
        &self,
        order: &Order<'_>,
        gathered: &Gathered,
        environment: &EnvironmentName,
    ) -> Result<Option<String>, JobError> {
        let (Some(binding), Some(merged)) = (&gathered.snapshot.binding, &gathered.merged) else { return Ok(None) };
        let to = gathered.agreed_to(environment, binding);
        let Some(Kept { agreed, found: Some(found) }) = self.store.terms(to).await? else { return Ok(None) };
        let changed = agreed.differences(&found).join("; ");
        if order.may(Need::Cell(environment)).is_err() {
            return Ok(Some(format!(
                "What people agreed to in `{environment}` is not what would run: {changed}. Put it back as it was; only {} \
                 may let it run as it is now.",
                who_accepts(gathered, environment)
            )));
        }
        let mut entry = order.entry(ACCEPTED, "ok");
        entry.environment = Some(environment.clone());
        entry.commit = Some(merged.commit.clone());
        entry.digest = Some(binding.digest.clone());
        entry.policy_hash = Some(binding.policy_hash.clone());
        entry.details.insert(CHANGED.to_owned(), changed);
        self.store.append_audit(entry).await?;
        self.store.keep_terms(to, &Kept { agreed: found, found: None }, order.now).await?;
        Ok(None)
    }
}

impl Gathered {
    fn agreed_to<'e>(&'e self, environment: &'e EnvironmentName, binding: &'e Binding) -> AgreedTo<'e> {
        AgreedTo { repo: &self.snapshot.repo, pr: self.snapshot.number, environment, binding }
    }
}

/// Whether the agreement of anybody is what lets it run.
fn somebody_agreed(verdict: &EnvironmentVerdict) -> bool {
    verdict.evaluation.status == Status::Approved && verdict.required_approvals > 0
}

/// Who may let a run go on under other terms.
fn who_accepts(gathered: &Gathered, environment: &EnvironmentName) -> String {
    let policy = &gathered.contents.policy;
    let roles = cell_roles(policy, environment);
    if roles.is_empty() { "anybody with write access".to_owned() } else { describe(policy, &roles) }
}
