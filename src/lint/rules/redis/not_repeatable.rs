//! Commands that come to something else when they are done twice, where a later call may fail (R511): what was written
//! stays, and the script is run again as a whole. A script that looks first is believed.

use std::ops::Range;

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
        Example::Lua("local call = redis.pcall for _, key in ipairs(KEYS) do call('APPEND', key, 'x') end return 1"),
        Example::Lua("local function bump(key) return redis.call('INCR', key) end return bump(KEYS[1])"),
        Example::Lua(
            "for _, key in ipairs(KEYS) do redis.call('LTRIM', key, 0, 99) redis.call('LREM', key, 0, 'x') end return 1",
        ),
        Example::Lua("return redis.call('SPOP', KEYS[1])"),
        Example::Lua(
            "while redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') do redis.call('EXPIRE', KEYS[2], 9) end return 1",
        ),
    ],
    bad: &[
        Example::Lua("for _, key in ipairs(KEYS) do redis.call('INCR', key) end return 1"),
        Example::Lua("for n = 1, 9 do if n < 5 then redis.call('HINCRBY', KEYS[1], 'n', 1) end end return 1"),
        Example::Lua("redis.call('RPUSH', KEYS[1], 'a') redis.call('EXPIRE', KEYS[1], 9) return 1"),
        Example::Lua("redis.pcall('RPUSH', KEYS[1], 'a') redis.call('EXPIRE', KEYS[1], 9) return 1"),
        Example::Lua(
            "for _, key in ipairs(KEYS) do redis.pcall('INCR', key) redis.call('EXPIRE', key, 9) end return 1",
        ),
        Example::Lua(
            "for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, 9) redis.pcall('INCR', key) end return 1",
        ),
        Example::Lua("local call = redis.call for _, key in ipairs(KEYS) do call('APPEND', key, 'x') end return 1"),
        Example::Lua(
            "local function bump(key) redis.call('ZINCRBY', key, 1, 'a') end for _, key in ipairs(KEYS) do bump(key) end return 1",
        ),
        Example::Lua(
            "local bump = function(key) return redis.call('INCR', key) end bump(KEYS[1]) return bump(KEYS[2])",
        ),
        Example::Lua("for _, key in ipairs(KEYS) do redis.call('LPOP', key) end return 1"),
        Example::Lua("redis.call('SPOP', KEYS[1]) redis.call('EXPIRE', KEYS[1], 9) return 1"),
        Example::Lua("for _, key in ipairs(KEYS) do redis.call('LTRIM', key, 1, -1) end return 1"),
        Example::Lua(
            "redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') redis.call('EXPIRE', KEYS[2], 9) return 1",
        ),
        Example::Lua("for _, key in ipairs(KEYS) do redis.call('ZADD', key, 'INCR', 1, 'a') end return 1"),
    ],
};

fn check(lua: &Lua<'_>, told: &mut Told<'_>) {
    let repeats = Repeats::of(lua);
    for (n, call) in lua.calls.iter().enumerate() {
        let command = call.command.as_str();
        if let Some(effect) = effect(lua, call, &repeats) {
            let in_loop = repeats.is_in_loop(call.at);
            // In a loop its own next turn may fail, and so may what stands before it.
            let fails =
                |other: &Call| !other.is_guarded && (other.at > call.at || in_loop && repeats.is_in_loop(other.at));
            if in_loop && !call.is_guarded || lua.calls.iter().enumerate().any(|(m, other)| m != n && fails(other)) {
                let what = if in_loop { "one of the next keys" } else { "a later command" };
                let message = match effect {
                    Effect::Adds => {
                        format!("where {what} fails, what `{command}` wrote stays, and the next run writes it again")
                    }
                    Effect::Takes => {
                        format!(
                            "where {what} fails, what `{command}` took out is gone, and the next run takes out more"
                        )
                    }
                };
                told.add_at(
                    lua.words[call.at].range.clone(),
                    message,
                    "look first what was done (`EXISTS`, `TYPE`, a version in the value), or write what stays the same twice (`SET`, `HSET`)",
                );
                return;
            }
        }
        if !call.is_guarded && looks(command) {
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

/// What a command that is done twice does beyond what it did once.
#[derive(Clone, Copy)]
enum Effect {
    /// It writes the same again.
    Adds,
    /// It takes out what the first left.
    Takes,
}

/// Such a command; none where twice comes to the same as once.
fn effect(lua: &Lua<'_>, call: &Call, repeats: &Repeats<'_>) -> Option<Effect> {
    let command = call.command.as_str();
    let says = |word: &str| {
        call.arguments.iter().any(|argument| lua.plain(argument).is_some_and(|text| text.eq_ignore_ascii_case(word)))
    };
    // A minus is a word of its own.
    let number = |n: usize| {
        let argument = call.arguments.get(n)?;
        let digits = lua.plain(&(argument.end.checked_sub(1)?..argument.end))?.parse::<i64>().ok()?;
        match argument.len() {
            1 => Some(digits),
            2 if lua.text(argument.start) == "-" => Some(-digits),
            _ => None,
        }
    };
    let adds = ["INCR", "DECR", "HINCRBY", "LPUSH", "RPUSH"].iter().any(|start| command.starts_with(start));
    match command {
        _ if adds => Some(Effect::Adds),
        "APPEND" | "ZINCRBY" | "LINSERT" => Some(Effect::Adds),
        // An entry with an id of its own is refused the second time.
        "XADD" => says("*").then_some(Effect::Adds),
        "ZADD" => says("INCR").then_some(Effect::Adds),
        "BITFIELD" => says("INCRBY").then_some(Effect::Adds),
        "LPOP" | "RPOP" | "LMPOP" | "SPOP" | "ZPOPMIN" | "ZPOPMAX" | "ZMPOP" | "BLPOP" | "BRPOP" | "BLMPOP"
        | "BZPOPMIN" | "BZPOPMAX" | "BZMPOP" => Some(Effect::Takes),
        // Until nothing is left to move, it may be begun again at any point.
        "RPOPLPUSH" | "LMOVE" | "BRPOPLPUSH" | "BLMOVE" => (!repeats.is_until(call.at)).then_some(Effect::Takes),
        // From the second entry on, or up to the last but one: each run takes one more.
        "LTRIM" => {
            let (first, last) = (number(1)?, number(2)?);
            let is_emptied = first > last && last >= 0;
            (!is_emptied && (first > 0 || last < -1)).then_some(Effect::Takes)
        }
        "LREM" => number(1).is_some_and(|count| count != 0).then_some(Effect::Takes),
        _ => None,
    }
}

/// A loop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loop {
    /// `for`.
    Each,
    /// `while`, `repeat`.
    Until,
}

/// A function with a name of its own.
struct Function<'a> {
    name: &'a str,
    /// The first word of its body, and the one that ends it.
    body: Range<usize>,
}

/// What of a script is carried out more than once.
struct Repeats<'a> {
    /// The innermost loop of each word.
    loops: Vec<Option<Loop>>,
    functions: Vec<Function<'a>>,
    /// Whether each function is called in a loop, or from several places.
    again: Vec<bool>,
}

/// Functions of one script that are followed to their calls.
const MAX_FUNCTIONS: usize = 64;

impl<'a> Repeats<'a> {
    fn of(lua: &Lua<'a>) -> Self {
        let (mut loops, mut functions) = (Vec::with_capacity(lua.words.len()), Vec::new());
        // Each open block: the loop around what stands in it, and the function that it is the body of.
        let mut open: Vec<(Option<Loop>, Option<usize>)> = Vec::new();
        let mut begins = None;
        for (at, word) in lua.words.iter().enumerate() {
            let around = open.last().and_then(|(around, _)| *around);
            // What a `while` asks is asked at every turn, what a `for` goes through once.
            loops.push(begins.filter(|begun| *begun == Loop::Until).or(around));
            if word.literal.is_some() {
                continue;
            }
            let block = match word.text {
                "for" | "while" => {
                    begins = Some(if word.text == "for" { Loop::Each } else { Loop::Until });
                    continue;
                }
                "do" => (begins.take().or(around), None),
                "repeat" => (Some(Loop::Until), None),
                "if" => (around, None),
                "function" => {
                    let name = function_name(lua, at).filter(|_| functions.len() < MAX_FUNCTIONS);
                    functions.extend(name.map(|name| Function { name, body: at..lua.words.len() }));
                    (around, name.map(|_| functions.len() - 1))
                }
                "end" | "until" => {
                    if let Some((_, Some(function))) = open.pop() {
                        functions[function].body.end = at;
                    }
                    continue;
                }
                _ => continue,
            };
            open.push(block);
        }
        let again = vec![false; functions.len()];
        let mut repeats = Self { loops, functions, again };
        repeats.follow(lua);
        repeats
    }

    /// Finds the functions that are called more than once.
    fn follow(&mut self, lua: &Lua<'_>) {
        let is_call = |at: usize| {
            let before = at.checked_sub(1).map_or("", |n| lua.text(n));
            lua.words[at].is_name && lua.text(at + 1) == "(" && !matches!(before, "." | ":" | "function")
        };
        let calls: Vec<(usize, usize)> = (0..lua.words.len())
            .filter(|at| is_call(*at))
            .filter_map(|at| Some((self.functions.iter().position(|f| f.name == lua.text(at))?, at)))
            .collect();
        // A function that is called again calls again what it calls; each turn finds one more at least.
        for _ in 0..=self.functions.len() {
            let mut found = false;
            for function in 0..self.functions.len() {
                let mut of_it = calls.iter().filter(|(called, _)| *called == function);
                let more = of_it.clone().count() > 1 || of_it.any(|(_, at)| self.is_in_loop(*at));
                found |= more && !std::mem::replace(&mut self.again[function], more);
            }
            if !found {
                return;
            }
        }
    }

    /// Whether a word is carried out more than once.
    fn is_in_loop(&self, at: usize) -> bool {
        let again =
            self.functions.iter().zip(&self.again).any(|(function, again)| *again && function.body.contains(&at));
        again || self.loops.get(at).is_some_and(Option::is_some)
    }

    /// Whether a word stands in a loop that ends when something is done.
    fn is_until(&self, at: usize) -> bool {
        self.loops.get(at) == Some(&Some(Loop::Until))
    }
}

/// The name under which the function that begins at a word is called.
fn function_name<'a>(lua: &Lua<'a>, at: usize) -> Option<&'a str> {
    let is_name = |n: usize| lua.words.get(n).is_some_and(|w| w.is_name);
    if is_name(at + 1) {
        return Some(lua.text(at + 1));
    }
    (at >= 2 && lua.text(at - 1) == "=" && is_name(at - 2)).then(|| lua.text(at - 2))
}
