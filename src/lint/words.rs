//! Words of a script: without one of them, what some rule looks for cannot be there.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// Words that some rules cannot do without. They walk every node of a statement, a search of the text costs nothing.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// `CASCADE`.
    pub cascade: bool,
    /// `char`, `character`, `varchar`, `bpchar`.
    pub char: bool,
    /// `DOMAIN`.
    pub domain: bool,
    /// `int`, `integer`, `bigint`, …
    pub int: bool,
    /// `INSERT`.
    pub insert: bool,
    /// `json`, `jsonb`.
    pub json: bool,
    /// `LIMIT`, `OFFSET`, `FETCH`.
    pub limit: bool,
    /// `LOGGED`, `UNLOGGED`.
    pub logged: bool,
    /// `money`.
    pub money: bool,
    /// `NOT IN`.
    pub not_in: bool,
    /// `OWNER`.
    pub owner: bool,
    /// `PRIMARY`.
    pub primary: bool,
    /// `REPLICA`, `PUBLICATION`.
    pub replication: bool,
    /// `serial`, `bigserial`, …
    pub serial: bool,
    /// `smallint`, `smallserial`, `int2`, `serial2`.
    pub small: bool,
    /// `timetz`, `time with time zone`.
    pub timetz: bool,
    /// `timestamp`.
    pub timestamp: bool,
    /// `UPDATE`.
    pub update: bool,
    /// `VALIDATE`.
    pub validate: bool,
    /// `VALUE`, `VALUES`.
    pub value: bool,
    /// `setval`.
    pub setval: bool,
    /// `WITH`, beside `UPDATE` or `DELETE`.
    pub changes_within: bool,
    /// Anything of what [`NEWER`] names, or a number in another form than digits.
    pub newer: bool,
}

impl Words {
    /// The words of a text, in any case and anywhere: in comments and in longer words too.
    pub fn of(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        // A name in `U&"…"` may hide any letter behind an escape.
        let hidden = text.contains("u&\"");
        let says = |word: &str| hidden || text.contains(word);
        let update = says("update");
        Self {
            cascade: says("cascade"),
            char: says("char"),
            domain: says("domain"),
            int: says("int"),
            insert: says("insert"),
            json: says("json"),
            limit: says("limit") || says("offset") || says("fetch"),
            logged: says("logged"),
            money: says("money"),
            not_in: hidden
                || text.match_indices("not").any(|(at, word)| text[at + word.len()..].trim_start().starts_with("in")),
            owner: says("owner"),
            primary: says("primary"),
            replication: says("replica") || says("publication"),
            serial: says("serial"),
            small: says("small") || says("int2") || says("serial2"),
            timetz: says("timetz") || says("time with") || says("time(") || says("time ("),
            timestamp: says("timestamp"),
            update,
            validate: says("validate"),
            value: says("value"),
            setval: says("setval"),
            changes_within: (update || says("delete")) && says("with"),
            newer: says_newer(&text) || names_not_null(&text) || has_newer_number(&text),
        }
    }
}

/// Of each thing that PostgreSQL 12 or a later version brought, a word.
const NEWER: [&str; 31] = [
    "_timeout",
    "access method",
    "as materialized",
    "atomic",
    "breadth first",
    "by source",
    "by target",
    "compression",
    "cycle",
    "depth first",
    "detach",
    "drop expression",
    "enforced",
    "generated",
    "inherit",
    "is json",
    "is not json",
    "json_",
    "maintain",
    "merge",
    "not materialized",
    "nulls",
    "or replace trigger",
    "overlaps",
    "period",
    "returning with",
    "security_invoker",
    "set expression",
    "set null (",
    "storage",
    "with ties",
];

/// Whether any of [`NEWER`] stands in a text in lower case: one walk over it for all of them.
fn says_newer(text: &str) -> bool {
    static WORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| AhoCorasick::new(NEWER).ok());
    WORDS.as_ref().is_none_or(|words| words.is_match(text))
}

/// Whether `NOT NULL` has the name of a column behind it.
fn names_not_null(text: &str) -> bool {
    const OTHERS: [&str; 9] =
        ["and", "check", "constraint", "default", "generated", "primary", "references", "then", "unique"];
    text.match_indices("not null").any(|(at, found)| {
        let rest = text[at + found.len()..].trim_start();
        rest.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '"')
            && !OTHERS.iter().any(|w| rest.starts_with(w))
    })
}

/// Whether a digit has `_` and a digit behind it, or a letter behind a zero.
fn has_newer_number(text: &str) -> bool {
    text.as_bytes().windows(3).any(|w| match w {
        [first, b'_', last] => first.is_ascii_digit() && last.is_ascii_digit(),
        [b'0', b'x' | b'o' | b'b', last] => last.is_ascii_hexdigit(),
        _ => false,
    })
}
