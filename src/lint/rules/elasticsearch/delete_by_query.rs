//! `delete_by_query`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "delete-by-query",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "Deletes documents",
    },
    check: Check::Elasticsearch(check),
    ok: &[Example::Operations(r#"{"type":"update_by_query","index":"a","query":{"term":{"b":1}}}"#)],
    bad: &[Example::Operations(r#"{"type":"delete_by_query","index":"a","query":{"term":{"b":1}}}"#)],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::DeleteByQuery { index, .. } = operation {
        told.add(
            format!("documents of `{index}` that match are gone for good"),
            "count them first, and take a snapshot",
        );
    }
}
