//! What people change in a target's history: how the target is opened for it, and how the rows are written.

use chrono::Utc;

use super::settle::highest_epoch;
use super::target::refusal_of;
use super::{Actor, RunError, Target};
use crate::drivers::{Driver, Session, SessionOptions};
use crate::ids::RunId;
use crate::migration::MigrationSet;
use crate::migration::native::Book;
use crate::plan::planner::{self, Native};
use crate::plan::{HistoryRow, MigrationState, Outcome, Refusal, StepAction};
use crate::store::Store;
use crate::store::runs::{StepIntent, StepRecord, TargetIntent};

/// Opens a target whose history a person changes: what the folders' own tools say, and the lock.
///
/// # Errors
/// The first: when the target cannot be reached. The second: why it cannot be had.
pub(super) async fn opened<D: Driver>(
    mut driver: D,
    set: &MigrationSet,
    target: &Target,
    options: &SessionOptions,
) -> Result<Result<(D::Session, Native), Refusal>, RunError> {
    let book = Book::of(set, &target.name, target.engine);
    let native = match driver.native(&book).await {
        Ok(found) => Native::of(book, found, set, &target.name, target.engine),
        Err(error) => return Ok(Err(refusal_of(error)?)),
    };
    Ok(match driver.lock(options).await {
        Ok(session) => Ok((session, native)),
        Err(error) => Err(refusal_of(error)?),
    })
}

/// Rows that a person has written, as one run of their own.
pub(super) struct Rewriting<'a> {
    pub store: &'a Store,
    pub set: &'a MigrationSet,
    pub target: &'a Target,
    pub actor: &'a Actor,
    pub run: &'a RunId,
    /// The store's word for it.
    pub action: &'static str,
}

impl Rewriting<'_> {
    /// Raises the fence above whatever was known, writes down what is intended, then the rows; the ledger follows, so that
    /// the two agree.
    ///
    /// # Errors
    /// The first: when the target or the store cannot be reached. The second: why it is refused.
    pub async fn write<S: Session>(
        &self,
        session: &mut S,
        history: &[HistoryRow],
        rows: Vec<HistoryRow>,
    ) -> Result<Result<(), Refusal>, RunError> {
        let at_least = highest_epoch(self.store, session.fingerprint(), history).await?;
        let epoch = match session.fence(at_least).await {
            Ok(epoch) => epoch,
            Err(error) => return Ok(Err(refusal_of(error)?)),
        };
        let rows: Vec<HistoryRow> = rows.into_iter().map(|row| HistoryRow { epoch, ..row }).collect();
        let run = self.actor.run(self.run, StepAction::Baseline, self.target, self.set.digest());
        let intent = TargetIntent {
            target: self.target.name.clone(),
            engine: self.target.engine,
            fingerprint: session.fingerprint().to_owned(),
            epoch,
            plan_hash: planner::history_hash(&rows),
            history_hash: planner::history_hash(history),
            steps: (0..).zip(&rows).map(|(position, row)| self.intent(position, row)).collect(),
        };
        self.store.record_intents(&run, &intent).await?;
        for row in &rows {
            if let Err(error) = session.write_row(row).await {
                return Ok(Err(refusal_of(error)?));
            }
        }
        let records: Vec<StepRecord> = (0..).zip(&rows).map(|(position, row)| record(position, row)).collect();
        self.store.record_steps(self.run, &self.target.name, &records, None).await?;
        self.store.finish_run(self.run, Outcome::Applied, Utc::now()).await?;
        Ok(Ok(()))
    }

    fn intent(&self, position: i64, row: &HistoryRow) -> StepIntent {
        StepIntent {
            position,
            unit: row.unit.clone(),
            migration: row.id.to_string(),
            checksum: row.checksum.to_string(),
            action: self.action,
            recovery: "atomic",
            recovery_reason: "only a row of the history is written".to_owned(),
        }
    }
}

fn record(position: i64, row: &HistoryRow) -> StepRecord {
    let state = match row.state {
        MigrationState::Applied => MigrationState::Applied,
        MigrationState::Pending
        | MigrationState::Running
        | MigrationState::Failed
        | MigrationState::RolledBack
        | MigrationState::NeedsHuman => MigrationState::RolledBack,
    };
    StepRecord { position, state: state.as_str(), duration_ms: 0, error: row.error.clone() }
}

/// A row of something that counts as not applied from now on, and why.
pub(super) fn not_applied(row: HistoryRow, run: &RunId, actor: &Actor, why: &str) -> HistoryRow {
    let now = Utc::now();
    HistoryRow {
        state: MigrationState::RolledBack,
        action: StepAction::Baseline,
        run: run.clone(),
        started_at: now,
        finished_at: Some(now),
        duration_ms: 0,
        by: actor.by.clone(),
        statements_done: 0,
        error: Some(why.to_owned()),
        ..row
    }
}
