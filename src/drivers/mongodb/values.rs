//! Extended JSON as it stands in a migration file, as the server's own types. Pure.

use mongodb::bson::{Bson, Document};
use serde_json::{Map, Value};

/// Keys by which an object is one value of a type that JSON lacks.
const TYPES: [&str; 17] = [
    "$oid",
    "$symbol",
    "$numberInt",
    "$numberLong",
    "$numberDouble",
    "$numberDecimal",
    "$binary",
    "$uuid",
    "$code",
    "$scope",
    "$timestamp",
    "$regularExpression",
    "$dbPointer",
    "$date",
    "$minKey",
    "$maxKey",
    "$undefined",
];

/// A value; numbers become the smallest type that holds them, as in the server's own shell for integers.
///
/// # Errors
/// What is wrong with an object that names a type.
pub(super) fn value(json: &Value) -> Result<Bson, String> {
    Ok(match json {
        Value::Null => Bson::Null,
        Value::Bool(b) => Bson::Boolean(*b),
        Value::String(s) => Bson::String(s.clone()),
        Value::Number(n) => match n.as_i64() {
            Some(n) => i32::try_from(n).map_or(Bson::Int64(n), Bson::Int32),
            None => Bson::Double(n.as_f64().ok_or_else(|| format!("`{n}` is no number that can be stored"))?),
        },
        Value::Array(items) => Bson::Array(items.iter().map(value).collect::<Result<_, _>>()?),
        Value::Object(map) => match map.keys().next() {
            Some(first) if TYPES.contains(&first.as_str()) => serde_json::from_value::<Bson>(json.clone())
                .map_err(|e| format!("`{json}` is not extended JSON: {e}"))?,
            _ => Bson::Document(document(map)?),
        },
    })
}

/// The same for a whole object.
///
/// # Errors
/// As [`value`].
pub(super) fn document(map: &Map<String, Value>) -> Result<Document, String> {
    map.iter().map(|(k, v)| Ok((k.clone(), value(v)?))).collect()
}

/// A text field; empty where there is none.
pub(super) fn text<'a>(document: &'a Document, name: &str) -> &'a str {
    document.get_str(name).unwrap_or_default()
}

/// A field that is true or false, where it is there.
pub(super) fn flag(document: &Document, name: &str) -> Option<bool> {
    document.get_bool(name).ok()
}

/// A value with the keys of its documents in order, so that two that mean the same read the same.
pub(super) fn sorted(value: &Bson) -> Bson {
    match value {
        Bson::Document(d) => {
            let mut keys: Vec<_> = d.iter().collect();
            keys.sort_by(|a, b| a.0.cmp(b.0));
            Bson::Document(keys.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect())
        }
        Bson::Array(items) => Bson::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Whether two values are the same to the server's mind: numbers by what they count, documents by key and value.
pub(super) fn equal(a: &Bson, b: &Bson) -> bool {
    match (a, b) {
        (Bson::Document(a), Bson::Document(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|other| equal(v, other)))
        }
        (Bson::Array(a), Bson::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (a, b) => match (float(a), float(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
    }
}

#[allow(clippy::cast_precision_loss)]
fn float(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(n) => Some(f64::from(*n)),
        Bson::Int64(n) => Some(*n as f64),
        Bson::Double(n) => Some(*n),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::{DateTime, doc};
    use serde_json::json;

    #[test]
    fn values_are_extended_json() {
        for (json, expected) in [
            (json!(1), Bson::Int32(1)),
            (json!(-1), Bson::Int32(-1)),
            (json!(5_000_000_000_i64), Bson::Int64(5_000_000_000)),
            (json!(1.5), Bson::Double(1.5)),
            (json!({ "$date": "2026-01-02T03:04:05Z" }), Bson::DateTime(DateTime::from_millis(1_767_323_045_000))),
            (json!({ "$numberLong": "7" }), Bson::Int64(7)),
            (
                json!({ "$gt": { "$numberDecimal": "1.10" } }),
                Bson::Document(doc! { "$gt": "1.10".parse::<mongodb::bson::Decimal128>().unwrap() }),
            ),
            (json!({ "$regex": "^a", "$options": "i" }), Bson::Document(doc! { "$regex": "^a", "$options": "i" })),
            (json!({ "b": [null, true], "a": "x" }), Bson::Document(doc! { "b": [null, true], "a": "x" })),
        ] {
            assert_eq!(value(&json).unwrap(), expected);
        }
        assert!(value(&json!({ "$date": "yesterday" })).unwrap_err().contains("$date"));
    }

    #[test]
    fn numbers_are_compared_by_what_they_count() {
        assert!(equal(&Bson::Int32(1), &Bson::Double(1.0)));
        let (a, b) = (doc! { "x": 1_i64, "y": [1] }, doc! { "y": [1.0], "x": 1 });
        assert!(equal(&Bson::Document(a), &Bson::Document(b)));
        assert!(!equal(&Bson::Document(doc! { "x": 1 }), &Bson::Document(doc! { "x": 1, "y": 1 })));
    }
}
