//! A script that returns nothing.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "no-return",
        category: Category::Style,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Redis,
        title: "The script does not say what it changed",
    },
    check: Check::Lua(check),
    ok: &[Example::Lua("if ARGV[1] == 'a' then return 1 else return 2 end return 3")],
    bad: &[Example::Lua("redis.call('INCR', KEYS[1])"), Example::Lua("if ARGV[1] then return 1 end")],
};

fn check(lua: &Lua<'_>, told: &mut Told<'_>) {
    if !returns(lua) {
        told.add(
            "the script returns nothing, so nothing tells how many keys it changed",
            "count what it changes and `return` the number",
        );
    }
}

/// Whether it returns something at its end.
fn returns(lua: &Lua<'_>) -> bool {
    let mut depth = 0usize;
    lua.words.iter().filter(|w| w.literal.is_none()).any(|word| {
        match word.text {
            "do" | "function" | "if" | "repeat" => depth += 1,
            "end" | "until" => depth = depth.saturating_sub(1),
            _ => {}
        }
        word.text == "return" && depth == 0
    })
}
