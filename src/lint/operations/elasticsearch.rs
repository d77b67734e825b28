//! What operations of Elasticsearch make, use and leave behind, for the rules that judge them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Unit;
use crate::migration::operations::elasticsearch::Operation;
use crate::migration::operations::{self, Located};

pub(super) fn makes(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::CreateIndex { index, .. } => vec![format!("index {index}")],
        // An alias is as good as an index to whoever uses it.
        Operation::CreateAlias { alias, .. } => vec![format!("index {alias}")],
        _ => Vec::new(),
    }
}

/// Whether an operation behind `before` gives a copy the name of what it was copied from: then that name was there.
pub(super) fn moves_alias(before: &[Located], operation: &operations::Operation) -> bool {
    let operations::Operation::Elasticsearch(Operation::CreateAlias { index, alias, .. }) = operation else {
        return false;
    };
    before.iter().any(|l| {
        matches!(&l.operation, operations::Operation::Elasticsearch(Operation::Reindex { source, dest, .. })
            if source == alias && dest == index)
    })
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

/// The fields of a mapping by their path, each with its parameters.
pub(in crate::lint) type Fields = BTreeMap<String, Value>;

/// The mapping and the settings of an index, as they were given.
type Definition = (Map<String, Value>, Map<String, Value>);

/// What is known of indices besides their names.
#[derive(Default)]
pub(super) struct State {
    /// Index → its fields.
    mappings: BTreeMap<String, Fields>,
    /// Index → mapping and settings that it was made with, while it has no others.
    definitions: BTreeMap<String, Definition>,
    /// Alias → index.
    aliases: BTreeMap<String, String>,
    /// Indices that migrations made and nothing deleted.
    made: BTreeSet<String>,
    /// Indices that had an alias at some time.
    published: BTreeSet<String>,
    /// Indices that keep no `_source`.
    without_source: BTreeSet<String>,
    /// Whether migrations put a template, whose settings come to indices that fit.
    templates: bool,
}

impl Unit {
    /// The index that a name stands for.
    fn real<'a>(&'a self, name: &'a str) -> &'a str {
        self.elastic.aliases.get(name).map_or(name, String::as_str)
    }

    /// Whether two names stand for one index.
    pub(in crate::lint) fn is_one_index(&self, one: &str, other: &str) -> bool {
        self.real(one) == self.real(other)
    }

    /// How the fields of an index are mapped, where migrations say it.
    pub(in crate::lint) fn mapping(&self, index: &str) -> Option<&Fields> {
        self.elastic.mappings.get(self.real(index))
    }

    /// The index that an alias stands for.
    pub(in crate::lint) fn index_of_alias(&self, alias: &str) -> Option<&str> {
        self.elastic.aliases.get(alias).map(String::as_str)
    }

    /// Whether indices may get settings from a template.
    pub(in crate::lint) fn has_templates(&self) -> bool {
        self.elastic.templates
    }

    /// An alias of an index.
    pub(in crate::lint) fn alias_of(&self, index: &str) -> Option<&str> {
        self.elastic.aliases.iter().find(|(_, of)| *of == index).map(|(alias, _)| alias.as_str())
    }

    /// Whether an index ever had an alias.
    pub(in crate::lint) fn had_alias(&self, index: &str) -> bool {
        self.elastic.published.contains(index)
    }

    /// Whether migrations made an index of that name, and it is there.
    pub(in crate::lint) fn makes_index(&self, name: &str) -> bool {
        self.elastic.made.contains(name)
    }

    /// Whether an index was made with this very mapping and these settings, and has no others by now.
    pub(in crate::lint) fn is_made_so(
        &self,
        index: &str,
        mapping: &Map<String, Value>,
        settings: &Map<String, Value>,
    ) -> bool {
        self.elastic.definitions.get(index).is_some_and(|(m, s)| m == mapping && s == settings)
    }

    /// Whether an index was made without `_source`.
    pub(in crate::lint) fn is_without_source(&self, index: &str) -> bool {
        self.elastic.without_source.contains(index)
    }
}

/// Whether a mapping switches `_source` off.
pub(in crate::lint) fn keeps_no_source(mapping: &Map<String, Value>) -> bool {
    mapping.get("_source").and_then(|s| s.get("enabled")) == Some(&Value::Bool(false))
}

/// Takes over what an operation changes.
pub(super) fn follow(unit: &mut Unit, operation: &Operation) {
    match operation {
        Operation::CreateIndex { index, mapping, settings } => {
            let is_there = unit.is_there(&format!("index {index}"));
            if !is_there {
                unit.elastic.definitions.insert(index.clone(), (mapping.clone(), settings.clone()));
            }
            if let Ok(fields) = fields(mapping) {
                unit.elastic.mappings.insert(index.clone(), fields);
            }
            if keeps_no_source(mapping) {
                unit.elastic.without_source.insert(index.clone());
            }
            unit.elastic.made.insert(index.clone());
        }
        Operation::DeleteIndex { index } => {
            unit.elastic.mappings.remove(index);
            unit.elastic.definitions.remove(index);
            unit.elastic.aliases.retain(|_, of| of != index);
            unit.elastic.made.remove(index);
        }
        Operation::UpdateMapping { index, mapping } => {
            if let Ok(added) = fields(mapping) {
                let real = unit.real(index).to_owned();
                unit.elastic.definitions.remove(&real);
                let known = unit.elastic.mappings.entry(real).or_default();
                for (field, how) in added {
                    known.entry(field).or_insert(how);
                }
            }
        }
        Operation::CreateAlias { index, alias, .. } => {
            unit.elastic.aliases.insert(alias.clone(), index.clone());
            unit.elastic.published.insert(index.clone());
        }
        Operation::SwapAlias { alias, from, to, mapping, .. } => {
            if let Some(Ok(fields)) = mapping.as_ref().map(fields) {
                unit.elastic.mappings.insert(to.clone(), fields);
            }
            unit.elastic.aliases.insert(alias.clone(), to.clone());
            unit.elastic.published.extend([from.clone(), to.clone()]);
        }
        Operation::PutTemplate { .. } => unit.elastic.templates = true,
        Operation::PutSettings { index, .. } => {
            let real = unit.real(index).to_owned();
            unit.elastic.definitions.remove(&real);
        }
        Operation::Reindex { .. }
        | Operation::UpdateByQuery { .. }
        | Operation::DeleteByQuery { .. }
        | Operation::Undo { .. } => {}
    }
}

/// The fields of a mapping, or why it is malformed.
pub(in crate::lint) fn fields(mapping: &Map<String, Value>) -> Result<Fields, String> {
    let mut fields = Fields::new();
    walk("", mapping, &mut fields).map(|()| fields)
}

/// Collects the fields of a mapping.
fn walk(prefix: &str, mapping: &Map<String, Value>, fields: &mut Fields) -> Result<(), String> {
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
