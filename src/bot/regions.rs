//! Which worker runs an environment: that of its targets' region, where there is one, for it alone holds their credentials.
//!
//! The pull request travels: whoever comes to an environment of another region's worker hands the look at the pull
//! request on to it, under the same key, so that one worker at a time has it.

use std::collections::BTreeSet;

use chrono::Utc;

use super::Bot;
use super::decide::refusal;
use super::error::JobError;
use super::merge_run::{Journey, quoted};
use crate::config::Environment;
use crate::ids::{EnvironmentName, TargetName};
use crate::plan::Refusal;

/// Who runs an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    /// The workers of this region; `None`: those of no region.
    Of(Option<String>),
    /// No worker alone may reach all of its targets.
    Several(Vec<String>),
}

/// Whose an environment is whose `names` take something, when workers of the regions `served` were ever there.
fn owner(settings: &Environment, names: &[TargetName], served: &BTreeSet<String>) -> Owner {
    let owners: BTreeSet<Option<String>> = settings
        .targets
        .iter()
        .filter(|t| names.contains(&t.name))
        .map(|t| t.region.clone().filter(|region| served.contains(region)))
        .collect();
    let mut all = owners.into_iter();
    match (all.next(), all.next()) {
        (Some(one), None) => Owner::Of(one),
        (None, _) => Owner::Of(None),
        (Some(first), Some(second)) => Owner::Several(
            [first, second].into_iter().chain(all).map(|o| o.unwrap_or_else(|| "no region".to_owned())).collect(),
        ),
    }
}

impl Bot {
    /// Whether another worker runs this environment; then it has the work by now, and people are told whose it is.
    pub(super) async fn hands_on(
        &self,
        journey: &Journey<'_>,
        settings: &Environment,
        environment: &EnvironmentName,
        names: &[TargetName],
    ) -> Result<bool, JobError> {
        let mut served = self.store.served_regions().await?;
        served.extend(self.settings.region.clone());
        let refused: Refusal = match owner(settings, names, &served) {
            Owner::Of(region) if region == self.settings.region => return Ok(false),
            Owner::Of(region) => {
                let (who, start) = match &region {
                    Some(region) => (format!("the worker of region `{region}`"), format!(" --region {region}")),
                    None => ("a worker of no region".to_owned(), String::new()),
                };
                let refused = refusal(
                    "region",
                    format!("{who} runs `{environment}`, which alone holds the credentials of its targets"),
                    format!("it goes on by itself; if no such worker runs: `godwit serve --role worker{start}`"),
                );
                self.tell_waiting(journey, environment, refused).await?;
                let look = journey.look();
                if let Some(key) = look.serial_key() {
                    let correlation = journey.judge.correlation.as_ref();
                    self.store.enqueue_in(region.as_deref(), &key, &look, correlation, Utc::now()).await?;
                }
                return Ok(true);
            }
            Owner::Several(regions) => refusal(
                "region",
                format!("the targets of `{environment}` belong to different workers: {}", quoted(&regions)),
                "give each region an environment of its own, one behind the other".to_owned(),
            ),
        };
        self.wait(journey, environment, refused).await.map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environments;

    #[test]
    fn an_environment_is_its_regions_where_that_has_workers() {
        let text = "staging:\n  targets:\n    a: { engine: sqlite, url: \"sqlite:a\", region: eu }\n    \
                    b: { engine: sqlite, url: \"sqlite:b\", region: us }\n    c: { engine: sqlite, url: \"sqlite:c\" }\n";
        let (all, problems) = Environments::parse("environments.yml", text).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        let settings = all.get(&EnvironmentName::new("staging").unwrap()).unwrap();
        let of = |names: &[&str], served: &[&str]| {
            let names: Vec<TargetName> = names.iter().map(|n| TargetName::new(*n).unwrap()).collect();
            owner(settings, &names, &served.iter().map(|s| (*s).to_owned()).collect())
        };
        assert_eq!(of(&["a"], &["eu"]), Owner::Of(Some("eu".to_owned())));
        assert_eq!(of(&["a", "b", "c"], &[]), Owner::Of(None), "nobody says to be there: whoever works does it");
        assert_eq!(of(&["a", "c"], &["us"]), Owner::Of(None), "what takes nothing does not count");
        assert_eq!(of(&["a", "b"], &["eu", "us"]), Owner::Several(vec!["eu".to_owned(), "us".to_owned()]));
        assert_eq!(of(&["a", "c"], &["eu"]), Owner::Several(vec!["no region".to_owned(), "eu".to_owned()]));
    }
}
