//! Commands that come to something else when they are done twice, where a later call may fail (R511): what was written
//! stays, and the script is run again as a whole. A script that looks first is believed.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "not-repeatable",
        category: Category::Fails,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Redis,
        title: "Writes that add up when a failed script is run again",
    },
    check: Check::Lua(check),
    ok: &[
        Example::Lua(
            "for _, key in ipairs(KEYS) do if redis.call('HGET', key, 'v') ~= '2' then redis.call('HINCRBY', key, 'n', 1) end end return 1",
        ),
        Example::Lua("for _, key in ipairs(KEYS) do redis.call('HSET', key, 'n', 1) end return 1"),
        Example::Lua("for _, key in ipairs(KEYS) do redis.pcall('INCR', key) end return 1"),
        Example::Lua(
            "for _, key in ipairs(KEYS) do redis.call('HSET', key, 'n', 1) end return redis.call('INCR', KEYS[1])",
        ),
    ],
    bad: &[
        Example::Lua("for _, key in ipairs(KEYS) do redis.call('INCR', key) end return 1"),
        Example::Lua("for n = 1, 9 do if n < 5 then redis.call('HINCRBY', KEYS[1], 'n', 1) end end return 1"),
        Example::Lua("redis.call('RPUSH', KEYS[1], 'a') redis.call('EXPIRE', KEYS[1], 9) return 1"),
    ],
};

fn check(lua: &Lua<'_>, told: &mut Told<'_>) {
    let calls: Vec<&Call> = lua.calls.iter().filter(|call| !call.is_guarded).collect();
    for (n, call) in calls.iter().enumerate() {
        let command = call.command.as_str();
        if looks(command) {
            return;
        }
        let in_loop = is_in_loop(lua, call.at);
        if adds_up(command) && (in_loop || n + 1 < calls.len()) {
            let what = if in_loop { "one of the next keys" } else { "a later command" };
            told.add_at(
                lua.words[call.at].range.clone(),
                format!("where {what} fails, what `{command}` wrote stays, and the next run writes it again"),
                "look first what was done (`EXISTS`, `TYPE`, a version in the value), or write what stays the same twice (`SET`, `HSET`)",
            );
            return;
        }
    }
}

/// Whether a command tells what stands there, so that a script may go by it.
fn looks(command: &str) -> bool {
    let reads =
        ["EXISTS", "TYPE", "GET", "MGET", "HGET", "HMGET", "HEXISTS", "SISMEMBER", "SMISMEMBER", "ZSCORE", "LPOS"];
    // These say whether they were the first.
    reads.contains(&command) || matches!(command, "SETNX" | "HSETNX" | "SADD" | "ZADD")
}

/// Whether a command that is done twice comes to something else than once.
fn adds_up(command: &str) -> bool {
    let starts = ["INCR", "DECR", "HINCRBY", "LPUSH", "RPUSH"];
    starts.iter().any(|start| command.starts_with(start))
        || matches!(command, "APPEND" | "ZINCRBY" | "LINSERT" | "XADD")
}

/// Whether a word stands within a loop.
fn is_in_loop(lua: &Lua<'_>, at: usize) -> bool {
    let (mut blocks, mut loop_begins) = (Vec::new(), false);
    for word in lua.words[..at].iter().filter(|w| w.literal.is_none()) {
        match word.text {
            "for" | "while" => loop_begins = true,
            "do" => blocks.push(std::mem::take(&mut loop_begins)),
            "repeat" => blocks.push(true),
            "if" | "function" => blocks.push(false),
            "end" | "until" => {
                blocks.pop();
            }
            _ => {}
        }
    }
    blocks.contains(&true)
}
