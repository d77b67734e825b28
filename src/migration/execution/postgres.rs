//! PostgreSQL's statements: where they begin and end, and which of them a transaction cannot hold.

use std::ops::Range;

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

use super::{CannotExecute, Found, Kind, Lines, MIXED, Nature, PSQL, SYNTAX};

/// As many leading words as any of the forms below needs.
const WORDS: usize = 12;

/// What is remembered of a statement while its tokens go by.
struct Current<'a> {
    start: usize,
    end: usize,
    line: u32,
    words: Vec<&'a str>,
    /// `CONCURRENTLY` as a bare word outside parentheses.
    concurrently: bool,
    last_word: &'a str,
    /// A bare `COMMIT` or `ROLLBACK` in a string: the body of a DO block or a procedure.
    body_may_commit: bool,
    backslash: bool,
}

/// Splits `text` at the semicolons that end statements: not those in strings, comments, dollar quotes, parentheses
/// (rules) or `BEGIN ATOMIC` bodies.
pub(super) fn split(text: &str) -> Result<Vec<Found>, CannotExecute> {
    scan(text, true).map(|(found, _)| found)
}

/// The statements of `text` that are complete, and the byte behind the last one's `;`. What follows may go on in a text
/// behind this one.
pub(super) fn complete(text: &str) -> Result<(Vec<Found>, usize), CannotExecute> {
    scan(text, false)
}

fn scan(text: &str, is_all: bool) -> Result<(Vec<Found>, usize), CannotExecute> {
    let (mut found, mut behind) = (Vec::new(), 0);
    let mut lines = Lines::new(text);
    let mut current: Option<Current<'_>> = None;
    let (mut at, mut parens, mut atomic) = (0usize, 0u32, 0u32);
    let mut previous = "";
    for token in tokenize(text) {
        let start = at;
        at += token.len as usize;
        if let Some(what) = unterminated(token.kind) {
            if !is_all {
                break;
            }
            return Err(CannotExecute {
                rule: SYNTAX,
                line: lines.of(start),
                message: format!("a {what} that begins here is never closed"),
                help: "close it".to_owned(),
            });
        }
        let word = match token.kind {
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => continue,
            TokenKind::Semi if parens == 0 && atomic == 0 => {
                if let Some(c) = current.take() {
                    found.push(c.finish(text));
                }
                (previous, behind) = ("", at);
                continue;
            }
            TokenKind::OpenParen | TokenKind::OpenBracket => {
                parens += 1;
                ""
            }
            TokenKind::CloseParen | TokenKind::CloseBracket => {
                parens = parens.saturating_sub(1);
                ""
            }
            TokenKind::Ident => &text[start..at],
            _ => "",
        };
        let c = current.get_or_insert_with(|| Current {
            start,
            end: at,
            line: lines.of(start),
            words: Vec::with_capacity(WORDS),
            concurrently: false,
            last_word: "",
            body_may_commit: false,
            backslash: &text[start..at] == "\\",
        });
        c.end = at;
        if parens == 0 || c.words.len() == 1 {
            // Options in parentheses right behind the first word (`REINDEX (CONCURRENTLY) …`) count as well.
            c.concurrently |= word.eq_ignore_ascii_case("concurrently");
        }
        if parens == 0 {
            c.last_word = word;
            if c.words.len() < WORDS {
                c.words.push(&text[start..at]);
            }
            if c.is_routine() {
                match () {
                    () if atomic == 0
                        && word.eq_ignore_ascii_case("atomic")
                        && previous.eq_ignore_ascii_case("begin") =>
                    {
                        atomic = 1;
                    }
                    () if atomic > 0 && word.eq_ignore_ascii_case("case") => atomic += 1,
                    () if atomic > 0 && word.eq_ignore_ascii_case("end") => atomic -= 1,
                    () => {}
                }
            }
        }
        if let TokenKind::Literal { kind: LiteralKind::DollarQuotedString { .. } | LiteralKind::Str { .. } } =
            token.kind
            && c.words.first().is_some_and(|w| w.eq_ignore_ascii_case("do"))
        {
            c.body_may_commit |= has_word(&text[start..at], &["commit", "rollback"]);
        }
        previous = word;
    }
    if let Some(c) = current.take().filter(|_| is_all) {
        found.push(c.finish(text));
    }
    Ok((found, behind))
}

impl Current<'_> {
    fn is_routine(&self) -> bool {
        let w = |i: usize, s: &str| self.words.get(i).is_some_and(|w| w.eq_ignore_ascii_case(s));
        let kind = |i: usize| w(i, "function") || w(i, "procedure");
        w(0, "create") && (kind(1) || (w(1, "or") && w(2, "replace") && kind(3)))
    }

    fn finish(self, text: &str) -> Found {
        let kind = self.kind(text);
        Found { range: self.start..self.end, line: self.line, kind }
    }

    fn kind(&self, text: &str) -> Kind {
        let upper: Vec<String> = self.words.iter().map(|w| w.to_ascii_uppercase()).collect();
        let words: Vec<&str> = upper.iter().map(String::as_str).collect();
        let outside = |words: &'static str, nature: Nature| Kind::Outside { words, nature };
        if self.backslash {
            return Kind::Refused {
                rule: PSQL,
                message: "a command of `psql` itself is no SQL".to_owned(),
                help: "take the line out; data after COPY … FROM stdin can be written as INSERT",
            };
        }
        match words.as_slice() {
            ["BEGIN", rest @ ..] => Kind::Begin { modes: self.modes(text, rest, 1) },
            ["START", "TRANSACTION", rest @ ..] => Kind::Begin { modes: self.modes(text, rest, 2) },
            ["COMMIT" | "ROLLBACK", "PREPARED", ..] => outside("COMMIT PREPARED", Nature::Unprovable),
            ["PREPARE", "TRANSACTION", ..] => Kind::Refused {
                rule: MIXED,
                message: "PREPARE TRANSACTION would leave the migration half done".to_owned(),
                help: "leave it out: Godwit commits the migration together with its history row",
            },
            ["COMMIT" | "END" | "ROLLBACK" | "ABORT", rest @ ..] if chains(rest) => Kind::Refused {
                rule: MIXED,
                message: "AND CHAIN would open a second transaction".to_owned(),
                help: "leave it out",
            },
            ["ROLLBACK", "TO", ..] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO", ..] => Kind::Ordinary,
            ["COMMIT" | "END", ..] => Kind::Commit,
            ["ROLLBACK" | "ABORT", ..] => Kind::Rollback,
            ["SET", "LOCAL" | "CONSTRAINTS" | "TRANSACTION", ..] => Kind::Ordinary,
            ["SET" | "RESET" | "LISTEN" | "UNLISTEN", ..] => Kind::Session,
            ["CREATE", "INDEX", "CONCURRENTLY", ..] | ["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", ..] => {
                outside("CREATE INDEX CONCURRENTLY", create_index_nature(&words))
            }
            ["DROP", "INDEX", "CONCURRENTLY", ..] => outside("DROP INDEX CONCURRENTLY", Nature::Verifiable),
            ["REINDEX", ..] if self.concurrently => outside("REINDEX CONCURRENTLY", Nature::Idempotent),
            ["REINDEX", "SCHEMA" | "DATABASE" | "SYSTEM", ..] => outside("REINDEX DATABASE", Nature::Idempotent),
            ["VACUUM", ..] => outside("VACUUM", Nature::Idempotent),
            ["CLUSTER"] | ["CLUSTER", "VERBOSE"] => outside("CLUSTER", Nature::Idempotent),
            ["ALTER", "SYSTEM", ..] => outside("ALTER SYSTEM", Nature::Idempotent),
            ["CREATE", "DATABASE", ..] => outside("CREATE DATABASE", Nature::Verifiable),
            ["DROP", "DATABASE", ..] => outside("DROP DATABASE", Nature::Verifiable),
            ["ALTER", "DATABASE", _, "SET", "TABLESPACE", ..] => {
                outside("ALTER DATABASE SET TABLESPACE", Nature::Idempotent)
            }
            ["CREATE", "TABLESPACE", ..] => outside("CREATE TABLESPACE", Nature::Verifiable),
            ["DROP", "TABLESPACE", ..] => outside("DROP TABLESPACE", Nature::Verifiable),
            ["CREATE", "SUBSCRIPTION", ..] if !has_word(&text[self.start..self.end], &["false"]) => {
                outside("CREATE SUBSCRIPTION", Nature::Verifiable)
            }
            ["DROP", "SUBSCRIPTION", ..] => outside("DROP SUBSCRIPTION", Nature::Verifiable),
            ["ALTER", "TABLE", ..]
                if self.concurrently && self.last_word.eq_ignore_ascii_case("concurrently")
                    || self.last_word.eq_ignore_ascii_case("finalize") && words.contains(&"DETACH") =>
            {
                outside("DETACH PARTITION CONCURRENTLY", Nature::Verifiable)
            }
            ["DISCARD", "ALL", ..] => Kind::Refused {
                rule: MIXED,
                message: "DISCARD ALL would give up the lock that keeps other runs away".to_owned(),
                help: "use DISCARD TEMP, DISCARD PLANS or RESET ALL",
            },
            ["COPY", ..] if reads_standard_input(&text[self.start..self.end]) => Kind::Refused {
                rule: PSQL,
                message: "COPY … FROM stdin has no standard input here".to_owned(),
                help: "write the rows as INSERT",
            },
            ["CALL", ..] => Kind::MayCommit,
            ["DO", ..] if self.body_may_commit => Kind::MayCommit,
            _ => Kind::Ordinary,
        }
    }

    /// Where the modes behind BEGIN stand; `rest` are the words behind its `skip` first ones.
    fn modes(&self, text: &str, rest: &[&str], skip: usize) -> Option<Range<usize>> {
        let noise = usize::from(skip == 1 && matches!(rest.first(), Some(&"WORK" | &"TRANSACTION")));
        let first = self.words.get(skip + noise)?;
        let start = first.as_ptr() as usize - text.as_ptr() as usize;
        Some(start..self.end)
    }
}

/// An index without a name gets one from the server: no probe can find it.
fn create_index_nature(words: &[&str]) -> Nature {
    let after = words.iter().position(|w| *w == "CONCURRENTLY").map_or(0, |i| i + 1);
    if words.get(after) == Some(&"ON") { Nature::Unprovable } else { Nature::Verifiable }
}

fn chains(rest: &[&str]) -> bool {
    rest.windows(2).any(|w| w == ["AND", "CHAIN"])
}

fn reads_standard_input(statement: &str) -> bool {
    let tokens = significant_tokens(statement);
    tokens.windows(2).any(|w| {
        statement[w[0].clone()].eq_ignore_ascii_case("from") && statement[w[1].clone()].eq_ignore_ascii_case("stdin")
    })
}

/// Whether one of the lower-case `words` stands in `text` as a word of its own, anywhere.
fn has_word(text: &str, words: &[&str]) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| words.iter().any(|x| w.eq_ignore_ascii_case(x)))
}

fn unterminated(kind: TokenKind) -> Option<&'static str> {
    match kind {
        TokenKind::BlockComment { terminated: false } => Some("comment"),
        TokenKind::QuotedIdent { terminated: false, .. } => Some("quoted name"),
        TokenKind::Literal {
            kind:
                LiteralKind::Str { terminated: false }
                | LiteralKind::NationalStr { terminated: false }
                | LiteralKind::ByteStr { terminated: false }
                | LiteralKind::BitStr { terminated: false }
                | LiteralKind::UnicodeEscStr { terminated: false }
                | LiteralKind::EscStr { terminated: false },
        } => Some("string"),
        TokenKind::Literal { kind: LiteralKind::DollarQuotedString { terminated: false } } => {
            Some("dollar-quoted string")
        }
        _ => None,
    }
}

/// Words that may change the session beyond the transaction: settings, roles, temporary tables, prepared statements.
const SESSION_WORDS: &[&str] =
    &["set", "reset", "set_config", "temp", "temporary", "prepare", "listen", "load", "pg_advisory_lock", "cursor"];

pub(super) fn touches_session(text: &str) -> bool {
    // Cheap and on the safe side: `UPDATE … SET` counts as well, at the price of one message.
    has_word(text, SESSION_WORDS)
}

pub(super) fn significant_tokens(text: &str) -> Vec<Range<usize>> {
    let mut at = 0usize;
    tokenize(text)
        .filter_map(|t| {
            let start = at;
            at += t.len as usize;
            match t.kind {
                TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => None,
                _ => Some(start..at),
            }
        })
        .collect()
}

/// Where the first token stands that is no white space, comment or `;`.
pub(super) fn first_word(text: &str) -> Option<usize> {
    let mut at = 0usize;
    tokenize(text).find_map(|t| {
        let start = at;
        at += t.len as usize;
        match t.kind {
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } | TokenKind::Semi => None,
            _ => Some(start),
        }
    })
}
