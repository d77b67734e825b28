//! Functions of Lua that the server keeps from scripts, or that its Lua, which is 5.1, has not.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "lua-library",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "A function that the server's Lua does not have",
    },
    check: Check::Lua(check),
    ok: &[
        Example::Lua("local unpack = unpack or table.unpack return redis.call('MGET', unpack(KEYS))"),
        Example::Lua("return math.floor(tonumber(ARGV[1])) .. string.format('%d', 1) .. table.concat({ 'a' })"),
        Example::Lua("local os = { time = function() return 1 end } return os.time()"),
        Example::Lua("local t = { print = 1 } t.print = 2 return t.print"),
        Example::Lua("redis.log(redis.LOG_NOTICE, 'x') return 1"),
    ],
    bad: &[
        Example::Lua("return redis.call('SET', KEYS[1], os.time())"),
        Example::Lua("return os.getenv('HOME')"),
        Example::Lua("local began = os.clock() return began"),
        Example::Lua("print('a') return 1"),
        Example::Lua("return redis.call('MGET', table.unpack(KEYS))"),
        Example::Lua("return math.tointeger(ARGV[1])"),
        Example::Lua("return string.pack('i4', 1)"),
    ],
};

/// What Lua 5.1 has in its libraries (Reference Manual, 5.4 to 5.6), with what it keeps of 5.0.
const LIBRARIES: [(&str, &[&str]); 3] = [
    (
        "string",
        &[
            "byte", "char", "dump", "find", "format", "gfind", "gmatch", "gsub", "len", "lower", "match", "rep",
            "reverse", "sub", "upper",
        ],
    ),
    ("table", &["concat", "foreach", "foreachi", "getn", "insert", "maxn", "remove", "setn", "sort"]),
    (
        "math",
        &[
            "abs",
            "acos",
            "asin",
            "atan",
            "atan2",
            "ceil",
            "cos",
            "cosh",
            "deg",
            "exp",
            "floor",
            "fmod",
            "frexp",
            "ldexp",
            "log",
            "log10",
            "max",
            "min",
            "mod",
            "modf",
            "pow",
            "rad",
            "random",
            "randomseed",
            "sin",
            "sinh",
            "sqrt",
            "tan",
            "tanh",
        ],
    ),
];

fn check(lua: &Lua<'_>, told: &mut Told<'_>) {
    for (at, word) in lua.words.iter().enumerate() {
        let before = at.checked_sub(1).map_or("", |n| lua.text(n));
        if !word.is_name || matches!(before, "." | ":" | "function") || lua.declared.contains(word.text) {
            continue;
        }
        if word.text == "print" && lua.text(at + 1) == "(" {
            let message = "`print` is not there from Redis 7 on; before, it writes where nobody reads";
            told.add_at(word.range.clone(), message, "`redis.log(redis.LOG_NOTICE, …)`, or a value that is returned");
            continue;
        }
        // A field that is only read is nil, and a script may ask for that.
        let (true, Some(field), "(") = (lua.text(at + 1) == ".", lua.words.get(at + 2), lua.text(at + 3)) else {
            continue;
        };
        let range = word.range.start..field.range.end;
        let name = format!("{}.{}", word.text, field.text);
        match word.text {
            // https://github.com/redis/redis/pull/12971
            "os" if field.text == "clock" => {
                let message = "`os.clock` is there from Redis 7.4 on; older servers end the script here";
                let finding = told.add_at(range, message, "take the time from `redis.call('TIME')`");
                (finding.severity, finding.risk) = (Some(Severity::Info), Some(Risk::Low));
            }
            "os" => {
                let help = "take the time from `redis.call('TIME')`, and everything else from ARGV";
                told.add_at(range, format!("the server's Lua has no `{name}`: the script ends here"), help);
            }
            library => {
                let Some((_, functions)) = LIBRARIES.iter().find(|(name, _)| *name == library) else { continue };
                if !functions.contains(&field.text) {
                    let message = format!("the server's Lua is 5.1, which has no `{name}`: the script ends here");
                    let help = "write it with what Lua 5.1 has: `unpack`, `select`, `math.floor`, `struct.pack`";
                    told.add_at(range, message, help);
                }
            }
        }
    }
}
