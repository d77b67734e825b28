//! A validator that documents of the collection may not fit.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "strict-validator",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Mongodb,
        title: "Writes to documents that are there may be refused",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_collection","collection":"c"},{"type":"set_validator","collection":"c","validator":{"a":{"$type":"int"}}}"#,
        ),
        Example::Operations(
            r#"{"type":"set_validator","collection":"c","validator":{"a":{"$type":"int"}},"validation_level":"moderate"}"#,
        ),
        Example::Operations(
            r#"{"type":"set_validator","collection":"c","validator":{"a":{"$type":"int"}},"validation_action":"warn"}"#,
        ),
    ],
    bad: &[
        Example::Operations(r#"{"type":"set_validator","collection":"c","validator":{"a":{"$type":"int"}}}"#),
        Example::Operations(
            r#"{"type":"set_validator","collection":"c","validator":{"a":{"$type":"int"}},"validation_level":"constraint","validation_action":"errorAndLog"}"#,
        ),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::SetValidator { collection, .. } = operation
        && operation.refuses_updates()
        && !is_fresh(look, collection)
    {
        told.add(
            format!("documents of `{collection}` that do not fit can no longer be updated"),
            "begin with `\"validation_level\": \"moderate\"` or `\"validation_action\": \"warn\"`, mend the documents, then be strict",
        );
    }
}
