//! `$where`, and filters that every document matches (N303).

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "filter-matches-all",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "A filter that leaves nothing out, or runs JavaScript",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"add_field","collection":"c","field":"a","value":1,"filter":{"$and":[{"a":null},{"b":1}]}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":{"$exists":false}},"update":{"$set":{"a":1}}}"#,
        ),
        Example::Operations(r#"{"type":"remove_field","collection":"c","field":"a"}"#),
    ],
    bad: &[
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"_id":{"$exists":true}},"update":{"$set":{"a":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"add_field","collection":"c","field":"a","value":1,"filter":{"$or":[{},{"a":1}]}}"#,
        ),
        Example::Operations(
            r#"{"type":"add_field","collection":"c","field":"a","value":1,"filter":{"$where":"true"}}"#,
        ),
        Example::Operations(
            r#"{"type":"rename_field","collection":"c","from":"a","to":"b","filter":{"$expr":{"$eq":[1,1]}}}"#,
        ),
    ],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let filter = match operation {
        Operation::AddField { filter, .. }
        | Operation::RemoveField { filter, .. }
        | Operation::RenameField { filter, .. } => filter.as_ref(),
        Operation::UpdateDocuments { filter, .. } => Some(filter),
        _ => None,
    };
    let Some(filter) = filter else { return };
    if filter.contains_key("$where") {
        told.add("`$where` runs JavaScript for every document", "say the same with `$expr`, which can use an index");
    } else if !filter.is_empty() && matches_all(filter) {
        told.add(
            "the filter matches every document",
            "say which documents need it, such as those without the new field",
        );
    }
}

/// Whether every document of a collection matches this filter, as far as that can be told from its words.
fn matches_all(filter: &Map<String, Value>) -> bool {
    let every = |v: &Value| v.as_object().is_some_and(matches_all);
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
            assert!(matches_all(&object(all)), "{all}");
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
            assert!(!matches_all(&object(some)), "{some}");
        }
    }
}
