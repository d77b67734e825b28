//! A rollback over several databases: what each of them holds, so that nothing is undone under what still needs it
//! and what is left of one that was cut short between two of them.

use std::collections::{BTreeMap, BTreeSet};

use super::connect::with_driver;
use super::target::TargetOutcome;
use super::{Call, RunError, Target, Work};
use crate::drivers::Driver as _;
use crate::ids::TargetName;
use crate::migration::{Migration, MigrationSet};
use crate::plan::planner::{self, Index, Selector};
use crate::plan::{HistoryRow, MigrationState, StepAction};
use crate::store::runs::Goal;

/// What a rollback knows beyond the history of one target.
pub(super) struct Across {
    /// What each database holds, those included that are only looked at.
    held: BTreeMap<TargetName, BTreeSet<String>>,
    /// What is left to be undone, once it is known by name.
    rest: BTreeMap<TargetName, Vec<String>>,
    /// Everything that the run undoes: what `resume` goes on with.
    pub goal: Vec<Goal>,
}

impl Across {
    /// Reads what has to be known before a rollback begins; `None` where each target's own history is enough.
    pub async fn of(call: &Call<'_>, set: &MigrationSet) -> Result<Option<Self>, RunError> {
        match call.work {
            Work::Apply | Work::Baseline => Ok(None),
            Work::Rollback(_) => {
                let all = call.targets.iter().chain(&call.options.beside);
                if !all.clone().any(|t| planner::leans_on_others(set, &t.name, t.engine)) {
                    return Ok(None);
                }
                let mut held = BTreeMap::new();
                for target in all {
                    held.insert(target.name.clone(), holds(set, target, &Box::pin(history(target)).await?));
                }
                Ok(Some(Self { held, rest: BTreeMap::new(), goal: Vec::new() }))
            }
            Work::Resume => Box::pin(Self::left(call, set)).await,
        }
    }

    /// What an interrupted rollback has left to do, where the databases say that nothing came after it.
    async fn left(call: &Call<'_>, set: &MigrationSet) -> Result<Option<Self>, RunError> {
        let mut held = BTreeMap::new();
        let mut last: Option<HistoryRow> = None;
        for target in call.targets {
            let rows = Box::pin(history(target)).await?;
            held.insert(target.name.clone(), holds(set, target, &rows));
            // A run's id begins with its time.
            last = last.into_iter().chain(rows).max_by(|a, b| a.run.cmp(&b.run));
        }
        let Some(last) = last.filter(|r| r.action == StepAction::Rollback) else { return Ok(None) };
        let Some((goal, open)) = call.keeper.open().await?.interrupted_goal(&last.run).await? else { return Ok(None) };
        // With everything undone there is only its end to be recorded.
        let done = |g: &Goal| held.get(&g.target).is_some_and(|held: &BTreeSet<String>| !held.contains(&g.migration));
        if !open && goal.iter().all(done) {
            return Ok(None);
        }
        let mut rest: BTreeMap<TargetName, Vec<String>> =
            call.targets.iter().map(|t| (t.name.clone(), Vec::new())).collect();
        for Goal { target, migration } in &goal {
            rest.entry(target.clone()).or_default().push(migration.clone());
        }
        Ok(Some(Self { held, rest, goal }))
    }

    /// What is to be done on a target.
    pub fn work(&self, target: &Target, work: &Work) -> Work {
        self.rest.get(&target.name).map_or_else(|| work.clone(), |rest| Work::Rollback(Selector::These(rest.clone())))
    }

    /// What the other databases hold, with `elsewhere`, which is known from hearsay.
    pub fn known(&self, target: &Target, elsewhere: &BTreeSet<String>) -> BTreeSet<String> {
        let others = self.held.iter().filter(|(name, _)| **name != target.name).flat_map(|(_, held)| held);
        others.chain(elsewhere).cloned().collect()
    }

    /// Takes in what a run on a target has undone, or, in a plan, would have. Whether that is more than was known.
    pub fn ended(&mut self, target: &Target, outcome: &TargetOutcome, dry_run: bool) -> bool {
        let held = self.held.entry(target.name.clone()).or_default();
        let before = held.len();
        held.retain(|m| !outcome.undone.contains(m));
        let moved = held.len() < before;
        if outcome.waits.is_some() && !dry_run {
            self.rest.insert(target.name.clone(), outcome.left_out.clone());
        }
        if dry_run {
            let new = outcome.undone.iter().map(|m| Goal { target: target.name.clone(), migration: m.clone() });
            // One that came round again is planned from the beginning.
            let new: Vec<Goal> = new.filter(|g| !self.goal.contains(g)).collect();
            self.goal.extend(new);
        }
        moved
    }
}

async fn history(target: &Target) -> Result<Vec<HistoryRow>, RunError> {
    with_driver!(target, driver => driver.history().await.map_err(unreachable))
}

/// The migrations of the set that a target holds, half undone ones included.
fn holds(set: &MigrationSet, target: &Target, history: &[HistoryRow]) -> BTreeSet<String> {
    let index = Index::new(set, history);
    set.migrations
        .iter()
        .filter(|m| planner::belongs(m, &target.name, target.engine))
        .filter(|m| {
            index.of(m).is_some_and(|r| {
                matches!(r.state, MigrationState::Applied | MigrationState::Running) || r.is_half_undone()
            })
        })
        .map(Migration::reference)
        .collect()
}
