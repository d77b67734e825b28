//! How the systems behind a run fare, before and after it, and what was checked afterwards. Pure: the runner measures.

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::config::health::{Amount, HealthChecks, Vital};
use crate::ids::{Engine, TargetName};
use crate::migration::Migration;

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What.
    pub vital: Vital,
    /// How much.
    pub value: Amount,
}

impl Reading {
    /// A reading.
    pub fn new(vital: Vital, value: f64) -> Self {
        Self { vital, value: Amount::of(value) }
    }

    /// A share of a whole in percent; `None` where the whole is not known.
    pub fn share(vital: Vital, part: f64, whole: f64) -> Option<Self> {
        (whole > 0.0).then(|| Self::new(vital, 100.0 * part / whole))
    }
}

/// How a value stands to its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Within both.
    Ok,
    /// Above the first.
    Warning,
    /// Above the second: nothing runs.
    Critical,
}

/// One value as it was measured, and what that means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Of which database; `None` for what the monitoring says of all.
    pub target: Option<TargetName>,
    /// What.
    pub vital: Vital,
    /// How much.
    pub value: Amount,
    /// Counted in what.
    pub unit: String,
    /// What that means.
    pub level: Level,
    /// The bound above which the level begins, if it is one.
    pub bound: Option<Amount>,
    /// Who said so: the server itself, or the monitoring.
    pub from: String,
}

impl Measured {
    /// In a few words.
    pub fn words(&self) -> String {
        let of = self.target.as_ref().map_or(String::new(), |t| format!(" of {t}"));
        let bound = self.bound.map_or(String::new(), |b| format!(" (above {b}{})", spaced(&self.unit)));
        format!("{}{of} {}{}{bound}", self.vital.as_str(), self.value, spaced(&self.unit))
    }
}

fn spaced(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(" {unit}") }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// It works.
    Passed,
    /// It does not.
    Failed,
    /// It was not tried; the message says why.
    Skipped,
}

impl CheckStatus {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckStatus::Passed => "passed",
            CheckStatus::Failed => "failed",
            CheckStatus::Skipped => "skipped",
        }
    }
}

/// One check after a run (SPEC 13.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `connectivity`, `migration-status`, `critical-table`, `query`, `http`, `prisma-client`, `monitoring`.
    pub name: String,
    /// Of which database.
    pub target: Option<TargetName>,
    /// How it ended.
    pub status: CheckStatus,
    /// What was checked, and why it failed or was not tried.
    pub message: String,
}

impl Check {
    /// A check.
    pub fn new(name: &str, target: Option<&TargetName>, status: CheckStatus, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), target: target.cloned(), status, message: message.into() }
    }

    /// In a few words.
    pub fn words(&self) -> String {
        let on = self.target.as_ref().map_or(String::new(), |t| format!(" on {t}"));
        format!("{}{on}: {}", self.name, self.message)
    }
}

/// Everything that was looked at around a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Before anything was touched.
    pub before: Vec<Measured>,
    /// Afterwards.
    pub after: Vec<Measured>,
    /// What was checked afterwards.
    pub checks: Vec<Check>,
}

impl Health {
    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|c| c.status == CheckStatus::Failed)
    }

    /// In one line, for the audit log.
    pub fn summary(&self) -> String {
        let count = |s: CheckStatus| self.checks.iter().filter(|c| c.status == s).count();
        let mut parts: Vec<String> = [CheckStatus::Passed, CheckStatus::Failed, CheckStatus::Skipped]
            .into_iter()
            .filter(|s| count(*s) > 0)
            .map(|s| format!("{} {}", count(s), s.as_str()))
            .collect();
        for (when, measured) in [("before", &self.before), ("after", &self.after)] {
            parts.extend(measured.iter().filter(|m| m.level != Level::Ok).map(|m| format!("{when}: {}", m.words())));
        }
        parts.extend(self.failed().map(Check::words));
        parts.join("; ")
    }
}

/// Holds readings against the bounds of an environment; above means strictly above (SPEC 13.4).
pub fn judge(
    readings: impl IntoIterator<Item = Reading>,
    target: Option<&TargetName>,
    from: &str,
    checks: &HealthChecks,
) -> Vec<Measured> {
    readings
        .into_iter()
        .map(|reading| {
            let bounds = checks.bounds(reading.vital);
            let above = |bound: Option<Amount>| bound.filter(|b| reading.value > *b);
            let (level, bound) = match (above(bounds.critical), above(bounds.warning)) {
                (Some(bound), _) => (Level::Critical, Some(bound)),
                (None, Some(bound)) => (Level::Warning, Some(bound)),
                (None, None) => (Level::Ok, None),
            };
            Measured {
                target: target.cloned(),
                vital: reading.vital,
                value: reading.value,
                unit: reading.vital.unit().to_owned(),
                level,
                bound,
                from: from.to_owned(),
            }
        })
        .collect()
}

/// What is critical, in words; `None` when nothing is.
pub fn critical(measured: &[Measured]) -> Option<String> {
    let words: Vec<String> = measured.iter().filter(|m| m.level == Level::Critical).map(Measured::words).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// Why nothing is begun while something is critical.
pub fn refusal_before(measured: &[Measured]) -> Option<Refusal> {
    Some(Refusal {
        reason: "health".to_owned(),
        message: format!("the system does not fare well enough for a run: {}", critical(measured)?),
        what_to_do: "look at what uses it up and run again; the bounds stand under `health_checks.thresholds` of the \
                     environment"
            .to_owned(),
        needs_human: false,
    })
}

/// Why a run stops between two migrations.
pub fn refusal_between(critical: &str, waited: u64) -> Refusal {
    Refusal {
        reason: "health".to_owned(),
        message: format!("the run stopped between two migrations after waiting {waited} s: {critical}"),
        what_to_do:
            "what came before is applied and stays; run again once the system fares better, and it goes on from \
                     there"
                .to_owned(),
        needs_human: false,
    }
}

/// Values in Prometheus' text form that mean one of ours: by the name that the environment gives, else those whose name is
/// the value's or ends with it. A label `target` says of which database. Of several the highest counts.
pub fn prometheus(text: &str, checks: &HealthChecks) -> Vec<(Option<String>, Reading)> {
    let mut found: std::collections::BTreeMap<(Option<String>, Vital), Amount> = std::collections::BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let Some((name, labels, value)) = sample(line) else { continue };
        for (vital, own) in Vital::ALL {
            let is_it = match checks.monitoring.metrics.get(&vital) {
                Some(wanted) => wanted == name,
                None => name == own || name.strip_suffix(own).is_some_and(|before| before.ends_with('_')),
            };
            if is_it {
                let value = Amount::of(value);
                found.entry((label(labels, "target"), vital)).and_modify(|v| *v = value.max(*v)).or_insert(value);
            }
        }
    }
    found.into_iter().map(|((target, vital), value)| (target, Reading { vital, value })).collect()
}

/// Name, labels and value of a line.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (name, labels, rest) = match line.find('{') {
        Some(open) => {
            let close = open + closing(&line[open..])?;
            (&line[..open], &line[open + 1..close], &line[close + 1..])
        }
        None => {
            let (name, rest) = line.split_once(char::is_whitespace)?;
            (name, "", rest)
        }
    };
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    value.is_finite().then_some((name.trim(), labels, value))
}

/// Where the brace that opens a text is closed; braces in quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn label(labels: &str, name: &str) -> Option<String> {
    let at = labels.match_indices(name).find(|(at, _)| {
        let before = labels[..*at].trim_end();
        (before.is_empty() || before.ends_with(',')) && labels[at + name.len()..].trim_start().starts_with('=')
    })?;
    let rest = labels[at.0 + name.len()..].trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
    rest.split('"').next().map(str::to_owned)
}

/// Why undoing a migration by itself could lose what was there before it; `None` when it takes back only what the
/// migration made. Drivers look at documents and keys themselves; of SQL the words decide, and what they leave open is a
/// reason.
pub fn unsafe_to_undo(migration: &Migration) -> Option<String> {
    let Some(down) = &migration.down else { return Some("it has no way back".to_owned()) };
    if !matches!(migration.engine, Engine::Postgresql | Engine::Sqlite) {
        return None;
    }
    let (up, down) = (words(&migration.up.text), words(&down.text));
    let after = |words: &[String], at: usize| {
        let skipped = ["if", "not", "exists", "only", "column"];
        words[at..].iter().find(|w| !skipped.contains(&w.as_str())).map(|w| bare(w)).unwrap_or_default()
    };
    let made = |what: &str| {
        (0..up.len()).any(|n| {
            let table = matches!(up[n].as_str(), "table" | "schema" | "type" | "sequence")
                && up[..n].iter().rev().take(3).any(|w| w == "create");
            (table || up[n] == "add") && after(&up, n + 1) == what
        })
    };
    for (n, word) in down.iter().enumerate() {
        let next = down.get(n + 1).map_or("", String::as_str);
        match word.as_str() {
            // Words of a foreign key: what it does is no statement.
            "delete" | "update" if n > 0 && down[n - 1] == "on" => {}
            "truncate" | "delete" | "update" => return Some(format!("its way back says `{}`", word.to_uppercase())),
            "type" if n > 1 && down[..n].iter().rev().take(4).any(|w| w == "alter") && next != "if" => {
                return Some("its way back changes a type".to_owned());
            }
            "drop" => match next {
                "index" | "constraint" | "view" | "function" | "trigger" | "default" | "not" | "policy" | "rule"
                | "procedure" | "identity" | "expression" | "statistics" => {}
                "table" | "schema" | "type" | "sequence" | "column" => {
                    let what = after(&down, n + 2);
                    if !made(&what) {
                        return Some(format!("its way back drops `{what}`, which it did not make"));
                    }
                }
                _ if made(&after(&down, n + 1)) => {}
                other => return Some(format!("its way back drops `{other}`")),
            },
            _ => {}
        }
    }
    None
}

/// The last part of a name, without quotes.
fn bare(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).trim_matches('"').to_owned()
}

/// A script's words in lower case, without comments and texts in quotes.
fn words(sql: &str) -> Vec<String> {
    let mut plain = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if c == '\'' {
            rest[1..].find('\'').map_or(rest.len(), |end| end + 2)
        } else {
            0
        };
        if skip > 0 {
            plain.push(' ');
            rest = &rest[skip..];
        } else {
            plain.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    let is_part = |c: char| c.is_alphanumeric() || "_.\"$".contains(c);
    plain.split(|c| !is_part(c)).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::health::Bounds;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    fn level(vital: Vital, value: f64) -> Level {
        judge([Reading::new(vital, value)], None, "the server", &HealthChecks::default())[0].level
    }

    #[test]
    fn s3_101_to_s3_108_bounds_are_strict() {
        for (vital, value, expected) in [
            (Vital::CpuUsage, 80.0, Level::Ok),
            (Vital::CpuUsage, 80.001, Level::Warning),
            (Vital::CpuUsage, 90.0, Level::Warning),
            (Vital::CpuUsage, 90.1, Level::Critical),
            (Vital::MemoryUsage, 85.0, Level::Ok),
            (Vital::MemoryUsage, 90.0, Level::Warning),
            (Vital::MemoryUsage, 91.0, Level::Critical),
            (Vital::ConnectionPool, 95.0, Level::Ok),
            (Vital::ConnectionPool, 95.5, Level::Critical),
            (Vital::ErrorRate, 1.0, Level::Ok),
            (Vital::ErrorRate, 5.0, Level::Warning),
            (Vital::ErrorRate, 5.1, Level::Critical),
            (Vital::QueryTimeP95, 1000.0, Level::Ok),
            (Vital::QueryTimeP95, 90_000.0, Level::Warning),
        ] {
            assert_eq!(level(vital, value), expected, "{vital:?} {value}");
        }
    }

    #[test]
    fn an_environment_s_own_bounds_count_and_are_named() {
        let mut checks = HealthChecks::default();
        let bounds = Bounds { warning: None, critical: Some(Amount::whole(10)) };
        checks.thresholds.insert(Vital::ConnectionPool, bounds);
        let target = TargetName::new("shop-pg").unwrap();
        let measured = judge([Reading::new(Vital::ConnectionPool, 10.5)], Some(&target), "the server", &checks);
        let refusal = refusal_before(&measured).unwrap();
        assert_eq!(refusal.reason, "health");
        assert!(refusal.message.ends_with("connection_pool of shop-pg 10.5 % (above 10 %)"), "{}", refusal.message);
        assert!(refusal_before(&judge([Reading::new(Vital::CpuUsage, 1.0)], None, "x", &checks)).is_none());
    }

    #[test]
    fn prometheus_text_is_read_by_name_and_label() {
        let text = "# HELP cpu_usage x\n# TYPE cpu_usage gauge\nnode_cpu_usage 12.5\nnode_cpu_usage{cpu=\"1\"} 40 1700000000\n\
                    shop_memory_usage{a=\"}\\\"\",target=\"shop-pg\"} 91\nerror_rate NaN\nxcpu_usage 99\nmy_errors 3\nbroken{ 1\nbroken\n";
        let checks = HealthChecks::default();
        let target = Some("shop-pg".to_owned());
        assert_eq!(
            prometheus(text, &checks),
            [(None, Reading::new(Vital::CpuUsage, 40.0)), (target, Reading::new(Vital::MemoryUsage, 91.0))]
        );
        let mut named = HealthChecks::default();
        named.monitoring.metrics.insert(Vital::ErrorRate, "my_errors".to_owned());
        assert!(prometheus(text, &named).contains(&(None, Reading::new(Vital::ErrorRate, 3.0))));
    }

    #[test]
    fn a_way_back_that_takes_only_what_was_made_is_safe() {
        for (up, down, safe) in [
            ("CREATE TABLE a (x int);", "DROP TABLE a;", true),
            ("create table if not exists public.\"A\" (x int)", "drop table if exists \"A\"", true),
            ("CREATE TABLE a (x int);", "DROP TABLE b;", false),
            ("ALTER TABLE a ADD COLUMN b int;", "ALTER TABLE a DROP COLUMN b;", true),
            ("ALTER TABLE a ADD b int;", "ALTER TABLE a DROP b;", true),
            ("ALTER TABLE a ADD COLUMN b int;", "ALTER TABLE a DROP COLUMN c;", false),
            ("CREATE INDEX i ON a (b);", "DROP INDEX i; -- DELETE FROM a", true),
            ("INSERT INTO a VALUES (1);", "DELETE FROM a WHERE x = 1;", false),
            ("SELECT 1;", "SELECT 'DROP TABLE a';", true),
            ("SELECT 1;", "TRUNCATE a", false),
            ("ALTER TABLE a ALTER COLUMN b TYPE bigint", "ALTER TABLE a ALTER COLUMN b TYPE int", false),
            ("SELECT 1", "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES c ON DELETE CASCADE", true),
            ("SELECT 1", "DROP DATABASE a", false),
        ] {
            let files = vec![SourceFile::new("0001_a.up.sql", up), SourceFile::new("0001_a.down.sql", down)];
            let root = MigrationRoot { engine: Some(Engine::Postgresql), ..MigrationRoot::folder("") };
            let set = resolve(&files, &[root]);
            assert_eq!(unsafe_to_undo(&set.migrations[0]).is_none(), safe, "{up} / {down}");
        }
    }
}
