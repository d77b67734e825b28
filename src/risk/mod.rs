//! The risk of a migration, with its reasons as data. Pure.

pub mod facts;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::Risk;
use crate::lint::{Category, Violation};
use crate::migration::{Migration, MigrationSet, VersionStep};

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
    /// A semantic version whose first number is higher than those before it.
    Version,
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

/// The risk of one migration from the findings in it, its own word, its version, and whether it can be undone.
///
/// A waived finding keeps its risk (DECISIONS 23). A migration that loses data and has no way back says so as a reason
/// of its own; the absence of a rollback alone raises nothing.
pub fn assess(migration: &Migration, violations: &[Violation]) -> RiskAssessment {
    let mut reasons: Vec<RiskReason> = Vec::new();
    for violation in violations.iter().filter(|v| v.risk > Risk::Low && owns(migration, &v.file)) {
        let waived = if violation.waived.is_some() { " (waived)" } else { "" };
        reasons.push(RiskReason {
            level: violation.risk,
            source: RiskSource::Rule {
                rule: violation.rule.clone(),
                file: violation.file.clone(),
                line: violation.line,
            },
            text: format!("{}, line {}: {}{waived}", violation.rule, violation.line, violation.message),
        });
    }
    let destroys = violations
        .iter()
        .any(|v| v.category == Category::Destructive && v.risk == Risk::High && owns(migration, &v.file));
    if destroys && !migration.is_reversible() {
        reasons.push(RiskReason {
            level: Risk::High,
            source: RiskSource::Irreversible,
            text: "it loses data and no rollback script brings anything back".to_owned(),
        });
    }
    // By the version it breaks what runs, whatever the statements look like [S4-41].
    if migration.step == Some(VersionStep::Major) {
        reasons.push(RiskReason {
            level: Risk::High,
            source: RiskSource::Version,
            text: format!("version {} is a major one: what runs may break", migration.version),
        });
    }
    if let Some(declared) = migration.declared_risk() {
        reasons.push(RiskReason {
            level: declared,
            source: RiskSource::Declared,
            text: format!("the migration declares {declared}"),
        });
    }
    reasons.sort_by_key(|r| std::cmp::Reverse(r.level));
    RiskAssessment { level: reasons.iter().map(|r| r.level).max().unwrap_or(Risk::Low), reasons }
}

/// The migrations (`unit/id`) in which a finding says that data is lost, waived or not.
pub fn destroying(set: &MigrationSet, violations: &[Violation]) -> BTreeSet<String> {
    let lost = |v: &&Violation| v.category == Category::Destructive && v.risk == Risk::High;
    let files: BTreeSet<&str> = violations.iter().filter(lost).map(|v| v.file.as_str()).collect();
    let owners = set.by_path();
    files.into_iter().filter_map(|file| owners.get(file)).map(|m| m.reference()).collect()
}

fn owns(migration: &Migration, file: &str) -> bool {
    migration.files.iter().any(|f| f.path == file)
}
