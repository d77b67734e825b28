//! The live schema: collections with their options, indexes.

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use super::history::is_own;
use super::values::sorted;
use super::wire::{self, json};
use crate::drivers::DriverError;
use crate::plan::SchemaSnapshot;

/// Every collection and index but Godwit's own and the server's.
pub(super) async fn snapshot(db: &Database) -> Result<SchemaSnapshot, DriverError> {
    let list = doc! { "listCollections": 1, "cursor": { "batchSize": 1_000 } };
    let mut snapshot = SchemaSnapshot::default();
    for listed in wire::all(db, "$cmd.listCollections", list).await? {
        let name = listed.get_str("name").unwrap_or_default();
        if is_own(name) || name.starts_with("system.") {
            continue;
        }
        let kind = listed.get_str("type").unwrap_or("collection");
        snapshot.objects.insert(format!("{kind} {name}"), lines(listed.get_document("options").ok(), &[]));
        if kind == "view" {
            continue;
        }
        let indexes = match wire::run(db, None, doc! { "listIndexes": name, "cursor": { "batchSize": 1_000 } }).await {
            Ok(reply) => wire::batch_of(&reply).0,
            // Dropped since it was listed.
            Err(fault) if fault.code == Some(26) => continue,
            Err(fault) => return Err(fault.error),
        };
        for index in indexes {
            let its = index.get_str("name").unwrap_or_default();
            if its != "_id_" {
                snapshot.objects.insert(format!("index {name}/{its}"), lines(Some(&index), &["v", "ns", "name"]));
            }
        }
    }
    Ok(snapshot)
}

/// One property a line, in the order of their names; an index's key keeps its order, which is part of it.
fn lines(properties: Option<&Document>, without: &[&str]) -> String {
    let mut lines: Vec<String> = properties
        .into_iter()
        .flatten()
        .filter(|(name, _)| !without.contains(&name.as_str()))
        .map(|(name, value)| {
            let value = if name == "key" { value.clone() } else { sorted(value) };
            format!("{name}: {}", json(&number_free(&value)))
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

/// `1`, `1.0` and a long 1 are the same to the server.
fn number_free(value: &Bson) -> Bson {
    match value {
        Bson::Document(d) => Bson::Document(d.iter().map(|(k, v)| (k.clone(), number_free(v))).collect()),
        Bson::Array(items) => Bson::Array(items.iter().map(number_free).collect()),
        other => wire::number(Some(other))
            .map_or_else(|| other.clone(), |n| i32::try_from(n).map_or(Bson::Int64(n), Bson::Int32)),
    }
}
