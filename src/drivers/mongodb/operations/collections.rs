//! Collections: made, dropped, renamed, given a validator.

use mongodb::bson::{Document, doc};

use super::together::{MOST, Together};
use super::{Outside, Running, options_of, outside, uuid_of, wanted};
use crate::drivers::DriverError;
use crate::drivers::mongodb::definition::collection_difference;
use crate::drivers::mongodb::history;
use crate::drivers::mongodb::lock::majority;
use crate::drivers::mongodb::session::{MongodbSession, Unit};
use crate::drivers::mongodb::values;
use crate::drivers::mongodb::wire::{Fault, refusal};
use crate::migration::execution::Nature;
use crate::migration::operations::mongodb::Operation;

/// Codes by which a server says that a transaction cannot hold this `create`.
const NOT_IN_TRANSACTION: [i32; 2] = [263, 72];
/// The name is taken.
const EXISTS: i32 = 48;

/// What is compared of a listed collection: its options, and of a view what it shows.
pub(in crate::drivers::mongodb) fn difference(wanted: &Document, listed: &Document) -> Option<String> {
    collection_difference(wanted, &options_of(listed))
}

pub(super) fn create_command(name: &str, options: &Document) -> Document {
    let mut command = doc! { "create": name };
    command.extend(options.clone());
    command
}

pub(super) async fn create(
    session: &mut MongodbSession,
    running: &Running<'_>,
    name: &str,
    options: &Document,
) -> Result<Option<u64>, DriverError> {
    let mut command = create_command(name, options);
    if running.statement.nature == Nature::Transactional {
        let all = Together::beginning_with(running, session.action, MOST);
        let mut tried = make(session, running, &all).await;
        if tried.as_ref().is_err_and(|fault| fault.is_final()) && all.commands.len() > 1 {
            // Whatever of it the server refuses is found by going one by one, and with it the line.
            tried = make(session, running, &Together::beginning_with(running, session.action, 1)).await;
        }
        match tried {
            Ok(()) => return Ok(None),
            Err(fault) if fault.code == Some(EXISTS) => return leave(session, running, name, options).await,
            Err(fault) if fault.code.is_some_and(|c| NOT_IN_TRANSACTION.contains(&c)) => {}
            Err(fault) => return Err(fault.error),
        }
    }
    if session.collection(name).await?.is_some() {
        return leave(session, running, name, options).await;
    }
    command.insert("writeConcern", majority());
    let sent = Outside { command, bounded: true, ..Outside::default() };
    outside(session, running, Some(doc! { "made": true }), sent).await?;
    Ok(None)
}

/// Does them in one transaction with their mark.
async fn make(session: &mut MongodbSession, running: &Running<'_>, all: &Together) -> Result<(), Fault> {
    let mut made = Document::new();
    for (slot, record) in &all.records {
        made.extend(history::once(slot, record));
    }
    let unit = Unit {
        counts: all.commands.len(),
        effect: all.commands.clone(),
        history: vec![history::done_with(running.statement, all.done, made)],
        exactly: None,
        done: Some(all.done),
    };
    session.change(&unit).await?;
    session.has_noted(all.records.iter().map(|(slot, _)| slot.clone()));
    Ok(())
}

/// An equal collection that is there already is left alone; what an earlier attempt noted stays.
async fn leave(
    session: &mut MongodbSession,
    running: &Running<'_>,
    name: &str,
    options: &Document,
) -> Result<Option<u64>, DriverError> {
    let listed = session.collection(name).await?.unwrap_or_default();
    if let Some(difference) = difference(options, &listed) {
        return Err(refusal(
            format!("a collection `{name}` is there already with other options: {difference}"),
            "give the collection another name, or bring the one that is there in line first",
        ));
    }
    let with = running.record(doc! { "made": false });
    let unit = Unit { history: vec![history::done(running.statement, with)], counts: 1, ..Unit::default() };
    session.change(&unit).await?;
    Ok(None)
}

pub(super) async fn drop(
    session: &mut MongodbSession,
    running: &Running<'_>,
    name: &str,
) -> Result<Option<u64>, DriverError> {
    let command = doc! { "drop": name, "writeConcern": majority() };
    outside(session, running, None, Outside { command, bounded: true, ..Outside::default() }).await?;
    Ok(None)
}

pub(super) async fn rename(
    session: &mut MongodbSession,
    running: &Running<'_>,
    from: &str,
    to: &str,
) -> Result<Option<u64>, DriverError> {
    let found = session.collection(from).await?.map(|listed| doc! { "uuid": uuid_of(&listed) });
    let command = rename_command(session.db.name(), from, to);
    outside(session, running, found, Outside { command, db: Some("admin"), bounded: true, ..Outside::default() })
        .await?;
    Ok(None)
}

pub(super) fn rename_command(db: &str, from: &str, to: &str) -> Document {
    doc! {
        "renameCollection": format!("{db}.{from}"), "to": format!("{db}.{to}"), "dropTarget": false,
        "writeConcern": majority(),
    }
}

/// The parts of a validator that an operation sets.
pub(in crate::drivers::mongodb) fn validator_of(operation: &Operation) -> Result<Document, DriverError> {
    let Operation::SetValidator { validator, validation_level, validation_action, .. } = operation else {
        return Ok(Document::new());
    };
    let mut set = doc! { "validator": wanted(values::document(validator))? };
    if let Some(level) = validation_level {
        set.insert("validationLevel", level);
    }
    if let Some(action) = validation_action {
        set.insert("validationAction", action);
    }
    Ok(set)
}

/// The whole of a collection's validator, as a `collMod` that sets it again.
pub(super) fn validator_there(listed: &Document) -> Document {
    let options = options_of(listed);
    let text = |name: &str, default: &str| options.get_str(name).unwrap_or(default).to_owned();
    doc! {
        "validator": options.get_document("validator").cloned().unwrap_or_default(),
        "validationLevel": text("validationLevel", "strict"),
        "validationAction": text("validationAction", "error"),
    }
}

/// Whether what `set` names stands in a listed collection.
pub(in crate::drivers::mongodb) fn has_validator(listed: &Document, set: &Document) -> bool {
    let there = validator_there(listed);
    set.iter().all(|(name, value)| there.get(name).is_some_and(|t| values::equal(t, value)))
}

pub(super) fn collmod(name: &str, set: Document) -> Document {
    let mut command = doc! { "collMod": name };
    command.extend(set);
    command.insert("writeConcern", majority());
    command
}

pub(super) async fn set_validator(
    session: &mut MongodbSession,
    running: &Running<'_>,
    name: &str,
    operation: &Operation,
) -> Result<Option<u64>, DriverError> {
    let set = validator_of(operation)?;
    let found = session.collection(name).await?.map(|listed| doc! { "before": validator_there(&listed) });
    outside(session, running, found, Outside { command: collmod(name, set), bounded: true, ..Outside::default() })
        .await?;
    Ok(None)
}
