//! The option `background` of an index.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "background-index",
        category: Category::Style,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Mongodb,
        title: "The option background means nothing any more",
    },
    check: Check::Mongodb(check),
    ok: &[Example::Operations(
        r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"sparse":true}}"#,
    )],
    bad: &[Example::Operations(
        r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"background":true}}"#,
    )],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::CreateIndex { options, .. } = operation
        && options.contains_key("background")
    {
        told.add(
            "`background` has meant nothing since MongoDB 4.2: every build lets others read and write",
            "take the option out",
        );
    }
}
