//! What each operation sends, and what it leaves for its undo.

mod batch;
mod collections;
mod documents;
mod indexes;
mod together;
mod undo;

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use sha2::{Digest as _, Sha256};

use super::session::{MongodbSession, Unit};
use super::wire::{self, Fault, refusal};
use super::{history, values};
use crate::drivers::{DriverError, HISTORY, SingleStatement, failpoint};
use crate::ids::Engine;
use crate::migration::execution::Nature;
use crate::migration::operations::Operation as Any;
use crate::migration::operations::mongodb::Operation;
use crate::plan::StepAction;

pub(super) use collections::{difference, has_validator, validator_of};
pub(super) use indexes::{Place, place_of, wanted_index};
pub(super) use undo::{Back, back_of};

/// Reads one statement of a script.
pub(super) fn parse(text: &str) -> Result<Operation, DriverError> {
    match Any::parse(Engine::Mongodb, text) {
        Ok(Any::Mongodb(operation)) => Ok(operation),
        Ok(_) => Err(refusal("this is no operation of MongoDB".to_owned(), "see docs/operations-json.md")),
        Err(error) => Err(refusal(error.to_string(), "see docs/operations-json.md")),
    }
}

/// A value of a migration file as the server's.
pub(super) fn wanted<T>(converted: Result<T, String>) -> Result<T, DriverError> {
    converted
        .map_err(|m| refusal(m, "write it as MongoDB's extended JSON, such as `{\"$date\": \"2026-01-31T00:00:00Z\"}`"))
}

/// What tells one operation's text from another's.
pub(super) fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..12])
}

/// An operation as it runs: its statement, and where it leaves what it found.
pub(super) struct Running<'a> {
    pub statement: &'a SingleStatement<'a>,
    /// Of the operation's text.
    pub digest: String,
    /// The field of the row.
    pub slot: String,
}

impl<'a> Running<'a> {
    pub fn new(statement: &'a SingleStatement<'a>, action: StepAction) -> Self {
        let operation = usize::try_from(statement.done.max(1) - 1).unwrap_or(0);
        Self { statement, digest: digest(statement.sql()), slot: history::slot(action, operation) }
    }

    /// What an operation found, with the digest of its text.
    pub fn record(&self, mut found: Document) -> Document {
        found.insert("text", &self.digest);
        history::once(&self.slot, &found)
    }

    /// The same as a statement on the history that comes before the effect.
    pub fn note(&self, found: Document) -> Document {
        history::set(self.statement.unit, self.statement.id, self.record(found))
    }
}

/// The row with what operations left in it.
pub(super) async fn left(
    session: &mut MongodbSession,
    statement: &SingleStatement<'_>,
) -> Result<Document, DriverError> {
    session.flush().await?;
    let find = doc! {
        "find": HISTORY, "limit": 1, "singleBatch": true, "readConcern": { "level": "majority" },
        "filter": { "_id": history::row_id(statement.unit, statement.id) },
        "projection": { "undo": 1, "redo": 1, "progress": 1, "statements_done": 1, "state": 1 },
    };
    let (found, _) = wire::batch_of(&wire::read(&session.db, find).await?);
    Ok(found.into_iter().next().unwrap_or_default())
}

/// What stands in a slot of a row, if it is of this text.
pub(super) fn in_slot(row: &Document, slot: &str) -> Option<Document> {
    let (part, key) = slot.split_once('.')?;
    row.get_document(part).ok()?.get_document(key).ok().cloned()
}

/// Runs one statement.
pub(super) async fn run(
    session: &mut MongodbSession,
    statement: &SingleStatement<'_>,
) -> Result<Option<u64>, DriverError> {
    let operation = parse(statement.sql())?;
    let running = Running::new(statement, session.action);
    match &operation {
        Operation::CreateCollection { collection, options } => {
            collections::create(session, &running, collection, &wanted(values::document(options))?).await
        }
        Operation::DropCollection { collection } => collections::drop(session, &running, collection).await,
        Operation::RenameCollection { from, to } => collections::rename(session, &running, from, to).await,
        Operation::SetValidator { collection, .. } => {
            collections::set_validator(session, &running, collection, &operation).await
        }
        Operation::CreateIndex { collection, index, options } => {
            let wanted = wanted_index(index, options)?;
            indexes::create(session, &running, collection, &wanted).await
        }
        Operation::DropIndex { collection, name } => indexes::drop(session, &running, collection, name).await,
        Operation::AddField { .. }
        | Operation::RemoveField { .. }
        | Operation::RenameField { .. }
        | Operation::UpdateDocuments { .. } => documents::change(session, &running, &operation).await,
        Operation::RunCommand { command } => {
            let command = wanted(values::document(command))?;
            outside(session, &running, None, Outside { command, ..Outside::default() })
                .await
                .map(|reply| affected(&reply))
        }
        Operation::Undo { operation, of, .. } => undo::run(session, &running, *operation, of).await,
    }
}

/// How many documents a reply says were changed.
fn affected(reply: &Document) -> Option<u64> {
    let n = wire::number(reply.get("nModified")).or_else(|| wire::number(reply.get("n")))?;
    u64::try_from(n).ok()
}

/// A command that no transaction can hold.
#[derive(Debug, Default)]
pub(super) struct Outside {
    pub command: Document,
    /// The database, where it is not the target.
    pub db: Option<&'static str>,
    /// Whether it waits for locks no longer than the session says; an index is built for as long as it takes.
    pub bounded: bool,
    /// What it leaves when it is done.
    pub with: Document,
    /// Whether what it found was recorded with an earlier operation.
    pub is_noted: bool,
}

/// Codes by which a server says that another index has the key or the name.
const TAKEN: [i32; 2] = [85, 86];

/// The record, the fence; the command; the mark.
pub(super) async fn outside(
    session: &mut MongodbSession,
    running: &Running<'_>,
    found: Option<Document>,
    sent: Outside,
) -> Result<Document, DriverError> {
    if sent.is_noted {
        session.assert_fence().await?;
    } else {
        let before = Unit { history: found.map(|f| running.note(f)).into_iter().collect(), ..Unit::default() };
        session.change(&before).await?;
    }
    let reply = match session.send_outside(&sent).await {
        Err(fault) if sent.is_noted && fault.code.is_some_and(|c| TAKEN.contains(&c)) => {
            let nothing = history::not_made(&running.slot, &running.digest);
            let nothing = history::set(running.statement.unit, running.statement.id, nothing);
            session.change(&Unit { history: vec![nothing], ..Unit::default() }).await?;
            return Err(fault.error);
        }
        other => other?,
    };
    session.was_answered(running.statement);
    failpoint::hit("stmt_acked");
    let done = history::done(running.statement, sent.with);
    if session.has_transactions() && running.statement.nature == Nature::Verifiable {
        session.defer(done);
        return Ok(reply);
    }
    let mark = Unit { history: vec![done], counts: 1, ..Unit::default() };
    session.change(&mark).await?;
    Ok(reply)
}

impl MongodbSession {
    async fn send_outside(&mut self, sent: &Outside) -> Result<Document, Fault> {
        let db = sent.db.map_or_else(|| self.db.name().to_owned(), str::to_owned);
        let patience = sent.bounded.then_some(self.options.lock_timeout);
        self.outside(&db, &sent.command, patience).await
    }
}

/// A collection as the server lists it.
pub(super) async fn collection(db: &Database, name: &str) -> Result<Option<Document>, DriverError> {
    let command = doc! { "listCollections": 1, "filter": { "name": name }, "cursor": {} };
    Ok(wire::batch_of(&wire::read(db, command).await?).0.into_iter().next())
}

/// A collection's indexes; none where it does not exist.
pub(super) async fn indexes_of(db: &Database, collection: &str) -> Result<Vec<Document>, DriverError> {
    match wire::read(db, doc! { "listIndexes": collection, "cursor": { "batchSize": 1_000 } }).await {
        Ok(reply) => Ok(wire::batch_of(&reply).0),
        Err(fault) if fault.code == Some(26) => Ok(Vec::new()),
        Err(fault) => Err(fault.error),
    }
}

/// What a listed collection's options are.
pub(super) fn options_of(listed: &Document) -> Document {
    listed.get_document("options").cloned().unwrap_or_default()
}

/// A collection's identity, which a rename keeps.
pub(super) fn uuid_of(listed: &Document) -> Bson {
    listed.get_document("info").ok().and_then(|i| i.get("uuid").cloned()).unwrap_or(Bson::Null)
}
