//! What only the program psql reads in a script: its own commands, and the rows behind `COPY … FROM stdin`. It is taken out
//! before the script is parsed, so that it is told once, and the statements around it are judged as they stand.

use std::borrow::Cow;
use std::ops::Range;

use squawk_lexer::{TokenKind, tokenize};

use super::script::Finding;
use super::table;

/// A script with blanks where psql is spoken to; every byte keeps its place.
pub struct Plain<'t> {
    /// The text.
    pub text: Cow<'t, str>,
    /// Where its commands stood, without those that end rows of `COPY`.
    pub commands: Vec<Range<usize>>,
}

/// Takes out of `text` what the server would not understand.
pub fn without_commands(text: &str) -> Plain<'_> {
    let mut plain = Plain { text: Cow::Borrowed(text), commands: Vec::new() };
    // In SQL a backslash stands within texts alone, and most scripts have none.
    if !text.contains('\\') {
        return plain;
    }
    let mut blanks: Vec<Range<usize>> = Vec::new();
    let mut ended: Vec<usize> = Vec::new();
    let mut at = 0;
    // What is taken out is read by other rules: a quote in it closes nothing, and the lexer begins anew behind it.
    while let Some(found) = next(text, at) {
        let range = match found {
            Spoken::Command { range, ends } => {
                plain.commands.push(range.clone());
                ended.extend(ends.then_some(range.start));
                range
            }
            Spoken::Rows(range) => range,
        };
        at = range.end;
        blanks.push(range);
    }
    if !blanks.is_empty() {
        let mut bytes = text.as_bytes().to_vec();
        for at in blanks.into_iter().flatten() {
            if !matches!(bytes[at], b'\n' | b'\r') {
                bytes[at] = b' ';
            }
        }
        for at in ended {
            bytes[at] = b';';
        }
        plain.text = String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned);
    }
    plain
}

/// What is said of a command of `text`.
pub fn told(text: &str, command: Range<usize>) -> Finding {
    let name = text[command.clone()].split_whitespace().next().unwrap_or("\\");
    let message = format!("`{name}` is a command of `psql` itself, which no server understands");
    let help = "take the line out; what another file holds is a migration of its own, and data for COPY … FROM stdin can be \
                written as INSERT";
    Finding::new(&table::PSQL_COMMAND, command, message).with_help(help)
}

/// Whether a command sends SQL that stands elsewhere: another file's, or the rows of a query.
pub fn runs_more(command: &str) -> bool {
    ["\\i", "\\gexec"].iter().any(|begin| command.starts_with(begin))
}

/// Something that psql reads.
enum Spoken {
    /// A command, to the end of its line; `ends`: it sends the statement in front of it, which has no `;` of its own.
    Command { range: Range<usize>, ends: bool },
    /// Rows, with the `\.` that ends them.
    Rows(Range<usize>),
}

/// The first of them from byte `from` on, which is in no text and no comment.
fn next(text: &str, from: usize) -> Option<Spoken> {
    let line_end = |at: usize| text[at..].find('\n').map_or(text.len(), |n| at + n);
    let mut at = from;
    let mut words: Vec<&str> = Vec::new();
    for token in tokenize(&text[from..]) {
        let start = at;
        at += token.len as usize;
        match token.kind {
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => {}
            TokenKind::Semi => {
                if is_fed(&words)
                    && let Some(rows) = rows(text, line_end(at))
                {
                    return Some(Spoken::Rows(rows));
                }
                words.clear();
            }
            _ if text[start..].starts_with('\\') => {
                let line = text[start..line_end(start)].trim_end();
                let sends = ["\\g", "\\watch", "\\crosstabview"].iter().any(|begin| line.starts_with(begin));
                return Some(Spoken::Command { range: start..start + line.len(), ends: sends && !words.is_empty() });
            }
            _ => words.push(&text[start..at]),
        }
    }
    None
}

/// Whether the statement of these words is a `COPY … FROM stdin`.
fn is_fed(words: &[&str]) -> bool {
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    words.first().is_some_and(|first| is(first, "copy"))
        && words.windows(2).any(|pair| is(pair[0], "from") && is(pair[1], "stdin"))
}

/// The lines from byte `from` to the one that is `\.`, if there is one.
fn rows(text: &str, from: usize) -> Option<Range<usize>> {
    let mut at = from;
    for line in text[from..].split_inclusive('\n') {
        let end = at + line.len();
        if line.trim_end() == "\\." {
            return Some(from..at + 2);
        }
        at = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::{Severity, sample};

    /// Rule and line of what is wrong with a script beyond doubt.
    fn told_of(sql: &str) -> Vec<(String, u32)> {
        let all = sample(&[("0001_m.up.sql", sql)]).0.violations.into_iter();
        all.filter(|v| v.severity == Severity::Error).map(|v| (v.rule, v.line)).collect()
    }

    #[test]
    fn p185_a_command_of_psql_is_told_once_and_the_rest_is_judged() {
        let psql = |lines: &[u32]| -> Vec<(String, u32)> {
            lines.iter().map(|line| ("psql-command".to_owned(), *line)).collect()
        };
        for (sql, lines) in [
            ("\\i file.sql", &[1][..]),
            ("CREATE TABLE a (id bigint PRIMARY KEY);\n\\i ../other file's.sql\nSELECT 1;", &[2]),
            ("\\set ON_ERROR_STOP on\n\\echo it's begun\nSELECT 1;\n  \\echo done\r\n", &[1, 2, 4]),
            ("SELECT 'create table x (id int)' \\gexec\nSELECT 2;", &[1]),
            ("\\restrict aBc\nCREATE TABLE a (id bigint PRIMARY KEY);\n\\unrestrict aBc", &[1, 3]),
            ("CREATE TABLE a (t text);\nCOPY a (t) FROM stdin;\nit's\t(\\N\n\\.\nSELECT 1;", &[2]),
        ] {
            assert_eq!(told_of(sql), psql(lines), "{sql}");
        }
        let sql = "\\i file.sql\nDROP SCHEMA s CASCADE;\nSELEC 1;";
        let rules: Vec<String> = told_of(sql).into_iter().map(|(rule, _)| rule).collect();
        assert!(rules.contains(&"psql-command".to_owned()) && rules.contains(&"syntax-error".to_owned()), "{rules:?}");
    }

    #[test]
    fn what_stands_in_texts_and_comments_is_no_command() {
        for sql in
            ["SELECT 'a\n\\i b';", "SELECT $$\n\\echo x\n$$;", "-- \\i x\nSELECT 1; /* \\i */", "SELECT E'\\\\';"]
        {
            let plain = without_commands(sql);
            assert_eq!((plain.text.as_ref(), plain.commands.as_slice()), (sql, &[][..]));
        }
        let plain = without_commands("\\echo é\nSELECT 1;");
        assert_eq!((plain.text.as_ref(), plain.commands.len()), ("        \nSELECT 1;", 1));
        // Rows that nothing ends, and a lone backslash, end nothing.
        for sql in ["COPY a FROM stdin;\n1\n", "\\", "\\\\\n\\"] {
            without_commands(sql);
        }
    }
}
