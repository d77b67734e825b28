//! What the targets say of the tables that a change is about, and what that makes of its risk: the same statement is HIGH
//! on 41 million rows and LOW on an empty table. Pure; who may ask a database hands the answers in.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::assess;
use crate::ids::{Engine, EnvironmentName, Risk, TargetName};
use crate::lint::effect::{Effect, Lock, effect_of};
use crate::lint::{LintReport, RISK_UNDERSTATED, Violation, highest};
use crate::migration::{Migration, MigrationSet};

/// Below this many rows and bytes a table is done with in a moment.
const SMALL: (u64, u64) = (10_000, 16 * MB);
/// Below this many the wait is felt, not more.
const MIDDLE: (u64, u64) = (1_000_000, 1024 * MB);
/// Above this many rows or bytes everything that goes through the table is HIGH.
const LARGE: (u64, u64) = (10_000_000, 10 * 1024 * MB);
/// A transaction that is open longer than this (seconds) makes everyone wait who waits for a lock behind it.
const LONG: u64 = 30;

const MB: u64 = 1024 * 1024;
/// Bytes a second, of the table with its indexes, that a rewrite was seen to reach on ordinary disks.
const REWRITTEN: u64 = 50 * MB;
/// Bytes a second of a table that are read.
const SCANNED: u64 = 300 * MB;
/// Bytes a second of a table from which an index is built.
const BUILT: u64 = 80 * MB;

/// What a target says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFacts {
    /// The server's version, such as `15`.
    pub version: String,
    /// Sessions that were doing something.
    pub active: u64,
    /// How long the longest transaction had been open (seconds).
    pub longest: u64,
    /// Its tables.
    pub tables: Vec<TableFacts>,
}

/// What it says of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFacts {
    /// The schema.
    pub schema: String,
    /// The name in it.
    pub name: String,
    /// Whether it is found without its schema.
    pub visible: bool,
    /// Rows, as the statistics have it; `None` where there are none yet.
    pub rows: Option<u64>,
    /// Bytes of its rows.
    pub heap: u64,
    /// Bytes with its indexes.
    pub bytes: u64,
    /// How long the longest transaction that held it had been open (seconds); `None` if none did.
    pub held: Option<u64>,
}

/// What one environment's target said, or why it did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceFacts {
    /// The environment; `None` for one database given by its URL.
    pub environment: Option<EnvironmentName>,
    /// The target.
    pub target: TargetName,
    /// When it was asked.
    pub at: DateTime<Utc>,
    /// Its answer.
    pub read: Result<TargetFacts, String>,
}

impl PlaceFacts {
    fn name(&self) -> &str {
        self.environment.as_ref().map_or(self.target.as_str(), EnvironmentName::as_str)
    }
}

impl TargetFacts {
    /// The table that a migration means by `name`.
    fn table(&self, migration: &Migration, name: &str) -> Option<&TableFacts> {
        if let Some((schema, table)) = name.rsplit_once('.') {
            return self.tables.iter().find(|t| t.schema == schema && t.name == table);
        }
        let named = |schema: Option<&str>| {
            self.tables.iter().find(|t| {
                t.name == name && schema.map_or(t.visible || t.schema == "public", |schema| t.schema == schema)
            })
        };
        migration.schema().and_then(|schema| named(Some(&schema))).or_else(|| named(None))
    }

    /// Only the tables that a change is about, so that no more is kept than is needed.
    pub fn keep(&mut self, wanted: &BTreeSet<String>) {
        self.tables.retain(|t| wanted.contains(&t.name) || wanted.contains(&format!("{}.{}", t.schema, t.name)));
    }
}

/// The oldest server among those that answered, by which version rules judge.
pub fn oldest(facts: &[PlaceFacts]) -> Option<String> {
    let versions = facts.iter().filter_map(|f| f.read.as_ref().ok()).map(|f| f.version.clone());
    versions.min_by_key(|v| v.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0))
}

/// The report with the risks that the facts give. A finding is lowered only where every place that takes the migration
/// answered; what is not known stays as it is.
pub fn weigh(mut report: LintReport, set: &MigrationSet, facts: &[PlaceFacts]) -> LintReport {
    if facts.is_empty() {
        return report;
    }
    let owners = set.by_path();
    for violation in report.violations.iter_mut().filter(|v| v.risk > Risk::Low && !v.tables.is_empty()) {
        let Some(migration) = owners.get(violation.file.as_str()) else { continue };
        let places: Vec<&PlaceFacts> = facts.iter().filter(|f| takes(migration, f)).collect();
        if let Some((risk, told)) = judge(migration, violation, &places) {
            violation.risk = risk;
            violation.message = format!("{}. {told}", violation.message.trim_end_matches('.'));
        }
    }
    for summary in &mut report.migrations {
        let of = |m: &&Migration| m.id.as_str() == summary.id && m.unit == summary.unit;
        let Some(migration) = set.migrations.iter().find(of) else { continue };
        let assessment = assess(migration, &report.violations);
        summary.risk = assessment.level;
        summary.reasons = assessment.reasons.into_iter().map(|r| r.text).collect();
    }
    // What a file says of itself is no longer too little where the tables make it so.
    report.violations.retain(|v| {
        let risk = owners.get(v.file.as_str()).and_then(|m| {
            let declared = m.declared_risk()?;
            let of = |s: &&crate::lint::MigrationSummary| s.id == m.id.as_str() && s.unit == m.unit;
            report.migrations.iter().find(of).map(|s| s.risk > declared)
        });
        v.rule != RISK_UNDERSTATED || risk.unwrap_or(true)
    });
    report.risk = highest(&report.migrations, &report.violations);
    report
}

/// The tables on whose size a finding of the report depends.
pub fn asked_for(report: &LintReport) -> BTreeSet<String> {
    let depends = |v: &&Violation| v.risk > Risk::Low && !is_apart(effect_of(&v.rule));
    report.violations.iter().filter(depends).flat_map(|v| v.tables.iter().cloned()).collect()
}

/// Whether the size of a table says nothing of it.
fn is_apart(effect: Effect) -> bool {
    matches!(effect, Effect::Breaks | Effect::Fails | Effect::NeedsRights | Effect::Unmeasured)
}

fn takes(migration: &Migration, place: &PlaceFacts) -> bool {
    migration.engine == Engine::Postgresql
        && (place.environment.is_none() || migration.target.as_ref().is_none_or(|target| *target == place.target))
}

/// The risk of a finding at the worst of the places, and what is known there.
fn judge(migration: &Migration, violation: &Violation, places: &[&PlaceFacts]) -> Option<(Risk, String)> {
    let effect = effect_of(&violation.rule);
    if places.is_empty() || is_apart(effect) {
        return None;
    }
    let mut worst: Option<(Risk, u64, String)> = None;
    let mut unknown = Vec::new();
    for place in places {
        let facts = match &place.read {
            Ok(facts) => facts,
            Err(why) => {
                unknown.push(format!("{} could not be asked: {why}", place.name()));
                continue;
            }
        };
        for name in &violation.tables {
            let Some(table) = facts.table(migration, name) else {
                unknown.push(format!("`{name}` is not there in {} yet", place.name()));
                continue;
            };
            let risk = risk_on(effect, violation.risk, table);
            let told = sentence(effect, name, place.name(), table);
            // Of equals the last: environments come in the order in which a change reaches them.
            if worst.as_ref().is_none_or(|(r, bytes, _)| (risk, table.bytes) >= (*r, *bytes)) {
                worst = Some((risk, table.bytes, told));
            }
        }
    }
    let (risk, _, mut told) = worst?;
    if let Some(first) = unknown.first() {
        let _ = write!(told, " ({first})");
        return Some((risk.max(violation.risk), told));
    }
    Some((risk, told))
}

/// What is left of a risk on a table of that size.
fn risk_on(effect: Effect, ruled: Risk, table: &TableFacts) -> Risk {
    let rows = table.rows.unwrap_or(table.heap / 100);
    let within = |(most_rows, most_bytes): (u64, u64)| rows <= most_rows && table.bytes <= most_bytes;
    // A lock that has to wait keeps everyone waiting who comes after it, whatever the table's size.
    let queued = if table.held.is_some_and(|seconds| seconds >= LONG) { ruled.min(Risk::Medium) } else { Risk::Low };
    let by_size = match effect {
        _ if table.heap == 0 => Risk::Low,
        Effect::Rewrites | Effect::Scans(_) | Effect::Builds(_) | Effect::ChangesRows | Effect::AddsRows => match () {
            () if within(SMALL) => Risk::Low,
            () if within(MIDDLE) => ruled.min(Risk::Medium),
            () if !within(LARGE) => Risk::High,
            () => ruled,
        },
        Effect::Locks(_) | Effect::LocksSeveral if within(SMALL) => Risk::Low,
        Effect::Locks(_)
        | Effect::LocksSeveral
        | Effect::FailsOnRows
        | Effect::Loses
        | Effect::Breaks
        | Effect::Fails
        | Effect::NeedsRights
        | Effect::Unmeasured => ruled,
    };
    by_size.max(if takes_lock(effect) { queued } else { Risk::Low })
}

fn takes_lock(effect: Effect) -> bool {
    matches!(effect, Effect::Rewrites | Effect::Scans(_) | Effect::Builds(_) | Effect::Locks(_) | Effect::LocksSeveral)
}

/// What a person should know of the table.
fn sentence(effect: Effect, name: &str, place: &str, table: &TableFacts) -> String {
    if table.heap == 0 {
        return format!("In {place} `{name}` is empty{}", queue(effect, table));
    }
    let rows =
        table.rows.map(|n| format!("{} {}, ", count(n), if n == 1 { "row" } else { "rows" })).unwrap_or_default();
    let size = format!("{rows}{}", size(table.bytes));
    let takes = |what: &str, lock: Lock, bytes: u64, each_second: u64| {
        format!(": {what} takes {} {lock} lock for {}", article(lock), lasts(bytes / each_second))
    };
    let work = match effect {
        Effect::Rewrites => takes("the rewrite", Lock::AccessExclusive, table.bytes, REWRITTEN),
        Effect::Scans(lock) => takes("reading every row", lock, table.heap, SCANNED),
        Effect::Builds(lock) => takes("building the index", lock, table.heap, BUILT),
        Effect::Locks(_)
        | Effect::LocksSeveral
        | Effect::ChangesRows
        | Effect::AddsRows
        | Effect::FailsOnRows
        | Effect::Loses
        | Effect::Breaks
        | Effect::Fails
        | Effect::NeedsRights
        | Effect::Unmeasured => String::new(),
    };
    format!("In {place} `{name}` has {size}{work}{}", queue(effect, table))
}

fn article(lock: Lock) -> &'static str {
    if matches!(lock, Lock::AccessShare | Lock::AccessExclusive | Lock::Exclusive) { "an" } else { "a" }
}

fn queue(effect: Effect, table: &TableFacts) -> String {
    match table.held {
        Some(seconds) if seconds >= LONG && takes_lock(effect) => format!(
            "; a transaction that had been open for {} held the table when it was looked at: the lock waits for its end, and everyone else behind the lock",
            lasts(seconds)
        ),
        _ => String::new(),
    }
}

/// A number as people say it.
fn count(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{} k", n / 1000),
        1_000_000..10_000_000 => format!("{}.{} M", n / 1_000_000, n / 100_000 % 10),
        _ => format!("{} M", n / 1_000_000),
    }
}

fn size(bytes: u64) -> String {
    const KB: u64 = 1024;
    const GB: u64 = 1024 * MB;
    match bytes {
        0..MB => format!("{} kB", bytes.div_ceil(KB)),
        MB..GB => format!("{} MB", bytes / MB),
        _ if bytes < 10 * GB => format!("{}.{} GB", bytes / GB, bytes % GB * 10 / GB),
        _ => format!("{} GB", bytes / GB),
    }
}

fn lasts(seconds: u64) -> String {
    match seconds {
        0 => "less than a second".to_owned(),
        1..100 => format!("about {seconds} s"),
        100..6_000 => format!("about {} min", (seconds + 30) / 60),
        _ => format!("about {} h", (seconds + 1800) / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::sample;

    const GB: u64 = 1024 * MB;

    fn table(name: &str, rows: Option<u64>, bytes: u64, held: Option<u64>) -> TableFacts {
        TableFacts { schema: "public".into(), name: name.into(), visible: true, rows, heap: bytes / 2, bytes, held }
    }

    fn place(environment: &str, read: Result<Vec<TableFacts>, &str>) -> PlaceFacts {
        PlaceFacts {
            environment: Some(EnvironmentName::new(environment).unwrap()),
            target: TargetName::new("shop").unwrap(),
            at: DateTime::UNIX_EPOCH,
            read: read
                .map(|tables| TargetFacts { version: "15".into(), active: 3, longest: 0, tables })
                .map_err(str::to_owned),
        }
    }

    fn weighed(sql: &str, facts: &[PlaceFacts]) -> (Risk, Vec<String>) {
        let (report, set) = sample(&[("0001_m.up.sql", sql), ("0001_m.down.sql", "select now();")]);
        let weighed = weigh(report, &set, facts);
        assert_eq!(weighed.risk, weighed.migrations[0].risk);
        (weighed.risk, weighed.violations.into_iter().map(|v| v.message).collect())
    }

    const REWRITE: &str = "ALTER TABLE orders ALTER COLUMN total TYPE bigint;";

    #[test]
    fn the_same_statement_is_judged_by_the_table_that_it_meets() {
        let orders = |rows, bytes| place("production", Ok(vec![table("orders", Some(rows), bytes, None)]));
        for (rows, bytes, expected, part) in [
            (
                41_000_000,
                18 * GB,
                Risk::High,
                "In production `orders` has 41 M rows, 18 GB: the rewrite takes an ACCESS EXCLUSIVE lock for about 6 min",
            ),
            (2_500_000, 3 * GB, Risk::High, "2.5 M rows, 3.0 GB"),
            (
                300_000,
                200 * MB,
                Risk::Medium,
                "300 k rows, 200 MB: the rewrite takes an ACCESS EXCLUSIVE lock for about 4 s",
            ),
            (900, MB, Risk::Low, "900 rows, 1 MB: the rewrite takes an ACCESS EXCLUSIVE lock for less than a second"),
            (0, 0, Risk::Low, "In production `orders` is empty"),
        ] {
            let (risk, told) = weighed(REWRITE, &[orders(rows, bytes)]);
            assert_eq!(risk, expected, "{rows} rows: {told:?}");
            assert!(told.iter().any(|m| m.contains(part)), "{told:?}");
        }
    }

    #[test]
    fn the_worst_place_counts_and_what_is_unknown_lowers_nothing() {
        let small = place("staging", Ok(vec![table("orders", Some(3), MB, None)]));
        let large = place("production", Ok(vec![table("orders", Some(41_000_000), 18 * GB, None)]));
        let (risk, told) = weighed(REWRITE, &[small.clone(), large]);
        assert_eq!(risk, Risk::High);
        assert!(told.iter().any(|m| m.contains("In production")), "{told:?}");
        for unknown in [place("production", Err("it does not answer")), place("production", Ok(vec![]))] {
            assert_eq!(weighed(REWRITE, &[small.clone(), unknown.clone()]).0, Risk::High);
            assert_eq!(weighed(REWRITE, &[unknown]).0, Risk::High);
        }
        assert_eq!(weighed(REWRITE, &[]).0, Risk::High);
    }

    #[test]
    fn a_small_table_that_a_long_transaction_holds_is_not_low() {
        let held = place("production", Ok(vec![table("orders", Some(9), MB, Some(840))]));
        let (risk, told) = weighed(REWRITE, &[held]);
        assert_eq!(risk, Risk::Medium);
        assert!(told.iter().any(|m| m.contains("open for about 14 min held the table")), "{told:?}");
    }

    #[test]
    fn size_says_nothing_of_what_is_lost_or_renamed_unless_nothing_is_there() {
        let of = |rows, bytes| [place("production", Ok(vec![table("orders", Some(rows), bytes, None)]))];
        assert_eq!(weighed("DROP TABLE orders;", &of(12, MB)).0, Risk::High);
        assert_eq!(weighed("DROP TABLE orders;", &of(0, 0)).0, Risk::Low);
        assert_eq!(weighed("ALTER TABLE orders RENAME COLUMN a TO b;", &of(0, 0)).0, Risk::High);
        assert_eq!(weighed("GRANT ALL ON orders TO public;", &of(0, 0)).0, Risk::High);
        // A large table raises what the rule alone calls MEDIUM.
        let bulk = "UPDATE orders SET a = 1 WHERE a IS NULL;";
        assert_eq!(weighed(bulk, &of(41_000_000, 18 * GB)).0, Risk::High);
        assert_eq!(weighed(bulk, &of(500, MB)).0, Risk::Low);
    }
}
