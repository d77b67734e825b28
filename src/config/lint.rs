//! `policies/lint.yml`: rule levels, server version, waivers.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::migration::Severity;

/// The linter's settings; the default holds without the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintConfig {
    /// Rule id → level, or `None` to switch the rule off.
    pub levels: BTreeMap<String, Option<Severity>>,
    /// PostgreSQL version of the targets, for rules that depend on it, such as `15`.
    pub postgres_version: String,
    /// Findings let through by the policy (base branch): these do lower severity to `info`.
    pub waivers: Vec<PolicyWaiver>,
}

impl Default for LintConfig {
    fn default() -> Self {
        Self { levels: BTreeMap::new(), postgres_version: "15".to_owned(), waivers: Vec::new() }
    }
}

/// A waiver in the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyWaiver {
    /// The rule's id.
    pub rule: String,
    /// Paths it holds for, as globs; empty means every path.
    pub paths: Vec<String>,
    /// Why.
    pub reason: String,
    /// The last day it holds.
    pub expires: NaiveDate,
}
