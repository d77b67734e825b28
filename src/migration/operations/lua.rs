//! A look at a Redis script's text: the commands that it calls by name. Pure.

use std::collections::BTreeSet;

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

/// The commands that a script calls with a literal name, in order: the first argument of `call` and `pcall`.
pub fn calls(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let (mut rest, mut line, mut after_call) = (text, 1u32, false);
    while let Some(first) = rest.chars().next() {
        let length = if let Some(comment) = rest.strip_prefix("--") {
            2 + long_bracket(comment).unwrap_or_else(|| comment.find('\n').unwrap_or(comment.len()))
        } else if first == '"' || first == '\'' {
            let length = quoted(rest, first);
            if after_call {
                let name = rest[1..length].trim_end_matches(first);
                calls.push(Call { line, command: name.to_ascii_uppercase() });
            }
            after_call = false;
            length
        } else if let Some(length) = long_bracket(rest) {
            if after_call {
                let name = rest[..length].trim_matches(['[', ']', '=']);
                calls.push(Call { line, command: name.to_ascii_uppercase() });
            }
            after_call = false;
            length
        } else if first.is_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            after_call = matches!(&rest[..length], "call" | "pcall");
            length
        } else {
            // Between the name and its argument stand a bracket, a comma (`pcall(redis.call, 'KEYS')`) and white space.
            after_call &= first.is_whitespace() || matches!(first, '(' | ',');
            first.len_utf8()
        };
        let (passed, left) = rest.split_at(length);
        line += u32::try_from(passed.matches('\n').count()).unwrap_or(0);
        rest = left;
    }
    calls
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
    fn calls_are_found_where_they_are_code() {
        let text = "-- redis.call('KEYS', '*')\nlocal s = \"redis.call('FLUSHALL')\"\n--[[ redis.call('KEYS')\n]] redis.call('set', KEYS[1], 'keys')\n\
                    redis.pcall(\n  \"Flushdb\")\nlocal x = [[redis.call('KEYS')]]\npcall(redis.call, 'GET', 'a')\nredis.call 'del'";
        let found: Vec<_> = calls(text).into_iter().map(|c| (c.line, c.command)).collect();
        let wanted = [(4, "SET"), (6, "FLUSHDB"), (8, "GET"), (9, "DEL")].map(|(l, c)| (l, c.to_owned()));
        assert_eq!(found, wanted);
        assert_eq!(forbidden(text), Some(Call { line: 6, command: "FLUSHDB".to_owned() }));
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
