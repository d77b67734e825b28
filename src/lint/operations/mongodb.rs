//! What operations of MongoDB make, use and leave behind, for the rules that judge them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Unit;
use crate::migration::operations::mongodb::{Operation, index_name};

pub(super) fn makes(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::CreateCollection { collection, .. } => vec![format!("collection {collection}")],
        Operation::CreateIndex { collection, index, options } => {
            vec![format!("index {collection}/{}", index_name(index, options))]
        }
        Operation::RenameCollection { to, .. } => vec![format!("collection {to}")],
        _ => Vec::new(),
    }
}

pub(super) fn uses(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::CreateIndex { collection, .. }
        | Operation::AddField { collection, .. }
        | Operation::RemoveField { collection, .. }
        | Operation::RenameField { collection, .. }
        | Operation::UpdateDocuments { collection, .. }
        | Operation::DropCollection { collection }
        | Operation::SetValidator { collection, .. } => vec![format!("collection {collection}")],
        Operation::DropIndex { collection, name } => {
            vec![format!("collection {collection}"), format!("index {collection}/{name}")]
        }
        Operation::RenameCollection { from, .. } => vec![format!("collection {from}")],
        Operation::CreateCollection { .. } | Operation::RunCommand { .. } | Operation::Undo { .. } => Vec::new(),
    }
}

pub(super) fn takes_away(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::DropIndex { collection, name } => vec![format!("index {collection}/{name}")],
        Operation::DropCollection { collection } => vec![format!("collection {collection}")],
        Operation::RenameCollection { from, .. } => vec![format!("collection {from}")],
        _ => Vec::new(),
    }
}

/// What is known of collections besides their names.
#[derive(Default)]
pub(super) struct State {
    /// `collection/name` → keys and options of an index that migrations made.
    indexes: BTreeMap<String, Value>,
    /// Collections that migrations made, with the options they were made with.
    options: BTreeMap<String, Map<String, Value>>,
    /// Collections that migrations sharded, with the fields of their key.
    shard_keys: BTreeMap<String, Vec<String>>,
    /// Collections whose validator refuses documents, with that validator.
    validators: BTreeMap<String, Map<String, Value>>,
}

impl Unit {
    /// Keys and options of an index that migrations made.
    pub(in crate::lint) fn index(&self, collection: &str, name: &str) -> Option<&Value> {
        self.mongo.indexes.get(&format!("{collection}/{name}"))
    }

    /// The name of another index that migrations made, of which the server does not tell one of this definition.
    pub(in crate::lint) fn same_index(&self, collection: &str, name: &str, definition: &Value) -> Option<&str> {
        let of = |key: &String| key.strip_prefix(collection).is_some_and(|rest| rest.starts_with('/'));
        let asked = identity(definition);
        let mut same = self.mongo.indexes.iter().filter(|(key, known)| of(key) && identity(known) == asked);
        same.find_map(|(key, _)| key.rsplit_once('/').map(|(_, other)| other).filter(|other| *other != name))
    }

    /// The options of a collection that is there, where they are not these.
    pub(in crate::lint) fn other_options(
        &self,
        collection: &str,
        options: &Map<String, Value>,
    ) -> Option<&Map<String, Value>> {
        let there = self.is_there(&format!("collection {collection}"));
        self.mongo.options.get(collection).filter(|before| there && *before != options)
    }

    /// The name of another text index of a collection.
    pub(in crate::lint) fn text_index(&self, collection: &str, name: &str) -> Option<&str> {
        let mut known = self.mongo.indexes.iter().filter_map(|(key, definition)| {
            let other = key.strip_prefix(collection)?.strip_prefix('/')?;
            let keys = definition.get(0)?.as_array()?;
            keys.iter().any(|key| key.get(1).and_then(Value::as_str) == Some("text")).then_some(other)
        });
        known.find(|other| *other != name)
    }

    /// Whether the validator of a collection refuses a document without this field.
    pub(in crate::lint) fn requires(&self, collection: &str, field: &str) -> bool {
        self.mongo.validators.get(collection).is_some_and(|validator| required(validator).contains(field))
    }

    /// The BSON types that the validator of a collection lets a field have, where its schema says so.
    pub(in crate::lint) fn types_of(&self, collection: &str, field: &str) -> Option<Vec<&str>> {
        let schema = self.mongo.validators.get(collection)?.get("$jsonSchema")?;
        let inner = field.split('.').try_fold(schema, |below, name| below.get("properties")?.get(name))?;
        match inner.get("bsonType")? {
            Value::String(name) => Some(vec![name]),
            Value::Array(names) => names.iter().map(Value::as_str).collect(),
            _ => None,
        }
    }

    /// What makes a collection that migrations made one of time series.
    pub(in crate::lint) fn time_series(&self, collection: &str) -> Option<&Map<String, Value>> {
        let there = self.is_there(&format!("collection {collection}"));
        self.mongo.options.get(collection).filter(|_| there)?.get("timeseries")?.as_object()
    }

    /// The fields of a collection's shard key.
    pub(in crate::lint) fn shard_key(&self, collection: &str) -> Option<&[String]> {
        self.mongo.shard_keys.get(collection).map(Vec::as_slice)
    }
}

/// What makes one index another than one of the same name.
pub(in crate::lint) fn definition(index: &[(String, Value)], options: &Map<String, Value>) -> Value {
    let mut meaning = options.clone();
    for option in ["background", "name", "v"] {
        meaning.remove(option);
    }
    // To say that it is not so is to leave it out.
    meaning.retain(|option, value| {
        let is_off = *value == false || value.as_f64() == Some(0.0);
        !(is_off && matches!(option.as_str(), "unique" | "sparse" | "hidden"))
    });
    // 1 and 1.0 are one direction.
    let direction = |way: &Value| way.as_f64().map_or_else(|| way.clone(), |number| json!(number));
    let index: Vec<(&String, Value)> = index.iter().map(|(field, way)| (field, direction(way))).collect();
    json!([index, meaning])
}

/// What of a definition makes one index another than one of another name.
fn identity(definition: &Value) -> (&Value, Vec<Option<&Value>>) {
    let options = ["unique", "sparse", "collation", "partialFilterExpression", "wildcardProjection"];
    (&definition[0], options.into_iter().map(|option| definition[1].get(option)).collect())
}

/// The collection of a name as commands give it, with the database in front.
pub(in crate::lint) fn without_database(name: &str) -> &str {
    name.split_once('.').map_or(name, |(_, collection)| collection)
}

/// The paths that a validator requires: by its schema, or by `$exists`.
fn required(validator: &Map<String, Value>) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    if let Some(schema) = validator.get("$jsonSchema") {
        required_by(schema, "", &mut paths);
    }
    let exists = validator.iter().filter(|(_, asked)| asked.get("$exists") == Some(&Value::Bool(true)));
    paths.extend(exists.map(|(field, _)| field.clone()));
    paths
}

fn required_by(schema: &Value, prefix: &str, paths: &mut BTreeSet<String>) {
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    paths.extend(names.map(|name| format!("{prefix}{name}")));
    for (name, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        required_by(inner, &format!("{prefix}{name}."), paths);
    }
}

/// Takes over what an operation changes.
pub(super) fn follow(unit: &mut Unit, operation: &Operation) {
    match operation {
        Operation::CreateCollection { collection, options } => {
            let word = |key: &str| options.get(key).and_then(Value::as_str);
            let refuses = word("validationLevel") != Some("off") && word("validationAction") != Some("warn");
            if refuses && !unit.is_there(&format!("collection {collection}")) {
                let validator = options.get("validator").and_then(Value::as_object);
                unit.mongo.validators.insert(collection.clone(), validator.cloned().unwrap_or_default());
            }
            if unit.other_options(collection, options).is_none() {
                unit.mongo.options.insert(collection.clone(), options.clone());
            }
        }
        Operation::CreateIndex { collection, index, options } => {
            let name = index_name(index, options);
            unit.mongo.indexes.insert(format!("{collection}/{name}"), definition(index, options));
        }
        Operation::DropIndex { collection, name } => {
            unit.mongo.indexes.remove(&format!("{collection}/{name}"));
        }
        Operation::DropCollection { collection } => {
            unit.mongo.indexes.retain(|name, _| !name.starts_with(&format!("{collection}/")));
            unit.mongo.options.remove(collection);
            unit.mongo.shard_keys.remove(collection);
            unit.mongo.validators.remove(collection);
        }
        Operation::RenameCollection { from, to } => {
            let indexes = &mut unit.mongo.indexes;
            let moved: Vec<(String, Value)> = indexes
                .iter()
                .filter_map(|(name, v)| Some((format!("{to}/{}", name.strip_prefix(&format!("{from}/"))?), v.clone())))
                .collect();
            indexes.retain(|name, _| !name.starts_with(&format!("{from}/")));
            indexes.extend(moved);
            if let Some(options) = unit.mongo.options.remove(from) {
                unit.mongo.options.insert(to.clone(), options);
            }
            if let Some(validator) = unit.mongo.validators.remove(from) {
                unit.mongo.validators.insert(to.clone(), validator);
            }
        }
        Operation::SetValidator { collection, validator, validation_level, validation_action } => {
            unit.mongo.options.remove(collection);
            // What is not said stays as it was.
            let before = unit.mongo.validators.contains_key(collection);
            let level = validation_level.as_ref().map_or(before, |level| level != "off");
            let action = validation_action.as_ref().map_or(before, |action| action != "warn");
            if level && action {
                unit.mongo.validators.insert(collection.clone(), validator.clone());
            } else {
                unit.mongo.validators.remove(collection);
            }
        }
        Operation::RunCommand { command } => {
            if let Some((name, on)) = command.iter().next()
                && name == "shardCollection"
            {
                let key = command.get("key").and_then(Value::as_object);
                let fields = key.map(|k| k.keys().cloned().collect()).unwrap_or_default();
                let collection = without_database(on.as_str().unwrap_or_default());
                unit.mongo.shard_keys.entry(collection.to_owned()).or_insert(fields);
            }
            if let Some(collection) = command.get("collMod").and_then(Value::as_str) {
                unit.mongo.validators.remove(collection);
            }
        }
        Operation::AddField { .. }
        | Operation::RemoveField { .. }
        | Operation::RenameField { .. }
        | Operation::UpdateDocuments { .. }
        | Operation::Undo { .. } => {}
    }
}
