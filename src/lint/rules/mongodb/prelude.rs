//! What nearly every rule about MongoDB uses, and what several of them ask.

pub(super) use serde_json::{Map, Value};

pub(super) use crate::ids::Risk;
pub(super) use crate::lint::operations::Look;
pub(super) use crate::lint::rules::operation::{Check, Example, OperationRule, Told};
pub(super) use crate::lint::table::{Applies, RuleInfo};
pub(super) use crate::lint::{Category, Severity};
pub(super) use crate::migration::operations::mongodb::Operation;

/// The operators of an update, or of each stage of one, with what each of them is given.
pub(super) fn operators(update: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let stages: Vec<&Map<String, Value>> = match update {
        Value::Object(operators) => vec![operators],
        Value::Array(stages) => stages.iter().filter_map(Value::as_object).collect(),
        _ => Vec::new(),
    };
    stages.into_iter().flatten().map(|(operator, given)| (operator.as_str(), given))
}

/// Whether a collection was made just now, so that it holds nothing yet.
pub(super) fn is_fresh(look: &Look<'_>, collection: &str) -> bool {
    look.is_fresh(&format!("collection {collection}"))
}
