//! What a plan would run into, read before anything is changed.

use mongodb::Database;

use crate::drivers::DriverError;
use crate::plan::{MigrationPlan, Objection};

/// Looks at the target.
pub(super) async fn look(_db: &Database, _plan: &MigrationPlan) -> Result<Vec<Objection>, DriverError> {
    Ok(Vec::new())
}
