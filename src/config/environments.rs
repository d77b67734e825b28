//! `policies/environments.yml`: what each environment owns and how it is brought forward (INTERFACE 3, SPEC 4.1).

use super::ConfigError;
use super::connection::{self, Connection};
use super::health::{self, HealthChecks};
use super::yaml::{self, Node, Reader, join};
use crate::ids::{Engine, EnvironmentName, TargetName};

/// Every environment's settings, in the file's order; the promotion order is `godwit.yml`'s.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environments(pub Vec<Environment>);

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
    /// What is looked at around its runs.
    pub health: HealthChecks,
}

/// One database. Texts may hold `${VAR}`, which is filled in only where the run happens, never while judging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetConfig {
    /// Its name.
    pub name: TargetName,
    /// Its kind.
    pub engine: Engine,
    /// How it is reached, with `${VAR}` still in it.
    pub connection: Connection,
    /// The region, if named.
    pub region: Option<String>,
}

/// How migrations run in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationSettings {
    /// The author's own approval is enough (not on the last environment).
    pub auto_approve: bool,
    /// A backup is made before every run.
    pub backup_required: bool,
    /// Seconds a run may take.
    pub timeout: u64,
}

impl Default for MigrationSettings {
    fn default() -> Self {
        Self { auto_approve: false, backup_required: false, timeout: 900 }
    }
}

/// What starts an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Promotion {
    /// The merge, when its gate is open.
    Auto,
    /// A person (`/godwit promote`).
    Manual,
}

/// Source C's keys for one database per engine (SPEC 4.1).
const SINGLE: [(&str, Engine); 5] = [
    ("database", Engine::Postgresql),
    ("mongodb", Engine::Mongodb),
    ("redis", Engine::Redis),
    ("elasticsearch", Engine::Elasticsearch),
    ("sqlite", Engine::Sqlite),
];

/// Documented keys that are read but do nothing yet; each gives a note.
const LATER: [&str; 3] = ["windows", "maintenance_windows", "variables"];

impl Environments {
    /// The settings of `name`, if the file has them.
    pub fn get(&self, name: &EnvironmentName) -> Option<&Environment> {
        self.0.iter().find(|e| &e.name == name)
    }

    /// Parses the file's text; `file` is its path for messages. The second part are notes: what was read but has no
    /// effect, and credentials that stand in the file.
    ///
    /// # Errors
    /// Every mistake, located; values are never quoted, since they could be secrets.
    pub fn parse(file: &str, text: &str) -> Result<(Self, Vec<ConfigError>), Vec<ConfigError>> {
        let root = yaml::parse(file, text).map_err(|e| vec![e])?;
        let mut reader = Reader::new(file);
        let mut notes = Vec::new();
        let mut environments = Vec::new();
        for (key, node) in reader.map(&root, "") {
            let Some(name) = reader.parsed_key::<EnvironmentName>(key, &key.name) else { continue };
            environments.push(environment(&mut reader, &mut notes, node, name));
        }
        reader.finish((Self(environments), notes))
    }
}

fn environment(reader: &mut Reader, notes: &mut Vec<ConfigError>, node: &Node, name: EnvironmentName) -> Environment {
    let path = name.to_string();
    let allowed: Vec<&str> = ["targets", "migration", "promotion", "branch", "health_checks", "monitoring"]
        .into_iter()
        .chain(SINGLE.map(|(k, _)| k))
        .chain(LATER)
        .collect();
    let fields = reader.fields(node, &path, &allowed);
    let mut targets: Vec<TargetConfig> = Vec::new();
    if let Some((list, targets_path)) = fields.get("targets") {
        for (key, node) in reader.map(list, &targets_path) {
            let path = join(&targets_path, &key.name);
            let target_name = reader.parsed_key::<TargetName>(key, &path);
            let read = connection::target(reader, notes, node, &path, None);
            if let (Some(name), Some((engine, connection, region))) = (target_name, read) {
                targets.push(TargetConfig { name, engine, connection, region });
            }
        }
    }
    for (key, engine) in SINGLE {
        let Some((node, path)) = fields.get(key) else { continue };
        let name = TargetName::new(key).expect("a plain word is a target name");
        if targets.iter().any(|t| t.name == name) {
            reader.wrong(node, format!("`{path}`: a target of the same name stands under `targets`"));
        }
        if let Some((engine, connection, region)) = connection::target(reader, notes, node, &path, Some(engine)) {
            targets.push(TargetConfig { name, engine, connection, region });
        }
    }
    for key in LATER {
        if let (Some((node, path)), Some(place)) = (fields.get(key), fields.key(key))
            && node.value != yaml::Value::Null
        {
            let message = format!("`{path}` is read but has no effect in this version");
            notes.push(reader.message(place.line, place.column, message));
        }
    }
    let migration = fields.get("migration").map(|(node, path)| settings(reader, node, &path)).unwrap_or_default();
    let promotion = fields
        .get("promotion")
        .and_then(|(node, path)| {
            reader.one_of(node, &path, &[("auto", Promotion::Auto), ("manual", Promotion::Manual)])
        })
        .unwrap_or(Promotion::Auto);
    let branch = fields.get("branch").and_then(|(node, path)| {
        let branch = reader.string(node, &path)?;
        if is_branch(&branch) {
            Some(branch)
        } else {
            reader.wrong(node, format!("`{path}` is not a branch name"));
            None
        }
    });
    let health = health::of_environment(reader, &fields, &path, &targets);
    Environment { name, targets, migration, promotion, branch, health }
}

fn settings(reader: &mut Reader, node: &Node, path: &str) -> MigrationSettings {
    let mut settings = MigrationSettings::default();
    let fields = reader.fields(node, path, &["auto_approve", "backup_required", "timeout"]);
    if let Some((node, path)) = fields.get("auto_approve") {
        settings.auto_approve = reader.bool(node, &path).unwrap_or_default();
    }
    if let Some((node, path)) = fields.get("backup_required") {
        settings.backup_required = reader.bool(node, &path).unwrap_or_default();
    }
    if let Some((node, path)) = fields.get("timeout")
        && let Some(seconds) = reader.number(node, &path, 1..=7 * 86_400)
    {
        settings.timeout = seconds;
    }
    settings
}

/// What git accepts as a branch name, narrowed to what appears in practice.
fn is_branch(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with(['-', '/', '.'])
        && !name.ends_with(['/', '.'])
        && !name.contains("..")
        && !name.contains("//")
        && !name.contains("@{")
        && name.chars().all(|c| !c.is_control() && !c.is_whitespace() && !"~^:?*[\\".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE_C: &str = r#"
development:
  database:
    host: "${DEV_DB_HOST}"
    port: "${DEV_DB_PORT}"
    database: "${DEV_DB_NAME}"
    user: "${DEV_DB_USER}"
    password: "${DEV_DB_PASSWORD}"
  migration:
    auto_approve: true
    backup_required: false
    timeout: 300            # seconds
  monitoring:
    enabled: true
    metrics_endpoint: "http://localhost:9090"
staging:
  database: { host: "${STAGING_DB_HOST}", port: "${STAGING_DB_PORT}", database: "${STAGING_DB_NAME}", user: "${STAGING_DB_USER}", password: "${STAGING_DB_PASSWORD}", sslmode: require }
  mongodb: { uri: "${STAGING_MONGODB_URI}" }
  redis: { uri: "${STAGING_REDIS_URI}" }
  elasticsearch: { uri: "${STAGING_ELASTICSEARCH_URI}" }
  migration: { auto_approve: false, backup_required: true, timeout: 600 }
"#;

    #[test]
    fn s2_98_to_s2_103_the_file_of_source_c_loads_unchanged() {
        let (environments, notes) = Environments::parse("config/environments.yml", SOURCE_C).expect("valid");
        let names: Vec<_> = environments.0[1].targets.iter().map(|t| (t.name.as_str(), t.engine)).collect();
        assert_eq!(
            names,
            [
                ("database", Engine::Postgresql),
                ("mongodb", Engine::Mongodb),
                ("redis", Engine::Redis),
                ("elasticsearch", Engine::Elasticsearch)
            ]
        );
        assert!(environments.0[0].migration.auto_approve);
        assert_eq!(environments.0[1].migration.timeout, 600);
        assert_eq!(notes, []);
        let monitoring = &environments.0[0].health.monitoring;
        assert_eq!((monitoring.enabled, monitoring.metrics_endpoint.as_deref()), (true, Some("http://localhost:9090")));
    }

    #[test]
    fn the_form_of_the_interface_loads() {
        let (environments, notes) = Environments::parse(
            "policies/environments.yml",
            "production:\n  targets:\n    shop-pg: { engine: postgresql, host: \"${H}\", port: 5432, database: shop, user: godwit, password: \"${P}\", sslmode: verify-full }\n    shop-mongo: { engine: mongodb, url: \"${M}\", region: eu-west }\n    local: { engine: sqlite, url: \"sqlite:shop.db\" }\n  migration: { auto_approve: false, backup_required: true, timeout: 900 }\n  promotion: manual\n  branch: release/1.x\ndevelopment:\n",
        )
        .expect("valid");
        assert_eq!(notes, []);
        let production = environments.get(&EnvironmentName::new("production").expect("plain")).expect("is there");
        assert_eq!(production.promotion, Promotion::Manual);
        assert_eq!(production.branch.as_deref(), Some("release/1.x"));
        assert_eq!(production.targets[1].region.as_deref(), Some("eu-west"));
        assert_eq!(environments.0[1].promotion, Promotion::Auto);
    }

    #[test]
    fn b20_mistakes_are_located_and_never_quote_a_value() {
        for (text, line, part) in [
            ("a:\n  target: {}\n", 2, "did you mean `targets`"),
            ("a:\n  promotion: hunter2\n", 2, "`auto`, `manual`"),
            ("a:\n  branch: 'hunter2 x'\n", 2, "not a branch name"),
            ("a:\n  migration: { timeout: hunter2 }\n", 2, "whole number"),
            ("a:\n  migration: { auto_approve: 'yes' }\n", 2, "`true` or `false`"),
            ("a:\n  targets:\n    x: { engine: hunter2, url: u }\n", 3, "`postgresql`"),
            ("a:\n  targets:\n    x: { url: 'hunter2' }\n", 3, "does not begin with"),
            ("a:\n  targets:\n    x: { engine: mysql, url: 'mysql://x' }\n", 3, "MySQL"),
            ("a:\n  targets:\n    x: { engine: postgresql, url: 'redis://hunter2' }\n", 3, "does not begin with"),
            ("a:\n  targets:\n    x: { engine: postgresql, url: '${A', }\n", 3, "not closed"),
            ("a:\n  targets:\n    x: { engine: postgresql, url: '${9A}', }\n", 3, "variable"),
            ("a:\n  targets:\n    x: { engine: postgresql, url: 'postgres://h/d', host: h }\n", 3, "either"),
            ("a:\n  targets:\n    x: { engine: postgresql, port: 1 }\n", 3, "`host`"),
            ("a:\n  database: { host: h, database: d, port: hunter2 }\n", 2, "port"),
            ("a:\n  database: { host: h, database: d, sslmode: hunter2 }\n", 2, "`verify-full`"),
            ("'a/b': {}\n", 1, "environment name"),
        ] {
            let errors = Environments::parse("policies/environments.yml", text).expect_err(text);
            assert_eq!(errors[0].line, Some(line), "{text:?} {errors:?}");
            assert!(errors[0].message.contains(part), "{text:?} {errors:?}");
            assert!(!format!("{errors:?}").contains("hunter2"), "{errors:?}");
        }
    }
}
