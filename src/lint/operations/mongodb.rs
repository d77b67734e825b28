//! What is wrong with operations of MongoDB, or dangerous.

use std::ops::Range;

use serde_json::{Map, Value, json};

use super::{Look, everything, rules};
use crate::config::yaml::nearest;
use crate::ids::Risk;
use crate::migration::operations::mongodb::{Operation, index_name};

pub(super) fn makes(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::CreateCollection { collection, .. } => vec![format!("collection {collection}")],
        Operation::CreateIndex { collection, index, options } => {
            vec![format!("index {collection}/{}", index_name(index, options))]
        }
        Operation::RenameCollection { to, .. } => vec![format!("collection {to}")],
        _ => Vec::new(),
    }
}

pub(super) fn uses(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::CreateIndex { collection, .. }
        | Operation::AddField { collection, .. }
        | Operation::RemoveField { collection, .. }
        | Operation::RenameField { collection, .. }
        | Operation::UpdateDocuments { collection, .. }
        | Operation::DropCollection { collection }
        | Operation::SetValidator { collection, .. } => vec![format!("collection {collection}")],
        Operation::DropIndex { collection, name } => {
            vec![format!("collection {collection}"), format!("index {collection}/{name}")]
        }
        Operation::RenameCollection { from, .. } => vec![format!("collection {from}")],
        Operation::CreateCollection { .. } | Operation::RunCommand { .. } | Operation::Undo { .. } => Vec::new(),
    }
}

pub(super) fn takes_away(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::DropIndex { collection, name } => vec![format!("index {collection}/{name}")],
        Operation::DropCollection { collection } => vec![format!("collection {collection}")],
        Operation::RenameCollection { from, .. } => vec![format!("collection {from}")],
        _ => Vec::new(),
    }
}

pub(super) fn check(look: &mut Look<'_>, at: &Range<usize>, operation: &Operation) {
    match operation {
        Operation::CreateCollection { options, .. } => {
            if let Some(given) = options.get("validator") {
                validator(look, at, given);
            }
            known_options(look, at, "a collection", options, &COLLECTION_OPTIONS);
        }
        Operation::CreateIndex { collection, index, options } => create_index(look, at, collection, index, options),
        Operation::DropIndex { collection, name } => {
            let dropped = look.unit.indexes.remove(&format!("{collection}/{name}"));
            let held = dropped.filter(|_| !look.is_fresh(&format!("index {collection}/{name}"))).and_then(|i| held(&i));
            let help = "hide the index first and watch what gets slower; it can be made again from the definition that is recorded";
            if name == "*" {
                let message = format!("`*` is the name of no index; it would drop every index of `{collection}`");
                look.add(&rules::MONGODB_DROP_INDEX, at, message, "name one index; one operation each");
                if let Some(last) = look.found.last_mut() {
                    last.severity = Some(crate::lint::Severity::Error);
                }
            } else {
                let mut message = format!("queries that used `{name}` of `{collection}` read every document");
                if let Some(held) = held {
                    message.push_str(&format!(", and {held}"));
                }
                look.add(&rules::MONGODB_DROP_INDEX, at, message, help);
                if let (Some(_), Some(last)) = (held, look.found.last_mut()) {
                    last.risk = Some(Risk::High);
                }
            }
        }
        Operation::AddField { field, filter, .. } => {
            filter_of(look, at, filter.as_ref());
            stays(look, at, field);
        }
        Operation::RemoveField { collection, field, filter, .. } => {
            filter_of(look, at, filter.as_ref());
            stays(look, at, field);
            removed(look, at, collection, field);
        }
        Operation::RenameField { collection, from, to, filter, .. } => {
            filter_of(look, at, filter.as_ref());
            stays(look, at, from);
            stays(look, at, to);
            if from == to {
                let message = format!("`from` and `to` are both `{from}`");
                look.add(&rules::INVALID_UPDATE, at, message, "give the new name as `to`");
            }
            renamed(look, at, collection, from, to);
        }
        Operation::UpdateDocuments { collection, filter, update, .. } => {
            if filter.is_empty() {
                look.add(
                    &rules::UPDATE_WITHOUT_FILTER,
                    at,
                    format!("an empty filter updates every document of `{collection}`"),
                    "say which documents need it, such as those without the new field: `{\"status\": null}`",
                );
            } else {
                filter_of(look, at, Some(filter));
            }
            self::update(look, at, update);
            taken_away(look, at, collection, update);
        }
        Operation::DropCollection { collection } => {
            look.unit.indexes.retain(|name, _| !name.starts_with(&format!("{collection}/")));
            look.add(
                &rules::DROP_COLLECTION,
                at,
                format!("every document of `{collection}` is gone for good"),
                "rename the collection, wait until nobody misses it, take a backup, then drop it",
            );
        }
        Operation::RenameCollection { from, to } => {
            let moved: Vec<(String, Value)> = look
                .unit
                .indexes
                .iter()
                .filter_map(|(name, v)| Some((format!("{to}/{}", name.strip_prefix(&format!("{from}/"))?), v.clone())))
                .collect();
            look.unit.indexes.retain(|name, _| !name.starts_with(&format!("{from}/")));
            look.unit.indexes.extend(moved);
            look.add(
                &rules::RENAME_COLLECTION,
                at,
                format!("applications that know `{from}` find nothing, and their cursors and change streams end"),
                "make a view of the old name, or move the readers first",
            );
        }
        Operation::SetValidator { collection, validator: given, .. } => {
            validator(look, at, &Value::Object(given.clone()));
            if operation.refuses_updates() && !look.is_fresh(&format!("collection {collection}")) {
                look.add(
                    &rules::STRICT_VALIDATOR,
                    at,
                    format!("documents of `{collection}` that do not fit can no longer be updated"),
                    "begin with `\"validation_level\": \"moderate\"` or `\"validation_action\": \"warn\"`, mend the documents, then be strict",
                );
            }
        }
        Operation::RunCommand { command } => {
            let name = command.keys().next().map_or("", String::as_str);
            look.add(
                &rules::RUN_COMMAND,
                at,
                format!("nothing is known of what `{name}` does, so after a crash a person must look"),
                "use the operation that does the same, if there is one",
            );
        }
        Operation::Undo { .. } => {}
    }
}

/// What an index, with its keys and options, holds that nothing holds without it.
fn held(index: &Value) -> Option<&'static str> {
    let options = index.get(1)?;
    if options.get("unique") == Some(&Value::Bool(true)) {
        Some("nothing keeps the same value from being written twice")
    } else {
        options.get("expireAfterSeconds").map(|_| "documents that are too old stay")
    }
}

fn create_index(
    look: &mut Look<'_>,
    at: &Range<usize>,
    collection: &str,
    index: &[(String, Value)],
    options: &Map<String, Value>,
) {
    let name = index_name(index, options);
    for (field, direction) in index {
        let known = match direction {
            Value::Number(n) => n.as_f64().is_some_and(|n| n != 0.0),
            Value::String(s) => matches!(s.as_str(), "text" | "2d" | "2dsphere" | "hashed"),
            _ => false,
        };
        if !known {
            look.add(
                &rules::INDEX_CONFLICT,
                at,
                format!("`{direction}` is no direction for `{field}`"),
                "1, -1, \"text\", \"2d\", \"2dsphere\" or \"hashed\"",
            );
        }
    }
    if index.is_empty() {
        look.add(
            &rules::INDEX_CONFLICT,
            at,
            "an index needs at least one field".to_owned(),
            "`\"index\": [[\"email\", 1]]`",
        );
    }
    known_options(look, at, "an index", options, &INDEX_OPTIONS);
    let mut meaning = options.clone();
    meaning.remove("background");
    meaning.remove("name");
    let spec = json!([index, meaning]);
    let key = format!("{collection}/{name}");
    if look.unit.indexes.get(&key).is_some_and(|before| *before != spec) {
        look.add(
            &rules::INDEX_CONFLICT,
            at,
            format!("the index `{name}` of `{collection}` is made with other keys or options already"),
            "drop it first, or give this one another `name`",
        );
    }
    look.unit.indexes.insert(key, spec);
    if options.contains_key("background") {
        look.add(
            &rules::BACKGROUND_INDEX,
            at,
            "`background` has meant nothing since MongoDB 4.2: every build lets others read and write".to_owned(),
            "take the option out",
        );
    }
    if look.is_fresh(&format!("collection {collection}")) {
        return;
    }
    look.add(
        &rules::INDEX_ON_DATA,
        at,
        format!("`{name}` reads every document of `{collection}`, and locks it for a moment at its start and end"),
        "build it when there is little load",
    );
    if options.get("unique").is_some_and(|u| *u == Value::Bool(true)) {
        look.add(
            &rules::UNIQUE_INDEX_ON_DATA,
            at,
            format!("the build of `{name}` fails when two documents of `{collection}` have the same value"),
            "look for duplicates first; `partialFilterExpression` leaves documents without the field out",
        );
    }
    if options.contains_key("expireAfterSeconds") {
        look.add(
            &rules::TTL_INDEX_ON_DATA,
            at,
            format!("documents of `{collection}` that are old enough are deleted as soon as `{name}` is built"),
            "count them first; a backup is the only way back",
        );
    }
}

/// Options of the `create` command.
const COLLECTION_OPTIONS: [&str; 17] = [
    "autoIndexId",
    "capped",
    "changeStreamPreAndPostImages",
    "clusteredIndex",
    "collation",
    "comment",
    "encryptedFields",
    "expireAfterSeconds",
    "indexOptionDefaults",
    "max",
    "pipeline",
    "size",
    "storageEngine",
    "timeseries",
    "validationAction",
    "validationLevel",
    "validator",
];

/// Options of an index.
const INDEX_OPTIONS: [&str; 22] = [
    "2dsphereIndexVersion",
    "background",
    "bits",
    "bucketSize",
    "collation",
    "columnstoreProjection",
    "default_language",
    "expireAfterSeconds",
    "hidden",
    "language_override",
    "max",
    "min",
    "name",
    "partialFilterExpression",
    "prepareUnique",
    "sparse",
    "storageEngine",
    "textIndexVersion",
    "unique",
    "v",
    "weights",
    "wildcardProjection",
];

/// Options that no server knows: a slip of the pen is refused only when the migration runs.
fn known_options(
    look: &mut Look<'_>,
    at: &Range<usize>,
    what: &str,
    options: &Map<String, Value>,
    known: &[&'static str],
) {
    for name in
        options.keys().filter(|name| !known.contains(&name.as_str()) && *name != "viewOn" && *name != "writeConcern")
    {
        let message = format!("`{name}` is no option of {what} that is known");
        let help = match nearest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "see the server's manual; what a newer server knows can be waived".to_owned(),
        };
        look.add(&rules::UNKNOWN_OPTION, at, message, &help);
    }
}

/// `_id` cannot be set, removed or renamed.
fn stays(look: &mut Look<'_>, at: &Range<usize>, field: &str) {
    if field == "_id" || field.starts_with("_id.") {
        let message = format!("`{field}` stays as it is for a document's whole life");
        look.add(&rules::INVALID_UPDATE, at, message, "keep the value in a field of another name");
    }
}

/// `$where` and filters that every document matches (N303).
fn filter_of(look: &mut Look<'_>, at: &Range<usize>, filter: Option<&Map<String, Value>>) {
    let Some(filter) = filter else { return };
    if filter.contains_key("$where") {
        look.add(
            &rules::FILTER_MATCHES_ALL,
            at,
            "`$where` runs JavaScript for every document".to_owned(),
            "say the same with `$expr`, which can use an index",
        );
    } else if !filter.is_empty() && everything::filter_matches(filter) {
        look.add(
            &rules::FILTER_MATCHES_ALL,
            at,
            "the filter matches every document".to_owned(),
            "say which documents need it, such as those without the new field",
        );
    }
}

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

/// The forms of an update that the server refuses.
fn update(look: &mut Look<'_>, at: &Range<usize>, update: &Value) {
    let help = "operators such as `{\"$set\": {…}}`, or a pipeline `[{\"$set\": {…}}]`";
    let wrong = match update {
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
    };
    if let Some(message) = wrong {
        look.add(&rules::INVALID_UPDATE, at, message, help);
    }
}

/// `$unset` and `$rename` do in an update what the operations of their own do (N304, N305).
fn taken_away(look: &mut Look<'_>, at: &Range<usize>, collection: &str, update: &Value) {
    let operators: Vec<&Map<String, Value>> = match update {
        Value::Object(operators) => vec![operators],
        Value::Array(stages) => stages.iter().filter_map(Value::as_object).collect(),
        _ => Vec::new(),
    };
    for (operator, fields) in operators.into_iter().flatten() {
        match operator.as_str() {
            "$unset" => {
                let names = match fields {
                    Value::Object(fields) => fields.keys().cloned().collect(),
                    Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                    Value::String(name) => vec![name.clone()],
                    _ => Vec::new(),
                };
                for field in names {
                    removed(look, at, collection, &field);
                }
            }
            "$rename" => {
                for (from, to) in fields.as_object().into_iter().flatten() {
                    renamed(look, at, collection, from, to.as_str().unwrap_or_default());
                }
            }
            _ => {}
        }
    }
}

fn removed(look: &mut Look<'_>, at: &Range<usize>, collection: &str, field: &str) {
    look.add(
        &rules::REMOVE_FIELD,
        at,
        format!("the values of `{field}` in `{collection}` are gone for good"),
        "release an application that does not read the field, take a backup, then remove it",
    );
}

fn renamed(look: &mut Look<'_>, at: &Range<usize>, collection: &str, from: &str, to: &str) {
    look.add(
        &rules::RENAME_FIELD,
        at,
        format!("applications that read `{from}` of `{collection}` find nothing while it becomes `{to}`"),
        "write both fields for a while, copy the values, move the readers, then remove the old field",
    );
}

const BSON_TYPES: [&str; 22] = [
    "double",
    "string",
    "object",
    "array",
    "binData",
    "undefined",
    "objectId",
    "bool",
    "date",
    "null",
    "regex",
    "dbPointer",
    "javascript",
    "symbol",
    "javascriptWithScope",
    "int",
    "timestamp",
    "long",
    "decimal",
    "minKey",
    "maxKey",
    "number",
];

/// What of a validator is wrong at its top.
fn validator(look: &mut Look<'_>, at: &Range<usize>, given: &Value) {
    let wrong = match given {
        Value::Object(validator) => match validator.get("$jsonSchema") {
            None => None,
            Some(Value::Object(schema)) => wrong_schema(schema),
            Some(_) => Some("`$jsonSchema` is no object".to_owned()),
        },
        _ => Some("`validator` is no object".to_owned()),
    };
    if let Some(message) = wrong {
        let help = "`{\"$jsonSchema\": {\"bsonType\": \"object\", \"required\": [\"email\"], \"properties\": {…}}}`";
        look.add(&rules::INVALID_VALIDATOR, at, message, help);
    }
}

fn wrong_schema(schema: &Map<String, Value>) -> Option<String> {
    let types = |value: &Value| match value {
        Value::String(name) => BSON_TYPES.contains(&name.as_str()).then_some(()).ok_or_else(|| name.clone()),
        Value::Array(names) => names.iter().try_for_each(|n| match n.as_str() {
            Some(name) if BSON_TYPES.contains(&name) => Ok(()),
            _ => Err(n.to_string()),
        }),
        other => Err(other.to_string()),
    };
    if let Some(Err(name)) = schema.get("bsonType").map(types) {
        return Some(format!("`{name}` is no BSON type"));
    }
    if schema.contains_key("bsonType") && schema.contains_key("type") {
        return Some("`bsonType` and `type` cannot stand together".to_owned());
    }
    if let Some(required) = schema.get("required") {
        let strings = required.as_array().is_some_and(|r| !r.is_empty() && r.iter().all(Value::is_string));
        if !strings {
            return Some("`required` must be a list of at least one field".to_owned());
        }
    }
    if let Some(properties) = schema.get("properties") {
        let Some(properties) = properties.as_object() else { return Some("`properties` is no object".to_owned()) };
        for (name, property) in properties {
            let Some(property) = property.as_object() else { return Some(format!("`properties.{name}` is no object")) };
            if let Some(wrong) = wrong_schema(property) {
                return Some(format!("`{name}`: {wrong}"));
            }
        }
    }
    const KEYS: [&str; 31] = [
        "bsonType",
        "type",
        "enum",
        "required",
        "properties",
        "patternProperties",
        "additionalProperties",
        "minProperties",
        "maxProperties",
        "dependencies",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "items",
        "additionalItems",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "pattern",
        "title",
        "description",
        "encrypt",
        "encryptMetadata",
    ];
    schema.keys().find(|k| !KEYS.contains(&k.as_str())).map(|k| format!("`{k}` is no keyword of `$jsonSchema`"))
}
