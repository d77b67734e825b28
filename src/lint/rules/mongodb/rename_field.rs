//! `rename_field`, and `$rename` in an update (N305).

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "rename-field",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "Renames a field under the running application",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(r#"{"type":"add_field","collection":"c","field":"b","value":1}"#),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"b":null},"update":[{"$set":{"b":"$a"}}]}"#,
        ),
    ],
    bad: &[
        Example::Operations(r#"{"type":"rename_field","collection":"c","from":"a","to":"b"}"#),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$rename":{"a":"b"}}}"#,
        ),
    ],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    match operation {
        Operation::RenameField { collection, from, to, .. } => renamed(collection, from, to, told),
        Operation::UpdateDocuments { collection, update, .. } => {
            for (_, fields) in operators(update).filter(|(operator, _)| *operator == "$rename") {
                for (from, to) in fields.as_object().into_iter().flatten() {
                    renamed(collection, from, to.as_str().unwrap_or_default(), told);
                }
            }
        }
        _ => {}
    }
}

fn renamed(collection: &str, from: &str, to: &str, told: &mut Told<'_>) {
    told.add(
        format!("applications that read `{from}` of `{collection}` find nothing while it becomes `{to}`"),
        "write both fields for a while, copy the values, move the readers, then remove the old field",
    );
}
