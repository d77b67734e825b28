//! A script that takes fields, members or entries out of keys (R515).

use super::prelude::*;
use crate::migration::operations::lua::Taken;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "script-removes-members",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Redis,
        title: "A script takes fields or members out of keys",
    },
    check: Check::Lua(check),
    ok: &[
        Example::Lua("return redis.call('HSET', KEYS[1], 'a', 1)"),
        Example::Lua("return redis.call('LTRIM', KEYS[1], 1, 0)"),
    ],
    bad: &[
        Example::Lua("return redis.call('HDEL', KEYS[1], 'old')"),
        Example::Lua("return redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])"),
        Example::Lua("return redis.call('LTRIM', KEYS[1], 0, 99)"),
        Example::Lua("return redis.call('SPOP', KEYS[1])"),
    ],
};

fn check(lua: &Lua<'_>, told: &mut Told<'_>) {
    for loss in lua.losses.iter().filter(|loss| loss.taken == Taken::Members) {
        told.add_at(
            loss.range.clone(),
            format!("what `{}` takes out of a key is gone for good", loss.command),
            "write it where it stays in an earlier migration, and take it out when nobody reads it here any more",
        );
    }
}
