//! What a Redis script takes away for good: whole keys, or parts of their values. Pure.
//!
//! A script that converts a key reads its value, writes it elsewhere or in another form, and deletes the key. That is told
//! from a plain deletion by following the value through the script's names; what cannot be followed counts as lost.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Token, located};

/// Scripts of more pieces than this are not followed: every key that they delete counts as lost.
const MAX_TOKENS: usize = 20_000;
/// Deletions of one script that are followed.
const MAX_FOLLOWED: usize = 64;
/// Pieces of one expression that are looked at.
const MAX_EXPRESSION: usize = 512;
/// A time in seconds that is over wherever this program runs: 2020 began.
const LONG_AGO: i64 = 1_577_836_800;

/// What a command takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Keys with their values.
    Keys,
    /// Keys whose values the script has read and writes elsewhere, or in another form.
    MovedKeys,
    /// Fields, members or entries of a key.
    Members,
}

/// A command that takes something away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Its bytes in the script, from the call to its bracket.
    pub range: Range<usize>,
    /// The command in capitals.
    pub command: String,
    /// What it takes away.
    pub taken: Taken,
}

/// The commands of a script that take something away, in order.
pub fn losses(text: &str) -> Vec<Loss> {
    let script = Followed::of(text);
    let mut followed = 0usize;
    let mut found = Vec::new();
    for call in &script.calls {
        let Some(mut taken) = script.taken_by(call) else { continue };
        if taken == Taken::Keys && script.tokens.len() <= MAX_TOKENS && followed < MAX_FOLLOWED {
            followed += 1;
            let keys = keys_of(call);
            if !keys.is_empty() && keys.iter().all(|key| script.is_kept(call, key)) {
                taken = Taken::MovedKeys;
            }
        }
        let range = script.tokens[call.at].0.start..script.tokens[call.open].0.end;
        found.push(Loss { range, command: call.command.clone(), taken });
    }
    found
}

/// The keys that a command deletes.
fn keys_of(call: &Called) -> &[Range<usize>] {
    match call.command.as_str() {
        "DEL" | "UNLINK" => &call.arguments,
        _ => call.arguments.get(..1).unwrap_or_default(),
    }
}

/// A call of a command that is named in the script.
struct Called {
    /// The piece at which it begins.
    at: usize,
    /// The piece that is its bracket.
    open: usize,
    /// The command in capitals.
    command: String,
    /// The pieces of each argument behind the command.
    arguments: Vec<Range<usize>>,
}

/// How the pieces of a block come to be carried out.
enum Entry {
    /// With what stands around it.
    Always,
    /// As these pieces say: a condition, or what a loop goes through.
    By(Range<usize>),
    /// As nobody can tell.
    Unknown,
}

/// A block of a script.
struct Block {
    parent: usize,
    entry: Entry,
    /// The first of the branches of which only one is carried out; the block itself where it is no branch.
    first: usize,
}

/// Names that are given a value.
struct Given<'a> {
    names: Vec<&'a str>,
    value: Range<usize>,
}

/// A script, taken apart as far as values are followed.
struct Followed<'a> {
    tokens: Vec<(Range<usize>, u32, Token<'a>)>,
    calls: Vec<Called>,
    blocks: Vec<Block>,
    /// The innermost block of each piece.
    within: Vec<usize>,
    given: Vec<Given<'a>>,
}

impl<'a> Followed<'a> {
    fn of(text: &'a str) -> Self {
        let mut script = Self {
            tokens: located(text),
            calls: Vec::new(),
            blocks: vec![Block { parent: 0, entry: Entry::Always, first: 0 }],
            within: Vec::new(),
            given: Vec::new(),
        };
        script.find_blocks();
        let callers = script.callers();
        script.calls = (0..script.tokens.len()).filter_map(|at| script.call_of(at, &callers)).collect();
        if script.tokens.len() <= MAX_TOKENS {
            script.given = (0..script.tokens.len()).filter_map(|at| script.given_at(at)).collect();
        }
        script
    }

    fn token(&self, at: usize) -> Option<&Token<'a>> {
        self.tokens.get(at).map(|(_, _, token)| token)
    }

    fn name(&self, at: usize) -> Option<&'a str> {
        match self.token(at) {
            Some(Token::Name(name)) => Some(name),
            _ => None,
        }
    }

    fn is_sign(&self, at: usize, sign: char) -> bool {
        self.token(at) == Some(&Token::Sign(sign))
    }

    fn find_blocks(&mut self) {
        let (mut open, mut head, mut first) = (vec![0usize], None, None);
        for at in 0..self.tokens.len() {
            let branches = matches!(self.name(at), Some("else" | "elseif"));
            if (branches || matches!(self.name(at), Some("end" | "until"))) && open.len() > 1 {
                let closed = open.pop().filter(|_| branches);
                first = closed.map(|block| self.blocks[block].first);
            }
            let entry = match self.name(at) {
                Some("if" | "elseif" | "for" | "while") => {
                    head = Some(at + 1);
                    None
                }
                Some("then" | "do") => Some(head.take().map_or(Entry::Always, |from| Entry::By(from..at))),
                Some("repeat") => Some(Entry::Always),
                Some("else" | "function") => Some(Entry::Unknown),
                _ => None,
            };
            if let Some(entry) = entry {
                let parent = open.last().copied().unwrap_or(0);
                let first = first.take().unwrap_or(self.blocks.len());
                self.blocks.push(Block { parent, entry, first });
                open.push(self.blocks.len() - 1);
            }
            self.within.push(open.last().copied().unwrap_or(0));
        }
    }

    /// Names by which commands are called: those of Redis, and locals that stand for them.
    fn callers(&self) -> BTreeSet<&'a str> {
        let mut callers = BTreeSet::from(["call", "pcall"]);
        for at in 0..self.tokens.len() {
            let stands = matches!(self.name(at), Some("redis" | "server"))
                && self.is_sign(at + 1, '.')
                && matches!(self.name(at + 2), Some("call" | "pcall"))
                && !self.is_sign(at + 3, '(');
            if stands && at >= 3 && self.is_sign(at - 1, '=') && self.name(at - 3) == Some("local") {
                callers.extend(self.name(at - 2));
            }
        }
        callers
    }

    /// The call whose command is the text at a piece.
    fn call_of(&self, at: usize, callers: &BTreeSet<&str>) -> Option<Called> {
        let Some(Token::Text(command)) = self.token(at) else { return None };
        let before = at.checked_sub(2)?;
        let is_field = |n: usize| n >= 2 && self.is_sign(n - 1, '.');
        let (begin, open) = if self.is_sign(at - 1, '(') && self.name(before).is_some_and(|n| callers.contains(n)) {
            (if is_field(before) { before - 2 } else { before }, at - 1)
        } else {
            // `pcall(redis.call, 'DEL', …)`
            let handed = self.is_sign(at - 1, ',') && matches!(self.name(before), Some("call" | "pcall"));
            if !handed || before < 4 || !self.is_sign(before - 3, '(') {
                return None;
            }
            (before - 4, before - 3)
        };
        let arguments = self.arguments_from(at + 1)?;
        Some(Called { at: begin, open, command: command.to_ascii_uppercase(), arguments })
    }

    /// The arguments that follow a command, from the comma behind it; none where the command is not its text alone.
    fn arguments_from(&self, at: usize) -> Option<Vec<Range<usize>>> {
        if self.is_sign(at, ')') {
            return Some(Vec::new());
        }
        if !self.is_sign(at, ',') {
            return None;
        }
        let (mut depth, mut from, mut found) = (0usize, at + 1, Vec::new());
        for n in at + 1..self.tokens.len() {
            match self.token(n) {
                Some(Token::Sign('(' | '[' | '{')) => depth += 1,
                Some(Token::Sign(')' | ']' | '}')) if depth == 0 => {
                    found.push(from..n);
                    return Some(found);
                }
                Some(Token::Sign(')' | ']' | '}')) => depth -= 1,
                Some(Token::Sign(',')) if depth == 0 => {
                    found.push(from..n);
                    from = n + 1;
                }
                _ => {}
            }
        }
        None
    }

    /// What an argument says word by word: a text, or a number.
    fn literal(&self, range: &Range<usize>) -> Option<String> {
        match self.tokens.get(range.clone())? {
            [(_, _, Token::Text(text))] => Some(text.clone()),
            pieces => pieces
                .iter()
                .map(|(_, _, token)| match token {
                    Token::Sign(sign @ ('-' | '.' | '0'..='9')) => Some(*sign),
                    _ => None,
                })
                .collect(),
        }
    }

    /// What a command takes away, if it does.
    fn taken_by(&self, call: &Called) -> Option<Taken> {
        let said = |n: usize| call.arguments.get(n).and_then(|range| self.literal(range));
        let number = |n: usize| said(n).and_then(|text| text.parse::<i64>().ok());
        let whole = |all: bool| Some(if all { Taken::Keys } else { Taken::Members });
        match call.command.as_str() {
            "DEL" | "UNLINK" | "GETDEL" => Some(Taken::Keys),
            "EXPIRE" | "PEXPIRE" => number(1).filter(|n| *n <= 0).map(|_| Taken::Keys),
            "EXPIREAT" => number(1).filter(|n| *n < LONG_AGO).map(|_| Taken::Keys),
            "PEXPIREAT" => number(1).filter(|n| *n < LONG_AGO * 1000).map(|_| Taken::Keys),
            "HEXPIRE" | "HPEXPIRE" => number(1).filter(|n| *n <= 0).map(|_| Taken::Members),
            "LTRIM" => whole(matches!((number(1), number(2)), (Some(a), Some(b)) if a > b && (a < 0) == (b < 0))),
            "ZREMRANGEBYRANK" => whole((number(1), number(2)) == (Some(0), Some(-1))),
            "ZREMRANGEBYSCORE" => {
                whole(matches!((said(1).as_deref(), said(2).as_deref()), (Some("-inf"), Some("+inf" | "inf"))))
            }
            "ZREMRANGEBYLEX" => whole((said(1).as_deref(), said(2).as_deref()) == (Some("-"), Some("+"))),
            "XTRIM" => {
                whole((2..4).any(|n| number(n) == Some(0)) && said(1).is_some_and(|w| w.eq_ignore_ascii_case("MAXLEN")))
            }
            "HDEL" | "HGETDEL" | "SREM" | "SPOP" | "ZREM" | "ZPOPMIN" | "ZPOPMAX" | "ZMPOP" | "BZPOPMIN"
            | "BZPOPMAX" | "BZMPOP" | "LREM" | "LPOP" | "RPOP" | "LMPOP" | "BLPOP" | "BRPOP" | "BLMPOP" | "XDEL" => {
                Some(Taken::Members)
            }
            _ => None,
        }
    }

    /// Whether the value of a key that is deleted is read before and written where it stays.
    fn is_kept(&self, deletion: &Called, key: &Range<usize>) -> bool {
        let same = |other: &Range<usize>| self.is_same(other, key);
        let nothing = Value { names: BTreeSet::new(), reads: BTreeSet::new() };
        let copied = |call: &Called| {
            call.at < deletion.at && copies(call).iter().any(same) && self.goes_with(call.at, deletion.at, &nothing)
        };
        if self.calls.iter().any(copied) {
            return true;
        }
        let reads = self.calls.iter().filter(|call| {
            let takes_itself = call.at == deletion.at && call.command == "GETDEL";
            (takes_itself || (call.at < deletion.at && self.reads_whole(call)))
                && call.arguments.first().is_some_and(same)
                && self.goes_with(call.at, deletion.at, &nothing)
        });
        let value = self.follow(reads.map(|call| call.at).collect());
        !value.reads.is_empty()
            && self.calls.iter().filter(|call| writes(&call.command)).any(|call| {
                let [to, rest @ ..] = call.arguments.as_slice() else { return false };
                // The same key holds it only when it is written after it was deleted.
                let in_time = match (call.at < deletion.at, same(to)) {
                    (true, false) | (false, true) => true,
                    (false, false) => deletion.command == "GETDEL",
                    (true, true) => false,
                };
                in_time
                    && rest.iter().any(|range| self.mentions(range, &value))
                    && self.goes_with(call.at, deletion.at, &value)
            })
    }

    fn is_same(&self, one: &Range<usize>, other: &Range<usize>) -> bool {
        let pieces =
            |range: &Range<usize>| self.tokens.get(range.clone()).unwrap_or_default().iter().map(|(_, _, token)| token);
        pieces(one).eq(pieces(other))
    }

    /// Whether what stands at `at` is carried out wherever `deletion` is, as far as it has to be for `value`: behind a
    /// condition on the value or in a loop through it there is nothing else to write.
    fn goes_with(&self, at: usize, deletion: usize, value: &Value<'_>) -> bool {
        let around = |at: usize| {
            let mut block = self.within[at];
            std::iter::from_fn(move || {
                let now = block;
                (now != 0).then(|| block = self.blocks[now].parent)?;
                Some(now)
            })
        };
        let shared: BTreeSet<usize> = around(deletion).collect();
        let branches: BTreeSet<usize> = shared.iter().map(|block| self.blocks[*block].first).collect();
        around(at).filter(|block| !shared.contains(block)).map(|block| &self.blocks[block]).all(|block| {
            match &block.entry {
                _ if branches.contains(&block.first) => false,
                Entry::Always => true,
                Entry::By(head) => self.mentions(head, value),
                Entry::Unknown => false,
            }
        })
    }

    /// The names that hold what these calls read.
    fn follow(&self, reads: BTreeSet<usize>) -> Value<'a> {
        let mut value = Value { names: BTreeSet::new(), reads };
        for given in &self.given {
            if self.mentions(&given.value, &value) {
                value.names.extend(&given.names);
            }
        }
        value
    }

    fn mentions(&self, range: &Range<usize>, value: &Value<'_>) -> bool {
        range.clone().take(MAX_EXPRESSION).any(|at| {
            let is_field = at > 0 && self.is_sign(at - 1, '.') && !(at > 1 && self.is_sign(at - 2, '.'));
            value.reads.contains(&at) || (!is_field && self.name(at).is_some_and(|name| value.names.contains(name)))
        })
    }

    /// What is given a value at a piece: `name = …`, `name[…] = …`, `for name in …`, `table.insert(name, …)`.
    fn given_at(&self, at: usize) -> Option<Given<'a>> {
        match self.token(at)? {
            Token::Sign('=') => {
                let compares = |n: usize| ['=', '<', '>', '~'].iter().any(|sign| self.is_sign(n, *sign));
                if at == 0 || compares(at - 1) || self.is_sign(at + 1, '=') {
                    return None;
                }
                Some(Given { names: self.names_before(at), value: at + 1..self.end_of_value(at + 1) })
            }
            Token::Name("in") => {
                let end = (at..self.tokens.len()).take(MAX_EXPRESSION).find(|n| self.name(*n) == Some("do"))?;
                Some(Given { names: self.names_before(at), value: at + 1..end })
            }
            Token::Name("insert") if self.is_sign(at + 1, '(') && at > 1 && self.name(at - 2) == Some("table") => {
                Some(Given { names: vec![self.name(at + 2)?], value: at + 3..self.end_of_value(at + 3) })
            }
            _ => None,
        }
    }

    /// The names of a list that ends before a piece; of a field or an element, the name of its table.
    fn names_before(&self, end: usize) -> Vec<&'a str> {
        let mut names = Vec::new();
        let mut at = end;
        while let Some(before) = at.checked_sub(1) {
            at = before;
            if self.is_sign(at, ']') {
                let Some(open) = (0..at).rev().take(MAX_EXPRESSION).find(|n| self.is_sign(*n, '[')) else { break };
                at = open.saturating_sub(1);
            }
            while at > 1 && self.is_sign(at - 1, '.') && self.name(at - 2).is_some() {
                at -= 2;
            }
            let Some(name) = self.name(at) else { break };
            names.push(name);
            if at == 0 || !self.is_sign(at - 1, ',') {
                break;
            }
            at -= 1;
        }
        names
    }

    /// The piece behind a value, or a list of values, that begins at `at`.
    fn end_of_value(&self, at: usize) -> usize {
        let (mut depth, mut ended) = (0usize, false);
        for n in (at..self.tokens.len()).take(MAX_EXPRESSION) {
            match self.token(n) {
                Some(Token::Sign('(' | '[' | '{')) => (depth, ended) = (depth + 1, false),
                Some(Token::Sign(')' | ']' | '}' | ';')) if depth == 0 => return n,
                Some(Token::Sign(')' | ']' | '}')) => (depth, ended) = (depth - 1, true),
                Some(Token::Sign(sign)) => ended = sign.is_ascii_digit(),
                Some(Token::Text(_)) => ended = true,
                Some(Token::Name("and" | "or" | "not")) => ended = false,
                Some(Token::Name(name)) if depth == 0 && (ended || is_statement(name)) => return n,
                Some(Token::Name(_)) => ended = true,
                None => {}
            }
        }
        self.tokens.len().min(at + MAX_EXPRESSION)
    }

    /// Whether a command gives the whole value of its key.
    fn reads_whole(&self, call: &Called) -> bool {
        let ends = |from: &str, to: &str| {
            let said = |n: usize| call.arguments.get(n).and_then(|range| self.literal(range));
            said(1).as_deref() == Some(from) && said(2).as_deref() == Some(to)
        };
        match call.command.as_str() {
            "GET" | "DUMP" | "HGETALL" | "SMEMBERS" => true,
            "LRANGE" | "ZRANGE" | "GETRANGE" => ends("0", "-1"),
            "ZRANGEBYSCORE" => ends("-inf", "+inf") || ends("-inf", "inf"),
            "XRANGE" => ends("-", "+"),
            _ => false,
        }
    }
}

/// A value that was read, and where it is known to be.
struct Value<'a> {
    names: BTreeSet<&'a str>,
    /// The calls that read it.
    reads: BTreeSet<usize>,
}

/// The keys that a command copies as they are.
fn copies(call: &Called) -> &[Range<usize>] {
    let from = match call.command.as_str() {
        "COPY" => return call.arguments.get(..1).unwrap_or_default(),
        "SUNIONSTORE" | "PFMERGE" => 1,
        "ZUNIONSTORE" => 2,
        _ => return &[],
    };
    call.arguments.get(from..).unwrap_or_default()
}

/// Whether a command writes what it is given into its key.
fn writes(command: &str) -> bool {
    matches!(
        command,
        "SET"
            | "SETEX"
            | "PSETEX"
            | "SETNX"
            | "GETSET"
            | "RESTORE"
            | "APPEND"
            | "SETRANGE"
            | "HSET"
            | "HMSET"
            | "HSETNX"
            | "RPUSH"
            | "LPUSH"
            | "SADD"
            | "ZADD"
            | "XADD"
            | "JSON.SET"
    )
}

/// Whether a word begins a statement, or ends a block.
fn is_statement(name: &str) -> bool {
    matches!(
        name,
        "local"
            | "if"
            | "for"
            | "while"
            | "repeat"
            | "until"
            | "return"
            | "break"
            | "do"
            | "then"
            | "else"
            | "elseif"
            | "end"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Vec<(String, Taken)> {
        losses(text).into_iter().map(|loss| (loss.command, loss.taken)).collect()
    }

    fn one(text: &str) -> Taken {
        match taken(text).as_slice() {
            [(_, taken)] => *taken,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn s1_61_whole_keys_are_told_from_parts_of_them() {
        let body = |body: &str| format!("for _, key in ipairs(KEYS) do {body} end return #KEYS");
        for lost in [
            "redis.call('UNLINK', key)",
            "redis.call(\"del\", key)",
            "redis.pcall('DEL', unpack(KEYS))",
            "pcall(redis.call, 'DEL', key)",
            "redis.call('EXPIRE', key, 0)",
            "redis.call('PEXPIRE', key, '-1')",
            "redis.call('EXPIRE', key, -5, 'NX')",
            "redis.call('EXPIREAT', key, 1)",
            "redis.call('PEXPIREAT', key, 1000000000000)",
            "redis.call('LTRIM', key, 1, 0)",
            "redis.call('LTRIM', key, '-1', '-2')",
            "redis.call('ZREMRANGEBYRANK', key, 0, -1)",
            "redis.call('ZREMRANGEBYSCORE', key, '-inf', '+inf')",
            "redis.call('XTRIM', key, 'MAXLEN', '~', 0)",
            "local gone = redis.call('GETDEL', key)",
        ] {
            assert_eq!(one(&body(lost)), Taken::Keys, "{lost}");
        }
        for parts in [
            "redis.call('HDEL', key, 'old')",
            "redis.call('SREM', key, 'a')",
            "redis.call('SPOP', key)",
            "redis.call('LTRIM', key, 0, 99)",
            "redis.call('LTRIM', key, 0, -2)",
            "redis.call('XTRIM', key, 'MAXLEN', 1000)",
            "redis.call('ZREMRANGEBYSCORE', key, '-inf', ARGV[1])",
        ] {
            assert_eq!(one(&body(parts)), Taken::Members, "{parts}");
        }
        for kept in [
            "redis.call('EXPIRE', key, 86400)",
            "redis.call('EXPIRE', key, tonumber(ARGV[1]))",
            "redis.call('EXPIREAT', key, 4102444800)",
            "redis.call('HSET', key, 'DEL', 'UNLINK')",
            "redis.call('RENAMENX', key, ARGV[1])",
            "-- redis.call('DEL', key)",
            "local s = \"redis.call('DEL', key)\"",
        ] {
            assert_eq!(taken(&body(kept)), [], "{kept}");
        }
        let text = "local call = redis.call\nlocal c = redis.call\ncall('DEL', KEYS[1])\nc('UNLINK', KEYS[2])";
        assert_eq!(taken(text), [("DEL".to_owned(), Taken::Keys), ("UNLINK".to_owned(), Taken::Keys)]);
        let found = losses(text);
        assert_eq!(&text[found[0].range.clone()], "call(");
    }

    #[test]
    fn s1_61_a_key_whose_value_is_written_elsewhere_is_moved() {
        let body = |body: &str| format!("for n, key in ipairs(KEYS) do {body} end return #KEYS");
        for moved in [
            "local v = redis.call('GET', key) redis.call('SET', 'v2:' .. key, v) redis.call('DEL', key)",
            "local v = redis.call('GET', key)\nif v then\n redis.call('HSET', ARGV[n], 'value', v)\nend\nredis.call('UNLINK', key)",
            "redis.call('SET', ARGV[n], redis.call('GET', key)) redis.call('DEL', key)",
            "local v = cjson.decode(redis.call('GET', key)) redis.call('DEL', key) redis.call('HSET', key, 'id', v.id)",
            "local all = redis.call('HGETALL', key) for i = 1, #all, 2 do redis.call('HSET', ARGV[n], all[i], all[i + 1]) end \
             redis.call('DEL', key)",
            "local flat = {} for _, m in ipairs(redis.call('SMEMBERS', key)) do flat[#flat + 1] = m end redis.call('DEL', key) \
             redis.call('RPUSH', key, unpack(flat))",
            "local flat = {} for _, m in ipairs(redis.call('LRANGE', key, 0, -1)) do table.insert(flat, m) end \
             if #flat > 0 then redis.call('SADD', ARGV[n], unpack(flat)) end redis.call('DEL', key)",
            "if redis.call('COPY', key, ARGV[n]) == 1 then redis.call('DEL', key) end",
            "redis.call('SUNIONSTORE', ARGV[n], key) redis.call('DEL', key)",
            "redis.call('RESTORE', ARGV[n], 0, redis.call('DUMP', key)) redis.call('DEL', key)",
            "redis.call('SET', ARGV[n], redis.call('GETDEL', key))",
            "local v = redis.call('GETDEL', key) redis.call('SET', ARGV[n], v)",
        ] {
            assert_eq!(one(&body(moved)), Taken::MovedKeys, "{moved}");
        }
        for lost in [
            // Written after it was read, but not what was read.
            "local v = redis.call('GET', key) redis.call('SET', ARGV[n], 'x') redis.call('DEL', key)",
            // One field of many.
            "local v = redis.call('HGET', key, 'id') redis.call('SET', ARGV[n], v) redis.call('DEL', key)",
            "local v = redis.call('LRANGE', key, 0, 9) redis.call('RPUSH', ARGV[n], unpack(v)) redis.call('DEL', key)",
            // Written into the key that goes.
            "local v = redis.call('GET', key) redis.call('SET', key, v) redis.call('DEL', key)",
            // Not wherever the key goes.
            "local v = redis.call('GET', key) if n > 5 then redis.call('SET', ARGV[n], v) end redis.call('DEL', key)",
            "local v = redis.call('GET', key) if v == 'a' then redis.call('SET', ARGV[n], v) else redis.call('DEL', key) end",
            // Another key's value.
            "local v = redis.call('GET', KEYS[1]) redis.call('SET', ARGV[n], v) redis.call('DEL', key)",
            "local v = redis.call('GET', key) redis.call('SET', ARGV[n], v) redis.call('DEL', key, KEYS[9])",
            // Another loop's key.
            "redis.call('DEL', key) end for _, key in ipairs(ARGV) do redis.call('COPY', key, 'b')",
        ] {
            assert_eq!(one(&body(lost)), Taken::Keys, "{lost}");
        }
        let loops = "for _, key in ipairs(KEYS) do local v = redis.call('GET', key) redis.call('SET', 'a' .. key, v) end \
                     for _, key in ipairs(ARGV) do redis.call('DEL', key) end";
        assert_eq!(one(loops), Taken::Keys);
    }

    #[test]
    fn what_is_no_lua_is_looked_at_without_an_accident() {
        for broken in [
            "redis.call('DEL'",
            "redis.call('DEL',",
            "end end until call('DEL', key)",
            "= = in in ] ] = insert(",
            "('DEL'",
            "'DEL'",
            "pcall(redis.call, 'DEL'",
            "call, 'DEL', key)",
            "for in do = x",
            "function function then do else",
        ] {
            losses(broken);
        }
        let deep = format!("local t = {{{}}} redis.call('DEL', KEYS[1])", "a = 1, ".repeat(6_000));
        assert_eq!(one(&deep), Taken::Keys);
    }
}
