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
    ok: &[Example::Operations(
        r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"text"}}}},
            {"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"text"},"c":{"type":"keyword"}}}}"#,
    )],
    bad: &[
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

/// What differs between two mappings of one field that the server would refuse.
fn cannot_change(before: &Value, after: &Value) -> Option<String> {
    for key in ["type", "analyzer", "index", "doc_values", "normalizer"] {
        let (old, new) = (before.get(key), after.get(key));
        // What is left out stays as it is, except the type: a field without one is an object.
        if old != new && (key == "type" || new.is_some()) {
            let word = |v: Option<&Value>| {
                v.map_or("not given".to_owned(), |v| v.as_str().map_or(v.to_string(), str::to_owned))
            };
            return Some(format!("its `{key}` ({} → {})", word(old), word(new)));
        }
    }
    None
}
