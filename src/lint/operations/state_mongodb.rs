//! Operations of MongoDB against the state that the operations before them leave: collections with their options, and
//! shard keys. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};

use super::{Look, rules};
use crate::migration::operations::mongodb::Operation;

/// What is known besides names and indexes.
#[derive(Default)]
pub(super) struct State {
    /// Collections that migrations made, with the options they were made with.
    options: BTreeMap<String, Map<String, Value>>,
    /// Collections that migrations sharded, with the fields of their key.
    shard_keys: BTreeMap<String, Vec<String>>,
}

/// Options that a collection keeps for its life.
const FIXED: [&str; 4] = ["capped", "timeseries", "clusteredIndex", "collation"];

/// Judges an operation by what stands before it, and takes over what it changes.
pub(super) fn follow(look: &mut Look<'_>, at: &Range<usize>, operation: &Operation) {
    match operation {
        Operation::CreateCollection { collection, options } => created(look, at, collection, options),
        Operation::AddField { collection, field, filter, batch_size, .. } => {
            on_shard_key(look, at, collection, field);
            if filter.is_none() && batch_size.is_none() && !look.is_fresh(&format!("collection {collection}")) {
                look.add(
                    &rules::FIELD_WITHOUT_BATCH,
                    at,
                    format!("every document of `{collection}` is written, and so is the log that the replicas read"),
                    "say how many at once with `batch_size`, and run it when there is little load",
                );
            }
        }
        Operation::RemoveField { collection, field, .. } => on_shard_key(look, at, collection, field),
        Operation::RenameField { collection, from, to, .. } => {
            on_shard_key(look, at, collection, from);
            on_shard_key(look, at, collection, to);
        }
        Operation::UpdateDocuments { collection, update, multi, .. } => updated(look, at, collection, update, *multi),
        Operation::DropCollection { collection } => {
            look.unit.mongo.options.remove(collection);
            look.unit.mongo.shard_keys.remove(collection);
        }
        Operation::RenameCollection { from, to } => {
            if let Some(options) = look.unit.mongo.options.remove(from) {
                look.unit.mongo.options.insert(to.clone(), options);
            }
        }
        Operation::SetValidator { collection, .. } => drop(look.unit.mongo.options.remove(collection)),
        Operation::RunCommand { command } => commanded(look, at, command),
        Operation::CreateIndex { .. } | Operation::DropIndex { .. } | Operation::Undo { .. } => {}
    }
}

fn created(look: &mut Look<'_>, at: &Range<usize>, collection: &str, options: &Map<String, Value>) {
    let there = look.unit.there.get(&format!("collection {collection}")) == Some(&true);
    let before = look.unit.mongo.options.get(collection).filter(|before| there && *before != options).cloned();
    if let Some(before) = before {
        match FIXED.iter().find(|key| before.get(**key) != options.get(**key)) {
            Some(key) => look.add(
                &rules::FIXED_OPTION,
                at,
                format!("`{collection}` is there with another `{key}`, which a collection keeps for its life"),
                "make another collection with it, copy the documents and move the readers",
            ),
            None => look.add(
                &rules::COLLECTION_CONFLICT,
                at,
                format!("`{collection}` is there already, made with other options"),
                "take this operation out; `set_validator` changes the validator of what is there",
            ),
        }
        return;
    }
    look.unit.mongo.options.insert(collection.to_owned(), options.clone());
}

fn updated(look: &mut Look<'_>, at: &Range<usize>, collection: &str, update: &Value, multi: bool) {
    if !multi {
        look.add(
            &rules::FIRST_MATCH_ONLY,
            at,
            format!("of the documents of `{collection}` that match one is changed, and nobody knows which"),
            "leave `multi` out, or filter by `_id`",
        );
    }
    let stages: Vec<&Map<String, Value>> = match update {
        Value::Object(operators) => vec![operators],
        Value::Array(stages) => stages.iter().filter_map(Value::as_object).collect(),
        _ => Vec::new(),
    };
    for operators in stages {
        for (operator, fields) in operators {
            let Some(fields) = fields.as_object() else { continue };
            for (field, value) in fields {
                on_shard_key(look, at, collection, field);
                let replaced = matches!(operator.as_str(), "$set" | "$addFields")
                    && value.as_object().is_some_and(|o| !o.is_empty() && !o.keys().any(|k| k.starts_with('$')));
                // In a pipeline an object is merged into the one that stands there.
                if replaced && update.is_object() {
                    look.add(
                        &rules::REPLACED_SUBDOCUMENT,
                        at,
                        format!("`$set` puts a whole object in the place of `{field}`: whatever else it held is gone"),
                        "set its fields one by one: `{\"$set\": {\"profile.locale\": \"en\"}}`",
                    );
                }
            }
        }
    }
}

fn on_shard_key(look: &mut Look<'_>, at: &Range<usize>, collection: &str, field: &str) {
    let keys = look.unit.mongo.shard_keys.get(collection);
    if keys.is_some_and(|keys| keys.iter().any(|key| key == field)) {
        look.add(
            &rules::FIXED_OPTION,
            at,
            format!("`{field}` is part of the shard key of `{collection}`; each change of it moves the document"),
            "make another collection with the key that is wanted, copy the documents and move the readers",
        );
    }
}

fn commanded(look: &mut Look<'_>, at: &Range<usize>, command: &Map<String, Value>) {
    let Some((name, on)) = command.iter().next() else { return };
    let on = on.as_str().unwrap_or_default();
    let every = |list: &str, filter: &str| {
        command.get(list).and_then(Value::as_array).is_some_and(|all| {
            all.iter().any(|one| one.get(filter).and_then(Value::as_object).is_some_and(Map::is_empty))
        })
    };
    let destroyed = match name.as_str() {
        "dropDatabase" => Some("the whole database is gone".to_owned()),
        "drop" => Some(format!("every document of `{on}` is gone")),
        "renameCollection" if command.get("dropTarget") == Some(&Value::Bool(true)) => {
            Some("the collection of the new name is dropped without a word".to_owned())
        }
        "delete" if every("deletes", "q") => Some(format!("an empty filter deletes every document of `{on}`")),
        "dropIndexes" if command.get("index").and_then(Value::as_str) == Some("*") => {
            Some(format!("every index of `{on}` is dropped"))
        }
        _ => None,
    };
    if let Some(message) = destroyed {
        let help = "use the operation for it, which records what it takes away: `drop_collection`, `drop_index`";
        look.add(&rules::DESTRUCTIVE_COMMAND, at, message, help);
    }
    let collection = on.split_once('.').map_or(on, |(_, collection)| collection);
    let fixed = match name.as_str() {
        "convertToCapped" => Some(format!("`{on}` is copied under an exclusive lock, and its oldest documents go")),
        "reshardCollection" | "refineCollectionShardKey" => Some(format!("the shard key of `{on}` changes")),
        "shardCollection" if look.unit.mongo.shard_keys.contains_key(collection) => {
            Some(format!("`{on}` has a shard key already"))
        }
        "collMod" => ["capped", "timeseries"]
            .iter()
            .find(|k| command.contains_key(**k))
            .map(|k| format!("`{k}` of `{on}` changes")),
        _ => None,
    };
    if let Some(message) = fixed {
        let help = "make another collection, copy the documents and move the readers";
        look.add(&rules::FIXED_OPTION, at, message, help);
    }
    if name == "shardCollection" {
        let key = command.get("key").and_then(Value::as_object);
        let fields = key.map(|k| k.keys().cloned().collect()).unwrap_or_default();
        look.unit.mongo.shard_keys.entry(collection.to_owned()).or_insert(fields);
    }
}
