//! An index that deletes what is old enough, on a collection that holds something.

use super::prelude::*;
use crate::migration::operations::mongodb::index_name;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "ttl-index-on-data",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "TTL index deletes old documents at once",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_collection","collection":"c"},{"type":"create_index","collection":"c","index":[["a",1]],"options":{"expireAfterSeconds":9}}"#,
        ),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a",1]]}"#),
    ],
    bad: &[Example::Operations(
        r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"expireAfterSeconds":1}}"#,
    )],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::CreateIndex { collection, index, options } = operation else { return };
    if options.contains_key("expireAfterSeconds") && !is_fresh(look, collection) {
        let name = index_name(index, options);
        told.add(
            format!("documents of `{collection}` that are old enough are deleted as soon as `{name}` is built"),
            "count them first; a backup is the only way back",
        );
    }
}
