//! An index that keeps no `_source`, and a copy from one.

use super::prelude::*;
use crate::lint::operations::keeps_no_source;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "source-disabled",
        category: Category::Fails,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "An index without its documents' source",
    },
    check: Check::Elasticsearch(check),
    ok: &[Example::Operations(
        r#"{"type":"create_index","index":"a","mapping":{"_source":{"excludes":["b"]},"properties":{"b":{"type":"text"}}}}"#,
    )],
    bad: &[
        Example::Operations(r#"{"type":"create_index","index":"a","mapping":{"_source":{"enabled":false}}}"#),
        Example::Migrations(&[
            r#"{"type":"create_index","index":"a","mapping":{"_source":{"enabled":false}}}"#,
            r#"{"type":"reindex","source":"a","dest":"b"}"#,
        ]),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    match operation {
        Operation::CreateIndex { index, mapping, .. } if keeps_no_source(mapping) => {
            told.add(
                format!("`{index}` keeps no `_source`: it can never be reindexed, updated or restored from itself"),
                "leave `_source` on; `excludes` takes single fields out of it",
            );
        }
        Operation::Reindex { source, .. } if look.unit.is_without_source(source) => {
            let message = format!("`{source}` keeps no `_source`, so nothing can be copied from it");
            told.add(message, "fill the index from where the documents came from").severity = Some(Severity::Error);
        }
        _ => {}
    }
}
