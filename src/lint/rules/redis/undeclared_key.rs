//! A key that does not come from KEYS (R504).

use std::ops::Range;

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "undeclared-key",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "A key that does not come from KEYS",
    },
    check: Check::Call(check),
    ok: &[
        Example::Lua("local id = string.sub(KEYS[1], 6) .. 'x' redis.call('HSET', KEYS[1], 'id', id) return 1"),
        Example::Lua("for _, key in ipairs(KEYS) do redis.call('HSET', key, 'n', 1) end return #KEYS"),
    ],
    bad: &[
        Example::Lua("return redis.call('GET', 'user:1')"),
        Example::Lua("return redis.call('DEL', KEYS[1], KEYS[1] .. ':old')"),
        Example::Lua("local k = 'user:' .. ARGV[1] return redis.call('GET', k)"),
    ],
};

fn check(lua: &Lua<'_>, call: &Call, told: &mut Told<'_>) {
    let made_up = keys_of(&call.command, &call.arguments).into_iter().find_map(|key| lua.made_up_key(key.clone()));
    if let Some(what) = made_up {
        told.add(
            format!("the key of `{}` is {what}, not one of KEYS: a cluster cannot route it", call.command),
            "name every key in `keys`, and take it from KEYS in the script",
        );
    }
}

/// The arguments of a command that are keys.
fn keys_of<'r>(command: &str, arguments: &'r [Range<usize>]) -> Vec<&'r Range<usize>> {
    let take = |n: usize| arguments.iter().take(n).collect();
    match command {
        "PING" | "TIME" | "SCAN" | "KEYS" | "DBSIZE" | "RANDOMKEY" | "INFO" | "PUBLISH" | "SPUBLISH" | "SELECT"
        | "ECHO" | "EVAL" | "EVALSHA" | "FCALL" | "FLUSHALL" | "FLUSHDB" | "SWAPDB" | "CONFIG" | "DEBUG"
        | "SHUTDOWN" | "SCRIPT" | "MIGRATE" | "ACL" | "REPLICAOF" | "SLAVEOF" | "CLUSTER" | "FAILOVER" | "MODULE"
        | "SAVE" | "BGSAVE" | "BGREWRITEAOF" | "CLIENT" | "LATENCY" | "MONITOR" | "COMMAND" | "WAIT" | "BITOP"
        | "XREAD" | "XREADGROUP" | "OBJECT" | "MEMORY" | "XGROUP" | "XINFO" | "LMPOP" | "ZMPOP" | "SINTERCARD"
        | "ZINTER" | "ZUNION" | "ZDIFF" => Vec::new(),
        "DEL" | "UNLINK" | "EXISTS" | "TOUCH" | "MGET" | "SINTER" | "SUNION" | "SDIFF" | "PFCOUNT" | "PFMERGE"
        | "SINTERSTORE" | "SUNIONSTORE" | "SDIFFSTORE" | "WATCH" => arguments.iter().collect(),
        "MSET" | "MSETNX" => arguments.iter().step_by(2).collect(),
        "RENAME" | "RENAMENX" | "COPY" | "SMOVE" | "RPOPLPUSH" | "LMOVE" | "GEOSEARCHSTORE" | "ZRANGESTORE" => take(2),
        _ => take(1),
    }
}
