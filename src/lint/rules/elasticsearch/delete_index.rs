//! `delete_index`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "delete-index",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "Deletes an index with its documents",
    },
    check: Check::Elasticsearch(check),
    ok: &[Example::Operations(r#"{"type":"swap_alias","alias":"orders","from":"orders_v1","to":"orders_v2"}"#)],
    bad: &[Example::Operations(r#"{"type":"delete_index","index":"orders_v1"}"#)],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::DeleteIndex { index } = operation {
        told.add(
            format!("`{index}` and its documents are gone; only a backup brings them back"),
            "move its alias first, wait until nobody reads it by its own name, take a snapshot, then delete it",
        );
    }
}
