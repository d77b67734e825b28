//! Sealed values: single values of a migration that are stored encrypted and opened only where it runs [S4-84]. Pure.
//!
//! A sealed value is the whole content of a literal, `'ENC[age:…]'`: an [age](https://age-encryption.org/v1) file in Base64.
//! Everything around it stays readable, so that a reviewer, the linter and a plan see what happens to which column or
//! field; so it stands only where a value is written, never where something is run, named or chosen by a pattern. An opened
//! value takes the literal's place written so that nothing of it can end the literal, and on one line, so that every
//! statement and every line stay where they were.

mod hiding;
mod json;
mod sql;

pub use hiding::{Hidden, blotted};

use std::fmt::Write as _;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::execution::CannotExecute;
use crate::ids::Engine;

/// What a sealed value begins with.
pub const MARK: &str = "ENC[age:";
/// What stands in front of an opened value in SQL that is sent to PostgreSQL, so that others who look at what the server
/// runs show nothing from there on.
pub const OPENED: &str = "/*godwit:opened*/";
/// What the files begin with that stand in sealed values.
const AGE: &[u8] = b"age-encryption.org/v1";
/// The lint rule that speaks of them.
pub const RULE: &str = "sealed-value";

/// What a script is written in, which says where values stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// SQL of PostgreSQL or of SQLite.
    Sql(Engine),
    /// A list of operations, or an object with one.
    Operations(Engine),
    /// JSON of data, on one line or many.
    Documents,
    /// A command a line, as `redis-cli` takes them.
    Commands,
}

impl Form {
    /// What migrations of `engine` are written in, once their files are put together.
    pub fn of_migrations(engine: Engine) -> Self {
        match engine {
            Engine::Postgresql | Engine::Sqlite => Form::Sql(engine),
            Engine::Mongodb | Engine::Elasticsearch | Engine::Redis => Form::Operations(engine),
        }
    }

    /// What seed data of `engine` is written in.
    pub fn of_seeds(engine: Engine) -> Self {
        match engine {
            Engine::Postgresql | Engine::Sqlite => Form::Sql(engine),
            Engine::Mongodb | Engine::Elasticsearch => Form::Documents,
            Engine::Redis => Form::Commands,
        }
    }
}

/// What a literal is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Literal {
    Postgresql,
    Sqlite,
    Json,
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

/// A sealed value in the wrong place.
struct Misplaced {
    /// The byte of the script.
    at: usize,
    message: String,
    help: String,
}

fn is_part(help: &'static str) -> (String, &'static str) {
    ("a sealed value is a part of a longer text, where it would not be opened".to_owned(), help)
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
    if !holds(text) {
        return Vec::new();
    }
    let (literal, places) = match form {
        Form::Sql(Engine::Sqlite) => (Literal::Sqlite, sql::literals(Engine::Sqlite, text)),
        Form::Sql(engine) => (Literal::Postgresql, sql::literals(engine, text)),
        Form::Operations(engine) => (Literal::Json, json::of_operations(engine, text)),
        Form::Documents => (Literal::Json, json::of_documents(text)),
        Form::Commands => (Literal::Command, words(text)),
    };
    let line =
        |at: usize| 1 + u32::try_from(text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count()).unwrap_or(0);
    let read = |range: Range<usize>| {
        let cut = CannotExecute {
            rule: RULE,
            line: line(range.start),
            message: "a sealed value is cut off or changed, so that no key opens it".to_owned(),
            help: "seal it anew with `godwit seal`, and paste all of what it prints".to_owned(),
        };
        let inner = text[range.clone()].trim_matches(['\'', '"']);
        let file = inner.strip_prefix(MARK).and_then(|rest| STANDARD.decode(rest.strip_suffix(']')?).ok());
        let file = file.filter(|file| file.starts_with(AGE)).ok_or(cut)?;
        Ok(Sealed { line: line(range.start), range, literal, file })
    };
    places
        .into_iter()
        .map(|place| match place {
            Ok(range) => read(range),
            Err(wrong) => {
                Err(CannotExecute { rule: RULE, line: line(wrong.at), message: wrong.message, help: wrong.help })
            }
        })
        .collect()
}

/// The sealed values of a script in order.
///
/// # Errors
/// What is wrong with the first that is.
pub fn all(form: Form, text: &str) -> Result<Vec<Sealed>, CannotExecute> {
    each(form, text).into_iter().collect()
}

/// The sealed words of a file of commands: no command and no key, and nothing within quotes.
fn words(text: &str) -> Vec<Result<Range<usize>, Misplaced>> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let mut from = 0;
        while let Some(at) = line[from..].find(MARK).map(|at| from + at) {
            let length = line[at..].find(char::is_whitespace).unwrap_or(line.len() - at);
            let before = &line[..at];
            from = at + length;
            if before.trim_start().starts_with('#') {
                continue;
            }
            let place = start + at..start + from;
            let is_word =
                before.ends_with(char::is_whitespace) && !before.contains(['"', '\'']) && is_whole(&line[at..from]);
            let is_value = before.split_whitespace().count() >= 2;
            found.push(if is_word && is_value {
                Ok(place)
            } else {
                let (message, help) = if is_word {
                    ("a sealed value stands where a command or a key does".to_owned(), "seal values")
                } else {
                    is_part("make it a word of its own, before any in quotes")
                };
                Err(Misplaced { at: place.start, message, help: help.to_owned() })
            });
        }
        start += line.len();
    }
    found
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
            out.push_str(OPENED);
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
        Literal::Command => {
            out.push('"');
            for byte in value.bytes() {
                let _ = match char::from(byte) {
                    c if plain(c) => write!(out, "{c}"),
                    _ => write!(out, "\\x{byte:02x}"),
                };
            }
            out.push('"');
        }
    }
}

#[cfg(test)]
mod tests;
