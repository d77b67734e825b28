//! `add_field` for every document at once (N306).

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "field-without-batch",
        category: Category::Lock,
        severity: Some(Severity::Info),
        risk: Risk::Medium,
        applies: Applies::Mongodb,
        title: "Writes every document of a collection",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(r#"{"type":"add_field","collection":"c","field":"a","value":1,"batch_size":100}"#),
        Example::Operations(r#"{"type":"add_field","collection":"c","field":"a","value":1,"filter":{"b":1}}"#),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c"},{"type":"add_field","collection":"c","field":"a","value":1}"#,
        ),
    ],
    bad: &[Example::Operations(r#"{"type":"add_field","collection":"c","field":"a","value":1}"#)],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::AddField { collection, filter: None, batch_size: None, .. } = operation
        && !is_fresh(look, collection)
    {
        told.add(
            format!("every document of `{collection}` is written, and so is the log that the replicas read"),
            "say how many at once with `batch_size`, and run it when there is little load",
        );
    }
}
