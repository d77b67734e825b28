//! Whether a filter or a query leaves nothing out, as far as that can be told from its words.

use serde_json::{Map, Value};

/// Whether every document of a collection matches this filter of MongoDB (N303).
pub(super) fn filter_matches(filter: &Map<String, Value>) -> bool {
    let every = |v: &Value| v.as_object().is_some_and(filter_matches);
    filter.iter().all(|(key, value)| match (key.as_str(), value) {
        ("$or", Value::Array(any)) => any.iter().any(every),
        ("$and", Value::Array(all)) => !all.is_empty() && all.iter().all(every),
        ("$expr", Value::Bool(true)) | ("$comment", _) => true,
        ("$expr", Value::Object(test)) => test.len() == 1 && test.get("$eq").is_some_and(is_one_constant),
        ("$jsonSchema", Value::Object(schema)) => schema.is_empty(),
        ("_id", Value::Object(test)) => {
            test.len() == 1
                && (test.get("$exists") == Some(&Value::Bool(true)) || test.get("$ne") == Some(&Value::Null))
        }
        (field, Value::Object(test)) if !field.starts_with('$') => {
            test.len() == 1 && test.get("$nin").and_then(Value::as_array).is_some_and(Vec::is_empty)
        }
        _ => false,
    })
}

/// Two operands that are one constant, such as `[1, 1]`.
fn is_one_constant(operands: &Value) -> bool {
    let constant = |v: &Value| match v {
        Value::String(text) => !text.starts_with('$'),
        Value::Object(_) | Value::Array(_) => false,
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    };
    operands.as_array().is_some_and(|o| o.len() == 2 && o[0] == o[1] && constant(&o[0]))
}

/// Whether every document of an index matches this query of Elasticsearch (X413).
pub(super) fn query_matches(query: &Map<String, Value>) -> bool {
    let Some((kind, how)) = query.iter().next() else { return true };
    if query.len() > 1 {
        return false;
    }
    let word = |key: &str| how.get(key).and_then(Value::as_str);
    match kind.as_str() {
        "match_all" => true,
        "exists" => matches!(word("field"), Some("_id" | "_index" | "_seq_no")),
        "query_string" | "simple_query_string" => matches!(word("query").map(str::trim), Some("*" | "*:*")),
        "constant_score" => how.get("filter").is_some_and(every_one),
        "bool" => how.as_object().is_some_and(bool_matches),
        _ => false,
    }
}

/// A clause: one query, or a list of them, all of which must hold.
fn every_one(clause: &Value) -> bool {
    match clause {
        Value::Object(query) => query_matches(query),
        Value::Array(queries) => queries.iter().all(every_one),
        _ => false,
    }
}

fn bool_matches(clauses: &Map<String, Value>) -> bool {
    let is_empty = |clause: &Value| match clause {
        Value::Array(queries) => queries.is_empty(),
        Value::Object(query) => query.is_empty(),
        _ => false,
    };
    clauses.iter().all(|(name, clause)| match name.as_str() {
        "must" | "filter" => every_one(clause),
        "must_not" => is_empty(clause),
        // One that matches everything is enough.
        "should" => match clause {
            Value::Array(queries) => queries.is_empty() || queries.iter().any(every_one),
            one => every_one(one),
        },
        "boost" | "_name" => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("an object")
    }

    #[test]
    fn n303_filters_that_leave_nothing_out() {
        for all in [
            "{}",
            r#"{"_id":{"$exists":true}}"#,
            r#"{"$or":[{"a":1},{}]}"#,
            r#"{"$and":[{},{"$comment":"x"}]}"#,
            r#"{"$expr":{"$eq":[1,1]}}"#,
            r#"{"$jsonSchema":{}}"#,
            r#"{"a":{"$nin":[]}}"#,
        ] {
            assert!(filter_matches(&object(all)), "{all}");
        }
        for some in [
            r#"{"a":1}"#,
            r#"{"a":{"$exists":false}}"#,
            r#"{"$expr":{"$eq":["$a","$a"]}}"#,
            r#"{"$expr":{"$eq":["$a",1]}}"#,
            r#"{"$jsonSchema":{"required":["a"]}}"#,
            r#"{"a":{"$nin":[1]}}"#,
            r#"{"a":{"$nin":[],"$gt":1}}"#,
            r#"{"$nor":[]}"#,
        ] {
            assert!(!filter_matches(&object(some)), "{some}");
        }
    }

    #[test]
    fn x413_queries_that_leave_nothing_out() {
        for all in [
            "{}",
            r#"{"match_all":{}}"#,
            r#"{"bool":{}}"#,
            r#"{"bool":{"must":[],"must_not":[]}}"#,
            r#"{"bool":{"filter":{"match_all":{}}}}"#,
            r#"{"bool":{"should":[{"term":{"a":1}},{"match_all":{}}]}}"#,
            r#"{"constant_score":{"filter":{"match_all":{}},"boost":1}}"#,
            r#"{"query_string":{"query":" * "}}"#,
            r#"{"exists":{"field":"_id"}}"#,
        ] {
            assert!(query_matches(&object(all)), "{all}");
        }
        for some in [
            r#"{"term":{"a":1}}"#,
            r#"{"bool":{"must_not":[{"term":{"a":1}}]}}"#,
            r#"{"bool":{"must":[{"term":{"a":1}}]}}"#,
            r#"{"bool":{"should":[{"term":{"a":1}}]}}"#,
            r#"{"bool":{"filter":[{"match_all":{}},{"range":{"a":{"lt":3}}}]}}"#,
            r#"{"exists":{"field":"a"}}"#,
            r#"{"query_string":{"query":"a:*"}}"#,
            r#"{"ids":{"values":[]}}"#,
        ] {
            assert!(!query_matches(&object(some)), "{some}");
        }
    }
}
