//! Migrations as values: files in, an ordered set with located problems out. Pure.

pub mod backfill;
pub mod checksum;
pub mod destroys;
pub mod dialect;
pub mod directives;
pub mod duration;
pub mod execution;
pub mod graph;
mod idle;
pub mod layout;
pub mod naming;
pub mod native;
pub mod operations;
pub mod paths;
pub mod roots;
pub mod sealed;
mod set;
pub mod spot;
pub mod text;
pub mod vague;
pub mod verify;
mod version;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::ServiceSettings;
use crate::ids::{Checksum, Digest, Engine, EnvironmentName, MigrationId, Risk, TargetName};
pub use backfill::Backfill;
pub use directives::{Directives, Phase, Waiver};
use execution::{CannotExecute, Execution, Long};
pub use layout::Layout;
pub use set::{MigrationRoot, both, digest_of, has_beside, resolve, resolve_below, service_at, told_by};
pub use spot::Spot;
pub use verify::Check;
pub use version::{Version, VersionStep};

/// One file of a repository or folder as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Path relative to the repository's root (or to the folder given), with `/`.
    pub path: String,
    /// The raw bytes, or what stood in their place.
    pub content: FileContent,
}

/// What a path turned out to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// A regular file's bytes.
    Bytes(Vec<u8>),
    /// A directory whose name looks like a migration file's (`x.sql/`); reported, never read as one (F217).
    Directory,
    /// A symbolic link; never followed, since it could point anywhere.
    Symlink,
    /// A pipe, a socket or a device; never opened.
    Special,
    /// A file whose name, or its folder's, is not UTF-8; its path is shown with replacement characters, under which nothing
    /// may be recorded. Never read.
    Misnamed,
    /// A file above the size that is read (bytes it has).
    TooLarge(u64),
    /// A script that was looked over piece by piece and is not held.
    Long(Box<Long>),
}

impl FileContent {
    /// What was read of a regular file that is held whole.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Directory | Self::Symlink | Self::Special | Self::Misnamed | Self::TooLarge(_) | Self::Long(_) => {
                None
            }
        }
    }
}

impl SourceFile {
    /// A regular file.
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), content: FileContent::Bytes(bytes.into()) }
    }
}

/// A script of a migration, one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Path of the file it stands in.
    pub path: String,
    /// The text, UTF-8, without byte order mark; line ends as in the file.
    pub text: String,
    /// The line (from 1) of the file at which `text` starts; above 1 where one file holds both directions.
    pub first_line: u32,
    /// The column (from 1) of that line at which it starts; above 1 for a list within a line of JSON.
    pub first_column: u32,
    /// Where the script is not held: what is known of it. `text` is then only what stands before its first statement.
    pub long: Option<Box<Long>>,
}

impl Script {
    /// A script that is held, the whole of its file.
    pub fn whole(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into(), first_line: 1, first_column: 1, long: None }
    }

    /// How it runs: [`execution::execution`].
    ///
    /// # Errors
    /// When it cannot be run as it stands.
    pub fn execution(&self, engine: Engine, no_transaction: bool) -> Result<Execution, CannotExecute> {
        let Some(long) = &self.long else { return execution::execution(engine, &self.text, no_transaction) };
        let at = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX);
        Ok(Execution::Transaction { body: at(long.body.start)..at(long.body.end), modes: None })
    }

    /// Whether it holds no statement, or no operation.
    pub fn is_blank(&self, engine: Engine) -> bool {
        self.long.is_none() && execution::is_blank(engine, &self.text)
    }

    /// Whether it leaves everything as it is although the forward script `up` changes the schema. Of scripts that are not
    /// held nothing is said.
    pub fn undoes_nothing_of(&self, up: &Script, engine: Engine) -> bool {
        self.long.is_none() && up.long.is_none() && idle::undoes_nothing(engine, &up.text, &self.text)
    }

    /// Whether it destroys without a way back.
    pub fn destroys(&self, engine: Engine) -> bool {
        self.long.as_ref().map_or_else(|| destroys::destroys(engine, &self.text), |long| long.destroys)
    }
}

/// A file that belongs to a migration, for the digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MigrationFile {
    /// Path relative to the repository's root.
    pub path: String,
    /// SHA-256 of the raw bytes, lower-case hexadecimal.
    pub sha256: String,
}

/// One versioned change, with or without its rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Name within its unit: file stem or directory name.
    pub id: MigrationId,
    /// What the unit orders by.
    pub version: Version,
    /// How a semantic version follows the one before it; `None` for the first of a folder and where versions are none.
    pub step: Option<VersionStep>,
    /// The part after the version, for people.
    pub name: String,
    /// What the metadata says it does, if anything.
    pub description: Option<String>,
    /// How the files are laid out.
    pub layout: Layout,
    /// The directory that numbers its migrations together, relative to the repository's root.
    pub unit: String,
    /// The kind of database.
    pub engine: Engine,
    /// The target that takes it; `None` where nothing is configured (ad hoc use, lint of a bare folder).
    pub target: Option<TargetName>,
    /// The service that owns it, in layouts that have services.
    pub service: Option<String>,
    /// The one environment it runs in, for files of an environment's own folder [S1-09].
    pub only_in: Option<EnvironmentName>,
    /// Run again whenever its text changes, after all versions (Flyway's `R__`).
    pub repeatable: bool,
    /// Whether the table of the folder's own tool is kept.
    pub native: native::Keep,
    /// That table's name where somebody has said it, with its schema and a dot in front or not.
    pub native_table: Option<String>,
    /// Queries of the forward script that say which value they must give.
    pub checks: Vec<Check>,
    /// The forward script.
    pub up: Script,
    /// The backward script, if there is one.
    pub down: Option<Script>,
    /// What the files say about themselves (`-- godwit: …`, JSON fields).
    pub directives: Directives,
    /// Every file that belongs to it, sorted by path.
    pub files: Vec<MigrationFile>,
    /// Of `up`, to recognise an edit of an applied file.
    pub checksum: Checksum,
    /// Why it cannot be run here, where its own tool could.
    pub unrunnable: Option<Unrunnable>,
}

/// What keeps one migration from being run, and no other: where it is applied, all is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrunnable {
    /// The line (from 1) of its forward script's file.
    pub line: u32,
    /// What is there.
    pub why: String,
    /// What to do.
    pub what_to_do: String,
}

impl Migration {
    /// `unit/id`, unique in a repository.
    pub fn reference(&self) -> String {
        if self.unit.is_empty() { self.id.to_string() } else { format!("{}/{}", self.unit, self.id) }
    }

    /// The schema in which a service's migrations run and whose tables are its own [S1-18].
    pub fn schema(&self) -> Option<String> {
        (self.layout == Layout::Service).then(|| self.service.as_ref().map(|s| s.replace('-', "_")))?
    }

    /// Whether it can be undone by a script: one that holds statements which change something, where it changes the schema.
    pub fn is_reversible(&self) -> bool {
        self.down.as_ref().is_some_and(|d| !d.is_blank(self.engine) && !d.undoes_nothing_of(&self.up, self.engine))
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// A hazard that depends on the table; shown, judged by its risk.
    Warning,
    /// Wrong on any table; blocks.
    Error,
}

impl Severity {
    /// `info`, `warning` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Something wrong with the files themselves (structure), located. The linter turns it into a violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the file.
    pub file: String,
    /// Line from 1.
    pub line: u32,
    /// Column from 1, where it is known.
    pub column: u32,
    /// The column behind what it is about; `column` where only the place is known.
    pub end_column: u32,
    /// Kebab-case rule id, one of the structure rules of `lint`.
    pub rule: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The schema that a program declares beside its migrations (`schema.prisma`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    /// The folder of the migrations that are to build it.
    pub unit: String,
    /// The files that declare it: path and text.
    pub files: Vec<(String, String)>,
}

/// The ordered migrations of a repository or folder.
#[derive(Debug, Clone, Default)]
pub struct MigrationSet {
    /// In the order in which they run: dependencies first, then by unit and version.
    pub migrations: Vec<Migration>,
    /// What is wrong with the files.
    pub problems: Vec<Problem>,
    /// What is worth a word about them, and keeps no run from starting.
    pub remarks: Vec<Problem>,
    /// What a change makes wrong with files that it does not touch; some of it is told of a file that it does.
    pub brought: Vec<Problem>,
    /// Prisma's own description of the schema, of each folder that has one.
    pub models: Vec<Models>,
    /// What services ask of environments in their `environments.json`, a service each. A change may bring what its base says
    /// beside what it says itself: the stricter one holds.
    pub settings: Vec<ServiceSettings>,
    /// The first file of each folder that reads like an environment of its service and is none: nothing in it is a migration
    /// of the set. A problem at that file says so.
    pub misnamed: Vec<String>,
    /// How many files below the roots were looked at.
    pub files_seen: usize,
}

impl MigrationSet {
    /// The migration whose `id`, `unit/id` or `target/id` is `reference`; `None` if there is none or several. The folder's
    /// whole path means that folder, whatever others end alike.
    pub fn find(&self, reference: &str) -> Option<&Migration> {
        if let Some(found) = self.migrations.iter().find(|m| m.reference() == reference) {
            return Some(found);
        }
        let mut hits = self.migrations.iter().filter(|m| m.answers_to(reference));
        match (hits.next(), hits.next()) {
            (Some(m), None) => Some(m),
            _ => None,
        }
    }

    /// The set without what runs in other environments only, and the references of what was taken out [S1-09].
    pub fn for_environment(&self, environment: Option<&EnvironmentName>) -> (Cow<'_, Self>, Vec<String>) {
        let elsewhere = |m: &Migration| m.only_in.as_ref().is_some_and(|only| Some(only) != environment);
        if !self.migrations.iter().any(elsewhere) {
            return (Cow::Borrowed(self), Vec::new());
        }
        let mut set = self.clone();
        set.migrations.retain(|m| !elsewhere(m));
        let left_out = self.migrations.iter().filter(|m| elsewhere(m));
        let told = left_out
            .map(|m| format!("{} runs in `{}` only", m.reference(), m.only_in.as_ref().map_or("", |e| e.as_str())));
        (Cow::Owned(set), told.collect())
    }

    /// What stands where migrations are looked for and is none, a line each: nobody who reads "nothing to do" looks for it.
    pub fn passed_over(&self) -> Vec<String> {
        const NAMED: usize = 5;
        let is_none = |p: &&Problem| {
            p.severity == Severity::Warning
                && ["stray-file", "directory-named-sql", "empty-root", "foreign-dialect"].contains(&p.rule)
        };
        let all: Vec<&Problem> = self.problems.iter().filter(is_none).collect();
        let mut told: Vec<String> = all
            .iter()
            .take(NAMED)
            .map(|p| match p.rule {
                "empty-root" => format!("{}:{}: {}", p.file, p.line, p.message),
                _ => format!("{} {}", p.file, p.message),
            })
            .collect();
        if all.len() > NAMED {
            told.push(format!("{} more files are passed over; `godwit lint` names them", all.len() - NAMED));
        }
        told
    }

    /// What the services of these migrations ask of environments.
    pub fn settings_of<'s>(&'s self, migrations: &[&Migration]) -> Vec<&'s ServiceSettings> {
        self.settings.iter().filter(|s| migrations.iter().any(|m| m.unit == s.unit)).collect()
    }

    /// The folders of services that want strict judgement in one of the environments of which `is_meant` says so.
    pub fn strict_in(&self, is_meant: &dyn Fn(&EnvironmentName) -> bool) -> Vec<String> {
        let is_strict = |s: &&ServiceSettings| s.asks.iter().any(|a| a.strict && is_meant(&a.environment));
        self.settings.iter().filter(is_strict).map(|s| s.unit.clone()).collect()
    }

    /// The service of a migration, where it wants a backup before a run in this environment brings or undoes something of it.
    pub fn wants_backup(&self, migration: &Migration, environment: &EnvironmentName) -> Option<&str> {
        let wants = |s: &&ServiceSettings| s.unit == migration.unit && s.of(environment).is_some_and(|a| a.backup);
        self.settings.iter().find(wants).map(|s| s.service.as_str())
    }

    /// Digest over all migrations of the set.
    pub fn digest(&self) -> Digest {
        digest_of(self.migrations.iter())
    }

    /// Path → migrations that own the file.
    pub fn by_path(&self) -> BTreeMap<&str, &Migration> {
        self.migrations.iter().flat_map(|m| m.files.iter().map(move |f| (f.path.as_str(), m))).collect()
    }
}

impl Migration {
    /// Whether a reference in `depends_on` or on the command line means this one: `id`, a unique version,
    /// `unit/id`, `target/id` (DECISIONS 15).
    pub fn answers_to(&self, reference: &str) -> bool {
        if reference == self.id.as_str() || reference == self.version.as_str() {
            return true;
        }
        match reference.rsplit_once('/') {
            Some((scope, id)) => {
                id == self.id.as_str()
                    && (scope == self.unit
                        || self.unit.rsplit('/').next() == Some(scope)
                        || self.service.as_deref() == Some(scope)
                        || self.target.as_ref().is_some_and(|t| t.as_str() == scope))
            }
            None => false,
        }
    }

    /// How the statement in batches of `script`, one of its two, goes: by the script's own marks, or by the migration's.
    pub fn backfill_of(&self, script: &Script) -> Option<Backfill> {
        Directives::parse(&script.path, &script.text, script.first_line, &mut Vec::new())
            .backfill
            .or_else(|| self.directives.backfill.clone())
    }

    /// Whether it takes something away that an older program may need: held until a person releases it.
    pub fn is_contract(&self) -> bool {
        self.directives.phase == Some(Phase::Contract)
    }

    /// What a release names: the migration as its script reads now.
    pub fn release_key(&self) -> String {
        format!("{} {}", self.reference(), self.checksum)
    }

    /// The risk its files claim, if any.
    pub fn declared_risk(&self) -> Option<Risk> {
        self.directives.risk
    }
}
