//! A loop that nothing ends (R507).

use std::collections::BTreeSet;
use std::ops::Range;

use super::prelude::*;
use crate::lint::operations::Word;

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
    ok: &[
        Example::Lua("while true do if redis.call('LPOP', KEYS[1]) == false then break end end return 1"),
        Example::Lua(
            "while true do for n = 1, 9 do if redis.call('LLEN', KEYS[1]) == 0 then return n end end end return 1",
        ),
        Example::Lua("while 1 do if redis.call('LLEN', KEYS[1]) == 0 then error('empty') end end return 1"),
        Example::Lua("local n = 0 while true do n = n + 1 assert(n < 9) end return n"),
        Example::Lua("local left = 9 while left do left = redis.call('LPOP', KEYS[1]) end return 1"),
        Example::Lua("local a, left = 1, 9 while left do left, a = redis.call('LPOP', KEYS[1]), 2 end return a"),
        Example::Lua(
            "local left = 9 local function pop() left = redis.call('LPOP', KEYS[1]) end while left do pop() end return 1",
        ),
        Example::Lua("local n = 0 while n < 10 do redis.call('INCR', KEYS[1]) n = n + 1 end return n"),
        Example::Lua("local n, t = 0, {} while n < #t do t[#t] = nil end return n"),
        Example::Lua(
            "local n = 0 while n < tonumber(redis.call('LLEN', KEYS[1])) do redis.call('LPOP', KEYS[1]) end return n",
        ),
        Example::Lua("local t = { n = 0 } while t.n < 10 do t.n = t.n + 1 end return t.n"),
        Example::Lua("local n = 0 local function step() n = n + 1 end while n < 10 do step() end return n"),
        Example::Lua(
            "local n = 0 local function stop() error('enough') end while n < 10 do if redis.call('LLEN', KEYS[1]) == 0 then stop() end end return n",
        ),
        Example::Lua("local n = 0 while n < 10 do if redis.call('LLEN', KEYS[1]) == 0 then break end end return n"),
        Example::Lua("local done = false repeat done = redis.call('LLEN', KEYS[1]) == 0 until done return 1"),
        Example::Lua("repeat local left = redis.call('LPOP', KEYS[1]) until nil == left or false return 1"),
        Example::Lua("for n = 1, math.huge do if redis.call('LLEN', KEYS[1]) < n then break end end return 1"),
        Example::Lua("for n = 1, math.huge, -1 do redis.call('INCR', KEYS[1]) end return 1"),
    ],
    bad: &[
        Example::Lua("while true do redis.call('INCR', KEYS[1]) end return 1"),
        Example::Lua("while 1 do redis.call('INCR', KEYS[1]) end return 1"),
        Example::Lua("while (not nil) do redis.call('INCR', KEYS[1]) end return 1"),
        Example::Lua(
            "while true do for n = 1, 9 do if redis.call('LLEN', KEYS[1]) == n then break end end end return 1",
        ),
        Example::Lua(
            "while true do local f = function() return 1 end redis.call('SET', KEYS[1], f(), 'KEEPTTL') end return 1",
        ),
        Example::Lua("local go = true while go do redis.call('INCR', KEYS[1]) end return 1"),
        Example::Lua("local n = 0 while n < 10 do redis.call('INCR', KEYS[1]) end return n"),
        Example::Lua(
            "local n, m = 0, 10 while (n + 1 < m) and not (m == 3) do local k = n redis.call('SET', KEYS[1], k) end return n",
        ),
        Example::Lua("local n = 0 while n ~= 5 do for i = 1, 9 do redis.call('INCRBY', KEYS[1], i) end end return n"),
        Example::Lua("local done while not done do redis.call('INCR', KEYS[1]) end return 1"),
        Example::Lua("repeat redis.call('INCR', KEYS[1]) until false return 1"),
        Example::Lua("repeat redis.call('INCR', KEYS[1]) until nil return 1"),
        Example::Lua("for n = 1, math.huge do redis.call('INCR', KEYS[1]) end return 1"),
        Example::Lua("for n = 1, 1 / 0 do redis.call('INCR', KEYS[1]) end return 1"),
    ],
};

fn check(lua: &Lua<'_>, told: &mut Told<'_>) {
    let set_in_functions = set_in_functions(lua);
    for (at, word) in lua.words.iter().enumerate() {
        let body = match word.text {
            "while" => endless_while(lua, at, &set_in_functions),
            "repeat" => endless_repeat(lua, at),
            "for" => endless_for(lua, at),
            _ => None,
        };
        if body.is_some_and(|body| !leaves(lua, body.clone()) && !may_raise(lua, body)) {
            told.add_at(
                word.range.clone(),
                "nothing ends this loop, and a script that has written cannot be stopped",
                "count, and leave the loop with `break`",
            );
        }
    }
}

/// The body of a `while` whose condition stays as it is.
fn endless_while(lua: &Lua<'_>, at: usize, set_in_functions: &BTreeSet<&str>) -> Option<Range<usize>> {
    let open = head_end(lua, at)?;
    let body = body(lua, open)?;
    let condition = without_brackets(lua, at + 1..open);
    // A function that is called in the loop may set the local, wherever it stands.
    let stays = is_true(lua, condition.clone())
        || locals(lua, condition).is_some_and(|names| {
            let is_given = |at: usize| names.contains(lua.text(at)) && is_set(lua, at);
            names.is_disjoint(set_in_functions) && !body.clone().any(is_given)
        });
    stays.then_some(body)
}

/// The body of a `repeat … until false`.
fn endless_repeat(lua: &Lua<'_>, at: usize) -> Option<Range<usize>> {
    let body = body(lua, at)?;
    let condition = body.end + 1;
    // `until nil == x` is another matter.
    let ends = !matches!(
        lua.text(condition + 1),
        "==" | "~=" | "<" | ">" | "<=" | ">=" | "or" | ".." | "+" | "-" | "*" | "/" | "%" | "^"
    );
    (matches!(lua.text(condition), "false" | "nil") && ends).then_some(body)
}

/// The body of a `for i = 1, math.huge`.
fn endless_for(lua: &Lua<'_>, at: usize) -> Option<Range<usize>> {
    let open = head_end(lua, at)?;
    if lua.text(at + 2) != "=" {
        return None;
    }
    let words: Vec<&str> = (at + 3..open).map(|n| lua.text(n)).collect();
    let limit = words.iter().position(|word| *word == ",")? + 1;
    let no_end = matches!(words[limit..], ["math", ".", "huge"] | ["1", "/", "0"]);
    let counts_up = matches!(words[limit..], ["math", ".", "huge", ",", step] if is_number(step));
    if no_end || counts_up { body(lua, open) } else { None }
}

/// The `do` that ends the head of a loop; none where the head holds a function.
fn head_end(lua: &Lua<'_>, at: usize) -> Option<usize> {
    let end = (at + 1..lua.words.len()).find(|n| matches!(lua.text(*n), "do" | "function"))?;
    (lua.text(end) == "do").then_some(end)
}

/// The words between the word that opens a block and the one that closes it.
fn body(lua: &Lua<'_>, open: usize) -> Option<Range<usize>> {
    let mut depth = 0usize;
    for at in open..lua.words.len() {
        match lua.text(at) {
            "do" | "function" | "if" | "repeat" => depth += 1,
            "end" | "until" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(open + 1..at);
                }
            }
            _ => {}
        }
    }
    None
}

fn without_brackets(lua: &Lua<'_>, mut words: Range<usize>) -> Range<usize> {
    while words.len() > 2 && lua.text(words.start) == "(" && lua.text(words.end - 1) == ")" {
        words = words.start + 1..words.end - 1;
    }
    words
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether an expression is a constant that counts as true: all but `false` and `nil`.
fn is_true(lua: &Lua<'_>, expression: Range<usize>) -> bool {
    match lua.words.get(expression) {
        Some([one]) => one.literal.is_some() || one.text == "true" || is_number(one.text),
        Some([not, one]) => not.text == "not" && matches!(one.text, "false" | "nil"),
        Some(_) | None => false,
    }
}

/// The locals that an expression is made of, where it is made of nothing but those and of what stands there: it comes to
/// something else only where one of them is given another value.
fn locals<'a>(lua: &Lua<'a>, expression: Range<usize>) -> Option<BTreeSet<&'a str>> {
    let mut names = BTreeSet::new();
    for at in expression.clone() {
        let word = lua.words.get(at)?;
        let is_behind_value = at > expression.start && {
            let before = &lua.words[at - 1];
            before.is_name || before.literal.is_some() || matches!(before.text, ")" | "]")
        };
        match word.text {
            // What stands behind a value is a call, or is looked up in it.
            _ if is_behind_value && (word.literal.is_some() || matches!(word.text, "(" | "{" | "[" | "." | ":")) => {
                return None;
            }
            _ if word.literal.is_some() || is_number(word.text) => {}
            name if word.is_name && lua.declared.contains(name) => {
                names.insert(name);
            }
            "(" | ")" | "not" | "and" | "or" | "==" | "~=" | "<" | "<=" | ">" | ">=" | "+" | "-" | "*" | "/" | "%"
            | "^" | ".." | "true" | "false" | "nil" => {}
            _ => return None,
        }
    }
    (!names.is_empty()).then_some(names)
}

/// Whether one of the script's functions raises an error, and a loop's body calls one.
fn may_raise(lua: &Lua<'_>, body: Range<usize>) -> bool {
    let functions = (0..lua.words.len()).filter(|at| lua.text(*at) == "function");
    let raises =
        functions.filter_map(|at| self::body(lua, at)).flatten().any(|at| matches!(lua.text(at), "error" | "assert"));
    raises && body.into_iter().any(|at| lua.declared.contains(lua.text(at)) && lua.text(at + 1) == "(")
}

/// The names that functions give a value.
fn set_in_functions<'a>(lua: &Lua<'a>) -> BTreeSet<&'a str> {
    let begins = (0..lua.words.len()).filter(|at| lua.text(*at) == "function");
    let within = begins.filter_map(|at| body(lua, at)).flatten();
    within.filter(|at| lua.words[*at].is_name && is_set(lua, *at)).map(|at| lua.text(at)).collect()
}

/// How long a list of names is looked through; what is longer may be anything.
const LIST: usize = 64;

/// Whether a name is given a value at a word, alone or in a list.
fn is_set(lua: &Lua<'_>, at: usize) -> bool {
    if at > 0 && matches!(lua.text(at - 1), "." | ":") {
        return false;
    }
    let in_list = |word: &Word<'_>| {
        word.is_name || word.literal.is_some() || matches!(word.text, "," | "." | "[" | "]") || is_number(word.text)
    };
    let end = (at + 1..lua.words.len()).take(LIST).find(|n| !in_list(&lua.words[*n]));
    matches!(lua.text(at + 1), "," | "=") && end.is_none_or(|n| lua.text(n) == "=")
}

/// A block that is open.
#[derive(PartialEq, Eq)]
enum Block {
    Loop,
    Function,
    Other,
}

/// Whether something in a loop's body leads out of it. What stands behind a condition is believed to be reached.
fn leaves(lua: &Lua<'_>, body: Range<usize>) -> bool {
    let (mut open, mut loop_begins) = (Vec::new(), false);
    for at in body {
        match lua.text(at) {
            "for" | "while" => loop_begins = true,
            "do" => open.push(if std::mem::take(&mut loop_begins) { Block::Loop } else { Block::Other }),
            "repeat" => open.push(Block::Loop),
            "function" => open.push(Block::Function),
            "if" => open.push(Block::Other),
            "end" | "until" => {
                open.pop();
            }
            // It leaves the innermost loop.
            "break" if open.iter().all(|block| *block == Block::Other) => return true,
            "return" if !open.contains(&Block::Function) => return true,
            // A function that raises an error may be called here.
            "error" | "assert" if !matches!(lua.text(at - 1), "." | ":") => return true,
            _ => {}
        }
    }
    false
}
