//! `policies/approval_matrix.yml`: environment × risk → how many approvals, from which roles (SPEC 4.2).

use std::collections::BTreeMap;

use crate::ids::{EnvironmentName, Risk, RoleName};

/// The whole matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalMatrix {
    /// Environment → its cells; `testing` inherits `development` where the file has no block for it.
    pub cells: BTreeMap<EnvironmentName, EnvironmentCells>,
}

/// The cells of one environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentCells {
    /// `ANY`: every risk without a cell of its own.
    pub any: Option<Cell>,
    /// By risk.
    pub by_risk: BTreeMap<Risk, Cell>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// How many distinct people.
    pub required_approvals: u32,
    /// Roles, each filled by a distinct person.
    pub required_roles: Vec<RoleName>,
    /// Hours an approval holds after people were asked.
    pub timeout_hours: u32,
    /// Whether `emergency` may skip it.
    pub emergency_override: bool,
}

impl ApprovalMatrix {
    /// The cell that judges `environment` at `risk`; `None` means blocked (B-3).
    pub fn cell(&self, environment: &EnvironmentName, risk: Risk) -> Option<&Cell> {
        let cells = self.cells.get(environment)?;
        cells.by_risk.get(&risk).or(cells.any.as_ref())
    }
}
