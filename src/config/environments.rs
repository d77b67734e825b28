//! `policies/environments.yml`: what each environment owns and how it is brought forward (INTERFACE 3, SPEC 4.1).

use crate::ids::{Engine, EnvironmentName, TargetName};

/// Every environment's settings, in the file's order; the promotion order is `godwit.yml`'s.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environments(pub Vec<Environment>);

impl Environments {
    /// The settings of `name`, if the file has them.
    pub fn get(&self, name: &EnvironmentName) -> Option<&Environment> {
        self.0.iter().find(|e| &e.name == name)
    }
}

/// One environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its name.
    pub name: EnvironmentName,
    /// Its databases.
    pub targets: Vec<TargetConfig>,
    /// How migrations run there.
    pub migration: MigrationSettings,
    /// Whether a merge starts it by itself.
    pub promotion: Promotion,
    /// The branch whose merges run it; `None` means the default branch.
    pub branch: Option<String>,
}

/// One database. Texts may hold `${VAR}`, which is filled in only where the run happens, never while judging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetConfig {
    /// Its name.
    pub name: TargetName,
    /// Its kind.
    pub engine: Engine,
    /// A connection URL with `${VAR}` still in it; made from host, port, … where the file gives those.
    pub url: String,
    /// The region, if named.
    pub region: Option<String>,
}

/// How migrations run in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationSettings {
    /// The author's own approval is enough (development only).
    pub auto_approve: bool,
    /// A backup is made before every run.
    pub backup_required: bool,
    /// Seconds a run may take.
    pub timeout: u64,
}

/// What starts an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Promotion {
    /// The merge, when its gate is open.
    Auto,
    /// A person (`/godwit promote`).
    Manual,
}
