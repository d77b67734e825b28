//! `rename_keys`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "rename-keys",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "Renames keys under the running application",
    },
    check: Check::Redis(check),
    ok: &[Example::Operations(r#"{"type":"set_ttl","keys":["a"],"seconds":5}"#)],
    bad: &[Example::Operations(r#"{"type":"rename_keys","keys":{"match":"a:*"},"from":"a:","to":"b:"}"#)],
};

fn check(operation: &Operation, told: &mut Told<'_>) {
    if let Operation::RenameKeys { from, to, .. } = operation {
        told.add(
            format!("applications that know `{from}…` find nothing while the keys become `{to}…`"),
            "have the application read both names first",
        );
    }
}
