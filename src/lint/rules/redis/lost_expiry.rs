//! `SET` without a word about the lifetime that the key has, and the commands that know no such word (R509).

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "lost-expiry",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Redis,
        title: "SET, GETSET or MSET takes a key's lifetime away",
    },
    check: Check::Call(check),
    ok: &[
        Example::Lua("redis.call('SET', KEYS[1], 'a', 'KEEPTTL') redis.call('SET', KEYS[1], 'b', 'ex', 5) return 1"),
        Example::Lua("redis.call('SET', KEYS[1], 'a', ARGV[1]) return 1"),
        Example::Lua("redis.call('SET', KEYS[1], 'a', 'NX') return 1"),
        Example::Lua("redis.call('SET', KEYS[1], 'a', 'PX', 500) return 1"),
        Example::Lua("return redis.call('SET', KEYS[1], 'a', 'GET', 'KEEPTTL')"),
        Example::Lua("return redis.call('MSETNX', KEYS[1], 'a', KEYS[2], 'b')"),
    ],
    bad: &[
        Example::Lua("redis.call('SET', KEYS[1], 'a') return 1"),
        Example::Lua("redis.call('SET', KEYS[1], 'a', 'XX') return 1"),
        Example::Lua("return redis.call('GETSET', KEYS[1], 'a')"),
        Example::Lua("redis.call('MSET', KEYS[1], 'a', KEYS[2], 'b') return 2"),
    ],
};

/// Options of `SET` that say what becomes of the lifetime, or that there is no key yet.
const OPTIONS: [&str; 6] = ["KEEPTTL", "EX", "PX", "EXAT", "PXAT", "NX"];

fn check(lua: &Lua<'_>, call: &Call, told: &mut Told<'_>) {
    let help = match call.command.as_str() {
        "SET" if !keeps(lua, call) => "add `'KEEPTTL'`, or give the lifetime with `'EX'`",
        "GETSET" => "`SET` with `'GET', 'KEEPTTL'` answers the same and leaves the lifetime alone",
        // `MSETNX` writes nothing where one of the keys is there.
        "MSET" => "write each key with `SET` and `'KEEPTTL'`",
        _ => return,
    };
    told.add(format!("`{}` takes away the lifetime that the key has", call.command), help);
}

/// Whether a `SET` says what becomes of the lifetime.
fn keeps(lua: &Lua<'_>, call: &Call) -> bool {
    let mut options = call.arguments.iter().skip(2).flat_map(|r| &lua.words[r.clone()]);
    // What is not written out may be `KEEPTTL` as well.
    options.any(|word| {
        word.is_name || word.literal.as_ref().is_some_and(|o| OPTIONS.iter().any(|known| o.eq_ignore_ascii_case(known)))
    })
}
