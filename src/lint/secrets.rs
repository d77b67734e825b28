//! Passwords that stand in a script, blotted out where the script is shown.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::redact::is_secret;

/// `text` with every secret in it as stars, each character at its place: in SQL the literals behind the word `PASSWORD`,
/// in JSON the texts of keys that are named like a secret, and what looks like a secret wherever it stands.
pub fn masked(text: &str) -> Cow<'_, str> {
    let Ok(Value::Object(_) | Value::Array(_)) = serde_json::from_str::<Value>(text) else {
        return match masked_sql(text) {
            Cow::Borrowed(text) => without_access_keys(text),
            Cow::Owned(text) => Cow::Owned(without_access_keys(&text).into_owned()),
        };
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

/// The text without access keys of AWS, each character of which becomes a star.
fn without_access_keys(text: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(text);
    for (at, _) in text.match_indices("AKIA") {
        let id: usize = text[at..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        if crate::redact::looks_secret(&text[at..at + id]) {
            out.to_mut().replace_range(at..at + id, &"*".repeat(id));
        }
    }
    out
}

/// `sql` with the text of every literal behind the word `PASSWORD` as stars; each character keeps its place.
fn masked_sql(sql: &str) -> Cow<'_, str> {
    let lower = sql.to_ascii_lowercase();
    if !lower.contains("password") {
        return Cow::Borrowed(sql);
    }
    let mut out = String::with_capacity(sql.len());
    let mut at = 0;
    for (found, word) in lower.match_indices("password") {
        // The word as a literal of its own, or inside of one that is blotted out already.
        if found < at || sql[..found].ends_with('\'') {
            continue;
        }
        let behind = found + word.len();
        let rest = &sql[behind..];
        let blanks = rest.len() - rest.trim_start().len();
        let literal = rest[blanks..].strip_prefix(['e', 'E']).unwrap_or(&rest[blanks..]);
        let Some(body) = literal.strip_prefix('\'') else { continue };
        let start = sql.len() - body.len();
        // A doubled quote is part of the text; an open one hides the rest.
        let mut end = start;
        loop {
            match sql[end..].find('\'') {
                None => break end = sql.len(),
                Some(n) if sql[end + n + 1..].starts_with('\'') => end += n + 2,
                Some(n) => break end += n,
            }
        }
        out.push_str(&sql[at..start]);
        out.extend(sql[start..end].chars().map(|c| if c == '\n' { c } else { '*' }));
        at = end;
    }
    out.push_str(&sql[at..]);
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
        ] {
            assert_eq!(masked(sql), shown);
        }
    }
}
