//! A Lua script that Redis is to run, taken apart for the rules that judge it.
//!
//! full_moon tells whether it compiles; the rest is read from its tokens, so that nothing is reported that does not stand
//! there word by word.

mod origins;
mod syntax;
mod variables;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use full_moon::LuaVersion;
use full_moon::tokenizer::{Lexer, LexerResult};

use self::words::{depth, words};
use crate::lint::rules::SECRET_LITERAL;
use crate::lint::rules::operation::{Check, asked};
use crate::lint::script::Finding;
use crate::lint::{Severity, secrets, table};
use crate::migration::operations::lua::{Loss, OPAQUE, losses};

pub(in crate::lint) use self::words::Word;

/// Scripts above this many bytes are not looked into; Redis itself takes larger ones badly.
const MAX_SCRIPT: usize = 1024 * 1024;
/// Levels of brackets, blocks and operators that the parser is given (it recurses once or more per level).
const MAX_DEPTH: usize = 200;

/// Looks at `source`.
pub(super) fn check(source: &str) -> Vec<Finding> {
    if source.len() > MAX_SCRIPT {
        let message = format!("the script has {} bytes; nothing in it was looked at", source.len());
        return vec![Finding::new(&table::NOT_ANALYSED, 0..0, message).with_help("split it")];
    }
    let tokens = match Lexer::new(source, LuaVersion::new()).collect() {
        LexerResult::Ok(tokens) => tokens,
        LexerResult::Fatal(errors) | LexerResult::Recovered(_, errors) => {
            let first = errors.first();
            return first.map(|e| refused(source, e.range().0.bytes(), &e.error().to_string())).unwrap_or_default();
        }
    };
    let words = words(source, &tokens);
    if depth(&words) > MAX_DEPTH {
        let message = format!("the script nests more than {MAX_DEPTH} levels deep; nothing in it was looked at");
        let mut unseen = Finding::new(&table::NOT_ANALYSED, 0..0, message).with_help("make it flatter");
        unseen.severity = Some(Severity::Error);
        return vec![unseen];
    }
    let parsed = full_moon::parse_fallible(source, LuaVersion::new());
    if let Some(error) = parsed.errors().first() {
        return refused(source, error.range().0.bytes(), &error.error_message());
    }
    let mut found = Vec::new();
    let script = Lua::new(source, &words, origins::made_up(parsed.ast()), &mut found);
    script.hidden(&mut found);
    found.extend(asked(&(0..0), |check, told| match check {
        Check::Lua(check) => check(&script, told),
        Check::Call(check) => {
            for call in &script.calls {
                told.at = call.range.clone();
                check(&script, call, told);
            }
        }
        _ => {}
    }));
    let secret = words.iter().filter(|w| w.literal.as_deref().is_some_and(crate::redact::looks_secret));
    found.extend(secret.map(|w| w.range.clone()).chain(secrets::in_lua(source)).map(|range| {
        let help = "take it out of the file and change it where it is used: what is committed is known";
        Finding::new(&SECRET_LITERAL.info, range, "a literal holds a secret [S4-81]").with_help(help)
    }));
    found.sort_by_key(|f| f.range.start);
    found
}

/// What there is to say of a script that does not compile.
fn refused(source: &str, at: usize, why: &str) -> Vec<Finding> {
    let at = at.min(source.len());
    asked(&(at..at), |check, told| {
        if let Check::Refused(check) = check {
            check(why, told);
        }
    })
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

/// A command that a script calls by its name.
pub(in crate::lint) struct Call {
    /// The word at which the call begins.
    pub at: usize,
    /// From there to its bracket.
    pub range: Range<usize>,
    /// The command in capitals.
    pub command: String,
    /// The words of each argument behind the command.
    pub arguments: Vec<Range<usize>>,
    /// Whether a refusal is handed to the script (`pcall`).
    pub is_guarded: bool,
}

/// A script as its words, with the names it declares and the commands it calls.
pub(in crate::lint) struct Lua<'a> {
    /// Its words.
    pub words: &'a [Word<'a>],
    /// Names of locals, parameters and loop variables.
    pub declared: BTreeSet<&'a str>,
    /// What it calls, in order.
    pub calls: Vec<Call>,
    /// What it takes away for good.
    pub losses: Vec<Loss>,
    /// Locals that stand for `redis.call`, and whether for `redis.pcall`.
    callers: BTreeMap<&'a str, bool>,
    /// Why arguments can be none of KEYS, by the byte at which each begins.
    made_up: BTreeMap<usize, String>,
}

impl<'a> Lua<'a> {
    /// Reads the words; what it cannot follow is put into `unseen`.
    fn new(
        source: &'a str,
        words: &'a [Word<'a>],
        made_up: BTreeMap<usize, String>,
        unseen: &mut Vec<Finding>,
    ) -> Self {
        let mut script = Self {
            words,
            declared: BTreeSet::new(),
            calls: Vec::new(),
            losses: losses(source),
            callers: BTreeMap::new(),
            made_up,
        };
        script.declarations();
        script.calls = (0..words.len()).filter_map(|at| script.call_at(at, unseen)).collect();
        script
    }

    fn declarations(&mut self) {
        for at in 0..self.words.len() {
            match self.text(at) {
                "local" | "for" => {
                    let first = if self.text(at + 1) == "function" { at + 2 } else { at + 1 };
                    let mut n = first;
                    while self.words.get(n).is_some_and(|w| w.is_name) {
                        self.declared.insert(self.words[n].text);
                        if self.text(n + 1) != "," {
                            break;
                        }
                        n += 2;
                    }
                    if self.text(at) == "local" && n == first && self.text(n + 1) == "=" {
                        self.local(self.words[first].text, n + 2);
                    }
                }
                "function" => {
                    let mut n = at + 1;
                    while n < self.words.len() && self.text(n) != "(" {
                        n += 1;
                    }
                    while n < self.words.len() && self.text(n) != ")" {
                        if self.words[n].is_name {
                            self.declared.insert(self.words[n].text);
                        }
                        n += 1;
                    }
                }
                _ => {}
            }
        }
    }

    /// What `local name = …` says of the name; the value begins at word `at`.
    fn local(&mut self, name: &'a str, at: usize) {
        let way = self.text(at + 2);
        if is_server(self.text(at))
            && self.text(at + 1) == "."
            && matches!(way, "call" | "pcall")
            && self.text(at + 3) != "("
        {
            self.callers.insert(name, way == "pcall");
        }
    }

    /// A word's text; empty behind the last one.
    pub(in crate::lint) fn text(&self, at: usize) -> &'a str {
        self.words.get(at).map_or("", |w| w.text)
    }

    /// What an argument of one word says: the text of a literal, a number, a name.
    pub(in crate::lint) fn plain(&self, range: &Range<usize>) -> Option<&str> {
        let [word] = self.words.get(range.clone())? else { return None };
        Some(word.literal.as_deref().unwrap_or(word.text))
    }

    /// Whether an argument may stand for several, or for none: what a function returns, or `...`.
    pub(in crate::lint) fn may_be_several(&self, argument: &Range<usize>) -> bool {
        let last = argument.end.checked_sub(1).and_then(|at| self.words.get(at));
        last.is_some_and(|word| word.literal.is_none() && matches!(word.text, ")" | "..."))
            && self.text(argument.start) != "("
    }

    /// Why an argument is no key from KEYS, as far as that is certain.
    pub(in crate::lint) fn made_up_key(&self, argument: &Range<usize>) -> Option<&str> {
        self.made_up.get(&self.words.get(argument.start)?.range.start).map(String::as_str)
    }

    /// The call that begins at a word; one that cannot be followed is put into `unseen`.
    fn call_at(&self, at: usize, unseen: &mut Vec<Finding>) -> Option<Call> {
        let open = match self.way_to_server(at) {
            Way::Call(open) => open,
            Way::HandedOn => {
                let message = "`redis.call` is reached another way here: nothing is known of what is called";
                let help = "call it where the command stands: `redis.call('HSET', …)`";
                let range = self.words[at].range.clone();
                unseen.push(Finding::new(&table::NOT_ANALYSED, range, message).with_help(help));
                return None;
            }
            Way::None => return None,
        };
        let mut arguments = self.arguments_of(open);
        let range = self.words[at].range.start..self.words.get(open).map_or(0, |w| w.range.end);
        let Some(command) = arguments.first().and_then(|r| match self.words.get(r.clone())? {
            [one] => one.literal.as_deref(),
            _ => None,
        }) else {
            let message = "which command this calls is made up while it runs: nothing is known of what it does";
            let help = "write the command out: `redis.call('HSET', …)`";
            unseen.push(Finding::new(&table::NOT_ANALYSED, range, message).with_help(help));
            return None;
        };
        let command = command.to_ascii_uppercase();
        arguments.remove(0);
        let way = self.text(open - 1);
        let is_guarded = self.callers.get(way).copied().unwrap_or(way == "pcall");
        Some(Call { at, range, command, arguments, is_guarded })
    }

    /// Whether a command is called at a word, or might be.
    fn way_to_server(&self, at: usize) -> Way {
        let before = at.checked_sub(1).map_or("", |n| self.text(n));
        if !self.words[at].is_name || matches!(before, "." | ":") {
            return Way::None;
        }
        if self.callers.contains_key(self.text(at)) {
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
            (".", "call" | "pcall", _) if before == "=" && at > 2 && self.callers.contains_key(self.text(at - 2)) => {
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

    /// What leads to commands that nobody sees, or around the look at them.
    fn hidden(&self, found: &mut Vec<Finding>) {
        for (at, word) in self.words.iter().enumerate() {
            let is_field = at > 0 && matches!(self.text(at - 1), "." | ":");
            if !word.is_name || is_field || self.declared.contains(word.text) {
                continue;
            }
            if word.text == "_G" || OPAQUE.contains(&word.text) {
                let message =
                    format!("what is reached by `{}` cannot be seen: nothing is known of what is called", word.text);
                let help = "write out what is to be done: `redis.call('HSET', …)`";
                found.push(Finding::new(&table::NOT_ANALYSED, word.range.clone(), message).with_help(help));
            }
        }
    }
}

/// A text cut short, for a message.
pub(in crate::lint) fn cut(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}
