//! What the history keeps of a migration: its row, how far a walk over keys is, and what an undo will need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::drivers::DriverError;
use crate::plan::{HistoryRow, MigrationState, StepAction};

/// A value of the history hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The row.
    pub row: HistoryRow,
    /// Which copy of the data the server had when the row was written last.
    #[serde(default)]
    pub replid: String,
    /// The walk that is under way.
    #[serde(default)]
    pub walk: Option<Walk>,
    /// Operation → the walk whose marks say which keys it touched.
    #[serde(default)]
    pub undo: BTreeMap<u32, Walk>,
}

/// One statement's way over its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Walk {
    /// Part of the names of its keys.
    pub token: String,
    /// Which statement, from 0.
    pub operation: u32,
    /// Of what the statement says: marks of another text do not count.
    pub text: String,
    /// Hashes of marks in each zone.
    pub buckets: u32,
    /// The sum of what changed, once everything is done and only the marks have to go.
    #[serde(default)]
    pub swept: Option<u64>,
}

impl Kept {
    /// A row nobody has written before.
    pub fn new(row: HistoryRow) -> Self {
        Self { row, replid: String::new(), walk: None, undo: BTreeMap::new() }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(field: &str, text: &str) -> Result<Self, DriverError> {
        serde_json::from_str(text).map_err(|e| {
            DriverError::History(format!(
                "the history has a value for `{field}` that this version does not understand: {e}"
            ))
        })
    }

    /// As it is kept.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Takes a row over. Gives the walks whose marks are of no use any more: a migration that was rolled back, or ended,
    /// begins anew; one that was cut short or failed goes on.
    pub fn take(&mut self, row: HistoryRow) -> Vec<Walk> {
        let goes_on =
            matches!(self.row.state, MigrationState::Running | MigrationState::Failed | MigrationState::NeedsHuman);
        let begins =
            row.state == MigrationState::Running && row.action == StepAction::Apply && row.statements_done == 0;
        let ends = matches!(row.state, MigrationState::Applied | MigrationState::RolledBack);
        let mut useless = Vec::new();
        if ends || !goes_on {
            useless.extend(self.walk.take());
        }
        if (begins && !goes_on) || row.state == MigrationState::RolledBack {
            useless.extend(std::mem::take(&mut self.undo).into_values());
        }
        useless.retain(|w| !self.undo.values().any(|u| u.token == w.token));
        self.row = row;
        useless
    }
}

/// The field of a migration.
pub(super) fn field(unit: &str, id: &str) -> String {
    format!("{unit}/{id}")
}
