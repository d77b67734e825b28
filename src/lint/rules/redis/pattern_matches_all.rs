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
    bad: &[Example::Operations(r#"{"type":"delete_keys","keys":{"match":"*"}}"#)],
};

fn check(operation: &Operation, told: &mut Told<'_>) {
    if let Keys::Matching(matching) = operation.keys()
        && matching.pattern.chars().all(|c| c == '*')
        && !matches!(operation, Operation::Undo { .. })
    {
        told.add(
            format!("`{}` matches every key of the database", matching.pattern),
            "name the keys that are meant by their prefix",
        );
    }
}
