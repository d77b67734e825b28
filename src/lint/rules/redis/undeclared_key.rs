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
        Example::Lua("return redis.call('ZUNIONSTORE', KEYS[1], 2, KEYS[2], KEYS[3], 'AGGREGATE', 'MAX')"),
        Example::Lua("return redis.call('BITOP', 'AND', KEYS[1], KEYS[2])"),
        Example::Lua("return redis.call('XREAD', 'COUNT', 9, 'STREAMS', KEYS[1], '0-0')"),
        Example::Lua("local key = 'a' key = KEYS[1] return redis.call('GET', key)"),
        Example::Lua(
            "local name = 'a' for _, name in ipairs(KEYS) do redis.call('SET', name, ARGV[1]) end return name",
        ),
        Example::Lua("return redis.call('GET', KEYS[tonumber(ARGV[1])])"),
        Example::Lua("return redis.call('GET', KEYS[2] or 'a')"),
        Example::Lua("return redis.call('GET', tostring(KEYS[1]))"),
        Example::Lua("local names = { 'a', KEYS[1] } return redis.call('GET', names[2])"),
        Example::Lua("local names = { 'a' } table.insert(names, KEYS[1]) return redis.call('GET', names[2])"),
        Example::Lua(
            "local names = { 'a' } local function fill(t) t[1] = KEYS[1] end fill(names) return redis.call('GET', names[1])",
        ),
        Example::Lua("local function read(key) return redis.call('GET', key) end read('a') return read(KEYS[1])"),
        Example::Lua("local read = { of = function(key) return redis.call('GET', key) end } return read.of(KEYS[1])"),
        Example::Lua(
            "local function each(f) return f(KEYS[1]) end return each(function(k) return redis.call('GET', k) end)",
        ),
        Example::Lua("local first = function() return KEYS[1] end return redis.call('GET', first() or 'a')"),
        Example::Lua(
            "local function at(n) if n then return KEYS[n] end return 'a' end return redis.call('GET', at(1))",
        ),
        Example::Lua("local args = { KEYS[1], 'f', 1 } return redis.call('HSET', unpack(args))"),
        Example::Lua("local t = { old = 'a', new = KEYS[1] } return redis.call('GET', t.new)"),
        Example::Lua("local t = {} t.k = 'a' t['k'] = KEYS[1] return redis.call('GET', t.k)"),
        Example::Lua("local t = { k = 'a' } t[ARGV[1]] = KEYS[1] return redis.call('GET', t.k)"),
        Example::Lua("local t = { k = 'a' } local function f(x) x.k = KEYS[1] end f(t) return redis.call('GET', t.k)"),
        Example::Lua("local t = { k = {} } t.k.name = KEYS[1] return redis.call('GET', t.k.name)"),
    ],
    bad: &[
        Example::Lua("return redis.call('GET', ARGV[1])"),
        Example::Lua("local t = { main = KEYS[1] } t.k = 'a:b' return redis.call('GET', t.k)"),
        Example::Lua("local t = { old = 'a', new = KEYS[1] } return redis.call('RENAME', t['old'], t.new)"),
        Example::Lua("local t = {} t.id = ARGV[1] t.key = KEYS[1] return redis.call('HGET', t.id, t.key)"),
        Example::Lua("return redis.call('GET', string.format('user:%s', ARGV[1]))"),
        Example::Lua("return redis.call('GET', ('user:%s'):format(KEYS[1]))"),
        Example::Lua("for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do redis.call('UNLINK', id) end return 1"),
        Example::Lua("local found = redis.call('SCAN', '0') return redis.call('UNLINK', unpack(found[2]))"),
        Example::Lua(
            "local call = redis.call local id = call('GET', KEYS[1]) if id then call('UNLINK', id) end return 1",
        ),
        Example::Lua("local names = { 'a', 'b' } for _, name in ipairs(names) do redis.call('GET', name) end return 1"),
        Example::Lua("local names = { old = { 'a' } } return redis.call('GET', names.old[1])"),
        Example::Lua("local names = {} names[#names + 1] = 'a' return redis.call('GET', names[1])"),
        Example::Lua("local names = {} table.insert(names, ARGV[1]) return redis.call('GET', names[1])"),
        Example::Lua("local function drop(key) redis.call('UNLINK', key) end drop(KEYS[1] .. ':old') return 1"),
        Example::Lua("local function name(id) return 'user:' .. id end return redis.call('GET', name(ARGV[1]))"),
        Example::Lua("local key if ARGV[1] then key = 'a' else key = 'b' end return redis.call('GET', key)"),
        Example::Lua("return redis.call('GET', cjson.decode(ARGV[1]).key)"),
        Example::Lua("return redis.call('DEL', unpack(ARGV))"),
        Example::Lua("return redis.call('GET', 'user:1')"),
        Example::Lua("return redis.call('DEL', KEYS[1], KEYS[1] .. ':old')"),
        Example::Lua("local k = 'user:' .. ARGV[1] return redis.call('GET', k)"),
        Example::Lua("return redis.call('ZUNIONSTORE', KEYS[1], 2, KEYS[2], 'day:2')"),
        Example::Lua("return redis.call('BITOP', 'AND', KEYS[1], 'seen:1')"),
        Example::Lua("return redis.call('SORT', KEYS[1], 'STORE', 'sorted')"),
        Example::Lua("return redis.call('XREAD', 'STREAMS', 'events', '0-0')"),
        Example::Lua("return redis.call('OBJECT', 'FREQ', 'user:1')"),
    ],
};

fn check(lua: &Lua<'_>, call: &Call, told: &mut Told<'_>) {
    let made_up = keys_of(lua, &call.command, &call.arguments).into_iter().find_map(|key| lua.made_up_key(key));
    if let Some(what) = made_up {
        told.add(
            format!("the key of `{}` is {what}, not one of KEYS: a cluster cannot route it", call.command),
            "name every key in `keys`, and take it from KEYS in the script",
        );
    }
}

/// The arguments of a command that are keys (Redis' own description of each command, "key specifications").
fn keys_of<'r>(lua: &Lua<'_>, command: &str, arguments: &'r [Range<usize>]) -> Vec<&'r Range<usize>> {
    let take = |n: usize| arguments.iter().take(n).collect();
    let rest = |from: usize| arguments.iter().skip(from).collect();
    let is = |argument: &Range<usize>, word: &str| lua.plain(argument).is_some_and(|t| t.eq_ignore_ascii_case(word));
    let behind = |word: &str| arguments.iter().position(|argument| is(argument, word)).map(|at| at + 1);
    // Keys with their number in front, where that is written there.
    let counted = |at: usize| {
        let number = arguments.get(at).and_then(|argument| lua.plain(argument));
        arguments.iter().skip(at + 1).take(number.and_then(|n| n.parse().ok()).unwrap_or(0))
    };
    match command {
        "PING" | "TIME" | "SCAN" | "KEYS" | "DBSIZE" | "RANDOMKEY" | "INFO" | "PUBLISH" | "SPUBLISH" | "SELECT"
        | "ECHO" | "EVAL" | "EVALSHA" | "FCALL" | "FLUSHALL" | "FLUSHDB" | "SWAPDB" | "CONFIG" | "DEBUG"
        | "SHUTDOWN" | "SCRIPT" | "FUNCTION" | "MIGRATE" | "ACL" | "REPLICAOF" | "SLAVEOF" | "CLUSTER" | "FAILOVER"
        | "MODULE" | "SAVE" | "BGSAVE" | "BGREWRITEAOF" | "CLIENT" | "LATENCY" | "MONITOR" | "COMMAND" | "WAIT" => {
            Vec::new()
        }
        "DEL" | "UNLINK" | "EXISTS" | "TOUCH" | "MGET" | "SINTER" | "SUNION" | "SDIFF" | "PFCOUNT" | "PFMERGE"
        | "SINTERSTORE" | "SUNIONSTORE" | "SDIFFSTORE" | "WATCH" => rest(0),
        "BITOP" => rest(1),
        "MSET" | "MSETNX" => arguments.iter().step_by(2).collect(),
        "RENAME" | "RENAMENX" | "COPY" | "SMOVE" | "RPOPLPUSH" | "LMOVE" | "GEOSEARCHSTORE" | "ZRANGESTORE" => take(2),
        "OBJECT" | "MEMORY" | "XGROUP" | "XINFO" => arguments.iter().skip(1).take(1).collect(),
        "LMPOP" | "ZMPOP" | "SINTERCARD" | "ZINTERCARD" | "ZINTER" | "ZUNION" | "ZDIFF" => counted(0).collect(),
        "ZUNIONSTORE" | "ZINTERSTORE" | "ZDIFFSTORE" => arguments.iter().take(1).chain(counted(1)).collect(),
        "SORT" => arguments.iter().take(1).chain(behind("STORE").and_then(|at| arguments.get(at))).collect(),
        // As many keys as there are places to read from behind them.
        "XREAD" | "XREADGROUP" => match behind("STREAMS") {
            Some(at) => arguments[at..].iter().take((arguments.len() - at) / 2).collect(),
            None => Vec::new(),
        },
        _ => take(1),
    }
}
