//! Samples bent at random: pieces cut out, doubled, swapped, bytes turned, words of every format thrown in.

use proptest::prelude::*;

/// Words on which readers turn.
const WORDS: &[&str] = &[
    "'",
    "\"",
    "$$",
    "$a$",
    ";",
    "--",
    "/*",
    "*/",
    "\\",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    ": ",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\u{feff}",
    "é",
    "🦆",
    "\u{202e}",
    "${",
    "${X}",
    "@",
    "#",
    "*",
    "**",
    "..",
    "/../",
    "~",
    "|",
    "&a",
    "*a",
    "!!x",
    "---\n",
    "- ",
    "null",
    "true",
    "-1",
    "1e400",
    "99999999999999999999",
    "0x",
    "concurrently ",
    "if not exists ",
    "begin;",
    "commit;",
    "rollback;",
    "drop table ",
    "alter table ",
    "do ",
    "execute ",
    "using ",
    "default ",
    "references ",
    "-- godwit: ",
    "waive=",
    "reason=",
    "depends_on=",
    "no-transaction",
    "-- +goose Up\n",
    "-- +goose Down\n",
    "-- migrate:down\n",
    "\"type\":",
    "\"operations\":",
    "\"filter\":{}",
    "redis.call(",
    "KEYS[1]",
    "while true do ",
    "end",
    "/godwit ",
    "```\n",
    "> ",
    "<!--",
    "-->",
];

/// One bend; numbers are taken modulo what is there.
#[derive(Debug, Clone)]
pub enum Edit {
    Cut(usize, usize),
    Double(usize, usize),
    Throw(usize, usize),
    Turn(usize, u8),
    Repeat(usize, usize),
}

/// One to eight bends.
pub fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let place = 0..100_000_usize;
    let edit = prop_oneof![
        3 => (place.clone(), 1..60_usize).prop_map(|(at, n)| Edit::Cut(at, n)),
        2 => (place.clone(), 1..60_usize).prop_map(|(at, n)| Edit::Double(at, n)),
        5 => (place.clone(), 0..WORDS.len()).prop_map(|(at, n)| Edit::Throw(at, n)),
        2 => (place.clone(), any::<u8>()).prop_map(|(at, byte)| Edit::Turn(at, byte)),
        // Depth and length: a hundred times the same word.
        1 => (place, 0..WORDS.len()).prop_map(|(at, n)| Edit::Repeat(at, n)),
    ];
    prop::collection::vec(edit, 1..8)
}

/// `sample` with the bends in it.
pub fn bytes(sample: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut out = sample.to_vec();
    for edit in edits {
        let length = out.len();
        let piece = |at: usize, n: usize| {
            let from = at % (length + 1);
            from..(from + n).min(length)
        };
        match *edit {
            Edit::Cut(at, n) => drop(out.drain(piece(at, n))),
            Edit::Double(at, n) => {
                let range = piece(at, n);
                let copy = out[range.clone()].to_vec();
                out.splice(range.start..range.start, copy);
            }
            Edit::Throw(at, n) => {
                let from = at % (length + 1);
                out.splice(from..from, WORDS[n].bytes());
            }
            Edit::Repeat(at, n) => {
                let from = at % (length + 1);
                out.splice(from..from, WORDS[n].repeat(100).into_bytes());
            }
            Edit::Turn(at, byte) => {
                if length > 0 {
                    out[at % length] = byte;
                }
            }
        }
    }
    out
}

/// One of the samples, bent; what is no UTF-8 afterwards is replaced.
pub fn bent(samples: &'static [&'static str]) -> impl Strategy<Value = String> {
    (prop::sample::select(samples), edits())
        .prop_map(|(sample, edits)| String::from_utf8_lossy(&bytes(sample.as_bytes(), &edits)).into_owned())
}

/// The text of one of the named samples, bent as by [`bent`].
pub fn bent_of(samples: &'static [(&'static str, &'static str)]) -> impl Strategy<Value = String> {
    (prop::sample::select(samples), edits())
        .prop_map(|((_, sample), edits)| String::from_utf8_lossy(&bytes(sample.as_bytes(), &edits)).into_owned())
}

/// The sample, bent, whatever bytes come of it.
pub fn bent_bytes(sample: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    edits().prop_map(move |edits| bytes(sample, &edits))
}
