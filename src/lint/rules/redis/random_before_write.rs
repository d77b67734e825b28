//! A write behind a command whose answer time or chance decides (R513).

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "random-before-write",
        category: Category::Compatibility,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Redis,
        title: "Writes what time or chance decided",
    },
    check: Check::Lua(check),
    ok: &[
        Example::Lua("local t = redis.call('TIME') return t[1]"),
        Example::Lua("redis.call('HSET', KEYS[1], 'at', ARGV[1]) return redis.call('TIME')"),
    ],
    bad: &[Example::Lua("local t = redis.call('TIME') redis.call('HSET', KEYS[1], 'at', t[1]) return 1")],
};

fn check(lua: &Lua<'_>, told: &mut Told<'_>) {
    let mut chance: Option<&str> = None;
    for call in &lua.calls {
        let command = call.command.as_str();
        if let Some(source) = chance.take_if(|_| writes(command)) {
            told.add_at(
                call.range.clone(),
                format!("`{command}` writes after `{source}`: each run, and an old replica, may write something else"),
                "pass what must be the same every time as ARGV",
            );
        } else if matches!(command, "TIME" | "RANDOMKEY" | "SRANDMEMBER" | "HRANDFIELD" | "ZRANDMEMBER") {
            chance = Some(command);
        }
    }
}

/// Whether a command that migrations use changes something.
fn writes(command: &str) -> bool {
    [
        "SET", "HSET", "HDEL", "HINCR", "DEL", "UNLINK", "EXPIRE", "PEXPIRE", "PERSIST", "INCR", "DECR", "LPUSH",
        "RPUSH", "LPOP", "RPOP", "LREM", "LTRIM", "SADD", "SREM", "SMOVE", "ZADD", "ZREM", "ZINCR", "APPEND", "RENAME",
        "COPY", "XADD", "MSET", "GETSET",
    ]
    .iter()
    .any(|start| command.starts_with(start))
}
