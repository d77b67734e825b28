//! `set_ttl`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "set-ttl",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Redis,
        title: "Keys vanish when their time is over",
    },
    check: Check::Redis(check),
    ok: &[Example::Operations(r#"{"type":"script","lua":"return redis.call('PERSIST', KEYS[1])","keys":["a"]}"#)],
    bad: &[
        Example::Operations(r#"{"type":"set_ttl","keys":["{c}1","x{c}y"],"seconds":5}"#),
        Example::Operations(r#"{"type":"set_ttl","keys":["a"],"seconds":0}"#),
    ],
};

fn check(operation: &Operation, told: &mut Told<'_>) {
    let Operation::SetTtl { seconds, .. } = operation else { return };
    if *seconds == 0 {
        let message = "a lifetime of 0 seconds deletes the keys at once";
        let finding = told.add(message, "say `delete_keys` if that is meant");
        (finding.severity, finding.risk) = (Some(Severity::Error), Some(Risk::High));
    } else {
        let message = format!("the keys and their values vanish after {seconds} seconds");
        told.add(message, "make sure that whoever reads them can do without");
    }
}
