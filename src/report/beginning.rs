//! The files that a repository begins with: what `godwit init` writes, and what the App proposes to a new repository. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::config::{Environments, RepoConfig};
use crate::ids::Engine;
use crate::migration::{Layout, MigrationSet};

/// Who holds which role.
pub const ROLES: &str = "\
# Who holds which role: `teams: [organisation/team]`, `users: [login]`. A role that nobody holds blocks.
developer: { teams: [], users: [] }
data_ops: { teams: [], users: [] }
data_ops_lead: { teams: [], users: [] }
dba: { teams: [], users: [] }
tech_lead: { teams: [], users: [] }
cto: { teams: [], users: [] }
";

/// Environments in promotion order: name, what its variables begin with, what starts it, whether a backup is made first.
const ENVIRONMENTS: [(&str, &str, &str, bool); 4] = [
    ("development", "DEV", "auto", false),
    ("testing", "TEST", "auto", false),
    ("staging", "STAGING", "auto", true),
    ("production", "PROD", "manual", true),
];

/// A folder of migrations as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its path, or a pattern.
    pub path: String,
    /// How its files are named.
    pub layout: Layout,
    /// The kind of database.
    pub engine: Engine,
    /// How many migrations it holds.
    pub count: usize,
    /// The name of the newest; empty where there is none.
    pub newest: String,
}

impl Root {
    /// A folder that holds nothing yet.
    pub fn new(path: String, layout: Layout, engine: Engine) -> Self {
        Self { path, layout, engine, count: 0, newest: String::new() }
    }
}

/// Files of policies that a repository begins with; the first two tell where policies stand.
pub const POLICIES: [&str; 3] = ["environments.yml", "approval_matrix.yml", "roles.yml"];

/// What a repository has of policies before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// The folder in which they stand, or will.
    pub folder: String,
    /// Those of [`POLICIES`] that are there.
    pub there: BTreeSet<&'static str>,
    /// The environments that are known; none where nothing names them.
    pub environments: Environments,
}

impl Policies {
    /// Every path that [`Policies::of`] wants to know of.
    pub fn paths() -> Vec<String> {
        folders().into_iter().flat_map(|folder| POLICIES.map(|name| format!("{folder}/{name}"))).collect()
    }

    /// From what stands at these paths; a path that is not in `files` is not there.
    pub fn of(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let has = |folder: &str, name: &str| files.contains_key(&format!("{folder}/{name}"));
        let holds = |folder: &String| POLICIES[..2].iter().any(|name| has(folder, name));
        let [first, ..] = folders();
        let folder = folders().into_iter().find(holds).unwrap_or(first);
        let path = format!("{folder}/{}", POLICIES[0]);
        let text = files.get(&path).and_then(|bytes| std::str::from_utf8(bytes).ok());
        // What is wrong with the file is told by whatever reads it afterwards.
        let environments =
            text.and_then(|text| Environments::parse(&path, text).ok()).map(|(e, _)| e).unwrap_or_default();
        Self { there: POLICIES.into_iter().filter(|name| has(&folder, name)).collect(), folder, environments }
    }

    /// The promotion order.
    fn order(&self) -> Vec<String> {
        if self.environments.0.is_empty() {
            return ENVIRONMENTS.map(|(name, ..)| name.to_owned()).to_vec();
        }
        self.environments.0.iter().map(|e| e.name.to_string()).collect()
    }

    /// The target that takes a kind of database: the one that every environment has of that kind, or none where that is
    /// not said by one name.
    fn target(&self, engine: Engine) -> Option<&str> {
        let mut names: BTreeSet<&str> = BTreeSet::new();
        if self.environments.0.is_empty() {
            names.insert(target(engine));
        }
        for environment in &self.environments.0 {
            let of_kind = environment.targets.iter().filter(|t| t.engine == engine);
            names.extend(of_kind.map(|t| t.name.as_str()));
        }
        match (names.len(), names.pop_first()) {
            (1, Some(name)) => Some(name),
            _ => None,
        }
    }
}

/// Where policies may stand, the usual place first.
fn folders() -> [String; 3] {
    let [other, nested] = RepoConfig::OTHER_POLICIES;
    [RepoConfig::default().policies, other.to_owned(), nested.to_owned()]
}

/// The folders that hold migrations; those of services as one pattern.
pub fn found(set: &MigrationSet) -> Vec<Root> {
    let mut roots: BTreeMap<(String, Layout, Engine), (usize, String)> = BTreeMap::new();
    for m in &set.migrations {
        let path = match (m.layout, m.service.as_deref()) {
            (Layout::Service, Some(service)) => m.unit.replace(&format!("services/{service}/"), "services/*/"),
            _ if m.unit.is_empty() => ".".to_owned(),
            _ => m.unit.clone(),
        };
        let root = roots.entry((path, m.layout, m.engine)).or_default();
        root.0 += 1;
        root.1 = m.id.to_string();
    }
    roots
        .into_iter()
        .map(|((path, layout, engine), (count, newest))| Root { path, layout, engine, count, newest })
        .collect()
}

/// The kinds of database of some folders.
pub fn engines(roots: &[Root]) -> BTreeSet<Engine> {
    roots.iter().map(|root| root.engine).collect()
}

fn target(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgresql => "main-pg",
        Engine::Sqlite => "main-sqlite",
        Engine::Mongodb => "main-mongo",
        Engine::Redis => "main-redis",
        Engine::Elasticsearch => "main-search",
    }
}

/// The variable that holds a database's address; `prefix` is the environment's.
pub fn variable(prefix: &str, engine: Engine) -> String {
    format!("{prefix}_{engine}_URL").to_ascii_uppercase()
}

/// `godwit.yml` for some folders and the policies that are there.
pub fn config(roots: &[Root], policies: &Policies) -> String {
    let (names, folder) = (policies.order().join(", "), &policies.folder);
    let mut text =
        format!("version: 1\nenvironments: [{names}]   # promotion order\npolicies: {folder}\nmigrations:\n");
    for root in roots {
        // A text for YAML that needs no knowledge of its words.
        let path = serde_json::to_string(&root.path).unwrap_or_default();
        let (layout, engine) = (root.layout, root.engine);
        let _ = writeln!(text, "  - path: {path}\n    layout: {layout}\n    engine: {engine}");
        if let Some(target) = policies.target(engine) {
            let _ = writeln!(text, "    target: {target}");
        }
    }
    text
}

/// `environments.yml` for some kinds of database.
pub fn environments(engines: &BTreeSet<Engine>) -> String {
    let mut text = String::from(
        "# Which databases an environment owns. `${VAR}` is filled in where the migrations run; no credential stands here.\n",
    );
    for (name, prefix, promotion, backup) in ENVIRONMENTS {
        let _ = writeln!(text, "{name}:\n  targets:");
        for engine in engines {
            let variable = variable(prefix, *engine);
            let _ = writeln!(text, "    {}: {{ engine: {engine}, url: \"${{{variable}}}\" }}", target(*engine));
        }
        let _ = writeln!(text, "  migration: {{ backup_required: {backup} }}\n  promotion: {promotion}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(files: &[(&str, &str)]) -> Policies {
        Policies::of(&files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
    }

    #[test]
    fn s2_14_s2_15_policies_that_are_there_are_taken_as_they_are() {
        let none = policies(&[]);
        assert_eq!((none.folder.as_str(), none.there.len(), none.order().len()), ("policies", 0, 4));
        assert_eq!(none.target(Engine::Postgresql), Some("main-pg"));
        let text = "qa:\n  database: { host: h, database: d }\nlive:\n  database: { host: h, database: d }\n  \
                    redis: { uri: \"redis://h\" }\n";
        for folder in ["config", "migrations/config", "policies"] {
            let path = format!("{folder}/environments.yml");
            assert!(Policies::paths().contains(&path));
            let found = policies(&[(&path, text), (&format!("{folder}/roles.yml"), "")]);
            assert_eq!(found.folder, folder);
            assert_eq!(found.there, BTreeSet::from(["environments.yml", "roles.yml"]));
            assert_eq!(found.order(), ["qa", "live"]);
            let targets = [Engine::Postgresql, Engine::Redis, Engine::Sqlite].map(|engine| found.target(engine));
            assert_eq!(targets, [Some("database"), Some("redis"), None]);
        }
        // Of a folder that holds who holds which role alone nothing is said.
        assert_eq!(policies(&[("config/roles.yml", "")]).folder, "policies");
    }
}
