//! `reindex` into an index that no operation makes.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "reindex-unknown-dest",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "No operation makes the index that is filled",
    },
    check: Check::Elasticsearch(check),
    ok: &[Example::Operations(r#"{"type":"create_index","index":"b"},{"type":"reindex","source":"a","dest":"b"}"#)],
    bad: &[Example::Operations(r#"{"type":"reindex","source":"a","dest":"b"}"#)],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::Reindex { source, dest, .. } = operation else { return };
    if !look.unit.is_one_index(source, dest) && !look.unit.is_there(&format!("index {dest}")) {
        told.add(
            format!("no operation makes `{dest}`; mapping and settings are not copied with the documents"),
            "make it in front of the reindex with `create_index`, with the mapping it needs",
        );
    }
}
