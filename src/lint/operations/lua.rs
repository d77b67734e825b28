//! What is wrong with a Lua script that Redis is to run, or dangerous.
//!
//! full_moon tells whether it compiles; the rest is read from its tokens, so that nothing is reported that does not stand
//! there word by word.

mod commands;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use full_moon::LuaVersion;
use full_moon::tokenizer::Lexer;

use self::commands::{adds_up, keys_of, looks, writes};
use self::words::{Word, depth, words};
use super::rules;
use crate::lint::rules::SECRET_LITERAL;
use crate::lint::script::Finding;
use crate::lint::{secrets, table};
use crate::migration::operations::lua::OPAQUE;

/// Scripts above this many bytes are not looked into; Redis itself takes larger ones badly.
const MAX_SCRIPT: usize = 1024 * 1024;
/// Levels of brackets, blocks and operators that the parser is given (it recurses once or more per level).
const MAX_DEPTH: usize = 200;

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

/// Looks at `source`.
pub(super) fn check(source: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    if source.len() > MAX_SCRIPT {
        let message = format!("the script has {} bytes; nothing in it was looked at", source.len());
        return vec![super::finding(&table::NOT_ANALYSED, 0..0, message, "split it")];
    }
    let tokens = match Lexer::new(source, LuaVersion::new()).collect() {
        full_moon::tokenizer::LexerResult::Ok(tokens) => tokens,
        full_moon::tokenizer::LexerResult::Fatal(errors) | full_moon::tokenizer::LexerResult::Recovered(_, errors) => {
            found.extend(errors.first().map(|e| syntax(source, e.range().0.bytes(), &e.error().to_string())));
            return found;
        }
    };
    let words = words(source, &tokens);
    if depth(&words) > MAX_DEPTH {
        let message = format!("the script nests more than {MAX_DEPTH} levels deep; nothing in it was looked at");
        let mut unseen = super::finding(&table::NOT_ANALYSED, 0..0, message, "make it flatter");
        unseen.severity = Some(crate::lint::Severity::Error);
        return vec![unseen];
    }
    if let Some(error) = full_moon::parse_fallible(source, LuaVersion::new()).errors().first() {
        found.push(syntax(source, error.range().0.bytes(), &error.error_message()));
        return found;
    }
    let script = Lua::new(&words);
    script.calls(&mut found);
    script.globals(&mut found);
    script.hidden(&mut found);
    script.loops(&mut found);
    script.repeats(&mut found);
    if !script.returns() {
        found.push(super::finding(
            &rules::NO_RETURN,
            0..0,
            "the script returns nothing, so nothing tells how many keys it changed".to_owned(),
            "count what it changes and `return` the number",
        ));
    }
    let pasted = |w: &&Word<'_>| w.literal.as_deref().is_some_and(|l| l.contains("${") || l.contains("{{"));
    found.extend(words.iter().filter(pasted).map(|w| {
        let message = format!(
            "`{}` is filled in before the script is sent: each value makes another script, and Redis keeps them all",
            cut(w.text)
        );
        super::finding(
            &rules::VALUES_IN_SCRIPT,
            w.range.clone(),
            message,
            "pass values in `args` and read them from ARGV",
        )
    }));
    let secret = words.iter().filter(|w| w.literal.as_deref().is_some_and(crate::redact::looks_secret));
    found.extend(secret.map(|w| w.range.clone()).chain(secrets::in_lua(source)).map(|range| {
        let help = "take it out of the file and change it where it is used: what is committed is known";
        super::finding(&SECRET_LITERAL.info, range, "a literal holds a secret [S4-81]".to_owned(), help)
    }));
    found.sort_by_key(|f| f.range.start);
    found
}

fn syntax(source: &str, at: usize, message: &str) -> Finding {
    let at = at.min(source.len());
    super::finding(&rules::LUA_SYNTAX, at..at, format!("the script does not compile: {message}"), "Redis runs Lua 5.1")
}

/// The table that has `call`: its name, and the other one that newer servers give it.
fn is_server(name: &str) -> bool {
    matches!(name, "redis" | "server")
}

/// How a word leads to a command.
enum Way {
    /// A call, whose bracket opens there.
    Call(usize),
    /// What is called cannot be seen.
    HandedOn,
    /// Not at all.
    None,
}

/// A script as its words, with the names it declares.
struct Lua<'a> {
    words: &'a [Word<'a>],
    /// Names of locals, parameters and loop variables.
    declared: BTreeSet<&'a str>,
    /// Locals that stand for `redis.call`.
    callers: BTreeSet<&'a str>,
    /// Locals that are set to a key which does not come from KEYS.
    made_up: BTreeMap<&'a str, String>,
}

impl<'a> Lua<'a> {
    fn new(words: &'a [Word<'a>]) -> Self {
        let mut script = Self { words, declared: BTreeSet::new(), callers: BTreeSet::new(), made_up: BTreeMap::new() };
        for at in 0..words.len() {
            match script.text(at) {
                "local" | "for" => {
                    let first = if script.text(at + 1) == "function" { at + 2 } else { at + 1 };
                    let mut n = first;
                    while words.get(n).is_some_and(|w| w.is_name) {
                        script.declared.insert(words[n].text);
                        if script.text(n + 1) != "," {
                            break;
                        }
                        n += 2;
                    }
                    if script.text(at) == "local" && n == first && script.text(n + 1) == "=" {
                        script.local(words[first].text, n + 2);
                    }
                }
                "function" => {
                    let mut n = at + 1;
                    while n < words.len() && script.text(n) != "(" {
                        n += 1;
                    }
                    while n < words.len() && script.text(n) != ")" {
                        if words[n].is_name {
                            script.declared.insert(words[n].text);
                        }
                        n += 1;
                    }
                }
                _ => {}
            }
        }
        script
    }

    /// What `local name = …` says of the name; the value begins at word `at`.
    fn local(&mut self, name: &'a str, at: usize) {
        if is_server(self.text(at)) && self.text(at + 1) == "." && matches!(self.text(at + 2), "call" | "pcall") {
            if self.text(at + 3) != "(" {
                self.callers.insert(name);
            }
            return;
        }
        let end = self.end_of_operand(at);
        if let Some(key) = self.made_up_key(at..end) {
            self.made_up.insert(name, key);
        }
    }

    /// The word behind an expression that begins at `at`, as far as plain operands joined by `..` go.
    fn end_of_operand(&self, at: usize) -> usize {
        let (mut n, mut open) = (at, 0usize);
        while let Some(word) = self.words.get(n) {
            match word.text {
                "(" | "[" | "{" => open += 1,
                ")" | "]" | "}" if open == 0 => break,
                ")" | "]" | "}" => open -= 1,
                _ if open > 0 => {}
                "," | ";" => break,
                ".." | "." => {}
                _ if n > at && !matches!(self.text(n - 1), ".." | ".") && word.text != ".." => break,
                _ => {}
            }
            n += 1;
        }
        n
    }

    fn text(&self, at: usize) -> &'a str {
        self.words.get(at).map_or("", |w| w.text)
    }

    /// Why the expression of these words is no key from KEYS, as far as that is certain: a literal, or built.
    fn made_up_key(&self, range: Range<usize>) -> Option<String> {
        let words = self.words.get(range.clone())?;
        match words {
            [one] => match &one.literal {
                Some(literal) => Some(format!("the literal `{}`", cut(literal))),
                None if one.is_name => self.made_up.get(one.text).cloned(),
                None => None,
            },
            _ => {
                let mut open = 0usize;
                let joined = words.iter().any(|w| {
                    match w.text {
                        "(" | "[" | "{" if w.literal.is_none() => open += 1,
                        ")" | "]" | "}" if w.literal.is_none() => open = open.saturating_sub(1),
                        _ => {}
                    }
                    open == 0 && w.literal.is_none() && w.text == ".."
                });
                joined.then(|| "a name that is built".to_owned())
            }
        }
    }

    /// Judges every `redis.call` and `redis.pcall`.
    fn calls(&self, found: &mut Vec<Finding>) {
        let mut chance: Option<String> = None;
        for at in 0..self.words.len() {
            let open = match self.way_to_server(at) {
                Way::Call(open) => open,
                Way::HandedOn => {
                    found.push(super::finding(
                        &table::NOT_ANALYSED,
                        self.words[at].range.clone(),
                        "`redis.call` is reached another way here: nothing is known of what is called".to_owned(),
                        "call it where the command stands: `redis.call('HSET', …)`",
                    ));
                    continue;
                }
                Way::None => continue,
            };
            let arguments = self.arguments_of(open);
            let range = self.words[at].range.start..self.words.get(open).map_or(0, |w| w.range.end);
            let Some(command) = arguments.first().and_then(|r| match self.words.get(r.clone())? {
                [one] => one.literal.clone(),
                _ => None,
            }) else {
                found.push(super::finding(
                    &table::NOT_ANALYSED,
                    range,
                    "which command this calls is made up while it runs: nothing is known of what it does".to_owned(),
                    "write the command out: `redis.call('HSET', …)`",
                ));
                continue;
            };
            let command = command.to_ascii_uppercase();
            self.call(&command, &arguments[1..], &range, found);
            if let Some(source) = chance.take_if(|_| writes(&command)) {
                found.push(super::finding(
                    &rules::RANDOM_BEFORE_WRITE,
                    range,
                    format!(
                        "`{command}` writes after `{source}`: each run, and an old replica, may write something else"
                    ),
                    "pass what must be the same every time as ARGV",
                ));
            } else if matches!(command.as_str(), "TIME" | "RANDOMKEY" | "SRANDMEMBER" | "HRANDFIELD" | "ZRANDMEMBER") {
                chance = Some(command);
            }
        }
    }

    /// Whether a command is called at a word, or might be.
    fn way_to_server(&self, at: usize) -> Way {
        let before = at.checked_sub(1).map_or("", |n| self.text(n));
        if !self.words[at].is_name || matches!(before, "." | ":") {
            return Way::None;
        }
        if self.callers.contains(self.text(at)) {
            return match (before, self.text(at + 1)) {
                ("local", _) | (_, "=") => Way::None,
                (_, "(") => Way::Call(at + 1),
                _ => Way::HandedOn,
            };
        }
        if !is_server(self.text(at)) || self.declared.contains(self.text(at)) {
            return Way::None;
        }
        match (self.text(at + 1), self.text(at + 2), self.text(at + 3)) {
            (".", "call" | "pcall", "(") => Way::Call(at + 3),
            // The local name is a caller, and is looked for.
            (".", "call" | "pcall", _) if before == "=" && at > 2 && self.callers.contains(self.text(at - 2)) => {
                Way::None
            }
            (".", "call" | "pcall", _) => Way::HandedOn,
            // `redis.log`, `redis.sha1hex`; a field of a table.
            ("." | "=", ..) => Way::None,
            _ => Way::HandedOn,
        }
    }

    /// The words of each argument of a call whose bracket opens at `open`.
    fn arguments_of(&self, open: usize) -> Vec<Range<usize>> {
        let (mut depth, mut from, mut out) = (0usize, open + 1, Vec::new());
        for n in open..self.words.len() {
            if self.words[n].literal.is_some() {
                continue;
            }
            match self.text(n) {
                "(" | "[" | "{" | "function" => depth += 1,
                ")" | "]" | "}" | "end" => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        if n > from {
                            out.push(from..n);
                        }
                        break;
                    }
                }
                "," if depth == 1 => {
                    out.push(from..n);
                    from = n + 1;
                }
                _ => {}
            }
        }
        out
    }

    fn call(&self, command: &str, arguments: &[Range<usize>], at: &Range<usize>, found: &mut Vec<Finding>) {
        let mut add = |rule, message: String, help: &str| found.push(super::finding(rule, at.clone(), message, help));
        match command {
            "KEYS" => add(
                &rules::KEYS_COMMAND,
                "`KEYS` looks at every key of the database while everything else waits".to_owned(),
                "give the pattern as `keys: {\"match\": …}`: the script is then called for each batch that SCAN finds",
            ),
            "FLUSHALL" | "FLUSHDB" | "SWAPDB" => add(
                &rules::FLUSH_COMMAND,
                format!("`{command}` empties or swaps whole databases"),
                "delete the keys that are meant, by their names: `delete_keys`",
            ),
            "SCAN" => add(
                &rules::SCAN_IN_SCRIPT,
                "a script that walks the keys stops everything else until it is through".to_owned(),
                "give the pattern as `keys: {\"match\": …}`: the script is then called for each batch that SCAN finds",
            ),
            "CONFIG" | "DEBUG" | "SHUTDOWN" | "SCRIPT" | "MIGRATE" | "ACL" | "REPLICAOF" | "SLAVEOF" | "CLUSTER"
            | "FAILOVER" | "MODULE" | "SAVE" | "BGSAVE" | "BGREWRITEAOF" | "CLIENT" | "LATENCY" | "MONITOR" => add(
                &rules::ADMIN_COMMAND,
                format!("`{command}` administers the server, which a migration must not do"),
                "have whoever runs the server do it",
            ),
            "AUTH" | "DISCARD" | "EVAL" | "EVALSHA" | "EVALSHA_RO" | "EVAL_RO" | "EXEC" | "FCALL" | "FCALL_RO"
            | "HELLO" | "MULTI" | "PSUBSCRIBE" | "PSYNC" | "PUNSUBSCRIBE" | "QUIT" | "RESET" | "SSUBSCRIBE"
            | "SUBSCRIBE" | "SUNSUBSCRIBE" | "SYNC" | "UNSUBSCRIBE" | "UNWATCH" | "WATCH" => add(
                &rules::REFUSED_IN_SCRIPT,
                format!("Redis does not let a script call `{command}`"),
                "a script is one transaction by itself; what another script does belongs into this one",
            ),
            "DEL" => add(
                &rules::BIG_KEY_COMMAND,
                "`DEL` frees a large key while everything else waits".to_owned(),
                "`UNLINK` frees it in the background",
            ),
            "HGETALL" | "SMEMBERS" | "HKEYS" | "HVALS" | "SORT" => add(
                &rules::BIG_KEY_COMMAND,
                format!("`{command}` reads the whole key while everything else waits"),
                "read what is needed, or in parts",
            ),
            "LRANGE" | "ZRANGE" if self.is_number(arguments.get(1), "0") && self.is_number(arguments.get(2), "-1") => {
                add(
                    &rules::BIG_KEY_COMMAND,
                    format!("`{command}` from 0 to -1 reads the whole key while everything else waits"),
                    "read it in parts",
                );
            }
            "RENAME" => add(
                &rules::RENAME_OVER_KEY,
                "`RENAME` drops the key that has the new name, if there is one".to_owned(),
                "`RENAMENX` leaves it alone and says so",
            ),
            "SET" => {
                let options: Vec<String> = arguments
                    .iter()
                    .skip(2)
                    .flat_map(|r| &self.words[r.clone()])
                    .filter_map(|w| w.literal.clone())
                    .collect();
                // What is not written out may be `KEEPTTL` as well.
                let unknown = arguments.iter().skip(2).any(|r| self.words[r.clone()].iter().any(|w| w.is_name));
                let keeps = unknown
                    || options.iter().any(|o| {
                        ["KEEPTTL", "EX", "PX", "EXAT", "PXAT", "NX"].iter().any(|k| o.eq_ignore_ascii_case(k))
                    });
                if !keeps {
                    add(
                        &rules::LOST_EXPIRY,
                        "`SET` takes away the lifetime that the key has".to_owned(),
                        "add `'KEEPTTL'`, or give the lifetime with `'EX'`",
                    );
                }
            }
            _ => {}
        }
        for argument in keys_of(command, arguments) {
            if let Some(what) = self.made_up_key(argument.clone()) {
                found.push(super::finding(
                    &rules::UNDECLARED_KEY,
                    at.clone(),
                    format!("the key of `{command}` is {what}, not one of KEYS: a cluster cannot route it"),
                    "name every key in `keys`, and take it from KEYS in the script",
                ));
                break;
            }
        }
    }

    /// Whether an argument is this number, in quotes or not.
    fn is_number(&self, argument: Option<&Range<usize>>, number: &str) -> bool {
        let Some(words) = argument.and_then(|r| self.words.get(r.clone())) else { return false };
        match words {
            [one] => one.literal.as_deref().unwrap_or(one.text) == number,
            [sign, one] => sign.text == "-" && number.strip_prefix('-') == Some(one.text),
            _ => false,
        }
    }

    /// What leads to commands that nobody sees, or around the look at them.
    fn hidden(&self, found: &mut Vec<Finding>) {
        for (at, word) in self.words.iter().enumerate() {
            let is_field = at > 0 && matches!(self.text(at - 1), "." | ":");
            if !word.is_name || is_field || self.declared.contains(word.text) {
                continue;
            }
            if word.text == "_G" || OPAQUE.contains(&word.text) {
                found.push(super::finding(
                    &table::NOT_ANALYSED,
                    word.range.clone(),
                    format!("what is reached by `{}` cannot be seen: nothing is known of what is called", word.text),
                    "write out what is to be done: `redis.call('HSET', …)`",
                ));
            }
        }
    }

    /// Names that nothing declares: Redis refuses to set them, and to read them.
    fn globals(&self, found: &mut Vec<Finding>) {
        let mut told: BTreeSet<&str> = BTreeSet::new();
        let mut braces = 0usize;
        for (at, word) in self.words.iter().enumerate() {
            if word.literal.is_some() {
                continue;
            }
            match word.text {
                "{" => braces += 1,
                "}" => braces = braces.saturating_sub(1),
                _ => {}
            }
            let before = at.checked_sub(1).map_or("", |n| self.text(n));
            let assigned = word.is_name
                && braces == 0
                && self.text(at + 1) == "="
                && !matches!(before, "." | ":" | "," | "local" | "for")
                && !self.declared.contains(word.text);
            let function = word.text == "function"
                && before != "local"
                && self.words.get(at + 1).is_some_and(|w| w.is_name && !self.declared.contains(w.text))
                && self.text(at + 2) == "(";
            if assigned || function {
                let name = if function { self.text(at + 1) } else { word.text };
                let message = format!("`{name}` is a global variable; Redis refuses to set one");
                told.insert(name);
                found.push(super::finding(&rules::LUA_GLOBAL, word.range.clone(), message, "put `local` in front"));
                continue;
            }
            let is_field = matches!(before, "." | ":") || (braces > 0 && self.text(at + 1) == "=");
            let known = self.declared.contains(word.text) || GLOBALS.contains(&word.text);
            if word.is_name && !is_field && !known && before != "function" && told.insert(word.text) {
                let message = format!("nothing declares `{}`, and Redis refuses to read a global variable", word.text);
                let help = "declare it with `local`, or take it from KEYS or ARGV; a script knows no files, no modules and no other script";
                found.push(super::finding(&rules::LUA_GLOBAL, word.range.clone(), message, help));
            }
        }
    }

    /// Commands that come to something else when they are done twice, where a later call may fail: what was written stays,
    /// and the script is run again as a whole. A script that looks first is believed (R511).
    fn repeats(&self, found: &mut Vec<Finding>) {
        let calls: Vec<(usize, String)> = (0..self.words.len())
            .filter_map(|at| {
                let Way::Call(open) = self.way_to_server(at) else { return None };
                if self.text(open - 1) == "pcall" {
                    return None;
                }
                let name = self.arguments_of(open).into_iter().next()?;
                let [one] = self.words.get(name)? else { return None };
                Some((at, one.literal.as_ref()?.to_ascii_uppercase()))
            })
            .collect();
        for (n, (at, command)) in calls.iter().enumerate() {
            if looks(command) {
                return;
            }
            let in_loop = self.is_in_loop(*at);
            if adds_up(command) && (in_loop || n + 1 < calls.len()) {
                let what = if in_loop { "one of the next keys" } else { "a later command" };
                let message =
                    format!("where {what} fails, what `{command}` wrote stays, and the next run writes it again");
                let help = "look first what was done (`EXISTS`, `TYPE`, a version in the value), or write what stays the same twice (`SET`, `HSET`)";
                found.push(super::finding(&rules::NOT_REPEATABLE, self.words[*at].range.clone(), message, help));
                return;
            }
        }
    }

    /// Whether a word stands within a loop.
    fn is_in_loop(&self, at: usize) -> bool {
        let (mut blocks, mut loop_begins) = (Vec::new(), false);
        for word in self.words[..at].iter().filter(|w| w.literal.is_none()) {
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

    /// `while true do` and `repeat … until false` that nothing leaves.
    fn loops(&self, found: &mut Vec<Finding>) {
        for at in 0..self.words.len() {
            let starts = match self.text(at) {
                "while" => matches!(self.text(at + 1), "true" | "1") && self.text(at + 2) == "do",
                "repeat" => true,
                _ => false,
            };
            if !starts || self.words[at].literal.is_some() {
                continue;
            }
            let (mut depth, mut leaves, mut end) = (0usize, false, at);
            for n in at..self.words.len() {
                if self.words[n].literal.is_some() {
                    continue;
                }
                match self.text(n) {
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
            let endless =
                self.text(at) == "while" || matches!(self.text(end + 1), "false" | "nil") && self.text(end) == "until";
            if endless && !leaves {
                found.push(super::finding(
                    &rules::ENDLESS_LOOP,
                    self.words[at].range.clone(),
                    "nothing ends this loop, and a script that has written cannot be stopped".to_owned(),
                    "count, and leave the loop with `break`",
                ));
            }
        }
    }

    /// Whether it returns something at its end.
    fn returns(&self) -> bool {
        let mut depth = 0usize;
        self.words.iter().filter(|w| w.literal.is_none()).any(|word| {
            match word.text {
                "do" | "function" | "if" | "repeat" => depth += 1,
                "end" | "until" => depth = depth.saturating_sub(1),
                _ => {}
            }
            word.text == "return" && depth == 0
        })
    }
}

fn cut(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}
