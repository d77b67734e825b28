//! Migrations written as operations: JSON for MongoDB, Elasticsearch and Redis (SPEC 3.1–3.3, 3.5). Pure.
//!
//! A script of these engines is either a whole migration file, whose `operations` are run, or a bare list of
//! operations: a file's inline `rollback`, the computed inverse of a file, or a Redis script with its keys. Each
//! operation is one statement of the run. It is kept as written, so that a plan shows it and a message names its line.

pub mod elasticsearch;
pub mod lua;
pub mod mongodb;
pub mod redis;

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ids::Engine;
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
    read_each(engine, text).into_iter().collect()
}

/// The operations of a script in order, each that cannot be read with what is wrong with it; one mistake alone where the
/// script is no list at all.
pub fn read_each(engine: Engine, text: &str) -> Vec<Result<Located, CannotExecute>> {
    let raw: Result<Vec<&RawValue>, _> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text)
    } else {
        serde_json::from_str::<Whole<'_>>(text).map(|whole| whole.operations.unwrap_or_default())
    };
    let raw = match raw {
        Ok(raw) => raw,
        Err(e) => return vec![Err(malformed(&e, 0))],
    };
    raw.into_iter()
        .map(|value| {
            let range = position(text, value.get());
            let before = line_at(text, range.start);
            let operation = Operation::parse(engine, value.get()).map_err(|e| malformed(&e, before - 1))?;
            Ok(Located { line: operation.line_of_undone().unwrap_or(before), range, operation })
        })
        .collect()
}

/// What is said of an `undo` that a person wrote.
pub(crate) fn own_undo(line: u32) -> CannotExecute {
    CannotExecute {
        line,
        rule: "invalid-metadata",
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

fn malformed(error: &serde_json::Error, lines_before: u32) -> CannotExecute {
    let line = u32::try_from(error.line()).unwrap_or(1).max(1);
    let text = error.to_string();
    // The parser's own position is within the operation; the line is told beside the message.
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    CannotExecute {
        rule: "invalid-metadata",
        line: lines_before + line,
        message,
        help: "see docs/operations-json.md for each operation and its fields".to_owned(),
    }
}

/// Where `part`, which was borrowed from `text`, stands in it.
fn position(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}

fn line_at(text: &str, at: usize) -> u32 {
    1 + u32::try_from(text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count()).unwrap_or(0)
}
