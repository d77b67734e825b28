//! A look at a Redis script's text: the commands that it calls by name. Pure.

mod losses;

use std::collections::BTreeSet;
use std::ops::Range;

pub use self::losses::{Loss, Taken, losses};

/// Commands that look at or take away a whole keyspace at once, leave the database, or stop the server.
const FORBIDDEN: [&str; 8] = ["KEYS", "FLUSHALL", "FLUSHDB", "SWAPDB", "SELECT", "SHUTDOWN", "MOVE", "DEBUG"];

/// A command that a script calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its line, from 1.
    pub line: u32,
    /// The command in capitals.
    pub command: String,
}

/// A piece of a script's code; comments and white space lie between.
#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A name or a keyword.
    Name(&'a str),
    /// What a literal text says.
    Text(String),
    /// A character that belongs to neither.
    Sign(char),
}

/// The pieces of a script, each with the line where it begins, from 1.
fn tokens(text: &str) -> Vec<(u32, Token<'_>)> {
    located(text).into_iter().map(|(_, line, token)| (line, token)).collect()
}

/// The pieces of a script, each with its bytes and the line where it begins, from 1.
fn located(text: &str) -> Vec<(Range<usize>, u32, Token<'_>)> {
    let (mut tokens, mut rest, mut line) = (Vec::new(), text, 1u32);
    while let Some(first) = rest.chars().next() {
        let (length, token) = if let Some(comment) = rest.strip_prefix("--") {
            (2 + long_bracket(comment).unwrap_or_else(|| comment.find('\n').unwrap_or(comment.len())), None)
        } else if first == '"' || first == '\'' {
            let length = quoted(rest, first);
            (length, Some(Token::Text(unescaped(rest[1..length].trim_end_matches(first)))))
        } else if let Some(length) = long_bracket(rest) {
            (length, Some(Token::Text(rest[..length].trim_matches(['[', ']', '=']).to_owned())))
        } else if first.is_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            (length, Some(Token::Name(&rest[..length])))
        } else {
            (first.len_utf8(), (!first.is_whitespace()).then_some(Token::Sign(first)))
        };
        let begin = text.len() - rest.len();
        tokens.extend(token.map(|token| (begin..begin + length, line, token)));
        let (passed, left) = rest.split_at(length);
        line += u32::try_from(passed.matches('\n').count()).unwrap_or(0);
        rest = left;
    }
    tokens
}

/// The commands that a script calls with a literal name, in order: the first argument of `call` and `pcall`.
pub fn calls(text: &str) -> Vec<Call> {
    look(&tokens(text)).0
}

/// The same, and whether something is appended to one of the names.
fn look(tokens: &[(u32, Token<'_>)]) -> (Vec<Call>, bool) {
    let (mut calls, mut joined, mut after_call) = (Vec::new(), false, false);
    for (at, (line, token)) in tokens.iter().enumerate() {
        if let (Token::Text(name), true) = (token, after_call) {
            calls.push(Call { line: *line, command: name.to_ascii_uppercase() });
            joined |= matches!(tokens.get(at + 1..at + 3), Some([(_, Token::Sign('.')), (_, Token::Sign('.'))]));
        }
        after_call = match token {
            Token::Name(name) => matches!(*name, "call" | "pcall"),
            Token::Text(_) => false,
            // Between the name and its argument stand a bracket and a comma (`pcall(redis.call, 'KEYS')`).
            Token::Sign(sign) => after_call && matches!(sign, '(' | ','),
        };
    }
    (calls, joined)
}

/// What stands between the quotes of a text, as Lua 5.1 reads it: `\\102` is `f` (Reference Manual, 2.1).
pub fn unescaped(quoted: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(quoted.len()), quoted.chars().peekable());
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let mut code = None;
        for _ in 0..3 {
            let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) else { break };
            code = Some(code.unwrap_or(0) * 10 + digit);
            rest.next();
        }
        match code {
            Some(code) => out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)),
            None => out.extend(rest.next().map(|c| match c {
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                other => other,
            })),
        }
    }
    out
}

/// Functions that run what no look at the script shows, or lead around what guards it.
pub const OPAQUE: [&str; 3] = ["getfenv", "loadstring", "setfenv"];

/// The names of a script, keywords among them, with their lines.
fn names<'a>(tokens: &[(u32, Token<'a>)]) -> Vec<(u32, &'a str)> {
    let name = |(line, token): &(u32, Token<'a>)| match token {
        Token::Name(name) => Some((*line, *name)),
        Token::Text(_) | Token::Sign(_) => None,
    };
    tokens.iter().filter_map(name).collect()
}

/// Whether every command that a script calls stands there by its name, so that [`forbidden`] has seen all of them.
pub fn is_plain(text: &str) -> bool {
    let tokens = tokens(text);
    let (names, (calls, joined)) = (names(&tokens), look(&tokens));
    let is_server = |name: &str| matches!(name, "redis" | "server");
    let hides = |name: &str| matches!(name, "_G" | "load") || OPAQUE.contains(&name);
    // A table that is handed on may be called in any way.
    let servers = names.iter().filter(|(_, name)| is_server(name)).count();
    let called = names.windows(2).filter(|pair| is_server(pair[0].1) && matches!(pair[1].1, "call" | "pcall")).count();
    servers == called && called == calls.len() && !joined && !names.iter().any(|(_, name)| hides(name))
}

/// The first name of a function that would hide what a script does.
pub fn opaque(text: &str) -> Option<Call> {
    let mut names = names(&tokens(text)).into_iter();
    names.find(|(_, name)| OPAQUE.contains(name)).map(|(line, name)| Call { line, command: name.to_owned() })
}

/// The line of the one command that a script calls as its last act (`return redis.call(…)`). Behind a [guard] such a call takes
/// the place of the function that it stands in, so no error of it has a line. None where there are several, where something
/// else is done with `redis`, or where the script makes errors of its own.
pub fn last_call(text: &str) -> Option<u32> {
    let tokens = tokens(text);
    let names = names(&tokens);
    let hides = |name: &str| matches!(name, "_G" | "error" | "load" | "pcall") || OPAQUE.contains(&name);
    let servers = names.iter().filter(|(_, name)| matches!(*name, "redis" | "server")).count();
    let calls: Vec<(usize, u32)> = tokens
        .windows(4)
        .enumerate()
        .filter_map(|(at, window)| match window {
            [
                (_, Token::Name("redis" | "server")),
                (_, Token::Sign('.')),
                (line, Token::Name("call")),
                (_, Token::Sign('(')),
            ] => Some((at, *line)),
            _ => None,
        })
        .collect();
    if servers != calls.len() || names.iter().any(|(_, name)| hides(name)) {
        return None;
    }
    let returned = |at: usize| at > 0 && tokens[at - 1].1 == Token::Name("return") && ends_its_block(&tokens[at + 3..]);
    let mut lines = calls.into_iter().filter(|(at, _)| returned(*at)).map(|(_, line)| line);
    lines.next().filter(|_| lines.next().is_none())
}

/// Whether nothing follows the brackets that the first of these tokens opens, so that the call is all that is returned.
fn ends_its_block(tokens: &[(u32, Token<'_>)]) -> bool {
    let mut open = 0usize;
    let close = tokens.iter().position(|(_, token)| {
        match token {
            Token::Sign('(') => open += 1,
            Token::Sign(')') => open -= 1,
            Token::Name(_) | Token::Text(_) | Token::Sign(_) => {}
        }
        open == 0
    });
    let Some(close) = close else { return false };
    let next = tokens.get(close + 1).map(|(_, token)| token);
    matches!(next, None | Some(Token::Sign(';') | Token::Name("end" | "else" | "elseif" | "until")))
}

/// What stands before a script whose calls are not all [plain](is_plain), on one line: no call of its `redis` is forwarded
/// whose command is forbidden, however its name came about.
pub fn guard(text: &str) -> String {
    let never: Vec<String> = FORBIDDEN.iter().map(|command| format!("{command}=true")).collect();
    let all = names(&tokens(text)).iter().any(|(_, name)| *name == "_G");
    let (whole, given) =
        if all { (", _G", ", setmetatable({redis=own, server=own}, {__index=all})") } else { ("", "") };
    format!(
        "local redis{whole} = (function(real, all) local never, known = {{{}}}, {{}} \
         local function refused(name) if name == nil or known[name] then return nil end \
         local command = string.upper(tostring(name)) if not never[command] then known[name] = true return nil end \
         local _, at = pcall(error, '', 4) return {{err='ERR `' .. command .. '` must not be called by a migration', \
         line=string.match(tostring(at), 'user_script:(%d+)')}} end \
         local own = setmetatable({{\
         call=function(name, ...) local no = refused(name) if no then return error(no) end return real.call(name, ...) end, \
         pcall=function(name, ...) local no = refused(name) if no then return no end return real.pcall(name, ...) end\
         }}, {{__index=real}}) return own{given} end)(redis{whole}) local server, load = redis ",
        never.join(", ")
    )
}

/// The first call that no migration may make.
pub fn forbidden(text: &str) -> Option<Call> {
    calls(text).into_iter().find(|c| FORBIDDEN.contains(&c.command.as_str()))
}

/// The one type that the keys of a script must be of, as `TYPE` says it: where every command that it calls is for that type
/// or for any, and it does not tell keys apart by itself.
pub fn one_type(text: &str) -> Option<&'static str> {
    if ["pcall", "string.", ":find", ":match", ":sub"].iter().any(|word| text.contains(word)) {
        return None;
    }
    let mut types = BTreeSet::new();
    for call in calls(text) {
        match call.command.as_str() {
            "EXISTS" | "TTL" | "PTTL" | "EXPIRE" | "PEXPIRE" | "EXPIREAT" | "PEXPIREAT" | "EXPIRETIME"
            | "PEXPIRETIME" | "PERSIST" | "TOUCH" | "TIME" => {}
            command => {
                types.insert(type_of(command)?);
            }
        }
    }
    if types.len() == 1 { types.pop_first() } else { None }
}

/// The type of the one key that a command is for, if it is refused for others.
fn type_of(command: &str) -> Option<&'static str> {
    Some(match command {
        "HDEL" | "HEXISTS" | "HGET" | "HGETALL" | "HINCRBY" | "HINCRBYFLOAT" | "HKEYS" | "HLEN" | "HMGET" | "HMSET"
        | "HSCAN" | "HSET" | "HSETNX" | "HSTRLEN" | "HVALS" => "hash",
        "LINDEX" | "LINSERT" | "LLEN" | "LPOP" | "LPOS" | "LPUSH" | "LPUSHX" | "LRANGE" | "LREM" | "LSET" | "LTRIM"
        | "RPOP" | "RPUSH" | "RPUSHX" => "list",
        "SADD" | "SCARD" | "SISMEMBER" | "SMEMBERS" | "SMISMEMBER" | "SPOP" | "SRANDMEMBER" | "SREM" | "SSCAN" => "set",
        "ZADD" | "ZCARD" | "ZCOUNT" | "ZINCRBY" | "ZPOPMAX" | "ZPOPMIN" | "ZRANGE" | "ZRANGEBYSCORE" | "ZRANK"
        | "ZREM" | "ZREMRANGEBYRANK" | "ZREMRANGEBYSCORE" | "ZREVRANGE" | "ZREVRANK" | "ZSCAN" | "ZSCORE" => "zset",
        "APPEND" | "DECR" | "DECRBY" | "GET" | "GETRANGE" | "INCR" | "INCRBY" | "INCRBYFLOAT" | "SETRANGE"
        | "STRLEN" => "string",
        "XADD" | "XDEL" | "XLEN" | "XRANGE" | "XREVRANGE" | "XTRIM" => "stream",
        _ => return None,
    })
}

/// The length of a quoted text with its quotes; to the end of the script if it is not closed.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `[[…]]` or `[=[…]=]`, if the text begins with one.
fn long_bracket(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('[')?;
    let level = inner.find(|c| c != '=')?;
    inner[level..].starts_with('[').then_some(())?;
    let end = format!("]{}]", "=".repeat(level));
    Some(text.find(&end).map_or(text.len(), |at| at + end.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r19_the_type_of_the_keys_is_known_where_all_commands_are_for_it() {
        let body = |body: &str| one_type(&format!("for _, key in ipairs(KEYS) do {body} end"));
        assert_eq!(body("redis.call('HSET', key, 'a', 1) redis.call('expire', key, 60)"), Some("hash"));
        assert_eq!(body("redis.call('INCR', key)"), Some("string"));
        assert_eq!(body("redis.call('ZADD', key, 1, 'a')"), Some("zset"));
        for no in [
            "redis.call('HSET', key, 'a', 1) redis.call('INCR', key)",
            "redis.call('SET', key, 1)",
            "redis.call('EXPIRE', key, 60)",
            "if redis.call('TYPE', key).ok == 'hash' then redis.call('HSET', key, 'a', 1) end",
            "redis.pcall('HSET', key, 'a', 1)",
            "if string.find(key, 'cart') then redis.call('HSET', key, 'a', 1) end",
            "redis.call('HSET', key, 'a', 1) redis.call('SOMETHING', key)",
        ] {
            assert_eq!(body(no), None, "{no}");
        }
    }

    #[test]
    fn the_one_call_that_takes_the_place_of_its_function_has_its_line() {
        for (text, line) in [
            ("local n = 1\nreturn redis.call('INCR', KEYS[1])", Some(2)),
            ("if ARGV[1] then\n  return redis.call('INCRBY', KEYS[1], (1 + 2));\nend\nreturn 1", Some(2)),
            ("redis.call('SET', KEYS[1], 1) return server.call('INCR', KEYS[2]) -- done", Some(1)),
            ("local function f() return redis.call('INCR', KEYS[1]) end\nreturn f()", Some(1)),
            ("local name = 'INCR'\nreturn redis.call(name, KEYS[1])", Some(2)),
            ("return redis.call('INCR', KEYS[1]) + 1", None),
            ("return redis.call('TYPE', KEYS[1]).ok", None),
            ("return (redis.call('INCR', KEYS[1]))", None),
            ("if ARGV[1] then return redis.call('INCR', KEYS[1]) end return redis.call('DECR', KEYS[1])", None),
            ("local c = redis.call return c('INCR', KEYS[1])", None),
            ("if not ARGV[1] then return error('ERR none') end return redis.call('INCR', KEYS[1])", None),
            ("return redis.pcall('INCR', KEYS[1])", None),
            ("redis.log(1, 'x') return redis.call('INCR', KEYS[1])", None),
            ("return redis.call(", None),
        ] {
            assert_eq!(last_call(text), line, "{text}");
        }
    }

    #[test]
    fn calls_are_found_where_they_are_code() {
        let text = "-- redis.call('KEYS', '*')\nlocal s = \"redis.call('FLUSHALL')\"\n--[[ redis.call('KEYS')\n]] redis.call('set', KEYS[1], 'keys')\n\
                    redis.pcall(\n  \"Flushdb\")\nlocal x = [[redis.call('KEYS')]]\npcall(redis.call, 'GET', 'a')\nredis.call 'del'";
        let found: Vec<_> = calls(text).into_iter().map(|c| (c.line, c.command)).collect();
        let wanted = [(4, "SET"), (6, "FLUSHDB"), (8, "GET"), (9, "DEL")].map(|(l, c)| (l, c.to_owned()));
        assert_eq!(found, wanted);
        assert_eq!(forbidden(text), Some(Call { line: 6, command: "FLUSHDB".to_owned() }));
    }

    #[test]
    fn r19_a_command_is_known_however_its_name_is_written() {
        for (text, command) in [
            (r"return redis.call('\102lushall')", "FLUSHALL"),
            (r"redis.pcall('fl\117shdb')", "FLUSHDB"),
            (r#"redis.call("\107EYS", '*')"#, "KEYS"),
            (r"_G.redis.call('\k\e\y\s', '*')", "KEYS"),
        ] {
            assert_eq!(forbidden(text).map(|c| c.command).as_deref(), Some(command), "{text}");
        }
        assert_eq!(unescaped(r"a\n\9\\\'\0651\"), "a\n\t\\'A1");
    }

    #[test]
    fn r19_what_is_not_called_by_a_literal_name_is_guarded() {
        for plain in [
            "for _, k in ipairs(KEYS) do redis.call('GET', k) end -- redis",
            "local s = 'redis' pcall(redis.call, 'GET', 'a')",
        ] {
            assert!(is_plain(plain) && opaque(plain).is_none(), "{plain}");
        }
        for hidden in [
            "redis.call('flush' .. 'db')",
            "redis['call']('keys', '*')",
            "local r = redis r.call('keys', '*')",
            "local c = redis.call c('GET', 'a')",
            "_G['redis']['call']('GET', 'a')",
            "for _, c in ipairs({'GET'}) do redis.call(c, KEYS[1]) end",
        ] {
            assert!(!is_plain(hidden) && !guard(hidden).contains('\n'), "{hidden}");
        }
        assert_eq!(opaque("\nloadstring('x')()"), Some(Call { line: 2, command: "loadstring".to_owned() }));
    }

    #[test]
    fn r19_keys_is_refused() {
        assert!(forbidden("return redis.call('keys', '*')").is_some());
        assert!(forbidden("for _, k in ipairs(KEYS) do redis.call('GET', k) end").is_none());
        for broken in ["redis.call('", "[==[", "--[[", "'\\", "é'ü"] {
            assert!(forbidden(broken).is_none(), "{broken}");
        }
    }
}
