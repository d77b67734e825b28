//! The report of pending changes: what is about to change, how dangerous that is, who should hear of it (SPEC 12.1). Pure.

use std::fmt::Write as _;

use serde::Serialize;

use super::{and, count, escape, risk_mark};
use crate::ids::{Engine, EnvironmentName, Risk, RoleName, TargetName};
use crate::lint::{Category, LintReport, Made, Violation, made_by, objects_of};
use crate::migration::{Migration, MigrationSet, execution, operations};

/// Everything that is pending in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// The environment; `None`: of the repository as it is.
    pub environment: Option<EnvironmentName>,
    /// How many migrations.
    pub pending: usize,
    /// The highest risk.
    pub risk: Risk,
    /// What all of them make.
    pub makes: Made,
    /// Each of them, in run order.
    pub migrations: Vec<Change>,
}

/// One pending migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `unit/id`.
    pub reference: String,
    /// Name within its unit.
    pub id: String,
    /// The unit.
    pub unit: String,
    /// The kind of database.
    pub engine: Engine,
    /// The target that takes it.
    pub target: Option<TargetName>,
    /// What it is for [S3-46].
    pub purpose: String,
    /// How many statements or operations.
    pub statements: usize,
    /// What it makes.
    pub makes: Made,
    /// Its risk [S3-47].
    pub risk: Risk,
    /// Why.
    pub reasons: Vec<String>,
    /// The objects it names [S3-48].
    pub objects: Vec<String>,
    /// What it locks, rewrites or scans.
    pub locks: Vec<String>,
    /// What users notice, in words.
    pub downtime: String,
    /// What should be tried [S3-49].
    pub tests: Vec<String>,
    /// How it is taken back [S3-50].
    pub rollback: String,
    /// Who hears of it, when, and where [S3-51].
    pub communication: Communication,
}

/// Who hears of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Communication {
    /// Who.
    pub who: Vec<String>,
    /// When.
    pub when: String,
    /// Where.
    pub channel: String,
}

/// What the report is about.
pub struct Question<'a> {
    /// The migrations.
    pub set: &'a MigrationSet,
    /// What the linter says of them.
    pub lint: &'a LintReport,
    /// Which of them are pending.
    pub pending: &'a dyn Fn(&Migration) -> bool,
    /// The environment.
    pub environment: Option<&'a EnvironmentName>,
    /// Who is asked at a risk.
    pub roles: &'a dyn Fn(Risk) -> Vec<RoleName>,
}

/// Puts the report together.
pub fn pending(question: &Question<'_>) -> Pending {
    let migrations: Vec<Change> =
        question.set.migrations.iter().filter(|m| (question.pending)(m)).map(|m| change(question, m)).collect();
    let mut makes = Made::default();
    migrations.iter().for_each(|c| makes += c.makes);
    Pending {
        environment: question.environment.cloned(),
        pending: migrations.len(),
        risk: migrations.iter().map(|c| c.risk).max().unwrap_or(Risk::Low),
        makes,
        migrations,
    }
}

/// How many statements or operations a migration has; one where it cannot be read.
pub fn statements(migration: &Migration) -> usize {
    let text = &migration.up.text;
    if operations::are_operations(migration.engine) {
        return operations::read_each(migration.engine, text).len();
    }
    execution::statements(migration.engine, text).map_or(1, |all| all.len())
}

fn change(question: &Question<'_>, migration: &Migration) -> Change {
    let own: Vec<&Violation> =
        question.lint.violations.iter().filter(|v| migration.files.iter().any(|f| f.path == v.file)).collect();
    let summary = question.lint.migrations.iter().find(|m| m.unit == migration.unit && m.id == migration.id.as_str());
    let risk = summary.map_or(Risk::High, |s| s.risk);
    let locks: Vec<&Violation> = own.iter().copied().filter(|v| v.category == Category::Lock).collect();
    let destroys = own.iter().any(|v| v.category == Category::Destructive && v.risk == Risk::High);
    let env = question.environment.map_or("ENVIRONMENT", |e| e.as_str());
    let id = migration.id.as_str();
    let mut tests =
        vec![format!("`godwit rehearse --only {id}` with `--url` of a scratch server: forward, back, forward")];
    if !locks.is_empty() {
        tests.push("on a copy with production's sizes, under load".to_owned());
    }
    if destroys {
        tests.push("restoring the backup, and counting the rows before and after".to_owned());
    }
    if !migration.checks.is_empty() {
        tests.push(format!("{} of its own, which the run makes", count(migration.checks.len(), "check")));
    }
    let mut who: Vec<String> = (question.roles)(risk).iter().map(ToString::to_string).collect();
    if risk == Risk::High || destroys {
        who.push("the users of what it changes".to_owned());
    }
    let (_, when) = downtime(&locks, risk);
    Change {
        reference: migration.reference(),
        id: id.to_owned(),
        unit: migration.unit.clone(),
        engine: migration.engine,
        target: migration.target.clone(),
        purpose: migration.description.clone().unwrap_or_else(|| migration.name.replace('_', " ")),
        statements: statements(migration),
        makes: made_by(migration),
        risk,
        reasons: summary.map(|s| s.reasons.clone()).unwrap_or_default(),
        objects: objects_of(migration).into_iter().collect(),
        locks: locks.iter().map(|v| format!("{} (line {})", v.message, v.line)).collect(),
        downtime: downtime(&locks, risk).0,
        tests,
        rollback: if migration.is_reversible() && !destroys {
            format!("`godwit rollback {env} {id}`")
        } else if migration.is_reversible() {
            format!("`godwit rollback {env} {id}` brings the form back, and only the backup what was in it")
        } else {
            "no script takes it back: restore the backup, or write a migration that mends it".to_owned()
        },
        communication: Communication { who, when: when.to_owned(), channel: "the pull request".to_owned() },
    }
}

/// What users notice, and when people should hear of it.
fn downtime(locks: &[&Violation], risk: Risk) -> (String, &'static str) {
    let worst = locks.iter().map(|v| v.risk).max();
    let felt = match worst {
        None | Some(Risk::Low) => "none is expected".to_owned(),
        Some(Risk::Medium) => "reads or writes may wait for a moment".to_owned(),
        Some(Risk::High) => "reads or writes wait for as long as it runs".to_owned(),
    };
    let when = match risk {
        Risk::Low => "with the release notes",
        Risk::Medium => "a day before, and when it is done",
        Risk::High => "when the date is set, at the start, while it runs, and when it is done",
    };
    (felt, when)
}

/// What is made, in words: `2 tables, 1 index`; `nothing new`.
pub fn makes(made: Made) -> String {
    let parts: Vec<String> = made
        .parts()
        .into_iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, one, many)| format!("{n} {}", if n == 1 { one } else { many }))
        .collect();
    if parts.is_empty() { "nothing new".to_owned() } else { and(&parts) }
}

/// As Markdown, the form of `docs/PENDING_SCHEMA_CHANGES.md`.
pub fn markdown(report: &Pending) -> String {
    let place = report.environment.as_ref().map_or(String::new(), |e| format!(" in {}", escape::inline(e.as_str())));
    let mut out = format!("# Pending schema changes{place}\n\n");
    let _ = writeln!(out, "**Pending migrations:** {}  ", report.pending);
    let _ = writeln!(out, "**Risk:** {} {}  ", risk_mark(report.risk), report.risk);
    let _ = writeln!(out, "**Total impact:** {}\n", makes(report.makes));
    if report.migrations.is_empty() {
        out.push_str("Nothing is pending.\n");
        return out;
    }
    out.push_str("| what is new | how many |\n|---|---:|\n");
    for (n, _, many) in report.makes.parts() {
        let _ = writeln!(out, "| {many} | {n} |");
    }
    out.push_str("\n| # | migration | engine | risk | statements | new |\n|---:|---|---|---|---:|---|\n");
    for (n, change) in report.migrations.iter().enumerate() {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} {} | {} | {} |",
            n + 1,
            escape::code(&change.reference),
            change.engine,
            risk_mark(change.risk),
            change.risk,
            change.statements,
            makes(change.makes)
        );
    }
    for (n, change) in report.migrations.iter().enumerate() {
        one(&mut out, n + 1, change);
    }
    out
}

fn one(out: &mut String, number: usize, change: &Change) {
    let list = |items: &[String]| items.iter().map(|i| escape::inline(i)).collect::<Vec<_>>().join("; ");
    let _ = writeln!(out, "\n## {number}. {}\n", escape::code(&change.reference));
    let _ = writeln!(out, "* **Purpose:** {}", escape::inline(&change.purpose));
    let reasons =
        if change.reasons.is_empty() { "nothing speaks against it".to_owned() } else { list(&change.reasons) };
    let _ = writeln!(out, "* **Risk:** {} {}: {reasons}", risk_mark(change.risk), change.risk);
    let objects: Vec<String> = change.objects.iter().map(|o| escape::code(o)).collect();
    let _ = writeln!(
        out,
        "* **Impact:** {}; names {}; downtime: {}",
        makes(change.makes),
        if objects.is_empty() { "no object".to_owned() } else { objects.join(", ") },
        change.downtime
    );
    for lock in &change.locks {
        let _ = writeln!(out, "  * {}", escape::inline(lock));
    }
    // Commands stay commands.
    let _ = writeln!(out, "* **Tests needed:** {}", change.tests.join("; "));
    let _ = writeln!(out, "* **Rollback plan:** {}", change.rollback);
    let who =
        if change.communication.who.is_empty() { "the author".to_owned() } else { list(&change.communication.who) };
    let _ =
        writeln!(out, "* **Communication:** {who}; {}; in {}", change.communication.when, change.communication.channel);
}

/// For a terminal.
pub fn text(report: &Pending) -> String {
    let place = report.environment.as_ref().map_or(String::new(), |e| format!(" in {e}"));
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} pending{place}, risk {}: {}",
        count(report.pending, "migration"),
        report.risk,
        makes(report.makes)
    );
    for change in &report.migrations {
        let _ = writeln!(out, "\n{}  {}  {}", change.reference, change.engine, change.risk);
        let _ = writeln!(out, "  {}", change.purpose);
        for reason in &change.reasons {
            let _ = writeln!(out, "  risk: {reason}");
        }
        let _ = writeln!(out, "  {}, {}", count(change.statements, "statement"), makes(change.makes));
        let _ = writeln!(out, "  downtime: {}", change.downtime);
        for test in &change.tests {
            let _ = writeln!(out, "  try: {test}");
        }
        let _ = writeln!(out, "  way back: {}", change.rollback);
        if !change.communication.who.is_empty() {
            let _ = writeln!(out, "  tell: {}; {}", change.communication.who.join(", "), change.communication.when);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::sample;

    #[test]
    fn s3_12_s3_20_s3_46_to_s3_52_the_report_tells_and_counts_once() {
        let (lint, set) = sample(&[
            (
                "0001_a.up.sql",
                "create table a (id bigint primary key, s text);\ncreate index concurrently_free on a (s);",
            ),
            ("0001_a.down.sql", "drop table a;"),
            ("0002_b.up.sql", "-- godwit: risk=HIGH\ncreate type mood as enum ('x');"),
            ("0003_done.up.sql", "create table done (id bigint primary key);"),
        ]);
        let report = pending(&Question {
            set: &set,
            lint: &lint,
            pending: &|m| m.id.as_str() != "0003_done",
            environment: None,
            roles: &|risk| if risk == Risk::High { vec![RoleName::new("dba").unwrap()] } else { Vec::new() },
        });
        assert_eq!((report.pending, report.risk), (2, Risk::High));
        assert_eq!((report.makes.tables, report.makes.columns, report.makes.indexes, report.makes.enums), (1, 2, 1, 1));
        let second = &report.migrations[1];
        assert_eq!(second.communication.who, ["dba", "the users of what it changes"]);
        assert!(second.rollback.contains("no script"), "{}", second.rollback);
        assert_eq!(report.migrations[0].rollback, "`godwit rollback ENVIRONMENT 0001_a`");
        let page = markdown(&report);
        for part in
            ["**Pending migrations:** 2", "1 table, 2 columns, 1 index and 1 enum", "| enums | 1 |", "## 2. `0002_b`"]
        {
            assert!(page.contains(part), "{part} in {page}");
        }
        let told = text(&report);
        assert!(told.starts_with("2 migrations pending, risk HIGH"));
        // Nobody is named for the first one, so nobody is to be told.
        assert!(told.contains("  tell: dba, the users of what it changes; ") && !told.contains("tell: ;"), "{told}");
        assert_eq!(told.matches("tell:").count(), 1, "{told}");
    }
}
