//! The risk of a migration, with its reasons as data. Pure.

use serde::{Deserialize, Serialize};

use crate::ids::Risk;

/// One reason for a level, so that a comment can cite it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskReason {
    /// The level this reason alone would give.
    pub level: Risk,
    /// Where it comes from.
    pub source: RiskSource,
    /// In words, for a person.
    pub text: String,
}

/// Where a reason comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskSource {
    /// A finding of the linter: rule id, file, line.
    Rule {
        /// The rule.
        rule: String,
        /// The file.
        file: String,
        /// The line, from 1.
        line: u32,
    },
    /// The migration's own word.
    Declared,
    /// A label on the pull request.
    Label,
    /// It cannot be undone by a script.
    Irreversible,
}

/// The level and why; the level is the highest of the reasons' (DECISIONS 4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskAssessment {
    /// The highest of the reasons' levels; `LOW` without any.
    pub level: Risk,
    /// Highest first.
    pub reasons: Vec<RiskReason>,
}
