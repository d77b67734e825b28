//! `environments.json` of a service: what it asks of environments beyond what they ask themselves [S1-24]. It tightens what
//! stands in `environments.yml` and loosens nothing, so what would loosen is read and has no effect.

use super::lint::Profile;
use super::schema::Form;
use super::windows::{self, Windows};
use super::yaml::{self, Node, Reader};
use super::{ConfigError, Environments};
use crate::ids::EnvironmentName;

/// What one service asks of environments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSettings {
    /// The service.
    pub service: String,
    /// The folder of its migrations, relative to the repository's root.
    pub unit: String,
    /// What it asks, in the file's order.
    pub asks: Vec<Asks>,
}

/// What a service asks of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asks {
    /// The environment; one that the repository does not have is asked nothing.
    pub environment: EnvironmentName,
    /// Its changes are judged by the strict profile.
    pub strict: bool,
    /// Somebody besides the author has to agree.
    pub approval: bool,
    /// A backup is made before each run that brings something of it.
    pub backup: bool,
    /// Seconds that such a run may take.
    pub timeout: Option<u64>,
    /// When such a run may begin.
    pub windows: Windows,
}

/// Blocks that the form of `environments.yml` has and a service has no say in.
const ENVIRONMENTS_OWN: [&str; 2] = ["database", "monitoring"];
/// Documented keys that are read and do nothing: seeding is the environment's `seed`, the others have no run of their own.
const WITHOUT_EFFECT: [&str; 3] = ["seed", "performance_test", "rollback_check"];
/// What stands in an environment's `migration` block, or directly below its name.
const OF_RUNS: [&str; 3] = ["auto_approve", "backup_required", "timeout"];
const WINDOWS: &str = "maintenance_windows";

impl ServiceSettings {
    /// Name of the file, in the folder of the service's migrations.
    pub const FILE: &str = "environments.json";

    /// The path of the file in the folder of a service's migrations.
    pub fn file_in(unit: &str) -> String {
        if unit.is_empty() { Self::FILE.to_owned() } else { format!("{unit}/{}", Self::FILE) }
    }

    /// What it asks of an environment.
    pub fn of(&self, environment: &EnvironmentName) -> Option<&Asks> {
        self.asks.iter().find(|asks| asks.environment == *environment)
    }

    /// Parses the file's text; `file` is its path for messages.
    ///
    /// # Errors
    /// Every mistake, located; at least one.
    pub fn parse(file: &str, text: &str) -> Result<Vec<Asks>, Vec<ConfigError>> {
        // Every JSON is YAML, and the other way round it is not so: other readers of the file must be able to read it too.
        if let Err(e) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
            let (line, column) = (Some(e.line().max(1)), Some(e.column().max(1)));
            let message = format!("this is not valid JSON: {e}");
            return Err(vec![ConfigError { file: file.to_owned(), line, column, message }]);
        }
        // In JSON a tab is never part of a text, and to YAML it is no indentation.
        let root = yaml::parse(file, &text.replace('\t', " ")).map_err(|e| vec![e])?;
        let mut reader = Reader::new(file);
        let all = Self::read(&mut reader, &root);
        reader.finish(all)
    }

    /// Reads the file's tree.
    pub(super) fn read(reader: &mut Reader, root: &Node) -> Vec<Asks> {
        let mut all = Vec::new();
        for (key, node) in reader.keyed(root, "", Form::NAME) {
            let Some(environment) = reader.parsed_key::<EnvironmentName>(key, &key.name) else { continue };
            all.push(asks(reader, node, environment));
        }
        all
    }
}

fn asks(reader: &mut Reader, node: &Node, environment: EnvironmentName) -> Asks {
    let path = environment.to_string();
    let mut asks =
        Asks { environment, strict: false, approval: false, backup: false, timeout: None, windows: Windows::default() };
    let own = ["validation", "approval_required", "migration", WINDOWS];
    let allowed: Vec<&str> = own.into_iter().chain(OF_RUNS).chain(WITHOUT_EFFECT).chain(ENVIRONMENTS_OWN).collect();
    let fields = reader.fields(node, &path, &allowed);
    if let Some((node, path)) = fields.get("validation") {
        asks.strict = reader.one_of(node, &path, &Profile::WORDS) == Some(Profile::Strict);
    }
    if let Some((node, path)) = fields.get("approval_required") {
        asks.approval = reader.bool(node, &path) == Some(true);
    }
    of_runs(reader, &fields, &mut asks);
    if let Some((node, path)) = fields.get("migration") {
        let fields = reader.fields(node, &path, &OF_RUNS);
        of_runs(reader, &fields, &mut asks);
    }
    if let (Some((node, path)), Some(key)) = (fields.get(WINDOWS), fields.key(WINDOWS)) {
        asks.windows = windows::read(reader, node, &path, key);
    }
    for key in WITHOUT_EFFECT {
        if let Some((node, path)) = fields.get(key) {
            reader.bool(node, &path);
        }
    }
    for key in ENVIRONMENTS_OWN {
        if let Some((node, path)) = fields.get(key) {
            reader.map(node, &path);
        }
    }
    asks
}

/// How runs go; of a key that stands twice, here and in `migration`, the stricter one holds.
fn of_runs(reader: &mut Reader, fields: &yaml::Fields<'_>, asks: &mut Asks) {
    if let Some((node, path)) = fields.get("auto_approve") {
        asks.approval |= reader.bool(node, &path) == Some(false);
    }
    if let Some((node, path)) = fields.get("backup_required") {
        asks.backup |= reader.bool(node, &path) == Some(true);
    }
    if let Some((node, path)) = fields.get("timeout") {
        let seconds = reader.number(node, &path, 1..=7 * 86_400);
        asks.timeout = asks.timeout.into_iter().chain(seconds).min();
    }
}

impl Environments {
    /// The environments as runs of these services' migrations find them: whether the author's own word is enough, how long a
    /// run may take, and when it may begin. What depends on each migration is asked for each: how severe its findings are
    /// ([`LintConfig::strict_below`](super::LintConfig::strict_below)), and whether a backup is made before it.
    #[must_use]
    pub fn tightened<'s>(&self, by: impl IntoIterator<Item = &'s ServiceSettings>) -> Self {
        let mut tightened = self.clone();
        for settings in by {
            for environment in &mut tightened.0 {
                let Some(asks) = settings.of(&environment.name) else { continue };
                let migration = &mut environment.migration;
                migration.timeout = migration.timeout.min(asks.timeout.unwrap_or(u64::MAX));
                if asks.approval && migration.auto_approve {
                    migration.auto_approve = false;
                    environment.distrusted_by.push(settings.service.clone());
                }
                if asks.windows != Windows::default() {
                    environment.service_windows.push((settings.service.clone(), asks.windows.clone()));
                }
            }
        }
        tightened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(service: &str, json: &str) -> ServiceSettings {
        let asks = ServiceSettings::parse("environments.json", json).expect("valid");
        ServiceSettings { service: service.to_owned(), unit: format!("services/{service}/migrations"), asks }
    }

    const ENVIRONMENTS: &str = "development: { targets: {}, migration: { auto_approve: true, timeout: 300 } }\n\
        staging: { targets: {}, migration: { auto_approve: true, timeout: 600 },\n  \
        maintenance_windows: [{ start: \"01:00\", end: \"05:00\" }] }\nproduction: { targets: {} }\n";

    #[test]
    fn s4_1_s1_24_a_service_tightens_and_never_loosens() {
        let (environments, _) = Environments::parse("e", ENVIRONMENTS).expect("valid");
        // Whatever would loosen has no effect, in any environment; nor has what is not there.
        let loose = r#"{ "auto_approve": true, "approval_required": false, "backup_required": false, "timeout": 86400,
            "validation": "relaxed" }"#;
        let all = ["development", "staging", "production", "elsewhere"].map(|name| format!("\"{name}\": {loose}"));
        let loosening = service("a", &format!("{{ {} }}", all.join(", ")));
        assert_eq!(environments.tightened([&loosening]), environments);
        assert_eq!(environments.tightened([]), environments);

        let orders = service("orders", r#"{ "staging": { "auto_approve": false, "timeout": 60 } }"#);
        let users = service(
            "users",
            r#"{ "staging": { "approval_required": true, "timeout": 90,
                "maintenance_windows": [ { "days": ["sat"], "start": "02:00", "end": "04:00" } ] } }"#,
        );
        for by in [[&orders, &users, &loosening], [&loosening, &users, &orders]] {
            let tightened = environments.tightened(by);
            let [development, staging, production] = tightened.0.as_slice() else { panic!("{tightened:?}") };
            assert_eq!((development, production), (&environments.0[0], &environments.0[2]));
            assert_eq!((staging.migration.auto_approve, staging.migration.timeout), (false, 60));
            assert_eq!(staging.distrusted_by.len(), 1, "one is reason enough");
            assert_eq!(staging.windows, environments.0[1].windows);
            let windows: Vec<&str> = staging.service_windows.iter().map(|(service, _)| service.as_str()).collect();
            assert_eq!(windows, ["users"]);
        }
    }
}
