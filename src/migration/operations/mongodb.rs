//! MongoDB's operations (SPEC 3.2). Values are extended JSON, passed on as written.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Inverse, Recovery, at_least_one, condition, short};
use crate::migration::execution::Nature;

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Makes a collection; an existing one with equal options is left alone [S4-15].
    CreateCollection {
        /// Its name.
        collection: String,
        /// Options of the `create` command: `validator`, `validationLevel`, `capped`, ….
        #[serde(default)]
        options: Map<String, Value>,
    },
    /// Builds an index [S4-16].
    CreateIndex {
        /// The collection.
        collection: String,
        /// Fields in order with their direction: 1, -1, `"text"`, `"2dsphere"`, `"hashed"`.
        index: Vec<(String, Value)>,
        /// `name`, `unique`, `sparse`, `partialFilterExpression`, ….
        #[serde(default)]
        options: Map<String, Value>,
    },
    /// Drops an index; its definition is recorded first [S4-17].
    DropIndex {
        /// The collection.
        collection: String,
        /// The index's name.
        name: String,
    },
    /// Sets a field where it is absent [S4-18].
    AddField {
        /// The collection.
        collection: String,
        /// The field, dotted for nested ones.
        field: String,
        /// Its value.
        value: Value,
        /// Which documents; all of them if absent.
        filter: Option<Map<String, Value>>,
        /// Documents per batch.
        #[serde(default, deserialize_with = "at_least_one")]
        #[cfg_attr(feature = "cli", schemars(range(min = 1, max = u32::MAX)))]
        batch_size: Option<u32>,
    },
    /// Removes a field [S4-19].
    RemoveField {
        /// The collection.
        collection: String,
        /// The field.
        field: String,
        /// Which documents; all of them if absent.
        filter: Option<Map<String, Value>>,
        /// Documents per batch.
        #[serde(default, deserialize_with = "at_least_one")]
        #[cfg_attr(feature = "cli", schemars(range(min = 1, max = u32::MAX)))]
        batch_size: Option<u32>,
    },
    /// Renames a field; refuses where a matching document has `to` already [S4-20].
    RenameField {
        /// The collection.
        collection: String,
        /// Its name now.
        from: String,
        /// Its new name.
        to: String,
        /// Which documents; all of them if absent.
        filter: Option<Map<String, Value>>,
        /// Documents per batch.
        #[serde(default, deserialize_with = "at_least_one")]
        #[cfg_attr(feature = "cli", schemars(range(min = 1, max = u32::MAX)))]
        batch_size: Option<u32>,
    },
    /// A custom update [S4-21].
    UpdateDocuments {
        /// The collection.
        collection: String,
        /// Which documents.
        filter: Map<String, Value>,
        /// Update operators, or a pipeline.
        update: Value,
        /// All matching documents, or the first only.
        #[serde(default = "yes")]
        multi: bool,
        /// Documents per batch.
        #[serde(default, deserialize_with = "at_least_one")]
        #[cfg_attr(feature = "cli", schemars(range(min = 1, max = u32::MAX)))]
        batch_size: Option<u32>,
    },
    /// Drops a collection with its documents.
    DropCollection {
        /// Its name.
        collection: String,
    },
    /// Renames a collection; an existing `to` is an error.
    RenameCollection {
        /// Its name now.
        from: String,
        /// Its new name.
        to: String,
    },
    /// Replaces a collection's validator; what stood there is recorded first.
    SetValidator {
        /// The collection.
        collection: String,
        /// The new validator; empty takes it away.
        validator: Map<String, Value>,
        /// `off`, `strict` or `moderate`; from MongoDB 9 on `constraint`.
        validation_level: Option<String>,
        /// `error` or `warn`; from MongoDB 8.1 on `errorAndLog`.
        validation_action: Option<String>,
    },
    /// Any command of the database; nothing is known of it, so it is of the manual class.
    RunCommand {
        /// The command document.
        command: Map<String, Value>,
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

impl Operation {
    /// Its `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateCollection { .. } => "create_collection",
            Self::CreateIndex { .. } => "create_index",
            Self::DropIndex { .. } => "drop_index",
            Self::AddField { .. } => "add_field",
            Self::RemoveField { .. } => "remove_field",
            Self::RenameField { .. } => "rename_field",
            Self::UpdateDocuments { .. } => "update_documents",
            Self::DropCollection { .. } => "drop_collection",
            Self::RenameCollection { .. } => "rename_collection",
            Self::SetValidator { .. } => "set_validator",
            Self::RunCommand { .. } => "run_command",
            Self::Undo { .. } => "undo",
        }
    }

    /// What it does, in one line for people.
    pub fn describe(&self) -> String {
        let name = self.name();
        match self {
            Self::CreateCollection { collection, options } => {
                let with: Vec<&str> = options.keys().map(String::as_str).collect();
                let with = if with.is_empty() { String::new() } else { format!(" with {}", with.join(", ")) };
                format!("{name} {collection}{with}")
            }
            Self::CreateIndex { collection, index, options } => {
                let fields: Vec<String> = index.iter().map(|(field, d)| format!("{field}: {}", short("", d))).collect();
                let mut text = format!("{name} {collection} {{{}}}", fields.join(", "));
                for (option, value) in options.iter().filter(|(o, _)| *o != "name") {
                    match value {
                        Value::Bool(true) => text.push_str(&format!(" {option}")),
                        value => text.push_str(&format!(" {option} {}", short(option, value))),
                    }
                }
                format!("{text}, name {}", index_name(index, options))
            }
            Self::DropIndex { collection, name: index } => format!("{name} {collection} {index}"),
            Self::AddField { collection, field, value, filter, .. } => {
                format!("{name} {collection} {field} = {}{}", short(field, value), condition(filter.as_ref()))
            }
            Self::RemoveField { collection, field, filter, .. } => {
                format!("{name} {collection} {field}{}", condition(filter.as_ref()))
            }
            Self::RenameField { collection, from, to, filter, .. } => {
                format!("{name} {collection} {from} → {to}{}", condition(filter.as_ref()))
            }
            Self::UpdateDocuments { collection, filter, update, multi, .. } => {
                let one = if *multi { "" } else { ", the first only" };
                format!("{name} {collection}{}: {}{one}", condition(Some(filter)), short("", update))
            }
            Self::DropCollection { collection } => format!("{name} {collection}"),
            Self::RenameCollection { from, to } => format!("{name} {from} → {to}"),
            Self::SetValidator { collection, validator, validation_level, validation_action } => {
                let mut how: Vec<&str> = validation_level.iter().chain(validation_action).map(String::as_str).collect();
                if validator.is_empty() {
                    how.insert(0, "none");
                }
                let how = if how.is_empty() { String::new() } else { format!(" ({})", how.join(", ")) };
                format!("{name} {collection}{how}")
            }
            Self::RunCommand { command } => {
                let (command, on) = command.iter().next().map_or(("", &Value::Null), |(k, v)| (k.as_str(), v));
                let on = on.as_str().map_or(String::new(), |on| format!(" {on}"));
                format!("{name} {command}{on}")
            }
            Self::Undo { of, .. } => format!("{name} {}", of.describe()),
        }
    }

    /// Whether it has the server refuse updates of documents that are there and do not fit: a validator that looks at them,
    /// too, and does more than warn.
    pub fn refuses_updates(&self) -> bool {
        let Self::SetValidator { validator, validation_level, validation_action, .. } = self else { return false };
        !validator.is_empty()
            && !matches!(validation_level.as_deref(), Some("moderate" | "off"))
            && validation_action.as_deref() != Some("warn")
    }

    /// How it is recovered after a crash, and why.
    pub fn recovery(&self) -> Recovery {
        let same = |nature, why| Recovery { nature, without_transactions: nature, why };
        match self {
            Self::CreateCollection { options, .. } if fits_a_transaction(options) => Recovery {
                nature: Nature::Transactional,
                without_transactions: Nature::Verifiable,
                why: "made in one transaction with its mark; without transactions the collection's options are compared \
                      with those asked for",
            },
            Self::CreateCollection { .. } => {
                same(Nature::Verifiable, "the collection's options are compared with those asked for")
            }
            Self::CreateIndex { .. } => same(
                Nature::Verifiable,
                "the build goes on without its client; `listIndexes` and `$currentOp` tell how far it is",
            ),
            Self::DropIndex { .. } => same(Nature::Verifiable, "`listIndexes` tells whether it is gone"),
            Self::DropCollection { .. } => same(Nature::Verifiable, "`listCollections` tells whether it is gone"),
            Self::RenameCollection { .. } => {
                same(Nature::Verifiable, "the collection's UUID tells which name it has now")
            }
            Self::SetValidator { .. } => same(Nature::Verifiable, "the validator is compared with the one asked for"),
            Self::AddField { .. } | Self::RemoveField { .. } | Self::RenameField { .. } => same(
                Nature::Idempotent,
                "batches by `_id`, each with its checkpoint; a document that is done is not touched again",
            ),
            Self::UpdateDocuments { .. } => Recovery {
                nature: Nature::Idempotent,
                without_transactions: Nature::Unprovable,
                why: "batches by `_id`, each in one transaction with its checkpoint; without transactions nothing tells \
                      which documents of a batch were updated",
            },
            Self::RunCommand { .. } => same(Nature::Unprovable, "nothing is known of what the command does"),
            Self::Undo { of, .. } => match of.as_ref() {
                Self::CreateCollection { .. } => same(Nature::Verifiable, "`listCollections` tells whether it is gone"),
                of => of.recovery(),
            },
        }
    }

    /// Whether it can be taken back without a `rollback`.
    pub fn inverse(&self) -> Inverse {
        match self {
            Self::CreateCollection { .. }
            | Self::CreateIndex { .. }
            | Self::DropIndex { .. }
            | Self::AddField { .. }
            | Self::RenameCollection { .. }
            | Self::SetValidator { .. } => Inverse::Computed,
            Self::RenameField { from, filter, .. } => {
                if filter.as_ref().is_some_and(|f| names_field(f, from)) {
                    Inverse::None("its filter names the field that it renames, so the renamed documents cannot be told")
                } else {
                    Inverse::Computed
                }
            }
            Self::RemoveField { .. } => Inverse::None("the removed values are gone"),
            Self::UpdateDocuments { .. } => Inverse::None("an update has no computed inverse"),
            Self::DropCollection { .. } => Inverse::None("the dropped documents are gone"),
            Self::RunCommand { .. } => Inverse::None("nothing is known of what the command does"),
            Self::Undo { .. } => Inverse::None("an undo is not taken back"),
        }
    }

    /// Whether it takes away data that only a backup brings back.
    pub fn destroys(&self) -> bool {
        match self {
            Self::RunCommand { command } => destroyed_by(command).is_some(),
            Self::RemoveField { .. } | Self::DropCollection { .. } => true,
            _ => false,
        }
    }
}

/// What a bare command takes away with its documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destroyed {
    /// The database.
    Database,
    /// A collection.
    Collection,
    /// The collection that has the new name.
    TargetOfRename,
    /// Every document of a collection.
    EveryDocument,
    /// The documents of a collection that match.
    Documents,
}

/// What a bare command takes away, if it does: the server goes by the first name in it.
pub fn destroyed_by(command: &Map<String, Value>) -> Option<Destroyed> {
    let is_set = |value: Option<&Value>| {
        value.is_some_and(|v| v.as_bool() == Some(true) || v.as_f64().is_some_and(|number| number != 0.0))
    };
    let list = |name: &str| command.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let all = |one: &Value| one.get("q").and_then(Value::as_object).is_some_and(Map::is_empty);
    match command.keys().next()?.as_str() {
        "dropDatabase" => Some(Destroyed::Database),
        "drop" => Some(Destroyed::Collection),
        "renameCollection" if is_set(command.get("dropTarget")) => Some(Destroyed::TargetOfRename),
        "delete" if list("deletes").iter().any(all) => Some(Destroyed::EveryDocument),
        "delete" => Some(Destroyed::Documents),
        "findAndModify" | "findandmodify" if is_set(command.get("remove")) => Some(Destroyed::Documents),
        "bulkWrite" if list("ops").iter().any(|one| one.get("delete").is_some()) => Some(Destroyed::Documents),
        _ => None,
    }
}

/// Whether a transaction can make a collection of these options: a view or a time series it cannot.
pub fn fits_a_transaction(options: &Map<String, Value>) -> bool {
    !options.contains_key("viewOn") && !options.contains_key("timeseries")
}

/// The name of an index: the one given, else as the server makes it of the fields: `email_1_age_-1`.
pub fn index_name(index: &[(String, Value)], options: &Map<String, Value>) -> String {
    if let Some(name) = options.get("name").and_then(Value::as_str) {
        return name.to_owned();
    }
    let parts: Vec<String> = index
        .iter()
        .map(|(field, direction)| match direction {
            Value::String(kind) => format!("{field}_{kind}"),
            Value::Number(n) if n.is_f64() => format!("{field}_{}", n.as_f64().unwrap_or_default()),
            other => format!("{field}_{other}"),
        })
        .collect();
    parts.join("_")
}

/// Whether a filter says something of `field`, at any depth.
fn names_field(filter: &Map<String, Value>, field: &str) -> bool {
    filter.iter().any(|(key, value)| {
        key == field
            || key.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'))
            || match value {
                Value::Object(inner) => names_field(inner, field),
                Value::Array(items) => items.iter().filter_map(Value::as_object).any(|i| names_field(i, field)),
                _ => false,
            }
    })
}
