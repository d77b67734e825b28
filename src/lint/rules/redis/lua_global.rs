//! Names that nothing declares: Redis refuses to set them, and to read them.

use std::collections::BTreeSet;

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "lua-global",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "Redis refuses global variables",
    },
    check: Check::Lua(check),
    ok: &[Example::Lua(
        "local t = { a = 1, b = 2 } t.a = 3
local function f(x) x = 2 return x end
return f(t.a)",
    )],
    bad: &[
        Example::Lua(
            "x = 1
return x",
        ),
        Example::Lua(
            "function f() end
return 1",
        ),
        Example::Lua("return redis.call('GET', KEYS[1]) == expected"),
        Example::Lua("local json = require('json') return 1"),
    ],
};

/// What Redis gives a script by itself, in some version of those that are supported.
const GLOBALS: [&str; 39] = [
    "ARGV",
    "KEYS",
    "_G",
    "_VERSION",
    "assert",
    "bit",
    "cjson",
    "cmsgpack",
    "collectgarbage",
    "coroutine",
    "error",
    "gcinfo",
    "getfenv",
    "getmetatable",
    "ipairs",
    "load",
    "loadstring",
    "math",
    "next",
    "os",
    "pairs",
    "pcall",
    "print",
    "rawequal",
    "rawget",
    "rawset",
    "redis",
    "select",
    "server",
    "setfenv",
    "setmetatable",
    "string",
    "struct",
    "table",
    "tonumber",
    "tostring",
    "type",
    "unpack",
    "xpcall",
];

fn check(lua: &Lua<'_>, told: &mut Told<'_>) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut braces = 0usize;
    for (at, word) in lua.words.iter().enumerate() {
        if word.literal.is_some() {
            continue;
        }
        match word.text {
            "{" => braces += 1,
            "}" => braces = braces.saturating_sub(1),
            _ => {}
        }
        let before = at.checked_sub(1).map_or("", |n| lua.text(n));
        let assigned = word.is_name
            && braces == 0
            && lua.text(at + 1) == "="
            && !matches!(before, "." | ":" | "," | "local" | "for")
            && !lua.declared.contains(word.text);
        let function = word.text == "function"
            && before != "local"
            && lua.words.get(at + 1).is_some_and(|w| w.is_name && !lua.declared.contains(w.text))
            && lua.text(at + 2) == "(";
        if assigned || function {
            let name = if function { lua.text(at + 1) } else { word.text };
            seen.insert(name);
            let message = format!("`{name}` is a global variable; Redis refuses to set one");
            told.add_at(word.range.clone(), message, "put `local` in front");
            continue;
        }
        let is_field = matches!(before, "." | ":") || (braces > 0 && lua.text(at + 1) == "=");
        let known = lua.declared.contains(word.text) || GLOBALS.contains(&word.text);
        if word.is_name && !is_field && !known && before != "function" && seen.insert(word.text) {
            told.add_at(
                word.range.clone(),
                format!("nothing declares `{}`, and Redis refuses to read a global variable", word.text),
                "declare it with `local`, or take it from KEYS or ARGV; a script knows no files, no modules and no other script",
            );
        }
    }
}
