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
            r#"{"type":"create_index","collection":"c","index":[["a","2dsphere"],["b",1],["d","2dsphere"]]},{"type":"create_index","collection":"c","index":[["e","2d"],["a",1]]}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"i"}},{"type":"create_index","collection":"c","index":[["a",1.0]],"options":{"name":"i","unique":false,"v":2}},{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"j","unique":true}},{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"k","partialFilterExpression":{"a":{"$all":[1]}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["$**",1]],"options":{"wildcardProjection":{"b":1}}},{"type":"create_index","collection":"c","index":[["a","text"]],"options":{"collation":{"locale":"simple"},"weights":{"a":7}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"s","options":{"timeseries":{"timeField":"t","metaField":"m"},"expireAfterSeconds":60}},{"type":"create_index","collection":"s","index":[["m.id","hashed"]]},{"type":"create_index","collection":"s","index":[["m.at","2d"]]},{"type":"create_index","collection":"s","index":[["t",-1]],"options":{"unique":false}}"#,
        ),
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
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a","2dsphere"],["b","text"]]}"#),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a","hashed"],["b","2dsphere"]]}"#),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a","2d"],["b","2d"]]}"#),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a",1],["b","2d"]]}"#),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a","text"],["b",1],["d","text"]]}"#),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a.$**",1],["b.$**",1]]}"#),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["$**","hashed"]]}"#),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["_id",-1]]}"#),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"unique":"true"}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a.$**",1]],"options":{"wildcardProjection":{"b":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a","text"]],"options":{"collation":{"locale":"de"}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a","text"]],"options":{"weights":{"a":0}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"partialFilterExpression":{"a":{"$mod":[2,0]}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"partialFilterExpression":{"a":{"$regularExpression":{"pattern":"^x","options":""}}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"s","options":{"timeseries":{"timeField":"t","metaField":"m"}}},{"type":"create_index","collection":"s","index":[["m.id",1]],"options":{"unique":true}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"s","options":{"timeseries":{"timeField":"t"}}},{"type":"create_index","collection":"s","index":[["m","text"]]}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"s","options":{"timeseries":{"timeField":"t"}}},{"type":"create_index","collection":"s","index":[["t",1]],"options":{"expireAfterSeconds":60}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"s","options":{"timeseries":{"timeField":"t","metaField":"m"}}},{"type":"create_index","collection":"s","index":[["mm","hashed"]]}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1]]},{"type":"create_index","collection":"c","index":[["a",1.0]],"options":{"name":"i","expireAfterSeconds":60}}"#,
        ),
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
    } else if let Some(series) = look.unit.time_series(collection)
        && let Some((message, help)) = refused_of_series(series, index, options)
    {
        told.add(format!("`{collection}` holds time series: {message}"), help);
    }
    let name = index_name(index, options);
    if let Some(other) = look.unit.same_index(collection, &name, &definition(index, options)) {
        let is_equal = look.unit.index(collection, other) == Some(&definition(index, options));
        let same = if is_equal { "keys and options" } else { "keys, and the options that differ do not count" };
        told.add(
            format!("MongoDB refuses it: the index `{other}` of `{collection}` has the same {same}"),
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
    if let Some(together) = refused_together(index) {
        return Some(together);
    }
    if let Some(option) =
        ["unique", "sparse", "hidden"].into_iter().find(|o| options.get(*o).is_some_and(Value::is_string))
    {
        return Some((
            format!("`{option}` is a text, and the server takes `true` or `false`"),
            "leave the quotes out".to_owned(),
        ));
    }
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
    if let [(field, way)] = index
        && field == "_id"
        && way.as_f64().is_some_and(|n| n < 0.0)
    {
        return told(
            "the index of `_id` is there by itself, and it is ascending",
            "leave it out: it is read from both ends",
        );
    }
    if options.contains_key("wildcardProjection") && !index.iter().any(|(field, way)| way.is_number() && field == "$**")
    {
        return told("`wildcardProjection` goes with the key `$**` alone", "`[[\"$**\", 1]]`, or leave it out");
    }
    let simple = |collation: &Value| collation.get("locale").and_then(Value::as_str) == Some("simple");
    if options.get("collation").is_some_and(|c| !simple(c))
        && let Some((_, way)) = index.iter().find(|(_, way)| *way == "text" || *way == "2d")
    {
        return Some((
            format!("an index with {way} takes no `collation` but `{{\"locale\": \"simple\"}}`"),
            "leave it out; where the collection has a collation, write the simple one".to_owned(),
        ));
    }
    if let Some((field, weight)) = options
        .get("weights")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .find(|(_, w)| w.is_string() || w.as_f64().is_some_and(|w| !(1.0..100_000.0).contains(&w)))
    {
        return Some((
            format!("the weight of `{field}` is {weight}: the server takes numbers from 1 to 99999"),
            "give the weight as a number".to_owned(),
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

/// Fields that the server does not take in one index.
fn refused_together(index: &[(String, Value)]) -> Option<(String, String)> {
    let told = |message: String, help: &str| Some((message, help.to_owned()));
    let kinds: Vec<&str> = index.iter().filter_map(|(_, way)| way.as_str()).collect();
    if let Some(other) = kinds.iter().find(|kind| **kind != kinds[0]) {
        return told(format!("an index cannot be `{}` and `{other}` at once", kinds[0]), "make an index of each");
    }
    if kinds.len() > 1 && kinds[0] == "2d" {
        return told("an index takes one `2d` field".to_owned(), "make an index of each, or use `2dsphere`");
    }
    if kinds.first() == Some(&"2d") && index.first().is_none_or(|(_, way)| way != "2d") {
        return told("`2d` must be the first field of its index".to_owned(), "put it in front, or use `2dsphere`");
    }
    let text = |(_, way): &(String, Value)| way == "text";
    if let (Some(first), Some(last)) = (index.iter().position(text), index.iter().rposition(text))
        && !index[first..=last].iter().all(text)
    {
        return told(
            "the `text` fields of an index must stand side by side".to_owned(),
            "put the others in front or behind",
        );
    }
    let wild: Vec<_> = index.iter().filter(|(field, _)| field == "$**" || field.ends_with(".$**")).collect();
    if wild.len() > 1 && wild.iter().all(|(_, way)| way.is_number()) {
        return told("an index takes one wildcard".to_owned(), "make an index of each");
    }
    let (field, way) = wild.into_iter().find(|(field, way)| way.is_string() && !(way == "text" && field == "$**"))?;
    told(format!("a wildcard takes 1 as its direction: `{field}` cannot be {way}"), "name the field, or give it 1")
}

/// What the server does not take with a collection of time series.
fn refused_of_series(
    series: &Map<String, Value>,
    index: &[(String, Value)],
    options: &Map<String, Value>,
) -> Option<(String, &'static str)> {
    if options.get("unique").is_some_and(|v| *v == true || v.as_f64().is_some_and(|n| n != 0.0)) {
        return Some(("no index of it can be unique".to_owned(), "leave `unique` out"));
    }
    if is_text(index) {
        return Some(("no index of it can be of text".to_owned(), "keep the texts in a collection of their own"));
    }
    // Servers from 6.3 on take it together with a filter.
    if options.contains_key("expireAfterSeconds") && !options.contains_key("partialFilterExpression") {
        return Some((
            "no index lets its documents expire".to_owned(),
            "`expireAfterSeconds` is an option of the collection itself",
        ));
    }
    let word = |key: &str| series.get(key).and_then(Value::as_str);
    let below_meta = |field: &str| {
        word("metaField")
            .is_some_and(|meta| field.strip_prefix(meta).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    };
    let (field, way) = index.iter().find(|(field, way)| (way == "hashed" || way == "2d") && !below_meta(field))?;
    Some((
        format!("`{field}` is not of its metadata and cannot be {way}"),
        "1 or -1, or `2dsphere` for a measurement that is a place",
    ))
}

/// What a filter asks that no partial index can be made for.
fn unsupported(filter: &Map<String, Value>) -> Option<String> {
    filter.iter().find_map(|(key, value)| match (key.as_str(), value) {
        ("$and" | "$or", Value::Array(each)) => each.iter().filter_map(Value::as_object).find_map(unsupported),
        ("$nor" | "$expr" | "$text" | "$where" | "$jsonSchema" | "$sampleRate", _) => Some(format!("`{key}`")),
        (_, Value::Object(asked)) => asked.iter().find_map(|(operator, value)| match operator.as_str() {
            "$ne" | "$nin" | "$not" | "$regex" | "$regularExpression" | "$size" | "$elemMatch" | "$mod" | "$near"
            | "$nearSphere" | "$bitsAllSet" | "$bitsAnySet" | "$bitsAllClear" | "$bitsAnyClear" => {
                Some(format!("`{operator}`"))
            }
            "$exists" if *value == false || value.as_f64() == Some(0.0) => Some("`$exists: false`".to_owned()),
            _ => None,
        }),
        _ => None,
    })
}
