//! `create_collection` with options that the server refuses.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "invalid-collection",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "A collection that the server refuses",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"capped":true,"size":4096,"max":9}}"#,
        ),
        Example::Operations(r#"{"type":"create_collection","collection":"c","options":{"capped":false}}"#),
        Example::Operations(
            r#"{"type":"create_collection","collection":"a.b"},{"type":"create_collection","collection":"my system.x"}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"capped":true,"size":{"$numberLong":"4096"}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"timeseries":{"timeField":"t","metaField":"m","granularity":"hours"},"expireAfterSeconds":60}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"clusteredIndex":{"key":{"_id":1},"unique":true},"capped":true,"expireAfterSeconds":60}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c"},{"type":"create_collection","collection":"v","options":{"viewOn":"c","pipeline":[{"$match":{"a":1}}]}}"#,
        ),
    ],
    bad: &[
        Example::Operations(r#"{"type":"create_collection","collection":"c","options":{"capped":true}}"#),
        Example::Operations(r#"{"type":"create_collection","collection":"a$b"}"#),
        Example::Operations(r#"{"type":"create_collection","collection":".a"}"#),
        Example::Operations(r#"{"type":"create_collection","collection":"system.orders"}"#),
        Example::Operations(r#"{"type":"create_collection","collection":""}"#),
        Example::Operations(r#"{"type":"create_collection","collection":"c","options":{"capped":true,"max":9}}"#),
        Example::Operations(r#"{"type":"create_collection","collection":"c","options":{"size":4096}}"#),
        Example::Operations(r#"{"type":"create_collection","collection":"c","options":{"capped":false,"max":9}}"#),
        Example::Operations(r#"{"type":"create_collection","collection":"c","options":{"capped":true,"size":0}}"#),
        Example::Operations(r#"{"type":"create_collection","collection":"c","options":{"capped":true,"size":"4096"}}"#),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"capped":true,"size":4096,"timeseries":{"timeField":"t"}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"timeseries":{"timeField":"t"},"validator":{"a":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"timeseries":{"metaField":"m"}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"timeseries":{"timeField":"t","metaField":"t"}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"timeseries":{"timeField":"at.t"}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"timeseries":{"timeField":"t","granularity":"days"}}}"#,
        ),
        Example::Operations(r#"{"type":"create_collection","collection":"c","options":{"expireAfterSeconds":60}}"#),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"timeseries":{"timeField":"t"},"expireAfterSeconds":-1}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"clusteredIndex":{"key":{"_id":1}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c","options":{"clusteredIndex":{"key":{"a":1},"unique":true}}}"#,
        ),
        Example::Operations(r#"{"type":"create_collection","collection":"c","options":{"pipeline":[]}}"#),
    ],
};

/// Options that no collection of time series takes.
const NOT_OF_SERIES: [&str; 7] = [
    "capped",
    "changeStreamPreAndPostImages",
    "clusteredIndex",
    "validationAction",
    "validationLevel",
    "validator",
    "viewOn",
];

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::CreateCollection { collection, options } = operation else { return };
    let found = refused_name(collection)
        .or_else(|| refused_size(options))
        .or_else(|| refused_series(options))
        .or_else(|| refused_cluster(options))
        .or_else(|| refused_expiry(options));
    if let Some((message, help)) = found {
        told.add(format!("MongoDB refuses `{collection}`: {message}"), help);
    }
}

/// What is wrong, and what to write.
type Refused = Option<(String, &'static str)>;

fn refused_name(name: &str) -> Refused {
    let why = if name.is_empty() {
        "a collection has a name"
    } else if name.starts_with('.') {
        "a name does not begin with a dot"
    } else if name.contains(['$', '\0']) {
        "a name holds no `$`"
    } else if name.starts_with("system.") && !matches!(name, "system.js" | "system.profile" | "system.views") {
        "names that begin with `system.` are the server's own"
    } else {
        return None;
    };
    Some((why.to_owned(), "letters, digits and underlines do; a dot in the middle, too"))
}

/// Whether an option is on; `None` where it is neither on nor off.
fn flag(options: &Map<String, Value>, name: &str) -> Option<bool> {
    match options.get(name) {
        None | Some(Value::Null) => Some(false),
        Some(Value::Bool(on)) => Some(*on),
        Some(Value::Number(number)) => number.as_f64().map(|n| n != 0.0),
        Some(_) => None,
    }
}

fn refused_size(options: &Map<String, Value>) -> Refused {
    const WRITE: &str =
        "`\"capped\": true, \"size\": BYTES`, and `\"max\": DOCUMENTS` where their number is to be limited, too";
    let is_capped = flag(options, "capped")?;
    if is_capped && !options.contains_key("size") && !options.contains_key("clusteredIndex") {
        let beside = if options.contains_key("max") { "; `max` alone limits nothing" } else { "" };
        return Some((format!("one that is capped needs a `size` in bytes{beside}"), WRITE));
    }
    let limit = ["size", "max"].into_iter().find(|limit| options.contains_key(*limit));
    if let (false, Some(limit)) = (is_capped, limit) {
        return Some((format!("`{limit}` goes with `\"capped\": true`"), WRITE));
    }
    let size = options.get("size")?;
    let is_wrong = size.is_string() || size.as_f64().is_some_and(|bytes| bytes < 1.0);
    is_wrong.then(|| (format!("`size` is {size}, and it must be a number of bytes"), WRITE))
}

fn refused_series(options: &Map<String, Value>) -> Refused {
    const WRITE: &str =
        "`\"timeseries\": {\"timeField\": \"at\", \"metaField\": \"sensor\", \"granularity\": \"minutes\"}`";
    let series = options.get("timeseries")?;
    let Value::Object(series) = series else { return Some(("`timeseries` is no object".to_owned(), WRITE)) };
    if let Some(option) = NOT_OF_SERIES.into_iter().find(|option| options.contains_key(*option)) {
        // What says that it is not so is left alone by some servers.
        let is_off = option == "capped" && flag(options, option) == Some(false);
        if !is_off {
            return Some((format!("`timeseries` does not go with `{option}`"), "leave one of the two out"));
        }
    }
    let word = |key: &str| series.get(key).and_then(Value::as_str);
    let Some(time) = word("timeField") else {
        return Some(("`timeseries` names no `timeField`".to_owned(), WRITE));
    };
    if let Some(field) = [Some(time), word("metaField")].into_iter().flatten().find(|field| field.contains('.')) {
        return Some((format!("`{field}` is nested, and the fields of `timeseries` must not be"), WRITE));
    }
    if let Some(meta) = word("metaField").filter(|meta| *meta == time || *meta == "_id") {
        return Some((format!("`metaField` cannot be `{meta}`"), WRITE));
    }
    let granularity = word("granularity").filter(|g| !matches!(*g, "seconds" | "minutes" | "hours"))?;
    Some((format!("`granularity` is `{granularity}`, and it takes `seconds`, `minutes` or `hours`"), WRITE))
}

fn refused_cluster(options: &Map<String, Value>) -> Refused {
    const WRITE: &str = "`\"clusteredIndex\": {\"key\": {\"_id\": 1}, \"unique\": true}`";
    if options.contains_key("pipeline") && !options.contains_key("viewOn") {
        return Some(("a `pipeline` needs `viewOn`".to_owned(), "name the collection that the view shows"));
    }
    let clustered = options.get("clusteredIndex")?.as_object()?;
    let is_of_id = clustered.get("key").and_then(Value::as_object).is_some_and(|key| key.keys().eq(["_id"]));
    let is_unique = flag(clustered, "unique") != Some(false);
    (!is_of_id || !is_unique).then(|| ("a clustered index is of `_id`, and unique".to_owned(), WRITE))
}

fn refused_expiry(options: &Map<String, Value>) -> Refused {
    let seconds = options.get("expireAfterSeconds")?;
    if !options.contains_key("timeseries") && !options.contains_key("clusteredIndex") {
        return Some((
            "`expireAfterSeconds` is for collections of time series, or with a `clusteredIndex`".to_owned(),
            "make an index with `expireAfterSeconds` over the field that holds the time",
        ));
    }
    let is_wrong = seconds.is_string() || seconds.as_f64().is_some_and(|n| n < 0.0);
    is_wrong.then(|| (format!("`expireAfterSeconds` is {seconds}"), "give the seconds as a number from 0 on"))
}
