//! The files that a repository begins with: what `godwit init` writes, and what the App proposes to a new repository. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

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
const ENVIRONMENTS: [(&str, &str, &str, bool); 3] = [
    ("development", "DEV", "auto", false),
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

/// `godwit.yml` for some folders.
pub fn config(roots: &[Root]) -> String {
    let names = ENVIRONMENTS.map(|(name, ..)| name).join(", ");
    let mut text =
        format!("version: 1\nenvironments: [{names}]   # promotion order\npolicies: policies\nmigrations:\n");
    for root in roots {
        // A text for YAML that needs no knowledge of its words.
        let path = serde_json::to_string(&root.path).unwrap_or_default();
        let (layout, engine) = (root.layout, root.engine);
        let _ = writeln!(
            text,
            "  - path: {path}\n    layout: {layout}\n    engine: {engine}\n    target: {}",
            target(engine)
        );
    }
    text
}

/// `policies/environments.yml` for some kinds of database.
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
