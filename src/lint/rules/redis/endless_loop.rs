//! A loop that nothing ends (R507).

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "endless-loop",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "A loop that nothing ends",
    },
    check: Check::Lua(check),
    ok: &[Example::Lua("while true do if redis.call('LPOP', KEYS[1]) == false then break end end return 1")],
    bad: &[
        Example::Lua("while true do redis.call('INCR', KEYS[1]) end return 1"),
        Example::Lua("repeat redis.call('INCR', KEYS[1]) until false return 1"),
    ],
};

fn check(lua: &Lua<'_>, told: &mut Told<'_>) {
    for (at, word) in lua.words.iter().enumerate() {
        let starts = match word.text {
            "while" => matches!(lua.text(at + 1), "true" | "1") && lua.text(at + 2) == "do",
            "repeat" => true,
            _ => false,
        };
        if starts && word.literal.is_none() && is_endless(lua, at) {
            told.add_at(
                word.range.clone(),
                "nothing ends this loop, and a script that has written cannot be stopped",
                "count, and leave the loop with `break`",
            );
        }
    }
}

fn is_endless(lua: &Lua<'_>, at: usize) -> bool {
    let (mut depth, mut leaves, mut end) = (0usize, false, at);
    for n in at..lua.words.len() {
        if lua.words[n].literal.is_some() {
            continue;
        }
        match lua.text(n) {
            "do" | "function" | "if" | "repeat" => depth += 1,
            "end" | "until" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    end = n;
                    break;
                }
            }
            "break" | "return" | "error" => leaves = true,
            _ => {}
        }
    }
    let endless = lua.text(at) == "while" || matches!(lua.text(end + 1), "false" | "nil") && lua.text(end) == "until";
    endless && !leaves
}
