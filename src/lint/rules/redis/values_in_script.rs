//! Placeholders that are filled in before the script is sent (R512).

use super::prelude::*;
use crate::lint::operations::{Word, cut};

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "values-in-script",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Redis,
        title: "Values pasted into the script instead of ARGV",
    },
    check: Check::Lua(check),
    ok: &[Example::Lua("redis.call('EXPIRE', KEYS[1], ARGV[1]) return 1")],
    bad: &[
        Example::Lua("redis.call('EXPIRE', KEYS[1], '${TTL}') return 1"),
        Example::Lua("redis.call('HSET', KEYS[1], 'a', '{{ value }}') return 1"),
    ],
};

fn check(lua: &Lua<'_>, told: &mut Told<'_>) {
    let pasted = |word: &&Word<'_>| word.literal.as_deref().is_some_and(|l| l.contains("${") || l.contains("{{"));
    for word in lua.words.iter().filter(pasted) {
        told.add_at(
            word.range.clone(),
            format!(
                "`{}` is filled in before the script is sent: each value makes another script, and Redis keeps them all",
                cut(word.text)
            ),
            "pass values in `args` and read them from ARGV",
        );
    }
}
