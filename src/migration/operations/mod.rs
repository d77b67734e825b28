//! Migrations written as operations: JSON for MongoDB, Elasticsearch and Redis (SPEC 3.1–3.3, 3.5). Pure.
//!
//! A script of these engines is either a whole migration file, whose `operations` are run, or a bare list of
//! operations: a file's inline `rollback`, the computed inverse of a file, or a Redis script with its keys. Each
//! operation is one statement of the run. It is kept as written, so that a plan shows it and a message names its line.

pub mod elasticsearch;
pub mod extended_json;
pub mod lua;
pub mod mongodb;
pub mod redis;

use std::ops::Range;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::ids::{Engine, Risk};
use crate::migration::Spot;
use crate::migration::execution::{CannotExecute, Nature, Statement};

/// One operation of one engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// MongoDB.
    Mongodb(mongodb::Operation),
    /// Elasticsearch.
    Elasticsearch(elasticsearch::Operation),
    /// Redis.
    Redis(redis::Operation),
}

/// An operation where it stands in its script.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// Byte range of its JSON object in the script's text.
    pub range: Range<usize>,
    /// Line within the script's text, from 1; of an undo, the line of what it takes back.
    pub line: u32,
    /// What it says.
    pub operation: Operation,
}

/// What can be said of taking an operation back without a `rollback` of its own (SPEC 3.2, 3.3, column "inverse").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inverse {
    /// It can be taken back from what the run recorded.
    Computed,
    /// It cannot: why.
    None(&'static str),
}

/// How an operation is carried out and recovered, in words for plan and audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// What may be done about it after a crash.
    pub nature: Nature,
    /// The same on a server without transactions.
    pub without_transactions: Nature,
    /// Why, for people.
    pub why: &'static str,
}

/// A file's keys that matter here; the others are the layout's.
#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow, default)]
    operations: Option<Vec<&'a RawValue>>,
}

impl Operation {
    /// Reads one operation's JSON.
    ///
    /// # Errors
    /// Malformed JSON, an unknown operation, a missing or unknown field: the parser's words.
    pub fn parse(engine: Engine, json: &str) -> Result<Self, serde_json::Error> {
        match engine {
            Engine::Mongodb => serde_json::from_str(json).map(Self::Mongodb),
            Engine::Elasticsearch => serde_json::from_str(json).map(Self::Elasticsearch),
            Engine::Redis => serde_json::from_str(json).map(Self::Redis),
            Engine::Postgresql | Engine::Sqlite => {
                Err(serde::de::Error::custom(format!("{engine} migrations are SQL, not operations")))
            }
        }
    }

    /// Its `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mongodb(o) => o.name(),
            Self::Elasticsearch(o) => o.name(),
            Self::Redis(o) => o.name(),
        }
    }

    /// How it is recovered after a crash, and why.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Mongodb(o) => o.recovery(),
            Self::Elasticsearch(o) => o.recovery(),
            Self::Redis(o) => o.recovery(),
        }
    }

    /// Whether it can be taken back without a `rollback` of its own.
    pub fn inverse(&self) -> Inverse {
        match self {
            Self::Mongodb(o) => o.inverse(),
            Self::Elasticsearch(o) => o.inverse(),
            Self::Redis(o) => o.inverse(),
        }
    }

    /// Whether it takes away data that only a backup brings back.
    pub fn destroys(&self) -> bool {
        match self {
            Self::Mongodb(o) => o.destroys(),
            Self::Elasticsearch(o) => o.destroys(),
            Self::Redis(o) => o.destroys(),
        }
    }

    /// How much can go wrong with it by itself, whatever stands around it (the linter knows more).
    pub fn risk(&self) -> Risk {
        match self.name() {
            "undo" => Risk::Low,
            _ if self.destroys() => Risk::High,
            "rename_field" | "rename_collection" | "run_command" | "rename_keys" => Risk::High,
            "create_index" if matches!(self, Self::Mongodb(_)) => Risk::Medium,
            "drop_index" | "set_validator" | "update_documents" | "update_mapping" | "reindex" | "swap_alias"
            | "update_by_query" | "put_settings" | "script" | "set_ttl" => Risk::Medium,
            _ => Risk::Low,
        }
    }

    /// What it does, in one line for people. Values are cut short, and secrets are left out.
    pub fn describe(&self) -> String {
        match self {
            Self::Mongodb(o) => o.describe(),
            Self::Elasticsearch(o) => o.describe(),
            Self::Redis(o) => o.describe(),
        }
    }

    /// Whether a failure may leave a part of it behind although its effect and its mark are one: Redis keeps what a script
    /// has written before its error.
    pub fn may_leave_a_part(&self) -> bool {
        match self {
            Self::Redis(redis::Operation::Script { .. }) => true,
            Self::Mongodb(_) | Self::Elasticsearch(_) | Self::Redis(_) => false,
        }
    }

    /// The line of what an undo takes back.
    fn line_of_undone(&self) -> Option<u32> {
        match self {
            Self::Mongodb(mongodb::Operation::Undo { line, .. })
            | Self::Elasticsearch(elasticsearch::Operation::Undo { line, .. })
            | Self::Redis(redis::Operation::Undo { line, .. }) => Some(*line),
            Self::Mongodb(_) | Self::Elasticsearch(_) | Self::Redis(_) => None,
        }
    }
}

/// A number of things that are done at once.
fn at_least_one<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    match Option::<u32>::deserialize(from)? {
        Some(0) => Err(D::Error::custom("0 at once would never end; give at least 1, or leave it out")),
        number => Ok(number),
    }
}

/// Whether the engine's migrations are operations.
pub fn are_operations(engine: Engine) -> bool {
    match engine {
        Engine::Mongodb | Engine::Redis | Engine::Elasticsearch => true,
        Engine::Postgresql | Engine::Sqlite => false,
    }
}

/// The operations of a script in order.
///
/// # Errors
/// What is wrong with the first that cannot be read, with its line.
pub fn read(engine: Engine, text: &str) -> Result<Vec<Located>, CannotExecute> {
    read_each(engine, text).into_iter().map(|one| one.map_err(CannotExecute::from)).collect()
}

/// The operations of a script in order, each that cannot be read with what is wrong with it; one mistake alone where the
/// script is no list at all.
pub fn read_each(engine: Engine, text: &str) -> Vec<Result<Located, Mistake>> {
    let raw: Result<Vec<&RawValue>, _> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text)
    } else {
        serde_json::from_str::<Whole<'_>>(text).map(|whole| whole.operations.unwrap_or_default())
    };
    let raw = match raw {
        Ok(raw) => raw,
        Err(e) => return vec![Err(malformed(&e, text, 0))],
    };
    raw.into_iter()
        .map(|value| {
            let range = position(text, value.get());
            let before = line_at(text, range.start);
            let operation = Operation::parse(engine, value.get()).map_err(|e| wrong_operation(&e, text, &range))?;
            Ok(Located { line: operation.line_of_undone().unwrap_or(before), range, operation })
        })
        .collect()
}

/// An operation that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The word that is wrong, else the operation, within the script's text.
    pub at: Spot,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl From<Mistake> for CannotExecute {
    fn from(mistake: Mistake) -> Self {
        Self { rule: RULE, line: mistake.at.line, message: mistake.message, help: mistake.help }
    }
}

/// What is said of an `undo` that a person wrote, in the bytes `range` of a script's `text`.
pub(crate) fn own_undo(text: &str, range: Range<usize>) -> Mistake {
    Mistake {
        at: Spot::of(text, range),
        message: "`undo` is Godwit's own operation; no file holds it".to_owned(),
        help: "write the operations that take the migration back, or leave the rollback out to have it computed"
            .to_owned(),
    }
}

/// The operations as statements of a run.
///
/// # Errors
/// As [`read`].
pub fn statements(engine: Engine, text: &str) -> Result<Vec<Statement>, CannotExecute> {
    Ok(read(engine, text)?
        .into_iter()
        .map(|located| {
            let recovery = located.operation.recovery();
            Statement {
                range: located.range,
                line: located.line,
                outside_transaction: None,
                nature: recovery.nature,
                without_transactions: Some(recovery.without_transactions),
                why: Some(recovery.why),
            }
        })
        .collect())
}

/// An operation that cannot be taken back [S4-67].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Irreversible {
    /// Its line within the script's text.
    pub line: u32,
    /// Its `type`.
    pub operation: &'static str,
    /// Why.
    pub why: &'static str,
}

/// The operations that cannot be taken back without a `rollback`; where there are none, [`undo_of`] is the rollback.
pub fn irreversible(operations: &[Located]) -> Vec<Irreversible> {
    operations
        .iter()
        .filter_map(|o| match o.operation.inverse() {
            Inverse::Computed => None,
            Inverse::None(why) => Some(Irreversible { line: o.line, operation: o.operation.name(), why }),
        })
        .collect()
}

/// The script that takes `operations` of `text` back, newest first, from what the run of each recorded.
pub fn undo_of(text: &str, operations: &[Located]) -> String {
    let undone: Vec<String> = operations
        .iter()
        .enumerate()
        .rev()
        .map(|(n, o)| {
            format!("{{\"type\":\"undo\",\"operation\":{n},\"line\":{},\"of\":{}}}", o.line, &text[o.range.clone()])
        })
        .collect();
    format!("[{}]", undone.join(",\n"))
}

/// Characters of a value that are shown.
const SHOWN: usize = 60;

/// A value of `key` for people: on one line, cut short, and not at all where it is a secret.
fn short(key: &str, value: &Value) -> String {
    if holds_secret(key, value) {
        return "…".to_owned();
    }
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn holds_secret(key: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => crate::redact::is_secret(key, text),
        Value::Array(items) => items.iter().any(|item| holds_secret(key, item)),
        Value::Object(fields) => fields.iter().any(|(key, value)| holds_secret(key, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// ` where {…}`, or nothing.
fn condition(filter: Option<&serde_json::Map<String, Value>>) -> String {
    filter.map_or(String::new(), |f| format!(" where {}", short("", &Value::Object(f.clone()))))
}

/// What is wrong with JSON that begins at byte `start` of a script's `text`.
fn malformed(error: &serde_json::Error, text: &str, start: usize) -> Mistake {
    let Spot { line, column, .. } = Spot::of(text, start..start);
    let at = Spot::read_to(&text[start..], error.line(), error.column()).within(line, column);
    Mistake { at, message: words_of(error), help: HELP.to_owned() }
}

/// What an operation that cannot be read breaks.
const RULE: &str = "invalid-operation";
const HELP: &str = "see docs/operations-json.md for each operation and its fields";

/// The parser's words without its position, which is told beside them.
fn words_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// What is wrong with one operation, the bytes `range` of its script's `text`. The parser knows a position only where the
/// JSON itself is broken; else it is the word that it complains about, or the operation as a whole.
fn wrong_operation(error: &serde_json::Error, text: &str, range: &Range<usize>) -> Mistake {
    if !error.is_data() {
        return malformed(error, text, range.start);
    }
    let json = &text[range.clone()];
    // Nobody writes an `undo`, so it is not offered.
    let message = words_of(error).replace(", `undo`", "");
    let named = message.split('`').nth(1).filter(|_| message.starts_with("unknown"));
    let word = named.map(|name| format!("\"{name}\""));
    let at = word.and_then(|word| json.find(&word).map(|at| at..at + word.len())).unwrap_or(0..json.len());
    let kind = serde_json::from_str::<Value>(json).ok().and_then(|v| v.get("type")?.as_str().map(str::to_owned));
    let message = match kind {
        Some(kind) if !message.starts_with("unknown variant") => format!("`{kind}`: {message}"),
        Some(_) | None => message.replace("unknown variant", "unknown operation"),
    };
    let at = Spot::of(text, range.start + at.start..range.start + at.end);
    Mistake { at, message, help: HELP.to_owned() }
}

/// Where `part`, which was borrowed from `text`, stands in it.
fn position(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}

fn line_at(text: &str, at: usize) -> u32 {
    1 + u32::try_from(text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count()).unwrap_or(0)
}
