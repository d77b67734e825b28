//! Indexes: built, dropped.

use mongodb::Database;
use mongodb::bson::{Document, doc};
use serde_json::{Map, Value};

use super::{Outside, Running, collection, options_of, outside, wanted};
use crate::drivers::DriverError;
use crate::drivers::mongodb::definition::{default_name, is_same_index, key_of};
use crate::drivers::mongodb::lock::majority;
use crate::drivers::mongodb::session::MongodbSession;
use crate::drivers::mongodb::values;
use crate::drivers::mongodb::wire::refusal;

/// An index as the server lists it, from the operation's pairs and options.
pub(in crate::drivers::mongodb) fn wanted_index(
    pairs: &[(String, Value)],
    options: &Map<String, Value>,
) -> Result<Document, DriverError> {
    let mut converted = Vec::with_capacity(pairs.len());
    for (field, direction) in pairs {
        converted.push((field.clone(), wanted(values::value(direction))?));
    }
    let key = key_of(&converted);
    let mut index = doc! { "name": default_name(&key), "key": key };
    index.extend(wanted(values::document(options))?);
    Ok(index)
}

/// What is there in the place of an index.
#[derive(Debug)]
pub(in crate::drivers::mongodb) enum Place {
    Free,
    /// The same index.
    Same,
    /// Another one of the name.
    Other,
}

/// Looks for an index of the same name among those of a collection.
pub(in crate::drivers::mongodb) async fn place_of(
    db: &Database,
    name: &str,
    wanted: &Document,
    there: &[Document],
) -> Result<Place, DriverError> {
    let Some(same_name) = there.iter().find(|i| values::text(i, "name") == values::text(wanted, "name")) else {
        return Ok(Place::Free);
    };
    if is_same_index(wanted, same_name, None) {
        return Ok(Place::Same);
    }
    // An index takes on its collection's collation.
    let listed = collection(db, name).await?.unwrap_or_default();
    let same = is_same_index(wanted, same_name, options_of(&listed).get("collation"));
    Ok(if same { Place::Same } else { Place::Other })
}

/// The command without its write concern, as it stands in a transaction, which has one of its own.
pub(super) fn create_within(collection: &str, index: Document) -> Document {
    doc! { "createIndexes": collection, "indexes": [index] }
}

pub(super) fn create_command(collection: &str, index: Document) -> Document {
    let mut command = create_within(collection, index);
    command.insert("writeConcern", majority());
    command
}

pub(super) async fn create(
    session: &mut MongodbSession,
    running: &Running<'_>,
    name: &str,
    index: &Document,
) -> Result<Option<u64>, DriverError> {
    let is_noted = session.is_noted(&running.slot);
    let made = is_noted || {
        let there = session.indexes_of(name).await?;
        matches!(place_of(&session.db, name, index, &there).await?, Place::Free)
    };
    let command = create_command(name, index.clone());
    // The server is asked even where an equal index is there: it judges whether it is equal, and waits for its build.
    outside(session, running, Some(doc! { "made": made }), Outside { command, is_noted, ..Outside::default() }).await?;
    Ok(None)
}

pub(super) async fn drop(
    session: &mut MongodbSession,
    running: &Running<'_>,
    collection: &str,
    name: &str,
) -> Result<Option<u64>, DriverError> {
    if name == "*" {
        return Err(refusal(
            "`*` would drop every index of the collection".to_owned(),
            "name the index; write one `drop_index` for each",
        ));
    }
    let there = session.indexes_of(collection).await?;
    let found = there.into_iter().find(|i| values::text(i, "name") == name).map(|i| doc! { "definition": i });
    let command = drop_command(collection, name);
    outside(session, running, found, Outside { command, bounded: true, ..Outside::default() }).await?;
    Ok(None)
}

pub(super) fn drop_command(collection: &str, name: &str) -> Document {
    doc! { "dropIndexes": collection, "index": name, "writeConcern": majority() }
}
