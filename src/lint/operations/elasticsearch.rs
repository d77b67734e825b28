//! What is wrong with operations of Elasticsearch, or dangerous.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};

use super::{Look, everything, rules};
use crate::migration::operations::elasticsearch::Operation;

pub(super) fn makes(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::CreateIndex { index, .. } => vec![format!("index {index}")],
        // An alias is as good as an index to whoever uses it.
        Operation::CreateAlias { alias, .. } => vec![format!("index {alias}")],
        _ => Vec::new(),
    }
}

pub(super) fn uses(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::DeleteIndex { index }
        | Operation::UpdateMapping { index, .. }
        | Operation::CreateAlias { index, .. }
        | Operation::PutSettings { index, .. }
        | Operation::UpdateByQuery { index, .. }
        | Operation::DeleteByQuery { index, .. } => vec![format!("index {index}")],
        Operation::Reindex { source, dest, .. } => vec![format!("index {source}"), format!("index {dest}")],
        Operation::SwapAlias { from, to, mapping, .. } => {
            let mut names = vec![format!("index {from}")];
            // With a mapping the swap builds the index itself.
            if mapping.is_none() {
                names.push(format!("index {to}"));
            }
            names
        }
        Operation::CreateIndex { .. } | Operation::PutTemplate { .. } | Operation::Undo { .. } => Vec::new(),
    }
}

pub(super) fn takes_away(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::DeleteIndex { index } => vec![format!("index {index}")],
        _ => Vec::new(),
    }
}

pub(super) fn check(look: &mut Look<'_>, at: &Range<usize>, operation: &Operation) {
    match operation {
        Operation::CreateIndex { index, mapping, .. } => {
            name(look, at, index);
            if let Some(fields) = fields_of(look, at, mapping) {
                look.unit.mappings.insert(index.clone(), fields);
            }
        }
        Operation::DeleteIndex { index } => {
            name(look, at, index);
            look.unit.mappings.remove(index);
            look.unit.aliases.retain(|_, of| of != index);
            look.add(
                &rules::DELETE_INDEX,
                at,
                format!("`{index}` and its documents are gone; only a backup brings them back"),
                "move its alias first, wait until nobody reads it by its own name, take a snapshot, then delete it",
            );
        }
        Operation::UpdateMapping { index, mapping } => {
            name(look, at, index);
            update_mapping(look, at, index, mapping);
        }
        Operation::CreateAlias { index, alias, .. } => {
            name(look, at, index);
            name(look, at, alias);
            look.unit.aliases.insert(alias.clone(), index.clone());
        }
        Operation::Reindex { source, dest, .. } => {
            name(look, at, source);
            name(look, at, dest);
            reindex(look, at, source, dest);
        }
        Operation::PutTemplate { .. } => {}
        Operation::PutSettings { index, settings } => {
            name(look, at, index);
            if let Some(setting) = static_setting(settings) {
                look.add(
                    &rules::STATIC_SETTING,
                    at,
                    format!("`{setting}` is set when an index is made; an open one refuses it"),
                    "make a new index with it, reindex, and swap the alias",
                );
            }
        }
        Operation::SwapAlias { alias, from, to, mapping, .. } => {
            for given in [alias, from, to] {
                name(look, at, given);
            }
            if from == to && mapping.is_none() {
                let message = format!("`{alias}` would move from `{from}` to itself");
                look.add(&rules::REINDEX_ONTO_ITSELF, at, message, "name another index in `to`");
            }
            if let Some(fields) = mapping.as_ref().and_then(|m| fields_of(look, at, m)) {
                look.unit.mappings.insert(to.clone(), fields);
            }
            if mapping.is_some() {
                load(look, at, from);
            }
            look.unit.aliases.insert(alias.clone(), to.clone());
        }
        Operation::UpdateByQuery { index, query, requests_per_second, .. } => {
            name(look, at, index);
            query_of(look, at, index, query, "changes");
            look.add(
                &rules::UPDATE_BY_QUERY,
                at,
                format!("every document of `{index}` that matches is written anew"),
                match requests_per_second {
                    None => "bound it with `requests_per_second`",
                    Some(_) => "run it when there is little load",
                },
            );
        }
        Operation::DeleteByQuery { index, query, .. } => {
            name(look, at, index);
            query_of(look, at, index, query, "deletes");
            look.add(
                &rules::DELETE_BY_QUERY,
                at,
                format!("documents of `{index}` that match are gone for good"),
                "count them first, and take a snapshot",
            );
        }
        Operation::Undo { .. } => {}
    }
}

/// What the server asks of a name, and that it names one index [S4-27].
fn name(look: &mut Look<'_>, at: &Range<usize>, given: &str) {
    let help = "write the literal name of one index";
    let wrong = if given == "_all" || given.contains(['*', '?']) {
        Some(format!("`{given}` is a pattern: it means every index that fits"))
    } else if given.contains(',') {
        Some(format!("`{given}` is a list of indices"))
    } else if given.is_empty() || given == "." || given == ".." || given.starts_with(['-', '_', '+']) {
        Some(format!("`{given}` is no name an index can have: it begins with `-`, `_` or `+`, or is empty"))
    } else if given.len() > 255 {
        Some("a name of an index has 255 bytes at most".to_owned())
    } else if given.chars().any(char::is_uppercase) {
        Some(format!("`{given}` is no name an index can have: it must be lower case"))
    } else {
        given
            .chars()
            .find(|c| matches!(c, '\\' | '/' | '"' | '<' | '>' | '|' | ' ' | '#' | ':'))
            .map(|c| format!("`{given}` is no name an index can have: it holds `{c}`"))
    };
    if let Some(message) = wrong {
        look.add(&rules::INDEX_NAME, at, message, help);
    }
}

fn reindex(look: &mut Look<'_>, at: &Range<usize>, source: &str, dest: &str) {
    let real = |name: &str| look.unit.aliases.get(name).cloned().unwrap_or_else(|| name.to_owned());
    if real(source) == real(dest) {
        let message = format!("`{source}` would be copied onto itself; the server refuses that");
        look.add(&rules::REINDEX_ONTO_ITSELF, at, message, "make another index and name it in `dest`");
        return;
    }
    let made = look.unit.there.get(&format!("index {dest}")) == Some(&true);
    if !made {
        look.add(
            &rules::REINDEX_UNKNOWN_DEST,
            at,
            format!("no operation makes `{dest}`; mapping and settings are not copied with the documents"),
            "make it in front of the reindex with `create_index`, with the mapping it needs",
        );
    }
    load(look, at, source);
}

fn load(look: &mut Look<'_>, at: &Range<usize>, source: &str) {
    if !look.is_fresh(&format!("index {source}")) {
        look.add(
            &rules::REINDEX_LOAD,
            at,
            format!("every document of `{source}` is read and written"),
            "bound it with `requests_per_second`, and run it when there is little load",
        );
    }
}

fn query_of(look: &mut Look<'_>, at: &Range<usize>, index: &str, query: &Map<String, Value>, does: &str) {
    if everything::query_matches(query) {
        look.add(
            &rules::QUERY_MATCHES_ALL,
            at,
            format!("the query leaves nothing out: it {does} every document of `{index}`"),
            "say which documents; to empty an index, make a new one and swap the alias",
        );
    }
}

fn static_setting(settings: &Map<String, Value>) -> Option<String> {
    const STATIC: [&str; 8] = [
        "number_of_shards",
        "number_of_routing_shards",
        "codec",
        "routing_partition_size",
        "soft_deletes",
        "analysis",
        "sort",
        "similarity",
    ];
    fn walk(prefix: &str, map: &Map<String, Value>) -> Option<String> {
        map.iter().find_map(|(key, value)| {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            let plain = path.strip_prefix("index.").unwrap_or(&path);
            let head = plain.split('.').next().unwrap_or(plain);
            if STATIC.contains(&head) {
                return Some(path);
            }
            (path == "index").then(|| value.as_object().and_then(|inner| walk("index", inner))).flatten()
        })
    }
    walk("", settings)
}

fn update_mapping(look: &mut Look<'_>, at: &Range<usize>, index: &str, mapping: &Map<String, Value>) {
    let Some(added) = fields_of(look, at, mapping) else { return };
    let real = look.unit.aliases.get(index).cloned().unwrap_or_else(|| index.to_owned());
    let known = look.unit.mappings.entry(real).or_default();
    let mut wrong = Vec::new();
    for (field, how) in added {
        match known.get(&field) {
            Some(before) => {
                if let Some(what) = cannot_change(before, &how) {
                    wrong.push(format!("`{field}` of `{index}` is mapped already: {what} cannot be changed in place"));
                }
            }
            None => {
                known.insert(field, how);
            }
        }
    }
    for message in wrong {
        look.add(
            &rules::MAPPING_TYPE_CHANGE,
            at,
            message,
            "make a new index with the new mapping, fill it and move the alias: `swap_alias` with a `mapping` does all three",
        );
    }
}

/// What differs between two mappings of one field that the server would refuse.
fn cannot_change(before: &Value, after: &Value) -> Option<String> {
    for key in ["type", "analyzer", "index", "doc_values", "normalizer"] {
        let (old, new) = (before.get(key), after.get(key));
        // What is left out stays as it is, except the type: a field without one is an object.
        if old != new && (key == "type" || new.is_some()) {
            let word = |v: Option<&Value>| {
                v.map_or("not given".to_owned(), |v| v.as_str().map_or(v.to_string(), str::to_owned))
            };
            return Some(format!("its `{key}` ({} → {})", word(old), word(new)));
        }
    }
    None
}

/// The fields of a mapping by their path, each with its parameters; `None` where it is malformed.
fn fields_of(look: &mut Look<'_>, at: &Range<usize>, mapping: &Map<String, Value>) -> Option<BTreeMap<String, Value>> {
    let mut fields = BTreeMap::new();
    match walk("", mapping, &mut fields) {
        Ok(()) => {
            unknown_types(look, at, &fields);
            Some(fields)
        }
        Err(message) => {
            let help = "`{\"properties\": {\"id\": {\"type\": \"keyword\"}}}`";
            look.add(&rules::INVALID_MAPPING, at, message, help);
            None
        }
    }
}

/// Types that Elasticsearch 7.15 to 9 and the plugins of its own repository map.
const TYPES: [&str; 53] = [
    "aggregate_metric_double",
    "alias",
    "annotated_text",
    "binary",
    "boolean",
    "byte",
    "completion",
    "constant_keyword",
    "counted_keyword",
    "date",
    "date_nanos",
    "date_range",
    "dense_vector",
    "double",
    "double_range",
    "flattened",
    "float",
    "float_range",
    "geo_point",
    "geo_shape",
    "half_float",
    "histogram",
    "icu_collation_keyword",
    "integer",
    "integer_range",
    "ip",
    "ip_range",
    "join",
    "keyword",
    "long",
    "long_range",
    "match_only_text",
    "murmur3",
    "nested",
    "object",
    "passthrough",
    "pattern_text",
    "percolator",
    "point",
    "rank_feature",
    "rank_features",
    "rank_vectors",
    "scaled_float",
    "search_as_you_type",
    "semantic_text",
    "shape",
    "short",
    "sparse_vector",
    "text",
    "token_count",
    "unsigned_long",
    "version",
    "wildcard",
];

/// Types that the server knows only where somebody has put a plugin into it; as a rule they are misspelt (X401).
fn unknown_types(look: &mut Look<'_>, at: &Range<usize>, fields: &BTreeMap<String, Value>) {
    for (field, how) in fields {
        let Some(kind) = how.get("type").and_then(Value::as_str).filter(|k| !TYPES.contains(k)) else { continue };
        look.add(
            &rules::INVALID_MAPPING,
            at,
            format!("`{field}` has the type `{kind}`, which Elasticsearch has not by itself"),
            "such as `keyword`, `text`, `long`, `date`; where a plugin brings the type, waive this with its name",
        );
        if let Some(last) = look.found.last_mut() {
            last.severity = Some(crate::lint::Severity::Warning);
        }
    }
}

/// Collects the fields of a mapping.
pub(super) fn walk(
    prefix: &str,
    mapping: &Map<String, Value>,
    fields: &mut BTreeMap<String, Value>,
) -> Result<(), String> {
    for below in ["properties", "fields"] {
        let Some(inner) = mapping.get(below) else { continue };
        let Some(inner) = inner.as_object() else { return Err(format!("`{below}` is no object of fields")) };
        for (name, how) in inner {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            let Some(how) = how.as_object() else { return Err(format!("the mapping of `{path}` is no object")) };
            let has_below = how.contains_key("properties");
            let kind = match how.get("type") {
                Some(Value::String(kind)) => kind.clone(),
                Some(_) => return Err(format!("the `type` of `{path}` is no text")),
                None if has_below
                    || how.is_empty()
                    || how.keys().all(|k| matches!(k.as_str(), "dynamic" | "enabled")) =>
                {
                    "object".to_owned()
                }
                None => return Err(format!("`{path}` has no `type`")),
            };
            let mut own: Map<String, Value> = how
                .iter()
                .filter(|(k, _)| !matches!(k.as_str(), "properties" | "fields"))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            own.insert("type".to_owned(), Value::String(kind));
            fields.insert(path.clone(), Value::Object(own));
            walk(&path, how, fields)?;
        }
    }
    Ok(())
}
