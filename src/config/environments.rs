//! `policies/environments.yml`: what each environment owns and how it is brought forward (INTERFACE 3, SPEC 4.1).

use serde_json::json;

use super::ConfigError;
use super::connection::{self, Connection};
use super::health::{self, HealthChecks};
use super::lint::Profile;
use super::schema::{Form, Rule};
use super::template::Template;
use super::windows::{self, Windows};
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
    /// When a run may begin.
    pub windows: Windows,
    /// Services whose migrations a run has, and when they let it begin: it begins when all of them and the environment do.
    pub service_windows: Vec<(String, Windows)>,
    /// Services whose migrations a run has, and who took `auto_approve` away for that.
    pub distrusted_by: Vec<String>,
    /// How severe findings are for changes that go no further.
    pub validation: Profile,
    /// Its regions in the order in which a run takes them.
    pub regions: Vec<Region>,
    /// Where its seed data comes from.
    pub seed: Seed,
    /// Whose keys its sealed values are for.
    pub sealed: Sealing,
}

/// Where `godwit seed` gets an environment's data from; the server never reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seed {
    /// Files of SQL, or folders of them, below the repository; without any those of `seeds` that bear the environment's
    /// name.
    pub files: Vec<String>,
    /// A program that is started instead, or after them.
    pub command: Option<String>,
}

/// The keys of an environment's sealed values [S4-84].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sealing {
    /// The public keys (`age1…`) for which `godwit seal` seals.
    pub recipients: Vec<String>,
    /// The private key that opens them where a migration runs; text with `${VAR}` in it.
    pub identity: Option<Template>,
}

/// A region that targets of an environment lie in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its name, as targets give it.
    pub name: String,
    /// Whose it is, if named.
    pub provider: Option<String>,
    /// The rules that hold there, such as `GDPR`.
    pub compliance: Vec<String>,
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
    /// The URL of an account that may only read, by which the server looks at table sizes; `${VAR}` still in it.
    pub reader: Option<Template>,
}

/// How migrations run in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationSettings {
    /// The author's own approval is enough (not on the last environment).
    pub auto_approve: bool,
    /// A backup is made before every run; so it is where nothing is said of it in `staging` and `production` [S3-28]
    /// [S3-29].
    pub backup_required: bool,
    /// Seconds a run may take.
    pub timeout: u64,
    /// Whether `godwit reset-data` may empty its databases (never on the last environment).
    pub reset_data: bool,
    /// Seconds that a replica may be behind before a change in batches waits for it; it is not waited for if not given.
    pub max_lag: Option<u64>,
    /// How busy a server may be, in percent of what it can take, before a change in batches and the next migration wait
    /// for it; 100: never too much.
    pub max_load: Option<u8>,
}

impl Default for MigrationSettings {
    fn default() -> Self {
        Self {
            auto_approve: false,
            backup_required: false,
            timeout: 900,
            reset_data: false,
            max_lag: None,
            max_load: None,
        }
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
const LATER: [&str; 1] = ["variables"];
/// Environments whose runs make a backup first unless their settings say otherwise (SPEC 8).
const BACKED_UP: [&str; 2] = ["staging", "production"];
/// The two names of the key that says when an environment may run.
const WINDOWS: [&str; 2] = ["maintenance_windows", "windows"];

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
        let read = Self::read(&mut reader, &mut notes, &root);
        reader.finish((read, notes))
    }

    /// Reads the file's tree.
    pub(super) fn read(reader: &mut Reader, notes: &mut Vec<ConfigError>, root: &Node) -> Self {
        let mut environments = Vec::new();
        for (key, node) in reader.keyed(root, "", Form::NAME) {
            let Some(name) = reader.parsed_key::<EnvironmentName>(key, &key.name) else { continue };
            environments.push(environment(reader, notes, node, name));
        }
        Self(environments)
    }
}

fn environment(reader: &mut Reader, notes: &mut Vec<ConfigError>, node: &Node, name: EnvironmentName) -> Environment {
    let path = name.to_string();
    let allowed: Vec<&str> = [
        "targets",
        "migration",
        "promotion",
        "branch",
        "validation",
        "regions",
        "health_checks",
        "monitoring",
        "seed",
        "sealed",
    ]
    .into_iter()
    .chain(WINDOWS)
    .chain(SINGLE.map(|(k, _)| k))
    .chain(LATER)
    .collect();
    let fields = reader.fields(node, &path, &allowed);
    let mut targets: Vec<TargetConfig> = Vec::new();
    if let Some((list, targets_path)) = fields.get("targets") {
        for (key, node) in reader.keyed(list, &targets_path, Form::NAME) {
            let path = join(&targets_path, &key.name);
            let target_name = reader.parsed_key::<TargetName>(key, &path);
            let read = connection::target(reader, notes, node, &path, None);
            if let (Some(name), Some((engine, connection, region))) = (target_name, read) {
                let account = connection::reader_url(reader, notes, node, &path, engine);
                targets.push(TargetConfig { name, engine, connection, region, reader: account });
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
            let account = connection::reader_url(reader, notes, node, &path, engine);
            targets.push(TargetConfig { name, engine, connection, region, reader: account });
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
    let usual =
        MigrationSettings { backup_required: BACKED_UP.contains(&name.as_str()), ..MigrationSettings::default() };
    let migration = match fields.get("migration") {
        Some((node, path)) => settings(reader, node, &path, usual),
        None => usual,
    };
    let promotion = fields
        .get("promotion")
        .and_then(|(node, path)| {
            reader.one_of(node, &path, &[("auto", Promotion::Auto), ("manual", Promotion::Manual)])
        })
        .unwrap_or(Promotion::Auto);
    let validation = fields
        .get("validation")
        .and_then(|(node, path)| reader.one_of(node, &path, &Profile::WORDS))
        .unwrap_or_default();
    let branch = fields.get("branch").and_then(|(node, path)| {
        let branch = reader.formed(node, &path, Form::BRANCH)?;
        if is_branch(&branch) {
            Some(branch)
        } else {
            reader.wrong(node, format!("`{path}` is not a branch name"));
            None
        }
    });
    let health = health::of_environment(reader, &fields, &path, &targets);
    node.must(Rule::Also(json!({ "not": { "type": "object", "required": WINDOWS } }).to_string()));
    let mut windows = Windows::default();
    for (i, word) in WINDOWS.into_iter().enumerate() {
        let (Some((node, path)), Some(key)) = (fields.get(word), fields.key(word)) else { continue };
        if i > 0 && fields.key(WINDOWS[0]).is_some() {
            reader.wrong_key(key, format!("`{path}` is another name of `{}`; keep one of them", WINDOWS[0]));
            continue;
        }
        windows = windows::read(reader, node, &path, key);
    }
    let regions = fields.get("regions").map(|(node, path)| regions(reader, node, &path, &targets)).unwrap_or_default();
    let seed = fields.get("seed").map(|(node, path)| seed(reader, node, &path)).unwrap_or_default();
    let sealed = fields.get("sealed").map(|(node, path)| sealing(reader, notes, node, &path)).unwrap_or_default();
    Environment {
        name,
        targets,
        migration,
        promotion,
        branch,
        validation,
        health,
        windows,
        service_windows: Vec::new(),
        distrusted_by: Vec::new(),
        regions,
        seed,
        sealed,
    }
}

fn sealing(reader: &mut Reader, notes: &mut Vec<ConfigError>, node: &Node, path: &str) -> Sealing {
    let fields = reader.fields(node, path, &["recipients", "identity"]);
    let mut sealing = Sealing::default();
    if let Some((list, path)) = fields.get("recipients") {
        for item in reader.list(list, &path) {
            let Some(key) = reader.formed(item, &path, Form::RECIPIENT) else { continue };
            // What is no public key may be a private one, so it is not repeated.
            match key.strip_prefix("age1").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric())) {
                true => sealing.recipients.push(key),
                false => reader.wrong(item, format!("`{path}` takes public keys, such as `age1…`")),
            }
        }
    }
    if let Some((node, path)) = fields.get("identity") {
        sealing.identity = connection::identity(reader, notes, node, &path);
    }
    sealing
}

fn seed(reader: &mut Reader, node: &Node, path: &str) -> Seed {
    let fields = reader.fields(node, path, &["files", "command"]);
    let mut seed = Seed::default();
    if let Some((list, path)) = fields.get("files") {
        for item in reader.list(list, &path) {
            let Some(file) = reader.formed(item, &path, Form::PATH) else { continue };
            match super::repo::inside(&file) {
                Ok(file) => seed.files.push(file),
                Err(message) => reader.wrong(item, message),
            }
        }
    }
    if let Some((node, path)) = fields.get("command") {
        seed.command = reader.string(node, &path);
    }
    seed
}

fn regions(reader: &mut Reader, node: &Node, path: &str, targets: &[TargetConfig]) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    for item in reader.list(node, path) {
        let fields = reader.fields(item, path, &["name", "provider", "compliance"]);
        let missing = format!("`{}` is missing", join(path, "name"));
        let Some((name_node, name_path)) = reader.needed(&fields, item, "name", missing) else { continue };
        let Some(name) = reader.string(name_node, &name_path) else { continue };
        if regions.iter().any(|r| r.name == name) {
            reader.wrong(name_node, format!("`{name_path}` is named twice"));
        }
        if !targets.iter().any(|t| t.region.as_deref() == Some(name.as_str())) {
            reader.wrong(name_node, format!("`{name_path}`: no target of the environment lies in that region"));
        }
        let provider = fields.get("provider").and_then(|(node, path)| reader.string(node, &path));
        let mut compliance = Vec::new();
        if let Some((list, path)) = fields.get("compliance") {
            compliance.extend(reader.list(list, &path).iter().filter_map(|tag| reader.string(tag, &path)));
        }
        regions.push(Region { name, provider, compliance });
    }
    regions
}

impl Environment {
    /// The targets in the order in which a run takes them: what lies in no region first, then region by region; those of
    /// one region side by side. Regions come as `regions` lists them, others behind, as the targets name them.
    pub fn waves(&self) -> Vec<(Option<&str>, Vec<&TargetConfig>)> {
        let mut names: Vec<Option<&str>> = vec![None];
        names.extend(self.regions.iter().map(|r| Some(r.name.as_str())));
        for target in &self.targets {
            if !names.contains(&target.region.as_deref()) {
                names.push(target.region.as_deref());
            }
        }
        let of = |name: Option<&str>| self.targets.iter().filter(|t| t.region.as_deref() == name).collect::<Vec<_>>();
        names.into_iter().map(|name| (name, of(name))).filter(|(_, targets)| !targets.is_empty()).collect()
    }
}

/// The `migration` block of an environment whose settings are the `usual` ones where it says nothing of them.
fn settings(reader: &mut Reader, node: &Node, path: &str, usual: MigrationSettings) -> MigrationSettings {
    let mut settings = usual;
    let known = ["auto_approve", "backup_required", "timeout", "reset_data", "max_lag", "max_load"];
    let fields = reader.fields(node, path, &known);
    if let Some((node, path)) = fields.get("auto_approve") {
        settings.auto_approve = reader.bool(node, &path).unwrap_or_default();
    }
    if let Some((node, path)) = fields.get("backup_required") {
        settings.backup_required = reader.bool(node, &path).unwrap_or(settings.backup_required);
    }
    if let Some((node, path)) = fields.get("reset_data") {
        settings.reset_data = reader.bool(node, &path).unwrap_or_default();
    }
    if let Some((node, path)) = fields.get("timeout")
        && let Some(seconds) = reader.number(node, &path, 1..=7 * 86_400)
    {
        settings.timeout = seconds;
    }
    if let Some((node, path)) = fields.get("max_lag") {
        settings.max_lag = reader.number(node, &path, 1..=86_400);
    }
    if let Some((node, path)) = fields.get("max_load") {
        settings.max_load = reader.number(node, &path, 1..=100).and_then(|percent| u8::try_from(percent).ok());
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
    fn s3_27_s3_28_s3_29_staging_and_production_are_backed_up_unless_they_say_otherwise() {
        let text = "development: {}\ntesting:\nstaging: { migration: { timeout: 60 } }\nproduction:\n";
        let required = |text: &str| -> Vec<bool> {
            let (environments, _) = Environments::parse("policies/environments.yml", text).expect("valid");
            environments.0.iter().map(|e| e.migration.backup_required).collect()
        };
        assert_eq!(required(text), [false, false, true, true]);
        assert_eq!(required("production: { migration: { backup_required: false } }\n"), [false]);
        assert_eq!(required("development: { migration: { backup_required: true } }\n"), [true]);
    }

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
    fn s0_07_regions_are_taken_one_after_the_other_in_their_order() {
        let text = "production:\n  targets:\n    a: { engine: sqlite, url: 'sqlite:a', region: west }\n    b: { engine: sqlite, url: 'sqlite:b' }\n    c: { engine: sqlite, url: 'sqlite:c', region: south }\n    d: { engine: sqlite, url: 'sqlite:d', region: west }\n    e: { engine: sqlite, url: 'sqlite:e', region: north }\n  regions:\n    - { name: south, provider: aws, compliance: [POPIA] }\n    - { name: west, compliance: [GDPR, SOX] }\n  maintenance_windows:\n    - { days: [sat], start: \"02:00\", end: \"04:00\", timezone: Europe/Berlin }\n";
        let (environments, notes) = Environments::parse("policies/environments.yml", text).expect("valid");
        assert_eq!(notes, []);
        let production = &environments.0[0];
        assert_eq!(production.windows.0.len(), 1);
        assert_eq!(production.regions[1].compliance, ["GDPR", "SOX"]);
        let waves: Vec<(Option<&str>, Vec<&str>)> =
            production.waves().into_iter().map(|(r, t)| (r, t.iter().map(|t| t.name.as_str()).collect())).collect();
        assert_eq!(
            waves,
            [(None, vec!["b"]), (Some("south"), vec!["c"]), (Some("west"), vec!["a", "d"]), (Some("north"), vec!["e"])]
        );
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
            ("a:\n  maintenance_windows: []\n", 2, "names no window"),
            ("a:\n  windows:\n    - { days: [hunter2], start: \"01:00\", end: \"02:00\" }\n", 3, "`mon`, `tue`"),
            ("a:\n  windows:\n    - { days: [sat, sat], start: \"01:00\", end: \"02:00\" }\n", 3, "twice"),
            ("a:\n  windows:\n    - { start: hunter2, end: \"02:00\" }\n", 3, "time of day"),
            ("a:\n  windows:\n    - { start: \"25:00\", end: \"02:00\" }\n", 3, "time of day"),
            ("a:\n  windows:\n    - { start: \"02:00\" }\n", 3, "`a.windows.end` is missing"),
            ("a:\n  windows:\n    - { start: \"02:00\", end: \"02:00\" }\n", 3, "ends after it starts"),
            ("a:\n  windows:\n    - { start: \"02:00\", end: \"03:00\", timezone: hunter2/x }\n", 3, "time zone"),
            (
                "a:\n  windows:\n    - { start: \"02:00\", end: \"03:00\", time_zone: UTC }\n",
                3,
                "did you mean `timezone`",
            ),
            (
                "a:\n  maintenance_windows:\n    - { start: \"02:00\", end: \"03:00\" }\n  windows: []\n",
                4,
                "another name",
            ),
            ("a:\n  regions: [{ provider: aws }]\n", 2, "`a.regions.name` is missing"),
            ("a:\n  regions: [{ name: hunter2 }]\n", 2, "no target"),
            ("a:\n  regions: [{ tags: [], name: x }]\n", 2, "unknown key `tags`"),
        ] {
            let errors = Environments::parse("policies/environments.yml", text).expect_err(text);
            assert_eq!(errors[0].line, Some(line), "{text:?} {errors:?}");
            assert!(errors[0].message.contains(part), "{text:?} {errors:?}");
            assert!(!format!("{errors:?}").contains("hunter2"), "{errors:?}");
        }
    }
}
