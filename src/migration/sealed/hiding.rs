//! What is told of a step without the values that it opened.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{Literal, push};

/// How many characters that a text has in common with a value are no accident.
const TELLING: usize = 6;
/// A word of so many letters is told apart from others; each letter is in every text.
const WORD: usize = 2;

/// The forms in which servers and drivers may repeat one value, in small letters.
#[derive(Debug, Clone)]
pub struct Hidden {
    /// As it is, and as it was sent: a single word of these is not told either.
    written: Vec<String>,
    /// In other notations.
    coded: Vec<String>,
}

impl Hidden {
    /// Those of `value`.
    pub fn of(value: &str) -> Self {
        let sent = |literal| {
            let mut out = String::new();
            push(&mut out, literal, value);
            out
        };
        let quoted = serde_json::Value::from(value).to_string();
        let small = |forms: Vec<String>| forms.into_iter().map(|form| form.to_ascii_lowercase()).collect();
        Self {
            written: small(vec![value.to_owned(), sent(Literal::Postgresql).replace(super::OPENED, "")]),
            coded: small(vec![
                value.replace('\'', "''"),
                value.replace('\\', "\\\\"),
                quoted.trim_matches('"').to_owned(),
                sent(Literal::Json),
                sent(Literal::Command),
                format!("x{}", hex::encode(value)),
                STANDARD_NO_PAD.encode(value),
            ]),
        }
    }
}

/// `message` without what it has in common with a value: a server quotes what it refuses, in what notation it likes, and
/// cuts it short where it likes. What is left out for no reason does no harm.
pub fn blotted(message: &str, values: &[Hidden]) -> String {
    let text: Vec<char> = message.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut hidden = vec![false; text.len()];
    for form in values.iter().flat_map(|v| v.written.iter().chain(&v.coded)) {
        let form: Vec<char> = form.chars().collect();
        let width = form.len().min(TELLING);
        if width < WORD {
            continue;
        }
        let parts: HashSet<&[char]> = form.windows(width).collect();
        for (at, part) in text.windows(width).enumerate() {
            if parts.contains(part) {
                hidden[at..at + width].fill(true);
            }
        }
    }
    let mut at = 0;
    while at < text.len() {
        let length = text[at..].iter().take_while(|c| c.is_alphanumeric()).count();
        if length >= WORD {
            let word: String = text[at..at + length].iter().collect();
            if values.iter().flat_map(|v| &v.written).any(|form| form.contains(&word)) {
                hidden[at..at + length].fill(true);
            }
        }
        at += length.max(1);
    }
    if !hidden.contains(&true) {
        return message.to_owned();
    }
    let mut out = String::with_capacity(message.len());
    for (n, c) in message.chars().enumerate() {
        match (hidden[n], n > 0 && hidden[n - 1]) {
            (false, _) => out.push(c),
            (true, false) => out.push_str("****"),
            (true, true) => {}
        }
    }
    out
}
