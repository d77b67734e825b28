//! A validator that the server refuses.

use super::invalid_filter::wrong;
use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "invalid-validator",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "A validator that the server refuses",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"validator":{"$jsonSchema":{"bsonType":["object","null"],"required":["a"],"properties":{"a":{"bsonType":"string","minLength":1}}}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"set_validator","collection":"c","validator":{"a":{"$type":"int"}},"validation_level":"moderate"}"#,
        ),
    ],
    bad: &[
        Example::Operations(r#"{"type":"create_collection","collection":"c","options":{"validator":7}}"#),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"validator":{"$jsonSchema":{"bsonType":"text"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"validator":{"$jsonSchema":{"required":[]}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"validator":{"$jsonSchema":{"properties":{"a":1}}}}}"#,
        ),
        Example::Operations(r#"{"type":"set_validator","collection":"c","validator":{"$jsonSchema":{"format":"x"}}}"#),
        Example::Operations(r#"{"type":"set_validator","collection":"c","validator":{"a":{"$typ":"int"}}}"#),
    ],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let wrong = match operation {
        Operation::CreateCollection { options, .. } => options.get("validator").and_then(|given| match given {
            Value::Object(validator) => wrong_validator(validator),
            _ => Some("`validator` is no object".to_owned()),
        }),
        Operation::SetValidator { validator, .. } => wrong_validator(validator),
        _ => None,
    };
    if let Some(message) = wrong {
        told.add(
            message,
            "`{\"$jsonSchema\": {\"bsonType\": \"object\", \"required\": [\"email\"], \"properties\": {…}}}`",
        );
    }
}

/// What of a validator is wrong at its top.
fn wrong_validator(validator: &Map<String, Value>) -> Option<String> {
    match validator.get("$jsonSchema") {
        Some(Value::Object(schema)) => wrong_schema(schema),
        Some(_) => Some("`$jsonSchema` is no object".to_owned()),
        None => wrong(validator).map(|(message, help)| format!("{message}; {help}")),
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
