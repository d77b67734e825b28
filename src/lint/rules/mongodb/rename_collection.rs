//! `rename_collection`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "rename-collection",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "Renames a collection under the running application",
    },
    check: Check::Mongodb(check),
    ok: &[Example::Operations(r#"{"type":"rename_field","collection":"c","from":"a","to":"b"}"#)],
    bad: &[Example::Operations(r#"{"type":"rename_collection","from":"c","to":"d"}"#)],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::RenameCollection { from, .. } = operation {
        told.add(
            format!("applications that know `{from}` find nothing, and their cursors and change streams end"),
            "make a view of the old name, or move the readers first",
        );
    }
}
