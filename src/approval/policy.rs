//! Everything that judges a pull request, read from one commit: the tip of its base branch (B-4).

use super::codeowners::CodeOwners;
use crate::config::{ApprovalMatrix, ConfigError, Environments, LintConfig, RepoConfig, Roles};

/// The policy of one commit.
#[derive(Debug, Clone)]
pub struct Policy {
    /// `godwit.yml`.
    pub repo: RepoConfig,
    /// `policies/environments.yml`.
    pub environments: Environments,
    /// `policies/approval_matrix.yml`, or the built-in matrix.
    pub matrix: ApprovalMatrix,
    /// `policies/roles.yml`.
    pub roles: Roles,
    /// `policies/lint.yml`.
    pub lint: LintConfig,
    /// `CODEOWNERS`, if there is one.
    pub codeowners: Option<CodeOwners>,
    /// SHA-256 over the raw bytes of all of the above, lower-case hexadecimal.
    pub hash: String,
}

impl Policy {
    /// Reads the policy through `read`, which gives a file's bytes at the commit, or `None` where there is no such file.
    ///
    /// # Errors
    /// Every mistake found, located.
    pub fn load(read: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<Self, Vec<ConfigError>> {
        let _ = read;
        Err(Vec::new())
    }
}
