//! A name between the mapping and its `properties`: mapping types, which 8.0 refuses (X415).

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "mapping-types",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "Mapping types are gone since Elasticsearch 8",
    },
    check: Check::Elasticsearch(check),
    ok: &[
        Example::Operations(r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"text"}}}}"#),
        Example::Operations(
            r#"{"type":"put_template","name":"t","template":{"index_patterns":["t-*"],"template":{"mappings":{"properties":{"b":{"type":"text"}}}}}}"#,
        ),
    ],
    bad: &[
        Example::Operations(r#"{"type":"create_index","index":"a","mapping":{"_doc":{"properties":{}}}}"#),
        Example::Operations(
            r#"{"type":"update_mapping","index":"a","mapping":{"order":{"properties":{"b":{"type":"text"}}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"put_template","name":"t","template":{"index_patterns":["t-*"],"template":{"mappings":{"_doc":{}}}}}"#,
        ),
    ],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let mapping = match operation {
        Operation::CreateIndex { mapping, .. }
        | Operation::UpdateMapping { mapping, .. }
        | Operation::SwapAlias { mapping: Some(mapping), .. } => mapping,
        Operation::PutTemplate { template, .. } => {
            let inner = template.get("template").and_then(Value::as_object).unwrap_or(template);
            let Some(mapping) = inner.get("mappings").and_then(Value::as_object) else { return };
            mapping
        }
        _ => return,
    };
    let named = mapping.iter().find(|(key, value)| {
        matches!(key.as_str(), "_doc" | "_default_" | "include_type_name")
            || (*key != "properties" && value.as_object().is_some_and(|o| o.contains_key("properties")))
    });
    if let Some((key, _)) = named {
        told.add(
            format!("`{key}` is a mapping type; Elasticsearch 8 refuses it, and 7 only takes it when asked to"),
            "put `properties` right below `mapping`",
        );
    }
}
