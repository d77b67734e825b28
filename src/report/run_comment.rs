//! The comment about one environment after a run: what happened, what it left behind, what comes next.

use chrono::{DateTime, Utc};

use super::escape::{self, code, prose};
use super::{Links, count, duration};
use crate::approval::Counted;
use crate::config::Region;
use crate::ids::{CommitSha, EnvironmentName, Login, MigrationId, RunId, TargetName};
use crate::migration::MigrationSet;
use crate::migration::naming::quoted;
use crate::plan::{MigrationState, Outcome, RunReport, StepAction, StepError, StepReport};

/// Lines of a server's error that are shown, from the end.
const ERROR_LINES: usize = 60;

/// Lines of what a script said that are shown, from the end.
const NOTICES: usize = 40;

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
    /// It was undone, and stays so until somebody says otherwise.
    Undone,
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
    /// Everyone whose word let it run.
    pub counted: &'a Counted,
    /// What comes next.
    pub next: &'a Next,
    /// Head of the audit chain after the run.
    pub audit_head: Option<&'a str>,
    /// Where links go.
    pub links: &'a Links,
    /// Who may undo it, in words, where the policy says.
    pub rollback: Option<&'a str>,
    /// Whom to ask, by what they are for.
    pub contacts: &'a [(String, String)],
    /// The regions that the run takes one after the other, each with its targets; empty where there are none.
    pub regions: &'a [(Region, Vec<TargetName>)],
    /// The migrations that its commands will be about.
    pub set: &'a MigrationSet,
}

impl RunCommentInput<'_> {
    /// What commands call the migration of a step.
    fn name(&self, step: &StepReport) -> String {
        self.set.name(&step.unit, step.migration.as_str())
    }
}

/// A run that goes on.
#[derive(Debug, Clone)]
pub struct ProgressInput<'a> {
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The run.
    pub run: &'a RunId,
    /// Who or what caused it.
    pub by: &'a str,
    /// When it began.
    pub since: DateTime<Utc>,
    /// When this is said.
    pub now: DateTime<Utc>,
    /// How many migrations are done.
    pub done: usize,
    /// How many there are; none where that is not known yet.
    pub total: usize,
    /// What runs on each target at the moment, with how far a long statement is, in words.
    pub current: &'a [(TargetName, MigrationId, Option<String>)],
    /// Who asked it to stop, if somebody did.
    pub stopping: Option<&'a str>,
}

/// The comment while a run goes on.
pub fn progress(input: &ProgressInput<'_>) -> String {
    let environment = code(input.environment.as_str());
    let far = match input.total {
        0 => "getting ready".to_owned(),
        total => format!("{} of {} done", input.done, count(total, "migration")),
    };
    let mut out = format!("{}\n## 🔄 {environment}: running, {far}\n\n", marker(input.environment));
    for (target, migration, far) in input.current {
        let far = far.as_ref().map(|f| format!(": {}", prose(f))).unwrap_or_default();
        out.push_str(&format!("- {} on {}{far}\n", code(migration.as_str()), code(target.as_str())));
    }
    let took = duration(u64::try_from((input.now - input.since).num_milliseconds()).unwrap_or(0));
    out.push_str(&format!("\nRunning for {took}, {}. Seen {}.\n\n", prose(input.by), input.now.format("%H:%M:%S UTC")));
    match input.stopping {
        Some(by) => out.push_str(&format!("🛑 {} asked it to stop: it ends before its next statement.\n", code(by))),
        None => out.push_str(&format!(
            "{} stops it before its next statement.\n",
            code(&format!("/godwit cancel {}", input.environment))
        )),
    }
    out.push_str(&format!("\n<sub>Run {}</sub>\n", code(input.run.as_str())));
    escape::cut_at(&crate::redact::text(&out), escape::COMMENT_LIMIT, "_This comment is cut._")
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
    out.push_str(&steps(input));
    out.push_str(&said(input));
    out.push_str(&super::health::section(input.report.health.as_ref()));
    out.push_str(&regions(input));
    out.push_str(&notes(input.report));
    out.push_str(&what_next(input));
    out.push_str(&undo(input));
    out.push_str(&record(input));
    out.push_str(&ask(input.contacts));
    let note = escape::link(
        "_This comment is cut; everything stands in the log of the run._",
        input.links.everything.as_deref(),
    );
    escape::cut_at(&crate::redact::text(&out), escape::COMMENT_LIMIT, &note)
}

fn headline(input: &RunCommentInput<'_>) -> String {
    let (mark, text) = ended(input.report);
    format!("## {mark} {}: {text}\n\n", code(input.environment.as_str()))
}

/// How a run ended, in a few words and their mark.
pub(super) fn ended(report: &RunReport) -> (&'static str, String) {
    let applied = report.steps.iter().filter(|s| s.state == MigrationState::Applied).count();
    let undone = report.steps.iter().filter(|s| s.state == MigrationState::RolledBack).count();
    let took = duration(report.duration_ms);
    match report.outcome {
        Outcome::Applied if applied == 0 && undone > 0 => {
            ("↩️", format!("{} undone in {took}", count(undone, "migration")))
        }
        Outcome::Applied => ("✅", format!("{} applied in {took}", count(applied, "migration"))),
        Outcome::Nothing => ("➖", "nothing to do, everything is applied already".to_owned()),
        Outcome::Planned => ("📝", format!("{} planned, nothing was run", count(report.steps.len(), "migration"))),
        Outcome::Failed if stopped(report) => {
            ("🛑", format!("cancelled after {applied} of {}", count(report.steps.len(), "migration")))
        }
        Outcome::Failed if applied > 0 => {
            ("❌", format!("failed after {applied} of {}", count(report.steps.len(), "migration")))
        }
        Outcome::Failed => ("❌", "failed, nothing was applied".to_owned()),
        Outcome::Blocked if waits(report, "turn") => ("⏳", "waits for its turn".to_owned()),
        Outcome::Blocked if stopped(report) => ("🛑", "cancelled before it began".to_owned()),
        Outcome::Blocked if waits(report, "window") => ("⏳", "waits for its maintenance window".to_owned()),
        Outcome::Blocked => ("⛔", "not started".to_owned()),
        Outcome::NeedsHuman => ("🧑‍🔧", "a person is needed: the state of a migration cannot be proved".to_owned()),
    }
}

/// Whether a person stopped it.
fn stopped(report: &RunReport) -> bool {
    report.blocked_by.iter().any(|r| r.reason == "cancelled")
}

fn waits(report: &RunReport, reason: &str) -> bool {
    report.blocked_by.iter().any(|r| r.reason == reason)
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
        code(&input.name(step)),
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
    let name = quoted(&input.name(step)).replace('`', "");
    let command = match step.state {
        MigrationState::NeedsHuman => {
            format!("once you know: `/godwit resolve {environment} {name} applied REASON`, `rolled-back` or `retry`",)
        }
        MigrationState::Pending
        | MigrationState::Running
        | MigrationState::Applied
        | MigrationState::Failed
        | MigrationState::RolledBack => {
            format!(
                "correct the cause, then `/godwit retry {environment}`; a correction of the file is a new pull request. What \
                 comes behind waits until then: to go on without it, once its effect is there by hand or not wanted, \
                 `/godwit resolve {environment} {name} applied REASON`"
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

fn steps(input: &RunCommentInput<'_>) -> String {
    let report = input.report;
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
            code(&input.name(step)),
            code(step.target.as_str()),
            step.statements.len()
        ));
    }
    out.push('\n');
    out
}

/// What the scripts said while they ran, and the queries of theirs that held [S2-75] [S2-89].
fn said(input: &RunCommentInput<'_>) -> String {
    let report = input.report;
    let mut out = String::new();
    for step in &report.steps {
        let name = code(&input.name(step));
        if step.verified > 0 {
            let queries = if step.verified == 1 { "1 query".to_owned() } else { format!("{} queries", step.verified) };
            out.push_str(&format!("- ✔️ {name}: {queries} returned what its script says\n"));
        }
    }
    if !out.is_empty() {
        out.push('\n');
    }
    for step in report.steps.iter().filter(|s| !s.notices.is_empty()) {
        let title = format!(
            "<code>{}</code> said on <code>{}</code>: {}",
            escape::html(&input.name(step)),
            escape::html(step.target.as_str()),
            count(step.notices.len(), "line")
        );
        let lines: Vec<String> = step.notices.iter().map(|n| n.replace(['\n', '\r'], " ")).collect();
        out.push_str(&escape::details(&title, &escape::fence("text", &escape::tail(&lines.join("\n"), NOTICES))));
    }
    out
}

/// What was noticed, such as a migration that is held until somebody releases it.
fn notes(report: &RunReport) -> String {
    let lines: String = report.notes.iter().map(|n| format!("- ℹ️ {}\n", prose(n))).collect();
    if lines.is_empty() { lines } else { format!("{lines}\n") }
}

/// One row for each region: how it went there, and what answers the rules that hold there.
fn regions(input: &RunCommentInput<'_>) -> String {
    if input.regions.is_empty() {
        return String::new();
    }
    let mut out = String::from("| | Region | Targets | Compliance |\n|:-:|---|---|---|\n");
    for (region, targets) in input.regions {
        let steps: Vec<&StepReport> = input.report.steps.iter().filter(|s| targets.contains(&s.target)).collect();
        let all = |state: MigrationState| steps.iter().all(|s| s.state == state);
        let mark = match input.report.outcome {
            _ if steps.iter().any(|s| s.error.is_some()) => "❌",
            Outcome::Applied | Outcome::Nothing if all(MigrationState::RolledBack) && !steps.is_empty() => "↩️",
            Outcome::Applied | Outcome::Nothing => "✅",
            _ if !steps.is_empty() && all(MigrationState::Applied) => "✅",
            Outcome::Planned | Outcome::Failed | Outcome::Blocked | Outcome::NeedsHuman => "·",
        };
        let provider = region.provider.as_ref().map(|p| format!(" ({})", prose(p))).unwrap_or_default();
        let targets: Vec<String> = targets.iter().map(|t| code(t.as_str())).collect();
        let answer = if region.compliance.is_empty() {
            String::new()
        } else {
            let tags: Vec<String> = region.compliance.iter().map(|t| code(t)).collect();
            format!("{}: {}", tags.join(", "), answer(input))
        };
        out.push_str(&format!("| {mark} | {}{provider} | {} | {answer} |\n", code(&region.name), targets.join(", ")));
    }
    out.push('\n');
    out
}

/// What this run has to show where a rule asks who agreed, what was kept and where it is written down.
fn answer(input: &RunCommentInput<'_>) -> String {
    let people: Vec<String> = input.counted.everyone().into_iter().map(person).collect();
    let people = if people.is_empty() {
        "no approval asked for".to_owned()
    } else {
        format!("approved by {}", people.join(", "))
    };
    let backup = input.report.backup.as_ref().map_or_else(|| "no backup".to_owned(), |b| format!("backup {}", code(b)));
    let record = input.audit_head.map_or_else(|| "not recorded yet".to_owned(), |_| "in the audit log".to_owned());
    format!("{people}; {backup}; {record}")
}

fn person(login: &Login) -> String {
    code(&format!("@{login}"))
}

fn what_next(input: &RunCommentInput<'_>) -> String {
    let text = match input.next {
        Next::Starts(environment) => format!("{} starts now.", code(environment.as_str())),
        Next::Waits(environment, reason) => format!("{} waits: {}", code(environment.as_str()), prose(reason)),
        Next::Stops => "the chain stops here; no later environment was touched.".to_owned(),
        Next::Done => "nothing; every environment of this branch has it.".to_owned(),
        Next::Undone => {
            format!("nothing by itself; {} brings it again.", code(&format!("/godwit retry {}", input.environment)))
        }
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
    let command = format!("/godwit rollback {} {}", input.environment, quoted(&input.name(last)));
    let who = input.rollback.map(|who| format!(" {}.", first_upper(&prose(who)))).unwrap_or_default();
    format!("**Undo:** {} takes back the newest one, if it has a rollback.{who}\n\n", code(&command))
}

fn first_upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// Whom to ask, as the repository says [S3-64].
fn ask(contacts: &[(String, String)]) -> String {
    if contacts.is_empty() {
        return String::new();
    }
    let all: Vec<String> = contacts.iter().map(|(what, who)| format!("{} {}", prose(what), code(who))).collect();
    format!("<sub>To ask: {}</sub>\n", all.join(" · "))
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
    let roles =
        input.counted.roles.iter().map(|(role, by)| format!("{} {}", person(by), escape::inline(role.as_str())));
    let people: Vec<String> = roles.chain(input.counted.besides.iter().map(person)).collect();
    if !people.is_empty() {
        rows.push(("Approved by", people.join(", ")));
    }
    let gates: Vec<String> = input
        .counted
        .gates
        .iter()
        .map(|(name, by)| format!("{}: {}", escape::inline(name), by.iter().map(person).collect::<Vec<_>>().join(", ")))
        .collect();
    if !gates.is_empty() {
        rows.push(("Besides the matrix", gates.join("<br>")));
    }
    rows.push(("Backup", report.backup.as_ref().map_or_else(|| "none".to_owned(), |b| code(b))));
    if let (Some(backup), Some(environment)) = (&report.backup, &report.environment) {
        let commands: Vec<String> =
            backup.split(", ").map(|file| code(&format!("godwit restore {environment} {file}"))).collect();
        rows.push(("Brings it back", commands.join("<br>")));
    }
    if let Some(environment) = &report.environment {
        let commands = ["status", "drift", "doctor"].map(|verb| code(&format!("godwit {verb} {environment}")));
        rows.push(("To see for oneself", commands.join("<br>")));
    }
    if let Some(head) = input.audit_head {
        rows.push(("Audit head", code(head)));
    }
    let body: String = rows.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect();
    let summary = format!("Record of this run, {}", escape::html(&duration(report.duration_ms)));
    escape::details(&summary, &format!("| | |\n|---|---|\n{body}"))
}
