//! Whose turn it is: what other environments, other pull requests and other runs keep an environment waiting for
//! (B-10, B-11).

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::Bot;
use super::asked::Asked;
use super::decide::{holds, refusal, stamp};
use super::error::JobError;
use super::gather::Place;
use super::handle::look;
use super::merge_run::{Journey, quoted};
use super::plans::takers;
use crate::approval::Policy;
use crate::config::{Environment, Region};
use crate::github::Event;
use crate::ids::{EnvironmentName, PrNumber, RunId, TargetName};
use crate::migration::{Migration, naming};
use crate::plan::planner::belongs;
use crate::plan::{MigrationState, Outcome, Refusal, RunReport};
use crate::store::EnvironmentRecord;
use crate::store::turns::{Asker, Turn, TurnState};
use crate::store::waking::Brought;

/// How long the next in a queue rests before it looks by itself whether its turn has come; whoever ends a run wakes it
/// before. Those behind it rest as many times as long.
const TURN: TimeDelta = TimeDelta::seconds(20);
/// The longest such rest: who was silent for longer than ten minutes keeps nobody waiting.
const LONGEST_TURN: TimeDelta = TimeDelta::minutes(5);

/// What keeps a run waiting until others have run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Behind {
    /// The migrations that it waits for; none where nobody will run them.
    pub awaited: BTreeSet<String>,
    /// What people are told.
    pub refusal: Refusal,
}

impl Journey<'_> {
    /// The event that asks for another look at this pull request.
    pub(super) fn look(&self) -> Event {
        look(&self.place.repository, &self.gathered.pull)
    }

    /// The targets that the pull request needs in an environment.
    pub(super) fn targets(&self, environment: &EnvironmentName) -> Vec<TargetName> {
        let own: Vec<&Migration> = self.merged.contents.own_migrations().collect();
        let settings = self.gathered.contents.policy.environments.get(environment);
        settings.map(|s| takers(s, &own)).unwrap_or_default()
    }

    pub(super) fn asker<'e>(
        &'e self,
        environment: &'e EnvironmentName,
        targets: &'e [TargetName],
        event: &'e Event,
    ) -> Asker<'e> {
        Asker {
            repo: &self.place.repository.name,
            environment,
            pr: self.gathered.snapshot.number,
            targets,
            merged_at: self.gathered.pull.merged_at.unwrap_or(DateTime::UNIX_EPOCH),
            event,
        }
    }

    /// Who or what causes a run, in words.
    pub(super) fn started_by(&self, asked: &Asked) -> String {
        let merged_by = self.gathered.pull.merged_by.as_ref().map_or("godwit", |u| u.login.as_str());
        match &asked.emergency {
            Some((by, _)) => format!("emergency by {by}"),
            None => format!("merge by {merged_by}"),
        }
    }
}

impl Bot {
    /// What an environment of another branch must hold first. The order within one branch is the chain's.
    pub(super) async fn earlier(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
    ) -> Result<Option<Behind>, JobError> {
        let own: Vec<&Migration> = journey.merged.contents.own_migrations().collect();
        let base = &journey.gathered.pull.base.branch;
        self.earlier_of(journey.place, &journey.gathered.contents.policy, base, &own, environment).await
    }

    /// The same for migrations that go into `base`.
    pub(super) async fn earlier_of(
        &self,
        place: &Place,
        policy: &Policy,
        base: &str,
        own: &[&Migration],
        environment: &EnvironmentName,
    ) -> Result<Option<Behind>, JobError> {
        let (repo, default) = (&place.repository.name, &place.repository.default_branch);
        let chain: BTreeSet<&EnvironmentName> = policy.chain(base, default).into_iter().map(|(e, _)| e).collect();
        for migration in own {
            let takes = |e: &Environment| e.targets.iter().any(|t| belongs(migration, &t.name, t.engine));
            let Some(before) = policy.before(environment, &takes).filter(|e| !chain.contains(&e.name)) else {
                continue;
            };
            let ledger = self.store.environment_ledger(Some(repo), &before.name).await?;
            let on = before.targets.iter().filter(|t| belongs(migration, &t.name, t.engine));
            let held = on.clone().all(|t| {
                ledger.iter().any(|e| {
                    e.target == t.name
                        && e.migration == migration.id
                        && e.unit == migration.unit
                        && e.state == MigrationState::Applied
                        && e.checksum == migration.checksum.as_str()
                })
            });
            if !held {
                let (name, branch) = (&before.name, before.branch.as_deref().unwrap_or(default));
                let refusal = refusal(
                    "promotion",
                    format!("{} must be in `{name}` first, with the same content", quoted(&[migration.reference()])),
                    format!("merge it into `{branch}`, which runs `{name}`; this run then starts by itself"),
                );
                return Ok(Some(Behind { awaited: BTreeSet::from([migration.reference()]), refusal }));
            }
        }
        Ok(None)
    }

    /// Takes the turn for a run, or says in the comment who is before.
    pub(super) async fn take_turn(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        run: &RunId,
    ) -> Result<(), JobError> {
        let (targets, event) = (journey.targets(environment), journey.look());
        let before = self.store.take_turn(&journey.asker(environment, &targets, &event), run).await?;
        if before.is_empty() {
            return Ok(());
        }
        self.tell_waiting(journey, environment, behind_others(environment, &before)).await?;
        let reason = format!("others are before this one in `{environment}`");
        let rest = TURN * i32::try_from(before.len()).unwrap_or(i32::MAX).min(100);
        Err(JobError::Later { at: Utc::now() + rest.min(LONGEST_TURN), reason })
    }

    /// Gives the turn to the next, and wakes whoever may go on now.
    pub(super) async fn end_turn(&self, journey: &Journey<'_>, environment: &EnvironmentName) -> Result<(), JobError> {
        let (repo, pr) = (&journey.place.repository.name, journey.gathered.snapshot.number);
        self.store.end_turn(repo, environment, pr).await?;
        let (targets, migrations) = (journey.targets(environment), &journey.merged.contents.own);
        Ok(self.store.wake_after(Brought { repo, environment, pr, targets: &targets, migrations }).await?)
    }

    /// Migrations of other pull requests that must run first: whose they are, what became of them there, and the ways out.
    pub(super) async fn behind(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        foreign: BTreeSet<String>,
    ) -> Result<Refusal, JobError> {
        let repo = &journey.place.repository.name;
        let mut owners: Vec<(PrNumber, Option<EnvironmentRecord>)> = Vec::new();
        for reference in &foreign {
            let (unit, id) = reference.rsplit_once('/').unwrap_or(("", reference));
            let Some(pr) = self.store.brought_by(repo, None, unit, id).await? else { continue };
            if owners.iter().all(|(known, _)| *known != pr) {
                owners.push((pr, self.store.latest_of_pull(repo, environment, pr).await?));
            }
        }
        let names: Vec<String> = foreign.into_iter().collect();
        let set = &journey.merged.contents.set;
        let first = names.first().map(|name| set.find(name).map_or_else(|| naming::quoted(name), |m| set.called(m)));
        Ok(blocked_behind(environment, &names, first.as_deref().unwrap_or("MIGRATION"), &owners))
    }

    /// Puts the name of who stopped a run into its report.
    pub(super) async fn name_who_stopped(&self, report: &mut RunReport) -> Result<(), JobError> {
        let Some(refusal) = report.blocked_by.iter_mut().find(|r| r.reason == "cancelled") else { return Ok(()) };
        if let Some(by) = self.store.asked_to_stop(&report.run).await? {
            refusal.message = format!("{} by `@{by}`", refusal.message);
            let environment = report.environment.as_ref().map_or("", EnvironmentName::as_str);
            refusal.what_to_do = format!("`/godwit retry {environment}` goes on from there");
        }
        Ok(())
    }
}

/// The regions of an environment in their order, each with its targets; none where no target lies in one.
pub(super) fn regions(settings: &Environment) -> Vec<(Region, Vec<TargetName>)> {
    let known = |name: &str| settings.regions.iter().find(|r| r.name == name).cloned();
    let unnamed = |name: &str| Region { name: name.to_owned(), provider: None, compliance: Vec::new() };
    settings
        .waves()
        .into_iter()
        .filter_map(|(name, targets)| {
            let name = name?;
            let names = targets.iter().map(|t| t.name.clone()).collect();
            Some((known(name).unwrap_or_else(|| unnamed(name)), names))
        })
        .collect()
}

/// Who is before, and which place that makes.
fn behind_others(environment: &EnvironmentName, before: &[Turn]) -> Refusal {
    let place = before.len() + 1;
    let others: Vec<String> = before
        .iter()
        .map(|turn| match turn.state {
            TurnState::Running => format!("{} runs since {}", turn.pr, stamp(turn.since)),
            TurnState::Queued | TurnState::Waiting => format!("{} was merged before", turn.pr),
        })
        .collect();
    refusal(
        "turn",
        format!("one run at a time in `{environment}`: this one is number {place} in the queue; {}", others.join(", ")),
        "nothing: it starts by itself when its turn has come".to_owned(),
    )
}

/// What an environment was brought to and its database does not hold any more.
fn lost(
    environment: &EnvironmentName,
    (names, first): (&[String], &str),
    pr: PrNumber,
    record: &EnvironmentRecord,
) -> Refusal {
    let mut refused = refusal(
        "drift",
        format!(
            "{} was applied in `{environment}` by {pr}, {}, and is not there any more, as after somebody restored an older copy",
            quoted(names),
            stamp(record.at)
        ),
        format!(
            "look at the database. To bring it again: `/godwit resolve {environment} {first} rolled-back REASON`, then `/godwit \
             retry {environment}` on {pr}; where its effect is there by hand: `/godwit resolve {environment} {first} applied \
             REASON`. This run then starts by itself"
        ),
    );
    refused.needs_human = true;
    refused
}

/// What keeps the environment from going on, and how to get past a failure; commands call the first of them `first`.
fn blocked_behind(
    environment: &EnvironmentName,
    names: &[String],
    first: &str,
    owners: &[(PrNumber, Option<EnvironmentRecord>)],
) -> Refusal {
    if let Some((pr, Some(record))) = owners.iter().find(|(_, r)| holds(r.as_ref())) {
        return lost(environment, (names, first), *pr, record);
    }
    let failed: Vec<&(PrNumber, Option<EnvironmentRecord>)> = owners
        .iter()
        .filter(|(_, r)| r.as_ref().is_some_and(|r| matches!(r.outcome, Outcome::Failed | Outcome::NeedsHuman)))
        .collect();
    let from: Vec<String> = owners.iter().map(|(pr, _)| pr.to_string()).collect();
    let from = if from.is_empty() { String::new() } else { format!(" (of {})", from.join(", ")) };
    let message =
        format!("{}{from} must run in `{environment}` first and are not part of this pull request", quoted(names));
    if failed.is_empty() {
        return refusal(
            "promotion",
            message,
            format!(
                "finish the pull request that brought them, or bring `{environment}` up to them with \
                 `godwit apply {environment}` or `godwit baseline`; this run then starts by itself"
            ),
        );
    }
    let told: Vec<String> =
        failed.iter().filter_map(|(pr, r)| Some(format!("{pr} stopped there {}", stamp(r.as_ref()?.at)))).collect();
    let on = failed.first().map_or_else(String::new, |(pr, _)| format!(" on {pr}"));
    refusal(
        "promotion",
        format!("{message}; {}", told.join(", ")),
        format!(
            "mend the cause and write `/godwit retry {environment}`{on}; or skip it, once its effect is there by hand or not \
             wanted, with `/godwit resolve {environment} {first} applied REASON`; or undo what is behind it with \
             `/godwit rollback {environment} MIGRATION`; or fix forward with a new pull request that corrects the file where \
             it ran nowhere yet. This run then starts by itself"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CommitSha, Digest, RepoName};

    fn staging() -> EnvironmentName {
        EnvironmentName::new("staging").unwrap()
    }

    #[test]
    fn b11_a_waiter_sees_its_place_and_who_is_before() {
        let turn = |pr, state| Turn {
            pr: PrNumber(pr),
            targets: Vec::new(),
            merged_at: DateTime::UNIX_EPOCH,
            state,
            reason: String::new(),
            run: None,
            since: DateTime::UNIX_EPOCH,
            seen_at: DateTime::UNIX_EPOCH,
        };
        let told = behind_others(&staging(), &[turn(7, TurnState::Running), turn(9, TurnState::Queued)]);
        assert_eq!(
            told.message,
            "one run at a time in `staging`: this one is number 3 in the queue; #7 runs since 1970-01-01 00:00 UTC, #9 was \
             merged before"
        );
    }

    #[test]
    fn a_failure_that_blocks_others_names_every_way_out() {
        let record = EnvironmentRecord {
            repo: RepoName::new("o/r").unwrap(),
            environment: staging(),
            pr: Some(PrNumber(4)),
            commit: CommitSha::new("1".repeat(40)).unwrap(),
            digest: Digest::new(format!("sha256:{}", "0".repeat(64))).unwrap(),
            outcome: Outcome::Failed,
            run: None,
            at: DateTime::UNIX_EPOCH,
        };
        let names = ["shop/0001_orders".to_owned()];
        let told = blocked_behind(&staging(), &names, "0001_orders", &[(PrNumber(4), Some(record.clone()))]);
        assert!(told.message.contains("`shop/0001_orders` (of #4)") && told.message.contains("#4 stopped there"));
        for way in [
            "`/godwit retry staging` on #4",
            "`/godwit resolve staging 0001_orders applied REASON`",
            "`/godwit rollback staging MIGRATION`",
            "new pull request",
        ] {
            assert!(told.what_to_do.contains(way), "{way}: {}", told.what_to_do);
        }
        let held = EnvironmentRecord { outcome: Outcome::Applied, ..record.clone() };
        let gone = blocked_behind(&staging(), &names, "0001_orders", &[(PrNumber(4), Some(held))]);
        assert!(gone.needs_human && gone.message.contains("restored an older copy"), "{gone:?}");
        assert!(gone.what_to_do.contains("`/godwit resolve staging 0001_orders rolled-back REASON`"), "{gone:?}");
        let waits = blocked_behind(&staging(), &names, "0001_orders", &[(PrNumber(4), None)]);
        assert!(waits.what_to_do.contains("finish the pull request"), "{}", waits.what_to_do);
    }
}
