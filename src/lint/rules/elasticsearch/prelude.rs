//! What nearly every rule about Elasticsearch uses, and what several of them ask.

use std::collections::BTreeMap;
use std::ops::Range;

pub(super) use serde_json::{Map, Value};

pub(super) use crate::ids::Risk;
pub(super) use crate::lint::operations::{Fields, Look, fields};
pub(super) use crate::lint::rules::operation::{Check, Example, OperationRule, Told};
pub(super) use crate::lint::table::{Applies, RuleInfo};
pub(super) use crate::lint::{Category, Severity};
use crate::migration::operations::Located;
use crate::migration::operations::Operation as Any;
pub(super) use crate::migration::operations::elasticsearch::Operation;

/// The operations of a migration, each with where it stands.
pub(super) fn of_elasticsearch(listed: &[Located]) -> impl Iterator<Item = (&Operation, &Range<usize>)> {
    listed.iter().filter_map(|located| match &located.operation {
        Any::Elasticsearch(operation) => Some((operation, &located.range)),
        Any::Mongodb(_) | Any::Redis(_) => None,
    })
}

/// A setting as a migration leaves it.
pub(super) struct Left {
    /// Whose it is.
    pub index: String,
    /// Its name, dotted, without `index.` in front.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// The operation that set it last.
    pub at: Range<usize>,
}

impl Left {
    /// Whether its value is this one, in quotes or not.
    pub(super) fn says(&self, text: &str) -> bool {
        match &self.value {
            Value::String(given) => given == text,
            Value::Number(number) => number.as_i64() == text.parse().ok(),
            Value::Bool(on) => *on && text == "true",
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }
}

/// Every setting that a migration sets on an index it does not delete, as it stands at the end.
pub(super) fn left_set(listed: &[Located]) -> Vec<Left> {
    let mut settings: BTreeMap<&str, BTreeMap<String, (Value, Range<usize>)>> = BTreeMap::new();
    for (operation, at) in of_elasticsearch(listed) {
        let (index, given) = match operation {
            Operation::CreateIndex { index, settings, .. } | Operation::PutSettings { index, settings } => {
                (index, settings)
            }
            Operation::SwapAlias { to, settings: Some(settings), .. } => (to, settings),
            Operation::DeleteIndex { index } => {
                settings.remove(index.as_str());
                continue;
            }
            _ => continue,
        };
        let mut flat = Vec::new();
        flatten("", given, &mut flat);
        settings.entry(index).or_default().extend(flat.into_iter().map(|(key, value)| (key, (value, at.clone()))));
    }
    let each = settings.into_iter().flat_map(|(index, left)| left.into_iter().map(move |(key, set)| (index, key, set)));
    each.map(|(index, key, (value, at))| Left { index: index.to_owned(), key, value, at }).collect()
}

/// Settings, nested or dotted, with or without `index.` in front.
pub(super) fn flatten(prefix: &str, map: &Map<String, Value>, out: &mut Vec<(String, Value)>) {
    for (key, value) in map {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value.as_object() {
            Some(inner) => flatten(&path, inner, out),
            None => out.push((path.strip_prefix("index.").unwrap_or(&path).to_owned(), value.clone())),
        }
    }
}
