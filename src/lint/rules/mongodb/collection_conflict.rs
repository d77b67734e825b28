//! `create_collection` for one that is there with other options.

use super::fixed_option::changed;
use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "collection-conflict",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "The collection is there with other options",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_collection","collection":"c"},{"type":"create_collection","collection":"c"}"#,
        ),
        Example::Operations(
            r#"{"type":"create_collection","collection":"c"},{"type":"create_collection","collection":"d","options":{"validator":{"a":1}}}"#,
        ),
    ],
    bad: &[
        Example::Operations(
            r#"{"type":"create_collection","collection":"c"},{"type":"create_collection","collection":"c","options":{"validator":{"a":1}}}"#,
        ),
        Example::Migrations(&[
            r#"{"type":"create_collection","collection":"c"}"#,
            r#"{"type":"create_collection","collection":"c","options":{"validator":{"a":1}}}"#,
        ]),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::CreateCollection { collection, options } = operation else { return };
    let Some(before) = look.unit.other_options(collection, options) else { return };
    if changed(before, options).is_none() {
        told.add(
            format!("`{collection}` is there already, made with other options"),
            "take this operation out; `set_validator` changes the validator of what is there",
        );
    }
}
