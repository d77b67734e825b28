//! A TTL index over a field that can hold no date: nothing ever expires.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "ttl-without-date",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Mongodb,
        title: "A TTL index over a field that holds no date",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"validator":{"$jsonSchema":{"properties":{"a":{"bsonType":["date","null"]}}}}}},{"type":"create_index","collection":"c","index":[["a",1]],"options":{"expireAfterSeconds":9}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"validator":{"$jsonSchema":{"properties":{"a":{"bsonType":"array"},"b":{"bsonType":"string"}}}}}},{"type":"create_index","collection":"c","index":[["a",1]],"options":{"expireAfterSeconds":9}},{"type":"create_index","collection":"c","index":[["b",1]]}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"validator":{"$jsonSchema":{"properties":{"a":{"bsonType":"string"}}}},"validationAction":"warn"}},{"type":"create_index","collection":"c","index":[["a",1]],"options":{"expireAfterSeconds":9}}"#,
        ),
    ],
    bad: &[
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"validator":{"$jsonSchema":{"properties":{"a":{"bsonType":"string"}}}}}},{"type":"create_index","collection":"c","index":[["a",1]],"options":{"expireAfterSeconds":9}}"#,
        ),
        Example::Migrations(&[
            r#"{"type":"create_collection","collection":"c"},{"type":"set_validator","collection":"c","validator":{"$jsonSchema":{"properties":{"of":{"properties":{"a":{"bsonType":["int","long"]}}}}}}}"#,
            r#"{"type":"create_index","collection":"c","index":[["of.a",1]],"options":{"expireAfterSeconds":9}}"#,
        ]),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::CreateIndex { collection, index, options } = operation else { return };
    let [(field, _)] = &index[..] else { return };
    if !options.contains_key("expireAfterSeconds") {
        return;
    }
    // The dates of an array count, too.
    let Some(types) =
        look.unit.types_of(collection, field).filter(|t| !t.iter().any(|t| matches!(*t, "date" | "array")))
    else {
        return;
    };
    told.add(
        format!("the validator of `{collection}` lets `{field}` be `{}`, and documents expire by a date alone: none ever will", types.join("`, `")),
        "make the index over a field of the type `date`",
    );
}
