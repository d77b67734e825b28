//! A look at a Redis script's text: the commands that it calls by name. Pure.

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
