//! SQLite's statements; where they end follows `sqlite3_complete`, which knows the bodies of triggers.

use super::{CannotExecute, Found, Kind, Lines, Nature, SYNTAX};

const WORDS: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trigger {
    /// Not in a trigger.
    No,
    /// In its body.
    Body,
    /// Behind a `;` of its body.
    Semi,
    /// Behind `; END`.
    End,
}

pub(super) fn split(text: &str) -> Result<Vec<Found>, CannotExecute> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut lines = Lines::new(text);
    let mut words: Vec<&str> = Vec::new();
    let mut span: Option<(usize, usize, u32)> = None;
    let mut trigger = Trigger::No;
    let mut at = 0usize;
    while at < bytes.len() {
        let start = at;
        let mut word = "";
        match bytes[at] {
            b if b.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = text[at..].find('\n').map_or(bytes.len(), |n| at + n + 1);
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                match text[at + 2..].find("*/") {
                    Some(n) => at += n + 4,
                    None => return Err(open(lines.of(start), "comment")),
                }
                continue;
            }
            0xEF if text[at..].starts_with('\u{feff}') => {
                at += 3;
                continue;
            }
            b';' => {
                at += 1;
                match trigger {
                    Trigger::Body => trigger = Trigger::Semi,
                    Trigger::Semi => {}
                    Trigger::No | Trigger::End => {
                        if let Some((from, to, line)) = span.take() {
                            found.push(Found { range: from..to, line, kind: kind(&words) });
                        }
                        words.clear();
                        trigger = Trigger::No;
                        continue;
                    }
                }
            }
            quote @ (b'\'' | b'"' | b'`') => {
                at = closing(text, at, quote).ok_or_else(|| open(lines.of(start), "quoted text"))?;
            }
            b'[' => {
                at = text[at..].find(']').map(|n| at + n + 1).ok_or_else(|| open(lines.of(start), "quoted name"))?;
            }
            b if b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80 => {
                while at < bytes.len() && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_' || bytes[at] >= 0x80)
                {
                    at += 1;
                }
                word = &text[start..at];
            }
            _ => at += 1,
        }
        match &mut span {
            Some((_, to, _)) => *to = at,
            None => span = Some((start, at, lines.of(start))),
        }
        if words.len() < WORDS && !word.is_empty() {
            words.push(word);
            if trigger == Trigger::No && is_trigger(&words) {
                trigger = Trigger::Body;
            }
        }
        if bytes[start] != b';' {
            trigger = match trigger {
                Trigger::Semi if word.eq_ignore_ascii_case("end") => Trigger::End,
                Trigger::Semi | Trigger::End => Trigger::Body,
                other => other,
            };
        }
    }
    if let Some((from, to, line)) = span {
        found.push(Found { range: from..to, line, kind: kind(&words) });
    }
    Ok(found)
}

fn open(line: u32, what: &str) -> CannotExecute {
    CannotExecute {
        rule: SYNTAX,
        line,
        message: format!("a {what} that begins here is never closed"),
        help: "close it".to_owned(),
    }
}

/// Byte after the closing `quote` of what opens at `at`; a doubled quote stands for itself.
fn closing(text: &str, at: usize, quote: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut i = at + 1;
    while i < bytes.len() {
        if bytes[i] == quote {
            if bytes.get(i + 1) == Some(&quote) {
                i += 2;
                continue;
            }
            return Some(i + 1);
        }
        i += 1;
    }
    None
}

fn is_trigger(words: &[&str]) -> bool {
    let w = |i: usize, s: &str| words.get(i).is_some_and(|w| w.eq_ignore_ascii_case(s));
    w(0, "create") && (w(1, "trigger") || ((w(1, "temp") || w(1, "temporary")) && w(2, "trigger")))
}

fn kind(words: &[&str]) -> Kind {
    let upper: Vec<String> = words.iter().map(|w| w.to_ascii_uppercase()).collect();
    let words: Vec<&str> = upper.iter().map(String::as_str).collect();
    let outside = |words: &'static str, nature: Nature| Kind::Outside { words, nature };
    match words.as_slice() {
        ["BEGIN", ..] => Kind::Begin { modes: None },
        ["COMMIT" | "END", ..] => Kind::Commit,
        ["ROLLBACK", "TO", ..] | ["ROLLBACK", "TRANSACTION", "TO", ..] => Kind::Ordinary,
        ["ROLLBACK", ..] => Kind::Rollback,
        ["VACUUM", ..] => outside("VACUUM", Nature::Idempotent),
        // Inside a transaction this one is silently without effect.
        ["PRAGMA", "FOREIGN_KEYS", ..] => outside("PRAGMA foreign_keys", Nature::Session),
        ["PRAGMA", "SYNCHRONOUS", ..] => outside("PRAGMA synchronous", Nature::Session),
        ["PRAGMA", "JOURNAL_MODE", ..] => outside("PRAGMA journal_mode", Nature::Idempotent),
        ["ATTACH", ..] => outside("ATTACH", Nature::Session),
        ["DETACH", ..] => outside("DETACH", Nature::Session),
        _ => Kind::Ordinary,
    }
}

pub(super) fn touches_session(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|w| ["pragma", "temp", "temporary"].iter().any(|x| w.eq_ignore_ascii_case(x)))
}
