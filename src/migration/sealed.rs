//! Sealed values: single values of a migration that are stored encrypted and opened only where it runs [S4-84]. Pure.
//!
//! A sealed value is the whole content of a literal, `'ENC[age:…]'`: an [age](https://age-encryption.org/v1) file in Base64.
//! Everything around it stays readable, so that a reviewer, the linter and a plan see what happens to which column or
//! field. An opened value takes the literal's place written so that nothing of it can end the literal, and on one line,
//! so that every statement and every line stay where they were.

use std::fmt::Write as _;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::execution::CannotExecute;
use crate::ids::Engine;

/// What a sealed value begins with.
pub const MARK: &str = "ENC[age:";
/// What the files begin with that stand in sealed values.
const AGE: &[u8] = b"age-encryption.org/v1";
/// The lint rule that speaks of them.
pub const RULE: &str = "sealed-value";
/// How many characters that an error has in common with a value are no accident.
const TELLING: usize = 6;

/// What a script is written in, which says how a literal looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// SQL of PostgreSQL.
    Postgresql,
    /// SQL of SQLite.
    Sqlite,
    /// JSON, on one line or many.
    Json,
    /// JSON that may hold Lua.
    JsonWithLua,
    /// A command a line, as `redis-cli` takes them.
    Commands,
}

impl Form {
    /// What migrations of `engine` are written in, once their files are put together.
    pub fn of_migrations(engine: Engine) -> Self {
        match engine {
            Engine::Postgresql => Form::Postgresql,
            Engine::Sqlite => Form::Sqlite,
            Engine::Mongodb | Engine::Elasticsearch => Form::Json,
            Engine::Redis => Form::JsonWithLua,
        }
    }

    /// What seed data of `engine` is written in.
    pub fn of_seeds(engine: Engine) -> Self {
        if engine == Engine::Redis { Form::Commands } else { Self::of_migrations(engine) }
    }
}

/// What a literal is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Literal {
    Postgresql,
    Sqlite,
    Json,
    /// Lua within JSON.
    Lua,
    Command,
}

/// A sealed value where it stands in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The bytes of the literal, its quotes included.
    range: Range<usize>,
    literal: Literal,
    /// Its line in the script, from 1.
    pub line: u32,
    /// The age file.
    pub file: Vec<u8>,
}

/// Whether a script holds a sealed value, right or wrong.
pub fn holds(text: &str) -> bool {
    text.contains(MARK)
}

/// `file`, an encrypted value, as it stands between the quotes of a literal.
pub fn written(file: &[u8]) -> String {
    format!("{MARK}{}]", STANDARD.encode(file))
}

/// Whether `text` is one sealed value and nothing else.
pub fn is_whole(text: &str) -> bool {
    text.starts_with(MARK) && text.find(']') == Some(text.len() - 1)
}

/// The sealed values of a script in order; each that cannot be opened whatever the key, with what is wrong with it.
pub fn each(form: Form, text: &str) -> Vec<Result<Sealed, CannotExecute>> {
    let mut found = Vec::new();
    let (mut from, mut line) = (0, 1u32);
    while let Some(at) = text[from..].find(MARK).map(|at| from + at) {
        let passed = text.as_bytes()[from..at].iter().filter(|b| **b == b'\n').count();
        line += u32::try_from(passed).unwrap_or(0);
        let wrong = |message: &str, help: &str| CannotExecute {
            rule: RULE,
            line,
            message: message.to_owned(),
            help: help.to_owned(),
        };
        let body = &text[at + MARK.len()..];
        let length = body.find(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c))).unwrap_or(body.len());
        let end = at + MARK.len() + length;
        from = end;
        let file = STANDARD.decode(&body[..length]).ok().filter(|file| file.starts_with(AGE));
        found.push(match (file, body[length..].starts_with(']')) {
            (Some(file), true) => literal_at(form, text, at..end + 1)
                .map(|(literal, range)| Sealed { range, literal, line, file })
                .map_err(|(message, help)| wrong(message, help)),
            _ => Err(wrong(
                "a sealed value is cut off or changed, so that no key opens it",
                "seal it anew with `godwit seal`, and paste all of what it prints",
            )),
        });
    }
    found
}

/// The sealed values of a script in order.
///
/// # Errors
/// What is wrong with the first that is.
pub fn all(form: Form, text: &str) -> Result<Vec<Sealed>, CannotExecute> {
    if !holds(text) {
        return Ok(Vec::new());
    }
    each(form, text).into_iter().collect()
}

/// The literal whose whole content `inner` is, and its bytes with the quotes; else what is wrong, and what to do.
fn literal_at(
    form: Form,
    text: &str,
    inner: Range<usize>,
) -> Result<(Literal, Range<usize>), (&'static str, &'static str)> {
    let (before, after) = (&text[..inner.start], &text[inner.end..]);
    let quoted = |quote: &str| before.ends_with(quote) && after.starts_with(quote);
    let around = |quote: &str| inner.start - quote.len()..inner.end + quote.len();
    let is_part = "a sealed value is a part of a longer text, where it would not be opened";
    match form {
        Form::Postgresql | Form::Sqlite => {
            let literal = if form == Form::Postgresql { Literal::Postgresql } else { Literal::Sqlite };
            let help = "make it a literal of its own: `'ENC[…]'`, with `||` to what stands beside it";
            let front = before.strip_suffix('\'').and_then(|before| before.chars().next_back());
            // Behind a letter the quote begins an `E'…'`, `B'…'` or `U&'…'`; behind a quote it is one within a literal.
            let begins = front.is_none_or(|c| !(c.is_alphanumeric() || "_&'$".contains(c)));
            if quoted("'") && begins && !after.starts_with("''") {
                Ok((literal, around("'")))
            } else if quoted("'") && front.is_some_and(|c| c.is_alphanumeric() || c == '&') {
                Err(("a sealed value stands in a literal with a letter in front", "write it as a plain `'ENC[…]'`"))
            } else {
                Err((is_part, help))
            }
        }
        Form::Json | Form::JsonWithLua => {
            let help = "make it a string of its own: `\"ENC[…]\"`";
            if quoted("\"") && !before.ends_with("\\\"") {
                let is_key = after[1..].trim_start().starts_with(':');
                let told = ("a sealed value stands where a name is expected", "seal values, not names of fields");
                return if is_key { Err(told) } else { Ok((Literal::Json, around("\""))) };
            }
            if form == Form::JsonWithLua {
                for quote in ["'", "\\\""] {
                    if quoted(quote) {
                        return Ok((Literal::Lua, around(quote)));
                    }
                }
                return Err((is_part, "make it a string of its own, or give it to the script in `args`"));
            }
            Err((is_part, help))
        }
        Form::Commands => {
            let is_word = before.chars().next_back().is_none_or(char::is_whitespace)
                && after.chars().next().is_none_or(char::is_whitespace);
            match is_word {
                true => Ok((Literal::Command, inner)),
                false if quoted("\"") && !before.ends_with("\\\"") => Ok((Literal::Command, around("\""))),
                false => Err((is_part, "make it a word of its own")),
            }
        }
    }
}

/// The script with a value in the place of each that is sealed: `values` are those of `sealed`, in their order.
///
/// # Errors
/// A value that the language has no literal for.
pub fn filled(text: &str, sealed: &[Sealed], values: &[&str]) -> Result<String, CannotExecute> {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (one, value) in sealed.iter().zip(values) {
        if matches!(one.literal, Literal::Postgresql | Literal::Sqlite) && value.contains('\0') {
            return Err(CannotExecute {
                rule: RULE,
                line: one.line,
                message: "the sealed value holds a zero byte, which no text of this database may".to_owned(),
                help: "seal it in another form, such as Base64".to_owned(),
            });
        }
        out.push_str(&text[from..one.range.start]);
        push(&mut out, one.literal, value);
        from = one.range.end;
    }
    out.push_str(&text[from..]);
    Ok(out)
}

/// Writes a value as a literal. Whatever is no ASCII letter or digit is written by its number: a value can then end no
/// literal, whatever stands around it.
fn push(out: &mut String, literal: Literal, value: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric();
    match literal {
        Literal::Postgresql => {
            out.push_str("E'");
            for c in value.chars() {
                let _ = match u32::from(c) {
                    _ if plain(c) => write!(out, "{c}"),
                    code @ ..=0xffff => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
            out.push('\'');
        }
        // SQLite's literals have no numbers.
        Literal::Sqlite => {
            let _ = write!(out, "CAST(X'{}' AS TEXT)", hex::encode(value));
        }
        Literal::Json => {
            out.push('"');
            for unit in value.encode_utf16() {
                let _ = match char::from_u32(u32::from(unit)).filter(|c| plain(*c)) {
                    Some(c) => write!(out, "{c}"),
                    None => write!(out, "\\u{unit:04x}"),
                };
            }
            out.push('"');
        }
        Literal::Lua => push_bytes(out, ("'", "'"), value, |out, byte| write!(out, "\\\\{byte:03}")),
        Literal::Command => push_bytes(out, ("\"", "\""), value, |out, byte| write!(out, "\\x{byte:02x}")),
    }
}

fn push_bytes(
    out: &mut String,
    (opens, closes): (&str, &str),
    value: &str,
    number: impl Fn(&mut String, u8) -> std::fmt::Result,
) {
    out.push_str(opens);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let _ = number(out, byte);
        }
    }
    out.push_str(closes);
}

/// `message` without what it has in common with one of the `values`: a server quotes what it refuses, and cuts it short
/// where it likes.
pub fn blotted<'v>(message: &str, values: impl IntoIterator<Item = &'v str>) -> String {
    let chars: Vec<(usize, char)> = message.char_indices().collect();
    let mut hidden = vec![false; chars.len()];
    for value in values {
        let value: Vec<char> = value.chars().collect();
        let width = value.len().min(TELLING);
        // So few letters stand in many words.
        if width < 3 {
            continue;
        }
        let parts: std::collections::HashSet<&[char]> = value.windows(width).collect();
        let text: Vec<char> = chars.iter().map(|(_, c)| *c).collect();
        for (at, part) in text.windows(width).enumerate() {
            if parts.contains(part) {
                hidden[at..at + width].fill(true);
            }
        }
    }
    if !hidden.contains(&true) {
        return message.to_owned();
    }
    let mut out = String::with_capacity(message.len());
    for (n, (_, c)) in chars.iter().enumerate() {
        match (hidden[n], n > 0 && hidden[n - 1]) {
            (false, _) => out.push(*c),
            (true, false) => out.push_str("****"),
            (true, true) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(value: &str) -> String {
        written(format!("age-encryption.org/v1\n{value}").as_bytes())
    }

    #[test]
    fn s4_84_a_value_takes_the_place_of_its_literal_and_can_never_end_it() {
        let one = sealed("x");
        let value = "it's \"a\"\n\\ü😀$$";
        for (form, text, expected) in [
            (
                Form::Postgresql,
                format!("-- a\ninsert into t values (1, '{one}');"),
                r"insert into t values (1, E'it\u0027s\u0020\u0022a\u0022\u000a\u005c\u00fc\U0001f600\u0024\u0024');",
            ),
            (
                Form::Sqlite,
                format!("-- a\nupdate t set n='{one}';"),
                "update t set n=CAST(X'69742773202261220a5cc3bcf09f98802424' AS TEXT);",
            ),
            (
                Form::Json,
                format!("[\n{{\"value\": \"{one}\"}}]"),
                r#"{"value": "it\u0027s\u0020\u0022a\u0022\u000a\u005c\u00fc\ud83d\ude00\u0024\u0024"}]"#,
            ),
            (
                Form::JsonWithLua,
                format!("[\n{{\"lua\":\"redis.call('SET', KEYS[1], '{one}')\"}}]"),
                r#"{"lua":"redis.call('SET', KEYS[1], 'it\\039s\\032\\034a\\034\\010\\092\\195\\188\\240\\159\\152\\128\\036\\036')"}]"#,
            ),
            (
                Form::Commands,
                format!("# a\nSET k {one}"),
                r#"SET k "it\x27s\x20\x22a\x22\x0a\x5c\xc3\xbc\xf0\x9f\x98\x80\x24\x24""#,
            ),
        ] {
            let found = all(form, &text).unwrap();
            assert_eq!((found.len(), found[0].line), (1, 2), "{text}");
            assert!(found[0].file.starts_with(AGE));
            let filled = filled(&text, &found, &[value]).unwrap();
            assert_eq!(filled.lines().nth(1), Some(expected));
            assert_eq!(filled.lines().count(), text.lines().count());
            if matches!(form, Form::Json | Form::JsonWithLua) {
                let json: serde_json::Value = serde_json::from_str(&filled).unwrap();
                assert!(json[0]["value"].as_str().is_none_or(|v| v == value));
            }
        }
        let text = format!("select '{one}', 'b', '{}'", sealed("y"));
        let found = all(Form::Postgresql, &text).unwrap();
        assert_eq!(filled(&text, &found, &["a", "c"]).unwrap(), "select E'a', 'b', E'c'");
        assert!(filled(&text, &found, &["a\0", "c"]).is_err());
    }

    #[test]
    fn s4_84_what_could_not_be_opened_or_would_not_is_told_with_its_line() {
        let one = sealed("x");
        for (form, text, says) in [
            (Form::Postgresql, format!("select E'{one}'"), "a letter in front"),
            (Form::Postgresql, format!("select '{{\"token\": \"{one}\"}}'"), "a part of a longer text"),
            (Form::Postgresql, format!("select '''{one}'''"), "a part of a longer text"),
            (Form::Postgresql, format!("select 'x {one}'"), "a part of a longer text"),
            (Form::Postgresql, format!("-- {one}"), "a part of a longer text"),
            (Form::Sqlite, format!("select \"{one}\""), "a part of a longer text"),
            (Form::Postgresql, format!("select '{}'", &one[..one.len() - 9]), "cut off or changed"),
            (Form::Postgresql, "select 'ENC[age:abcd]'".to_owned(), "cut off or changed"),
            (Form::Postgresql, "select 'ENC[age:".to_owned(), "cut off or changed"),
            (Form::Json, format!("{{\"{one}\": 1}}"), "where a name is expected"),
            (Form::Json, format!("{{\"a\": \"x {one}\"}}"), "a part of a longer text"),
            (Form::Json, format!("{{\"a\": \"it's '{one}'\"}}"), "a part of a longer text"),
            (Form::JsonWithLua, format!("{{\"lua\": \"x('a {one}')\"}}"), "a part of a longer text"),
            (Form::Commands, format!("SET k x{one}"), "a part of a longer text"),
        ] {
            let error = all(form, &format!("\n{text}")).unwrap_err();
            assert!(error.message.contains(says) && error.line == 2, "{text}: {error:?}");
        }
        assert!(all(Form::Json, "{}").unwrap().is_empty());
    }

    #[test]
    fn s4_84_an_error_tells_nothing_of_a_value_even_where_the_server_cuts_it_short() {
        let value = "correct horse battery staple";
        let told = "Failing row contains (1, correct horse bat...). Key (a)=(correct horse battery staple) exists.";
        assert_eq!(blotted(told, [value]), "Failing row contains (1, ****...). Key (a)=(****) exists.");
        assert_eq!(blotted("Key (pin)=(4711) exists.", ["4711"]), "Key (pin)=(****) exists.");
        assert_eq!(blotted("nothing of it", [value, "a", ""]), "nothing of it");
    }
}
