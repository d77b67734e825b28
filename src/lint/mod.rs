//! Findings in migrations: squawk's rules, our own rules, and the structure problems, as one list. Pure.

mod bodies;
mod brought;
mod calls;
mod check;
mod corrections;
mod count;
mod depth;
pub mod effect;
pub mod fix;
mod fleeting;
mod foreign;
mod lines;
mod locks;
mod merged;
mod misplaced;
mod models;
mod objects;
mod operations;
mod order;
mod own;
mod picked;
pub mod pipelines;
mod profile;
mod psql;
mod references;
mod rewrite;
mod row_security;
pub mod rules;
mod schema;
mod script;
pub mod secrets;
mod services;
mod squawk;
mod syntax;
pub mod table;
mod taken;
mod touched;
mod transactions;
mod truth;
mod uses;
mod versions;
mod volatile;
mod waivers;
mod wayback;
mod words;

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use brought::{has_errors_outside, note_brought};
pub(crate) use check::RISK_UNDERSTATED;
pub use check::{check, check_judged};
pub use count::{Made, made_by};
#[cfg(feature = "sqlite")]
pub(crate) use depth::with_stack;
pub use locks::locks_of;
pub use merged::changed_after_merge;
pub use objects::objects_of;
pub use order::overtaken;
pub use own::{changes_own, message as own_tables_message};
pub use schema::{AGGREGATES, CHANGING};
pub use script::Direction;
pub use taken::{Taken, taken_by};
pub use volatile::STEADY;

use crate::ids::{Digest, Engine, Risk, TargetName};
use crate::migration::Migration;
pub use crate::migration::Severity;

/// What kind of harm a finding is about (INTERFACE 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Waits, rewrites, scans.
    Lock,
    /// Loses data.
    Destructive,
    /// Cannot succeed, or not on filled tables.
    Fails,
    /// Breaks running versions of the application.
    Compatibility,
    /// Rights, secrets.
    Security,
    /// Files, names, order, pairs.
    Structure,
    /// Taste.
    Style,
}

/// One finding, located. Field names are those of `godwit lint --format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Path relative to the repository's root.
    pub file: String,
    /// First line, from 1.
    pub line: u32,
    /// First column, from 1, in characters.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// Column after the last character.
    pub end_column: u32,
    /// Kebab-case id.
    pub rule: String,
    /// Kind of harm.
    pub category: Category,
    /// How bad.
    pub severity: Severity,
    /// What it adds to the migration's risk.
    pub risk: Risk,
    /// Names the object and the consequence.
    pub message: String,
    /// The safer form.
    pub help: Option<String>,
    /// The rule's page.
    pub url: String,
    /// The tables whose rows it is about, as the statement names them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tables: Vec<String>,
    /// A rewrite that can be done without thinking.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<fix::Fix>,
    /// The reason a waiver in the file gives for it; a waived finding is shown and keeps its risk (DECISIONS 23).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waived: Option<String>,
}

/// One migration in the lint report. Field names are those of `godwit lint --format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationSummary {
    /// Name within its unit.
    pub id: String,
    /// Version as written.
    pub version: String,
    /// The part for people.
    pub name: String,
    /// The unit (directory).
    pub unit: String,
    /// The kind of database.
    pub engine: Engine,
    /// The target that takes it.
    pub target: Option<TargetName>,
    /// The service, in layouts that have services.
    pub service: Option<String>,
    /// Its risk.
    pub risk: Risk,
    /// Why.
    pub reasons: Vec<String>,
    /// Whether it can be undone by a script.
    pub reversible: bool,
    /// Whether it runs in one transaction with its history row.
    pub transactional: bool,
    /// Declared dependencies.
    pub depends_on: Vec<String>,
    /// `sha256:…` of the forward script.
    pub checksum: String,
}

/// The whole report of `godwit lint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LintReport {
    /// Files looked at.
    pub files: usize,
    /// Findings, by file and line.
    pub violations: Vec<Violation>,
    /// The migrations the report is about, in run order.
    pub migrations: Vec<MigrationSummary>,
    /// The highest risk among them, and among the findings in files that none of them has.
    pub risk: Risk,
    /// Digest over them.
    pub digest: Digest,
}

/// The highest risk of migrations and of what was found: a migration that is deleted is not among them, and its finding is.
pub fn highest(migrations: &[MigrationSummary], violations: &[Violation]) -> Risk {
    let found = violations.iter().map(|v| v.risk);
    migrations.iter().map(|m| m.risk).chain(found).max().unwrap_or(Risk::Low)
}

impl LintReport {
    /// Whether a finding at error level stands (waived ones do not count here; policy owners judge them).
    pub fn has_errors(&self) -> bool {
        self.violations.iter().any(|v| v.severity == Severity::Error && v.waived.is_none())
    }
}

/// What an engine itself says against a statement; whoever may ask one hands it to [`check_judged`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The migration's place in the set.
    pub migration: usize,
    /// The script it stands in.
    pub direction: Direction,
    /// Bytes of that script's text.
    pub range: Range<usize>,
    /// The kind of word.
    pub word: Word,
    /// The engine's own words.
    pub message: String,
    /// The safer form.
    pub help: Option<String>,
}

/// The kind of word an engine says against a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It does not parse.
    Syntax,
    /// It cannot run on the schema that the migrations before it make.
    Refused,
    /// The engine was stopped before it could tell.
    Stopped,
}

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every migration; each file on its own, since nothing says which are new.
    All,
    /// Only the migrations with one of these files: what a branch adds or touches. Tables that they create count as
    /// empty for those that follow.
    Paths(BTreeSet<String>),
    /// Only the migrations with one of these files, which somebody named: nothing says that they are new.
    Named(BTreeSet<String>),
}

impl Scope {
    /// Whether a migration is looked at.
    pub fn holds(&self, migration: &Migration) -> bool {
        match self {
            Scope::All => true,
            Scope::Paths(paths) | Scope::Named(paths) => migration.files.iter().any(|f| paths.contains(&f.path)),
        }
    }

    /// The part of it that lies in these files.
    #[must_use]
    pub fn within(self, files: BTreeSet<String>) -> Self {
        match self {
            Scope::All => Scope::Named(files),
            Scope::Paths(paths) => Scope::Paths(paths.intersection(&files).cloned().collect()),
            Scope::Named(paths) => Scope::Named(paths.intersection(&files).cloned().collect()),
        }
    }

    /// Whether a file is looked at.
    pub fn holds_path(&self, path: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Paths(paths) | Scope::Named(paths) => paths.contains(path),
        }
    }
}

/// A report over files named as in a `numbered` folder, for tests.
#[cfg(test)]
pub(crate) fn sample(files: &[(&str, &str)]) -> (LintReport, crate::migration::MigrationSet) {
    sample_with(&crate::config::LintConfig::default(), files)
}

/// The same by other settings than those that hold without a file.
#[cfg(test)]
pub(crate) fn sample_with(
    config: &crate::config::LintConfig,
    files: &[(&str, &str)],
) -> (LintReport, crate::migration::MigrationSet) {
    use crate::migration::{MigrationRoot, SourceFile, resolve};
    let files: Vec<_> = files.iter().map(|(p, t)| SourceFile::new(*p, t.as_bytes())).collect();
    let set = resolve(&files, &[MigrationRoot::folder("")]);
    let today = chrono::NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date");
    (check(&set, config, &Scope::All, today), set)
}
