//! A migration that stopped in the middle of its statements, and was edited since: whether it goes on by itself, what a
//! person may say of it, and what is not to be tried again at all. Pure.

use sha2::{Digest as _, Sha256};

use super::refusal;
use crate::ids::Engine;
use crate::migration::execution::{Execution, Statement};
use crate::migration::naming::quoted;
use crate::migration::{Migration, operations};
use crate::plan::{HistoryRow, MigrationState, Refusal, StepAction};

/// What the first `done` statements of a migration's forward script read in its file, as a hash; `None` where it has fewer.
pub fn beginning_of(migration: &Migration, done: usize) -> Option<String> {
    Some(beginning(&migration.up.text, statements(migration)?.get(..done)?))
}

/// What the first statements of a script read, as a hash.
fn beginning(text: &str, statements: &[Statement]) -> String {
    let mut hash = Sha256::new();
    for statement in statements {
        hash.update(text[statement.range.clone()].as_bytes());
        hash.update(b"\0");
    }
    format!("sha256:{}", hex::encode(hash.finalize()))
}

/// Whether a migration failed behind statements that are done, and its file is another since: then it goes on if what is
/// done reads as it did. One that was cut short is in doubt about a statement that may read otherwise now.
pub fn may_go_on(migration: &Migration, row: &HistoryRow) -> bool {
    row.state == MigrationState::Failed
        && row.action == StepAction::Apply
        && row.statements_done > 0
        && row.checksum != migration.checksum
        && !operations::are_operations(migration.engine)
}

/// Whether the statements of `row` that are done read in the file as they did when they were run: `recorded` is their
/// [`beginning`].
pub(super) fn goes_on(migration: &Migration, row: &HistoryRow, recorded: Option<&String>) -> bool {
    let done = usize::try_from(row.statements_done).unwrap_or(usize::MAX);
    may_go_on(migration, row)
        && recorded.is_some_and(|recorded| beginning_of(migration, done).as_ref() == Some(recorded))
}

/// The statements of a script that runs one by one.
fn statements(migration: &Migration) -> Option<Vec<Statement>> {
    match migration.up.execution(migration.engine, migration.directives.no_transaction) {
        Ok(Execution::Statements(statements)) => Some(statements),
        Ok(Execution::Transaction { .. }) | Err(_) => None,
    }
}

/// The refusal of a migration that was edited half-way, with every way out of it; `called` so in commands.
pub(super) fn half_way(called: &str, migration: &Migration, row: &HistoryRow) -> Refusal {
    let done = row.statements_done;
    let resolve = |how: &str| format!("`godwit resolve {called} --as {how} --reason …`");
    let mut ways = vec!["put the file back and run `godwit resume`".to_owned()];
    let goes_on = |statements: &[Statement]| {
        usize::try_from(done).ok().filter(|_| done > 0).and_then(|done| statements.get(done)).map(|next| {
            let line = migration.up.first_line + next.line - 1;
            format!(
                "if the first {done} did what the file says now, {}, and `godwit apply` goes on in line {line}",
                resolve("retry")
            )
        })
    };
    if takes_file(migration.engine, row) {
        ways.extend(statements(migration).and_then(|statements| goes_on(&statements)));
    }
    ways.push(format!(
        "if you took back what was done, {}, and `godwit apply` runs it from its first statement",
        resolve("rolled-back")
    ));
    ways.push(format!("if you did the rest by hand, {}", resolve("applied")));
    refusal(
        "dirty",
        format!("`{}` was edited after {done} of its statements had been run", migration.up.path),
        ways.join("; or, "),
        true,
    )
}

/// Whether what a person says of a stopped migration is about the file as it is now: of SQL its statements alone count,
/// while operations take back what their own list did.
pub fn takes_file(engine: Engine, row: &HistoryRow) -> bool {
    row.action == StepAction::Apply
        && matches!(row.state, MigrationState::Running | MigrationState::Failed | MigrationState::NeedsHuman)
        && !operations::are_operations(engine)
}

/// Why a migration that a person wants to be tried again is not. `applied`: it is, by the history or by the table of the
/// folder's own tool.
pub fn refused_retry(
    reference: &str,
    migration: Option<&Migration>,
    row: Option<&HistoryRow>,
    applied: bool,
) -> Option<Refusal> {
    let called = quoted(reference);
    if applied {
        return Some(refusal(
            "already-applied",
            format!("`{reference}` is applied: tried again, it would run a second time"),
            format!(
                "leave it as it is; or undo it with `godwit rollback {called}` and apply it again; or, if you found that \
                 nothing of it is there, say so: `godwit resolve {called} --as rolled-back --reason …`"
            ),
            false,
        ));
    }
    let (migration, row) = (migration?, row?);
    if row.statements_done == 0 || row.checksum == migration.checksum || !takes_file(migration.engine, row) {
        return None;
    }
    let done = usize::try_from(row.statements_done).unwrap_or(usize::MAX);
    let now = statements(migration).map_or(0, |statements| statements.len());
    (now < done).then(|| {
        refusal(
            "dirty",
            format!(
                "{done} statements of `{reference}` are done, and its file has no such list of statements any more: there \
                 is none to go on with"
            ),
            format!(
                "put the file back; or settle it with `godwit resolve {called} --as rolled-back --reason …` once you took \
                 back what was done, or with `--as applied` once all of it is there"
            ),
            true,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PLAIN, row, set, with};
    use super::super::{Request, plan_apply};
    use super::*;
    use std::collections::BTreeMap;

    const FIRST: &str = "-- godwit: no-transaction\ncreate table a (n int);\ncreate table b (n int);\nselec 1;";

    /// What comes of a migration that failed behind `done` statements of [`FIRST`] and reads `now`.
    fn after(done: i32, state: MigrationState, now: &str) -> Result<usize, Refusal> {
        let (before, now) = (set(&[("0001_m.up.sql", FIRST)]), set(&[("0001_m.up.sql", now)]));
        let old = &before.migrations[0];
        let failed = HistoryRow { statements_done: done, ..row(old, state, 1) };
        let first = statements(old).expect("one by one");
        let recorded = beginning(&old.up.text, &first[..usize::try_from(done).unwrap()]);
        let finished = BTreeMap::from([(old.reference(), recorded)]);
        with(&now, &[failed], &PLAIN, |r| plan_apply(&Request { finished: &finished, ..*r }))
            .map(|planned| planned.plan.steps.len())
            .map_err(|mut refusals| refusals.remove(0))
    }

    #[test]
    fn what_failed_goes_on_where_the_statements_before_it_read_as_they_did() {
        let mended = FIRST.replace("selec 1", "select 1");
        assert_eq!(after(2, MigrationState::Failed, &mended), Ok(1));
        // A comment is no statement, and what comes behind is to be mended.
        assert_eq!(after(2, MigrationState::Failed, &format!("-- mended\n{mended}\nselect 2;")), Ok(1));
        for changed in [
            mended.replace("table a (n int)", "table a (n bigint)"),
            mended.replace("create table b (n int);\n", ""),
            mended.replace("-- godwit: no-transaction\n", ""),
        ] {
            let refused = after(2, MigrationState::Failed, &changed).unwrap_err();
            assert_eq!((refused.reason.as_str(), refused.needs_human), ("dirty", true), "{changed}");
        }
        // Cut short: the statement that may have been sent is not the one that stands there now.
        assert_eq!(after(2, MigrationState::Running, &mended).unwrap_err().reason, "dirty");
    }

    #[test]
    fn the_refusal_names_every_way_out() {
        let changed = FIRST.replace("table a (n int)", "table a (n bigint)");
        let refused = after(2, MigrationState::Failed, &changed).unwrap_err();
        for part in ["godwit resume", "--as retry", "line 4", "--as rolled-back", "--as applied"] {
            assert!(refused.what_to_do.contains(part), "{part}: {}", refused.what_to_do);
        }
        let shorter = after(2, MigrationState::Failed, "create table a (n int);").unwrap_err();
        assert!(!shorter.what_to_do.contains("--as retry"), "{}", shorter.what_to_do);
    }

    #[test]
    fn r18_what_is_applied_is_not_tried_again() {
        let set = set(&[("0001_m.up.sql", FIRST)]);
        let m = &set.migrations[0];
        let found = |state, applied| refused_retry("0001_m", Some(m), Some(&row(m, state, 1)), applied);
        assert_eq!(found(MigrationState::Applied, true).map(|r| r.reason).as_deref(), Some("already-applied"));
        for state in [MigrationState::Running, MigrationState::Failed, MigrationState::NeedsHuman] {
            assert_eq!(found(state, false), None);
        }
        assert_eq!(refused_retry("0001_m", Some(m), None, false), None);
    }
}
