//! `$set` with an object, and stages that put together a new document: what else stood there is gone.

use serde_json::Value;

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "replaced-subdocument",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Mongodb,
        title: "Puts a whole object in a field's place",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"at":{"$date":"2026-01-01T00:00:00Z"},"p.b":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":[{"$set":{"p":{"b":1}}}]}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":[{"$replaceWith":{"$mergeObjects":[{"b":1},"$$ROOT"]}}]}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":[{"$project":{"old":0}}]}"#,
        ),
    ],
    bad: &[
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"p":{"b":1}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":[{"$replaceWith":{"b":"$a"}}]}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":[{"$project":{"a":1}}]}"#,
        ),
    ],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::UpdateDocuments { update, .. } = operation else { return };
    if let Some(stages) = update.as_array() {
        for stage in
            stages.iter().filter_map(Value::as_object).flatten().filter_map(|(name, stage)| replaces(name, stage))
        {
            told.add(
                format!("`{stage}` puts a new document together: every field that it does not name is gone"),
                "change fields with `$set` and `$unset`, or merge into `$$ROOT`: `{\"$mergeObjects\": [\"$$ROOT\", {…}]}`",
            );
        }
    }
    // In a pipeline an object is merged into the one that stands there.
    let Some(operators) = update.as_object() else { return };
    for (_, fields) in operators.iter().filter(|(operator, _)| matches!(operator.as_str(), "$set" | "$addFields")) {
        for (field, value) in fields.as_object().into_iter().flatten() {
            if value.as_object().is_some_and(|o| !o.is_empty() && !o.keys().any(|k| k.starts_with('$'))) {
                told.add(
                    format!("`$set` puts a whole object in the place of `{field}`: whatever else it held is gone"),
                    "set its fields one by one: `{\"$set\": {\"profile.locale\": \"en\"}}`",
                );
            }
        }
    }
}

/// The name of a stage after which a document holds only what the stage names.
fn replaces<'n>(name: &'n str, stage: &Value) -> Option<&'n str> {
    let leaves_out = match name {
        "$replaceWith" => !stage.to_string().contains("$$ROOT"),
        "$replaceRoot" => !stage["newRoot"].to_string().contains("$$ROOT"),
        // One that is named with 0 is taken away; any other value keeps what is named, and nothing else.
        "$project" => stage.as_object().is_some_and(|fields| {
            let kept = |value: &Value| value.as_bool().unwrap_or_else(|| value.as_f64() != Some(0.0));
            fields.iter().any(|(field, value)| field != "_id" && kept(value))
        }),
        _ => false,
    };
    leaves_out.then_some(name)
}
