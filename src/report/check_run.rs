//! The outputs of the two check runs. A check is green only when everything was judged and nothing is open (B-19).

use super::comment::{SummaryInput, summary, tally};
use super::escape;
use super::pending::{Pending, markdown};
use super::{EnvironmentPlan, count};
use crate::approval::{Evaluation, Status, Verdict};
use crate::config::ConfigError;
use crate::lint::{LintReport, Violation};
use crate::migration::Severity;
use crate::plan::Refusal;

/// Name of the check run of the linter.
pub const LINT: &str = "godwit / lint";
/// Name of the check run of the approvals.
pub const APPROVAL: &str = "godwit / approval";

/// Characters of a title.
const TITLE_LIMIT: usize = 200;
/// Characters of an annotation's message.
const MESSAGE_LIMIT: usize = 16_000;

/// How a check run ends, in GitHub's words; what is worse is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conclusion {
    /// Everything holds.
    Success,
    /// People are missing.
    ActionRequired,
    /// Something is wrong.
    Failure,
}

impl Conclusion {
    /// GitHub's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Conclusion::Success => "success",
            Conclusion::ActionRequired => "action_required",
            Conclusion::Failure => "failure",
        }
    }

    /// From GitHub's word; one that is not ours is no yes.
    pub fn parse(word: &str) -> Self {
        [Conclusion::Success, Conclusion::ActionRequired]
            .into_iter()
            .find(|c| c.as_str() == word)
            .unwrap_or(Conclusion::Failure)
    }
}

/// How an annotation is shown, in GitHub's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnnotationLevel {
    /// Worth knowing.
    Notice,
    /// A hazard.
    Warning,
    /// An error.
    Failure,
}

impl AnnotationLevel {
    /// GitHub's word.
    pub fn as_str(self) -> &'static str {
        match self {
            AnnotationLevel::Notice => "notice",
            AnnotationLevel::Warning => "warning",
            AnnotationLevel::Failure => "failure",
        }
    }
}

/// One annotation on lines of a file. Text of annotations is plain, not Markdown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Path relative to the repository's root.
    pub path: String,
    /// First line, from 1.
    pub start_line: u32,
    /// Last line.
    pub end_line: u32,
    /// First and last column, from 1; only where the annotation stays on one line, as GitHub asks.
    pub columns: Option<(u32, u32)>,
    /// How it is shown.
    pub level: AnnotationLevel,
    /// At most 255 characters.
    pub title: String,
    /// At most 64 KB.
    pub message: String,
}

/// What a check run shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOutput {
    /// One line.
    pub title: String,
    /// Markdown within [`escape::CHECK_LIMIT`].
    pub summary: String,
    /// Markdown within [`escape::CHECK_LIMIT`].
    pub text: Option<String>,
    /// How it ends.
    pub conclusion: Conclusion,
    /// Worst first; GitHub takes 50 a request.
    pub annotations: Vec<Annotation>,
}

/// The output of `godwit / lint`.
pub fn lint_output(lint: &LintReport, config_errors: &[ConfigError]) -> CheckOutput {
    let mut annotations: Vec<Annotation> = config_errors.iter().map(of_config).collect();
    let mut violations: Vec<&Violation> = lint.violations.iter().collect();
    violations.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| (&a.file, a.line).cmp(&(&b.file, b.line))));
    annotations.extend(violations.iter().map(|v| of_violation(v)));
    let (conclusion, title) = if !config_errors.is_empty() {
        (Conclusion::Failure, format!("{} in the policy", count(config_errors.len(), "mistake")))
    } else if lint.has_errors() {
        (Conclusion::Failure, tally(lint))
    } else if lint.migrations.is_empty() && lint.violations.is_empty() {
        (Conclusion::Success, "No migrations in this pull request".to_owned())
    } else if lint.violations.is_empty() {
        (Conclusion::Success, format!("No findings; risk {}", lint.risk))
    } else {
        (Conclusion::Success, format!("{}; risk {}", tally(lint), lint.risk))
    };
    let mut text = String::new();
    for violation in violations {
        text.push_str(&format!(
            "- **{}** {} {}: {}\n",
            violation.severity.as_str(),
            escape::code(&format!("{}:{}", violation.file, violation.line)),
            escape::code(&violation.rule),
            escape::prose(&violation.message)
        ));
    }
    for error in config_errors {
        text.push_str(&format!("- **error** {}\n", escape::prose(&error.to_string())));
    }
    let summary = format!(
        "{} in {}: {}.",
        count(lint.migrations.len(), "migration"),
        count(lint.files, "file"),
        if lint.violations.is_empty() { "no findings".to_owned() } else { tally(lint) }
    );
    CheckOutput {
        title: short(&title),
        summary: field(&summary),
        text: (!text.is_empty()).then(|| field(&text)),
        conclusion,
        annotations,
    }
}

impl CheckOutput {
    /// The same with the report of what is pending behind it, as far as there is room.
    pub fn with_pending(self, pending: &Pending) -> Self {
        if pending.migrations.is_empty() {
            return self;
        }
        let before = self.text.map_or(String::new(), |text| format!("{text}\n"));
        Self { text: Some(field(&format!("{before}{}", markdown(pending)))), ..self }
    }
}

/// The output of `godwit / approval` (DECISIONS 3): success when the cell of every automatic environment is
/// satisfied and every gate open, `action_required` when people are missing, failure when a rule is violated.
pub fn approval_output(input: &SummaryInput<'_>) -> CheckOutput {
    let refused = refusals(input);
    let (conclusion, title) = match input.verdict {
        _ if !input.config_errors.is_empty() => (
            Conclusion::Failure,
            format!("Policy broken: {}", input.config_errors.first().map(ToString::to_string).unwrap_or_default()),
        ),
        None => (Conclusion::Failure, "This pull request could not be judged".to_owned()),
        Some(verdict) => match (verdict.status, refused.first()) {
            (Status::Disapproved, _) => (disapproved(verdict), verdict.summary.clone()),
            (Status::Skipped | Status::Pending | Status::Approved, Some((plan, refusal))) => {
                (Conclusion::Failure, format!("{}: {}", plan.environment, refusal.message))
            }
            (Status::Approved, None) => (Conclusion::Success, verdict.summary.clone()),
            // A draft must not look approved: it may be marked ready and merged within the same second.
            (Status::Pending | Status::Skipped, None) => (Conclusion::ActionRequired, verdict.summary.clone()),
        },
    };
    let text = input.verdict.map(|verdict| {
        let mut out = String::new();
        for environment in &verdict.environments {
            tree(&environment.evaluation, 0, &mut out);
        }
        for gate in &verdict.gates {
            tree(gate, 0, &mut out);
        }
        for ignored in &verdict.ignored {
            out.push_str(&format!("- not counted: {}\n", escape::prose(ignored)));
        }
        out
    });
    CheckOutput {
        title: short(&title),
        summary: field(&summary(input)),
        text: text.filter(|t| !t.is_empty()).map(|t| field(&t)),
        conclusion,
        annotations: input.config_errors.iter().map(of_config).collect(),
    }
}

/// A no that a person can take back is an action; a rule's no is a failure.
fn disapproved(verdict: &Verdict) -> Conclusion {
    let by_people = |gate: &&Evaluation| matches!(gate.name.as_str(), "hold" | "change requests");
    let others = verdict.gates.iter().filter(|g| g.status == Status::Disapproved && !by_people(g)).count();
    let cells =
        verdict.environments.iter().filter(|e| e.automatic && e.evaluation.status == Status::Disapproved).count();
    if others + cells == 0 { Conclusion::ActionRequired } else { Conclusion::Failure }
}

/// Refusals of environments that the merge would start. A closed gate is no violation: approvals and locks pass.
pub(super) fn refusals<'a>(input: &SummaryInput<'a>) -> Vec<(&'a EnvironmentPlan, &'a Refusal)> {
    let automatic = |plan: &&EnvironmentPlan| {
        input.verdict.is_some_and(|v| v.environments.iter().any(|e| e.environment == plan.environment && e.automatic))
    };
    input
        .plans
        .iter()
        .filter(automatic)
        .flat_map(|plan| plan.refusals.iter().map(move |r| (plan, r)))
        .filter(|(_, r)| !matches!(r.reason.as_str(), "approval" | "promotion" | "locked" | "stale"))
        .collect()
}

fn tree(node: &Evaluation, depth: usize, out: &mut String) {
    out.push_str(&format!(
        "{}- {} **{}**: {}\n",
        "  ".repeat(depth),
        super::comment::mark(node.status, false),
        escape::prose(&node.name),
        escape::prose(&node.reason)
    ));
    for child in &node.children {
        tree(child, depth + 1, out);
    }
}

fn of_config(error: &ConfigError) -> Annotation {
    let line = error.line.and_then(|l| u32::try_from(l).ok()).unwrap_or(1).max(1);
    Annotation {
        path: error.file.clone(),
        start_line: line,
        end_line: line,
        columns: None,
        level: AnnotationLevel::Failure,
        title: "policy".to_owned(),
        message: plain(&error.message, MESSAGE_LIMIT),
    }
}

fn of_violation(violation: &Violation) -> Annotation {
    let level = match violation.severity {
        _ if violation.waived.is_some() => AnnotationLevel::Notice,
        Severity::Error => AnnotationLevel::Failure,
        Severity::Warning => AnnotationLevel::Warning,
        Severity::Info => AnnotationLevel::Notice,
    };
    let start_line = violation.line.max(1);
    let end_line = violation.end_line.max(start_line);
    let help = violation.help.as_ref().map(|h| format!("\n\n{h}")).unwrap_or_default();
    let waived = violation.waived.as_ref().map(|w| format!("\n\nwaived: {w}")).unwrap_or_default();
    let start = violation.column.max(1);
    // `end_column` is behind the last character; GitHub's is the last one.
    let columns = (start_line == end_line).then(|| (start, violation.end_column.saturating_sub(1).max(start)));
    Annotation {
        path: violation.file.clone(),
        start_line,
        end_line,
        columns,
        level,
        title: plain(&format!("{} ({} risk)", violation.rule, violation.risk), 255),
        message: plain(&format!("{}{help}{waived}", violation.message), MESSAGE_LIMIT),
    }
}

fn plain(text: &str, limit: usize) -> String {
    let text = crate::redact::text(text);
    if text.chars().count() <= limit {
        return text;
    }
    let mut out: String = text.chars().take(limit - 1).collect();
    out.push('…');
    out
}

pub(super) fn short(text: &str) -> String {
    plain(&text.replace(['\n', '\r'], " "), TITLE_LIMIT)
}

pub(super) fn field(text: &str) -> String {
    escape::cut_at(&crate::redact::text(text), escape::CHECK_LIMIT, "_The rest is cut._")
}
