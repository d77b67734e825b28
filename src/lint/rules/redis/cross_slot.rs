//! Keys without a common hash tag (R505).

use std::collections::BTreeSet;

use super::prelude::*;
use crate::migration::operations::redis::Keys;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "cross-slot",
        category: Category::Fails,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "The keys lie in several slots",
    },
    check: Check::Redis(check),
    ok: &[
        Example::Operations(r#"{"type":"set_ttl","keys":["{c}1","x{c}y"],"seconds":5}"#),
        Example::Operations(r#"{"type":"delete_keys","keys":["a"]}"#),
    ],
    bad: &[Example::Operations(r#"{"type":"set_ttl","keys":["a","b"],"seconds":5}"#)],
};

fn check(operation: &Operation, told: &mut Told<'_>) {
    if let Keys::List(names) = operation.keys()
        && names.iter().map(|n| hashed(n)).collect::<BTreeSet<_>>().len() > 1
        && !matches!(operation, Operation::Undo { .. })
    {
        told.add(
            "the keys lie in several slots: a cluster refuses to touch them in one call",
            "give them a common hash tag such as `{cart}`, or one operation each; a single server does not mind",
        );
    }
}

/// The part of a key that decides its slot.
fn hashed(key: &str) -> &str {
    key.find('{')
        .and_then(|open| key[open + 1..].find('}').map(|n| &key[open + 1..open + 1 + n]))
        .filter(|tag| !tag.is_empty())
        .unwrap_or(key)
}
