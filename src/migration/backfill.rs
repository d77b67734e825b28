//! A change of many rows in batches: what the file says of it, the range of one batch, and how far it is. Pure.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::execution::significant_tokens;

/// What stands in the WHERE of a statement in front of `true`, where the range of a batch is put.
pub const MARKER: &str = "/* godwit:batch */";

/// Keys in a batch where neither the file nor the command line says.
pub const BATCH: u32 = 5000;
/// A batch that takes longer is followed by a smaller one: writers wait for its rows that long.
const LONG: Duration = Duration::from_secs(1);
/// A batch that takes less may be followed by a larger one.
const SHORT: Duration = Duration::from_millis(250);

/// `backfill=TABLE key=COLUMN [batch=N] [pause=50ms]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backfill {
    /// The table whose keys are walked, as written.
    pub table: String,
    /// The columns of the key, as written: with the alias the statement gives the table, where it gives one.
    pub key: Vec<String>,
    /// Keys in a batch.
    pub batch: Option<u32>,
    /// A rest between two batches, in milliseconds.
    pub pause_ms: Option<u64>,
}

impl Backfill {
    /// Reads the values of the marks.
    ///
    /// # Errors
    /// What is wrong, for a person.
    pub fn new(table: &str, key: Option<&str>, batch: Option<&str>, pause: Option<&str>) -> Result<Self, String> {
        let key = key.ok_or("`backfill` needs `key=COLUMN`: a unique, indexed column without NULL")?;
        let key: Vec<String> = key.split(',').map(|k| k.trim().to_owned()).collect();
        if let Some(wrong) = std::iter::once(table).chain(key.iter().map(String::as_str)).find(|n| !is_name(n)) {
            return Err(format!("`{wrong}` is no name of a table or column"));
        }
        let batch = match batch.map(str::parse::<u32>) {
            None => None,
            Some(Ok(n)) if n > 0 => Some(n),
            Some(_) => return Err("`batch` is a number of rows above 0".to_owned()),
        };
        let pause_ms = pause.map(milliseconds).transpose()?;
        Ok(Self { table: table.to_owned(), key, batch, pause_ms })
    }

    /// A rest between two batches.
    pub fn pause(&self) -> Duration {
        Duration::from_millis(self.pause_ms.unwrap_or(0))
    }

    /// The key's columns as the table has them: without alias, folded as PostgreSQL folds them, without quotes.
    pub fn columns(&self) -> Vec<String> {
        self.key.iter().map(|k| unquoted(parts(k).last().copied().unwrap_or(k))).collect()
    }

    /// The key's columns in the table itself, as SQL.
    pub fn bare_key(&self) -> Vec<&str> {
        self.key.iter().map(|k| parts(k).last().copied().unwrap_or(k)).collect()
    }

    /// `statement` for the keys above `after` up to `up_to`, both lists of literals as the server wrote them.
    pub fn batch_of(&self, statement: &str, after: Option<&str>, up_to: &str) -> String {
        let range = self.range(&self.key.join(", "), after, up_to);
        let mut out = String::with_capacity(statement.len() + range.len());
        let mut at = 0;
        for place in markers(statement) {
            out.push_str(&statement[at..place.start]);
            out.push_str(&range);
            at = place.end;
        }
        out.push_str(&statement[at..]);
        out
    }

    /// The condition on the table itself.
    pub fn condition(&self, after: Option<&str>, up_to: &str) -> String {
        self.range(&self.bare_key().join(", "), after, up_to)
    }

    fn range(&self, key: &str, after: Option<&str>, up_to: &str) -> String {
        match after {
            Some(after) => format!("(({key}) > ({after}) AND ({key}) <= ({up_to}))"),
            None => format!("(({key}) <= ({up_to}))"),
        }
    }

    /// What a checkpoint belongs to: another statement or key must not go on from it.
    pub fn identity(&self, statement: &str) -> String {
        let mut hash = Sha256::new();
        for part in [self.table.as_str(), &self.key.join(","), statement] {
            hash.update(part.as_bytes());
            hash.update(b"\0");
        }
        hex::encode(hash.finalize())
    }
}

/// How far a statement in batches is; kept in the history's row, saved together with each batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// [`Backfill::identity`] of the statement it belongs to.
    pub of: String,
    /// The last key that is done, as the server's literals; `None` before the first batch.
    pub after: Option<String>,
    /// Keys walked.
    pub keys: u64,
    /// Rows changed.
    pub rows: u64,
    /// Keys in a batch at the moment.
    pub size: u32,
}

impl Checkpoint {
    /// Before the first batch.
    pub fn start(of: String, size: u32) -> Self {
        Self { of, after: None, keys: 0, rows: 0, size }
    }
}

/// Keys in the batch after one of `size` that took `took`, at most `most`.
pub fn next_size(size: u32, most: u32, took: Duration) -> u32 {
    if took > LONG {
        (size / 2).max(1)
    } else if took < SHORT {
        size.saturating_mul(2).min(most)
    } else {
        size.min(most)
    }
}

/// Where the marker and its `true` stand in a statement; what stands in strings is none.
pub fn markers(statement: &str) -> Vec<Range<usize>> {
    if !statement.contains(MARKER) {
        return Vec::new();
    }
    let tokens = significant_tokens(statement);
    statement
        .match_indices(MARKER)
        .filter_map(|(at, _)| {
            let next = tokens.iter().find(|t| t.end > at)?;
            let in_a_comment_of_its_own = next.start >= at + MARKER.len();
            let is_true = statement[next.clone()].eq_ignore_ascii_case("true");
            (in_a_comment_of_its_own && is_true && statement[at + MARKER.len()..next.start].trim().is_empty())
                .then_some(at..next.end)
        })
        .collect()
}

/// `50ms`, `2s`, or seconds as a number.
fn milliseconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no time such as `50ms` or `2s`");
    let (number, factor) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1000),
        (None, None) => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(wrong)
}

/// The parts of a dotted name.
fn parts(name: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, c) in name.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => {
                out.push(&name[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(&name[start..]);
    out
}

fn is_name(name: &str) -> bool {
    parts(name).into_iter().all(|part| match part.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').is_some_and(|inner| !inner.is_empty() && !inner.contains('"')),
        None => {
            part.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
        }
    })
}

fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
        Some(inner) => inner.to_owned(),
        None => name.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_becomes_the_range_of_one_batch() {
        let of = Backfill::new("app.orders", Some("o.id"), Some("10"), Some("50ms")).unwrap();
        let sql = "update orders o set n = n + 1 where n = 0 and /* godwit:batch */ true";
        assert_eq!(
            of.batch_of(sql, Some("'5'::bigint"), "'9'::bigint"),
            "update orders o set n = n + 1 where n = 0 and ((o.id) > ('5'::bigint) AND (o.id) <= ('9'::bigint))"
        );
        assert_eq!(of.condition(None, "9"), "((id) <= (9))");
        assert_eq!((of.columns(), of.pause()), (vec!["id".to_owned()], Duration::from_millis(50)));
        let two = Backfill::new("t", Some("\"A\",b"), None, None).unwrap();
        assert_eq!(two.condition(Some("1, 2"), "3, 4"), "((\"A\", b) > (1, 2) AND (\"A\", b) <= (3, 4))");
        assert_eq!(two.columns(), ["A", "b"]);
    }

    #[test]
    fn a_marker_is_a_comment_before_true_and_nothing_else() {
        assert_eq!(markers("select 1 where /* godwit:batch */ TRUE and 2").len(), 1);
        for none in [
            "select '/* godwit:batch */ true'",
            "select 1 where /* godwit:batch */ false",
            "select 1 where /* godwit:batch */ /* x */ true",
            "select true",
        ] {
            assert!(markers(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn marks_that_make_no_sense_are_refused() {
        for (table, key, batch, pause) in [
            ("t", None, None, None),
            ("t; drop table t", Some("id"), None, None),
            ("t", Some("id,"), None, None),
            ("t", Some("id"), Some("0"), None),
            ("t", Some("id"), None, Some("soon")),
            ("\"t", Some("id"), None, None),
        ] {
            assert!(Backfill::new(table, key, batch, pause).is_err(), "{table} {key:?} {batch:?} {pause:?}");
        }
    }

    #[test]
    fn long_batches_shrink_and_short_ones_grow_back() {
        assert_eq!(next_size(5000, 5000, Duration::from_millis(1500)), 2500);
        assert_eq!(next_size(1, 5000, Duration::from_secs(9)), 1);
        assert_eq!(next_size(2500, 5000, Duration::from_millis(500)), 2500);
        assert_eq!(next_size(4000, 5000, Duration::from_millis(100)), 5000);
    }
}
