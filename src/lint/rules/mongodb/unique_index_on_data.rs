//! A unique index on a collection that may hold the same value twice.

use super::prelude::*;
use crate::migration::operations::mongodb::index_name;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "unique-index-on-data",
        category: Category::Fails,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "Unique index fails on duplicates that are there",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_collection","collection":"c"},{"type":"create_index","collection":"c","index":[["a",1]],"options":{"unique":true,"expireAfterSeconds":9}}"#,
        ),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"unique":false}}"#),
    ],
    bad: &[Example::Operations(
        r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"unique":true}}"#,
    )],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::CreateIndex { collection, index, options } = operation else { return };
    if options.get("unique") == Some(&Value::Bool(true)) && !is_fresh(look, collection) {
        let name = index_name(index, options);
        told.add(
            format!("the build of `{name}` fails when two documents of `{collection}` have the same value"),
            "look for duplicates first; `partialFilterExpression` leaves documents without the field out",
        );
    }
}
