//! Extended JSON as it stands in a migration file, as MongoDB's own types: read here by the driver that sends it and by the
//! linter that looks at it before. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use bson::{Bson, Document};
use serde_json::value::RawValue;
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
pub fn value(json: &Value) -> Result<Bson, String> {
    Ok(match json {
        Value::Null => Bson::Null,
        Value::Bool(b) => Bson::Boolean(*b),
        Value::String(s) => Bson::String(s.clone()),
        Value::Number(n) => match n.as_i64() {
            Some(n) => i32::try_from(n).map_or(Bson::Int64(n), Bson::Int32),
            None => Bson::Double(n.as_f64().ok_or_else(|| format!("`{n}` is no number that can be stored"))?),
        },
        Value::Array(items) => Bson::Array(items.iter().map(value).collect::<Result<_, _>>()?),
        Value::Object(map) if names_type(map) => {
            serde_json::from_value::<Bson>(json.clone()).map_err(|e| format!("`{json}` is not extended JSON: {e}"))?
        }
        Value::Object(map) => Bson::Document(document(map)?),
    })
}

/// Whether an object is one value of a type that JSON lacks.
fn names_type(map: &Map<String, Value>) -> bool {
    map.keys().next().is_some_and(|first| TYPES.contains(&first.as_str()))
}

/// The same for a whole object.
///
/// # Errors
/// As [`value`].
pub fn document(map: &Map<String, Value>) -> Result<Document, String> {
    map.iter().map(|(k, v)| Ok((k.clone(), value(v)?))).collect()
}

/// The values in `json`, a part of a migration file, that [`value`] refuses: the bytes of each, and what is wrong. Nothing of
/// what is no JSON at all.
pub fn unreadable(json: &str) -> Vec<(Range<usize>, String)> {
    let mut found = Vec::new();
    if let Ok(raw) = serde_json::from_str::<&RawValue>(json) {
        look(json, raw.get(), &mut found);
    }
    found
}

fn look(json: &str, part: &str, found: &mut Vec<(Range<usize>, String)>) {
    match part.as_bytes().first() {
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(part).unwrap_or_default();
            items.into_iter().for_each(|item| look(json, item.get(), found));
        }
        Some(b'{') => {
            // What names a type is read as one value, whatever it holds; the first key alone tells, and most say no `$`.
            let key = part[1..].trim_start();
            let may_name = key.starts_with("\"$") || key.starts_with("\"\\");
            let whole = may_name.then(|| serde_json::from_str::<Value>(part).ok()).flatten();
            if let Some(whole) = whole.filter(|w| w.as_object().is_some_and(names_type)) {
                let start = part.as_ptr() as usize - json.as_ptr() as usize;
                found.extend(value(&whole).err().map(|wrong| (start..start + part.len(), wrong)));
                return;
            }
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(part).unwrap_or_default();
            fields.into_values().for_each(|field| look(json, field.get(), found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{DateTime, doc};
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
                Bson::Document(doc! { "$gt": "1.10".parse::<bson::Decimal128>().unwrap() }),
            ),
            (json!({ "$regex": "^a", "$options": "i" }), Bson::Document(doc! { "$regex": "^a", "$options": "i" })),
            (json!({ "b": [null, true], "a": "x" }), Bson::Document(doc! { "b": [null, true], "a": "x" })),
        ] {
            assert_eq!(value(&json).unwrap(), expected);
        }
        assert!(value(&json!({ "$date": "yesterday" })).unwrap_err().contains("$date"));
    }

    #[test]
    fn n301_values_that_are_none_are_found_where_they_stand() {
        for (part, is_wrong) in [
            (r#"{"$date": "tomorrow"}"#, true),
            (r#"{"$date": "2026-01-02T03:04:05Z"}"#, false),
            (r#"{"$date": {"$numberLong": "1"}}"#, false),
            (r#"{"$oid": "nothing"}"#, true),
            (r#"{"$oid": "507f1f77bcf86cd799439011"}"#, false),
            (r#"{"$numberLong": "1.5"}"#, true),
            (r#"{"$numberLong": 7}"#, true),
            (r#"{"$numberDecimal": "one"}"#, true),
            (r#"{"$numberDecimal": "1.10"}"#, false),
            (r#"{"$uuid": "x"}"#, true),
            (r#"{"$regex": "(", "$options": "i"}"#, false),
            (r#"{"$currentDate": {"at": true}}"#, false),
        ] {
            let json = format!(r#"{{"a": [1, {{"b": {part}}}], "$set": {{"c": "ü"}}}}"#);
            let found = unreadable(&json);
            let told: Vec<&str> = found.iter().map(|(range, _)| &json[range.clone()]).collect();
            assert_eq!(told, if is_wrong { vec![part] } else { Vec::new() }, "{found:?}");
        }
        for broken in ["", "{", "[1,", "nothing", "{\"a\":}"] {
            assert_eq!(unreadable(broken), [], "{broken}");
        }
        assert_eq!(unreadable(r#"[{"$date": "x"}, {"$oid": ""}]"#).len(), 2);
    }
}
