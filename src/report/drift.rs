//! Drift as a readable difference.

use std::fmt::Write as _;

use crate::ids::EnvironmentName;
use crate::plan::drift::{ChangeKind, SchemaChange, TargetDrift};

/// What was changed outside Godwit, target by target.
pub fn drift(found: &[TargetDrift]) -> String {
    let unknown = "nothing to compare with; the next run records the schema, or `--accept` does now";
    let moved = "migrations ran since then without leaving a record here; some of this may be theirs";
    compared(found, unknown, moved, |target, what| {
        format!("as {} left {what}", target.recorded_by.as_deref().unwrap_or("a run"))
    })
}

/// What sets targets apart from those of another environment, whose schema is the one that its last run left.
pub fn apart(found: &[TargetDrift], other: &EnvironmentName) -> String {
    let unknown = format!(
        "nothing is known of {other}; its next run records the schema, or `godwit drift {other} --accept` does now"
    );
    let moved = "other migrations are applied here than there; some of this may be theirs";
    compared(found, &unknown, moved, |_, _| format!("as in {other}"))
}

/// Each target beside what is known; `left` says as whose it (or them) a schema is, `unknown` that there is none, and
/// `moved` what else may be the cause.
fn compared(found: &[TargetDrift], unknown: &str, moved: &str, left: impl Fn(&TargetDrift, &str) -> String) -> String {
    let mut out = String::new();
    for target in found {
        let name = format!("{} ({})", target.target, target.engine);
        let Some(at) = target.recorded_at else {
            let _ = writeln!(out, "{name}: {unknown}");
            continue;
        };
        let since = at.format("%Y-%m-%d %H:%M:%S UTC");
        if !target.older.is_empty() {
            let _ = writeln!(out, "{name}: older than what was recorded of it");
            for refusal in &target.older {
                let _ = writeln!(out, "  {}; {}", refusal.message, refusal.what_to_do);
            }
            differences(&mut out, 2, &target.changes);
            continue;
        }
        if target.changes.is_empty() {
            let _ = writeln!(out, "{name}: {} at {since}", left(target, "it"));
            continue;
        }
        let n = target.changes.len();
        let objects = if n == 1 { "1 object is".to_owned() } else { format!("{n} objects are") };
        let _ = writeln!(out, "{name}: {objects} not {} at {since}", left(target, "them"));
        if target.history_moved {
            let _ = writeln!(out, "  {moved}");
        }
        differences(&mut out, 2, &target.changes);
    }
    out
}

/// What is different, object by object, `indent` columns in.
pub(super) fn differences(out: &mut String, indent: usize, changes: &[SchemaChange]) {
    let (object, property) = (" ".repeat(indent), " ".repeat(indent + 4));
    for change in changes {
        let mark = match change.kind {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        let _ = writeln!(out, "{object}{mark} {}", change.object);
        for line in &change.removed {
            let _ = writeln!(out, "{property}- {line}");
        }
        for line in &change.added {
            let _ = writeln!(out, "{property}+ {line}");
        }
    }
}
