//! Elasticsearch's operations (SPEC 3.3).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Inverse, Recovery, condition, short};
use crate::migration::execution::Nature;

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Makes an index [S4-26].
    CreateIndex {
        /// Its name, literal.
        index: String,
        /// Its mapping.
        #[serde(default)]
        mapping: Map<String, Value>,
        /// Its settings.
        #[serde(default)]
        settings: Map<String, Value>,
    },
    /// Deletes an index with its documents; no wildcard, no `_all` [S4-27].
    DeleteIndex {
        /// Its name, literal.
        index: String,
    },
    /// Adds to an index's mapping [S4-28].
    UpdateMapping {
        /// The index.
        index: String,
        /// What is added.
        mapping: Map<String, Value>,
    },
    /// Gives an index an alias; an alias of another index is moved in the same call unless `is_write_index` is given
    /// [S4-29].
    CreateAlias {
        /// The index.
        index: String,
        /// The alias.
        alias: String,
        /// Only documents that match.
        filter: Option<Map<String, Value>>,
        /// Whether writes to the alias go to this index.
        is_write_index: Option<bool>,
    },
    /// Copies documents [S4-30].
    Reindex {
        /// From this index.
        source: String,
        /// Into this one, which must exist.
        dest: String,
        /// Only these documents.
        query: Option<Map<String, Value>>,
        /// A script for each document.
        script: Option<Value>,
        /// Whether the next operation waits for the end.
        #[serde(default = "yes")]
        wait: bool,
        /// Documents per second; as fast as it goes if absent.
        requests_per_second: Option<f64>,
        /// Documents per scroll batch.
        #[cfg_attr(feature = "cli", schemars(range(max = u32::MAX)))]
        batch_size: Option<u32>,
        /// Refuse writes to the source until the migration ends, so that none is lost.
        #[serde(default)]
        block_writes: bool,
    },
    /// Puts an index template.
    PutTemplate {
        /// Its name.
        name: String,
        /// The template's body.
        template: Map<String, Value>,
    },
    /// Changes dynamic settings of an index.
    PutSettings {
        /// The index.
        index: String,
        /// The settings.
        settings: Map<String, Value>,
    },
    /// Moves an alias from one index to another in one call, which fails when it is not on `from` any more. With a
    /// `mapping` the new index is built first, under the name `to` and the run's epoch, filled from `from` and compared.
    SwapAlias {
        /// The alias.
        alias: String,
        /// The index that has it now.
        from: String,
        /// The index that gets it.
        to: String,
        /// Build `to` with this mapping.
        mapping: Option<Map<String, Value>>,
        /// And these settings.
        settings: Option<Map<String, Value>>,
        /// Filled with this script for each document.
        script: Option<Value>,
        /// Documents per second; as fast as it goes if absent.
        requests_per_second: Option<f64>,
        /// Documents per scroll batch.
        #[cfg_attr(feature = "cli", schemars(range(max = u32::MAX)))]
        batch_size: Option<u32>,
        /// Refuse writes to `from` while it is copied, so that none is lost.
        #[serde(default = "yes")]
        block_writes: bool,
    },
    /// Updates documents by a script.
    UpdateByQuery {
        /// The index.
        index: String,
        /// Which documents.
        query: Map<String, Value>,
        /// What is done to each.
        script: Option<Value>,
        /// Documents per second.
        requests_per_second: Option<f64>,
    },
    /// Deletes documents.
    DeleteByQuery {
        /// The index.
        index: String,
        /// Which documents.
        query: Map<String, Value>,
        /// Documents per second.
        requests_per_second: Option<f64>,
    },
    /// Takes an earlier operation of the same migration back, from what its run recorded. Never written by people.
    #[cfg_attr(feature = "cli", schemars(skip))]
    Undo {
        /// Which one, from 0.
        operation: u32,
        /// Its line.
        line: u32,
        /// The operation itself.
        of: Box<Operation>,
    },
}

fn yes() -> bool {
    true
}

/// Lets a template be about names that begin with `prefix`.
fn template_under(template: &mut Map<String, Value>, prefix: &str) {
    match template.get_mut("index_patterns") {
        Some(Value::String(pattern)) => pattern.insert_str(0, prefix),
        Some(Value::Array(patterns)) => {
            for pattern in patterns {
                if let Value::String(pattern) = pattern {
                    pattern.insert_str(0, prefix);
                }
            }
        }
        Some(_) | None => {}
    }
    if let Some(Value::Object(aliases)) = template.get_mut("template").and_then(|t| t.get_mut("aliases")) {
        *aliases =
            std::mem::take(aliases).into_iter().map(|(name, alias)| (format!("{prefix}{name}"), alias)).collect();
    }
}

impl Operation {
    /// Its `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateIndex { .. } => "create_index",
            Self::DeleteIndex { .. } => "delete_index",
            Self::UpdateMapping { .. } => "update_mapping",
            Self::CreateAlias { .. } => "create_alias",
            Self::Reindex { .. } => "reindex",
            Self::PutTemplate { .. } => "put_template",
            Self::PutSettings { .. } => "put_settings",
            Self::SwapAlias { .. } => "swap_alias",
            Self::UpdateByQuery { .. } => "update_by_query",
            Self::DeleteByQuery { .. } => "delete_by_query",
            Self::Undo { .. } => "undo",
        }
    }

    /// What it does, in one line for people.
    pub fn describe(&self) -> String {
        let name = self.name();
        let fields = |mapping: &Map<String, Value>| -> Vec<String> {
            let of = mapping.get("properties").and_then(Value::as_object);
            of.map(|f| f.keys().cloned().collect()).unwrap_or_default()
        };
        let listed = |names: Vec<String>| {
            let shown = names.iter().take(6).cloned().collect::<Vec<_>>().join(", ");
            let more = names.len().saturating_sub(6);
            if more > 0 { format!("{shown} and {more} more") } else { shown }
        };
        let with = |names: Vec<String>| {
            if names.is_empty() { String::new() } else { format!(" with {}", listed(names)) }
        };
        match self {
            Self::CreateIndex { index, mapping, .. } => format!("{name} {index}{}", with(fields(mapping))),
            Self::DeleteIndex { index } => format!("{name} {index}"),
            Self::UpdateMapping { index, mapping } => format!("{name} {index}{}", with(fields(mapping))),
            Self::CreateAlias { index, alias, filter, .. } => {
                format!("{name} {alias} → {index}{}", condition(filter.as_ref()))
            }
            Self::Reindex { source, dest, query, script, block_writes, .. } => {
                let how = if script.is_some() { ", each by a script" } else { "" };
                let writes = if *block_writes { ", writes to the source refused meanwhile" } else { "" };
                format!("{name} {source} → {dest}{}{how}{writes}", condition(query.as_ref()))
            }
            Self::PutTemplate { name: template, .. } => format!("{name} {template}"),
            Self::PutSettings { index, settings } => {
                format!("{name} {index}: {}", short("", &Value::Object(settings.clone())))
            }
            Self::SwapAlias { alias, from, to, mapping, .. } => {
                let built = if mapping.is_some() { ", which is built and filled first" } else { "" };
                format!("{name} {alias}: {from} → {to}{built}")
            }
            Self::UpdateByQuery { index, query, .. } | Self::DeleteByQuery { index, query, .. } => {
                format!("{name} {index}{}", condition(Some(query)))
            }
            Self::Undo { of, .. } => format!("{name} {}", of.describe()),
        }
    }

    /// The same operation on names that begin with `prefix`, so that a trial of it touches nothing else. A name that
    /// no index can have stays as it is, and is refused as such.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        let put = |name: &mut String| {
            if !name.starts_with(['-', '_', '+', '<']) {
                name.insert_str(0, prefix);
            }
        };
        match &mut self {
            Self::CreateIndex { index, .. }
            | Self::DeleteIndex { index }
            | Self::UpdateMapping { index, .. }
            | Self::PutSettings { index, .. }
            | Self::UpdateByQuery { index, .. }
            | Self::DeleteByQuery { index, .. } => put(index),
            Self::CreateAlias { index, alias, .. } => [index, alias].into_iter().for_each(put),
            Self::Reindex { source, dest, .. } => [source, dest].into_iter().for_each(put),
            Self::SwapAlias { alias, from, to, .. } => [alias, from, to].into_iter().for_each(put),
            Self::PutTemplate { name, template } => {
                put(name);
                template_under(template, prefix);
            }
            Self::Undo { of, .. } => **of = (**of).clone().under(prefix),
        }
        self
    }

    /// The indices and aliases that must be there before it, the one that it reads first.
    pub fn presumes(&self) -> Vec<&str> {
        match self {
            Self::CreateIndex { .. } | Self::PutTemplate { .. } | Self::Undo { .. } => Vec::new(),
            Self::DeleteIndex { index }
            | Self::UpdateMapping { index, .. }
            | Self::CreateAlias { index, .. }
            | Self::PutSettings { index, .. }
            | Self::UpdateByQuery { index, .. }
            | Self::DeleteByQuery { index, .. } => vec![index],
            Self::Reindex { source, dest, .. } => vec![source, dest],
            Self::SwapAlias { from, to, mapping: None, .. } => vec![from, to],
            Self::SwapAlias { from, .. } => vec![from],
        }
    }

    /// How it is recovered after a crash, and why.
    pub fn recovery(&self) -> Recovery {
        let same = |nature, why| Recovery { nature, without_transactions: nature, why };
        match self {
            Self::CreateIndex { .. } => same(Nature::Verifiable, "the index carries the run and a hash of its mapping"),
            Self::DeleteIndex { .. } => same(Nature::Verifiable, "the index is there or gone"),
            Self::UpdateMapping { .. } => same(Nature::Idempotent, "the same mapping again changes nothing"),
            Self::CreateAlias { .. } | Self::SwapAlias { .. } => {
                same(Nature::Verifiable, "one atomic call; the alias tells which index has it")
            }
            Self::Reindex { .. } => {
                same(Nature::Idempotent, "copies only what is missing, so a second copy completes the first")
            }
            Self::PutTemplate { .. } => same(Nature::Idempotent, "the same template again changes nothing"),
            Self::PutSettings { .. } => same(Nature::Idempotent, "the same settings again change nothing"),
            Self::UpdateByQuery { .. } => {
                same(Nature::Unprovable, "nothing tells which documents the script has changed")
            }
            Self::DeleteByQuery { .. } => same(Nature::Idempotent, "documents that are gone are not found again"),
            Self::Undo { of, .. } => of.recovery(),
        }
    }

    /// Whether it can be taken back without a `rollback`.
    pub fn inverse(&self) -> Inverse {
        match self {
            Self::CreateIndex { .. }
            | Self::CreateAlias { .. }
            | Self::PutTemplate { .. }
            | Self::PutSettings { .. }
            | Self::SwapAlias { .. } => Inverse::Computed,
            Self::DeleteIndex { .. } => Inverse::None("the deleted documents are gone"),
            Self::UpdateMapping { .. } => Inverse::None("a mapping can only grow"),
            // Taken back with the index that the same migration made; the driver refuses it for any other.
            Self::Reindex { .. } => Inverse::Computed,
            Self::UpdateByQuery { .. } => Inverse::None("an update has no computed inverse"),
            Self::DeleteByQuery { .. } => Inverse::None("the deleted documents are gone"),
            Self::Undo { .. } => Inverse::None("an undo is not taken back"),
        }
    }

    /// Whether it takes away data that only a backup brings back.
    pub fn destroys(&self) -> bool {
        match self {
            Self::DeleteIndex { .. } | Self::DeleteByQuery { .. } => true,
            Self::UpdateByQuery { script: Some(script), .. } | Self::Reindex { script: Some(script), .. } => {
                deletes(script)
            }
            _ => false,
        }
    }
}

/// Whether a script tells the server to delete documents instead of writing them: it sets `ctx.op`, and says `delete`
/// itself or is given that word.
fn deletes(script: &Value) -> bool {
    let source = script.as_str().or_else(|| script.get("source").and_then(Value::as_str)).unwrap_or_default();
    let compact: String = source.split_whitespace().collect();
    let sets = ["ctx.op=", "ctx['op']=", "ctx[\"op\"]="]
        .iter()
        .any(|set| compact.match_indices(set).any(|(at, found)| !compact[at + found.len()..].starts_with('=')));
    let given = script.get("params").and_then(Value::as_object);
    let says = compact.contains("'delete'") || compact.contains("\"delete\"");
    sets && (says || given.is_some_and(|given| given.values().any(|value| value == "delete")))
}
