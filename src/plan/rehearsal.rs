//! What trying migrations on a scratch database showed, as data.

use serde::{Deserialize, Serialize};

use super::drift::SchemaChange;
use crate::ids::{Engine, MigrationId};

/// A lock that a migration held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeldLock {
    /// The table or index.
    pub relation: String,
    /// The mode in the manual's words, without `Lock`.
    pub mode: String,
    /// How long.
    pub until: Until,
}

/// How long a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// To the end of the migration, which is one transaction.
    End,
    /// While one of its statements ran outside a transaction: for the whole of it, or a part.
    Statement,
}

impl Until {
    /// In a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Until::End => "until the end",
            Until::Statement => "while a statement runs",
        }
    }
}

/// Rows of one table that a migration changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedRows {
    /// The table.
    pub relation: String,
    /// Rows that it put in.
    pub inserted: u64,
    /// Rows that it changed.
    pub updated: u64,
    /// Rows that it took away.
    pub deleted: u64,
}

/// How the server means to carry out a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerPlan {
    /// The statement's line in its file.
    pub line: u32,
    /// Its first line.
    pub statement: String,
    /// The server's own words, line by line.
    pub plan: Vec<String>,
}

/// One migration, tried forward, back and forward again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsed {
    /// The unit (directory).
    pub unit: String,
    /// The migration.
    pub migration: MigrationId,
    /// The kind of database.
    pub engine: Engine,
    /// Milliseconds of the way forward, the way back, and forward again; as far as it came.
    pub took_ms: Vec<u64>,
    /// Locks on relations that were there before, as the server told before the commit, or while statements ran outside a
    /// transaction (PostgreSQL).
    pub locks: Vec<HeldLock>,
    /// The rows that the way forward changed (PostgreSQL).
    #[serde(default)]
    pub rows: Vec<ChangedRows>,
    /// Rows, documents or keys that the way forward changed, where that is counted as it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<u64>,
    /// How the server means to carry out the statements, where it was asked (PostgreSQL, SQLite).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<ServerPlan>,
    /// Whether it has a way back.
    pub reversible: bool,
    /// What the way back did not restore.
    pub not_restored: Vec<SchemaChange>,
    /// What is different after going forward for the second time.
    pub not_repeated: Vec<SchemaChange>,
    /// What went wrong.
    pub error: Option<String>,
}

impl Rehearsed {
    /// Whether it did what a migration should.
    pub fn is_sound(&self) -> bool {
        self.error.is_none() && self.not_restored.is_empty() && self.not_repeated.is_empty()
    }

    /// What was wrong, in one sentence; empty when nothing was.
    pub fn complaint(&self) -> String {
        let mut parts: Vec<String> = self.error.iter().cloned().collect();
        for (what, changes) in [
            ("the way back did not restore", &self.not_restored),
            ("the second time left something else in", &self.not_repeated),
        ] {
            let objects: Vec<&str> = changes.iter().map(|c| c.object.as_str()).collect();
            if !objects.is_empty() {
                parts.push(format!("{what} {}", objects.join(", ")));
            }
        }
        parts.join("; ")
    }
}
