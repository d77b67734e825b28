//! Queries of a script that say which value they must give, or the migration has not done what it should [S2-89].

use crate::ids::Engine;
use crate::migration::{backfill, execution, operations};

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

/// A comment that says what should be returned, and is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misunderstood {
    /// Its line in the text, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub message: String,
}

/// Whether the words of such a comment stand anywhere in `text`.
pub fn speaks(text: &str) -> bool {
    let starts = text.as_bytes().windows(SHOULD.len()).enumerate();
    starts.filter(|(_, part)| part.eq_ignore_ascii_case(SHOULD.as_bytes())).any(|(at, _)| said(&text[at..]).is_some())
}

/// The queries of `text` that a comment right behind them says a value of.
pub fn checks(engine: Engine, text: &str) -> Vec<Check> {
    read(engine, text).0
}

/// The comments of `text` that say what should be returned and are no check: nothing looks whether they hold.
pub fn misunderstood(engine: Engine, text: &str) -> Vec<Misunderstood> {
    read(engine, text).1
}

fn read(engine: Engine, text: &str) -> (Vec<Check>, Vec<Misunderstood>) {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    if operations::are_operations(engine) || !speaks(text) {
        return (found, wrong);
    }
    let Ok(statements) = execution::statements(engine, text) else { return (found, wrong) };
    // What stands behind no statement at all, then what stands behind each.
    let starts = [0].into_iter().chain(statements.iter().map(|s| s.range.end));
    let ends = statements.iter().map(|s| s.range.start).chain([text.len()]);
    let before = [None].into_iter().chain(statements.iter().map(Some));
    for ((from, to), statement) in starts.zip(ends).zip(before) {
        let Some(between) = text.get(from..to) else { continue };
        let query = statement.filter(|s| is_query(engine, &text[s.range.clone()]));
        let mut is_checked = false;
        for (at, comment) in comments(between) {
            let Some(value) = said(comment.trim_start_matches('*').trim_start()) else { continue };
            let why = match (query, expected(value)) {
                (Some(_), Some(_)) if is_checked => continue,
                (Some(query), Some(expected)) => {
                    is_checked = true;
                    let sql = text[query.range.clone()].to_owned();
                    found.push(Check { sql, expected, line: query.line, end: query.range.end });
                    continue;
                }
                (Some(_), None) => "it names no value",
                (None, Some(_)) if is_literal(value) => "it does not stand right behind a query",
                // A sentence about something else.
                (None, _) => continue,
            };
            let lines = text[..from + at].bytes().filter(|b| *b == b'\n').count();
            let line = u32::try_from(lines + 1).unwrap_or(u32::MAX);
            let message = format!("this comment says what should be returned, and nothing looks whether it is: {why}");
            wrong.push(Misunderstood { line, message });
        }
    }
    (found, wrong)
}

/// Whether a statement answers with rows that can be looked at without running it a second time; SQLite is asked anew.
fn is_query(engine: Engine, sql: &str) -> bool {
    let words = |wanted: &[&str]| {
        execution::significant_tokens(sql)
            .into_iter()
            .any(|t| wanted.iter().any(|w| sql[t.clone()].eq_ignore_ascii_case(w)))
    };
    let first: String = sql.chars().take_while(char::is_ascii_alphabetic).collect();
    let once = engine == Engine::Postgresql;
    match first.to_ascii_lowercase().as_str() {
        "select" | "values" | "table" => true,
        "with" => once || !words(&["insert", "update", "delete"]),
        "show" => once,
        "insert" => once && words(&["returning"]) && backfill::markers(sql).is_empty(),
        _ => false,
    }
}

/// The comments of what stands between two statements, without their marks, each with the byte at which it begins.
fn comments(between: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = between[at..].chars().next() {
        let rest = &between[at..];
        if let Some(line) = rest.strip_prefix("--") {
            let line = line.lines().next().unwrap_or_default();
            found.push((at, line.trim()));
            at += 2 + line.len();
        } else if let Some(block) = rest.strip_prefix("/*") {
            let inside = block.find("*/").unwrap_or(block.len());
            found.push((at, block[..inside].trim()));
            at = (at + 2 + inside + 2).min(between.len());
        } else {
            at += c.len_utf8();
        }
    }
    found
}

const SHOULD: &str = "should";
const RETURN: &str = "return";

/// What stands behind `should return` or `should return:`, if `text` begins so.
fn said(text: &str) -> Option<&str> {
    let behind = |text: &'_ str, word: &str| {
        text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word)).then_some(word.len())
    };
    let rest = &text[behind(text, SHOULD)?..];
    let second = rest.trim_start();
    if second.len() == rest.len() {
        return None;
    }
    let rest = &second[behind(second, RETURN)?..];
    let ends_here = rest.chars().next().is_none_or(|c| c.is_whitespace() || c == ':');
    ends_here.then(|| rest.trim_start().trim_start_matches(':').trim())
}

/// What a comment names.
fn expected(value: &str) -> Option<Expected> {
    if value.starts_with(['\'', '"', '`']) {
        return quoted(value).map(Expected::Value);
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

/// What stands in the quotes with which `value` begins; a quote within is written twice, as in SQL.
fn quoted(value: &str) -> Option<String> {
    let mut rest = value.chars().peekable();
    let quote = rest.next()?;
    let mut inside = String::new();
    while let Some(c) = rest.next() {
        if c == quote && rest.next_if_eq(&quote).is_none() {
            return Some(inside);
        }
        inside.push(c);
    }
    None
}

/// Whether a comment names a value or a number of rows, and is no sentence that happens to begin alike.
fn is_literal(value: &str) -> bool {
    let word = value.split_whitespace().next().unwrap_or_default().trim_end_matches(['.', ',', ';', ':']);
    let is_word = ["true", "false", "null"].iter().any(|w| word.eq_ignore_ascii_case(w));
    is_word || value.starts_with('\'') || word.parse::<f64>().is_ok()
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

    #[test]
    fn s2_89_comments_that_are_written_a_little_differently_are_the_same() {
        for comment in [
            "-- Should return: 0",
            "--should  return  0",
            "-- SHOULD RETURN : 0",
            "/* Should return 0 */",
            "/** should\n * return */ -- Should return 0.",
            "-- counted\n/* should return\n0 */",
        ] {
            let text = format!("select count(*) from t;\n{comment}\nselect 2;");
            let found = checks(Engine::Postgresql, &text);
            assert_eq!(found.len(), 1, "{comment}");
            assert_eq!(found[0].expected, Expected::Value("0".to_owned()), "{comment}");
            assert!(misunderstood(Engine::Postgresql, &text).is_empty(), "{comment}");
        }
        for (comment, value) in [("'it''s'", "it's"), ("'a' (or so)", "a"), ("''", ""), ("\"x\"\"y\"", "x\"y")] {
            let text = format!("select a from t; -- Should return {comment}");
            assert_eq!(checks(Engine::Sqlite, &text)[0].expected, Expected::Value(value.to_owned()), "{comment}");
        }
    }

    #[test]
    fn s2_89_what_answers_with_rows_is_a_query_where_it_need_not_run_twice() {
        for (sql, postgresql, sqlite) in [
            ("insert into t values (1) returning a", 1, 0),
            ("show search_path", 1, 0),
            ("with n as (select 1) insert into t select * from n returning a", 1, 0),
            ("with n as (select 1 as a) select replace(a, 'delete', '') from n", 1, 1),
            ("insert into t values ('returning')", 0, 0),
            ("update t set a = 1", 0, 0),
        ] {
            let text = format!("{sql}; -- Should return 1");
            for (engine, count) in [(Engine::Postgresql, postgresql), (Engine::Sqlite, sqlite)] {
                assert_eq!(checks(engine, &text).len(), count, "{sql} {engine}");
                assert_eq!(misunderstood(engine, &text).len(), 1 - count, "{sql} {engine}");
            }
        }
    }

    #[test]
    fn s2_89_a_comment_that_checks_nothing_is_told_and_a_sentence_is_not() {
        let told =
            |text: &str| -> Vec<u32> { misunderstood(Engine::Postgresql, text).iter().map(|m| m.line).collect() };
        assert_eq!(told("update t set a = 1;\n\n-- Should return 0\nselect count(*) from t;"), [3]);
        assert_eq!(told("-- should return 3 rows\nselect 1;"), [1]);
        assert_eq!(told("select 1;\n/* Should return */"), [2]);
        assert_eq!(told("select 1; -- Should return 'open"), [1]);
        for sentence in [
            "create function f() returns int language sql as 'select 1';\n-- Should return early when nothing is left\nselect 1;",
            "select 1; -- it should return 0 but who knows",
            "select 'x'; -- shouldreturn 0",
            "do $$ begin -- Should return 0\n end $$;",
        ] {
            assert!(told(sentence).is_empty(), "{sentence}");
        }
    }
}
