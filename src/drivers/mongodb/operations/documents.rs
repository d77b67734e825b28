//! Fields added, removed, renamed; documents updated.

use mongodb::bson::{Bson, Document, doc};
use serde_json::{Map, Value};

use super::batch::{self, Batch, Checkpoint, and};
use super::{Running, wanted};
use crate::drivers::DriverError;
use crate::drivers::mongodb::history;
use crate::drivers::mongodb::session::{MongodbSession, Unit};
use crate::drivers::mongodb::values;
use crate::drivers::mongodb::wire::{self, json, refusal};
use crate::migration::operations::mongodb::Operation;

fn filter_of(filter: Option<&Map<String, Value>>) -> Result<Document, DriverError> {
    Ok(filter.map(|f| wanted(values::document(f))).transpose()?.unwrap_or_default())
}

pub(super) async fn change(
    session: &mut MongodbSession,
    running: &Running<'_>,
    operation: &Operation,
) -> Result<Option<u64>, DriverError> {
    let Some(row) = batch::unfinished(session, running).await? else { return Ok(None) };
    let batch = match operation {
        Operation::AddField { collection, field, value, filter, batch_size } => Batch {
            collection,
            filter: and(&filter_of(filter.as_ref())?, doc! { field: { "$exists": false } }),
            update: doc! { "$set": { field: wanted(values::value(value))? } }.into(),
            size: *batch_size,
            touched: true,
        },
        Operation::RemoveField { collection, field, filter, batch_size } => Batch {
            collection,
            filter: and(&filter_of(filter.as_ref())?, doc! { field: { "$exists": true } }),
            update: doc! { "$unset": { field: "" } }.into(),
            size: *batch_size,
            touched: false,
        },
        Operation::RenameField { collection, from, to, filter, batch_size } => {
            let filter = filter_of(filter.as_ref())?;
            // At its start no document may have the new name; later those that were renamed do.
            let begun = Checkpoint::of(&row, running).begun;
            let taken = if begun {
                both(from, to)
            } else {
                doc! { to: { "$exists": true } }
            };
            refuse_taken(session, collection, &and(&filter, taken), from, to).await?;
            let changed = rename(collection, from, to, &filter, *batch_size);
            let done = batch::run(session, running, &changed, &row).await?;
            refuse_taken(session, collection, &and(&filter, both(from, to)), from, to).await?;
            return Ok(Some(done));
        }
        Operation::UpdateDocuments { collection, filter, update, multi, batch_size } => {
            let (filter, update) = (wanted(values::document(filter))?, wanted(values::value(update))?);
            if !multi {
                return first(session, running, collection, filter, update).await;
            }
            Batch { collection, filter, update, size: *batch_size, touched: false }
        }
        _ => return Ok(None),
    };
    batch::run(session, running, &batch, &row).await.map(Some)
}

fn both(from: &str, to: &str) -> Document {
    doc! { "$and": [{ from: { "$exists": true } }, { to: { "$exists": true } }] }
}

/// A rename never writes over a field that is there.
pub(super) fn rename<'a>(collection: &'a str, from: &str, to: &str, filter: &Document, size: Option<u32>) -> Batch<'a> {
    Batch {
        collection,
        filter: and(filter, doc! { "$and": [{ from: { "$exists": true } }, { to: { "$exists": false } }] }),
        update: doc! { "$rename": { from: to } }.into(),
        size,
        touched: false,
    }
}

async fn refuse_taken(
    session: &MongodbSession,
    collection: &str,
    filter: &Document,
    from: &str,
    to: &str,
) -> Result<(), DriverError> {
    let find = doc! {
        "find": collection, "filter": filter.clone(), "projection": { "_id": 1 }, "limit": 1, "singleBatch": true,
    };
    let (found, _) = wire::batch_of(&wire::read(&session.db, find).await?);
    let Some(id) = found.first().and_then(|d| d.get("_id")) else { return Ok(()) };
    Err(refusal(
        format!(
            "the document with `_id` {} has a field `{to}` already; renaming `{from}` would write over it",
            json(id)
        ),
        "take the field away where it is not wanted, or leave those documents out with a `filter`",
    ))
}

/// One document only.
async fn first(
    session: &mut MongodbSession,
    running: &Running<'_>,
    collection: &str,
    filter: Document,
    update: Bson,
) -> Result<Option<u64>, DriverError> {
    let unit = Unit {
        effect: vec![doc! { "update": collection, "updates": [{ "q": filter, "u": update, "multi": false }] }],
        history: vec![history::done(running.statement, Document::new())],
        counts: 1,
        exactly: None,
        done: Some(running.statement.done),
    };
    let replies = session.change(&unit).await?;
    Ok(replies.first().and_then(|r| wire::number(r.get("nModified"))).and_then(|n| u64::try_from(n).ok()))
}
