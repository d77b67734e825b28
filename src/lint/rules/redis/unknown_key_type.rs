//! Keys of a type that there is not: SCAN finds none of them, and says nothing.

use super::prelude::*;
use crate::config::yaml::nearest;
use crate::migration::operations::redis::Keys;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "unknown-key-type",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::Medium,
        applies: Applies::Redis,
        title: "Keys of a type that Redis has not",
    },
    check: Check::Redis(check),
    ok: &[
        Example::Operations(r#"{"type":"set_ttl","keys":{"match":"a:*","type":"hash"},"seconds":5}"#),
        Example::Operations(r#"{"type":"set_ttl","keys":{"match":"a:*","type":"ReJSON-RL"},"seconds":5}"#),
        Example::Operations(r#"{"type":"set_ttl","keys":["a"],"seconds":5}"#),
    ],
    bad: &[
        Example::Operations(r#"{"type":"set_ttl","keys":{"match":"a:*","type":"hsh"},"seconds":5}"#),
        Example::Operations(r#"{"type":"delete_keys","keys":{"match":"a:*","type":"sorted set"}}"#),
    ],
};

/// What `TYPE` says of keys.
const TYPES: [&str; 7] = ["hash", "list", "set", "stream", "string", "vectorset", "zset"];

/// How many characters the types of modules have (Redis' module API, `RedisModule_CreateDataType`).
const OF_MODULES: usize = 9;

fn check(operation: &Operation, told: &mut Told<'_>) {
    let Keys::Matching(matching) = operation.keys() else { return };
    let Some(kind) = &matching.key_type else { return };
    let lower = kind.to_ascii_lowercase();
    if TYPES.contains(&lower.as_str()) || kind.len() == OF_MODULES || matches!(operation, Operation::Undo { .. }) {
        return;
    }
    let near = nearest(&lower, &TYPES).map(|near| format!("did you mean `{near}`?"));
    told.add(
        format!("no key is of the type `{kind}`: none is found, and the operation does nothing without a word"),
        near.as_deref().unwrap_or("`string`, `list`, `set`, `zset`, `hash` or `stream`, as `TYPE` says it"),
    );
}
