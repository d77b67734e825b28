//! An index template for every index that there will ever be.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "template-catches-all",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "A template that fits every index",
    },
    check: Check::Elasticsearch(check),
    ok: &[Example::Operations(
        r#"{"type":"put_template","name":"t","template":{"index_patterns":["orders-*","*-orders"],"template":{}}}"#,
    )],
    bad: &[
        Example::Operations(r#"{"type":"put_template","name":"t","template":{"index_patterns":["*"],"template":{}}}"#),
        Example::Operations(
            r#"{"type":"put_template","name":"t","template":{"index_patterns":["orders-*","**"],"template":{}}}"#,
        ),
    ],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::PutTemplate { name, template } = operation else { return };
    let patterns = match template.get("index_patterns") {
        Some(Value::Array(patterns)) => patterns.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(pattern)) => vec![pattern.as_str()],
        _ => Vec::new(),
    };
    if let Some(pattern) = patterns.iter().find(|p| !p.is_empty() && p.chars().all(|c| c == '*')) {
        told.add(
            format!("`{pattern}` fits every index: whatever anybody makes on the cluster from now on gets what `{name}` says"),
            "name what it is for: `\"index_patterns\": [\"orders-*\"]`",
        );
    }
}
