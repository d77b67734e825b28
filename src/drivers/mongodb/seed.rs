//! Data for a database: an object of collections, each a list of documents in extended JSON with an `_id`, by which each of
//! them is put in place of what is there. One transaction where the server has them.

use mongodb::bson::{Bson, Document, doc};
use serde_json::Value;

use super::session::{MongodbSession, Unit};
use super::values;
use super::wire::refusal;
use crate::drivers::{DriverError, StatementFailure};

/// Documents in one command.
const BATCH: usize = 500;

/// Writes the documents of `text`.
///
/// # Errors
/// A text that cannot be read, before anything is written; a document that the server refuses.
pub(super) async fn fill(session: &mut MongodbSession, text: &str) -> Result<(), DriverError> {
    let unit = Unit { effect: commands(text)?, ..Unit::default() };
    Ok(session.change(&unit).await.map(|_| ())?)
}

fn commands(text: &str) -> Result<Vec<Document>, DriverError> {
    let read: Value = serde_json::from_str(text).map_err(|e| {
        DriverError::Statement(StatementFailure {
            message: format!("this is no JSON: {e}"),
            code: None,
            line: u32::try_from(e.line()).ok(),
            hint: None,
        })
    })?;
    let form = "write `{ \"customers\": [ { \"_id\": 1, … } ] }`";
    let Value::Object(collections) = &read else { return Err(refusal("an object is expected".to_owned(), form)) };
    let mut commands = Vec::new();
    for (name, documents) in collections {
        if name.is_empty() || name.starts_with("godwit_") || name.starts_with("system.") {
            return Err(refusal(format!("`{name}` is no collection for seed data"), form));
        }
        let Value::Array(documents) = documents else {
            return Err(refusal(format!("`{name}` is no list of documents"), form));
        };
        let updates = documents
            .iter()
            .enumerate()
            .map(|(n, one)| update(one).map_err(|why| refusal(format!("document {} of `{name}`: {why}", n + 1), form)));
        let updates = updates.collect::<Result<Vec<_>, _>>()?;
        for batch in updates.chunks(BATCH) {
            commands.push(doc! { "update": name, "updates": batch.to_vec(), "ordered": true });
        }
    }
    Ok(commands)
}

fn update(document: &Value) -> Result<Document, String> {
    let Value::Object(map) = document else { return Err("it is no object".to_owned()) };
    let document = values::document(map)?;
    let id = document.get("_id").filter(|id| **id != Bson::Null).cloned();
    let Some(id) = id else {
        return Err("give it an `_id`, so that seeding again writes the same document".to_owned());
    };
    if let Some(operator) = document.keys().find(|k| k.starts_with('$')) {
        return Err(format!("`{operator}` is no field's name"));
    }
    Ok(doc! { "q": { "_id": id }, "u": document, "upsert": true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_42_documents_are_read_before_anything_is_written() {
        let found = commands(r#"{ "a": [{ "_id": 1, "at": { "$date": "2026-01-02T00:00:00Z" } }], "b": [] }"#).unwrap();
        assert_eq!(found.len(), 1);
        let update = found[0].get_array("updates").unwrap()[0].as_document().unwrap();
        assert_eq!(update.get_document("q").unwrap(), &doc! { "_id": 1 });
        for wrong in [
            "{",
            "[]",
            r#"{ "a": {} }"#,
            r#"{ "a": [1] }"#,
            r#"{ "a": [{ "n": 1 }] }"#,
            r#"{ "a": [{ "_id": 1, "$set": {} }] }"#,
            r#"{ "godwit_history": [{ "_id": 1 }] }"#,
            r#"{ "system.users": [{ "_id": 1 }] }"#,
        ] {
            assert!(commands(wrong).is_err(), "{wrong}");
        }
    }
}
