//! What was looked at around a run, for a terminal and for the comment about an environment.

use std::fmt::Write as _;

use super::escape::{self, code, prose};
use crate::plan::health::{Check, CheckStatus, Health, Level, Measured};

/// Checks that every run of an environment makes; said only when they fail.
const PLAIN: [&str; 4] = ["connectivity", "migration-status", "prisma-client", "monitoring"];

/// For a terminal: what is worth saying, or everything.
pub fn lines(health: &Health, all: bool) -> String {
    let mut out = String::new();
    for (when, measured) in [("before", &health.before), ("after", &health.after)] {
        for value in measured.iter().filter(|m| all || m.level != Level::Ok) {
            let _ = writeln!(out, "  health {when}: {}{}", value.words(), level_word(value.level));
        }
    }
    for check in health.checks.iter().filter(|c| all || is_worth_saying(c)) {
        let _ = writeln!(out, "  check {}: {}", check.status.as_str(), check.words());
    }
    out
}

fn is_worth_saying(check: &Check) -> bool {
    let plain = PLAIN.contains(&check.name.as_str());
    match check.status {
        CheckStatus::Failed => true,
        CheckStatus::Passed => !plain,
        // That the monitoring did not answer is worth knowing.
        CheckStatus::Skipped => !plain || check.name == "monitoring",
    }
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::Ok => "",
        Level::Warning => ", warning",
        Level::Critical => ", critical",
    }
}

/// For the comment: the checks and the values, folded away when all is well.
pub fn section(health: Option<&Health>) -> String {
    let Some(health) = health.filter(|h| !h.checks.is_empty() || !h.before.is_empty()) else { return String::new() };
    let mut body = String::new();
    if !health.checks.is_empty() {
        body.push_str("| | Check | Database | |\n|:-:|---|---|---|\n");
        for check in &health.checks {
            let mark = match check.status {
                CheckStatus::Passed => "✅",
                CheckStatus::Failed => "❌",
                CheckStatus::Skipped => "·",
            };
            let target = check.target.as_ref().map_or(String::new(), |t| code(t.as_str()));
            let message = prose(&check.message);
            let _ = writeln!(body, "| {mark} | {} | {target} | {message} |", prose(&check.name));
        }
        body.push('\n');
    }
    body.push_str(&values(health));
    let bad = health.failed().count();
    let high = health.before.iter().chain(&health.after).filter(|m| m.level != Level::Ok).count();
    if bad + high == 0 {
        let passed = health.checks.iter().filter(|c| c.status == CheckStatus::Passed).count();
        return escape::details(&format!("Health: {} passed", super::count(passed, "check")), &body);
    }
    format!("**Health**\n\n{body}\n")
}

fn values(health: &Health) -> String {
    let mut rows: Vec<&Measured> = Vec::new();
    for value in health.before.iter().chain(&health.after) {
        if !rows.iter().any(|r| r.target == value.target && r.vital == value.vital) {
            rows.push(value);
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let of = |all: &[Measured], like: &Measured| {
        let found = all.iter().find(|m| m.target == like.target && m.vital == like.vital);
        found.map_or("–".to_owned(), |m| {
            let mark = match m.level {
                Level::Ok => "",
                Level::Warning => " ⚠️",
                Level::Critical => " ❌",
            };
            format!("{} {}{mark}", m.value, m.unit).replace("  ", " ")
        })
    };
    let mut out = String::from("| Value | Database | Before | After |\n|---|---|--:|--:|\n");
    for row in rows {
        let target = row.target.as_ref().map_or(String::new(), |t| code(t.as_str()));
        let _ = writeln!(
            out,
            "| {} | {target} | {} | {} |",
            code(row.vital.as_str()),
            of(&health.before, row),
            of(&health.after, row)
        );
    }
    out
}

/// First line of the comment that tells of a critical value after a run.
pub fn watch_marker(environment: &str) -> String {
    format!("<!-- godwit:watch:{environment} -->")
}

/// The comment that tells of a critical value in the minutes after a run.
pub fn watched(environment: &crate::ids::EnvironmentName, minutes: i64, critical: &str) -> String {
    format!(
        "{}\n⚠️ **{} fares badly {} after the run:** {}.\n\nNothing was done about it. To take the run back: \
         `/godwit rollback {environment} MIGRATION`.\n",
        watch_marker(environment.as_str()),
        code(environment.as_str()),
        super::count(usize::try_from(minutes).unwrap_or(0), "minute"),
        prose(critical)
    )
}
