//! `rename_keys`.

use super::prelude::*;
use crate::migration::operations::redis::Keys;

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
    bad: &[
        Example::Operations(r#"{"type":"rename_keys","keys":{"match":"a:*"},"from":"a:","to":"b:"}"#),
        Example::Operations(r#"{"type":"rename_keys","keys":{"match":"ab:*"},"from":"a:","to":"b:"}"#),
    ],
};

/// A key, or a pattern of keys, of which none begins with `from`.
fn begins_otherwise<'k>(keys: &'k Keys, from: &str) -> Option<&'k str> {
    match keys {
        Keys::List(keys) => keys.iter().map(String::as_str).find(|key| !key.starts_with(from)),
        Keys::Matching(matching) => {
            let pattern = matching.pattern.as_str();
            let plain = pattern.split(['*', '?', '[', '\\']).next().unwrap_or_default();
            (!plain.starts_with(from) && !from.starts_with(plain)).then_some(pattern)
        }
    }
}

fn check(operation: &Operation, told: &mut Told<'_>) {
    if let Operation::RenameKeys { from, to, .. } = operation {
        if let Some(other) = begins_otherwise(operation.keys(), from) {
            let message = format!("`{other}` is no name that begins with `{from}`: nothing is renamed by it");
            told.add(message, "correct `from`, or the keys").severity = Some(Severity::Error);
        }
        told.add(
            format!("applications that know `{from}…` find nothing while the keys become `{to}…`"),
            "have the application read both names first",
        );
    }
}
