//! `drop_collection`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "drop-collection",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "Drops a collection with its documents",
    },
    check: Check::Mongodb(check),
    ok: &[Example::Operations(r#"{"type":"rename_collection","from":"c","to":"d"}"#)],
    bad: &[Example::Operations(r#"{"type":"drop_collection","collection":"c"}"#)],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::DropCollection { collection } = operation {
        told.add(
            format!("every document of `{collection}` is gone for good"),
            "rename the collection, wait until nobody misses it, take a backup, then drop it",
        );
    }
}
