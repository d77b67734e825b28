//! What an interrupted run left in the store, and what only a person can settle in a target.

use std::collections::BTreeSet;

use chrono::Utc;

use super::by_hand::{Rewriting, opened};
use super::connect::{unreachable, with_driver};
use super::native::keep_native;
use super::target::{give_back, refusal_of};
use super::{Actor, RunError, Target};
use crate::drivers::{Driver, Session, SessionOptions};
use crate::ids::{Epoch, RunId};
use crate::migration::naming::quoted;
use crate::migration::{Migration, MigrationSet};
use crate::plan::planner::{self, Index, Native, edited};
use crate::plan::{HistoryRow, MigrationState, MigrationStatus, Refusal, StepAction};
use crate::store::Store;
use crate::store::ledger::LedgerEntry;
use crate::store::runs::StepRecord;

/// What came of bringing the store's record up to the target's history.
#[derive(Debug, Default)]
pub(super) struct Reconciled {
    /// The disagreements that forbid a run: a target that is older than what was recorded of it (DECISIONS 20).
    pub drifted: Vec<Refusal>,
    /// The runs that were cut short and are over now.
    pub ended: Vec<RunId>,
}

/// Brings the store's record up to the target's history, with the target's lock held.
pub(super) async fn reconcile(
    store: &Store,
    set: &MigrationSet,
    fingerprint: &str,
    own: &RunId,
    history: &[HistoryRow],
) -> Result<Reconciled, RunError> {
    let drifted = lost(set, &store.ledger(fingerprint).await?, history);
    if !drifted.is_empty() {
        return Ok(Reconciled { drifted, ended: Vec::new() });
    }
    let mut ended = Vec::new();
    for run in store.unfinished_runs(fingerprint).await? {
        if &run.run == own {
            continue;
        }
        let records: Vec<StepRecord> = run
            .steps
            .iter()
            .filter_map(|(position, unit, migration, _)| {
                let row = row_of(history, unit, migration.as_str()).filter(|r| r.run == run.run)?;
                Some(StepRecord {
                    position: *position,
                    state: row.state.as_str(),
                    duration_ms: row.duration_ms,
                    error: row.error.clone(),
                })
            })
            .collect();
        store.record_steps(&run.run, &run.target, &records, None).await?;
        store.interrupt_run(&run.run, Utc::now()).await?;
        ended.push(run.run);
    }
    Ok(Reconciled { drifted, ended })
}

fn row_of<'h>(history: &'h [HistoryRow], unit: &str, id: &str) -> Option<&'h HistoryRow> {
    history.iter().find(|r| r.id.as_str() == id && (r.unit == unit || unit.is_empty()))
}

/// What the store recorded as applied and a target's history does not know.
fn lost(set: &MigrationSet, ledger: &[LedgerEntry], history: &[HistoryRow]) -> Vec<Refusal> {
    let mut drifted = Vec::new();
    for entry in ledger.iter().filter(|entry| entry.state == MigrationState::Applied) {
        // Rows are matched by name too, since a folder may have moved since.
        let there = row_of(history, &entry.unit, entry.migration.as_str())
            .or_else(|| history.iter().find(|r| r.id == entry.migration))
            .is_some_and(|r| {
                r.state != MigrationState::Pending && (r.state != MigrationState::Failed || r.failed_half_way())
            });
        if !there {
            drifted.push(Refusal {
                reason: "drift".to_owned(),
                message: format!(
                    "run {} applied `{}` here, but the target's history does not know it: the database is older than what was \
                     recorded of it",
                    entry.run, entry.migration
                ),
                what_to_do: format!(
                    "if it was restored, say so for each migration: `godwit resolve {} --as rolled-back --reason …`, or \
                     `godwit baseline`",
                    quoted(&set.name(&entry.unit, entry.migration.as_str()))
                ),
                needs_human: true,
            });
        }
    }
    drifted
}

/// What was recorded in the store of the migrations of a set.
pub(super) type Recorded<'a> = (&'a Store, &'a MigrationSet);

/// A target's history, and what a run would be refused for where the target is older than what was `recorded` of it. Writes
/// nothing anywhere.
pub(super) async fn history_with<D: Driver>(
    driver: &mut D,
    recorded: Option<Recorded<'_>>,
) -> Result<(Vec<HistoryRow>, Vec<Refusal>), RunError> {
    let Some((store, set)) = recorded else { return Ok((driver.history().await.map_err(unreachable)?, Vec::new())) };
    // Before the history: what a run brings meanwhile stands there first.
    let ledger = match driver.identity().await.map_err(unreachable)? {
        Some(fingerprint) => store.ledger(&fingerprint).await?,
        None => Vec::new(),
    };
    let history = driver.history().await.map_err(unreachable)?;
    let older = lost(set, &ledger, &history);
    Ok((history, older))
}

/// What a run would be refused for: that the target is older than what was recorded of it.
pub(super) async fn older(recorded: Recorded<'_>, target: &Target) -> Result<Vec<Refusal>, RunError> {
    with_driver!(target, driver => history_with(&mut driver, Some(recorded)).await.map(|(_, older)| older))
}

/// The highest epoch that anybody knows of for a target. A fence that was lost while the history stayed begins below what
/// the history's rows carry, and the store may be lost with it: every write would be taken for an overtaken run's.
pub(super) async fn highest_epoch(store: &Store, fingerprint: &str, history: &[HistoryRow]) -> Result<Epoch, RunError> {
    let stored = store.highest_epoch(fingerprint).await?;
    Ok(history.iter().map(|r| r.epoch).fold(stored, Epoch::max))
}

/// What a person says of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Its effect is there, as the file says now.
    Applied,
    /// Nothing of it is there.
    RolledBack,
    /// It may be run again, from the statement it stopped at, as the file says now. Not what is applied.
    Retry,
}

/// Writes what a person found into the target's history and the store. Gives what was there before, in words.
///
/// # Errors
/// The first: when the target or the store cannot be reached. The second: why it is refused.
pub async fn resolve(
    store: &Store,
    set: &MigrationSet,
    target: &Target,
    actor: &Actor,
    reference: &str,
    settlement: Settlement,
) -> Result<Result<(MigrationState, MigrationState), Refusal>, RunError> {
    let run = RunId::generate();
    let options = SessionOptions::new(run.clone(), &actor.by, &target.name);
    let request = Request { store, set, target, actor, reference, settlement, run };
    with_driver!(target, driver => request.carry_out(driver, &options).await)
}

struct Request<'a> {
    store: &'a Store,
    set: &'a MigrationSet,
    target: &'a Target,
    actor: &'a Actor,
    reference: &'a str,
    settlement: Settlement,
    run: RunId,
}

impl Request<'_> {
    async fn carry_out<D: Driver>(
        &self,
        driver: D,
        options: &SessionOptions,
    ) -> Result<Result<(MigrationState, MigrationState), Refusal>, RunError> {
        let (mut session, native) = match opened(driver, self.set, self.target, options).await? {
            Ok(opened) => opened,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let result = self.settle(&mut session, native).await;
        give_back(session).await;
        result
    }

    async fn settle<S: Session>(
        &self,
        session: &mut S,
        native: Native,
    ) -> Result<Result<(MigrationState, MigrationState), Refusal>, RunError> {
        let history = match session.history().await {
            Ok(history) => history,
            Err(error) => return Ok(Err(refusal_of(error)?)),
        };
        let (name, engine) = (&self.target.name, self.target.engine);
        let known = planner::statuses(self.set, name, engine, &history, &native, &BTreeSet::new(), None);
        let below = planner::noted_below(self.set, (name, engine), &history, &native);
        if let Err(error) = keep_native(session, self.set, native, &[], &history).await {
            return Ok(Err(refusal_of(error)?));
        }
        let index = Index::new(self.set, &history);
        let found = self.set.find(self.reference);
        if found.is_none() && !self.set.meant(self.reference).is_empty() {
            return Ok(Err(planner::unknown(self.set, self.reference)));
        }
        let migration = found.filter(|m| planner::belongs(m, &self.target.name, self.target.engine));
        // A row may be all that is left of a migration.
        let before = match migration {
            Some(m) => index.of(m),
            None => history
                .iter()
                .find(|r| r.id.as_str() == self.reference || format!("{}/{}", r.unit, r.id) == self.reference),
        };
        if self.settlement == Settlement::Retry
            && let Some(refusal) =
                edited::refused_retry(self.reference, migration, before, self.is_applied(&known, migration, before))
        {
            return Ok(Err(refusal));
        }
        let Some(row) = self.row(migration, before) else {
            return Ok(Err(Refusal {
                reason: "unknown".to_owned(),
                message: format!("`{}` is neither among the files nor in the target's history", self.reference),
                what_to_do: "write its id, or `unit/id`, as `godwit status` shows it".to_owned(),
                needs_human: false,
            }));
        };
        let was = before.map_or(MigrationState::Pending, |b| b.state);
        let settled = row.state;
        let (store, set, target, actor) = (self.store, self.set, self.target, self.actor);
        let writing = Rewriting { store, set, target, actor, run: &self.run, action: "resolve" };
        // Once this one is in the history, what is below it would be taken for a latecomer.
        let noted =
            below.into_iter().filter(|m| self.settlement == Settlement::Applied && self.stands_below(m, migration));
        let mut rows: Vec<HistoryRow> = noted.filter_map(|m| self.row(Some(m), index.of(m))).collect();
        rows.push(row);
        Ok(writing.write(session, &history, rows).await?.map(|()| (was, settled)))
    }

    fn stands_below(&self, other: &Migration, settled: Option<&Migration>) -> bool {
        settled.is_some_and(|m| m.unit == other.unit && other.version < m.version)
    }

    /// Whether a migration is applied, be it by the history or by the table of the folder's own tool.
    fn is_applied(
        &self,
        known: &[MigrationStatus],
        migration: Option<&Migration>,
        before: Option<&HistoryRow>,
    ) -> bool {
        let by_the_history = before.is_some_and(|row| row.state == MigrationState::Applied);
        by_the_history
            || migration.is_some_and(|m| {
                known.iter().any(|s| s.id == m.id && s.unit == m.unit && s.state == MigrationState::Applied)
            })
    }

    fn row(&self, migration: Option<&Migration>, before: Option<&HistoryRow>) -> Option<HistoryRow> {
        let now = Utc::now();
        let (state, action, done) = match self.settlement {
            Settlement::Applied => (MigrationState::Applied, StepAction::Apply, 0),
            Settlement::RolledBack => (MigrationState::RolledBack, StepAction::Apply, 0),
            // What it stopped in goes on from there: the count is one of that list of statements, and of no other.
            Settlement::Retry => {
                let stopped = before.filter(|b| {
                    matches!(b.state, MigrationState::Running | MigrationState::Failed | MigrationState::NeedsHuman)
                });
                let (action, done) = stopped.map_or((StepAction::Apply, 0), |b| (b.action, b.statements_done));
                (MigrationState::Failed, action, done)
            }
        };
        let base = match (migration, before) {
            (_, Some(before)) => before.clone(),
            (Some(m), None) => HistoryRow {
                unit: m.unit.clone(),
                id: m.id.clone(),
                version: m.version.as_str().to_owned(),
                checksum: m.checksum.clone(),
                state,
                action: StepAction::Apply,
                epoch: Epoch(0),
                run: self.run.clone(),
                started_at: now,
                finished_at: Some(now),
                duration_ms: 0,
                by: self.actor.by.clone(),
                pr: self.actor.pr,
                commit: self.actor.commit.clone(),
                statements_done: 0,
                error: None,
            },
            (None, None) => return None,
        };
        Some(HistoryRow {
            // What is said to be applied, or to go on behind what is done, is what the file says now.
            checksum: match (self.settlement, migration) {
                (Settlement::Applied, Some(m)) => m.checksum.clone(),
                (Settlement::Retry, Some(m)) if edited::takes_file(m.engine, &base) => m.checksum.clone(),
                _ => base.checksum,
            },
            state,
            action,
            run: self.run.clone(),
            started_at: now,
            finished_at: Some(now),
            by: self.actor.by.clone(),
            statements_done: done,
            error: None,
            ..base
        })
    }
}
