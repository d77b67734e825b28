//! Which worker runs an environment: that of its targets' region, where there is one, for it alone holds their credentials.
//!
//! The work travels: whoever comes to what another region's worker runs hands it on to it, under the same key, so that one
//! worker at a time has it. Where no worker reaches every target of an environment, it is brought forward in parts, one
//! worker behind the other, in the order of its regions; what is done is kept in the store, so that nothing is done twice
//! and the whole is told as one.

use std::collections::BTreeSet;

use chrono::Utc;

use super::Bot;
use super::decide::refusal;
use super::error::JobError;
use super::merge_run::{Journey, quoted};
use crate::config::Environment;
use crate::github::Event;
use crate::ids::{DeliveryId, EnvironmentName, TargetName};
use crate::migration::{Migration, MigrationSet};
use crate::plan::{MigrationState, RunReport};
use crate::store::legs::{DoneLeg, Whole};
use crate::store::{AuditEntry, StoreError};

/// The audit word for a part that is done.
const PART_FINISHED: &str = "part-finished";

/// The workers of a region; `None`: those of no region.
pub(super) type Owner = Option<String>;

/// A part of an environment that one worker runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leg {
    pub owner: Owner,
    pub targets: Vec<TargetName>,
}

/// The part of an environment that comes next, and what stands around it.
#[derive(Debug)]
pub(super) struct Part {
    pub targets: Vec<TargetName>,
    /// What is done already.
    pub done: Vec<DoneLeg>,
    /// Who comes behind it.
    pub behind: Option<Leg>,
}

/// Who runs what about a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    /// These workers.
    Of(Owner),
    /// No worker alone may reach all of the targets.
    Several(Vec<String>),
}

/// The parts of an environment whose `names` take something, in the order of its regions, when workers of the regions
/// `served` were ever there: neighbours of one owner are one part.
fn legs(settings: &Environment, names: &[TargetName], served: &BTreeSet<String>) -> Vec<Leg> {
    let mut all: Vec<Leg> = Vec::new();
    for (region, targets) in settings.waves() {
        let owner = region.filter(|r| served.contains(*r)).map(str::to_owned);
        let targets: Vec<TargetName> = targets.iter().map(|t| t.name.clone()).filter(|t| names.contains(t)).collect();
        match all.last_mut() {
            _ if targets.is_empty() => {}
            Some(last) if last.owner == owner => last.targets.extend(targets),
            Some(_) | None => all.push(Leg { owner, targets }),
        }
    }
    all
}

/// What of the parts is not done yet.
fn open(legs: Vec<Leg>, done: &[DoneLeg]) -> Vec<Leg> {
    let is_done = |target: &TargetName| done.iter().any(|leg| leg.targets.contains(target));
    let rest = legs
        .into_iter()
        .map(|leg| Leg { targets: leg.targets.into_iter().filter(|t| !is_done(t)).collect(), owner: leg.owner });
    rest.filter(|leg| !leg.targets.is_empty()).collect()
}

/// Who runs what concerns these targets.
pub(super) fn whose(settings: &Environment, names: &[TargetName], served: &BTreeSet<String>) -> Whose {
    let owners: BTreeSet<Owner> = legs(settings, names, served).into_iter().map(|leg| leg.owner).collect();
    let mut all = owners.into_iter();
    match (all.next(), all.next()) {
        (one, None) => Whose::Of(one.flatten()),
        (first, second) => {
            let named = first.into_iter().chain(second).chain(all);
            Whose::Several(named.map(|o| o.unwrap_or_else(|| "no region".to_owned())).collect())
        }
    }
}

/// A worker, for a sentence, and how it is started.
pub(super) fn named(owner: &Owner) -> (String, String) {
    match owner {
        Some(region) => {
            (format!("the worker of region `{region}`"), format!("godwit serve --role worker --region {region}"))
        }
        None => ("a worker of no region".to_owned(), "godwit serve --role worker".to_owned()),
    }
}

impl Bot {
    /// The regions that have workers of their own; this one's is among them, whatever the store says.
    pub(super) async fn served(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut served = self.store.served_regions().await?;
        served.extend(self.settings.region.clone());
        Ok(served)
    }

    /// The part of an environment that this worker runs now; `None` when another worker does: then it has the work by now,
    /// and people are told whose it is.
    pub(super) async fn part(
        &self,
        journey: &Journey<'_>,
        settings: &Environment,
        environment: &EnvironmentName,
        names: &[TargetName],
    ) -> Result<Option<Part>, JobError> {
        let legs = legs(settings, names, &self.served().await?);
        let several = legs.len() > 1;
        let done = self.store.done_legs(journey.whole(environment)).await?;
        let mut open = open(legs, &done).into_iter();
        // The policy may have lost what was still to do: then the end is all that is left.
        let next = open.next().unwrap_or(Leg { owner: self.settings.region.clone(), targets: Vec::new() });
        if next.owner == self.settings.region {
            return Ok(Some(Part { targets: next.targets, done, behind: open.next() }));
        }
        let (who, start) = named(&next.owner);
        let of = if several {
            format!("{} of `{environment}`", names_of(&next.targets))
        } else {
            format!("`{environment}`")
        };
        let so_far = match &done[..] {
            [] => String::new(),
            parts => {
                let targets: Vec<TargetName> = parts.iter().flat_map(|p| p.targets.clone()).collect();
                format!("; {} of it is done", names_of(&targets))
            }
        };
        let refused = refusal(
            "region",
            format!("{who} runs {of}, which alone holds the credentials of its targets{so_far}"),
            format!("it goes on by itself; if no such worker runs: `{start}`"),
        );
        self.tell_waiting(journey, environment, refused).await?;
        self.hand_to(&next.owner, &journey.look(), journey.judge.correlation.as_ref()).await?;
        Ok(None)
    }

    /// Of targets those that this worker reaches, and whose the others are.
    pub(super) async fn reached(
        &self,
        settings: &Environment,
        names: &[TargetName],
    ) -> Result<(Vec<TargetName>, Vec<Leg>), StoreError> {
        let all = legs(settings, names, &self.served().await?);
        let (here, there): (Vec<Leg>, Vec<Leg>) = all.into_iter().partition(|leg| leg.owner == self.settings.region);
        Ok((here.into_iter().flat_map(|leg| leg.targets).collect(), there))
    }

    /// Queues work for the workers of a region, unless the same waits for them already.
    pub(super) async fn hand_to(
        &self,
        owner: &Owner,
        event: &Event,
        correlation: Option<&DeliveryId>,
    ) -> Result<(), JobError> {
        if !self.store.is_queued_in(owner.as_deref(), event).await?
            && let Some(key) = event.serial_key()
        {
            self.store.enqueue_in(owner.as_deref(), &key, event, correlation, Utc::now()).await?;
        }
        Ok(())
    }

    /// Writes down that a part is done, and lets the next worker go on.
    pub(super) async fn end_part(
        &self,
        journey: &Journey<'_>,
        settings: &Environment,
        environment: &EnvironmentName,
        part: Part,
        mut report: RunReport,
    ) -> Result<(), JobError> {
        // What was done to others' targets, their parts tell.
        self.tell_of_earlier(journey, environment, Some(&part.targets), &mut report).await?;
        let mut entry: AuditEntry = self.entry(journey, environment, PART_FINISHED, report.outcome.as_str());
        entry.at = Utc::now();
        entry.run = Some(report.run.clone());
        entry.details.insert("targets".to_owned(), join(&part.targets));
        entry.details.insert("region".to_owned(), self.settings.region.clone().unwrap_or_default());
        self.store.prove(&mut entry).await?;
        let (run, at) = (report.run.clone(), entry.at);
        let leg = DoneLeg { run, targets: part.targets, report: super::merge_run::brief(&report), at };
        self.store.finish_leg(entry, journey.whole(environment), &leg).await?;
        crate::runner::failpoint::hit("part_recorded");
        // Tells people, and hands on.
        let names = journey.targets(environment);
        if self.part(journey, settings, environment, &names).await?.is_some() {
            self.hand_to(&self.settings.region, &journey.look(), journey.judge.correlation.as_ref()).await?;
        }
        Ok(())
    }

    /// What targets of an environment hold that are not among `names`, as far as the store knows: others may wait for it.
    pub(super) async fn held_elsewhere(
        &self,
        repo: &crate::ids::RepoName,
        settings: &Environment,
        set: &MigrationSet,
        names: &[TargetName],
    ) -> Result<BTreeSet<String>, StoreError> {
        if settings.targets.iter().all(|t| names.contains(&t.name)) {
            return Ok(BTreeSet::new());
        }
        let ledger = self.store.environment_ledger(Some(repo), &settings.name).await?;
        let elsewhere = ledger.iter().filter(|e| {
            e.state == MigrationState::Applied
                && !names.contains(&e.target)
                && settings.targets.iter().any(|t| t.name == e.target)
        });
        let same = |e: &crate::store::ledger::PlacedEntry, m: &Migration| {
            m.unit == e.unit && m.id == e.migration && m.checksum.as_str() == e.checksum
        };
        Ok(elsewhere.filter_map(|e| set.migrations.iter().find(|m| same(e, m))).map(Migration::reference).collect())
    }
}

impl Journey<'_> {
    /// What is brought to an environment, in parts where it must be.
    fn whole<'e>(&'e self, environment: &'e EnvironmentName) -> Whole<'e> {
        let about = self.about(environment);
        Whole { repo: about.repo, environment, pr: about.number, digest: about.digest }
    }
}

fn join(names: &[TargetName]) -> String {
    names.iter().map(TargetName::as_str).collect::<Vec<_>>().join(", ")
}

fn names_of(names: &[TargetName]) -> String {
    quoted(&names.iter().map(ToString::to_string).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environments;
    use crate::ids::RunId;

    const TEXT: &str = "staging:\n  targets:\n    a: { engine: sqlite, url: \"sqlite:a\", region: eu }\n    \
                        b: { engine: sqlite, url: \"sqlite:b\", region: us }\n    c: { engine: sqlite, url: \"sqlite:c\" }\n    \
                        d: { engine: sqlite, url: \"sqlite:d\", region: af }\n";

    fn names(names: &[&str]) -> Vec<TargetName> {
        names.iter().map(|n| TargetName::new(*n).unwrap()).collect()
    }

    fn served(regions: &[&str]) -> BTreeSet<String> {
        regions.iter().map(|s| (*s).to_owned()).collect()
    }

    fn with_staging<T>(test: impl FnOnce(&Environment) -> T) -> T {
        let (all, problems) = Environments::parse("environments.yml", TEXT).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        test(all.get(&EnvironmentName::new("staging").unwrap()).unwrap())
    }

    fn owner(region: &str) -> Owner {
        Some(region.to_owned())
    }

    #[test]
    fn an_environment_is_its_regions_where_that_has_workers() {
        with_staging(|settings| {
            let of = |n: &[&str], s: &[&str]| whose(settings, &names(n), &served(s));
            assert_eq!(of(&["a"], &["eu"]), Whose::Of(owner("eu")));
            assert_eq!(of(&["a", "b", "c"], &[]), Whose::Of(None), "nobody says to be there: whoever works does it");
            assert_eq!(of(&["a", "c"], &["us"]), Whose::Of(None), "what takes nothing does not count");
            assert_eq!(of(&["a", "b"], &["eu", "us"]), Whose::Several(vec!["eu".to_owned(), "us".to_owned()]));
            assert_eq!(of(&["a", "c"], &["eu"]), Whose::Several(vec!["no region".to_owned(), "eu".to_owned()]));
        });
    }

    #[test]
    fn parts_keep_the_order_of_the_regions_and_neighbours_of_one_owner_are_one() {
        with_staging(|settings| {
            let parts = |n: &[&str], s: &[&str]| -> Vec<(Owner, String)> {
                legs(settings, &names(n), &served(s)).into_iter().map(|l| (l.owner, join(&l.targets))).collect()
            };
            let all = ["a", "b", "c", "d"];
            assert_eq!(parts(&all, &[]), [(None, "c, a, b, d".to_owned())]);
            assert_eq!(
                parts(&all, &["eu"]),
                [(None, "c".to_owned()), (owner("eu"), "a".to_owned()), (None, "b, d".to_owned())]
            );
            assert_eq!(parts(&["a", "b"], &["us"]), [(None, "a".to_owned()), (owner("us"), "b".to_owned())]);
        });
    }

    #[test]
    fn what_is_done_is_not_done_again_however_the_parts_are_cut() {
        with_staging(|settings| {
            let done = |targets: &[&str]| DoneLeg {
                run: RunId::generate(),
                targets: names(targets),
                report: RunReport::blocked(
                    settings.name.clone(),
                    crate::migration::digest_of(std::iter::empty()),
                    crate::ids::Risk::Low,
                    refusal("x", String::new(), String::new()),
                    RunId::generate(),
                ),
                at: chrono::DateTime::UNIX_EPOCH,
            };
            let rest = |s: &[&str], d: &[&[&str]]| -> Vec<String> {
                let all = legs(settings, &names(&["a", "b", "c", "d"]), &served(s));
                let done: Vec<DoneLeg> = d.iter().map(|t| done(t)).collect();
                open(all, &done).into_iter().map(|l| join(&l.targets)).collect()
            };
            assert_eq!(rest(&["eu"], &[]), ["c", "a", "b, d"]);
            assert_eq!(rest(&["eu"], &[&["c"], &["a"]]), ["b, d"]);
            // Workers of one more region came meanwhile.
            assert_eq!(rest(&["eu", "us"], &[&["c"], &["a"]]), ["b", "d"]);
            assert_eq!(rest(&[], &[&["c", "a"]]), ["b, d"]);
            assert!(rest(&["eu"], &[&["a", "b"], &["c", "d"]]).is_empty());
        });
    }
}
