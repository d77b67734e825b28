//! A script that no transaction can hold: statement by statement, each with its own intent, probed where it is in doubt.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::locked::{StepEnd, StepRun, note_failure, should_stop};
use super::target::refusal_of;
use super::{RunError, undo};
use crate::drivers::{DriverError, Probe, Session, SingleStatement, StatementFailure, jittered};
use crate::ids::Engine;
use crate::migration::execution::{Nature, Statement};
use crate::migration::{Script, operations, verify};
use crate::plan::planner::edited;
use crate::plan::{HistoryRow, MigrationState, Refusal, StepAction, StepError};
use crate::store::Store;
use crate::store::runs::StepEvent;

/// How often one statement is begun again after a lost connection.
const LOSSES: u32 = 3;

/// How one statement ended.
pub(super) enum End {
    /// With the rows, documents or keys changed, where the server tells.
    Done(Option<u64>),
    Failed(StatementFailure),
    NeedsHuman(StatementFailure),
    Refused(Refusal),
    /// Stopped between two batches.
    Stopped(Refusal),
}

/// What to do about a statement, by what a look at the target said.
#[derive(Debug, PartialEq, Eq)]
enum Move {
    Run,
    /// Its effect is there: only the mark is missing.
    Mark,
    RepairThenRun(Vec<String>),
    RepairThenMark(Vec<String>),
    Wait(String),
    AskAPerson(String),
}

pub(super) async fn run<S: Session>(
    session: &mut S,
    store: &Store,
    run: &StepRun<'_>,
    script: &Script,
    statements: &[Statement],
) -> Result<StepEnd, RunError> {
    let end = go(session, store, run, script, statements).await;
    tell(store, run).await?;
    end
}

async fn go<S: Session>(
    session: &mut S,
    store: &Store,
    run: &StepRun<'_>,
    script: &Script,
    statements: &[Statement],
) -> Result<StepEnd, RunError> {
    let unfinished = |b: &&HistoryRow| matches!(b.state, MigrationState::Running | MigrationState::Failed);
    if let Some(before) = run.before.filter(|b| unfinished(b) && b.action == StepAction::Undo)
        && run.step.action == StepAction::Apply
    {
        let end = undo::finish(session, store, run, script, before).await?;
        // A person looked and said that it is to be tried again: once all is taken back, it is.
        let tried_again = before.state == MigrationState::Failed;
        match end {
            StepEnd::Failed(error) if error.undone && tried_again => {}
            end => return Ok(end),
        }
    }
    // Only what the same script began counts as begun.
    let begun = run.before.filter(|b| b.action == run.step.action && unfinished(b));
    let first = begun.map_or(0, |b| usize::try_from(b.statements_done).unwrap_or(0));
    let interrupted = begun.is_some_and(|b| b.state == MigrationState::Running);
    let mut row = run.row(MigrationState::Running);
    row.statements_done = i32::try_from(first).unwrap_or(0);
    if let Err(error) = session.write_row(&row).await {
        return Ok(StepEnd::Refused(refusal_of(error)?));
    }
    let began = row.started_at;
    let ended = || HistoryRow {
        started_at: began,
        statements_done: i32::try_from(statements.len()).unwrap_or(i32::MAX),
        ..run.row(match run.step.action {
            StepAction::Apply | StepAction::Baseline => MigrationState::Applied,
            StepAction::Rollback => MigrationState::RolledBack,
            StepAction::Undo => MigrationState::Failed,
        })
    };
    session.ends_with(&ended());
    let mut rows: Option<u64> = None;
    let backfill = run.migration.and_then(|m| m.backfill_of(script));
    let checks = verify::checks(run.step.engine, &script.text);
    for (n, statement) in statements.iter().enumerate() {
        let stands_alone = statement.nature == Nature::Session;
        if n < first && !stands_alone {
            continue;
        }
        let done = i32::try_from(n.max(first.saturating_sub(1)) + 1).unwrap_or(i32::MAX);
        if session.came_along(done) {
            continue;
        }
        if n >= first
            && let Some(refusal) = should_stop(run.job)
        {
            let failure = StatementFailure {
                message: refusal.message.clone(),
                code: None,
                line: Some(statement.line),
                hint: None,
            };
            return Ok(StepEnd::Cancelled(refusal, run.error(script, failure, n == 0)));
        }
        let single = SingleStatement {
            text: &script.text,
            range: statement.range.clone(),
            line: statement.line,
            checks: &checks,
            nature: statement.nature_on(run.job.transactions()),
            unit: &row.unit,
            id: &row.id,
            done,
            backfill: backfill.as_ref(),
        };
        match one(session, store, run, &single, interrupted && n == first).await? {
            End::Done(changed) => {
                rows = rows.or(changed).map(|sum| if rows.is_some() { sum + changed.unwrap_or(0) } else { sum })
            }
            End::Stopped(refusal) => {
                let failure = StatementFailure {
                    message: refusal.message.clone(),
                    code: None,
                    line: Some(statement.line),
                    hint: None,
                };
                return Ok(StepEnd::Cancelled(refusal, run.error(script, failure, false)));
            }
            End::Failed(failure) => {
                let failure = located(failure, run, script, statement);
                // A setting that is said again comes before statements that are done.
                let n = n.max(first);
                // Batches before the one that failed are there to stay.
                let undone = n == 0 && statement.nature != Nature::Batched;
                let error = numbered(run.error(script, failure, undone), run, script, statements, n);
                if run.step.action == StepAction::Apply && operations::are_operations(run.step.engine) {
                    return undo::after_failure(session, store, run, script, n, error).await;
                }
                if n > 0
                    && run.step.action == StepAction::Apply
                    && let Some(read) = run.migration.and_then(|m| edited::beginning_of(m, n))
                {
                    // Who mends the statement that failed edits the file: the next run must know what is done of it.
                    note(run, StepEvent::FINISHED, &format!("{n} {read}"));
                }
                note_failure(session, run, &error, i32::try_from(n).unwrap_or(i32::MAX)).await;
                return Ok(StepEnd::Failed(error));
            }
            End::NeedsHuman(failure) => {
                let failure = located(failure, run, script, statement);
                let error = numbered(run.error(script, failure, false), run, script, statements, n.max(first));
                let mut row = run.row(MigrationState::NeedsHuman);
                row.statements_done = i32::try_from(n.max(first)).unwrap_or(i32::MAX);
                row.error = Some(error.message.clone());
                if let Err(error) = session.write_row(&row).await {
                    refusal_of(error)?;
                }
                return Ok(StepEnd::NeedsHuman(error));
            }
            End::Refused(refusal) => return Ok(StepEnd::Refused(refusal)),
        }
    }
    let row = ended();
    match session.write_row(&row).await {
        Ok(()) => Ok(StepEnd::Done(rows)),
        // Done, but the record of it is refused: what was done is taken back, so that the two agree [S4-65].
        Err(DriverError::Statement(failure))
            if run.step.action == StepAction::Apply && operations::are_operations(run.step.engine) =>
        {
            let last = statements.len().saturating_sub(1);
            let error = run.error(script, failure, false);
            undo::after_failure(session, store, run, script, last, error).await
        }
        Err(error) => Ok(StepEnd::Refused(refusal_of(error)?)),
    }
}

/// A failure with its line in the file. A script that stands within an operation has lines of its own: its operation's
/// is the file's, and its own is in the words.
fn located(failure: StatementFailure, run: &StepRun<'_>, script: &Script, statement: &Statement) -> StatementFailure {
    let inline = run.step.engine == Engine::Redis && !script.path.ends_with(".lua");
    match failure.line {
        Some(line) if inline => StatementFailure {
            message: if failure.message.contains("user_script:") {
                failure.message
            } else {
                format!("user_script:{line}: {}", failure.message)
            },
            line: Some(statement.line),
            ..failure
        },
        line => StatementFailure { line: line.or(Some(statement.line)), ..failure },
    }
}

/// A failure with the number of its operation (`n`, from 0), and in its words where there are several.
fn numbered(error: StepError, run: &StepRun<'_>, script: &Script, statements: &[Statement], n: usize) -> StepError {
    let Some(statement) = statements.get(n).filter(|_| operations::are_operations(run.step.engine)) else {
        return error;
    };
    let operation = Some(n + 1);
    let of = statements.len();
    match operations::Operation::parse(run.step.engine, &script.text[statement.range.clone()]) {
        Ok(parsed) if of > 1 => StepError {
            message: format!("operation {} of {of} (`{}`): {}", n + 1, parsed.name(), error.message),
            operation,
            ..error
        },
        Ok(_) | Err(_) => StepError { operation, ..error },
    }
}

/// One statement, with its intent, its probes and its mark. `interrupted`: an earlier attempt may have sent it.
pub(super) async fn one<S: Session>(
    session: &mut S,
    store: &Store,
    run: &StepRun<'_>,
    single: &SingleStatement<'_>,
    interrupted: bool,
) -> Result<End, RunError> {
    let mut in_doubt = interrupted;
    let mut lost = 0;
    loop {
        // A statement that commits with its mark is never in doubt: the mark tells.
        let looks = !matches!(single.nature, Nature::Transactional | Nature::Session | Nature::Batched);
        if looks {
            match prepare(session, store, run, single, in_doubt).await? {
                Some(end) => return Ok(end),
                None => {
                    note(run, "intent", &format!("statement {}: {}", single.done, first_line(&shown(run, single))));
                    tell(store, run).await?;
                }
            }
        }
        let rows = match session.run_statement(single).await {
            Ok(rows) => rows,
            Err(error @ DriverError::Stopped(_)) => return Ok(End::Stopped(refusal_of(error)?)),
            Err(DriverError::Lost(_)) if lost < LOSSES => {
                lost += 1;
                in_doubt = true;
                continue;
            }
            Err(DriverError::Statement(failure)) => {
                if looks {
                    note(run, "failed", &failure.message);
                    clean_up(session, run, single).await;
                }
                return Ok(End::Failed(failure));
            }
            Err(error) => return Ok(End::Refused(refusal_of(error)?)),
        };
        if single.nature != Nature::Verifiable {
            return Ok(End::Done(rows));
        }
        // The server's word is not enough: `IF NOT EXISTS` says yes to an index that is INVALID or another one.
        let after = match look(session, run, single).await? {
            Ok(after) => after,
            Err(refusal) => return Ok(End::Refused(refusal)),
        };
        note(run, "done", &after.describe());
        return Ok(match after {
            Probe::Done | Probe::InProgress(_) => End::Done(rows),
            Probe::NotStarted => End::Failed(plain("the server said yes, but the effect is not there".to_owned())),
            Probe::Broken { found, .. } => {
                clean_up(session, run, single).await;
                End::Failed(plain(found))
            }
            Probe::Different(what) | Probe::Unknown(what) => End::NeedsHuman(ask(what)),
        });
    }
}

/// Looks, and does what has to be done before the statement can run. `Some`: it does not have to, or must not, run.
async fn prepare<S: Session>(
    session: &mut S,
    store: &Store,
    run: &StepRun<'_>,
    single: &SingleStatement<'_>,
    in_doubt: bool,
) -> Result<Option<End>, RunError> {
    let began = Instant::now();
    let patience = run.job.options.lock_wait.unwrap_or(Duration::from_secs(60));
    loop {
        let before = match look(session, run, single).await? {
            Ok(before) => before,
            Err(refusal) => return Ok(Some(End::Refused(refusal))),
        };
        let repairs = match next_move(&before, single.nature, in_doubt) {
            Move::Run => return Ok(None),
            Move::Mark => (Vec::new(), true),
            Move::RepairThenRun(repairs) => (repairs, false),
            Move::RepairThenMark(repairs) => (repairs, true),
            Move::Wait(_) if began.elapsed() < patience => {
                tokio::time::sleep(jittered(Duration::from_millis(200))).await;
                continue;
            }
            Move::Wait(what) => {
                return Ok(Some(End::Refused(Refusal {
                    reason: "locked".to_owned(),
                    message: what,
                    what_to_do: "wait until it ends, or end that process, and run again".to_owned(),
                    needs_human: false,
                })));
            }
            Move::AskAPerson(what) => return Ok(Some(End::NeedsHuman(ask(what)))),
        };
        let (statements, marks) = repairs;
        for repair in &statements {
            note(run, "repair", repair);
            tell(store, run).await?;
            match session.repair(repair).await {
                Ok(()) | Err(DriverError::Lost(_)) => {}
                Err(DriverError::Statement(failure)) => return Ok(Some(End::Failed(failure))),
                Err(error) => return Ok(Some(End::Refused(refusal_of(error)?))),
            }
        }
        if !marks {
            // What the repair left is looked at again, unless that would never end.
            return Ok(None);
        }
        return match session.mark(single).await {
            Ok(()) => Ok(Some(End::Done(None))),
            Err(DriverError::Lost(_)) => continue,
            Err(DriverError::Statement(failure)) => Ok(Some(End::Failed(failure))),
            Err(error) => Ok(Some(End::Refused(refusal_of(error)?))),
        };
    }
}

/// The decision. `in_doubt`: an earlier attempt may have sent the statement.
fn next_move(before: &Probe, nature: Nature, in_doubt: bool) -> Move {
    match before {
        Probe::NotStarted => Move::Run,
        Probe::InProgress(what) => Move::Wait(what.clone()),
        Probe::Done if in_doubt && nature == Nature::Verifiable => Move::Mark,
        // There before us: the server judges whether the statement may run.
        Probe::Done => Move::Run,
        Probe::Broken { repair, completes: true, .. } => Move::RepairThenMark(repair.clone()),
        Probe::Broken { repair, completes: false, .. } => Move::RepairThenRun(repair.clone()),
        Probe::Different(what) => Move::AskAPerson(what.clone()),
        Probe::Unknown(why) => match nature {
            Nature::Idempotent | Nature::Session | Nature::Transactional | Nature::Batched => Move::Run,
            Nature::Verifiable | Nature::Unprovable if in_doubt => Move::AskAPerson(why.clone()),
            Nature::Verifiable | Nature::Unprovable => Move::Run,
        },
    }
}

async fn look<S: Session>(
    session: &mut S,
    run: &StepRun<'_>,
    single: &SingleStatement<'_>,
) -> Result<Result<Probe, Refusal>, RunError> {
    match session.probe(single).await {
        Ok(probe) => {
            note(run, "probe", &probe.describe());
            Ok(Ok(probe))
        }
        Err(DriverError::Statement(failure)) => Ok(Ok(Probe::Unknown(failure.message))),
        Err(error) => Ok(Err(refusal_of(error)?)),
    }
}

/// Takes back what a failed statement left behind, such as an INVALID index.
async fn clean_up<S: Session>(session: &mut S, run: &StepRun<'_>, single: &SingleStatement<'_>) {
    if let Ok(Probe::Broken { repair, completes: false, .. }) = session.probe(single).await {
        for statement in repair {
            note(run, "repair", &statement);
            // What stays behind is found and repaired by the next run.
            let _ = session.repair(&statement).await;
        }
    }
}

/// A statement as it is told: where it has values that were sealed, the line of the file that it begins in.
fn shown<'s>(run: &'s StepRun<'_>, single: &'s SingleStatement<'_>) -> Cow<'s, str> {
    let sql = &single.text[single.range.clone()];
    if run.opened.is_empty() {
        return Cow::Borrowed(sql);
    }
    let at = usize::try_from(single.line).unwrap_or(1).saturating_sub(1);
    let line = run.written().and_then(|script| script.text.lines().nth(at)).map(str::trim);
    // What is made of the file, such as a way back, has other lines.
    Cow::Owned(run.opened.blot(line.unwrap_or_default()))
}

/// Keeps what happened for the store, until something must be durable before it is done.
fn note(run: &StepRun<'_>, event: &'static str, detail: &str) {
    let detail = run.opened.blot(detail);
    super::spans::looked(event, &detail);
    run.notes.push(StepEvent { event, detail: crate::redact::text(&detail), at: Utc::now() });
}

/// Makes what was noted durable, in one transaction.
async fn tell(store: &Store, run: &StepRun<'_>) -> Result<(), RunError> {
    let noted = run.notes.take();
    if noted.is_empty() {
        return Ok(());
    }
    let position = i64::try_from(run.position).unwrap_or(i64::MAX);
    store.append_step_events(run.job.run, &run.job.target.name, position, &noted).await?;
    Ok(())
}

fn first_line(sql: &str) -> &str {
    sql.lines().next().unwrap_or_default()
}

fn plain(message: String) -> StatementFailure {
    StatementFailure { message, code: None, line: None, hint: None }
}

fn ask(what: String) -> StatementFailure {
    StatementFailure {
        hint: Some("look at the database, then settle it with `godwit resolve`".to_owned()),
        ..plain(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r7_existence_alone_proves_nothing() {
        let broken = Probe::Broken { found: "INVALID".into(), repair: vec!["drop".into()], completes: false };
        for in_doubt in [false, true] {
            assert_eq!(next_move(&broken, Nature::Verifiable, in_doubt), Move::RepairThenRun(vec!["drop".into()]));
            assert!(matches!(
                next_move(&Probe::Different("x".into()), Nature::Verifiable, in_doubt),
                Move::AskAPerson(_)
            ));
            assert_eq!(next_move(&Probe::NotStarted, Nature::Verifiable, in_doubt), Move::Run);
        }
        assert_eq!(next_move(&Probe::Done, Nature::Verifiable, true), Move::Mark);
        assert_eq!(next_move(&Probe::Done, Nature::Verifiable, false), Move::Run);
    }

    #[test]
    fn r18_what_cannot_be_proved_is_never_tried_again() {
        let unknown = Probe::Unknown("?".into());
        assert!(matches!(next_move(&unknown, Nature::Unprovable, true), Move::AskAPerson(_)));
        assert_eq!(next_move(&unknown, Nature::Unprovable, false), Move::Run);
        assert_eq!(next_move(&unknown, Nature::Idempotent, true), Move::Run);
        assert!(matches!(next_move(&unknown, Nature::Verifiable, true), Move::AskAPerson(_)));
    }
}
