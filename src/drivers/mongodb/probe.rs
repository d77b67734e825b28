//! Looks whether an operation's effect is there. Changes nothing.

use mongodb::bson::{Document, doc};

use super::operations::{self, Back, Place, Running};
use super::session::MongodbSession;
use super::{values, wire};
use crate::drivers::{DriverError, Probe, SingleStatement};
use crate::migration::operations::mongodb::Operation;

pub(super) async fn look_for(
    session: &mut MongodbSession,
    statement: &SingleStatement<'_>,
) -> Result<Probe, DriverError> {
    let operation = operations::parse(statement.sql())?;
    let there = |yes: bool| if yes { Probe::Done } else { Probe::NotStarted };
    Ok(match &operation {
        Operation::CreateCollection { collection, options } => {
            let wanted = operations::wanted(values::document(options))?;
            match session.collection(collection).await? {
                None => Probe::NotStarted,
                Some(listed) => match operations::difference(&wanted, &listed) {
                    None => Probe::Done,
                    Some(difference) => Probe::Different(format!(
                        "a collection `{collection}` is there already with other options: {difference}"
                    )),
                },
            }
        }
        Operation::CreateIndex { collection, index, options } => {
            index_at(session, statement, collection, &operations::wanted_index(index, options)?).await?
        }
        Operation::DropIndex { collection, name } => {
            let all = session.indexes_of(collection).await?;
            there(all.iter().all(|i| values::text(i, "name") != name))
        }
        Operation::DropCollection { collection } => there(session.collection(collection).await?.is_none()),
        Operation::RenameCollection { to, .. } => {
            let running = Running::new(statement, session.action);
            let row = operations::left(session, statement).await?;
            let noted = operations::in_slot(&row, &running.slot).and_then(|f| f.get("uuid").cloned());
            match (noted, session.collection(to).await?) {
                (Some(uuid), Some(listed)) => there(operations::uuid_of(&listed) == uuid),
                _ => Probe::NotStarted,
            }
        }
        Operation::SetValidator { collection, .. } => {
            let wanted = operations::validator_of(&operation)?;
            let listed = session.collection(collection).await?;
            there(listed.is_some_and(|l| operations::has_validator(&l, &wanted)))
        }
        Operation::AddField { .. }
        | Operation::RemoveField { .. }
        | Operation::RenameField { .. }
        | Operation::UpdateDocuments { .. } => {
            Probe::Unknown("which documents a batch had changed cannot be told from the documents".to_owned())
        }
        Operation::RunCommand { .. } => Probe::Unknown("nothing is known of what the command does".to_owned()),
        Operation::Undo { operation, of, .. } => undone(session, statement, *operation, of).await?,
    })
}

/// An index in the list may be one whose build has not ended, or will fail, unless the server has said that it is built.
async fn index_at(
    session: &mut MongodbSession,
    statement: &SingleStatement<'_>,
    collection: &str,
    wanted: &Document,
) -> Result<Probe, DriverError> {
    let name = wanted.get_str("name").unwrap_or_default();
    let there = session.indexes_of(collection).await?;
    match operations::place_of(&session.db, collection, wanted, &there).await? {
        Place::Free => Ok(Probe::NotStarted),
        Place::Other => Ok(Probe::Different(format!("an index `{name}` is there with another key or other options"))),
        Place::Same if !session.is_answered(statement) && is_building(session, collection, name).await? => {
            Ok(Probe::InProgress(format!("the server builds the index `{name}` of `{collection}` at this moment")))
        }
        Place::Same => Ok(Probe::Done),
    }
}

async fn is_building(session: &MongodbSession, collection: &str, name: &str) -> Result<bool, DriverError> {
    let stats = doc! {
        "aggregate": collection,
        "pipeline": [{ "$indexStats": {} }, { "$match": { "name": name, "building": true } }],
        "cursor": {},
    };
    match wire::read(&session.db, stats).await {
        Ok(reply) => Ok(!wire::batch_of(&reply).0.is_empty()),
        // Without the right to see the figures the list must do.
        Err(fault) if fault.code == Some(13) => Ok(false),
        Err(fault) => Err(fault.error),
    }
}

async fn undone(
    session: &mut MongodbSession,
    statement: &SingleStatement<'_>,
    operation: u32,
    of: &Operation,
) -> Result<Probe, DriverError> {
    let row = operations::left(session, statement).await?;
    let there = |yes: bool| if yes { Probe::Done } else { Probe::NotStarted };
    Ok(match operations::back_of(&row, operation, of, statement.sql())? {
        Back::Nothing => Probe::Done,
        Back::DropCollection { collection } => there(session.collection(&collection).await?.is_none()),
        Back::DropIndex { collection, name } => {
            let all = session.indexes_of(&collection).await?;
            there(all.iter().all(|i| values::text(i, "name") != name))
        }
        Back::CreateIndex { collection, definition } => index_at(session, statement, &collection, &definition).await?,
        Back::RenameCollection { to, uuid, .. } => {
            let listed = session.collection(&to).await?;
            there(listed.is_some_and(|l| operations::uuid_of(&l) == uuid))
        }
        Back::Validator { collection, before } => {
            let listed = session.collection(&collection).await?;
            there(listed.is_some_and(|l| operations::has_validator(&l, &before)))
        }
        Back::Unset { .. } | Back::RenameField { .. } => {
            Probe::Unknown("which documents were taken back is told by the checkpoint".to_owned())
        }
    })
}
