//! `delete_keys`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "delete-keys",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "Deletes keys with their values",
    },
    check: Check::Redis(check),
    ok: &[Example::Operations(r#"{"type":"set_ttl","keys":["a"],"seconds":5}"#)],
    bad: &[Example::Operations(r#"{"type":"delete_keys","keys":["a"]}"#)],
};

fn check(operation: &Operation, told: &mut Told<'_>) {
    if let Operation::DeleteKeys { .. } = operation {
        told.add(
            "the keys and their values are gone for good",
            "give them a lifetime first (`set_ttl`), and watch who misses them",
        );
    }
}
