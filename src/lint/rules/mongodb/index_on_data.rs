//! An index on a collection that holds something.

use super::prelude::*;
use crate::migration::operations::mongodb::index_name;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "index-on-data",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Mongodb,
        title: "Builds an index on an existing collection",
    },
    check: Check::Mongodb(check),
    ok: &[Example::Operations(
        r#"{"type":"create_collection","collection":"c"},{"type":"create_index","collection":"c","index":[["a",1]]}"#,
    )],
    bad: &[
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a",1]]}"#),
        Example::Migrations(&[
            r#"{"type":"create_collection","collection":"c"}"#,
            r#"{"type":"create_index","collection":"c","index":[["a",1]]}"#,
        ]),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::CreateIndex { collection, index, options } = operation else { return };
    if !is_fresh(look, collection) {
        let name = index_name(index, options);
        told.add(
            format!("`{name}` reads every document of `{collection}`, and locks it for a moment at its start and end"),
            "build it when there is little load",
        );
    }
}
