//! What the first words of a SQLite statement say: which object it makes or takes away, and whether the judge may carry
//! it out. Pure.

use std::collections::BTreeSet;

/// What becomes of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Carried out: it changes the schema and computes nothing.
    CarriedOut,
    /// Compiled only.
    Compiled,
    /// Not even compiled: it acts while it is compiled, or is about files.
    LeftAlone,
}

/// A statement as the judge sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// What becomes of it.
    pub part: Part,
    /// What can no longer be known once it was not carried out; lower case.
    pub about: Vec<String>,
    /// The names in front of its first parenthesis, as far as they can be objects: what it may have meant to be about
    /// where it does not parse.
    pub head: Vec<String>,
    /// The object there is afterwards.
    pub makes: Option<String>,
    /// It is a `CREATE TABLE` that fails where the table is there already.
    pub plain: bool,
    /// It makes a table.
    pub table: bool,
    /// The object there is no more.
    pub unmakes: Option<String>,
    /// It declares a view or a trigger, whose depth costs stack later.
    pub nests: bool,
    /// It changes how everything behind it is read (`PRAGMA writable_schema`).
    pub upsets: bool,
    /// Every name and text in it, lower case.
    pub names: BTreeSet<String>,
}

/// Words in front of a statement's objects.
const KEYWORDS: [&str; 25] = [
    "create",
    "alter",
    "drop",
    "table",
    "index",
    "view",
    "trigger",
    "virtual",
    "unique",
    "temp",
    "temporary",
    "if",
    "not",
    "exists",
    "on",
    "as",
    "add",
    "column",
    "rename",
    "to",
    "attach",
    "detach",
    "database",
    "vacuum",
    "main",
];

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Other(u8),
}

fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let from = at;
        let until = |end: Option<usize>, len: usize| end.map_or(bytes.len(), |n| from + n + len);
        match bytes[at] {
            b'-' if bytes.get(at + 1) == Some(&b'-') => at = until(text[at..].find('\n'), 1),
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = text[at + 2..].find("*/").map_or(bytes.len(), |n| at + n + 4)
            }
            b'[' => {
                at = until(text[at..].find(']'), 1);
                found.push(Token::Quoted(text[from + 1..at.max(from + 2) - 1].to_lowercase()));
            }
            quote @ (b'\'' | b'"' | b'`') => {
                let mut name = Vec::new();
                at += 1;
                while at < bytes.len() {
                    if bytes[at] == quote {
                        if bytes.get(at + 1) != Some(&quote) {
                            break;
                        }
                        at += 1;
                    }
                    name.push(bytes[at]);
                    at += 1;
                }
                at = (at + 1).min(bytes.len());
                found.push(Token::Quoted(String::from_utf8_lossy(&name).to_lowercase()));
            }
            b if b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80 => {
                while at < bytes.len()
                    && (bytes[at].is_ascii_alphanumeric() || matches!(bytes[at], b'_' | b'$') || bytes[at] >= 0x80)
                {
                    at += 1;
                }
                found.push(Token::Word(text[from..at].to_lowercase()));
            }
            b if b.is_ascii_whitespace() => at += 1,
            b => {
                at += 1;
                found.push(Token::Other(b));
            }
        }
    }
    found
}

/// Reads a statement.
pub(super) fn shape(text: &str) -> Shape {
    let tokens = tokens(text);
    let names: BTreeSet<String> = tokens
        .iter()
        .filter_map(|t| match t {
            Token::Word(name) | Token::Quoted(name) => Some(name.clone()),
            Token::Other(_) => None,
        })
        .collect();
    let head = tokens
        .iter()
        .take_while(|t| **t != Token::Other(b'('))
        .filter_map(|t| match t {
            Token::Word(name) if KEYWORDS.contains(&name.as_str()) => None,
            Token::Word(name) | Token::Quoted(name) => Some(name.clone()),
            Token::Other(_) => None,
        })
        .take(4)
        .collect();
    let word = |i: usize| match tokens.get(i) {
        Some(Token::Word(word)) => word.as_str(),
        Some(Token::Quoted(_) | Token::Other(_)) | None => "",
    };
    // The name at `i`, its schema left out, and where the text goes on.
    let name = |i: usize| {
        let i = if tokens.get(i + 1) == Some(&Token::Other(b'.')) { i + 2 } else { i };
        match tokens.get(i) {
            Some(Token::Word(name) | Token::Quoted(name)) => Some((name.clone(), i + 1)),
            Some(Token::Other(_)) | None => None,
        }
    };
    let mut shape = Shape {
        part: Part::Compiled,
        about: Vec::new(),
        head,
        makes: None,
        plain: false,
        table: false,
        unmakes: None,
        nests: false,
        upsets: false,
        names,
    };
    match word(0) {
        "create" => {
            let temporary = matches!(word(1), "temp" | "temporary");
            let mut i = 1 + usize::from(temporary);
            let special = matches!(word(i), "unique" | "virtual");
            let is_virtual = word(i) == "virtual";
            i += usize::from(special);
            let kind = word(i);
            let careful = word(i + 1) == "if" && word(i + 2) == "not" && word(i + 3) == "exists";
            i += if careful { 4 } else { 1 };
            match (kind, name(i)) {
                ("table" | "index" | "view" | "trigger", Some((object, next))) => {
                    // A query behind AS would be computed.
                    let computed = kind == "table" && word(next) == "as";
                    if !temporary && !is_virtual && !computed {
                        shape.part = Part::CarriedOut;
                    }
                    shape.table = kind == "table";
                    shape.plain = kind == "table" && !careful && !temporary;
                    shape.nests = matches!(kind, "view" | "trigger");
                    shape.about = vec![object.clone()];
                    shape.makes = Some(object);
                }
                _ => shape.about.clone_from(&shape.head),
            }
        }
        "alter" if word(1) == "table" => match name(2) {
            Some((table, next)) => {
                shape.part = Part::CarriedOut;
                shape.about = vec![table.clone()];
                if word(next) == "rename" && word(next + 1) == "to" {
                    if let Some((new, _)) = name(next + 2) {
                        shape.about.push(new.clone());
                        shape.makes = Some(new);
                    }
                    shape.unmakes = Some(table);
                }
            }
            None => shape.about.clone_from(&shape.head),
        },
        "drop" if matches!(word(1), "table" | "index" | "view" | "trigger") => {
            let careful = word(2) == "if" && word(3) == "exists";
            if let Some((object, _)) = name(if careful { 4 } else { 2 }) {
                shape.part = Part::CarriedOut;
                shape.about = vec![object.clone()];
                shape.unmakes = Some(object);
            }
        }
        "pragma" => {
            shape.part = Part::LeftAlone;
            shape.upsets = ["writable_schema", "legacy_alter_table"].iter().any(|p| shape.names.contains(*p));
        }
        "attach" | "detach" | "vacuum" => {
            shape.part = Part::LeftAlone;
            shape.about.clone_from(&shape.head);
        }
        "alter" | "drop" => shape.about.clone_from(&shape.head),
        _ => {}
    }
    shape
}

/// The table, index, view or trigger that SQLite's message says is not there; lower case, without `main.`.
pub(super) fn missing(message: &str) -> Option<String> {
    let at = ["no such table: ", "no such index: ", "no such view: ", "no such trigger: "]
        .iter()
        .find_map(|words| message.find(words).map(|at| at + words.len()))?;
    let name = message[at..].lines().next().unwrap_or_default().trim().to_lowercase();
    Some(["main.", "temp."].iter().find_map(|s| name.strip_prefix(s)).map_or(name.clone(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words_decide_what_is_carried_out() {
        use Part::{CarriedOut, Compiled, LeftAlone};
        for (sql, part) in [
            ("CREATE TABLE a (b)", CarriedOut),
            ("/* x */ create -- y\n table if not exists main.\"A B\" (c)", CarriedOut),
            ("create unique index i on a (b)", CarriedOut),
            ("create trigger g after insert on a begin select 1; end", CarriedOut),
            ("drop view if exists v", CarriedOut),
            ("alter table a add b", CarriedOut),
            ("create table a as select 1", Compiled),
            ("create table[a]as/**/with recursive x(n) as (select 1) select n from x", Compiled),
            ("create table if not exists 'a'AS select 1", Compiled),
            ("create temp table a (b)", Compiled),
            ("create virtual table a using fts5(b)", Compiled),
            ("insert into a values (1)", Compiled),
            ("with x as (select 1) delete from a", Compiled),
            ("create tabel a (b)", Compiled),
            ("PRAGMA writable_schema = 1", LeftAlone),
            ("attach 'x' as y", LeftAlone),
            ("vacuum into 'x'", LeftAlone),
        ] {
            assert_eq!(shape(sql).part, part, "{sql}");
        }
        for open in ["create table 'a", "create table [a", "create table [", "/*", "--", "\"", "create", ""] {
            shape(open);
        }
    }

    #[test]
    fn objects_are_named_without_quotes_and_schema() {
        let s = shape("create table if not exists main.\"A\"\"b\" (c)");
        assert_eq!((s.makes.as_deref(), s.plain), (Some("a\"b"), false));
        let s = shape("alter table [a] rename to `B`");
        assert_eq!((s.unmakes.as_deref(), s.makes.as_deref()), (Some("a"), Some("b")));
        assert_eq!(shape("alter table a rename to_do to done").makes, None);
        assert_eq!(missing("error in view v: no such table: main.T"), Some("t".to_owned()));
        assert_eq!(missing("no such column: x"), None);
    }
}
