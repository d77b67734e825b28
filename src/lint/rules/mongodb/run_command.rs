//! `run_command`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "run-command",
        category: Category::Structure,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "A command of which nothing is known",
    },
    check: Check::Mongodb(check),
    ok: &[Example::Operations(r#"{"type":"set_validator","collection":"c","validator":{"a":{"$type":"int"}}}"#)],
    bad: &[Example::Operations(r#"{"type":"run_command","command":{"collMod":"c"}}"#)],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::RunCommand { command } = operation {
        let name = command.keys().next().map_or("", String::as_str);
        told.add(
            format!("nothing is known of what `{name}` does, so after a crash a person must look"),
            "use the operation that does the same, if there is one",
        );
    }
}
