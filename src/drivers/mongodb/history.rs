//! Godwit's own documents in a target, as commands: the history, the fence, the ids that a field was added to. Pure.
//!
//! Writes are update pipelines, so that one command reads what stands there and uses the server's clock.

use chrono::{DateTime as Time, Utc};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};

use super::wire::number;
use crate::drivers::{DriverError, FENCE, HISTORY, SessionOptions, SingleStatement};
use crate::ids::{Checksum, CommitSha, Epoch, MigrationId, PrNumber, RunId};
use crate::plan::{HistoryRow, MigrationState, StepAction};

/// Name of the collection that holds the lock.
pub(super) const LOCK: &str = "godwit_lock";
/// Name of the collection that holds which documents an operation touched.
pub(super) const UNDO: &str = "godwit_undo";
/// The one document of the fence and of the lock.
pub(super) const TARGET: &str = "target";

/// Whether a collection is one of Godwit's own.
pub(super) fn is_own(collection: &str) -> bool {
    [HISTORY, FENCE, LOCK, UNDO].contains(&collection)
}

/// The row of a migration.
pub(super) fn row_id(unit: &str, id: &MigrationId) -> Document {
    doc! { "unit": unit, "id": id.as_str() }
}

/// Every row, in an order that does not depend on the disk.
pub(super) fn select(only: Option<Document>) -> Document {
    let mut command = doc! {
        "find": HISTORY,
        "filter": only.map_or_else(Document::new, |id| doc! { "_id": id }),
        "projection": { "undo": 0, "redo": 0 },
        "sort": { "started_at": 1, "_id": 1 },
        "batchSize": 10_000,
    };
    command.insert("readConcern", doc! { "level": "majority" });
    command
}

/// Where operations leave what they found and made: forward for the undo, else for their own resumption only.
pub(super) fn slot(action: StepAction, operation: usize) -> String {
    match action {
        StepAction::Apply | StepAction::Baseline => format!("undo.o{operation}"),
        StepAction::Rollback | StepAction::Undo => format!("redo.o{operation}"),
    }
}

/// A row as one statement of an update command. Times are the server's; a running one was begun `ago` milliseconds before.
pub(super) fn put(row: &HistoryRow, ago: i64) -> Document {
    let same_run = doc! { "$and": [{ "$eq": ["$run", row.run.as_str()] }, { "$eq": ["$state", "running"] }] };
    let ends = row.finished_at.is_some();
    let started: Bson = if ends {
        doc! { "$cond": [same_run, { "$ifNull": ["$started_at", "$$NOW"] }, "$$NOW"] }.into()
    } else {
        doc! { "$subtract": ["$$NOW", ago] }.into()
    };
    let mut set = doc! {
        "version": { "$literal": &row.version },
        "checksum": row.checksum.as_str(),
        "state": row.state.as_str(),
        "action": row.action.as_str(),
        "epoch": row.epoch.0,
        "run": row.run.as_str(),
        "started_at": started.clone(),
        "finished_at": if ends { Bson::from("$$NOW") } else { Bson::Null },
        "duration_ms": if ends { doc! { "$subtract": ["$$NOW", started] }.into() } else { Bson::Int64(0) },
        "by": { "$literal": &row.by },
        "pr": row.pr.map_or(Bson::Null, |pr| Bson::Int64(i64::try_from(pr.0).unwrap_or(i64::MAX))),
        "commit": row.commit.as_ref().map_or(Bson::Null, |c| c.as_str().into()),
        "statements_done": row.statements_done,
        "error": { "$literal": row.error.as_deref().map_or(Bson::Null, Bson::from) },
    };
    for (field, keep) in kept(row) {
        set.insert(field, doc! { "$cond": [keep, format!("${field}"), "$$REMOVE"] });
    }
    doc! { "q": { "_id": row_id(&row.unit, &row.id) }, "u": [{ "$set": set }], "upsert": true }
}

/// Under which condition on the row before a write keeps what operations left; fields that are not named are kept.
fn kept(row: &HistoryRow) -> Vec<(&'static str, Document)> {
    let never = || doc! { "$literal": false };
    let was = |action: StepAction| doc! { "$eq": ["$action", action.as_str()] };
    let goes_on = || {
        let states = [MigrationState::Running, MigrationState::Failed, MigrationState::NeedsHuman].map(|s| s.as_str());
        doc! { "$in": [{ "$ifNull": ["$state", ""] }, states.to_vec()] }
    };
    match (row.state, row.action) {
        // A fresh run of the whole migration; one that goes on has the same action and an unfinished state.
        (MigrationState::Running, StepAction::Apply) if row.statements_done == 0 => {
            let same = || doc! { "$and": [was(StepAction::Apply), goes_on()] };
            vec![("undo", same()), ("progress", same()), ("redo", never())]
        }
        // An undo or a rollback that begins leaves the forward run's checkpoint behind.
        (MigrationState::Running, StepAction::Undo | StepAction::Rollback) => {
            vec![("progress", was(row.action)), ("redo", was(row.action))]
        }
        // Everything was taken back.
        (MigrationState::Failed, StepAction::Apply) => {
            let not_undone = || doc! { "$ne": ["$action", StepAction::Undo.as_str()] };
            vec![("undo", not_undone()), ("progress", not_undone()), ("redo", not_undone())]
        }
        (MigrationState::RolledBack, _) | (_, StepAction::Baseline) => {
            vec![("undo", never()), ("progress", never()), ("redo", never())]
        }
        (MigrationState::Applied, _) => vec![("progress", never()), ("redo", never())],
        _ => Vec::new(),
    }
}

/// A change of a row's fields as one statement of an update command.
pub(super) fn set(unit: &str, id: &MigrationId, fields: Document) -> Document {
    doc! { "q": { "_id": row_id(unit, id) }, "u": [{ "$set": fields }] }
}

/// The mark that a statement is done, and with it whatever else it leaves.
pub(super) fn done(statement: &SingleStatement<'_>, with: Document) -> Document {
    done_with(statement, statement.done, with)
}

/// The mark that so many statements of a row are done, and with it whatever else they leave.
pub(super) fn done_with(statement: &SingleStatement<'_>, done: i32, mut with: Document) -> Document {
    with.insert("statements_done", done);
    with.insert("progress", "$$REMOVE");
    set(statement.unit, statement.id, with)
}

/// What an operation found, unless an earlier attempt at the same operation left it already.
pub(super) fn once(slot: &str, record: &Document) -> Document {
    let text = record.get("text").cloned().unwrap_or(Bson::Null);
    doc! { slot: { "$cond": [{ "$eq": [format!("${slot}.text"), text] }, format!("${slot}"), { "$literal": record }] } }
}

/// The record of an index that came to nothing, because something else has its place.
pub(super) fn not_made(slot: &str, digest: &str) -> Document {
    doc! { slot: { "$literal": { "made": false, "text": digest } } }
}

/// Takes away which documents a migration's operations touched, once that serves nothing any more.
pub(super) fn forget(unit: &str, id: &MigrationId) -> Document {
    let of = row_id(unit, id);
    let all = doc! { "$gte": { "of": of.clone() }, "$lte": { "of": of, "slot": Bson::MaxKey } };
    doc! { "delete": UNDO, "deletes": [{ "q": { "_id": all }, "limit": 0 }] }
}

/// Statements on the history as one command. A row that a newer run has written is not found by them: without transactions
/// the fence is asserted a moment before.
pub(super) fn update_history(mut statements: Vec<Document>, epoch: Epoch) -> Document {
    for statement in &mut statements {
        if let Ok(query) = statement.get_document_mut("q") {
            query.insert("epoch", doc! { "$not": { "$gt": epoch.0 } });
        }
    }
    doc! { "update": HISTORY, "updates": statements }
}

/// The fence is written, not only read: a read does not stop a stale transaction from committing. An update that changes
/// nothing would be none, hence the counter.
pub(super) fn assert_fence(epoch: Epoch) -> Document {
    doc! { "update": FENCE, "updates": [{
        "q": { "_id": TARGET, "epoch": { "$lte": epoch.0 } },
        "u": { "$inc": { "changes": 1_i64 } },
    }] }
}

/// Finds the fence unless a newer run has raised it.
pub(super) fn read_fence(epoch: Epoch) -> Document {
    doc! { "find": FENCE, "filter": { "_id": TARGET, "epoch": { "$lte": epoch.0 } }, "limit": 1, "singleBatch": true }
}

/// Raises the fence and says by whom: `client` is what the run's connections are called.
pub(super) fn take_fence(at_least: Epoch, options: &SessionOptions, session: Bson, client: &str) -> Document {
    doc! {
        "findAndModify": FENCE,
        "query": { "_id": TARGET },
        "update": [{ "$set": {
            "epoch": { "$add": [{ "$max": [{ "$ifNull": ["$epoch", 0_i64] }, at_least.0] }, 1_i64] },
            "taken_by": { "$literal": &options.by },
            "taken_at": "$$NOW",
            "run": options.run.as_str(),
            "session": { "$literal": session },
            "client": client,
        } }],
        "upsert": true,
        "new": true,
    }
}

/// Finds the fence.
pub(super) fn find_fence() -> Document {
    doc! { "find": FENCE, "filter": { "_id": TARGET }, "limit": 1, "singleBatch": true }
}

/// An identity for a target that has none.
pub(super) fn name_target(id: &str) -> Document {
    doc! {
        "findAndModify": FENCE,
        "query": { "_id": TARGET },
        "update": [{ "$set": {
            "epoch": { "$ifNull": ["$epoch", 0_i64] },
            "target_id": { "$ifNull": ["$target_id", id] },
        } }],
        "upsert": true,
        "new": true,
    }
}

/// A new random identity.
pub(super) fn new_target_id() -> String {
    bson::Uuid::new().to_string()
}

/// A session's id as `killSessions` takes it.
pub(super) fn session_id(uuid: Bson) -> Option<Document> {
    match uuid {
        Bson::Binary(Binary { subtype: BinarySubtype::Uuid, .. }) => Some(doc! { "id": uuid }),
        _ => None,
    }
}

/// A document of the history as a row.
///
/// # Errors
/// What this version does not understand.
pub(super) fn row_of(document: &Document) -> Result<HistoryRow, DriverError> {
    let bad = |what: &str, value: &str| {
        DriverError::History(format!(
            "the collection `{HISTORY}` holds `{value}` as {what}, which this version does not understand"
        ))
    };
    let own = document.get_document("_id").map_err(|_| bad("an id", "something else"))?;
    let text = |d: &Document, name: &str| d.get_str(name).map(str::to_owned).map_err(|_| bad(name, "nothing"));
    let time = |name: &str| match document.get(name) {
        Some(Bson::DateTime(t)) => Time::<Utc>::from_timestamp_millis(t.timestamp_millis()),
        _ => None,
    };
    let (id, checksum, state) = (text(own, "id")?, text(document, "checksum")?, text(document, "state")?);
    let (action, run) = (text(document, "action")?, text(document, "run")?);
    Ok(HistoryRow {
        unit: text(own, "unit")?,
        id: MigrationId::new(id.as_str()).map_err(|_| bad("a migration id", &id))?,
        version: text(document, "version")?,
        checksum: Checksum::new(checksum.as_str()).map_err(|_| bad("a checksum", &checksum))?,
        state: MigrationState::parse(&state).ok_or_else(|| bad("a state", &state))?,
        action: StepAction::parse(&action).ok_or_else(|| bad("an action", &action))?,
        epoch: Epoch(number(document.get("epoch")).ok_or_else(|| bad("an epoch", "nothing"))?),
        run: RunId::new(run.as_str()).map_err(|_| bad("a run", &run))?,
        started_at: time("started_at").ok_or_else(|| bad("a time", "nothing"))?,
        finished_at: time("finished_at"),
        duration_ms: number(document.get("duration_ms")).unwrap_or(0),
        by: text(document, "by")?,
        pr: number(document.get("pr")).and_then(|n| u64::try_from(n).ok()).map(PrNumber),
        commit: document.get_str("commit").ok().and_then(|t| CommitSha::new(t).ok()),
        statements_done: number(document.get("statements_done")).and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
        error: document.get_str("error").ok().map(str::to_owned),
    })
}
