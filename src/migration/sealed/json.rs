//! Where a sealed value may stand in JSON.

use std::ops::Range;

use super::{MARK, Misplaced, is_part, is_whole};
use crate::ids::Engine;

/// A step on the way from the outside of a text to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step<'t> {
    /// The value of this key, as it is written.
    Key(&'t str),
    /// One of a list.
    Item,
}

/// A string of a text.
struct Found<'t> {
    /// Its bytes, quotes included.
    range: Range<usize>,
    path: Vec<Step<'t>>,
    is_key: bool,
}

/// The strings that hold a sealed value; of what is no JSON, some.
fn strings(text: &str) -> Vec<Found<'_>> {
    let bytes = text.as_bytes();
    let (mut found, mut path) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' => path.push(Step::Key("")),
            b'[' => path.push(Step::Item),
            b'}' | b']' => {
                path.pop();
            }
            b'"' => {
                let start = at;
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                let inner = text.get(start + 1..at).unwrap_or_default();
                let rest = text.get(at + 1..).unwrap_or_default();
                let is_key = matches!(path.last(), Some(Step::Key(_))) && rest.trim_start().starts_with(':');
                if inner.contains(MARK) {
                    found.push(Found { range: start..(at + 1).min(text.len()), path: path.clone(), is_key });
                }
                if is_key && let Some(last) = path.last_mut() {
                    *last = Step::Key(inner);
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The strings of a migration's operations that hold a sealed value, quotes included; each that is in the wrong place with
/// why.
pub(super) fn of_operations(engine: Engine, text: &str) -> Vec<Result<Range<usize>, Misplaced>> {
    let (roots, help): (&[&str], &str) = match engine {
        Engine::Redis => (&["args"], "give it to the script in `args`, where the script has it in ARGV"),
        Engine::Elasticsearch => (&["params"], "give it to a script in `params`"),
        Engine::Mongodb | Engine::Postgresql | Engine::Sqlite => (
            &["value", "documents", "pwd", "$set", "$setOnInsert", "$push", "$addToSet"],
            "seal what a field gets (`value`, `$set`, `$setOnInsert`, `$push`, `$addToSet`, `documents`), or a `pwd`",
        ),
    };
    let judge = |found: &Found<'_>| match takes_value(&found.path, roots) {
        true => Ok(()),
        false => Err((
            "a sealed value stands where it says what is done, or to what: nobody could see that".to_owned(),
            help,
        )),
    };
    all(text, judge)
}

/// The same of seed data.
pub(super) fn of_documents(text: &str) -> Vec<Result<Range<usize>, Misplaced>> {
    let judge = |found: &Found<'_>| match found
        .path
        .iter()
        .any(|step| matches!(step, Step::Key(key) if key.starts_with(['_', '$'])))
    {
        false => Ok(()),
        true => Err(("a sealed value stands where it says of what the data is".to_owned(), "seal values of fields")),
    };
    all(text, judge)
}

type Why = (String, &'static str);

fn all(text: &str, judge: impl Fn(&Found<'_>) -> Result<(), Why>) -> Vec<Result<Range<usize>, Misplaced>> {
    let one = |found: Found<'_>| {
        let inner = text.get(found.range.start + 1..found.range.end - 1).unwrap_or_default();
        let judged = if found.is_key {
            Err(("a sealed value stands where a name is expected".to_owned(), "seal values, not names of fields"))
        } else if is_whole(inner) {
            judge(&found)
        } else {
            judge(&found).and(Err(is_part("make it a string of its own: `\"ENC[…]\"`")))
        };
        match judged {
            Ok(()) => Ok(found.range),
            Err((message, help)) => Err(Misplaced { at: found.range.start, message, help: help.to_owned() }),
        }
    };
    strings(text).into_iter().map(one).collect()
}

/// Whether a value at `path` is only written: below one of `roots`, with nothing around or in it that is computed.
fn takes_value(path: &[Step<'_>], roots: &[&str]) -> bool {
    let is_root = |step: &Step<'_>| matches!(step, Step::Key(key) if roots.contains(key));
    let Some(root) = path.iter().position(is_root) else { return false };
    let computed = |step: &Step<'_>| matches!(step, Step::Key(key) if key.starts_with('$') && *key != "$each");
    // In a list of stages a text that begins with a dollar is a field.
    let in_stages = path.windows(2).any(|pair| matches!(pair, [Step::Key("update" | "u" | "pipeline"), Step::Item]));
    !in_stages && !path[..root].iter().any(computed) && !path[root + 1..].iter().any(computed)
}
