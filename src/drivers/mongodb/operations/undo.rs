//! Operations taken back, from what their run recorded.

use mongodb::bson::{Bson, Document, doc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::batch::{self, Checkpoint, and};
use super::collections::{collmod, rename_command};
use super::indexes::{create_command, drop_command};
use super::{Outside, Running, digest, documents, in_slot, left, outside, wanted};
use crate::drivers::mongodb::history::{self, UNDO};
use crate::drivers::mongodb::lock::majority;
use crate::drivers::mongodb::session::{MongodbSession, Unit};
use crate::drivers::mongodb::values;
use crate::drivers::mongodb::wire::{self, refusal};
use crate::drivers::pace::Progress;
use crate::drivers::{DriverError, SingleStatement};
use crate::migration::operations::mongodb::Operation;
use crate::plan::StepAction;

/// What takes an operation back.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::drivers::mongodb) enum Back {
    /// It left nothing behind.
    Nothing,
    /// The collection goes, if it is empty or a person accepts the loss.
    DropCollection { collection: String },
    /// The index goes.
    DropIndex { collection: String, name: String },
    /// The index comes back as it was.
    CreateIndex { collection: String, definition: Document },
    /// The field goes from the documents whose ids were kept.
    Unset { collection: String, field: String, value: Bson, slot: String },
    /// The field gets its old name back.
    RenameField { collection: String, from: String, to: String, filter: Document, size: Option<u32> },
    /// The collection gets its old name back.
    RenameCollection { from: String, to: String, uuid: Bson },
    /// The validator is as before.
    Validator { collection: String, before: Document },
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow)]
    of: &'a RawValue,
}

/// What takes `of`, operation `number` of the forward script, back, by what its row holds. `text` is the undo's own.
pub(in crate::drivers::mongodb) fn back_of(
    row: &Document,
    number: u32,
    of: &Operation,
    text: &str,
) -> Result<Back, DriverError> {
    let slot = history::slot(StepAction::Apply, usize::try_from(number).unwrap_or(usize::MAX));
    let written = serde_json::from_str::<Text<'_>>(text).map(|t| digest(t.of.get())).unwrap_or_default();
    let Some(found) = in_slot(row, &slot).filter(|f| values::text(f, "text") == written) else {
        return Ok(Back::Nothing);
    };
    let made = found.get_bool("made").unwrap_or(false);
    Ok(match of {
        Operation::CreateCollection { collection, .. } if made => {
            Back::DropCollection { collection: collection.clone() }
        }
        Operation::CreateIndex { collection, index, options } if made => {
            let index = super::indexes::wanted_index(index, options)?;
            Back::DropIndex {
                collection: collection.clone(),
                name: index.get_str("name").unwrap_or_default().to_owned(),
            }
        }
        Operation::DropIndex { collection, .. } => match found.get_document("definition") {
            Ok(definition) => Back::CreateIndex { collection: collection.clone(), definition: definition.clone() },
            Err(_) => Back::Nothing,
        },
        Operation::AddField { collection, field, value, .. } => Back::Unset {
            collection: collection.clone(),
            field: field.clone(),
            value: wanted(values::value(value))?,
            slot: batch::kept_under(&slot, &written),
        },
        Operation::RenameField { collection, from, to, filter, batch_size } => Back::RenameField {
            collection: collection.clone(),
            from: to.clone(),
            to: from.clone(),
            filter: filter.as_ref().map(|f| wanted(values::document(f))).transpose()?.unwrap_or_default(),
            size: *batch_size,
        },
        Operation::RenameCollection { from, to } => Back::RenameCollection {
            from: to.clone(),
            to: from.clone(),
            uuid: found.get("uuid").cloned().unwrap_or(Bson::Null),
        },
        Operation::SetValidator { collection, .. } => match found.get_document("before") {
            Ok(before) => Back::Validator { collection: collection.clone(), before: before.clone() },
            Err(_) => Back::Nothing,
        },
        _ => Back::Nothing,
    })
}

pub(super) async fn run(
    session: &mut MongodbSession,
    running: &Running<'_>,
    number: u32,
    of: &Operation,
) -> Result<Option<u64>, DriverError> {
    let statement = running.statement;
    let row = left(session, statement).await?;
    let back = back_of(&row, number, of, statement.sql())?;
    match back {
        Back::Nothing => nothing(session, statement).await,
        Back::DropCollection { collection } => drop_collection(session, running, &collection).await,
        Back::DropIndex { collection, name } => {
            if session.indexes_of(&collection).await?.iter().all(|i| values::text(i, "name") != name) {
                return nothing(session, statement).await;
            }
            send(session, running, drop_command(&collection, &name)).await
        }
        Back::CreateIndex { collection, definition } => {
            if session.collection(&collection).await?.is_none() {
                return Err(gone(&collection));
            }
            send(session, running, create_command(&collection, definition)).await
        }
        Back::Validator { collection, before } => {
            if session.collection(&collection).await?.is_none() {
                return Err(gone(&collection));
            }
            send(session, running, collmod(&collection, before)).await
        }
        Back::RenameCollection { from, to, uuid } => {
            let there = session.collection(&from).await?;
            if there.is_none_or(|l| super::uuid_of(&l) != uuid) {
                return nothing(session, statement).await;
            }
            let command = rename_command(session.db.name(), &from, &to);
            let sent = Outside { command, db: Some("admin"), bounded: true, ..Outside::default() };
            outside(session, running, None, sent).await.map(|_| None)
        }
        Back::RenameField { collection, from, to, filter, size } => {
            let Some(row) = batch::unfinished(session, running).await? else { return Ok(None) };
            let changed = documents::rename(&collection, &from, &to, &filter, size);
            batch::run(session, running, &changed, &row).await.map(Some)
        }
        Back::Unset { collection, field, value, slot } => {
            unset(session, running, &row, &collection, &field, value, &slot).await
        }
    }
}

fn gone(collection: &str) -> DriverError {
    refusal(
        format!("the collection `{collection}` is gone, so what was done to it cannot be taken back"),
        "restore it, or settle the migration with `godwit resolve`",
    )
}

async fn nothing(session: &mut MongodbSession, statement: &SingleStatement<'_>) -> Result<Option<u64>, DriverError> {
    let unit = Unit { history: vec![history::done(statement, Document::new())], counts: 1, ..Unit::default() };
    session.change(&unit).await?;
    Ok(None)
}

async fn send(
    session: &mut MongodbSession,
    running: &Running<'_>,
    command: Document,
) -> Result<Option<u64>, DriverError> {
    let bounded = !command.contains_key("createIndexes");
    outside(session, running, None, Outside { command, bounded, ..Outside::default() }).await.map(|_| None)
}

/// A collection that was filled meanwhile holds what nobody else has.
async fn drop_collection(
    session: &mut MongodbSession,
    running: &Running<'_>,
    collection: &str,
) -> Result<Option<u64>, DriverError> {
    let Some(listed) = session.collection(collection).await? else {
        return nothing(session, running.statement).await;
    };
    if values::text(&listed, "type") != "view" && !session.options.accept_data_loss {
        let find = doc! { "find": collection, "projection": { "_id": 1 }, "limit": 1, "singleBatch": true };
        if !wire::batch_of(&wire::read(&session.db, find).await?).0.is_empty() {
            return Err(refusal(
                format!("the collection `{collection}` holds documents, which would be lost with it"),
                "move them away or accept the loss of data, and run again",
            ));
        }
    }
    send(session, running, doc! { "drop": collection, "writeConcern": majority() }).await
}

/// Takes the field away from the documents whose ids were kept, one kept document after the other; each goes with its
/// batch, so what is left of them is the checkpoint.
async fn unset(
    session: &mut MongodbSession,
    running: &Running<'_>,
    row: &Document,
    collection: &str,
    field: &str,
    value: Bson,
    slot: &str,
) -> Result<Option<u64>, DriverError> {
    let statement = running.statement;
    let of = history::row_id(statement.unit, statement.id);
    let mut done = Checkpoint::of(row, running).done;
    let range = |n: Bson| doc! { "of": of.clone(), "slot": slot, "n": n };
    loop {
        let find = doc! {
            "find": UNDO, "limit": 1, "singleBatch": true, "sort": { "_id": 1 }, "readConcern": { "level": "majority" },
            "filter": { "_id": { "$gte": range(Bson::MinKey), "$lte": range(Bson::MaxKey) } },
        };
        let (found, _) = wire::batch_of(&wire::read(&session.db, find).await?);
        let Some(kept) = found.into_iter().next() else { return nothing(session, statement).await.map(|_| Some(done)) };
        let ids = kept.get_array("ids").cloned().unwrap_or_default();
        done += ids.len() as u64;
        let mut filter = doc! { "_id": { "$in": ids } };
        if !session.has_transactions() {
            // The ids were kept before the field was set; one that got its field from elsewhere keeps it.
            filter = and(&filter, doc! { field: { "$eq": value.clone() } });
        }
        let at = doc! {
            "statement": statement.done, "text": &running.digest, "done": i64::try_from(done).unwrap_or(i64::MAX),
        };
        let unit = Unit {
            effect: vec![
                doc! { "update": collection, "updates": [{ "q": filter, "u": { "$unset": { field: "" } }, "multi": true }] },
                doc! { "delete": UNDO, "deletes": [{ "q": { "_id": kept.get("_id").cloned().unwrap_or(Bson::Null) }, "limit": 1 }] },
            ],
            history: vec![history::set(statement.unit, statement.id, doc! { "progress": { "$literal": at } })],
            counts: 1,
            ..Unit::default()
        };
        session.change(&unit).await?;
        let progress = Progress {
            target: session.options.target.clone(),
            migration: statement.id.clone(),
            statement: statement.done,
            what: "documents",
            done,
            total: None,
            waits: None,
        };
        session.options.pace.between(&progress).await?;
    }
}
