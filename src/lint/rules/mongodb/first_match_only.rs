//! `update_documents` with `"multi": false`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "first-match-only",
        category: Category::Structure,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Mongodb,
        title: "Changes one document, whichever is found first",
    },
    check: Check::Mongodb(check),
    ok: &[Example::Operations(
        r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"b":1}}}"#,
    )],
    bad: &[Example::Operations(
        r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"b":1}},"multi":false}"#,
    )],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::UpdateDocuments { collection, multi: false, .. } = operation {
        told.add(
            format!("of the documents of `{collection}` that match one is changed, and nobody knows which"),
            "leave `multi` out, or filter by `_id`",
        );
    }
}
