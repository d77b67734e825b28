//! Operations of Elasticsearch against the state that the operations before them leave: what is there already, what loses
//! its alias, what is left set when the migration ends. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::{Map, Value};

use super::{Look, rules};
use crate::lint::Severity;
use crate::migration::operations::elasticsearch::Operation;
use crate::migration::operations::{Located, Operation as Any};

/// Fields of an index that the server takes unless it is told otherwise (`index.mapping.total_fields.limit`).
const MAX_FIELDS: usize = 1000;
/// The same for fields of type `nested` (`index.mapping.nested_fields.limit`).
const MAX_NESTED: usize = 50;

/// What is known besides names, mappings and aliases.
#[derive(Default)]
pub(super) struct State {
    /// Indices that migrations made and nothing deleted.
    made: BTreeSet<String>,
    /// Indices that had an alias at some time.
    published: BTreeSet<String>,
    /// Indices that keep no `_source`.
    without_source: BTreeSet<String>,
}

/// Judges an operation by what stands before it, and takes over what it changes.
pub(super) fn follow(look: &mut Look<'_>, at: &Range<usize>, operation: &Operation) {
    match operation {
        Operation::CreateIndex { index, mapping, .. } => {
            if look.unit.there.get(&format!("index {index}")) == Some(&true) {
                let message = format!("`{index}` is there already: an operation before this one makes it");
                look.add(&rules::INDEX_EXISTS, at, message, "take this operation out, or give the index another name");
            }
            mapping_types(look, at, mapping);
            explosion(look, at, index, mapping);
            if mapping.get("_source").and_then(|s| s.get("enabled")) == Some(&Value::Bool(false)) {
                look.add(
                    &rules::SOURCE_DISABLED,
                    at,
                    format!("`{index}` keeps no `_source`: it can never be reindexed, updated or restored from itself"),
                    "leave `_source` on; `excludes` takes single fields out of it",
                );
                look.unit.elastic.without_source.insert(index.clone());
            }
            look.unit.elastic.made.insert(index.clone());
        }
        Operation::DeleteIndex { index } => {
            let lost: Vec<&String> = look.unit.aliases.iter().filter(|(_, of)| *of == index).map(|(a, _)| a).collect();
            if let Some(alias) = lost.first() {
                let message =
                    format!("the alias `{alias}` goes with `{index}`: until it is made again nobody finds it");
                look.add(&rules::ALIAS_GAP, at, message, "move the alias in one call first: `swap_alias`");
            }
            look.unit.elastic.made.remove(index);
        }
        Operation::UpdateMapping { index, mapping } => {
            mapping_types(look, at, mapping);
            explosion(look, at, index, mapping);
        }
        Operation::CreateAlias { index, alias, .. } => {
            if look.unit.elastic.made.contains(alias) {
                let message = format!("an index is called `{alias}`; an alias cannot have the name of an index");
                look.add(&rules::INDEX_EXISTS, at, message, "give one of them another name");
            }
            look.unit.elastic.published.insert(index.clone());
        }
        Operation::Reindex { source, dest, script, wait, .. } => {
            if look.unit.elastic.without_source.contains(source) {
                let message = format!("`{source}` keeps no `_source`, so nothing can be copied from it");
                look.add(&rules::SOURCE_DISABLED, at, message, "fill the index from where the documents came from");
                if let Some(last) = look.found.last_mut() {
                    last.severity = Some(Severity::Error);
                }
            }
            if !wait {
                look.add(
                    &rules::REINDEX_NOT_AWAITED,
                    at,
                    format!(
                        "the next operation begins while `{source}` is still being copied; whether it failed is seen only at the end"
                    ),
                    "leave `wait` out, so that the copy is watched to its end and its documents are counted",
                );
            }
            if script.is_none() {
                let there = real(look, dest);
                let fields = look.unit.mappings.get(&there).map(|m| m.keys().cloned().collect());
                left_out(look, at, source, dest, fields);
            }
        }
        Operation::PutTemplate { template, .. } => {
            let inner = template.get("template").and_then(Value::as_object).unwrap_or(template);
            if let Some(mapping) = inner.get("mappings").and_then(Value::as_object) {
                mapping_types(look, at, mapping);
            }
        }
        Operation::SwapAlias { from, to, mapping, script, .. } => {
            if let Some(mapping) = mapping {
                mapping_types(look, at, mapping);
                explosion(look, at, to, mapping);
                if script.is_none() {
                    let mut fields = BTreeMap::new();
                    if super::elasticsearch::walk("", mapping, &mut fields).is_ok() {
                        left_out(look, at, from, to, Some(fields.into_keys().collect()));
                    }
                }
            }
            look.unit.elastic.published.extend([from.clone(), to.clone()]);
        }
        Operation::PutSettings { .. }
        | Operation::UpdateByQuery { .. }
        | Operation::DeleteByQuery { .. }
        | Operation::Undo { .. } => {}
    }
}

fn real(look: &Look<'_>, name: &str) -> String {
    look.unit.aliases.get(name).cloned().unwrap_or_else(|| name.to_owned())
}

/// Fields that documents bring along and the new index does not map: gone for readers, or guessed anew.
fn left_out(look: &mut Look<'_>, at: &Range<usize>, source: &str, dest: &str, fields: Option<BTreeSet<String>>) {
    let (Some(before), Some(after)) = (look.unit.mappings.get(&real(look, source)), fields) else { return };
    let missing: Vec<String> = before.keys().filter(|f| !after.contains(*f)).map(|f| format!("`{f}`")).collect();
    if missing.is_empty() {
        return;
    }
    let message = format!(
        "`{dest}` does not map {}, which `{source}` does: searches of it break, or its type is guessed",
        missing.join(", ")
    );
    let help = "map it, or take it out of the documents with a `script`; for another name add a field of type `alias`";
    look.add(&rules::FIELD_LEFT_OUT, at, message, help);
}

/// A name between the mapping and its `properties`: mapping types, which 8.0 refuses.
fn mapping_types(look: &mut Look<'_>, at: &Range<usize>, mapping: &Map<String, Value>) {
    let named = mapping.iter().find(|(key, value)| {
        matches!(key.as_str(), "_doc" | "_default_" | "include_type_name")
            || (*key != "properties" && value.as_object().is_some_and(|o| o.contains_key("properties")))
    });
    if let Some((key, _)) = named {
        let message =
            format!("`{key}` is a mapping type; Elasticsearch 8 refuses it, and 7 only takes it when asked to");
        look.add(&rules::MAPPING_TYPES, at, message, "put `properties` right below `mapping`");
    }
}

/// Mappings that grow without end, or beyond what the server takes.
fn explosion(look: &mut Look<'_>, at: &Range<usize>, index: &str, mapping: &Map<String, Value>) {
    let mut fields = BTreeMap::new();
    if super::elasticsearch::walk("", mapping, &mut fields).is_err() {
        return;
    }
    let is_dynamic = |how: &Value| matches!(how, Value::Bool(true)) || how.as_str() == Some("true");
    let open = mapping.get("dynamic").is_some_and(is_dynamic)
        || fields.values().any(|how| how.get("dynamic").is_some_and(is_dynamic));
    let name = real(look, index);
    let mut known = look.unit.mappings.get(&name).cloned().unwrap_or_default();
    known.extend(fields);
    let nested = known.values().filter(|how| how.get("type").and_then(Value::as_str) == Some("nested")).count();
    let message = if known.len() > MAX_FIELDS {
        format!("`{index}` would have {} fields; the server takes {MAX_FIELDS}", known.len())
    } else if nested > MAX_NESTED {
        format!("`{index}` would have {nested} nested fields; the server takes {MAX_NESTED}")
    } else if open {
        format!("`dynamic: true` makes a field of every new key in a document of `{index}`")
    } else {
        return;
    };
    let help = "map what is searched, and set `dynamic` to `strict` or `false`; keys that nobody knows fit into one `flattened` field";
    look.add(&rules::MAPPING_EXPLOSION, at, message, help);
}

/// What a migration leaves behind at its end.
pub(super) fn whole(look: &mut Look<'_>, listed: &[Located]) {
    let mut settings: BTreeMap<&str, BTreeMap<String, (Value, Range<usize>)>> = BTreeMap::new();
    let mut created: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    let mut filled: BTreeSet<&str> = BTreeSet::new();
    let mut read: BTreeSet<&str> = BTreeSet::new();
    for located in listed {
        let Any::Elasticsearch(operation) = &located.operation else { continue };
        let at = &located.range;
        match operation {
            Operation::CreateIndex { index, settings: given, .. } => {
                created.insert(index, at.clone());
                take(settings.entry(index).or_default(), given, at);
            }
            Operation::PutSettings { index, settings: given } => take(settings.entry(index).or_default(), given, at),
            Operation::SwapAlias { to, settings: Some(given), .. } => take(settings.entry(to).or_default(), given, at),
            Operation::DeleteIndex { index } => {
                created.remove(index.as_str());
                settings.remove(index.as_str());
            }
            Operation::Reindex { source, dest, .. } => {
                filled.insert(dest);
                read.insert(source);
            }
            _ => {}
        }
    }
    for (index, at) in created {
        if look.unit.elastic.published.contains(index) || read.contains(index) {
            continue;
        }
        let message =
            format!("no alias names `{index}`: the next change of its mapping cannot be made without its readers");
        look.add(
            &rules::INDEX_WITHOUT_ALIAS,
            &at,
            message,
            "give it one with `create_alias`, and have everybody use that",
        );
        if let Some(last) = look.found.last_mut().filter(|_| filled.contains(index)) {
            last.severity = Some(Severity::Warning);
        }
    }
    for (index, left) in settings {
        for (key, (value, at)) in left {
            let says = |text: &str| match &value {
                Value::String(given) => given == text,
                Value::Number(number) => number.as_i64() == text.parse().ok(),
                Value::Bool(on) => *on && text == "true",
                Value::Null | Value::Array(_) | Value::Object(_) => false,
            };
            if (key == "number_of_replicas" && says("0")) || (key == "refresh_interval" && says("-1")) {
                let harm = if key == "refresh_interval" {
                    "new documents are never found"
                } else {
                    "one lost node loses documents"
                };
                let message = format!("`{key}` of `{index}` stays {value} after the migration: {harm}");
                look.add(&rules::BULK_SETTINGS_LEFT, &at, message, "set it back behind the load, with `put_settings`");
            } else if key.starts_with("blocks.") && says("true") {
                let message = format!("`{key}` of `{index}` stays on after the migration: whoever needs it is refused");
                look.add(
                    &rules::INDEX_BLOCKED,
                    &at,
                    message,
                    "take the block away in the same migration, with `put_settings`",
                );
            }
        }
    }
}

/// Adds settings, nested or dotted, with or without `index.` in front.
fn take(into: &mut BTreeMap<String, (Value, Range<usize>)>, given: &Map<String, Value>, at: &Range<usize>) {
    fn walk(prefix: &str, map: &Map<String, Value>, out: &mut Vec<(String, Value)>) {
        for (key, value) in map {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value.as_object() {
                Some(inner) => walk(&path, inner, out),
                None => out.push((path.strip_prefix("index.").unwrap_or(&path).to_owned(), value.clone())),
            }
        }
    }
    let mut flat = Vec::new();
    walk("", given, &mut flat);
    into.extend(flat.into_iter().map(|(key, value)| (key, (value, at.clone()))));
}
