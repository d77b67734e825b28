//! Godwit's own tables: deliveries, jobs, runs, approvals, locks, audit.

/// A handle to the store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {}
