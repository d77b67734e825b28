//! A pattern that leaves no key out.

use super::prelude::*;
use crate::migration::operations::redis::Keys;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "pattern-matches-all",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "The pattern leaves no key out",
    },
    check: Check::Redis(check),
    ok: &[Example::Operations(r#"{"type":"delete_keys","keys":{"match":"a:*"}}"#)],
    bad: &[
        Example::Operations(r#"{"type":"delete_keys","keys":{"match":"*"}}"#),
        Example::Operations(r#"{"type":"set_ttl","keys":{"match":"*"},"seconds":5}"#),
    ],
};

fn check(operation: &Operation, told: &mut Told<'_>) {
    if let Keys::Matching(matching) = operation.keys()
        && matching.pattern.chars().all(|c| c == '*')
        && !matches!(operation, Operation::Undo { .. })
    {
        let all = format!("`{}` matches every key of the database", matching.pattern);
        let help = "name the keys that are meant by their prefix";
        if matches!(operation, Operation::DeleteKeys { .. }) {
            told.add(format!("{all}, and no run deletes them all"), help).severity = Some(Severity::Error);
        } else {
            told.add(all, help);
        }
    }
}
