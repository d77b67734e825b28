//! What a plan would run into, read before anything is changed. Only what is certain forbids a run.

use std::collections::{BTreeMap, BTreeSet};

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use super::definition::is_same_index;
use super::operations::{self, Back, Place};
use super::wire::{self, Fault, json};
use super::{history, values};
use crate::drivers::{DriverError, HISTORY};
use crate::ids::MigrationId;
use crate::migration::operations::mongodb::Operation;
use crate::plan::{MigrationPlan, MigrationState, Objection, ObjectionKind, PlannedStatement, Step, StepAction};

/// How long one look at the documents may take; what takes longer is found by the run itself.
const PATIENCE_MS: i64 = 30_000;

/// What the plan itself changes before a statement comes.
#[derive(Debug, Default)]
struct Before {
    /// Collections that are made, dropped or renamed: what stands there now says nothing.
    collections: BTreeSet<String>,
    /// Collections whose documents are changed.
    documents: BTreeSet<String>,
    /// Collections whose indexes are changed.
    indexes: BTreeSet<String>,
}

/// The collections that a plan names, as the server lists them.
struct There(Result<BTreeMap<String, Document>, DriverError>);

impl There {
    /// Asks for all of them at once.
    async fn of(db: &Database, plan: &MigrationPlan) -> Result<Self, DriverError> {
        let statements = plan.steps.iter().flat_map(|step| &step.statements);
        let names: BTreeSet<String> =
            statements.filter_map(|s| operations::parse(&s.sql).ok()).flat_map(|o| looked_for(&o)).collect();
        if names.is_empty() {
            return Ok(Self(Ok(BTreeMap::new())));
        }
        let names: Vec<String> = names.into_iter().collect();
        let list =
            doc! { "listCollections": 1, "filter": { "name": { "$in": names } }, "cursor": { "batchSize": 1_000 } };
        match wire::all(db, "$cmd.listCollections", list).await.map_err(DriverError::from) {
            Ok(all) => Ok(Self(Ok(all.into_iter().map(|c| (values::text(&c, "name").to_owned(), c)).collect()))),
            Err(error @ DriverError::Statement(_)) => Ok(Self(Err(error))),
            Err(error) => Err(error),
        }
    }

    fn collection(&self, name: &str) -> Result<Option<&Document>, DriverError> {
        self.0.as_ref().map(|all| all.get(name)).map_err(Clone::clone)
    }
}

/// Which collections an operation is looked at by.
fn looked_for(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::CreateCollection { collection, .. } | Operation::CreateIndex { collection, .. } => {
            vec![collection.clone()]
        }
        Operation::RenameCollection { from, to } => vec![from.clone(), to.clone()],
        Operation::Undo { of, .. } => looked_for(of),
        _ => Vec::new(),
    }
}

/// One thing found.
struct Found {
    kind: ObjectionKind,
    message: String,
    what_to_do: &'static str,
}

fn impossible(message: String, what_to_do: &'static str) -> Found {
    Found { kind: ObjectionKind::Impossible, message, what_to_do }
}

/// Looks at the target.
pub(super) async fn look(db: &Database, plan: &MigrationPlan) -> Result<Vec<Objection>, DriverError> {
    let mut objections = Vec::new();
    let mut before = Before::default();
    let rows = wire::all(db, HISTORY, doc! { "find": HISTORY, "filter": {} }).await?;
    let there = There::of(db, plan).await?;
    for step in &plan.steps {
        let row = row_of(&rows, &step.unit, &step.migration);
        let skipped = begun(row, step);
        for (n, statement) in step.statements.iter().enumerate() {
            let found = match operations::parse(&statement.sql) {
                Err(DriverError::Statement(failure)) => vec![impossible(failure.message, "mend the file")],
                Err(error) => return Err(error),
                // Done, or in doubt: what stands there is what the run left.
                Ok(operation) if skipped.is_some_and(|done| n <= done) => {
                    remember(&mut before, &operation);
                    Vec::new()
                }
                Ok(operation) => {
                    let found = match unreadable(&statement.sql) {
                        Some(message) => Ok(vec![impossible(message, "write it as MongoDB's extended JSON")]),
                        None => one(db, &there, &before, row, &operation, &statement.sql).await,
                    };
                    let found = match found {
                        Ok(found) => found,
                        // What cannot be read beforehand, or takes too long, is found by the run itself.
                        Err(DriverError::Statement(_)) => Vec::new(),
                        Err(error) => return Err(error),
                    };
                    remember(&mut before, &operation);
                    match operation {
                        // A way back brings back what stood there.
                        Operation::SetValidator { .. } if step.action != StepAction::Apply => {
                            found.into_iter().map(|f| Found { kind: ObjectionKind::Note, ..f }).collect()
                        }
                        _ => found,
                    }
                }
            };
            objections.extend(found.into_iter().map(|f| objection(step, statement, f)));
        }
    }
    Ok(objections)
}

fn objection(step: &Step, statement: &PlannedStatement, found: Found) -> Objection {
    Objection {
        kind: found.kind,
        migration: Some(step.migration.clone()),
        file: Some(step.path.clone()),
        line: Some(statement.line),
        message: found.message,
        what_to_do: found.what_to_do.to_owned(),
    }
}

fn row_of<'a>(rows: &'a [Document], unit: &str, id: &MigrationId) -> Option<&'a Document> {
    let wanted = Bson::Document(history::row_id(unit, id));
    rows.iter().find(|r| r.get("_id") == Some(&wanted))
}

/// How many statements an unfinished earlier run of the same script had done.
fn begun(row: Option<&Document>, step: &Step) -> Option<usize> {
    let row = row?;
    let unfinished = [MigrationState::Running, MigrationState::Failed, MigrationState::NeedsHuman]
        .iter()
        .any(|s| s.as_str() == values::text(row, "state"));
    let same = values::text(row, "action") == step.action.as_str();
    let done = wire::number(row.get("statements_done")).and_then(|n| usize::try_from(n).ok())?;
    (unfinished && same).then_some(done)
}

/// What is wrong with a value that an operation holds.
fn unreadable(text: &str) -> Option<String> {
    let operation: serde_json::Value = serde_json::from_str(text).ok()?;
    operation.as_object()?.values().find_map(|part| values::value(part).err())
}

fn remember(before: &mut Before, operation: &Operation) {
    match operation {
        Operation::CreateCollection { collection, .. } | Operation::DropCollection { collection } => {
            before.collections.insert(collection.clone());
        }
        Operation::RenameCollection { from, to } => {
            before.collections.extend([from.clone(), to.clone()]);
        }
        Operation::CreateIndex { collection, .. } | Operation::DropIndex { collection, .. } => {
            before.indexes.insert(collection.clone());
        }
        Operation::AddField { collection, .. }
        | Operation::RemoveField { collection, .. }
        | Operation::RenameField { collection, .. }
        | Operation::UpdateDocuments { collection, .. } => {
            before.documents.insert(collection.clone());
        }
        Operation::SetValidator { .. } => {}
        Operation::RunCommand { command } => {
            let named = command.values().filter_map(|v| v.as_str()).map(str::to_owned).collect::<Vec<_>>();
            before.collections.extend(named);
        }
        Operation::Undo { of, .. } => remember(before, of),
    }
}

/// The first value of the cursor that a command gives.
async fn first(db: &Database, mut command: Document) -> Result<Option<Document>, Fault> {
    command.insert("maxTimeMS", PATIENCE_MS);
    Ok(wire::batch_of(&wire::read(db, command).await?).0.into_iter().next())
}

async fn any(db: &Database, collection: &str, filter: Document) -> Result<Option<Bson>, Fault> {
    let find =
        doc! { "find": collection, "filter": filter, "projection": { "_id": 1 }, "limit": 1, "singleBatch": true };
    Ok(first(db, find).await?.and_then(|mut d| d.remove("_id")))
}

async fn count(db: &Database, collection: &str, filter: Document) -> Result<i64, Fault> {
    let pipeline = vec![doc! { "$match": filter }, doc! { "$count": "n" }];
    let found = first(db, doc! { "aggregate": collection, "pipeline": pipeline, "cursor": {} }).await?;
    Ok(found.and_then(|d| wire::number(d.get("n"))).unwrap_or(0))
}

async fn one(
    db: &Database,
    there: &There,
    before: &Before,
    row: Option<&Document>,
    operation: &Operation,
    text: &str,
) -> Result<Vec<Found>, DriverError> {
    let moved = |c: &str| before.collections.contains(c);
    let same_documents = |c: &str| !before.documents.contains(c) && !moved(c);
    Ok(match operation {
        Operation::CreateCollection { collection, options } => {
            let wanted = operations::wanted(values::document(options))?;
            let listed = if moved(collection) { None } else { there.collection(collection)? };
            let differs = listed.and_then(|l| operations::difference(&wanted, l));
            Vec::from_iter(differs.map(|d| {
                impossible(
                    format!("a collection `{collection}` is there already with other options: {d}"),
                    "give the collection another name, or bring the one that is there in line first",
                )
            }))
        }
        Operation::CreateIndex { collection, index, options } => {
            let wanted = operations::wanted_index(index, options)?;
            if moved(collection) || before.indexes.contains(collection) {
                return Ok(Vec::new());
            }
            if there.collection(collection)?.is_none() {
                // The server would make one of that name, as it does for a name that is mistyped.
                return Ok(vec![impossible(
                    format!("there is no collection `{collection}`, and nothing before this makes it"),
                    "make it first, with `create_collection`, or correct the name",
                )]);
            }
            let mut found = Vec::from_iter(index_in_the_way(db, collection, &wanted).await?);
            if found.is_empty() && values::flag(&wanted, "unique") == Some(true) && same_documents(collection) {
                found.extend(duplicates(db, there, collection, &wanted).await?);
            }
            found
        }
        Operation::DropIndex { collection, name } => {
            if moved(collection) || before.indexes.contains(collection) {
                return Ok(Vec::new());
            }
            let indexes = operations::indexes_of(db, collection).await?;
            if indexes.iter().any(|i| values::text(i, "name") == name) && name != "_id_" {
                return Ok(Vec::new());
            }
            let message = match name.as_str() {
                "_id_" => "the index `_id_` cannot be dropped".to_owned(),
                _ => format!("there is no index `{name}` on `{collection}`"),
            };
            vec![impossible(message, "take the operation out, or correct the name")]
        }
        Operation::RenameField { collection, from, to, filter, .. } if same_documents(collection) => {
            let filter = filter.as_ref().map(values::document).transpose().unwrap_or_default().unwrap_or_default();
            let taken = any(db, collection, doc! { "$and": [filter, { to: { "$exists": true } }] }).await?;
            Vec::from_iter(taken.map(|id| {
                impossible(
                    format!(
                        "the document with `_id` {} has a field `{to}` already; renaming `{from}` would write over it",
                        json(&id)
                    ),
                    "take the field away where it is not wanted, or leave those documents out with a `filter`",
                )
            }))
        }
        Operation::RenameCollection { from, to } => {
            let mut found = Vec::new();
            if !moved(from) && there.collection(from)?.is_none() {
                found.push(impossible(format!("there is no collection `{from}`"), "correct the name"));
            }
            if !moved(to) && there.collection(to)?.is_some() {
                found.push(impossible(format!("a collection `{to}` is there already"), "choose another name"));
            }
            found
        }
        Operation::SetValidator { collection, validator, .. } => {
            if !operation.refuses_updates() || !same_documents(collection) {
                return Ok(Vec::new());
            }
            let rule = operations::wanted(values::document(validator))?;
            let n = count(db, collection, doc! { "$nor": [rule] }).await?;
            Vec::from_iter((n > 0).then(|| {
                impossible(
                    format!(
                        "{n} of the documents that `{collection}` holds break the new validator: the server would refuse every \
                         update of them"
                    ),
                    "mend them first, or set `validation_level` to `moderate` or `validation_action` to `warn`",
                )
            }))
        }
        Operation::DropCollection { collection } if !moved(collection) => {
            let n = count(db, collection, doc! {}).await?;
            Vec::from_iter((n > 0).then(|| Found {
                kind: ObjectionKind::DataLoss,
                message: format!("the collection `{collection}` holds {n} documents, which would be lost with it"),
                what_to_do: "make sure that there is a backup, and accept the loss of data",
            }))
        }
        Operation::Undo { operation, of, .. } => {
            let Some(row) = row else { return Ok(Vec::new()) };
            match operations::back_of(row, *operation, of, text)? {
                Back::DropCollection { collection } if !moved(&collection) => {
                    let listed = there.collection(&collection)?;
                    if listed.is_none_or(|l| values::text(l, "type") == "view") {
                        return Ok(Vec::new());
                    }
                    let n = count(db, &collection, doc! {}).await?;
                    Vec::from_iter((n > 0).then(|| Found {
                        kind: ObjectionKind::DataLoss,
                        message: format!(
                            "the collection `{collection}` holds {n} documents, which would be lost with it"
                        ),
                        what_to_do: "move them away, or accept the loss of data",
                    }))
                }
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    })
}

async fn index_in_the_way(db: &Database, collection: &str, wanted: &Document) -> Result<Option<Found>, DriverError> {
    let name = values::text(wanted, "name");
    let way_out = "drop it first, or choose another name or key";
    let there = operations::indexes_of(db, collection).await?;
    match operations::place_of(db, collection, wanted, &there).await? {
        Place::Same => Ok(None),
        Place::Other => Ok(Some(impossible(
            format!("an index `{name}` is there on `{collection}` with another key or other options"),
            way_out,
        ))),
        Place::Free => {
            let same =
                there.iter().find(|i| is_same_index(wanted, i, None)).map(|i| values::text(i, "name").to_owned());
            Ok(same.map(|other| {
                impossible(format!("the index is there on `{collection}` by the name `{other}`"), way_out)
            }))
        }
    }
}

/// The first value that two documents share.
async fn duplicates(
    db: &Database,
    there: &There,
    collection: &str,
    index: &Document,
) -> Result<Option<Found>, DriverError> {
    let Ok(key) = index.get_document("key") else { return Ok(None) };
    let Some(listed) = there.collection(collection)? else { return Ok(None) };
    let sparse = values::flag(index, "sparse") == Some(true);
    let mut pipeline = Vec::new();
    if let Ok(partial) = index.get_document("partialFilterExpression") {
        pipeline.push(doc! { "$match": partial.clone() });
    }
    if sparse {
        let any: Vec<Document> = key.keys().map(|f| doc! { f: { "$exists": true } }).collect();
        pipeline.push(doc! { "$match": { "$or": any } });
    }
    let parts: Vec<Bson> = key.keys().map(|f| doc! { "$ifNull": [format!("${f}"), null] }.into()).collect();
    pipeline.push(doc! { "$group": { "_id": parts, "n": { "$sum": 1 } } });
    pipeline.push(doc! { "$match": { "n": { "$gt": 1 } } });
    pipeline.push(doc! { "$limit": 1 });
    let mut command = doc! { "aggregate": collection, "pipeline": pipeline, "cursor": {}, "allowDiskUse": true };
    let own = operations::options_of(listed);
    if let Some(collation) = index.get("collation").or_else(|| own.get("collation")) {
        command.insert("collation", collation.clone());
    }
    let Some(found) = first(db, command).await? else { return Ok(None) };
    let values: Vec<String> = match found.get_array("_id") {
        Ok(values) => key.keys().zip(values).map(|(f, v)| format!("`{f}` {}", json(v))).collect(),
        Err(_) => Vec::new(),
    };
    let n = wire::number(found.get("n")).unwrap_or(2);
    Ok(Some(impossible(
        format!("{n} documents of `{collection}` share {}, so the index cannot be unique", values.join(" and ")),
        "take the duplicates away first",
    )))
}
