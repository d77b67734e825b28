//! A field that is mapped already, otherwise.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "mapping-type-change",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "A field's mapping cannot be changed in place",
    },
    check: Check::Elasticsearch(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"text"}}}},
            {"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"text"},"c":{"type":"keyword"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"keyword"},"c":{"type":"text"}}}},
            {"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"keyword","index":"true","doc_values":true,"ignore_above":9},"c":{"type":"text","norms":false,"fields":{"raw":{"type":"keyword"}}}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"scaled_float","scaling_factor":10},"c":{"type":"object","dynamic":"strict","properties":{"d":{"type":"long"}}}}}},
            {"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"scaled_float","scaling_factor":"10.0"},"c":{"type":"object","dynamic":"false"}}}}"#,
        ),
    ],
    bad: &[
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"keyword","index":false}}}},
            {"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"keyword"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"scaled_float","scaling_factor":10}}}},
            {"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"scaled_float","scaling_factor":100}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"date","format":"yyyy"}}}},
            {"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"date","format":"epoch_millis"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"nested"}}}},
            {"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"nested","include_in_root":true}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"text"}}}},
            {"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"keyword"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"properties":{"c":{"type":"date"}}}}}},
            {"type":"create_alias","index":"a","alias":"n"},
            {"type":"update_mapping","index":"n","mapping":{"properties":{"b":{"properties":{"c":{"type":"long"}}}}}}"#,
        ),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::UpdateMapping { index, mapping } = operation else { return };
    let (Ok(added), Some(known)) = (fields(mapping), look.unit.mapping(index)) else { return };
    for (field, how) in added {
        if let Some(what) = known.get(&field).and_then(|before| cannot_change(before, &how)) {
            told.add(
                format!("`{field}` of `{index}` is mapped already: {what} cannot be changed in place"),
                "make a new index with the new mapping, fill it and move the alias: `swap_alias` with a `mapping` does all three",
            );
        }
    }
}

/// Parameters that stay as a field was made with them, each with what it is where it is left out.
const KEPT: [(&str, &str); 13] = [
    ("analyzer", "default"),
    ("index", "true"),
    ("doc_values", "true"),
    ("normalizer", "null"),
    ("store", "false"),
    ("null_value", "null"),
    ("term_vector", "no"),
    ("index_phrases", "false"),
    ("position_increment_gap", "100"),
    ("scaling_factor", ""),
    ("enabled", "true"),
    ("include_in_root", "false"),
    ("include_in_parent", "false"),
];

/// What differs between two mappings of one field that the server would refuse.
fn cannot_change(before: &Value, after: &Value) -> Option<String> {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let given = |of: &Value, key: &str| of.get(key).map(plain);
    let kind = given(before, "type");
    if kind != given(after, "type") {
        let word = |of: Option<String>| of.unwrap_or_else(|| "not given".to_owned());
        return Some(format!("its `type` ({} → {})", word(kind), word(given(after, "type"))));
    }
    let number = |text: &str| text.parse::<f64>().ok();
    let is_same = |old: &str, new: &str| old == new || number(old).is_some_and(|old| Some(old) == number(new));
    let kept = KEPT.iter().filter(|(key, _)| *key != "doc_values" || kind.as_deref() != Some("text"));
    let changed = kept.into_iter().find_map(|(key, default)| {
        let value = |of: &Value| given(of, key).unwrap_or_else(|| (*default).to_owned());
        let (old, new) = (value(before), value(after));
        (!is_same(&old, &new)).then_some((*key, old, new))
    });
    // What a date is without a format depends on its type.
    let formats = || match (kind.as_deref(), given(before, "format"), given(after, "format")) {
        (Some("date" | "date_nanos"), Some(old), Some(new)) if old != new => Some(("format", old, new)),
        _ => None,
    };
    changed.or_else(formats).map(|(key, old, new)| format!("its `{key}` ({old} → {new})"))
}
