//! A history as far as a plan depends on it.

use std::fmt::{Display, Write as _};
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::plan::{HistoryRow, MigrationState};

/// What two histories have alike from which the same is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistorySummary {
    /// Over everything of the rows that a plan depends on.
    pub hash: String,
    /// Whether each row is of a migration that is applied.
    pub all_applied: bool,
}

impl HistorySummary {
    /// Of a history that was read whole.
    pub fn of(history: &[HistoryRow]) -> Self {
        let mut rows = Rows::with_capacity(history.len());
        for r in history {
            rows.push(&r.unit, r.id.as_str(), r.checksum.as_str(), r.state.as_str(), r.statements_done);
        }
        rows.summary()
    }
}

/// A hash over everything the history says that a plan depends on.
pub fn history_hash(history: &[HistoryRow]) -> String {
    HistorySummary::of(history).hash
}

/// The rows of a history, in any order, as they come.
#[derive(Debug)]
pub struct Rows {
    // One text for all of them: a history is long and its lines are short.
    text: String,
    lines: Vec<Range<usize>>,
    all_applied: bool,
}

impl Rows {
    /// None yet, and room for `rows` of them.
    pub fn with_capacity(rows: usize) -> Self {
        Self { text: String::with_capacity(rows * 160), lines: Vec::with_capacity(rows), all_applied: true }
    }

    /// One more: its columns of these names.
    pub fn push(&mut self, unit: &str, id: &str, checksum: &str, state: &str, statements_done: impl Display) {
        let start = self.text.len();
        for part in [unit, id, checksum, state] {
            self.text.push_str(part);
            self.text.push('\0');
        }
        let _ = write!(self.text, "{statements_done}");
        self.lines.push(start..self.text.len());
        self.all_applied &= state == MigrationState::Applied.as_str();
    }

    /// What they come to.
    pub fn summary(mut self) -> HistorySummary {
        let text = &self.text;
        self.lines.sort_unstable_by(|a, b| text[a.clone()].cmp(&text[b.clone()]));
        let mut hash = Sha256::new();
        for line in self.lines {
            hash.update(&text.as_bytes()[line]);
            hash.update(b"\n");
        }
        let hash = format!("sha256:{}", hex::encode(hash.finalize()));
        HistorySummary { hash, all_applied: self.all_applied }
    }
}
