//! `health_checks` and `monitoring` of an environment: what is measured around a run, which bounds hold, and what must work
//! afterwards.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use super::schema::{Form, Kind, Rule};
use super::yaml::{Fields, Node, Reader, join};
use super::{Environment, RepoConfig, TargetConfig};
use crate::ids::{Engine, TargetName};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vital {
    /// Work of the machine, in percent.
    CpuUsage,
    /// Memory in use, in percent.
    MemoryUsage,
    /// Connections in use, in percent of those there may be.
    ConnectionPool,
    /// Requests that fail, in percent.
    ErrorRate,
    /// The time within which 95 of 100 queries end, in milliseconds.
    QueryTimeP95,
    /// Disk in use, in percent.
    DiskUsage,
    /// What Elasticsearch says of its cluster: 0 green, 1 yellow, 2 red.
    ClusterStatus,
}

impl Vital {
    /// Every one with its name in files and in JSON.
    pub const ALL: [(Vital, &'static str); 7] = [
        (Vital::CpuUsage, "cpu_usage"),
        (Vital::MemoryUsage, "memory_usage"),
        (Vital::ConnectionPool, "connection_pool"),
        (Vital::ErrorRate, "error_rate"),
        (Vital::QueryTimeP95, "query_time_p95"),
        (Vital::DiskUsage, "disk_usage"),
        (Vital::ClusterStatus, "cluster_status"),
    ];

    /// Its name in files and in JSON.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(v, _)| *v == self).map_or("", |(_, name)| name)
    }

    /// What it is counted in.
    pub fn unit(self) -> &'static str {
        match self {
            Vital::QueryTimeP95 => "ms",
            Vital::ClusterStatus => "",
            Vital::CpuUsage | Vital::MemoryUsage | Vital::ConnectionPool | Vital::ErrorRate | Vital::DiskUsage => "%",
        }
    }

    /// The bounds that hold unless an environment has its own (SPEC 13.4).
    pub fn usual(self) -> Bounds {
        let bounds = |warning: Option<u64>, critical: Option<u64>| Bounds {
            warning: warning.map(Amount::whole),
            critical: critical.map(Amount::whole),
        };
        match self {
            Vital::CpuUsage => bounds(Some(80), Some(90)),
            Vital::MemoryUsage => bounds(Some(85), Some(90)),
            Vital::ConnectionPool => bounds(None, Some(95)),
            Vital::ErrorRate => bounds(Some(1), Some(5)),
            Vital::QueryTimeP95 => bounds(Some(1000), None),
            // Elasticsearch's own marks: it moves shards away at the first, and takes no writes above the second.
            Vital::DiskUsage => bounds(Some(90), Some(95)),
            // A cluster of one node is never green.
            Vital::ClusterStatus => bounds(None, Some(1)),
        }
    }
}

/// A number with three decimal places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u64);

impl Amount {
    /// A whole number.
    pub const fn whole(number: u64) -> Self {
        Self(number.saturating_mul(1000))
    }

    /// The nearest one; what is no number, or below zero, is zero.
    pub fn of(number: f64) -> Self {
        // A cast keeps to the bounds of the type, and takes what is no number for zero.
        Self((number.max(0.0) * 1000.0).round() as u64)
    }

    /// As a number.
    pub fn value(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.value())
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        f64::deserialize(from).map(Amount::of)
    }
}

/// Above which values something is told, and above which nothing runs. `None`: never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// It is told.
    pub warning: Option<Amount>,
    /// Nothing runs.
    pub critical: Option<Amount>,
}

/// A table, collection or index that must be readable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CriticalTable {
    /// Where; `None`: every SQL database of the environment.
    pub target: Option<TargetName>,
    /// Its name, with its schema where it needs one.
    pub name: String,
}

/// Something that must work.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CriticalPath {
    /// A query; it cannot change anything.
    Sql {
        /// Where; `None`: every SQL database of the environment.
        target: Option<TargetName>,
        /// The query.
        sql: String,
        /// What the first value of its first row must be.
        expect: Option<String>,
    },
    /// An address.
    Http {
        /// It.
        url: String,
        /// The status it must answer with.
        expect: u16,
    },
}

/// What a failed check after a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// Undoes what the run applied, where that loses nothing.
    Rollback,
    /// Only says how to.
    Stop,
}

/// What is looked at around the runs of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthChecks {
    /// Readable afterwards.
    pub critical_tables: Vec<CriticalTable>,
    /// Working afterwards.
    pub critical_paths: Vec<CriticalPath>,
    /// Bounds of its own.
    pub thresholds: BTreeMap<Vital, Bounds>,
    /// Seconds to wait between two migrations while something is critical.
    pub patience: u64,
    /// Seconds between two looks while migrations run.
    pub interval: u64,
    /// Minutes of watching after a run by the server.
    pub watch: u64,
    /// What a failed check does.
    pub on_failure: OnFailure,
    /// Where the numbers come from that no database tells.
    pub monitoring: Monitoring,
    /// Whether the environment says anything of this at all.
    pub stated: bool,
}

impl Default for HealthChecks {
    fn default() -> Self {
        Self {
            critical_tables: Vec::new(),
            critical_paths: Vec::new(),
            thresholds: BTreeMap::new(),
            patience: 60,
            interval: 5,
            watch: 30,
            on_failure: OnFailure::Rollback,
            monitoring: Monitoring::default(),
            stated: false,
        }
    }
}

impl HealthChecks {
    /// What an environment asks for, with what `godwit.yml` says of every environment.
    pub fn of(repo: &RepoConfig, environment: &Environment) -> Self {
        let mut checks = environment.health.clone();
        checks.critical_tables.extend(repo.critical_tables.iter().cloned());
        checks.critical_paths.extend(repo.critical_paths.iter().cloned());
        checks.stated |= !(checks.critical_tables.is_empty() && checks.critical_paths.is_empty());
        checks
    }

    /// The bounds of a value.
    pub fn bounds(&self, vital: Vital) -> Bounds {
        self.thresholds.get(&vital).copied().unwrap_or_else(|| vital.usual())
    }
}

/// `monitoring`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Monitoring {
    /// Whether it is asked.
    pub enabled: bool,
    /// The address of metrics in Prometheus' text form.
    pub metrics_endpoint: Option<String>,
    /// Which metric tells a value, where it is not one whose name ends with that of the value.
    pub metrics: BTreeMap<Vital, String>,
}

/// The statuses that an address can answer with.
const STATUS: std::ops::RangeInclusive<u64> = 100..=599;
/// Keys that may stand in `godwit.yml` too, for every environment.
pub(super) const SHARED: [&str; 2] = ["critical_tables", "critical_paths"];

/// `health_checks`, whose targets must be among `targets`.
pub(super) fn checks(reader: &mut Reader, node: &Node, path: &str, targets: &[TargetConfig]) -> HealthChecks {
    let mut checks = HealthChecks { stated: true, ..HealthChecks::default() };
    let own = ["thresholds", "patience", "interval", "watch", "on_failure"];
    let allowed: Vec<&str> = SHARED.into_iter().chain(own).collect();
    let fields = reader.fields(node, path, &allowed);
    (checks.critical_tables, checks.critical_paths) = shared(reader, &fields, Some(targets));
    if let Some((node, path)) = fields.get("thresholds") {
        let names = Vital::ALL.map(|(_, name)| name);
        let thresholds = reader.fields(node, &path, &names);
        for (vital, name) in Vital::ALL {
            let Some((node, path)) = thresholds.get(name) else { continue };
            let fields = reader.fields(node, &path, &["warning", "critical"]);
            let mut bounds = vital.usual();
            for (name, bound) in [("warning", &mut bounds.warning), ("critical", &mut bounds.critical)] {
                if let Some((node, path)) = fields.get(name) {
                    *bound = amount(reader, node, &path);
                }
            }
            if let (Some(warning), Some(critical)) = (bounds.warning, bounds.critical)
                && warning > critical
            {
                // Whoever lowers the one that stops runs need not say that warnings begin there too.
                match fields.get("warning") {
                    Some((node, path)) => {
                        reader.wrong(node, format!("`{path}` is above `critical`, so it would never be told"));
                    }
                    None => bounds.warning = Some(critical),
                }
            }
            checks.thresholds.insert(vital, bounds);
        }
    }
    for (name, number, most) in [
        ("patience", &mut checks.patience, 86_400),
        ("interval", &mut checks.interval, 3_600),
        ("watch", &mut checks.watch, 1_440),
    ] {
        if let Some((node, path)) = fields.get(name) {
            *number = reader.number(node, &path, 0..=most).unwrap_or_default();
        }
    }
    if let Some((node, path)) = fields.get("on_failure") {
        let words = [("rollback", OnFailure::Rollback), ("stop", OnFailure::Stop)];
        checks.on_failure = reader.one_of(node, &path, &words).unwrap_or(OnFailure::Stop);
    }
    checks
}

/// `monitoring`.
pub(super) fn monitoring(reader: &mut Reader, node: &Node, path: &str) -> Monitoring {
    let mut out = Monitoring::default();
    let fields = reader.fields(node, path, &["enabled", "metrics_endpoint", "metrics"]);
    if let Some((node, path)) = fields.get("enabled") {
        out.enabled = reader.bool(node, &path).unwrap_or_default();
    }
    out.metrics_endpoint = fields.get("metrics_endpoint").and_then(|(node, path)| address(reader, node, &path));
    if let Some((node, path)) = fields.get("metrics") {
        let names = Vital::ALL.map(|(_, name)| name);
        let metrics = reader.fields(node, &path, &names);
        for (vital, name) in Vital::ALL {
            if let Some(text) = metrics.get(name).and_then(|(node, path)| reader.string(node, &path)) {
                out.metrics.insert(vital, text);
            }
        }
    }
    out
}

/// The keys that stand in both files. `targets`: those of the environment; in `godwit.yml` they are not known.
pub(super) fn shared(
    reader: &mut Reader,
    fields: &Fields<'_>,
    targets: Option<&[TargetConfig]>,
) -> (Vec<CriticalTable>, Vec<CriticalPath>) {
    let (mut tables, mut paths) = (Vec::new(), Vec::new());
    if let Some((node, path)) = fields.get("critical_tables") {
        for item in reader.list(node, &path) {
            tables.extend(table(reader, item, &path, targets));
        }
    }
    if let Some((node, path)) = fields.get("critical_paths") {
        for item in reader.list(node, &path) {
            paths.extend(critical_path(reader, item, &path, targets));
        }
    }
    (tables, paths)
}

fn table(reader: &mut Reader, node: &Node, path: &str, targets: Option<&[TargetConfig]>) -> Option<CriticalTable> {
    let text = reader.formed(node, path, Form::TABLE)?;
    let (target, name) = match text.split_once('/') {
        Some((target, name)) => (Some(target), name),
        None => (None, text.as_str()),
    };
    let is_name = !name.is_empty() && name.len() <= 255 && !name.chars().any(|c| c.is_control() || "\"'`;".contains(c));
    if !is_name {
        reader.wrong(node, format!("`{path}`: write a table as `orders`, `public.orders` or `TARGET/orders`"));
        return None;
    }
    let target = match target {
        Some(text) => Some(known(reader, node, path, text, targets, |e| e != Engine::Redis, "Redis has no tables")?),
        None => None,
    };
    Some(CriticalTable { target, name: name.to_owned() })
}

fn critical_path(
    reader: &mut Reader,
    node: &Node,
    path: &str,
    targets: Option<&[TargetConfig]>,
) -> Option<CriticalPath> {
    let fields = reader.fields(node, path, &["sql", "http", "target", "expect"]);
    let status = Kind::Whole(*STATUS.start(), *STATUS.end()).schema();
    let also = json!({ "oneOf": [{ "required": ["sql"] }, { "required": ["http"] }], "if": { "required": ["http"] },
        "then": { "properties": { "target": false, "expect": status } } });
    node.must(Rule::Filled);
    node.must(Rule::Also(also.to_string()));
    match (fields.get("sql"), fields.get("http")) {
        (Some((node, path)), None) => {
            let sql = reader.formed(node, &path, Form::WORDS)?;
            if sql.trim().is_empty() {
                reader.wrong(node, format!("`{path}` is empty"));
                return None;
            }
            let target = match fields.get("target") {
                Some((node, path)) => {
                    let text = reader.formed(node, &path, Form::NAME)?;
                    let sql = |e| matches!(e, Engine::Postgresql | Engine::Sqlite);
                    Some(known(reader, node, &path, &text, targets, sql, "only PostgreSQL and SQLite take queries")?)
                }
                None => None,
            };
            let expect = match fields.get("expect") {
                Some((node, path)) => Some(reader.string(node, &path)?),
                None => None,
            };
            Some(CriticalPath::Sql { target, sql, expect })
        }
        (None, Some((node, path))) => {
            if let Some((node, path)) = fields.get("target") {
                reader.wrong(node, format!("`{path}`: an address belongs to no target"));
            }
            let url = address(reader, node, &path)?;
            let expect = match fields.get("expect") {
                Some((node, path)) => u16::try_from(reader.number(node, &path, STATUS)?).unwrap_or(200),
                None => 200,
            };
            Some(CriticalPath::Http { url, expect })
        }
        (Some(_), Some(_)) | (None, None) => {
            reader.wrong(node, format!("an entry of `{path}` has either `sql` or `http`"));
            None
        }
    }
}

/// A target's name; where the environment's are known it must be one of them, of a kind that `fits`.
fn known(
    reader: &mut Reader,
    node: &Node,
    path: &str,
    text: &str,
    targets: Option<&[TargetConfig]>,
    fits: impl Fn(Engine) -> bool,
    why: &str,
) -> Option<TargetName> {
    let name = match text.parse::<TargetName>() {
        Ok(name) => name,
        Err(error) => {
            reader.wrong(node, format!("`{path}`: {error}"));
            return None;
        }
    };
    match targets.map(|all| all.iter().find(|t| t.name == name)) {
        None => Some(name),
        Some(Some(target)) if fits(target.engine) => Some(name),
        Some(Some(target)) => {
            reader.wrong(node, format!("`{path}`: `{name}` is {}; {why}", target.engine));
            None
        }
        Some(None) => {
            reader.wrong(node, format!("`{path}`: the environment has no target `{name}`"));
            None
        }
    }
}

/// An address without credentials in it.
fn address(reader: &mut Reader, node: &Node, path: &str) -> Option<String> {
    let text = reader.formed(node, path, Form::ADDRESS)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.map(|r| r.split(['/', '?', '#']).next().unwrap_or_default());
    let problem = match host {
        None | Some("") => "must be an `http://` or `https://` address",
        // Never quoted: it could hold a password.
        Some(host) if host.contains('@') => "must not hold a user or a password",
        Some(_) if text.contains(char::is_whitespace) || text.contains("${") => {
            "is written out, without blanks and variables"
        }
        Some(_) => return Some(text),
    };
    reader.wrong(node, format!("`{path}` {problem}"));
    None
}

fn amount(reader: &mut Reader, node: &Node, path: &str) -> Option<Amount> {
    reader.decimal(node, path, 1_000_000_000).map(Amount::of)
}

/// Both keys of an environment; `path` is the environment's.
pub(super) fn of_environment(
    reader: &mut Reader,
    fields: &Fields<'_>,
    path: &str,
    targets: &[TargetConfig],
) -> HealthChecks {
    let mut out = match fields.get("health_checks") {
        Some((node, _)) => checks(reader, node, &join(path, "health_checks"), targets),
        None => HealthChecks::default(),
    };
    if let Some((node, _)) = fields.get("monitoring") {
        out.monitoring = monitoring(reader, node, &join(path, "monitoring"));
    }
    out.stated |= out.monitoring.enabled;
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Environments, RepoConfig};
    use super::*;

    const TEXT: &str = r#"
production:
  targets:
    shop-pg: { engine: postgresql, url: "${U}" }
    shop-mongo: { engine: mongodb, url: "${M}" }
    cache: { engine: redis, url: "${R}" }
  health_checks:
    critical_tables: [users, shop-mongo/carts]
    critical_paths:
      - { sql: "SELECT 1 FROM users LIMIT 1", target: shop-pg, expect: 1 }
      - { http: "https://shop.example.com/healthz", expect: 204 }
    thresholds: { cpu_usage: { critical: 70 }, error_rate: { warning: 0.5 } }
    patience: 5
    on_failure: stop
  monitoring: { enabled: true, metrics_endpoint: "http://localhost:9090", metrics: { cpu_usage: node_cpu } }
"#;

    #[test]
    fn s2_94_checks_and_monitoring_are_read() {
        let (environments, notes) = Environments::parse("policies/environments.yml", TEXT).unwrap();
        assert_eq!(notes, []);
        let health = &environments.0[0].health;
        assert_eq!(health.critical_tables.len(), 2);
        assert_eq!(health.critical_tables[1].target.as_ref().unwrap().as_str(), "shop-mongo");
        assert!(matches!(&health.critical_paths[1], CriticalPath::Http { expect: 204, .. }));
        let cpu = health.bounds(Vital::CpuUsage);
        assert_eq!((cpu.warning, cpu.critical), (Some(Amount::whole(70)), Some(Amount::whole(70))));
        assert_eq!(health.bounds(Vital::ErrorRate).warning, Some(Amount::of(0.5)));
        assert_eq!(health.bounds(Vital::ConnectionPool), Vital::ConnectionPool.usual());
        assert_eq!((health.patience, health.on_failure), (5, OnFailure::Stop));
        assert_eq!(health.monitoring.metrics[&Vital::CpuUsage], "node_cpu");
    }

    #[test]
    fn what_every_environment_checks_may_stand_in_godwit_yml() {
        let text = "version: 1\ncritical_tables: [users]\ncritical_paths: [{ http: 'https://shop.example.com/' }]\n";
        let config = RepoConfig::parse(text).unwrap();
        assert_eq!((config.critical_tables.len(), config.critical_paths.len()), (1, 1));
        let error = RepoConfig::parse("version: 1\ncritical_tables: ['a;b']\n").unwrap_err().to_string();
        assert!(error.starts_with("godwit.yml:2:19: "), "{error}");
    }

    #[test]
    fn mistakes_are_located() {
        for (text, line, part) in [
            ("health_checks: { critical_table: [a] }", 3, "did you mean `critical_tables`"),
            ("health_checks: { critical_tables: users }", 3, "must be a list"),
            ("health_checks: { critical_tables: [nowhere/a] }", 3, "no target `nowhere`"),
            ("health_checks: { critical_tables: [cache/a] }", 3, "Redis has no tables"),
            ("health_checks: { critical_paths: [{ expect: 1 }] }", 3, "either `sql` or `http`"),
            ("health_checks: { critical_paths: [{ sql: x, target: cache }] }", 3, "only PostgreSQL and SQLite"),
            ("health_checks: { critical_paths: [{ http: 'ftp://x' }] }", 3, "`http://` or `https://`"),
            ("health_checks: { critical_paths: [{ http: 'http://u:hunter2@x' }] }", 3, "a password"),
            ("health_checks: { critical_paths: [{ http: 'http://x', expect: 42 }] }", 3, "from 100 to 599"),
            ("health_checks: { thresholds: { cpu: { warning: 1 } } }", 3, "unknown key `cpu`"),
            ("health_checks: { thresholds: { cpu_usage: { warning: much } } }", 3, "must be a number"),
            ("health_checks: { thresholds: { cpu_usage: { warning: 95 } } }", 3, "never be told"),
            ("health_checks: { on_failure: ignore }", 3, "`rollback`"),
            ("monitoring: { enabled: 'yes' }", 3, "`true` or `false`"),
            ("monitoring: { metrics_endpoint: 'localhost' }", 3, "`http://` or `https://`"),
            ("monitoring: { metrics: { cpu: x } }", 3, "unknown key `cpu`"),
        ] {
            let text = format!("a:\n  targets: {{ cache: {{ engine: redis, url: '${{R}}' }} }}\n  {text}\n");
            let errors = Environments::parse("policies/environments.yml", &text).expect_err(&text);
            assert_eq!(errors[0].line, Some(line), "{text} {errors:?}");
            assert!(errors[0].message.contains(part), "{text} {errors:?}");
            assert!(!format!("{errors:?}").contains("hunter2"), "{errors:?}");
        }
    }

    #[test]
    fn amounts_are_written_as_people_do() {
        for (number, text) in [(90.0, "90"), (0.5, "0.5"), (99.9994, "99.999"), (-1.0, "0"), (f64::NAN, "0")] {
            assert_eq!(Amount::of(number).to_string(), text);
        }
        let json = serde_json::to_string(&Amount::of(12.5)).unwrap();
        assert_eq!((json.as_str(), serde_json::from_str(&json).ok()), ("12.5", Some(Amount::of(12.5))));
    }
}
