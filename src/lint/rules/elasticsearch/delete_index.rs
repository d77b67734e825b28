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
    bad: &[
        Example::Operations(r#"{"type":"delete_index","index":"orders_v1"}"#),
        Example::Operations(
            r#"{"type":"create_index","index":"o1"},{"type":"create_alias","index":"o1","alias":"o"},{"type":"delete_index","index":"o"}"#,
        ),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::DeleteIndex { index } = operation else { return };
    if let Some(real) = look.unit.index_of_alias(index) {
        let message = format!("`{index}` is an alias of `{real}`, and the server deletes no index by an alias");
        let found = told.add(message, "name the index itself, once nobody reads it by the alias");
        found.severity = Some(Severity::Error);
    } else {
        told.add(
            format!("`{index}` and its documents are gone; only a backup brings them back"),
            "move its alias first, wait until nobody reads it by its own name, take a snapshot, then delete it",
        );
    }
}
