//! The summary comment of a pull request: what is asked of whom, what would run, what was found. What people must do
//! stands first, so that a cut never hides it.

use super::arrival::{self, Arrival, Stand};
use super::checklist::{self, Checklist};
use super::escape::{self, code, prose};
use super::{EnvironmentPlan, Links, and, count, irreversible, operation_of, risk_mark};
use crate::approval::{EnvironmentVerdict, Evaluation, PullRequestSnapshot, Source, Status, Verdict};
use crate::config::ConfigError;
use crate::ids::{Login, Risk};
use crate::lint::{LintReport, MigrationSummary, Violation, secrets};
use crate::migration::Severity;
use crate::migration::naming::Names;
use crate::migration::operations::are_operations;
use crate::plan::{RecoveryClass, Refusal, Step, StepAction};

/// First line of the comment, by which the bot finds its own again.
pub const MARKER: &str = "<!-- godwit:summary -->";

/// Findings that the table shows; the rest is counted.
const FINDINGS_SHOWN: usize = 25;
/// Statements of one migration that the plan shows.
const STATEMENTS_SHOWN: usize = 40;
/// Characters of one statement that the plan shows.
const STATEMENT_CHARS: usize = 4_000;

/// Everything the comment is made from.
#[derive(Debug, Clone)]
pub struct SummaryInput<'a> {
    /// The pull request as it was judged.
    pub snapshot: &'a PullRequestSnapshot,
    /// What the linter found.
    pub lint: &'a LintReport,
    /// The verdict; `None` when the policy could not be read.
    pub verdict: Option<&'a Verdict>,
    /// What a merge would do, in promotion order.
    pub plans: &'a [EnvironmentPlan],
    /// How the environments of its branch stand, where it is merged.
    pub arrivals: Option<&'a [Arrival]>,
    /// What needs what, as Mermaid, where something is declared.
    pub graph: Option<String>,
    /// What is looked at before the environments that ask for it.
    pub checklists: &'a [Checklist],
    /// Why the policy could not be read.
    pub config_errors: &'a [ConfigError],
    /// Where links go.
    pub links: &'a Links,
}

/// The comment, at most [`escape::COMMENT_LIMIT`] characters.
pub fn summary(input: &SummaryInput<'_>) -> String {
    let mut out = format!("{MARKER}\n");
    out.push_str(&headline(input));
    out.push_str(&broken_policy(input));
    if let Some(arrivals) = input.arrivals {
        out.push_str(&arrival::section(arrivals));
        out.push_str(&ways_back(input, arrivals));
    }
    if let Some(verdict) = input.verdict {
        out.push_str(&approvals(input, verdict));
    }
    out.push_str(&migrations(input));
    if let Some(graph) = &input.graph {
        out.push_str(&escape::details("What needs what", &escape::fence("mermaid", graph)));
    }
    out.push_str(&findings(input.lint, input.links));
    out.push_str(&plans(input));
    if let Some(verdict) = input.verdict {
        if input.arrivals.is_none() {
            out.push_str(&on_merge(input, verdict));
        }
        out.push_str(&checklists(input.checklists));
        out.push_str(&remarks(verdict));
    }
    out.push_str(&footer(input));
    let note =
        escape::link("_This comment is cut; everything stands in the check run._", input.links.everything.as_deref());
    escape::cut_at(&crate::redact::text(&out), escape::COMMENT_LIMIT, &note)
}

/// What a reader must know if they read one line only.
fn headline(input: &SummaryInput<'_>) -> String {
    let errors = input.lint.violations.iter().filter(|v| is_blocking(v)).count();
    let refused = super::check_run::refusals(input);
    let (mark, text) = match input.verdict {
        _ if !input.config_errors.is_empty() => {
            let lacks = if input.snapshot.merged { "runs" } else { "can be approved" };
            ("⛔", format!("the policy cannot be read, so nothing {lacks}"))
        }
        None => ("⛔", "this pull request could not be judged".to_owned()),
        Some(_) if errors > 0 => ("❌", format!("{} to fix before anyone is asked", count(errors, "error"))),
        Some(verdict) if verdict.status != Status::Disapproved && !refused.is_empty() => {
            let mut names: Vec<String> = refused.iter().map(|(plan, _)| code(plan.environment.as_str())).collect();
            names.dedup();
            ("⛔", format!("nothing can run in {}", and(&names)))
        }
        Some(verdict) => (mark(verdict.status, input.snapshot.draft), prose(&lower_first(&verdict.summary))),
    };
    let (mark, text, turn) = match input.arrivals {
        Some(arrivals) => arrival::headline(arrivals),
        None if refused.is_empty() => (mark, text, whose_turn(input, errors)),
        None => (mark, text, "the author's turn".to_owned()),
    };
    let risk = if input.lint.migrations.is_empty() {
        String::new()
    } else {
        let migrations = count(input.lint.migrations.len(), "migration");
        let risk = risk(input);
        format!("{} **{risk}** risk · {migrations} · ", risk_mark(risk))
    };
    format!("## {mark} Godwit: {text}\n\n{risk}{turn}\n\n")
}

fn whose_turn(input: &SummaryInput<'_>, errors: usize) -> String {
    if !input.config_errors.is_empty() {
        return "the policy is read from the base branch; fix it there".to_owned();
    }
    if errors > 0 {
        return "the author's turn".to_owned();
    }
    match input.verdict.map(|v| v.status) {
        None => "see below".to_owned(),
        Some(Status::Approved) => "ready to merge".to_owned(),
        Some(Status::Pending) => "the reviewers' turn".to_owned(),
        Some(Status::Disapproved) => "blocked".to_owned(),
        Some(Status::Skipped) => "not asked yet".to_owned(),
    }
}

/// The risk that was judged: raised by a label where one was set.
fn risk(input: &SummaryInput<'_>) -> Risk {
    let labelled = crate::approval::labelled_risk(&input.snapshot.labels).unwrap_or(Risk::Low);
    let bound = input.snapshot.binding.as_ref().map_or(Risk::Low, |b| b.risk);
    input.lint.risk.max(labelled).max(bound)
}

fn broken_policy(input: &SummaryInput<'_>) -> String {
    if input.config_errors.is_empty() {
        return String::new();
    }
    let mut out = String::from("### Policy\n\n| Where | What |\n|---|---|\n");
    for error in input.config_errors {
        let place = match error.line {
            Some(line) => format!("{}:{line}", error.file),
            None => error.file.clone(),
        };
        out.push_str(&format!("| {} | {} |\n", code(&place), prose(&error.message)));
    }
    out.push('\n');
    out
}

/// Who has approved, who is missing, for which environment (B-15).
fn approvals(input: &SummaryInput<'_>, verdict: &Verdict) -> String {
    let nothing = verdict.gates.is_empty()
        && verdict.environments.iter().all(|e| e.evaluation.status == Status::Skipped)
        && !input.snapshot.draft;
    if nothing || input.snapshot.draft {
        return String::new();
    }
    let mut out = String::from("### Approvals\n\n| For | | Approved by | Still missing |\n|---|:-:|---|---|\n");
    for environment in &verdict.environments {
        if environment.evaluation.status != Status::Skipped {
            out.push_str(&environment_row(input, environment));
        }
    }
    for gate in &verdict.gates {
        out.push_str(&gate_row(gate));
    }
    out.push('\n');
    let others: Vec<&EnvironmentVerdict> =
        verdict.environments.iter().filter(|e| e.evaluation.status == Status::Skipped).collect();
    for environment in others {
        out.push_str(&format!(
            "<sub>➖ {}: {}</sub>\n",
            code(environment.environment.as_str()),
            prose(&environment.evaluation.reason)
        ));
    }
    if !out.ends_with("\n\n") {
        out.push('\n');
    }
    out
}

fn environment_row(input: &SummaryInput<'_>, verdict: &EnvironmentVerdict) -> String {
    let evaluation = &verdict.evaluation;
    let needed = verdict.required_approvals.max(u32::try_from(verdict.required_roles.len()).unwrap_or(u32::MAX));
    let mut by: Vec<String> = verdict
        .required_roles
        .iter()
        .filter_map(|role| {
            let login = verdict.filled.get(role)?;
            Some(format!(
                "{} {}{}",
                code(&format!("@{login}")),
                escape::inline(role.as_str()),
                way(input, verdict, login)
            ))
        })
        .collect();
    by.extend(
        evaluation
            .approvers
            .iter()
            .filter(|p| !verdict.filled.values().any(|f| f == *p))
            .map(|p| format!("{}{}", code(&format!("@{p}")), way(input, verdict, p))),
    );
    let counted = if needed == 0 {
        "nobody is asked".to_owned()
    } else {
        format!("{} of {needed}", by.len().min(needed as usize))
    };
    let by = if by.is_empty() { counted } else { format!("{counted}: {}", by.join(", ")) };
    let missing = match evaluation.status {
        Status::Skipped | Status::Approved => String::new(),
        Status::Pending => missing(&evaluation.missing, ""),
        // Naming people would be wrong here: no approval of theirs changes it.
        Status::Disapproved => prose(&evaluation.reason),
    };
    let manual = if verdict.automatic { "" } else { " <sub>on promotion</sub>" };
    let name = code(verdict.environment.as_str());
    format!("| **{name}**{manual} | {} | {by} | {missing} |\n", mark(evaluation.status, false))
}

/// In which way an approval came, where it was no review.
fn way(input: &SummaryInput<'_>, verdict: &EnvironmentVerdict, login: &Login) -> String {
    let ways: Vec<&str> = verdict
        .sources
        .get(login)
        .into_iter()
        .flatten()
        .filter_map(|source| match source {
            Source::Review => None,
            Source::Label => Some("by label"),
            Source::Cli => Some("by command line"),
            Source::Api => Some("by API"),
            Source::Auto => Some("auto"),
        })
        .collect();
    let own = if input.snapshot.author.as_ref() == Some(login) { ", the author" } else { "" };
    if ways.is_empty() { own.to_owned() } else { format!("{own} ({})", ways.join(", ")) }
}

fn gate_row(gate: &Evaluation) -> String {
    let by: Vec<String> = gate.approvers.iter().map(|p| code(&format!("@{p}"))).collect();
    let missing = match gate.status {
        Status::Skipped | Status::Approved => String::new(),
        Status::Pending | Status::Disapproved => missing(&gate.missing, &gate.reason),
    };
    format!("| {} | {} | {} | {missing} |\n", escape::inline(&gate.name), mark(gate.status, false), by.join(", "))
}

fn missing(missing: &[String], otherwise: &str) -> String {
    if missing.is_empty() {
        return prose(otherwise);
    }
    missing.iter().map(|m| prose(m)).collect::<Vec<_>>().join("<br>")
}

/// Each migration: risk, why, and whether it can be undone.
fn migrations(input: &SummaryInput<'_>) -> String {
    if input.lint.migrations.is_empty() {
        return String::new();
    }
    let names = Names::of(input.lint.migrations.iter().map(|m| (m.unit.as_str(), m.id.as_str())));
    let mut out = String::from("### Migrations\n\n| Migration | Risk | Why | Undo |\n|---|---|---|---|\n");
    for migration in &input.lint.migrations {
        let target = migration.target.as_ref().map(|t| format!(" → {}", code(t.as_str()))).unwrap_or_default();
        let mut why: Vec<String> = migration.reasons.iter().take(3).map(|r| prose(r)).collect();
        if migration.reasons.len() > 3 {
            why.push(format!("and {} more", migration.reasons.len() - 3));
        }
        let why = if why.is_empty() { "nothing dangerous found".to_owned() } else { why.join("<br>") };
        out.push_str(&format!(
            "| {}{target} | {} {} | {why} | {} |\n",
            code(&names.name(&migration.unit, &migration.id)),
            risk_mark(migration.risk),
            migration.risk,
            undo(migration)
        ));
    }
    out.push('\n');
    if let Some(address) = &input.links.pending {
        let page = escape::link("Purpose, impact, tests and way back of each", Some(address));
        out.push_str(&format!("<sub>📄 {page} stand in the check {}.</sub>\n\n", code(super::check_run::LINT)));
    }
    out.push_str(&who_undoes(input));
    out
}

/// Who may take it back afterwards, so that it is known before anybody agrees.
fn who_undoes(input: &SummaryInput<'_>) -> String {
    let Some(verdict) = input.verdict.filter(|_| input.lint.migrations.iter().any(|m| m.reversible)) else {
        return String::new();
    };
    let last = verdict.environments.last().map(|e| &e.environment);
    let who: Vec<String> = verdict
        .environments
        .iter()
        .filter(|e| !e.required_roles.is_empty())
        .map(|e| {
            let roles: Vec<String> = e.required_roles.iter().map(|r| code(r.as_str())).collect();
            let second = Some(&e.environment) == last || e.environment.as_str() == "production";
            let second = if second { ", and a second person confirms" } else { "" };
            format!("in {} {}{second}", code(e.environment.as_str()), roles.join(" or "))
        })
        .collect();
    if who.is_empty() { String::new() } else { format!("<sub>↩️ Who may roll back: {}.</sub>\n\n", who.join("; ")) }
}

fn undo(migration: &MigrationSummary) -> &'static str {
    match (migration.reversible, migration.transactional) {
        (true, true) => "↩️ yes; a failure undoes itself",
        (true, false) => "↩️ yes; a failure may leave half of it",
        (false, true) => "🚫 no rollback; a failure undoes itself",
        (false, false) => "🚫 no rollback; a failure may leave half of it",
    }
}

/// The findings, worst first.
fn findings(lint: &LintReport, links: &Links) -> String {
    if lint.violations.is_empty() {
        return if lint.migrations.is_empty() {
            String::new()
        } else {
            format!("### Findings\n\n✅ none in {}\n\n", count(lint.files, "file"))
        };
    }
    let mut violations: Vec<&Violation> = lint.violations.iter().collect();
    violations.sort_by(|a, b| {
        (a.waived.is_some(), std::cmp::Reverse(a.severity), &a.file, a.line).cmp(&(
            b.waived.is_some(),
            std::cmp::Reverse(b.severity),
            &b.file,
            b.line,
        ))
    });
    let mut out = format!("### Findings: {}\n\n| | Where | What |\n|:-:|---|---|\n", tally(lint));
    for violation in violations.iter().take(FINDINGS_SHOWN) {
        let help = violation.help.as_ref().map(|h| format!("<br>💡 {}", prose(h))).unwrap_or_default();
        let waived =
            violation.waived.as_ref().map(|w| format!("<br>waived: {}", escape::inline(w))).unwrap_or_default();
        out.push_str(&format!(
            "| {} | {} | {}<br><sub>{}</sub>{help}{waived} |\n",
            severity_mark(violation),
            links.line(&violation.file, violation.line),
            prose(&violation.message),
            links.rule(&violation.rule, &violation.url),
        ));
    }
    if violations.len() > FINDINGS_SHOWN {
        let rest = count(violations.len() - FINDINGS_SHOWN, "further finding");
        let rest = escape::link(&format!("{rest} in the check run"), links.everything.as_deref());
        out.push_str(&format!("\n_{rest}_\n"));
    }
    out.push('\n');
    out
}

/// `1 error, 2 warnings`.
pub(super) fn tally(lint: &LintReport) -> String {
    let of =
        |severity: Severity| lint.violations.iter().filter(|v| v.severity == severity && v.waived.is_none()).count();
    let waived = lint.violations.iter().filter(|v| v.waived.is_some()).count();
    let parts: Vec<String> =
        [(of(Severity::Error), "error"), (of(Severity::Warning), "warning"), (of(Severity::Info), "note")]
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| count(n, word))
            .chain((waived > 0).then(|| format!("{waived} waived")))
            .collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

fn is_blocking(violation: &Violation) -> bool {
    violation.severity == Severity::Error && violation.waived.is_none()
}

fn severity_mark(violation: &Violation) -> &'static str {
    if violation.waived.is_some() {
        return "🙈";
    }
    match violation.severity {
        Severity::Error => "❌",
        Severity::Warning => "⚠️",
        Severity::Info => "ℹ️",
    }
}

/// The plan per environment; environments that would do the same share one block.
fn plans(input: &SummaryInput<'_>) -> String {
    if input.plans.is_empty() {
        return String::new();
    }
    let mut groups: Vec<Vec<&EnvironmentPlan>> = Vec::new();
    for plan in input.plans {
        match groups.iter_mut().find(|g| g[0].steps == plan.steps && g[0].refusals == plan.refusals) {
            Some(group) => group.push(plan),
            None => groups.push(vec![plan]),
        }
    }
    let mut out = String::from("### Plan\n\n");
    for group in groups {
        out.push_str(&plan_block(&group));
    }
    out
}

fn plan_block(group: &[&EnvironmentPlan]) -> String {
    let plan = group[0];
    let names: Vec<String> = group.iter().map(|p| format!("<b>{}</b>", escape::html(p.environment.as_str()))).collect();
    let names = and(&names);
    if !plan.refusals.is_empty() {
        let reasons: String = plan.refusals.iter().map(refusal).collect();
        return format!("⛔ {names}: nothing can run\n\n{reasons}\n");
    }
    if plan.steps.is_empty() {
        return format!("➖ {names}: nothing to do\n\n");
    }
    let statements: usize = plan.steps.iter().map(|s| s.statements.len()).sum();
    let targets: Vec<String> =
        plan.targets.iter().map(|t| format!("<code>{}</code>", escape::html(t.as_str()))).collect();
    let on = if targets.is_empty() { String::new() } else { format!(" on {}", and(&targets)) };
    let title = format!("{names}: {}, {}{on}", count(plan.steps.len(), "migration"), count(statements, "statement"));
    let names = Names::of(plan.steps.iter().map(|s| (s.unit.as_str(), s.migration.as_str())));
    let body: String = plan.steps.iter().map(|s| step(s, &names)).collect();
    escape::details(&title, &body)
}

fn refusal(refusal: &Refusal) -> String {
    format!("- {}. {}\n", prose(&refusal.message), prose(&refusal.what_to_do))
}

fn step(step: &Step, names: &Names<'_>) -> String {
    let verb = match step.action {
        StepAction::Apply => "apply",
        StepAction::Rollback => "undo",
        StepAction::Baseline => "record as applied, without running",
        StepAction::Undo => "take back what was completed",
    };
    let how = if step.in_transaction {
        "one transaction, all or nothing"
    } else {
        match step.recovery {
            RecoveryClass::Atomic => "statement by statement, each all or nothing",
            RecoveryClass::Verifiable => "statement by statement; after a crash Godwit looks how far it came",
            RecoveryClass::Idempotent => "statement by statement; after a crash it is run again",
            RecoveryClass::Manual => "statement by statement; after a crash a person must look",
        }
    };
    let mut sql = String::new();
    for statement in step.statements.iter().take(STATEMENTS_SHOWN) {
        let text = secrets::masked(statement.sql.trim());
        let text = text.as_ref();
        if let Some(operation) = operation_of(step.engine, text) {
            sql.push_str(&format!("{}\n", operation.describe()));
            if step.action == StepAction::Apply
                && let Some(why) = irreversible(&operation)
            {
                sql.push_str(&format!("  irreversible: {why}\n"));
            }
            continue;
        }
        match text.char_indices().nth(STATEMENT_CHARS) {
            Some((end, _)) => sql.push_str(&format!("{} …\n", &text[..end])),
            None => sql.push_str(&format!("{}{}\n", text, if text.ends_with(';') { "" } else { ";" })),
        }
    }
    let more = step.statements.len().saturating_sub(STATEMENTS_SHOWN);
    if more > 0 {
        let (mark, what) = if are_operations(step.engine) { ("", "operation") } else { ("-- ", "statement") };
        sql.push_str(&format!("{mark}and {} more\n", count(more, what)));
    }
    format!(
        "**{}** on {}: {verb}, {how}\n\n{}\n",
        code(&names.name(&step.unit, step.migration.as_str())),
        code(step.target.as_str()),
        escape::fence(language(step), &sql)
    )
}

fn language(step: &Step) -> &'static str {
    use crate::ids::Engine;
    match step.engine {
        Engine::Postgresql | Engine::Sqlite => "sql",
        Engine::Mongodb | Engine::Elasticsearch | Engine::Redis => "text",
    }
}

/// What happens when somebody presses the button, and what can be undone afterwards.
fn on_merge(input: &SummaryInput<'_>, verdict: &Verdict) -> String {
    if input.lint.migrations.is_empty() {
        return String::new();
    }
    let concerned: Vec<&EnvironmentVerdict> =
        verdict.environments.iter().filter(|e| !is_elsewhere(e, input.snapshot.draft)).collect();
    let mut out = String::from("### On merge\n\n");
    if concerned.is_empty() {
        out.push_str("Nothing runs: no environment belongs to this branch.\n\n");
        return out;
    }
    let chain: Vec<String> = concerned
        .iter()
        .map(|e| {
            let name = code(e.environment.as_str());
            if e.automatic { name } else { format!("{name} (after `/godwit promote {}`)", e.environment) }
        })
        .collect();
    out.push_str(&format!("{}\n\n", chain.join(" → ")));
    let one = concerned.len() == 1;
    out.push_str(if one {
        "The migrations are compared with what was approved, then run.\n"
    } else {
        "The migrations are compared with what was approved, then run one environment after the other. A failure stops \
         the chain; every gate is looked at again when its turn comes.\n"
    });
    let last = concerned.last().map_or("ENV", |e| e.environment.as_str());
    out.push_str(&match fixed(input).as_slice() {
        [] => format!("Afterwards each can be undone: `/godwit rollback {last} MIGRATION`.\n\n"),
        fixed => format!(
            "Afterwards **{} cannot be undone** by a script; the way back is a backup or a new migration.\n\n",
            and(fixed)
        ),
    });
    out
}

/// Migrations without a way back.
fn fixed(input: &SummaryInput<'_>) -> Vec<String> {
    input.lint.migrations.iter().filter(|m| !m.reversible).map(|m| code(&m.id)).collect()
}

/// What can be undone of what was applied.
fn ways_back(input: &SummaryInput<'_>, arrivals: &[Arrival]) -> String {
    let Some(last) = arrivals.iter().rev().find(|a| a.stand == Stand::Holds) else { return String::new() };
    match fixed(input).as_slice() {
        [] => format!("Each can be undone: `/godwit rollback {} MIGRATION`.\n\n", last.environment),
        fixed => {
            format!("**{} cannot be undone** by a script; the way back is a backup or a new migration.\n\n", and(fixed))
        }
    }
}

/// What is looked at before a deployment [S3-45].
fn checklists(lists: &[Checklist]) -> String {
    if lists.is_empty() {
        return String::new();
    }
    format!("### Before the deployment\n\n{}", lists.iter().map(checklist::block).collect::<String>())
}

/// Environments of other branches; a draft skips all of them for another reason.
fn is_elsewhere(verdict: &EnvironmentVerdict, draft: bool) -> bool {
    verdict.evaluation.status == Status::Skipped && !draft
}

fn remarks(verdict: &Verdict) -> String {
    if verdict.ignored.is_empty() && verdict.notes.is_empty() {
        return String::new();
    }
    let mut out = String::from("### Notes\n\n");
    for text in verdict.ignored.iter().chain(&verdict.notes) {
        out.push_str(&format!("- {}\n", prose(&upper_first(text))));
    }
    out.push('\n');
    out
}

fn footer(input: &SummaryInput<'_>) -> String {
    let short = |text: &str, n: usize| code(text.get(..n).unwrap_or(text));
    let head = short(input.snapshot.head.as_str(), 7);
    let binding = input.snapshot.binding.as_ref().map_or_else(String::new, |b| {
        let (digest, policy) = (short(b.digest.as_str(), 15), short(&b.policy_hash, 8));
        format!(" · digest {digest} · policy {policy} · approvals hold for this content, policy and risk")
    });
    format!("<sub>{head}{binding} · `/godwit help`</sub>\n")
}

pub(super) fn mark(status: Status, draft: bool) -> &'static str {
    match status {
        Status::Skipped if draft => "📝",
        Status::Skipped => "➖",
        Status::Pending => "⏳",
        Status::Approved => "✅",
        Status::Disapproved => "⛔",
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}
