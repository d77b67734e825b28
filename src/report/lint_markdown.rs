//! A lint report as Markdown for a job summary.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::lint::{LintReport, Severity, Violation, secrets};
use crate::migration::{Migration, MigrationSet, Script, operations};

use super::escape::{code, details, fence, html, prose};
use super::irreversible;
use super::lint_text::summary;

/// Bytes that GitHub takes for one step's summary; above it the whole upload fails.
pub const SUMMARY_LIMIT: usize = 1024 * 1024;
/// Room kept for the sentence about what was left out (bytes).
const TAIL: usize = 512;

/// The report in at most `limit` bytes: the risk with its reasons per migration, then the findings, worst first.
pub fn render(report: &LintReport, limit: usize) -> String {
    let mut out = String::from("## Godwit lint\n\n");
    let _ = writeln!(out, "{}.\n", prose(&summary(report)));
    let limit = limit.saturating_sub(TAIL);
    let mut left_out = 0;
    if !report.migrations.is_empty() {
        out.push_str("| migration | engine | risk | undo | why |\n|---|---|---|---|---|\n");
        for migration in &report.migrations {
            let why = migration.reasons.first().map(String::as_str).unwrap_or("");
            let more = migration.reasons.len().saturating_sub(1);
            let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            let row = format!(
                "| {} | {} | {} | {} | {}{more} |\n",
                code(&migration.id),
                migration.engine,
                migration.risk,
                if migration.reversible { "yes" } else { "no" },
                prose(&cut(why)),
            );
            // Half of the room is for the findings.
            if out.len() + row.len() > limit / 2 {
                left_out += 1;
            } else {
                out.push_str(&row);
            }
        }
        out.push('\n');
    }
    let mut sorted: Vec<&Violation> = report.violations.iter().collect();
    sorted.sort_by_key(|v| std::cmp::Reverse((v.severity, v.risk)));
    if sorted.is_empty() {
        out.push_str("No findings.\n");
    } else {
        out.push_str("| | rule | where | what | help |\n|---|---|---|---|---|\n");
        for v in sorted {
            let level = match v.severity {
                Severity::Error => "🔴 error",
                Severity::Warning => "🟡 warning",
                Severity::Info => "🔵 note",
            };
            let waived = match &v.waived {
                Some(reason) => format!(" — waived: {}", prose(&cut(reason))),
                None => String::new(),
            };
            let row = format!(
                "| {level} | {} | {}:{} | {}{waived} | {} |\n",
                code(&v.rule),
                code(&v.file),
                v.line,
                prose(&cut(&v.message)),
                prose(&cut(v.help.as_deref().unwrap_or(""))),
            );
            if out.len() + row.len() > limit {
                left_out += 1;
            } else {
                out.push_str(&row);
            }
        }
    }
    if left_out > 0 {
        let _ = writeln!(out, "\n{left_out} more rows do not fit here; `godwit lint` prints all of them.");
    }
    out
}

/// A script as it stands, or its operations in words.
fn shown(migration: &Migration, script: &Script, forward: bool) -> String {
    if !operations::are_operations(migration.engine) {
        return fence("sql", &secrets::masked(&script.text));
    }
    let listed = operations::read(migration.engine, &script.text).unwrap_or_default();
    let mut text = String::new();
    for located in &listed {
        let _ = writeln!(text, "{}", located.operation.describe());
        if forward && let Some(why) = irreversible(&located.operation) {
            let _ = writeln!(text, "  irreversible: {why}");
        }
    }
    fence("text", &text)
}

/// The scripts of the report's migrations, folded, in the order in which they would run; within `limit` bytes.
pub fn scripts(report: &LintReport, set: &MigrationSet, limit: usize) -> String {
    let mut out = String::from("\n### What would run, in order\n\n");
    let by_name: HashMap<String, &Migration> = set.migrations.iter().map(|m| (m.reference(), m)).collect();
    let mut left_out = 0;
    for (n, summary) in report.migrations.iter().enumerate() {
        let reference =
            if summary.unit.is_empty() { summary.id.clone() } else { format!("{}/{}", summary.unit, summary.id) };
        let Some(migration) = by_name.get(&reference) else { continue };
        let how = if summary.transactional { "one transaction" } else { "statement by statement" };
        let mut body = shown(migration, &migration.up, true);
        if let Some(down) = &migration.down {
            body.push_str("\nUndone by:\n\n");
            body.push_str(&shown(migration, down, false));
        }
        let block = details(&format!("{}. {} ({}, {how})", n + 1, html(&reference), summary.engine), &body);
        if out.len() + block.len() + TAIL > limit {
            left_out += 1;
        } else {
            out.push_str(&block);
        }
    }
    if left_out > 0 {
        let _ = writeln!(out, "\n{left_out} more scripts do not fit here.");
    }
    if report.migrations.is_empty() { String::new() } else { out }
}

/// A cell's text in bounds.
fn cut(text: &str) -> String {
    const MOST: usize = 500;
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::sample;

    #[test]
    fn the_limit_holds_and_says_so() {
        let many = "update t set a = 1;\n".repeat(2000);
        let (report, _) = sample(&[("0001_a.up.sql", &many)]);
        let text = render(&report, 20_000);
        assert!(text.len() <= 20_000, "{}", text.len());
        assert!(text.contains("more rows do not fit"), "{text}");
        assert!(render(&report, SUMMARY_LIMIT).len() < SUMMARY_LIMIT);
    }
}
