//! Queries of a script that say which value they must give, or the migration has not done what it should [S2-89].

use crate::ids::Engine;
use crate::migration::{execution, operations};

/// A query with the comment `-- Should return …` behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The query.
    pub sql: String,
    /// What it must give.
    pub expected: Expected,
    /// Its line in the text, from 1.
    pub line: u32,
    /// The byte of the text at which it ends.
    pub end: usize,
}

/// What a query must give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// One row, whose first column reads so.
    Value(String),
    /// So many rows: `-- Should return 0 rows`.
    Rows(u64),
}

/// What a query gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// How many rows.
    pub rows: u64,
    /// The first column of the first of them; `None` for NULL.
    pub value: Option<String>,
}

const WORDS: &str = "should return ";

/// Whether the words of such a comment stand anywhere in `text`.
pub fn speaks(text: &str) -> bool {
    text.as_bytes().windows(WORDS.len()).any(|part| part.eq_ignore_ascii_case(WORDS.as_bytes()))
}

/// The queries of `text` that a comment right behind them says a value of.
pub fn checks(engine: Engine, text: &str) -> Vec<Check> {
    if operations::are_operations(engine) || !speaks(text) {
        return Vec::new();
    }
    let Ok(statements) = execution::statements(engine, text) else { return Vec::new() };
    let ends = statements.iter().skip(1).map(|s| s.range.start).chain([text.len()]);
    statements
        .iter()
        .zip(ends)
        .filter_map(|(statement, behind)| {
            let sql = &text[statement.range.clone()];
            let first: String = sql.chars().take_while(char::is_ascii_alphabetic).collect();
            let is_query = ["select", "with", "values", "table"].iter().any(|w| first.eq_ignore_ascii_case(w));
            let comments = text.get(statement.range.end..behind).filter(|_| is_query)?;
            let expected = comments.lines().find_map(expected)?;
            Some(Check { sql: sql.to_owned(), expected, line: statement.line, end: statement.range.end })
        })
        .collect()
}

/// What one line of comment says.
fn expected(line: &str) -> Option<Expected> {
    let comment = line.trim_start().trim_start_matches(';').trim_start().strip_prefix("--")?.trim();
    let said = comment.get(..WORDS.len()).filter(|words| words.eq_ignore_ascii_case(WORDS))?;
    let value = comment[said.len()..].trim();
    for quote in ['\'', '"', '`'] {
        if let Some(inside) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return Some(Expected::Value(inside.0.to_owned()));
        }
    }
    let mut words = value.split_whitespace();
    let first = words.next()?.trim_end_matches(['.', ',', ';', ':']);
    let rows = words.next().is_some_and(|word| word.trim_end_matches(['.', ',', ';']).starts_with("row"));
    match first.parse() {
        Ok(count) if rows => Some(Expected::Rows(count)),
        _ if first.is_empty() => None,
        _ => Some(Expected::Value(first.to_owned())),
    }
}

impl Check {
    /// Whether the answer is what it must be.
    ///
    /// # Errors
    /// With what was found instead, in words.
    pub fn judge(&self, answer: &Answer) -> Result<(), String> {
        let rows = |n: u64| if n == 1 { "1 row".to_owned() } else { format!("{n} rows") };
        let (wanted, found, holds) = match &self.expected {
            Expected::Rows(count) => (rows(*count), rows(answer.rows), answer.rows == *count),
            Expected::Value(value) => {
                let found = match (answer.rows, &answer.value) {
                    (1, Some(found)) => format!("`{found}`"),
                    (1, None) => "NULL".to_owned(),
                    (n, _) => rows(n),
                };
                let same = match (&answer.value, answer.rows) {
                    (Some(found), 1) => is_same(value, found),
                    (None, 1) => value.eq_ignore_ascii_case("null"),
                    _ => false,
                };
                (format!("`{value}`"), found, same)
            }
        };
        if holds {
            Ok(())
        } else {
            Err(format!("this query must return {wanted}, as the comment behind it says, and returned {found}"))
        }
    }
}

/// Whether a value reads as the comment has it. Servers write truth in a letter or a digit, and numbers with zeros behind.
fn is_same(wanted: &str, found: &str) -> bool {
    let truth = |text: &str| match text.to_ascii_lowercase().as_str() {
        "true" | "t" => Some(true),
        "false" | "f" => Some(false),
        _ => None,
    };
    let number = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let sound = !whole.is_empty() && (whole.to_owned() + part).bytes().all(|b| b.is_ascii_digit());
        sound.then(|| {
            let (whole, part) = (whole.trim_start_matches('0').to_owned(), part.trim_end_matches('0').to_owned());
            let negative = text.starts_with('-') && !(whole.is_empty() && part.is_empty());
            (negative, whole, part)
        })
    };
    let truths = (truth(wanted), truth(found));
    let as_digit = |b: bool| if b { "1" } else { "0" };
    wanted == found
        || (number(wanted).is_some() && number(wanted) == number(found))
        || (truths.0.is_some() && truths.0 == truths.1)
        || truths.0.is_some_and(|b| found == as_digit(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_89_a_query_says_what_it_must_return() {
        let text = "BEGIN;\nUPDATE orders SET s = 1;\nSELECT COUNT(*) FROM orders WHERE s IS NULL;\n-- Should return 0\nCOMMIT;";
        let found = checks(Engine::Postgresql, text);
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].expected, found[0].line), (&Expected::Value("0".to_owned()), 3));
        assert_eq!(found[0].sql, "SELECT COUNT(*) FROM orders WHERE s IS NULL");
        assert!(text[..found[0].end].ends_with("s IS NULL"));
        for none in
            ["UPDATE a SET b = 1;\n-- Should return 0", "-- Should return 0\nSELECT 1;", "SELECT 'should return 0';"]
        {
            assert!(checks(Engine::Postgresql, none).is_empty(), "{none}");
        }
        assert!(checks(Engine::Mongodb, "[{\"type\":\"should return 0\"}]").is_empty());
    }

    #[test]
    fn any_literal_is_understood_and_compared_as_servers_write_it() {
        for (comment, value, holds) in [
            ("0", Some("0"), true),
            ("0.", Some("0"), true),
            ("0 (none is left)", Some("3"), false),
            ("12.50", Some("12.5"), true),
            ("-0", Some("0"), true),
            ("9007199254740993", Some("9007199254740992"), false),
            ("true", Some("t"), true),
            ("false", Some("0"), true),
            ("'two words'", Some("two words"), true),
            ("NULL", None, true),
            ("0", None, false),
            ("paid", Some("open"), false),
        ] {
            let text = format!("select x from t; -- should RETURN {comment}");
            let check = checks(Engine::Sqlite, &text).pop().expect(comment);
            let answer = Answer { rows: 1, value: value.map(str::to_owned) };
            assert_eq!(check.judge(&answer).is_ok(), holds, "{comment} {value:?}");
        }
        let none =
            checks(Engine::Sqlite, "with a as (select 1) select * from a where 0; -- Should return 0 rows").remove(0);
        assert_eq!(none.judge(&Answer::default()), Ok(()));
        let told = none.judge(&Answer { rows: 2, value: None }).unwrap_err();
        assert_eq!(told, "this query must return 0 rows, as the comment behind it says, and returned 2 rows");
        let value = checks(Engine::Sqlite, "select 1; -- Should return 1").remove(0);
        assert!(value.judge(&Answer::default()).unwrap_err().ends_with("returned 0 rows"));
    }
}
