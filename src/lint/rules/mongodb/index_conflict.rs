//! An index that cannot be made as it is written: of a name that is taken, or without keys that an index can have.

use super::invalid_filter::wrong;
use super::prelude::*;
use crate::lint::operations::definition;
use crate::migration::operations::mongodb::index_name;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "index-conflict",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "An index that the server refuses",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Migrations(&[
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"i"}}"#,
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"i"}}"#,
        ]),
        Example::Migrations(&[
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"i"}}"#,
            r#"{"type":"drop_index","collection":"c","name":"i"}"#,
            r#"{"type":"create_index","collection":"c","index":[["b",1]],"options":{"name":"i"}}"#,
        ]),
        Example::Migrations(&[
            r#"{"type":"create_index","collection":"c","index":[["a",1]]}"#,
            r#"{"type":"drop_index","collection":"c","name":"a_1"}"#,
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"i"}}"#,
        ]),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a","2dsphere"],["b",-1]]}"#),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",2],["b",1.5]],"options":{"unique":true,"sparse":false,"partialFilterExpression":{"a":{"$exists":true},"b":{"$in":[1]}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["$**","text"],["b",1]],"options":{"weights":{"a":2}}},{"type":"drop_index","collection":"c","name":"$**_text_b_1"},{"type":"create_index","collection":"c","index":[["a","text"],["b","text"]]}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a","text"]],"options":{"expireAfterSeconds":5}},{"type":"create_index","collection":"d","index":[["a","text"]]}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a.$**",1]]},{"type":"create_index","collection":"c","index":[["b","hashed"],["c",1]],"options":{"sparse":true}}"#,
        ),
    ],
    bad: &[
        Example::Migrations(&[
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"i"}}"#,
            r#"{"type":"create_index","collection":"c","index":[["b",1]],"options":{"name":"i"}}"#,
        ]),
        Example::Migrations(&[
            r#"{"type":"create_index","collection":"c","index":[["a",1]]}"#,
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"i"}}"#,
        ]),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a","up"]]}"#),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[]}"#),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a",0]]}"#),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a","text"]]},{"type":"create_index","collection":"c","index":[["b","text"]]}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a","hashed"]],"options":{"unique":true}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["$**",1]],"options":{"unique":true}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1],["b",1]],"options":{"expireAfterSeconds":5}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"expireAfterSeconds":-5}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"sparse":true,"partialFilterExpression":{"a":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"partialFilterExpression":{"a":{"$ne":1}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"partialFilterExpression":{"$or":[{"a":{"$exists":false}}]}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"partialFilterExpression":{"a":{"$eqq":1}}}}"#,
        ),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a..b",1]]}"#),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a.$b",1]]}"#),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a","hashed"],["b","hashed"]]}"#),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["_id",1]],"options":{"unique":true}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"weights":{"a":1}}}"#,
        ),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::CreateIndex { collection, index, options } = operation else { return };
    for (field, direction) in index {
        let known = match direction {
            Value::Number(n) => n.as_f64().is_some_and(|n| n != 0.0),
            Value::String(s) => matches!(s.as_str(), "text" | "2d" | "2dsphere" | "hashed"),
            _ => false,
        };
        if !known {
            told.add(
                format!("`{direction}` is no direction for `{field}`"),
                "1, -1, \"text\", \"2d\", \"2dsphere\" or \"hashed\"",
            );
        }
        if let Some(message) = wrong_field(field) {
            told.add(message, "the field's name, with dots for nested ones: `address.city`");
        }
    }
    if index.is_empty() {
        told.add("an index needs at least one field", "`\"index\": [[\"email\", 1]]`");
    }
    if let Some((message, help)) = refused(index, options) {
        told.add(message, &help);
    }
    let name = index_name(index, options);
    if let Some(other) = look.unit.same_index(collection, &name, &definition(index, options)) {
        told.add(
            format!("MongoDB refuses it: the index `{other}` of `{collection}` has the same keys and options"),
            "leave it out, or drop the other one first",
        );
    } else if is_text(index)
        && let Some(other) = look.unit.text_index(collection, &name)
    {
        told.add(
            format!("MongoDB takes one text index for each collection, and `{collection}` has `{other}`"),
            "drop that one first, and name all fields in one index: `[[\"title\", \"text\"], [\"body\", \"text\"]]`",
        );
    }
    if look.unit.index(collection, &name).is_some_and(|before| *before != definition(index, options)) {
        told.add(
            format!("the index `{name}` of `{collection}` is made with other keys or options already"),
            "drop it first, or give this one another `name`",
        );
    }
}

fn is_text(index: &[(String, Value)]) -> bool {
    index.iter().any(|(_, direction)| direction == "text")
}

fn wrong_field(field: &str) -> Option<String> {
    let plain = field.strip_suffix("$**").map_or(field, |front| front.strip_suffix('.').unwrap_or(front));
    if plain.is_empty() && field != plain {
        None
    } else if plain.split('.').any(str::is_empty) {
        Some(format!("`{field}` has an empty part, which no index can have"))
    } else {
        plain.split('.').any(|part| part.starts_with('$')).then(|| format!("`{field}` has a part that begins with `$`"))
    }
}

/// Options that the server does not take with these keys, and what to write.
fn refused(index: &[(String, Value)], options: &Map<String, Value>) -> Option<(String, String)> {
    let is_on = |option: &str| options.get(option).is_some_and(|v| *v == true || v.as_f64().is_some_and(|n| n != 0.0));
    let partial = options.get("partialFilterExpression");
    let expires = options.get("expireAfterSeconds");
    let is_wildcard = index.iter().any(|(field, way)| way.is_number() && (field == "$**" || field.ends_with(".$**")));
    let hashed = index.iter().filter(|(_, way)| way == "hashed").count();
    let told = |message: &str, help: &str| Some((message.to_owned(), help.to_owned()));
    if hashed > 0 && is_on("unique") {
        return told("a hashed index cannot be unique", "make a unique index `[[\"field\", 1]]` beside it");
    }
    if hashed > 1 {
        return told("an index takes one hashed field", "hash one of them, and give the others 1 or -1");
    }
    if let (true, Some(option)) = (is_wildcard, ["unique", "sparse"].into_iter().find(|option| is_on(option))) {
        return Some((format!("a wildcard index cannot be `{option}`"), "make an index of the one field".to_owned()));
    }
    if expires.is_some() && (index.len() > 1 || is_wildcard) {
        return told(
            "`expireAfterSeconds` goes with one field: an index of several expires nothing, and the server refuses it",
            "make an index of the one field that holds the time",
        );
    }
    if let Some(seconds) = expires
        && (seconds.is_string() || seconds.as_f64().is_some_and(|n| n < 0.0 || n > f64::from(i32::MAX)))
    {
        return Some((
            format!("`expireAfterSeconds` is {seconds}: the server takes numbers from 0 to 2147483647"),
            "give the seconds as a number".to_owned(),
        ));
    }
    if let [(field, way)] = index
        && field == "_id"
        && way.is_number()
        && let Some(option) = ["unique", "sparse", "hidden", "partialFilterExpression", "expireAfterSeconds"]
            .into_iter()
            .find(|o| options.contains_key(*o))
    {
        return Some((
            format!("the index of `_id` is there by itself and takes no `{option}`"),
            "leave it out".to_owned(),
        ));
    }
    if options.contains_key("weights") && !is_text(index) {
        return told("`weights` goes with a text index", "`[[\"title\", \"text\"]]`, or leave it out");
    }
    let partial = partial?;
    if is_on("sparse") {
        return told(
            "`sparse` and `partialFilterExpression` cannot stand together",
            "keep the filter, with `{\"field\": {\"$exists\": true}}` in it for what `sparse` is for",
        );
    }
    match partial {
        Value::Object(filter) => wrong(filter).or_else(|| {
            let kind = unsupported(filter)?;
            let help = "equality, `$gt`, `$gte`, `$lt`, `$lte`, `$in`, `$type`, `{\"$exists\": true}`, `$and`, `$or`";
            Some((format!("`partialFilterExpression` does not take {kind}"), help.to_owned()))
        }),
        _ => told("`partialFilterExpression` is no object", "`{\"deleted\": false}`"),
    }
}

/// What a filter asks that no partial index can be made for.
fn unsupported(filter: &Map<String, Value>) -> Option<String> {
    filter.iter().find_map(|(key, value)| match (key.as_str(), value) {
        ("$and" | "$or", Value::Array(each)) => each.iter().filter_map(Value::as_object).find_map(unsupported),
        ("$nor" | "$expr" | "$text" | "$where", _) => Some(format!("`{key}`")),
        (_, Value::Object(asked)) => asked.iter().find_map(|(operator, value)| match operator.as_str() {
            "$ne" | "$nin" | "$not" | "$regex" | "$size" | "$elemMatch" => Some(format!("`{operator}`")),
            "$exists" if *value == false => Some("`$exists: false`".to_owned()),
            _ => None,
        }),
        _ => None,
    })
}
