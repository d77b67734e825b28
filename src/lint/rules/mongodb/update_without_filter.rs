//! `update_documents` with an empty filter.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "update-without-filter",
        category: Category::Destructive,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "Updates every document of a collection",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":null},"update":[{"$set":{"a":"$b"}}]}"#,
        ),
        // One document, whichever that is: `first-match-only`.
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{},"update":{"$set":{"a":1}},"multi":false}"#,
        ),
    ],
    bad: &[Example::Operations(
        r#"{"type":"update_documents","collection":"c","filter":{},"update":{"$set":{"a":1}}}"#,
    )],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::UpdateDocuments { collection, filter, multi: true, .. } = operation
        && filter.is_empty()
    {
        told.add(
            format!("an empty filter updates every document of `{collection}`"),
            "say which documents need it, such as those without the new field: `{\"status\": null}`",
        );
    }
}
