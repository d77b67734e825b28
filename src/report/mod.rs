//! The only writer of words users see: decisions in, text out. Pure.

pub mod arrival;
#[cfg(feature = "sqlite")]
pub mod audit;
pub mod beginning;
pub mod check_run;
pub mod checklist;
pub mod comment;
pub mod doctor;
pub mod drift;
pub mod escape;
pub mod fold;
pub mod graph;
pub mod health;
pub mod lint_github;
pub mod lint_markdown;
pub mod lint_text;
pub mod onboarding;
pub mod page;
pub mod pending;
pub mod policy_text;
pub mod policy_yaml;
pub mod rehearsal;
pub mod run;
pub mod run_comment;
pub mod sarif;
pub mod shared_head;
pub mod sheet;
pub mod straight_push;
pub mod suggestion;
pub mod workflow_command;

use crate::ids::{CommitSha, Engine, EnvironmentName, RepoName, Risk, TargetName};
use crate::migration::operations::{Inverse, Operation, are_operations};
use crate::plan::{Refusal, Step};

/// Where the comment's links go; without an address the text stands alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// `https://github.com/OWNER/REPO/blob/SHA`, in front of a file's path.
    pub files: Option<String>,
    /// What a rule's page (`docs/rules/….md`) is appended to, with a slash at its end.
    pub docs: Option<String>,
    /// The check run or the log with everything that did not fit.
    pub everything: Option<String>,
    /// The page of the checks, one of which has the whole report of what is pending.
    pub pending: Option<String>,
}

impl Links {
    /// Links into `repo` at `commit` on the GitHub that serves its pages at `web`, such as `https://github.com`.
    pub fn to(web: &str, repo: &RepoName, commit: &CommitSha) -> Self {
        let web = web.trim_end_matches('/');
        Self { files: Some(format!("{web}/{repo}/blob/{commit}")), ..Self::default() }
    }

    /// `path:line` as a link to the line.
    pub(crate) fn line(&self, path: &str, line: u32) -> String {
        let address = self.files.as_ref().map(|f| format!("{f}/{}#L{line}", escape::path_in_url(path)));
        escape::link(&escape::code(&format!("{path}:{line}")), address.as_deref())
    }

    /// A rule's id as a link to its page.
    pub(crate) fn rule(&self, rule: &str, page: &str) -> String {
        let address = if page.starts_with("https://") {
            Some(page.to_owned())
        } else {
            self.docs.as_ref().map(|d| format!("{d}{page}"))
        };
        escape::link(&escape::code(rule), address.as_deref())
    }
}

/// What a merge would do in one environment, or why it would not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentPlan {
    /// The environment.
    pub environment: EnvironmentName,
    /// Its targets that take migrations of the pull request.
    pub targets: Vec<TargetName>,
    /// What would be done, in order.
    pub steps: Vec<Step>,
    /// Why nothing could be done; empty when the steps can run.
    pub refusals: Vec<Refusal>,
}

/// A statement that is an operation, read again so that it can be told in words; `None` for SQL.
pub(crate) fn operation_of(engine: Engine, statement: &str) -> Option<Operation> {
    if !are_operations(engine) {
        return None;
    }
    Operation::parse(engine, statement).ok()
}

/// Why a forward operation cannot be taken back by itself, if it cannot.
pub(crate) fn irreversible(operation: &Operation) -> Option<&'static str> {
    match operation.inverse() {
        Inverse::None(why) => Some(why),
        Inverse::Computed => None,
    }
}

/// The coloured mark of a risk.
pub(crate) fn risk_mark(risk: Risk) -> &'static str {
    match risk {
        Risk::Low => "🟢",
        Risk::Medium => "🟡",
        Risk::High => "🔴",
    }
}

/// `1 migration`, `2 migrations`.
pub(crate) fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn and(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// A duration as people read it.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}
