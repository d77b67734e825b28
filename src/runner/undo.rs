//! What a failed migration of operations had completed is taken back by itself, newest first [S4-65].
//!
//! The undo is a list over all operations of the file, so that a place in it means the same after a crash; operations
//! that were never begun are skipped. The history row is `running` with the action `undo` meanwhile, and counts in that
//! list. A migration whose completed operations cannot all be taken back stays where it stopped, and goes on from there.

use chrono::Utc;

use super::RunError;
use super::locked::{StepEnd, StepRun, note_failure};
use super::stepwise::{self, End};
use super::target::refusal_of;
use crate::drivers::{Session, SingleStatement};
use crate::migration::Script;
use crate::migration::execution::{Nature, Statement};
use crate::migration::operations::{self, Inverse, Located};
use crate::plan::{HistoryRow, MigrationState, StepAction, StepError};
use crate::store::Store;

/// Takes back what was completed when operation `failed` (from 0) went wrong, and tells the failure.
pub(super) async fn after_failure<S: Session>(
    session: &mut S,
    store: &Store,
    run: &StepRun<'_>,
    script: &Script,
    failed: usize,
    error: StepError,
) -> Result<StepEnd, RunError> {
    let all = operations::read(run.step.engine, &script.text).unwrap_or_default();
    let Some(newest) = newest_to_undo(&all, failed) else {
        let stays = all[..=failed.min(all.len().saturating_sub(1))]
            .iter()
            .find_map(|o| match o.operation.inverse() {
                Inverse::None(why) => Some(format!(
                    "`{}` in line {} cannot be taken back: {why}; what was completed stays",
                    o.operation.name(),
                    o.line
                )),
                Inverse::Computed => None,
            })
            .unwrap_or_default();
        let hint = format!("{stays}. Mend the cause and run again: it goes on from there");
        let error = StepError { hint: Some(error.hint.map_or(hint.clone(), |h| format!("{h}. {hint}"))), ..error };
        note_failure(session, run, &error, i32::try_from(failed).unwrap_or(i32::MAX)).await;
        return Ok(StepEnd::Failed(StepError { undone: false, ..error }));
    };
    let first = all.len() - newest;
    go(session, store, run, script, &all, first, error).await
}

/// Finishes an undo that was cut short; the migration has failed.
pub(super) async fn finish<S: Session>(
    session: &mut S,
    store: &Store,
    run: &StepRun<'_>,
    script: &Script,
    before: &HistoryRow,
) -> Result<StepEnd, RunError> {
    let all = operations::read(run.step.engine, &script.text).unwrap_or_default();
    let first = usize::try_from(before.statements_done).unwrap_or(0);
    let error = StepError {
        message: before.error.clone().unwrap_or_else(|| "an earlier run failed".to_owned()),
        code: None,
        file: script.path.clone(),
        line: script.first_line,
        operation: None,
        undone: true,
        hint: Some("what it had completed is taken back now; mend the cause and run again".to_owned()),
    };
    go(session, store, run, script, &all, first, error).await
}

/// How many operations, from the first, must be taken back; `None` if that cannot be done.
fn newest_to_undo(all: &[Located], failed: usize) -> Option<usize> {
    let computed = |o: &Located| o.operation.inverse() == Inverse::Computed;
    if !all.get(..failed)?.iter().all(computed) {
        return None;
    }
    let last = all.get(failed)?;
    if computed(last) {
        return Some(failed + 1);
    }
    if last.operation.may_leave_a_part() {
        return None;
    }
    // One that is done whole or not at all has left nothing; one in batches may have.
    match last.operation.recovery().nature {
        Nature::Verifiable | Nature::Transactional | Nature::Session => Some(failed),
        Nature::Batched | Nature::Idempotent | Nature::Unprovable => None,
    }
}

async fn go<S: Session>(
    session: &mut S,
    store: &Store,
    run: &StepRun<'_>,
    script: &Script,
    all: &[Located],
    first: usize,
    error: StepError,
) -> Result<StepEnd, RunError> {
    let text = operations::undo_of(&script.text, all);
    let undos: Vec<Statement> = operations::statements(run.step.engine, &text).unwrap_or_default();
    let row = |state: MigrationState, done: usize| HistoryRow {
        action: StepAction::Undo,
        statements_done: i32::try_from(done).unwrap_or(i32::MAX),
        error: Some(error.message.clone()),
        ..run.row(state)
    };
    let running = row(MigrationState::Running, first);
    if let Err(error) = session.write_row(&running).await {
        return Ok(StepEnd::Refused(refusal_of(error)?));
    }
    for (n, undo) in undos.iter().enumerate().skip(first) {
        let single = SingleStatement {
            text: &text,
            range: undo.range.clone(),
            line: undo.line,
            checks: &[],
            nature: undo.nature_on(run.job.transactions()),
            unit: &running.unit,
            id: &running.id,
            done: i32::try_from(n + 1).unwrap_or(i32::MAX),
            backfill: None,
        };
        let failure = match stepwise::one(session, store, run, &single, true).await? {
            End::Done(_) => continue,
            End::Stopped(refusal) => return Ok(StepEnd::Cancelled(refusal, error)),
            End::Refused(refusal) => return Ok(StepEnd::Refused(refusal)),
            End::Failed(failure) | End::NeedsHuman(failure) => failure,
        };
        let message = format!(
            "{}; and then the operation in line {} could not be taken back: {}",
            error.message,
            undo.line,
            run.opened.blot(&failure.message)
        );
        let stuck = HistoryRow {
            error: Some(message.clone()),
            finished_at: Some(Utc::now()),
            ..row(MigrationState::NeedsHuman, n)
        };
        if let Err(error) = session.write_row(&stuck).await {
            refusal_of(error)?;
        }
        return Ok(StepEnd::NeedsHuman(StepError {
            message,
            undone: false,
            hint: Some("look at the database, then settle it with `godwit resolve`".to_owned()),
            ..error
        }));
    }
    let failed = HistoryRow { action: StepAction::Apply, ..row(MigrationState::Failed, 0) };
    match session.write_row(&failed).await {
        Ok(()) => Ok(StepEnd::Failed(StepError { undone: true, ..error })),
        Err(error) => Ok(StepEnd::Refused(refusal_of(error)?)),
    }
}
