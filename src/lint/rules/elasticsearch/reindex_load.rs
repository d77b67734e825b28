//! A copy of an index that holds something.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "reindex-load",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Elasticsearch,
        title: "Copies a whole index",
    },
    check: Check::Elasticsearch(check),
    ok: &[
        Example::Operations(r#"{"type":"create_index","index":"a"},{"type":"reindex","source":"a","dest":"b"}"#),
        Example::Operations(r#"{"type":"swap_alias","alias":"n","from":"a","to":"b"}"#),
    ],
    bad: &[
        Example::Operations(r#"{"type":"reindex","source":"a","dest":"b"}"#),
        Example::Operations(
            r#"{"type":"swap_alias","alias":"n","from":"a","to":"b","mapping":{"properties":{"b":{"type":"date"}}}}"#,
        ),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let source = match operation {
        Operation::Reindex { source, dest, .. } if !look.unit.is_one_index(source, dest) => source,
        Operation::SwapAlias { from, mapping: Some(_), .. } => from,
        _ => return,
    };
    if !look.is_fresh(&format!("index {source}")) {
        told.add(
            format!("every document of `{source}` is read and written"),
            "bound it with `requests_per_second`, and run it when there is little load",
        );
    }
}
