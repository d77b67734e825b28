//! The live schema: indices with their mappings, settings and aliases, and templates.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::ASIDE;
use super::own::{canonical, is_own};
use super::wire::Wire;
use crate::drivers::DriverError;
use crate::drivers::scratch::PREFIX;
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

/// Reads it. With a `prefix`, what begins with it and as if it did not; without one, everything but what rehearsals and
/// restores have made for themselves.
pub(super) async fn read(wire: &Wire, prefix: &str) -> Result<SchemaSnapshot, DriverError> {
    let mut objects = BTreeMap::new();
    let counts = |name: &str| match prefix.is_empty() {
        true => ![PREFIX, ASIDE].iter().any(|made| name.starts_with(made)),
        false => name.starts_with(prefix),
    };
    let plain = |text: String| if prefix.is_empty() { text } else { text.replace(prefix, "") };
    let all = wire.get("_all?flat_settings=true&expand_wildcards=all").await?.ok()?;
    for (name, index) in all.as_object().into_iter().flatten() {
        // A leading dot is the server's own.
        if name.starts_with('.') || !counts(name) || is_own(&index["mappings"]) {
            continue;
        }
        objects.insert(plain(format!("index {}", of_any_run(name, index, prefix))), plain(definition(index)));
    }
    let templates = wire.get("_index_template").await?.found()?.unwrap_or_default();
    for template in templates["index_templates"].as_array().into_iter().flatten() {
        let name = template["name"].as_str().unwrap_or_default();
        let body = &template["index_template"];
        if !name.starts_with('.') && counts(name) && body["_meta"]["managed"] != true {
            objects.insert(plain(format!("template {name}")), plain(pretty(body)));
        }
    }
    Ok(SchemaSnapshot { objects, details: None })
}

/// An index's name; in a rehearsal, which runs each migration more than once, without the run's epoch.
fn of_any_run<'a>(name: &'a str, index: &Value, prefix: &str) -> &'a str {
    let epoch = index["mappings"]["_meta"]["godwit"]["epoch"].as_i64().filter(|_| !prefix.is_empty());
    epoch.and_then(|epoch| name.strip_suffix(&format!("_e{epoch}"))).unwrap_or(name)
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
