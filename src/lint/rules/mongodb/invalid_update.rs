//! The forms of an update that the server refuses.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "invalid-update",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "An update that the server refuses",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":null},"update":[{"$set":{"a":"$b"}}]}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$setOnInsert":{"_id":1}}}"#,
        ),
        Example::Operations(r#"{"type":"rename_field","collection":"c","from":"a","to":"b"}"#),
    ],
    bad: &[
        Example::Operations(r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"a":1}}"#),
        Example::Operations(r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":"x"}"#),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$foo":{"a":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"_id":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":[{"$match":{"a":1}}]}"#,
        ),
        Example::Operations(r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":[{"a":1}]}"#),
        Example::Operations(r#"{"type":"add_field","collection":"c","field":"_id","value":1}"#),
        Example::Operations(r#"{"type":"rename_field","collection":"c","from":"a","to":"a"}"#),
    ],
};

/// The operators of an update that is no pipeline.
const UPDATE_OPERATORS: [&str; 15] = [
    "$addToSet",
    "$bit",
    "$currentDate",
    "$inc",
    "$max",
    "$min",
    "$mul",
    "$pop",
    "$pull",
    "$pullAll",
    "$push",
    "$rename",
    "$set",
    "$setOnInsert",
    "$unset",
];

/// The stages of one that is.
const UPDATE_STAGES: [&str; 6] = ["$addFields", "$project", "$replaceRoot", "$replaceWith", "$set", "$unset"];

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    match operation {
        Operation::AddField { field, .. } | Operation::RemoveField { field, .. } => stays(field, told),
        Operation::RenameField { from, to, .. } => {
            stays(from, told);
            stays(to, told);
            if from == to {
                told.add(format!("`from` and `to` are both `{from}`"), "give the new name as `to`");
            }
        }
        Operation::UpdateDocuments { update, .. } => {
            if let Some(message) = refused(update) {
                told.add(message, "operators such as `{\"$set\": {…}}`, or a pipeline `[{\"$set\": {…}}]`");
            }
        }
        _ => {}
    }
}

/// `_id` cannot be set, removed or renamed.
fn stays(field: &str, told: &mut Told<'_>) {
    if field == "_id" || field.starts_with("_id.") {
        let message = format!("`{field}` stays as it is for a document's whole life");
        told.add(message, "keep the value in a field of another name");
    }
}

fn refused(update: &Value) -> Option<String> {
    match update {
        Value::Object(operators) => match operators.keys().find(|k| !UPDATE_OPERATORS.contains(&k.as_str())) {
            Some(key) if !key.starts_with('$') => {
                Some(format!("`{key}` is no update operator; a whole document cannot be put in place of many"))
            }
            Some(key) => Some(format!("`{key}` is no update operator that a server knows")),
            None if operators.is_empty() => Some("`update` is empty".to_owned()),
            None => operators
                .iter()
                .filter(|(operator, _)| *operator != "$setOnInsert")
                .find(|(_, fields)| fields.as_object().is_some_and(|fields| fields.contains_key("_id")))
                .map(|(operator, _)| format!("`{operator}` would change `_id`, which stays as it is")),
        },
        Value::Array(stages) => stages.iter().find_map(|stage| {
            match stage.as_object().map(|s| s.keys().map(String::as_str).collect::<Vec<_>>()).as_deref() {
                Some([one]) if UPDATE_STAGES.contains(one) => None,
                Some([one]) => Some(format!("`{one}` is no stage of an update; one is {}", UPDATE_STAGES.join(", "))),
                Some(_) | None => Some("a stage of the pipeline is no object with one operator".to_owned()),
            }
        }),
        _ => Some("`update` is neither an object of operators nor a pipeline".to_owned()),
    }
}
