//! The minutes after a run: the environment is measured again at every pass that looks at its pull request, and a critical
//! value is told once (SPEC 13.4).

use chrono::{DateTime, Duration, Utc};

use super::error::JobError;
use super::merge_run::Journey;
use super::plans::takers;
use super::worker::chain;
use super::{Bot, measure};
use crate::approval::Policy;
use crate::config::{Environment, HealthChecks};
use crate::ids::{EnvironmentName, RepoName};
use crate::migration::Migration;
use crate::plan::health;
use crate::report::health::{watch_marker, watched};
use crate::runner::health::{HealthWish, measure as look};
use crate::store::{AuditFilter, EnvironmentRecord};

/// The audit word for a critical value after a run.
const ALERTED: &str = "health-alert";

impl Bot {
    /// What is looked at around runs of an environment.
    pub(super) fn health(&self, journey: &Journey<'_>, settings: &Environment) -> HealthWish {
        self.health_of(&journey.place.repository.name, &journey.gathered.contents.policy, settings)
    }

    /// The same for a run that comes from no merge.
    pub(super) fn health_of(&self, repo: &RepoName, policy: &Policy, settings: &Environment) -> HealthWish {
        HealthWish {
            checks: HealthChecks::of(&policy.repo, settings),
            allowed: self.settings.allowed_urls.of(repo, &settings.name),
        }
    }

    /// Whether an environment is still measured after its run, so that the pull request must be looked at again.
    pub(super) async fn is_watched(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
    ) -> Result<bool, JobError> {
        let Some(settings) = journey.gathered.contents.policy.environments.get(environment) else { return Ok(false) };
        let repo = &journey.place.repository.name;
        let record = self.store.latest_environment(repo, environment, journey.digest).await?;
        Ok(record.is_some_and(|record| watch_lasts(&self.health(journey, settings), &record, journey.now)))
    }

    /// Measures an environment whose run is not long over, and tells of a critical value. Nothing is done about it.
    pub(super) async fn watch(
        &self,
        journey: &Journey<'_>,
        settings: &Environment,
        record: &EnvironmentRecord,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let wish = self.health(journey, settings);
        if !watch_lasts(&wish, record, now) {
            return Ok(());
        }
        let Some(run) = &record.run else { return Ok(()) };
        let own: Vec<&Migration> = journey.merged.contents.own_migrations().collect();
        let Ok(targets) = self.targets(journey.place, settings, &takers(settings, &own)) else { return Ok(()) };
        let measured = match look(&targets, &wish).await {
            Ok(measured) => measured,
            Err(error) => {
                tracing::warn!(environment = %settings.name, error = chain(&error), "an environment could not be watched");
                return Ok(());
            }
        };
        measure::vitals(&settings.name, "after", &measured);
        let Some(critical) = health::critical(&measured) else { return Ok(()) };
        let filter = AuditFilter { run: Some(run.clone()), ..AuditFilter::default() };
        if self.store.audit(&filter).await?.iter().any(|r| r.body.action == ALERTED) {
            return Ok(());
        }
        let text = watched(&settings.name, (now - record.at).num_minutes(), &critical);
        let number = journey.gathered.snapshot.number;
        journey.place.api.keep_comment(number, &watch_marker(settings.name.as_str()), &text).await?;
        let mut entry = self.entry(journey, &settings.name, ALERTED, "critical");
        entry.at = now;
        entry.run = Some(run.clone());
        entry.details.insert("critical".to_owned(), critical);
        self.store.append_audit(entry).await?;
        Ok(())
    }
}

/// Whether the minutes after a run are not over.
fn watch_lasts(wish: &HealthWish, record: &EnvironmentRecord, now: DateTime<Utc>) -> bool {
    let minutes = i64::try_from(wish.checks.watch).unwrap_or(0);
    wish.checks.stated && now - record.at <= Duration::minutes(minutes)
}
