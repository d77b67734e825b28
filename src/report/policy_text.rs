//! The policy and its verdicts on a terminal.

use crate::approval::check::{Finding, Level};
use crate::approval::{Evaluation, Status, Verdict};

/// What `policy check` found.
pub fn findings(files: &[String], findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        out.push_str(&format!("{}: {}\n", finding.level.as_str(), finding.what));
    }
    let errors = findings.iter().filter(|f| f.level == Level::Error).count();
    let read = if files.is_empty() { "the built-in policy".to_owned() } else { files.join(", ") };
    match (errors, findings.len()) {
        (0, 0) => out.push_str(&format!("The policy is sound ({read}).\n")),
        (0, n) => out.push_str(&format!("The policy is sound, with {} ({read}).\n", super::count(n, "warning"))),
        (n, _) => out.push_str(&format!("{} to fix.\n", super::count(n, "error"))),
    }
    out
}

/// A verdict as a tree.
pub fn verdict(verdict: &Verdict) -> String {
    let mut out = format!("{} {}\n", word(verdict.status), verdict.summary);
    for environment in &verdict.environments {
        let promoted = match (environment.automatic, environment.evaluation.status) {
            (true, _) | (false, Status::Skipped) => "",
            (false, Status::Pending | Status::Approved | Status::Disapproved) => " (on promotion)",
        };
        tree(&environment.evaluation, 1, promoted, &mut out);
    }
    for gate in &verdict.gates {
        tree(gate, 1, "", &mut out);
    }
    for ignored in &verdict.ignored {
        out.push_str(&format!("  not counted: {ignored}\n"));
    }
    for note in &verdict.notes {
        out.push_str(&format!("  note: {note}\n"));
    }
    out
}

fn tree(node: &Evaluation, depth: usize, after_name: &str, out: &mut String) {
    let indent = "  ".repeat(depth);
    out.push_str(&format!("{indent}{} {}{after_name}: {}\n", word(node.status), node.name, node.reason));
    if node.children.is_empty() {
        for missing in &node.missing {
            out.push_str(&format!("{indent}    who could: {missing}\n"));
        }
    }
    for child in &node.children {
        tree(child, depth + 1, "", out);
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Skipped => "[ - ]",
        Status::Pending => "[ .. ]",
        Status::Approved => "[ ok ]",
        Status::Disapproved => "[ no ]",
    }
}
