//! Drift as a readable difference.

use std::fmt::Write as _;

use crate::plan::drift::{ChangeKind, SchemaChange, TargetDrift};

/// What was changed outside Godwit, target by target.
pub fn drift(found: &[TargetDrift]) -> String {
    let mut out = String::new();
    for target in found {
        let Some(at) = target.recorded_at else {
            let _ = writeln!(
                out,
                "{} ({}): nothing to compare with; the next run records the schema, or `--accept` does now",
                target.target, target.engine
            );
            continue;
        };
        let since = at.format("%Y-%m-%d %H:%M:%S UTC");
        let by = target.recorded_by.as_deref().unwrap_or("a run");
        if target.changes.is_empty() {
            let _ = writeln!(out, "{} ({}): as {by} left it at {since}", target.target, target.engine);
            continue;
        }
        let n = target.changes.len();
        let objects = if n == 1 { "1 object is".to_owned() } else { format!("{n} objects are") };
        let _ = writeln!(out, "{} ({}): {objects} not as {by} left them at {since}", target.target, target.engine);
        if target.history_moved {
            out.push_str("  migrations ran since then without leaving a record here; some of this may be theirs\n");
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
