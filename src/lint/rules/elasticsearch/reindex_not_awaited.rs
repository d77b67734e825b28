//! `reindex` with `"wait": false`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "reindex-not-awaited",
        category: Category::Fails,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Elasticsearch,
        title: "The next operation does not wait for the copy",
    },
    check: Check::Elasticsearch(check),
    ok: &[Example::Operations(r#"{"type":"reindex","source":"a","dest":"b"}"#)],
    bad: &[Example::Operations(r#"{"type":"reindex","source":"a","dest":"b","wait":false}"#)],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::Reindex { source, wait: false, .. } = operation {
        told.add(
            format!(
                "the next operation begins while `{source}` is still being copied; whether it failed is seen only at the end"
            ),
            "leave `wait` out, so that the copy is watched to its end and its documents are counted",
        );
    }
}
