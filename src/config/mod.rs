//! What people configure, parsed once into final types: unknown keys and wrong types are errors with file and line.

pub mod connection;
pub mod environments;
pub mod health;
pub mod lint;
pub mod matrix;
pub mod repo;
pub mod roles;
pub mod schema;
pub mod service;
mod template;
pub mod windows;
pub(crate) mod yaml;

#[cfg(feature = "bot")]
pub mod server;
#[cfg(feature = "sqlite")]
pub mod urls;

use std::fmt;

pub use connection::Connection;
pub use environments::{Environment, Environments, MigrationSettings, Promotion, Region, Sealing, Seed, TargetConfig};
pub use health::HealthChecks;
pub use lint::{LintConfig, Profile};
pub use matrix::{ApprovalMatrix, Cell};
pub use repo::RepoConfig;
pub use roles::Roles;
pub use service::ServiceSettings;
pub use template::{MissingVariable, Template};
pub use windows::{WindowState, Windows};

/// A mistake in a configuration file, located, with what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// Path of the file.
    pub file: String,
    /// Line from 1, where it is known.
    pub line: Option<usize>,
    /// Column from 1, where it is known.
    pub column: Option<usize>,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        write!(f, ": {}", self.message)
    }
}
