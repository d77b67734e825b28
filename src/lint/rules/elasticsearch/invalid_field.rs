//! A field that lacks what its type needs, or that cannot stand beside another one (X401).

use super::prelude::*;
use crate::config::yaml::nearest;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "invalid-field",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "A field that the server refuses",
    },
    check: Check::Elasticsearch(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"dynamic":"strict","date_detection":false,"numeric_detection":true,"dynamic_date_formats":["yyyy"],"_source":{"enabled":true},"_meta":{"a":1},"properties":{}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"p":{"type":"scaled_float","scaling_factor":100},"q":{"type":"scaled_float","scaling_factor":"10"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"runtime":{"r":{"type":"keyword"}},"properties":{"t":{"type":"text","fields":{"raw":{"type":"keyword"}}},"f":{"type":"flattened"},"x":{"type":"alias","path":"t.raw"},"y":{"type":"alias","path":"f.key"},"z":{"type":"alias","path":"_id"},"w":{"type":"alias","path":"r"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"o":{"properties":{"x":{"type":"keyword"}}},"o.y":{"type":"keyword"},"k.z":{"type":"text","fields":{"raw":{"type":"keyword","fields":{"c":{"type":"keyword"}}}}}}}},{"type":"update_mapping","index":"a","mapping":{"properties":{"o.z":{"type":"long"},"k":{"properties":{"m":{"type":"long"}}}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"a":{"type":"date","format":"strict_date_optional_time || epoch_millis"},"b":{"type":"date","format":"yyyy-MM-dd'T'HH:mm||dd.MM.yyyy"},"c":{"type":"date","format":"basicDate"},"d":{"type":"date","format":"strict_date_optional_time_nanos||week_year"},"e":{"type":"date_range","format":"8uuuu"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_mapping","index":"a","mapping":{"properties":{"x":{"type":"alias","path":"z"}}}}"#,
        ),
    ],
    bad: &[
        Example::Operations(r#"{"type":"create_index","index":"a","mapping":{"propertes":{"p":{"type":"keyword"}}}}"#),
        Example::Operations(r#"{"type":"create_index","index":"a","mapping":{"p":{"type":"keyword"}}}"#),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"p":{"type":"scaled_float"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_mapping","index":"a","mapping":{"properties":{"o":{"properties":{"p":{"type":"scaled_float","scaling_factor":0}}}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"put_template","name":"t","template":{"index_patterns":["a-*"],"template":{"mappings":{"properties":{"p":{"type":"scaled_float"}}}}}}"#,
        ),
        Example::Operations(r#"{"type":"create_index","index":"a","mapping":{"properties":{"x":{"type":"alias"}}}}"#),
        Example::Operations(
            r#"{"type":"update_mapping","index":"a","mapping":{"properties":{"x":{"type":"alias","path":"x"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"k":{"type":"keyword"},"x":{"type":"alias","path":"kk"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"k":{"properties":{"l":{"type":"keyword"}}},"x":{"type":"alias","path":"k"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"k":{"type":"keyword"},"x":{"type":"alias","path":"k"},"y":{"type":"alias","path":"x"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"k":{"type":"keyword"},"k.l":{"type":"keyword"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"k":{"type":"keyword","properties":{"l":{"type":"keyword"}}}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"k":{"type":"flattened"}}}},{"type":"update_mapping","index":"a","mapping":{"properties":{"k.l":{"type":"keyword"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"d":{"type":"date","format":"strict_date_time_no_milis"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"d":{"type":"date","format":"epoch_millis||yyyy-MM-ddTHH:mm"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"d":{"type":"date","format":"yyyy-MM-dd||"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"d":{"type":"date_nanos","format":"yyyy-MM-dd'T"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"d":{"type":"date_range","format":"datetime"}}}}"#,
        ),
    ],
};

/// What a mapping has besides what begins with an underline.
const OF_MAPPINGS: [&str; 9] = [
    "date_detection",
    "dynamic",
    "dynamic_date_formats",
    "dynamic_templates",
    "enabled",
    "numeric_detection",
    "properties",
    "runtime",
    "subobjects",
];

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let (mapping, is_whole) = match operation {
        Operation::CreateIndex { mapping, .. } | Operation::SwapAlias { mapping: Some(mapping), .. } => {
            (mapping, !look.unit.has_templates())
        }
        Operation::UpdateMapping { mapping, .. } => (mapping, false),
        // What it is composed of is not seen.
        Operation::PutTemplate { template, .. } if !template.contains_key("composed_of") => {
            match template.get("template").and_then(|t| t.get("mappings")).and_then(Value::as_object) {
                Some(mapping) => (mapping, false),
                None => return,
            }
        }
        _ => return,
    };
    let strange = mapping.keys().find(|key| !key.starts_with('_') && !OF_MAPPINGS.contains(&key.as_str()));
    if let Some(key) = strange {
        let help = match nearest(key, &OF_MAPPINGS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "fields stand below `properties`".to_owned(),
        };
        told.add(format!("a mapping has no part `{key}`"), &help);
        return;
    }
    let Ok(fields) = fields(mapping) else { return };
    for (field, how) in &fields {
        match how.get("type").and_then(Value::as_str) {
            Some("scaled_float") => scaled(field, how, told),
            Some("alias") => alias(field, how, is_whole.then_some((&fields, mapping)), told),
            Some("date" | "date_nanos" | "date_range") => dates(field, how, told),
            _ => {}
        }
    }
    let known = match operation {
        Operation::UpdateMapping { index, .. } => look.unit.mapping(index),
        _ => None,
    };
    if let Some((leaf, kind, below)) = below_leaf(mapping, known) {
        told.add(
            format!(
                "`{leaf}` is of the type `{kind}`, and `{below}` makes an object of it: a field is one or the other"
            ),
            "give one of them another name; another reading of the same value goes into `fields`",
        );
    }
}

fn scaled(field: &str, how: &Value, told: &mut Told<'_>) {
    const WRITE: &str = "`\"scaling_factor\": 100` keeps two digits behind the point";
    match how.get("scaling_factor") {
        None | Some(Value::Null) => {
            told.add(format!("`{field}` is a `scaled_float` without a `scaling_factor`"), WRITE);
        }
        Some(factor) if factor.as_f64().is_some_and(|f| f <= 0.0) => {
            told.add(format!("the `scaling_factor` of `{field}` is {factor}, and it must be above 0"), WRITE);
        }
        Some(_) => {}
    }
}

/// An alias; `whole` holds every field that its index has, where they are known, with their mapping.
fn alias(field: &str, how: &Value, whole: Option<(&Fields, &Map<String, Value>)>, told: &mut Told<'_>) {
    const WRITE: &str = "`\"path\"` is the whole name of a field that is mapped: `customer.name`";
    let Some(path) = how.get("path").and_then(Value::as_str) else {
        told.add(format!("the alias `{field}` has no `path`"), WRITE);
        return;
    };
    if path == field {
        told.add(format!("the alias `{field}` leads to itself"), WRITE);
        return;
    }
    let Some((fields, mapping)) = whole else { return };
    match fields.get(path).and_then(|of| of.get("type")).and_then(Value::as_str) {
        Some("alias") => {
            told.add(format!("the alias `{field}` leads to another alias, `{path}`"), "name the field itself");
        }
        Some("object" | "nested" | "passthrough") => {
            told.add(format!("the alias `{field}` leads to an object, `{path}`"), WRITE);
        }
        Some(_) => {}
        None => {
            // What the server has by itself, or finds while it runs.
            let is_found = path.starts_with('_')
                || path.contains('#')
                || mapping.get("runtime").and_then(|r| r.get(path)).is_some()
                || path.match_indices('.').any(|(at, _)| {
                    let above = fields.get(&path[..at]).and_then(|of| of.get("type")).and_then(Value::as_str);
                    above.is_some_and(|kind| !matches!(kind, "object" | "nested"))
                });
            if !is_found {
                let found =
                    told.add(format!("the alias `{field}` leads to `{path}`, which the mapping does not have"), WRITE);
                // A template that no migration put may bring it.
                let resembles = fields.keys().any(|known| nearest(path, &[known.as_str()]).is_some());
                found.severity = (!resembles).then_some(Severity::Warning);
            }
        }
    }
}

/// Types that have others below them.
fn is_object(kind: &str) -> bool {
    matches!(kind, "object" | "nested" | "passthrough")
}

/// A field that is a value, its type, and a field that would be below it.
fn below_leaf(mapping: &Map<String, Value>, known: Option<&Fields>) -> Option<(String, String, String)> {
    let mut all = Vec::new();
    if !properties("", mapping, &mut all) {
        return None;
    }
    let kind_of = |path: &str| {
        let here = all.iter().find(|(name, _)| name == path).and_then(|(_, kind)| *kind);
        here.or_else(|| known?.get(path)?.get("type")?.as_str())
    };
    all.iter().find_map(|(path, _)| {
        let mut above = path.match_indices('.').map(|(at, _)| &path[..at]);
        above.find_map(|leaf| {
            let kind = kind_of(leaf).filter(|kind| !is_object(kind))?;
            Some((leaf.to_owned(), kind.to_owned(), path.clone()))
        })
    })
}

/// Collects the paths of `properties` with their types; `false` where names with dots may be one name.
fn properties<'m>(prefix: &str, mapping: &'m Map<String, Value>, all: &mut Vec<(String, Option<&'m str>)>) -> bool {
    if mapping.contains_key("subobjects") {
        return false;
    }
    let inner = mapping.get("properties").and_then(Value::as_object);
    inner.into_iter().flatten().all(|(name, how)| {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let kind = how.get("type").and_then(Value::as_str);
        all.push((path.clone(), kind));
        how.as_object().is_none_or(|how| properties(&path, how, all))
    })
}

/// Formats of dates that have a name; most of them have one with `strict_` in front, too.
const DATES: [&str; 49] = [
    "basic_date",
    "basic_date_time",
    "basic_date_time_no_millis",
    "basic_ordinal_date",
    "basic_ordinal_date_time",
    "basic_ordinal_date_time_no_millis",
    "basic_t_time",
    "basic_t_time_no_millis",
    "basic_time",
    "basic_time_no_millis",
    "basic_week_date",
    "basic_week_date_time",
    "basic_week_date_time_no_millis",
    "date",
    "date_hour",
    "date_hour_minute",
    "date_hour_minute_second",
    "date_hour_minute_second_fraction",
    "date_hour_minute_second_millis",
    "date_optional_time",
    "date_optional_time_nanos",
    "date_time",
    "date_time_no_millis",
    "epoch_millis",
    "epoch_second",
    "hour",
    "hour_minute",
    "hour_minute_second",
    "hour_minute_second_fraction",
    "hour_minute_second_millis",
    "iso8601",
    "ordinal_date",
    "ordinal_date_time",
    "ordinal_date_time_no_millis",
    "rfc3339_lenient",
    "t_time",
    "t_time_no_millis",
    "time",
    "time_no_millis",
    "week_date",
    "week_date_time",
    "week_date_time_no_millis",
    "week_year",
    "weekyear",
    "weekyear_week",
    "weekyear_week_day",
    "year",
    "year_month",
    "year_month_day",
];

/// Letters that stand for nothing in a pattern of Java, whatever its version.
const NO_LETTERS: &str = "CIJPRTUbfijlort";

fn dates(field: &str, how: &Value, told: &mut Told<'_>) {
    let Some(format) = how.get("format").and_then(Value::as_str) else { return };
    for one in format.split("||").map(str::trim) {
        let Some((why, help, is_certain)) = wrong_date(one) else { continue };
        let found = told.add(format!("the format of `{field}`: {why}"), &help);
        if !is_certain {
            found.severity = Some(Severity::Warning);
        }
        return;
    }
}

/// What is wrong with one format, what to write, and whether that is certain.
fn wrong_date(format: &str) -> Option<(String, String, bool)> {
    const WRITE: &str = "`strict_date_optional_time`, `epoch_millis`, or a pattern such as `yyyy-MM-dd HH:mm:ss`";
    if format.is_empty() {
        return Some(("there is nothing on one side of `||`".to_owned(), WRITE.to_owned(), true));
    }
    // Servers before 8 know them with capitals instead of underlines.
    let name: String = format
        .chars()
        .flat_map(|c| c.is_ascii_uppercase().then_some('_').into_iter().chain([c.to_ascii_lowercase()]))
        .collect();
    let plain = name.strip_prefix("strict_").unwrap_or(&name);
    if DATES.contains(&plain) {
        return None;
    }
    let (mut is_quoted, mut unknown) = (false, None);
    for c in format.chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            c if !is_quoted && (NO_LETTERS.contains(c) || matches!(c, '{' | '}' | '#')) => {
                unknown = unknown.or(Some(c));
            }
            _ => {}
        }
    }
    if is_quoted {
        return Some((format!("a quote of `{format}` is not closed"), "put a quote behind the text".to_owned(), true));
    }
    let letter = unknown?;
    let is_name = format.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !is_name {
        let help = format!("text that is not to be a field of the date stands in quotes: `'{letter}'`");
        return Some((format!("`{letter}` stands for nothing in `{format}`"), help, true));
    }
    let near = nearest(plain, &DATES);
    let help = near.map_or_else(
        || WRITE.to_owned(),
        |near| {
            let strict = if plain.len() < name.len() { "strict_" } else { "" };
            format!("did you mean `{strict}{near}`?")
        },
    );
    Some((format!("no format has the name `{format}`"), help, near.is_some()))
}
