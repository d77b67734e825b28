//! Exit codes, and the one place where an error reaches the terminal.

use std::process::ExitCode;

use super::print;
use crate::plan::{Outcome, Refusal};
use crate::redact;
use crate::report::workflow_command;

/// How the process ends (INTERFACE 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Findings at error level, or the work failed and was undone.
    Failed,
    /// Usage or configuration error.
    Usage,
    /// Blocked: approval, lock, window, policy or promotion order.
    Blocked,
    /// A person is needed: state unknown, history or schema drifted.
    NeedsHuman,
    /// A target, the store or GitHub cannot be reached.
    Unreachable,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Blocked => 3,
            Exit::NeedsHuman => 4,
            Exit::Unreachable => 5,
        }
    }

    /// The exit code of a run that was refused: what weighs most among the reasons. What is wrong with the files is a
    /// finding, a name that is nowhere is a slip, and only what may open by itself or by people's word is a gate.
    pub fn of_refusals(refusals: &[Refusal]) -> Self {
        let one = |r: &Refusal| match r.reason.as_str() {
            _ if r.needs_human => Exit::NeedsHuman,
            // What would fail has failed before anything was changed; a server that is too old fails every migration.
            "invalid-set" | "invalid-operation" | "lint" | "mixed-transaction" | "own-tables" | "psql-command"
            | "syntax-error" | "no-down" | "impossible" | "version" | "sealed-value" => Exit::Failed,
            "unknown" | "not-applied" | "already-applied" | "no-target" | "sealed" => Exit::Usage,
            "unreachable" => Exit::Unreachable,
            _ => Exit::Blocked,
        };
        // Not the numbers' order: who corrects a slip sees the next reason.
        [Exit::NeedsHuman, Exit::Unreachable, Exit::Usage, Exit::Failed]
            .into_iter()
            .find(|exit| refusals.iter().any(|r| one(r) == *exit))
            .unwrap_or(Exit::Blocked)
    }

    /// The exit code of a run.
    pub fn of_outcome(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Planned | Outcome::Applied | Outcome::Nothing => Exit::Done,
            Outcome::Failed => Exit::Failed,
            Outcome::Blocked => Exit::Blocked,
            Outcome::NeedsHuman => Exit::NeedsHuman,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// An error that knows its exit code; put it in the chain with `anyhow::Error::from`. Without one the code is 2.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened and what to do.
    pub message: String,
}

impl Failure {
    /// A usage or configuration error.
    pub fn usage(message: impl Into<String>) -> anyhow::Error {
        Failure { exit: Exit::Usage, message: message.into() }.into()
    }

    /// An error with all its causes in the message, and an exit code.
    pub fn with_causes(exit: Exit, what: impl Into<String>, error: &dyn std::error::Error) -> anyhow::Error {
        let mut message = what.into();
        let mut cause = Some(error);
        while let Some(error) = cause {
            message.push_str(&format!("\n  because {error}"));
            cause = error.source();
        }
        Failure { exit, message }.into()
    }

    /// Something that cannot be reached.
    pub fn unreachable(message: impl Into<String>) -> anyhow::Error {
        Failure { exit: Exit::Unreachable, message: message.into() }.into()
    }
}

/// Where errors are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// On a terminal, or in a log.
    Here,
    /// Among the annotations of a job of GitHub Actions.
    Annotated,
}

impl Told {
    /// Where those of a command are read: the errors of `godwit ci` by the jobs that it runs in.
    pub(super) fn of(command: Option<&str>) -> Self {
        if command == Some("ci") && in_actions() { Self::Annotated } else { Self::Here }
    }

    /// An error as it is printed, credentials taken out.
    pub(super) fn words(self, text: &str) -> String {
        let text = redact::text(text);
        match self {
            Self::Here => format!("error: {text}"),
            Self::Annotated => workflow_command::error(&text),
        }
    }
}

/// Whether this is a job of GitHub Actions.
pub(super) fn in_actions() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some_and(|v| v == "true")
}

/// Prints an error with its causes and gives its exit code.
pub(super) fn report(error: &anyhow::Error, told: Told) -> Exit {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        text.push_str(&format!("\n  because {cause}"));
    }
    let words = told.words(&text);
    match told {
        Told::Here => print::talk(&words),
        Told::Annotated => anstream::eprintln!("{words}"),
    }
    let known = error.chain().find_map(|e| e.downcast_ref::<Failure>()).map(|f| f.exit);
    let store_failed = || error.chain().any(|e| e.is::<crate::store::StoreError>());
    known.unwrap_or_else(|| if store_failed() { Exit::Unreachable } else { Exit::Usage })
}
