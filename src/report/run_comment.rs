//! The comment about one environment after a run: what happened, what it left behind, what comes next.

use super::escape::{self, code, prose};
use super::{Links, count, duration};
use crate::ids::{CommitSha, EnvironmentName, Login, RoleName};
use crate::plan::{MigrationState, Outcome, RunReport, StepAction, StepError, StepReport};

/// Lines of a server's error that are shown, from the end.
const ERROR_LINES: usize = 60;

/// What becomes of the environments after this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It starts by itself.
    Starts(EnvironmentName),
    /// It waits, for this reason.
    Waits(EnvironmentName, String),
    /// The chain stops here.
    Stops,
    /// This was the last one.
    Done,
}

/// Everything the comment is made from.
#[derive(Debug, Clone)]
pub struct RunCommentInput<'a> {
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// What came of the run.
    pub report: &'a RunReport,
    /// The commit the migrations were read at.
    pub commit: &'a CommitSha,
    /// Who or what caused the run, such as `merge by @ann`.
    pub by: &'a str,
    /// Which person filled which role.
    pub approved_by: &'a [(RoleName, Login)],
    /// What comes next.
    pub next: &'a Next,
    /// Head of the audit chain after the run.
    pub audit_head: Option<&'a str>,
    /// Where links go.
    pub links: &'a Links,
}

/// First line of the comment of an environment, by which the bot finds its own again.
pub fn marker(environment: &EnvironmentName) -> String {
    format!("<!-- godwit:run:{environment} -->")
}

/// The comment, at most [`escape::COMMENT_LIMIT`] characters. What went wrong stands before everything long.
pub fn result(input: &RunCommentInput<'_>) -> String {
    let mut out = format!("{}\n{}", marker(input.environment), headline(input));
    out.push_str(&failure(input));
    out.push_str(&earlier(input.report));
    out.push_str(&steps(input.report));
    out.push_str(&super::health::section(input.report.health.as_ref()));
    out.push_str(&what_next(input));
    out.push_str(&undo(input));
    out.push_str(&record(input));
    let note = escape::link(
        "_This comment is cut; everything stands in the log of the run._",
        input.links.everything.as_deref(),
    );
    escape::cut_at(&crate::redact::text(&out), escape::COMMENT_LIMIT, &note)
}

fn headline(input: &RunCommentInput<'_>) -> String {
    let report = input.report;
    let applied = report.steps.iter().filter(|s| s.state == MigrationState::Applied).count();
    let undone = report.steps.iter().filter(|s| s.state == MigrationState::RolledBack).count();
    let took = duration(report.duration_ms);
    let (mark, text) = match report.outcome {
        Outcome::Applied if applied == 0 && undone > 0 => {
            ("↩️", format!("{} undone in {took}", count(undone, "migration")))
        }
        Outcome::Applied => ("✅", format!("{} applied in {took}", count(applied, "migration"))),
        Outcome::Nothing => ("➖", "nothing to do, everything is applied already".to_owned()),
        Outcome::Planned => ("📝", format!("{} planned, nothing was run", count(report.steps.len(), "migration"))),
        Outcome::Failed if applied > 0 => {
            ("❌", format!("failed after {applied} of {}", count(report.steps.len(), "migration")))
        }
        Outcome::Failed => ("❌", "failed, nothing was applied".to_owned()),
        Outcome::Blocked => ("⛔", "not started".to_owned()),
        Outcome::NeedsHuman => ("🧑‍🔧", "a person is needed: the state of a migration cannot be proved".to_owned()),
    };
    format!("## {mark} {}: {text}\n\n", code(input.environment.as_str()))
}

/// What went wrong and what to do, before the table.
fn failure(input: &RunCommentInput<'_>) -> String {
    let mut out = String::new();
    for refusal in &input.report.blocked_by {
        out.push_str(&format!("{}.\n\n**What to do:** {}\n\n", prose(&refusal.message), prose(&refusal.what_to_do)));
    }
    for step in &input.report.steps {
        if let Some(error) = &step.error {
            out.push_str(&step_failure(input, step, error));
        }
    }
    out
}

fn step_failure(input: &RunCommentInput<'_>, step: &StepReport, error: &StepError) -> String {
    let code_word = error.code.as_ref().map(|c| format!(" ({})", code(c))).unwrap_or_default();
    let mut out = format!(
        "**{}** on {} failed at {}{code_word}:\n\n{}\n",
        code(step.migration.as_str()),
        code(step.target.as_str()),
        input.links.line(&error.file, error.line),
        escape::fence("text", &escape::tail(&error.message, ERROR_LINES))
    );
    out.push_str(match (step.state, error.undone) {
        (MigrationState::NeedsHuman, _) => {
            "⚠️ **What it left behind is not known.** Look at the database before anything else runs.\n"
        }
        (_, true) => "↩️ Everything this migration did was undone.\n",
        (_, false) => "⚠️ **Part of it may remain.**\n",
    });
    if let Some(hint) = &error.hint {
        out.push_str(&format!("💡 {}\n", prose(hint)));
    }
    let environment = input.environment;
    let command = match step.state {
        MigrationState::NeedsHuman => format!(
            "once you know: `/godwit resolve {environment} {} applied REASON`, `rolled-back` or `retry`",
            step.migration.as_str().replace('`', "")
        ),
        MigrationState::Pending
        | MigrationState::Running
        | MigrationState::Applied
        | MigrationState::Failed
        | MigrationState::RolledBack => {
            format!(
                "correct the cause, then `/godwit retry {environment}`; a correction of the file is a new pull request"
            )
        }
    };
    out.push_str(&format!("\n**What to do:** {}\n\n", prose(&command)));
    out
}

/// Whose work it partly is, where a run was cut short before it could tell.
fn earlier(report: &RunReport) -> String {
    if report.ended.is_empty() {
        return String::new();
    }
    let runs: Vec<String> = report.ended.iter().map(|r| code(r.as_str())).collect();
    format!("Run {} was cut short; what it had applied stands here, and nothing of it ran twice.\n\n", runs.join(", "))
}

fn steps(report: &RunReport) -> String {
    if report.steps.is_empty() {
        return String::new();
    }
    let mut out = String::from("| | Migration | Target | Statements | Time |\n|:-:|---|---|--:|--:|\n");
    for step in &report.steps {
        let (mark, time) = match step.state {
            MigrationState::Applied => ("✅", duration(step.duration_ms)),
            MigrationState::RolledBack => ("↩️", duration(step.duration_ms)),
            MigrationState::Failed => ("❌", duration(step.duration_ms)),
            MigrationState::NeedsHuman => ("🧑‍🔧", duration(step.duration_ms)),
            MigrationState::Running => ("🔄", "running".to_owned()),
            MigrationState::Pending => ("·", "not reached".to_owned()),
        };
        let action = match step.action {
            StepAction::Apply => "",
            StepAction::Rollback => " (undo)",
            StepAction::Baseline => " (recorded, not run)",
            StepAction::Undo => " (taken back)",
        };
        out.push_str(&format!(
            "| {mark} | {}{action} | {} | {} | {time} |\n",
            code(step.migration.as_str()),
            code(step.target.as_str()),
            step.statements.len()
        ));
    }
    out.push('\n');
    out
}

fn what_next(input: &RunCommentInput<'_>) -> String {
    let text = match input.next {
        Next::Starts(environment) => format!("{} starts now.", code(environment.as_str())),
        Next::Waits(environment, reason) => format!("{} waits: {}", code(environment.as_str()), prose(reason)),
        Next::Stops => "the chain stops here; no later environment was touched.".to_owned(),
        Next::Done => "nothing; every environment of this branch has it.".to_owned(),
    };
    format!("**Next:** {text}\n\n")
}

/// How to take it back, after a success.
fn undo(input: &RunCommentInput<'_>) -> String {
    let applied: Vec<&StepReport> = input
        .report
        .steps
        .iter()
        .filter(|s| s.state == MigrationState::Applied && s.action == StepAction::Apply)
        .collect();
    let Some(last) = applied.last() else { return String::new() };
    let command = format!("/godwit rollback {} {}", input.environment, last.migration);
    format!("**Undo:** {} takes back the newest one, if it has a rollback.\n\n", code(&command))
}

/// What an auditor looks for.
fn record(input: &RunCommentInput<'_>) -> String {
    let report = input.report;
    let mut rows = vec![
        ("Run", code(report.run.as_str())),
        ("Commit", code(input.commit.as_str())),
        ("Digest", code(report.digest.as_str())),
        ("Risk", report.risk.to_string()),
        ("Started by", prose(input.by)),
    ];
    if !input.approved_by.is_empty() {
        let people: Vec<String> = input
            .approved_by
            .iter()
            .map(|(role, login)| format!("{} {}", code(&format!("@{login}")), escape::inline(role.as_str())))
            .collect();
        rows.push(("Approved by", people.join(", ")));
    }
    rows.push(("Backup", report.backup.as_ref().map_or_else(|| "none".to_owned(), |b| code(b))));
    if let (Some(backup), Some(environment)) = (&report.backup, &report.environment) {
        let commands: Vec<String> =
            backup.split(", ").map(|file| code(&format!("godwit restore {environment} {file}"))).collect();
        rows.push(("Brings it back", commands.join("<br>")));
    }
    if let Some(head) = input.audit_head {
        rows.push(("Audit head", code(head)));
    }
    let body: String = rows.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect();
    let summary = format!("Record of this run, {}", escape::html(&duration(report.duration_ms)));
    escape::details(&summary, &format!("| | |\n|---|---|\n{body}"))
}
