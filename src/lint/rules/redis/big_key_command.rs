//! Commands whose time grows with the key (R508).

use std::ops::Range;

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "big-key-command",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Redis,
        title: "A command whose time grows with the key",
    },
    check: Check::Call(check),
    ok: &[Example::Lua("redis.call('UNLINK', KEYS[1]) return redis.call('LRANGE', KEYS[1], 0, 10)")],
    bad: &[
        Example::Lua("redis.call('DEL', KEYS[1]) return 1"),
        Example::Lua("return redis.call('HGETALL', KEYS[1])"),
        Example::Lua("return redis.call('LRANGE', KEYS[1], 0, -1)"),
        Example::Lua("return redis.call('ZRANGE', KEYS[1], '0', '-1')"),
    ],
};

fn check(lua: &Lua<'_>, call: &Call, told: &mut Told<'_>) {
    let argument = |n: usize, number: &str| call.arguments.get(n).is_some_and(|words| is_number(lua, words, number));
    match call.command.as_str() {
        "DEL" => {
            told.add("`DEL` frees a large key while everything else waits", "`UNLINK` frees it in the background");
        }
        "HGETALL" | "SMEMBERS" | "HKEYS" | "HVALS" | "SORT" => {
            told.add(
                format!("`{}` reads the whole key while everything else waits", call.command),
                "read what is needed, or in parts",
            );
        }
        "LRANGE" | "ZRANGE" if argument(1, "0") && argument(2, "-1") => {
            told.add(
                format!("`{}` from 0 to -1 reads the whole key while everything else waits", call.command),
                "read it in parts",
            );
        }
        _ => {}
    }
}

/// Whether an argument is this number, in quotes or not.
fn is_number(lua: &Lua<'_>, argument: &Range<usize>, number: &str) -> bool {
    match lua.words.get(argument.clone()) {
        Some([one]) => one.literal.as_deref().unwrap_or(one.text) == number,
        Some([sign, one]) => sign.text == "-" && number.strip_prefix('-') == Some(one.text),
        Some(_) | None => false,
    }
}
