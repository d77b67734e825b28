//! The tip of the base branch: what commands act on that concern a database rather than the change of one pull request.

use chrono::{DateTime, Utc};

use super::Bot;
use super::contents::{self, Compare, Contents, Unreadable};
use super::decide::refusal;
use super::error::JobError;
use super::gather::Place;
use super::merge_run::quoted;
use crate::config::{ConfigError, Environment};
use crate::git::Want;
use crate::github::model;
use crate::ids::{EnvironmentName, TargetName};
use crate::migration::Migration;
use crate::plan::Refusal;
use crate::plan::planner::belongs;
use crate::runner::Target;

impl Bot {
    /// Policy and migrations of the tip of the branch that a pull request goes into.
    pub(super) async fn tip(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        now: DateTime<Utc>,
    ) -> Result<Result<Contents, Vec<ConfigError>>, JobError> {
        let (base_ref, fallback) = (pull.base.branch.clone(), pull.base.sha.clone());
        let wants = [Want::Branch(base_ref.clone()), Want::Commit(fallback.clone())];
        let today = now.date_naive();
        self.git(place, &wants, move |mirror| {
            let tip = mirror.branch(&base_ref)?.unwrap_or_else(|| fallback.clone());
            match contents::read(mirror, &tip, &tip, Compare::Merged, None, today) {
                Ok(contents) => Ok(Ok(contents)),
                Err(Unreadable::Policy(errors)) => Ok(Err(errors)),
                Err(Unreadable::Git(e)) => Err(e),
            }
        })
        .await
    }

    /// A migration of the tip, and the databases of an environment that take it.
    pub(super) fn placed<'c>(
        &self,
        place: &Place,
        tip: &'c Contents,
        environment: &EnvironmentName,
        name: &str,
    ) -> Result<(&'c Migration, Vec<Target>), Refusal> {
        let (migration, settings, names) = taken(tip, environment, name)?;
        Ok((migration, self.targets(place, settings, &names)?))
    }
}

/// A migration of the tip, and the names of the databases of an environment that take it.
pub(super) fn taken<'c>(
    tip: &'c Contents,
    environment: &EnvironmentName,
    name: &str,
) -> Result<(&'c Migration, &'c Environment, Vec<TargetName>), Refusal> {
    let Some(migration) = tip.set.find(name) else {
        let meant = tip.set.meant(name);
        return Err(if meant.is_empty() {
            refusal(
                "unknown",
                format!("`{name}` is no migration of this branch"),
                "write its name as the comments show it, in quotation marks where it holds blanks".to_owned(),
            )
        } else {
            refusal(
                "unknown",
                format!("several migrations of this branch are called `{name}`"),
                format!("write which one: {}", quoted(&meant)),
            )
        });
    };
    let settings: Option<&Environment> = tip.policy.environments.get(environment);
    let names: Vec<_> = settings
        .iter()
        .flat_map(|s| &s.targets)
        .filter(|t| belongs(migration, &t.name, t.engine))
        .map(|t| t.name.clone())
        .collect();
    let (Some(settings), false) = (settings, names.is_empty()) else {
        return Err(refusal(
            "no-target",
            format!("no database of `{environment}` takes `{}`", migration.reference()),
            "name another environment".to_owned(),
        ));
    };
    Ok((migration, settings, names))
}
