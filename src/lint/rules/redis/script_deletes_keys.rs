//! A script that deletes whole keys: by a command for it, or by a lifetime that is over (R515).

use super::prelude::*;
use crate::migration::operations::lua::Taken;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "script-deletes-keys",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "A script deletes keys with their values",
    },
    check: Check::Lua(check),
    ok: &[
        Example::Lua("return redis.call('EXPIRE', KEYS[1], tonumber(ARGV[1]))"),
        Example::Lua("return redis.call('HDEL', KEYS[1], 'old')"),
        Example::Lua("if redis.call('TTL', KEYS[1]) == 0 then return 1 end return redis.call('PERSIST', KEYS[1])"),
    ],
    bad: &[
        Example::Lua("for _, key in ipairs(KEYS) do redis.call('UNLINK', key) end return #KEYS"),
        Example::Lua("return redis.call('DEL', unpack(KEYS))"),
        Example::Lua("return redis.call('EXPIRE', KEYS[1], 0)"),
        Example::Lua("return redis.call('PEXPIREAT', KEYS[1], 1)"),
        Example::Lua("return redis.call('GETDEL', KEYS[1])"),
        Example::Lua("return redis.call('LTRIM', KEYS[1], 1, 0)"),
        Example::Lua(
            "local v = redis.call('GET', KEYS[1]) redis.call('UNLINK', KEYS[1]) return redis.call('HSET', KEYS[1], 'v', v)",
        ),
    ],
};

fn check(lua: &Lua<'_>, told: &mut Told<'_>) {
    for loss in &lua.losses {
        let command = &loss.command;
        match loss.taken {
            Taken::Keys => {
                told.add_at(
                    loss.range.clone(),
                    format!("`{command}` deletes keys, and their values are gone for good"),
                    "give them a lifetime first (`set_ttl`), and watch who misses them",
                );
            }
            // What is left out of what was read is lost all the same: fields, scores, the lifetime.
            Taken::MovedKeys => {
                let message = format!("`{command}` deletes keys whose values the script writes elsewhere or anew");
                let help =
                    "look whether everything of them is written: fields, scores, the lifetime; `RENAMENX` keeps it all";
                told.add_at(loss.range.clone(), message, help).risk = Some(Risk::Medium);
            }
            Taken::Members => {}
        }
    }
}
