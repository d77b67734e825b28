//! The forms of an update that the server refuses.

use std::collections::BTreeMap;

use super::prelude::*;
use crate::config::yaml::nearest;
use crate::lint::operations::expressions::wrong_in_stage;

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
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"b.c":1,"bc":1,"l.0":1},"$inc":{"b.d":1,"l.1":2},"$unset":{"b-c":""}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":[{"$set":{"b":1}},{"$unset":"b"}]}"#,
        ),
        // What is no longer asked for, what only a warning is given for, and what holds nothing yet.
        Example::Migrations(&[
            r#"{"type":"create_collection","collection":"c","options":{"validator":{"$jsonSchema":{"required":["a","b"]}}}}"#,
            r#"{"type":"set_validator","collection":"c","validator":{"$jsonSchema":{"required":["b"]}}},{"type":"remove_field","collection":"c","field":"a"}"#,
        ]),
        Example::Migrations(&[
            r#"{"type":"create_collection","collection":"c","options":{"validationAction":"warn","validator":{"$jsonSchema":{"required":["a"]}}}}"#,
            r#"{"type":"remove_field","collection":"c","field":"a"}"#,
        ]),
        Example::Migrations(&[
            r#"{"type":"set_validator","collection":"c","validator":{"$jsonSchema":{"required":["a"]}}}"#,
            r#"{"type":"remove_field","collection":"c","field":"a"}"#,
        ]),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"validator":{"$jsonSchema":{"required":["a"]}}}},{"type":"remove_field","collection":"c","field":"a"}"#,
        ),
        Example::Migrations(&[
            r#"{"type":"create_collection","collection":"c","options":{"validator":{"$jsonSchema":{"required":["a"]}}}}"#,
            r#"{"type":"run_command","command":{"collMod":"c","validationLevel":"off"}}"#,
            r#"{"type":"remove_field","collection":"c","field":"a"}"#,
        ]),
    ],
    bad: &[
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":[{"$set":{"a":{"$concta":["$b","x"]}}}]}"#,
        ),
        Example::Operations(r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"a":1}}"#),
        Example::Operations(r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":"x"}"#),
        Example::Operations(r#"{"type":"add_field","collection":"c","field":"a..b","value":1}"#),
        Example::Operations(r#"{"type":"add_field","collection":"c","field":"$bad","value":1}"#),
        Example::Operations(r#"{"type":"add_field","collection":"c","field":"","value":1}"#),
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
        Example::Operations(r#"{"type":"rename_field","collection":"c","from":"a","to":"a.b"}"#),
        Example::Operations(r#"{"type":"rename_field","collection":"c","from":"a.b","to":"a"}"#),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"b":1},"$unset":{"b":""}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"b.c.d":1},"$inc":{"b":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$rename":{"b":"d"},"$setOnInsert":{"d":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":[{"$set":{"b":1,"b.c":2}}]}"#,
        ),
        Example::Migrations(&[
            r#"{"type":"create_collection","collection":"c","options":{"validator":{"$jsonSchema":{"required":["a"]}}}}"#,
            r#"{"type":"remove_field","collection":"c","field":"a"}"#,
        ]),
        Example::Migrations(&[
            r#"{"type":"create_collection","collection":"c"}"#,
            r#"{"type":"set_validator","collection":"c","validator":{"$jsonSchema":{"properties":{"b":{"required":["d"]}}}}}"#,
            r#"{"type":"rename_collection","from":"c","to":"e"}"#,
            r#"{"type":"rename_field","collection":"e","from":"b.d","to":"b.f"}"#,
        ]),
        Example::Migrations(&[
            r#"{"type":"set_validator","collection":"c","validator":{"a":{"$exists":true}},"validation_level":"moderate","validation_action":"error"}"#,
            r#"{"type":"update_documents","collection":"c","filter":{"b":1},"update":{"$unset":{"a":""}}}"#,
        ]),
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

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    match operation {
        Operation::AddField { field, .. } => {
            stays(field, told);
            is_path(field, told);
        }
        Operation::RemoveField { collection, field, .. } => {
            stays(field, told);
            is_required(look, collection, field, told);
        }
        Operation::RenameField { collection, from, to, .. } => {
            stays(from, told);
            stays(to, told);
            is_path(to, told);
            is_required(look, collection, from, told);
            if from == to {
                told.add(format!("`from` and `to` are both `{from}`"), "give the new name as `to`");
            } else if is_within(from, to) || is_within(to, from) {
                let message =
                    format!("one of `{from}` and `{to}` lies in the other; a field cannot be moved into itself");
                told.add(message, "rename it to a name beside it first, then into its place");
            }
        }
        Operation::UpdateDocuments { collection, update, .. } => {
            if let Some((message, help)) = refused(update) {
                let usual = "operators such as `{\"$set\": {…}}`, or a pipeline `[{\"$set\": {…}}]`";
                told.add(message, help.as_deref().unwrap_or(usual));
                return;
            }
            let unset = update.get("$unset").and_then(Value::as_object);
            let renamed = update.get("$rename").and_then(Value::as_object);
            for field in unset.into_iter().chain(renamed).flat_map(Map::keys) {
                is_required(look, collection, field, told);
            }
        }
        _ => {}
    }
}

/// Whether a path lies in what another one names.
fn is_within(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'))
}

/// A field that the collection's validator requires is neither taken away nor renamed.
fn is_required(look: &Look<'_>, collection: &str, field: &str, told: &mut Told<'_>) {
    if look.unit.requires(collection, field) && !is_fresh(look, collection) {
        told.add(
            format!(
                "the validator of `{collection}` requires `{field}`: the server refuses every document that loses it"
            ),
            "let the validator go without the field first: `set_validator`",
        );
    }
}

/// Every part of the path of a field that is written has a name.
fn is_path(field: &str, told: &mut Told<'_>) {
    if field.split('.').any(str::is_empty) {
        told.add(
            format!("a part of the path `{field}` has no name"),
            "one dot stands between two names: `address.city`",
        );
    } else if field.starts_with('$') {
        told.add(format!("`{field}` begins with a `$`, as operators do"), "give the field a name without it");
    }
}

/// `_id` cannot be set, removed or renamed.
fn stays(field: &str, told: &mut Told<'_>) {
    if field == "_id" || field.starts_with("_id.") {
        let message = format!("`{field}` stays as it is for a document's whole life");
        told.add(message, "keep the value in a field of another name");
    }
}

/// Why the server refuses an update, and what to write where that is plain.
fn refused(update: &Value) -> Option<(String, Option<String>)> {
    let plainly = |message: String| Some((message, None));
    let near = |name: &str, known: &[&'static str]| nearest(name, known).map(|near| format!("did you mean `{near}`?"));
    match update {
        Value::Object(operators) => match operators.keys().find(|k| !UPDATE_OPERATORS.contains(&k.as_str())) {
            Some(key) if !key.starts_with('$') => {
                plainly(format!("`{key}` is no update operator; a whole document cannot be put in place of many"))
            }
            Some(key) => {
                Some((format!("`{key}` is no update operator that a server knows"), near(key, &UPDATE_OPERATORS)))
            }
            None if operators.is_empty() => plainly("`update` is empty".to_owned()),
            None => changes_id(operators).map(|message| (message, None)).or_else(|| conflict(operators)),
        },
        Value::Array(stages) => {
            stages.iter().find_map(|stage| match stage.as_object().map(|s| s.iter().collect::<Vec<_>>()).as_deref() {
                Some([(one, given)]) if UPDATE_STAGES.contains(&one.as_str()) => {
                    if let Some((message, help)) = wrong_in_stage(one, given) {
                        return Some((message, Some(help)));
                    }
                    let fields = given.as_object().filter(|_| matches!(one.as_str(), "$set" | "$addFields"))?;
                    conflict(&Map::from_iter([((*one).clone(), Value::Object(fields.clone()))]))
                }
                Some([(one, _)]) => Some((
                    format!("`{one}` is no stage of an update; one is {}", UPDATE_STAGES.join(", ")),
                    near(one, &UPDATE_STAGES),
                )),
                Some(_) | None => plainly("a stage of the pipeline is no object with one operator".to_owned()),
            })
        }
        _ => plainly("`update` is neither an object of operators nor a pipeline".to_owned()),
    }
}

fn changes_id(operators: &Map<String, Value>) -> Option<String> {
    operators
        .iter()
        .filter(|(operator, _)| *operator != "$setOnInsert")
        .find(|(_, fields)| fields.as_object().is_some_and(|fields| fields.contains_key("_id")))
        .map(|(operator, _)| format!("`{operator}` would change `_id`, which stays as it is"))
}

/// Two changes of one field, or of a field and of something in it.
fn conflict(operators: &Map<String, Value>) -> Option<(String, Option<String>)> {
    let mut changed: BTreeMap<&str, &str> = BTreeMap::new();
    let mut twice = None;
    for (operator, fields) in operators {
        for (field, value) in fields.as_object().into_iter().flatten() {
            let renamed = value.as_str().filter(|_| operator == "$rename");
            for path in [Some(field.as_str()), renamed].into_iter().flatten() {
                let before = changed.insert(path, operator);
                twice = twice.or(before.map(|before| (before, path, operator.as_str(), path)));
            }
        }
    }
    let within = changed.iter().find_map(|(path, operator)| {
        let mut above = path.match_indices('.').map(|(at, _)| &path[..at]);
        above.find_map(|outer| Some((*changed.get(outer)?, outer, *operator, *path)))
    });
    let (first, outer, second, inner) = twice.or(within)?;
    let message =
        format!("`{first}` of `{outer}` and `{second}` of `{inner}` conflict: the server takes one change of a field");
    Some((message, Some("make one change of the two, or an operation of its own for each".to_owned())))
}
