//! The live schema: indices with their mappings, settings and aliases, and templates.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::own::{canonical, is_own};
use super::wire::Wire;
use crate::drivers::DriverError;
use crate::plan::SchemaSnapshot;

/// Settings that differ between two indices that are equal for their users.
const VOLATILE: [&str; 7] = [
    "index.uuid",
    "index.creation_date",
    "index.creation_date_string",
    "index.provided_name",
    "index.version.",
    "index.resize.",
    "index.history.uuid",
];

/// Reads it.
pub(super) async fn read(wire: &Wire) -> Result<SchemaSnapshot, DriverError> {
    let mut objects = BTreeMap::new();
    let all = wire.get("_all?flat_settings=true&expand_wildcards=all").await?.ok()?;
    for (name, index) in all.as_object().into_iter().flatten() {
        // A leading dot is the server's own.
        if name.starts_with('.') || is_own(&index["mappings"]) {
            continue;
        }
        objects.insert(format!("index {name}"), definition(index));
    }
    let templates = wire.get("_index_template").await?.found()?.unwrap_or_default();
    for template in templates["index_templates"].as_array().into_iter().flatten() {
        let name = template["name"].as_str().unwrap_or_default();
        let body = &template["index_template"];
        if !name.starts_with('.') && body["_meta"]["managed"] != true {
            objects.insert(format!("template {name}"), pretty(body));
        }
    }
    Ok(SchemaSnapshot { objects })
}

/// One index, a property a line.
fn definition(index: &Value) -> String {
    let mut mapping = index["mappings"].clone();
    if let Some(meta) = mapping["_meta"].as_object_mut() {
        meta.remove("godwit");
    }
    if let Some(mapping) = mapping.as_object_mut()
        && mapping.get("_meta").is_some_and(|m| m.as_object().is_none_or(Map::is_empty))
    {
        mapping.remove("_meta");
    }
    let settings: Map<String, Value> = index["settings"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !VOLATILE.iter().any(|v| key.starts_with(v)))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    pretty(&serde_json::json!({"aliases": index["aliases"], "mapping": mapping, "settings": settings}))
}

fn pretty(value: &Value) -> String {
    format!("{:#}", canonical(value))
}
