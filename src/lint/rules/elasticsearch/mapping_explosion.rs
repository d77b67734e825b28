//! Mappings that grow without end, or beyond what the server takes (X406).

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "mapping-explosion",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Elasticsearch,
        title: "The mapping grows without end",
    },
    check: Check::Elasticsearch(check),
    ok: &[Example::Operations(
        r#"{"type":"create_index","index":"a","mapping":{"dynamic":"strict","properties":{"b":{"type":"flattened"}}}}"#,
    )],
    bad: &[
        Example::Operations(r#"{"type":"create_index","index":"a","mapping":{"dynamic":true}}"#),
        Example::Operations(
            r#"{"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"object","dynamic":"true"}}}}"#,
        ),
    ],
};

/// Fields of an index that the server takes unless it is told otherwise (`index.mapping.total_fields.limit`).
const MAX_FIELDS: usize = 1000;
/// The same for fields of type `nested` (`index.mapping.nested_fields.limit`).
const MAX_NESTED: usize = 50;

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let (index, mapping) = match operation {
        Operation::CreateIndex { index, mapping, .. } | Operation::UpdateMapping { index, mapping } => (index, mapping),
        Operation::SwapAlias { to, mapping: Some(mapping), .. } => (to, mapping),
        _ => return,
    };
    let Ok(fields) = fields(mapping) else { return };
    let is_dynamic = |how: &Value| matches!(how, Value::Bool(true)) || how.as_str() == Some("true");
    let open = mapping.get("dynamic").is_some_and(is_dynamic)
        || fields.values().any(|how| how.get("dynamic").is_some_and(is_dynamic));
    let mut known = look.unit.mapping(index).cloned().unwrap_or_default();
    known.extend(fields);
    let nested = known.values().filter(|how| how.get("type").and_then(Value::as_str) == Some("nested")).count();
    let message = if known.len() > MAX_FIELDS {
        format!("`{index}` would have {} fields; the server takes {MAX_FIELDS}", known.len())
    } else if nested > MAX_NESTED {
        format!("`{index}` would have {nested} nested fields; the server takes {MAX_NESTED}")
    } else if open {
        format!("`dynamic: true` makes a field of every new key in a document of `{index}`")
    } else {
        return;
    };
    told.add(
        message,
        "map what is searched, and set `dynamic` to `strict` or `false`; keys that nobody knows fit into one `flattened` field",
    );
}
