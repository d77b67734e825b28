//! `SET` without a word about the lifetime that the key has.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "lost-expiry",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Redis,
        title: "SET takes a key's lifetime away",
    },
    check: Check::Call(check),
    ok: &[
        Example::Lua("redis.call('SET', KEYS[1], 'a', 'KEEPTTL') redis.call('SET', KEYS[1], 'b', 'ex', 5) return 1"),
        Example::Lua("redis.call('SET', KEYS[1], 'a', ARGV[1]) return 1"),
        Example::Lua("redis.call('SET', KEYS[1], 'a', 'NX') return 1"),
    ],
    bad: &[
        Example::Lua("redis.call('SET', KEYS[1], 'a') return 1"),
        Example::Lua("redis.call('SET', KEYS[1], 'a', 'XX') return 1"),
    ],
};

/// Options of `SET` that say what becomes of the lifetime, or that there is no key yet.
const OPTIONS: [&str; 6] = ["KEEPTTL", "EX", "PX", "EXAT", "PXAT", "NX"];

fn check(lua: &Lua<'_>, call: &Call, told: &mut Told<'_>) {
    if call.command != "SET" {
        return;
    }
    let mut options = call.arguments.iter().skip(2).flat_map(|r| &lua.words[r.clone()]);
    // What is not written out may be `KEEPTTL` as well.
    let keeps = options.any(|word| {
        word.is_name || word.literal.as_ref().is_some_and(|o| OPTIONS.iter().any(|known| o.eq_ignore_ascii_case(known)))
    });
    if !keeps {
        told.add("`SET` takes away the lifetime that the key has", "add `'KEEPTTL'`, or give the lifetime with `'EX'`");
    }
}
