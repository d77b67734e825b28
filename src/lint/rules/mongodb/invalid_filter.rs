//! A filter, or the pipeline of a view, with an operator that the server does not know, or does not take there.

use super::prelude::*;
use crate::config::yaml::nearest;
use crate::lint::operations::expressions::{VALUES, wrong_expression, wrong_in_stage};

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "invalid-filter",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "A filter that the server refuses",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"$or":[{"a":{"$gt":1,"$lt":5}},{"b":{"$not":{"$regex":"x","$options":"i"}}}]},"update":{"$set":{"z":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"add_field","collection":"c","field":"f","value":1,"filter":{"at":{"$date":"2026-01-31T00:00:00Z"},"id":{"$oid":"65a000000000000000000000"},"n":{"$numberLong":"5"}}}"#,
        ),
        Example::Operations(
            r#"{"type":"remove_field","collection":"c","field":"f","filter":{"l":{"$elemMatch":{"a":{"$in":[1]}}},"m":{"$elemMatch":{"$gt":1}},"of":{"$ref":"x","$id":1},"plain":{"b":1,"$gt":2}}}"#,
        ),
        Example::Operations(
            r#"{"type":"rename_field","collection":"c","from":"a","to":"b","filter":{"$expr":{"$gt":["$a",1]},"$comment":"x","place":{"$near":{"$geometry":{"type":"Point","coordinates":[0,0]}}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"v","options":{"viewOn":"c","pipeline":[{"$match":{"a":1}},{"$lookup":{"from":"d","pipeline":[{"$match":{"b":2}}],"as":"d"}},{"$project":{"a":1}}]}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":{"$type":["string","null"]},"b":{"$type":2},"$expr":{"$eq":[{"$toLower":"$a"},{"$literal":{"$eqq":1}}]}},"update":{"$set":{"z":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"v","options":{"viewOn":"c","pipeline":[{"$addFields":{"a":{"$cond":{"if":{"$gt":["$b",1]},"then":{"$oid":"65a000000000000000000000"},"else":{"$someNewOperator":1}}}}},{"$group":{"_id":null,"n":{"$sum":1}}}]}}"#,
        ),
    ],
    bad: &[
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":{"$type":"strng"}},"update":{"$set":{"z":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"$expr":{"$gtt":["$a",1]}},"update":{"$set":{"z":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"v","options":{"viewOn":"c","pipeline":[{"$project":{"a":{"$addd":["$b",1]}}}]}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"v","options":{"viewOn":"c","pipeline":[{"$macth":{"a":1}}]}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"v","options":{"viewOn":"c","pipeline":[{"$match":{"a":{"$eqq":1}}}]}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"v","options":{"viewOn":"c","pipeline":[{"$limit":1},{"$out":"d"}]}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"v","options":{"viewOn":"c","pipeline":[{"$facet":{"f":[{"$limitt":1}]}}]}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"v","options":{"viewOn":"c","pipeline":[{"$skip":1,"$limit":1}]}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":{"$eqq":1}},"update":{"$set":{"z":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"$andd":[{"a":1}]},"update":{"$set":{"z":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"remove_field","collection":"c","field":"f","filter":{"$or":[{"a":{"$not":{"$gtt":1}}}]}}"#,
        ),
        Example::Operations(
            r#"{"type":"remove_field","collection":"c","field":"f","filter":{"l":{"$elemMatch":{"a":{"$exist":true}}}}}"#,
        ),
        Example::Operations(r#"{"type":"remove_field","collection":"c","field":"f","filter":{"$or":[]}}"#),
        Example::Operations(r#"{"type":"remove_field","collection":"c","field":"f","filter":{"a":{"$in":1}}}"#),
        Example::Operations(r#"{"type":"remove_field","collection":"c","field":"f","filter":{"a":{"$gt":1,"b":2}}}"#),
        Example::Operations(r#"{"type":"rename_field","collection":"c","from":"a","to":"b","filter":{"$exists":1}}"#),
    ],
};

/// What stands at the top of a filter.
const TOP: [&str; 11] = [
    "$alwaysFalse",
    "$alwaysTrue",
    "$and",
    "$comment",
    "$expr",
    "$jsonSchema",
    "$nor",
    "$or",
    "$sampleRate",
    "$text",
    "$where",
];

/// What is asked of a field.
const OF_FIELDS: [&str; 27] = [
    "$all",
    "$bitsAllClear",
    "$bitsAllSet",
    "$bitsAnyClear",
    "$bitsAnySet",
    "$elemMatch",
    "$eq",
    "$exists",
    "$geoIntersects",
    "$geoWithin",
    "$gt",
    "$gte",
    "$in",
    "$lt",
    "$lte",
    "$maxDistance",
    "$minDistance",
    "$mod",
    "$ne",
    "$near",
    "$nearSphere",
    "$nin",
    "$not",
    "$options",
    "$regex",
    "$size",
    "$type",
];

/// The stages of a view's pipeline.
const STAGES: [&str; 28] = [
    "$addFields",
    "$bucket",
    "$bucketAuto",
    "$count",
    "$densify",
    "$facet",
    "$fill",
    "$geoNear",
    "$graphLookup",
    "$group",
    "$limit",
    "$lookup",
    "$match",
    "$project",
    "$rankFusion",
    "$redact",
    "$replaceRoot",
    "$replaceWith",
    "$sample",
    "$search",
    "$set",
    "$setWindowFields",
    "$skip",
    "$sort",
    "$sortByCount",
    "$unionWith",
    "$unset",
    "$unwind",
];

/// Stages that stand elsewhere, or that newer servers may take here.
const OTHERS: [&str; 7] =
    ["$collStats", "$documents", "$indexStats", "$planCacheStats", "$scoreFusion", "$searchMeta", "$vectorSearch"];

/// The names of types that `$type` takes.
const TYPES: [&str; 22] = [
    "array",
    "binData",
    "bool",
    "date",
    "dbPointer",
    "decimal",
    "double",
    "int",
    "javascript",
    "javascriptWithScope",
    "long",
    "maxKey",
    "minKey",
    "null",
    "number",
    "object",
    "objectId",
    "regex",
    "string",
    "symbol",
    "timestamp",
    "undefined",
];

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let filter = match operation {
        Operation::UpdateDocuments { filter, .. } => filter,
        Operation::AddField { filter: Some(filter), .. }
        | Operation::RemoveField { filter: Some(filter), .. }
        | Operation::RenameField { filter: Some(filter), .. } => filter,
        Operation::CreateCollection { options, .. } => {
            if let Some((message, help)) = options.get("pipeline").and_then(wrong_pipeline) {
                told.add(message, &help);
            }
            return;
        }
        _ => return,
    };
    if let Some((message, help)) = wrong(filter) {
        told.add(message, &help);
    }
}

/// What the server refuses of a filter, and what to write.
pub(super) fn wrong(filter: &Map<String, Value>) -> Option<(String, String)> {
    filter.iter().find_map(|(key, value)| match (key.as_str(), value) {
        ("$and" | "$or" | "$nor", Value::Array(each)) if !each.is_empty() => {
            each.iter().filter_map(Value::as_object).find_map(wrong)
        }
        ("$and" | "$or" | "$nor", _) => {
            Some((format!("`{key}` needs a list of at least one filter"), format!("`{{\"{key}\": [{{…}}, {{…}}]}}`")))
        }
        ("$expr", expression) => wrong_expression(expression),
        (name, _) if TOP.contains(&name) || name.starts_with("$_internal") => None,
        (name, _) if name.starts_with('$') => Some(unknown(name, &TOP, "at the top of a filter")),
        (_, Value::Object(asked)) => wrong_of_field(asked),
        _ => None,
    })
}

/// The same of the pipeline of a view.
fn wrong_pipeline(pipeline: &Value) -> Option<(String, String)> {
    pipeline.as_array()?.iter().filter_map(Value::as_object).find_map(wrong_stage)
}

/// The same of one of its stages.
fn wrong_stage(stage: &Map<String, Value>) -> Option<(String, String)> {
    let mut operators = stage.iter();
    let (Some((name, given)), None) = (operators.next(), operators.next()) else {
        return Some((
            "a stage of the pipeline has not one operator".to_owned(),
            "an object for each stage".to_owned(),
        ));
    };
    match (name.as_str(), given) {
        ("$match", Value::Object(filter)) => wrong(filter),
        ("$facet", Value::Object(each)) => each.values().find_map(wrong_pipeline),
        ("$lookup" | "$unionWith", Value::Object(other)) => other.get("pipeline").and_then(wrong_pipeline),
        ("$out" | "$merge", _) => {
            Some((format!("`{name}` writes, and a view only reads"), "leave the stage out of the view".to_owned()))
        }
        (name, given) if STAGES.contains(&name) => wrong_in_stage(name, given),
        (name, _) if OTHERS.contains(&name) || name.starts_with("$_internal") => None,
        (name, _) => {
            let near = nearest(name, &STAGES).map(|near| format!("did you mean `{near}`?"));
            let help = near.unwrap_or_else(|| "stages such as `{\"$match\": {…}}`, `{\"$project\": {…}}`".to_owned());
            Some((format!("`{name}` is no stage of a pipeline that a server knows"), help))
        }
    }
}

/// The same of what is asked of a field.
fn wrong_of_field(asked: &Map<String, Value>) -> Option<(String, String)> {
    // An object that begins with a name is a value to compare with.
    let first = asked.keys().next()?;
    if !first.starts_with('$') || VALUES.contains(&first.as_str()) {
        return None;
    }
    asked.iter().find_map(|(key, value)| match (key.as_str(), value) {
        ("$not", Value::Object(inner)) => wrong_of_field(inner),
        ("$elemMatch", Value::Object(inner)) => of_element(inner),
        ("$all", Value::Array(each)) => {
            each.iter().filter_map(|one| one.get("$elemMatch")?.as_object()).find_map(of_element)
        }
        ("$type", wanted) => wrong_type(wanted),
        ("$in" | "$nin" | "$all", value) if !value.is_array() => {
            Some((format!("`{key}` needs a list"), format!("`{{\"{key}\": [{value}]}}`")))
        }
        (name, _) if OF_FIELDS.contains(&name) || VALUES.contains(&name) || name.starts_with("$_internal") => None,
        (name, _) => Some(unknown(name, &OF_FIELDS, "of a field")),
    })
}

/// The same of the types that `$type` asks for; numbers are left to the server.
fn wrong_type(wanted: &Value) -> Option<(String, String)> {
    let each = wanted.as_array().map_or(std::slice::from_ref(wanted), Vec::as_slice);
    let name = each.iter().filter_map(Value::as_str).find(|name| !TYPES.contains(name))?;
    let near = nearest(name, &TYPES).map(|near| format!("did you mean `{near}`?"));
    let help = near.unwrap_or_else(|| "types such as `string`, `int`, `objectId`, `date`".to_owned());
    Some((format!("`{name}` is no type that `$type` knows"), help))
}

/// What is asked of an element of a list: the same as of a field, or a filter of its own.
fn of_element(inner: &Map<String, Value>) -> Option<(String, String)> {
    let is_of_field = inner.keys().next().is_some_and(|first| first.starts_with('$') && !TOP.contains(&first.as_str()));
    if is_of_field { wrong_of_field(inner) } else { wrong(inner) }
}

fn unknown(name: &str, known: &[&'static str], place: &str) -> (String, String) {
    let message = format!("`{name}` is no operator {place} that a server knows");
    let help = nearest(name, known).map_or_else(
        || "operators such as `{\"age\": {\"$gte\": 18}}`, `{\"$or\": [{…}, {…}]}`".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    (message, help)
}
