//! Passwords that stand in a script, blotted out where the script is shown.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value;
use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode, SyntaxToken};

use super::check::cannot_parse;
use super::depth;
use super::script::{Finding, name_of};
use crate::redact::{self, is_name_of_secret, is_placeholder, is_secret};

/// `text` with every secret in it as stars, each character at its place: in SQL and Lua the literals behind a name like
/// `PASSWORD`, in JSON the texts of keys that are named so, and what looks like a secret wherever it stands.
pub fn masked(text: &str) -> Cow<'_, str> {
    let Ok(Value::Object(_) | Value::Array(_)) = serde_json::from_str::<Value>(text) else {
        return masked_script(text);
    };
    let mut out = String::with_capacity(text.len());
    let (mut at, mut key, mut rest) = (0, "", text);
    // Of valid JSON every quote outside of a string begins one.
    while let Some(start) = rest.find('"') {
        let body = &rest[start + 1..];
        let mut end = 0;
        while let Some(n) = body[end..].find(['"', '\\']) {
            end += n;
            if body.as_bytes()[end] == b'"' {
                break;
            }
            end += 2;
        }
        let literal = &body[..end];
        let behind = &body[end + 1..];
        let from = text.len() - body.len();
        if behind.trim_start().starts_with(':') {
            key = literal;
        } else {
            if is_secret(key, literal) {
                out.push_str(&text[at..from]);
                out.extend(literal.chars().map(|_| '*'));
                at = from + end;
            }
            if !behind.trim_start().starts_with(',') {
                key = "";
            }
        }
        rest = behind;
    }
    if at == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[at..]);
    Cow::Owned(out)
}

/// Keys whose texts are secrets, and the keys of texts that look like one.
pub(super) fn in_json(value: &Value, named: &mut BTreeSet<String>) {
    fn walk(key: &str, value: &Value, named: &mut BTreeSet<String>) {
        match value {
            Value::String(text) if is_secret(key, text) => {
                named.insert(key.to_owned());
            }
            Value::Array(items) => items.iter().for_each(|item| walk(key, item, named)),
            // A rename's values are names of fields.
            Value::Object(_) if key == "$rename" => {}
            Value::Object(fields) => fields.iter().for_each(|(key, value)| walk(key, value, named)),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    walk("", value, named);
}

/// A secret in a script of SQL.
pub(super) struct Secret {
    /// Its bytes.
    pub range: Range<usize>,
    /// What tells that it is one.
    pub why: String,
    /// Whether nothing but the name of a column tells.
    pub by_name: bool,
}

/// The secrets among the literals of a statement: what looks like one, options and connection strings of other servers,
/// and what goes into a column that is named like one.
pub(super) fn in_sql(statement: &SyntaxNode) -> Vec<Secret> {
    let mut found = Vec::new();
    let of_server = matches!(
        statement.kind(),
        SyntaxKind::CREATE_USER_MAPPING
            | SyntaxKind::ALTER_USER_MAPPING
            | SyntaxKind::CREATE_SERVER
            | SyntaxKind::ALTER_SERVER
            | SyntaxKind::CREATE_FOREIGN_TABLE
            | SyntaxKind::ALTER_FOREIGN_TABLE
            | SyntaxKind::CREATE_FOREIGN_DATA_WRAPPER
            | SyntaxKind::ALTER_FOREIGN_DATA_WRAPPER
    );
    let subscribes = matches!(statement.kind(), SyntaxKind::CREATE_SUBSCRIPTION | SyntaxKind::ALTER_SUBSCRIPTION);
    let mut last: Option<SyntaxToken> = None;
    for token in statement.descendants_with_tokens().filter_map(|e| e.into_token()) {
        if matches!(token.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT) {
            continue;
        }
        let before = last.replace(token.clone());
        let Some(range) = content_of(&token) else { continue };
        let word = before.map(|token| token.text().trim_matches('"').to_ascii_lowercase()).unwrap_or_default();
        let text = &token.text()[range.clone()];
        let start = usize::from(token.text_range().start());
        let mut add = |range: Range<usize>, why: String, by_name: bool| {
            found.push(Secret { range: start + range.start..start + range.end, why, by_name });
        };
        if of_server && is_name_of_secret(&word) && !is_placeholder(text) {
            add(range, format!("the option `{word}` is readable by everyone who can read the repository"), false);
            continue;
        }
        let connects = subscribes || token.parent_ancestors().any(|node| is_dblink(&node));
        let passwords = if connects { redact::connection_passwords(text, true) } else { Vec::new() };
        let looks = redact::secrets_in(text).into_iter().chain(passwords).filter(|r| !is_placeholder(&text[r.clone()]));
        let mut told = 0;
        for secret in looks {
            if secret.start >= told {
                told = secret.end;
                let why = "the literal holds a password or a key, which everyone who can read the repository has then";
                add(range.start + secret.start..range.start + secret.end, why.to_owned(), false);
            }
        }
        if told == 0 && text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
            add(range, "the literal holds a private key".to_owned(), false);
            continue;
        }
        if told == 0
            && let Some(column) = column_of(&token)
            && is_name_of_secret(&column)
            && !is_placeholder(text)
            && !is_hash(text)
        {
            add(
                range,
                format!("the column `{column}` gets a value that everyone who can read the repository knows"),
                true,
            );
        }
    }
    found
}

/// One secret is told once, where a block's statements are looked at by themselves too.
pub(super) fn told_once(found: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    found.retain(|f| f.rule.id != "secret-literal" || seen.insert(f.range.start));
}

/// The bytes between the quotes of a literal.
fn content_of(token: &SyntaxToken) -> Option<Range<usize>> {
    let text = token.text();
    match token.kind() {
        SyntaxKind::STRING | SyntaxKind::ESC_STRING | SyntaxKind::NATIONAL_STRING | SyntaxKind::UNICODE_ESC_STRING => {
            let start = text.find('\'')? + 1;
            let end = text.strip_suffix('\'').map_or(text.len(), str::len);
            (start <= end).then_some(start..end)
        }
        SyntaxKind::DOLLAR_QUOTED_STRING => {
            let mark = text[1..].find('$')? + 2;
            text.len().checked_sub(mark).filter(|end| *end >= mark).map(|end| mark..end)
        }
        _ => None,
    }
}

/// A call of one of dblink's functions.
fn is_dblink(node: &SyntaxNode) -> bool {
    let name = ast::CallExpr::cast(node.clone()).and_then(|call| call.expr()).map(|e| name_of(e.syntax()));
    name.is_some_and(|name| name.rsplit('.').next().is_some_and(|n| n.starts_with("dblink")))
}

/// The column into which a literal goes, where it is the whole value.
fn column_of(token: &SyntaxToken) -> Option<String> {
    let value = token.parent()?;
    let column = value.ancestors().find_map(ast::SetSingleColumn::cast).filter(|set| {
        set.set_expr().and_then(|e| e.expr()).is_some_and(|e| e.syntax().text_range() == value.text_range())
    });
    if let Some(set) = column {
        return Some(name_of(set.column_target()?.name()?.syntax()));
    }
    let row = value.parent().and_then(ast::Row::cast)?;
    let place = row.exprs().position(|e| e.syntax().text_range() == value.text_range())?;
    let insert = row.syntax().ancestors().find_map(ast::Insert::cast)?;
    let target = insert.column_target_list()?.column_targets().nth(place)?;
    Some(name_of(target.name()?.syntax()))
}

/// What a password became: nobody can log in with it.
fn is_hash(text: &str) -> bool {
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    ["scram-sha-", "pbkdf2", "bcrypt", "argon2", "sha1$", "sha256", "sha512", "{"]
        .iter()
        .any(|mark| text.get(..mark.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(mark)))
        || text.strip_prefix("md5").is_some_and(|rest| rest.len() == 32 && hex(rest))
        || matches!(text.len(), 32 | 40 | 56 | 64 | 96 | 128) && hex(text)
}

/// The secrets in a Lua script that stand behind a name like one, and do not look like one.
pub(super) fn in_lua(script: &str) -> Vec<Range<usize>> {
    let text = |range: &Range<usize>| &script[range.clone()];
    let is_plain = |text: &str| !is_placeholder(text) && !is_hash(text) && !redact::looks_secret(text);
    named(script).into_iter().filter(|range| is_plain(text(range))).collect()
}

/// The texts that stand for something named like a secret: behind the word `PASSWORD` or `=`, in a table of Lua, or as the
/// next argument. By their looks alone, so that it works on a part of a script and on one that does not parse.
fn named(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut at = 0;
    while let Some(begins) = text[at..].find(is_letter) {
        let start = at + begins;
        let end = text[start..].find(|c: char| !is_letter(c)).map_or(text.len(), |n| start + n);
        at = end;
        if !is_name_of_secret(&text[start..end]) {
            continue;
        }
        let quoted = text[..start].chars().next_back().filter(|c| matches!(c, '\'' | '"'));
        let rest = &text[end..];
        let rest = match quoted {
            Some(quote) => match rest.strip_prefix(quote) {
                Some(rest) => rest,
                None => continue,
            },
            None => rest,
        };
        let rest = rest.strip_prefix(']').unwrap_or(rest).trim_start();
        let joined =
            ["=>", ":=", "=", ":", ","].into_iter().find_map(|sign| rest.strip_prefix(sign).map(|r| (sign, r)));
        let (value, double) = match (joined, quoted) {
            (Some((",", _)), None) => continue,
            (Some((_, value)), _) => (value.trim_start(), true),
            // A literal that says the word itself.
            (None, Some('\'')) => continue,
            (None, _) => (rest, false),
        };
        let value = value.strip_prefix(['e', 'E']).unwrap_or(value);
        let quote = match value.chars().next() {
            Some('\'') => '\'',
            Some('"') if double => '"',
            _ => continue,
        };
        let first = text.len() - value.len() + 1;
        // A doubled quote is part of the text; an open one hides the rest.
        let mut last = first;
        loop {
            match text[last..].find(quote) {
                None => break last = text.len(),
                Some(n) if text[last + n + 1..].starts_with(quote) => last += n + 2,
                Some(n) => break last += n,
            }
        }
        found.push(first..last);
        at = last;
    }
    found
}

/// `text`, which is no JSON, with the secrets in it as stars; each character keeps its place.
fn masked_script(text: &str) -> Cow<'_, str> {
    let mut found = named(text);
    found.extend(redact::secrets_in(text));
    let lower = text.to_ascii_lowercase();
    let may_hold = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    // What only the tree tells: values in the order of their columns, and what other servers are told.
    let hidden =
        may_hold(&["insert", "dblink", "subscription"]) && may_hold(&["passw", "pwd", "secret", "token", "key"]);
    if hidden && cannot_parse(text).is_none() {
        found.extend(depth::with_stack(|| {
            let tree = SourceFile::parse(text).tree();
            tree.stmts().flat_map(|s| in_sql(s.syntax())).map(|s| s.range).collect::<Vec<_>>()
        }));
    }
    found.retain(|range| !text.get(range.clone()).is_some_and(redact::is_sealed));
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_by_key(|range| range.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in found.into_iter().filter(|r| text.is_char_boundary(r.start) && text.is_char_boundary(r.end)) {
        let start = range.start.max(at);
        if start < range.end {
            out.push_str(&text[at..start]);
            out.extend(text[start..range.end].chars().map(|c| if c == '\n' { c } else { '*' }));
            at = range.end;
        }
    }
    out.push_str(&text[at..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_81_secrets_in_json_become_stars_of_the_same_length() {
        for (json, shown) in [
            (r#"{"type":"run_command","pwd":"a\"b","x":"y"}"#, r#"{"type":"run_command","pwd":"****","x":"y"}"#),
            (
                r#"{ "api_key" : "k" , "b": ["AKIAABCDEFGHIJKLMNOP"] }"#,
                r#"{ "api_key" : "*" , "b": ["********************"] }"#,
            ),
            ("return 'AKIAABCDEFGHIJKLMNOP'", "return '********************'"),
            (r#"[{"password": {"type": "keyword"}}]"#, r#"[{"password": {"type": "keyword"}}]"#),
            (
                r#"{"$set":{"password":"$old"},"$unset":{"password":""}}"#,
                r#"{"$set":{"password":"$old"},"$unset":{"password":""}}"#,
            ),
            (r#"{"$set":{"password":"ENC[age:abc]"}}"#, r#"{"$set":{"password":"ENC[age:abc]"}}"#),
        ] {
            assert_eq!(masked(json), shown);
        }
    }

    #[test]
    fn passwords_become_stars_of_the_same_length() {
        for (sql, shown) in [
            ("create role a password 'sé''x' login;", "create role a password '*****' login;"),
            ("ALTER USER a ENCRYPTED PASSWORD\n E'x\ny';", "ALTER USER a ENCRYPTED PASSWORD\n E'*\n*';"),
            ("alter role a password 'open", "alter role a password '****"),
            ("alter role a password null; select 'password';", "alter role a password null; select 'password';"),
            ("select 1;", "select 1;"),
            ("update a set password='x', n = 'y';", "update a set password='*', n = 'y';"),
            ("options (user 'u', password 'x')", "options (user 'u', password '*')"),
            ("options (add \"password\" 'x')", "options (add \"password\" '*')"),
            (
                "insert into a (n, password) values ('y', 'hunter2');",
                "insert into a (n, password) values ('y', '*******');",
            ),
            ("select dblink_connect('password=hunter2');", "select dblink_connect('password=*******');"),
            ("connection 'host=h password=hunter2 port=1'", "connection 'host=h password=******* port=1'"),
            ("select 'postgres://u:pw@h/d'", "select 'postgres://u:**@h/d'"),
            (
                "redis.call('HSET', KEYS[1], 'password', \"hunter2\")",
                "redis.call('HSET', KEYS[1], 'password', \"*******\")",
            ),
            ("local t = { token = 'x', ['pwd'] = 'y' }", "local t = { token = '*', ['pwd'] = '*' }"),
            ("comment on column a.password is 'bcrypt';", "comment on column a.password is 'bcrypt';"),
            ("alter role a password 'ENC[age:abc]';", "alter role a password 'ENC[age:abc]';"),
            ("redis.call('HSET', k, 'token', 'ENC[age:abc]')", "redis.call('HSET', k, 'token', 'ENC[age:abc]')"),
        ] {
            assert_eq!(masked(sql), shown);
        }
    }

    #[test]
    fn x01_secrets_in_lua_are_found_by_their_names() {
        for (lua, told) in [
            ("redis.call('HSET', KEYS[1], 'password', 'hunter2')", true),
            ("redis.call('HSET', KEYS[1], 'password', ARGV[1])", false),
            ("redis.call('HSET', KEYS[1], 'password', '')", false),
            ("local t = { password = 'hunter2' }", true),
        ] {
            assert_eq!(!in_lua(lua).is_empty(), told, "{lua}");
        }
    }
}
