//! Runs, plans and states as text for a terminal.

use std::fmt::Write as _;

use super::{fold, irreversible, operation_of};
use crate::lint::secrets;
use crate::migration::naming::Names;
use crate::migration::operations::are_operations;
use crate::plan::planner::recovery_class;
use crate::plan::{
    MigrationState, MigrationStatus, Outcome, RecoveryClass, Refusal, RunReport, StepAction, StepReport, TargetStatus,
};

/// A run or a plan as other programs read it: the same, its statements without the secrets in them.
pub fn masked(report: &RunReport) -> RunReport {
    let mut shown = report.clone();
    for statement in shown.steps.iter_mut().flat_map(|step| &mut step.statements) {
        *statement = secrets::masked(statement).into_owned();
    }
    shown
}

/// A run or a plan, for a terminal of `width` characters. `all`: every step with its statements, not only what is worth
/// saying.
pub fn run(report: &RunReport, all: bool, width: usize) -> String {
    let mut out = String::new();
    let planned = report.outcome == Outcome::Planned;
    let names = Names::of(report.steps.iter().map(|s| (s.unit.as_str(), s.migration.as_str())));
    for step in &report.steps {
        step_lines(&mut out, step, &names, How { planned, all: all || planned, width });
    }
    let from = out.len();
    for refusal in &report.blocked_by {
        refusal_lines(&mut out, refusal);
    }
    for run in &report.ended {
        let _ = writeln!(out, "  run {run}, which was cut short, is closed; `godwit status` shows what it applied");
    }
    for note in &report.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    if let Some(health) = &report.health {
        out.push_str(&super::health::lines(health, all));
    }
    if let Some(backup) = &report.backup {
        let _ = writeln!(out, "  backup: {backup}");
    }
    let place = report.environment.as_ref().map_or(String::new(), |e| format!(" in {e}"));
    let count = |state: MigrationState| report.steps.iter().filter(|s| s.state == state).count();
    let took = seconds(report.duration_ms);
    let (applied, undone) = (count(MigrationState::Applied), count(MigrationState::RolledBack));
    let adopted =
        report.steps.iter().filter(|s| s.action == StepAction::Baseline && s.state == MigrationState::Applied);
    let adopted = adopted.count();
    let _ = match report.outcome {
        Outcome::Planned if report.steps.iter().all(|s| s.action == StepAction::Baseline) => {
            writeln!(out, "{} to record{place} as already there; nothing was changed", migrations(report.steps.len()))
        }
        Outcome::Planned => {
            let back = report.steps.iter().any(|s| s.action == StepAction::Rollback);
            let there = report.steps.iter().filter(|s| s.action == StepAction::Baseline).count();
            let adopted = if there == 0 { String::new() } else { format!(", {there} to adopt as already there") };
            let (count, word) = (migrations(report.steps.len() - there), if back { "undo" } else { "run" });
            writeln!(out, "{count} to {word}{place}{adopted}, risk {}; nothing was changed", report.risk)
        }
        Outcome::Nothing => writeln!(out, "nothing to do{place}"),
        Outcome::Applied if applied > 0 && report.steps.iter().all(|s| s.action == StepAction::Baseline) => {
            writeln!(out, "{} recorded{place} as already there; nothing was run", migrations(applied))
        }
        Outcome::Applied if undone > 0 => writeln!(out, "{} undone{place} in {took}", migrations(undone)),
        Outcome::Applied if adopted > 0 => {
            let ran = migrations(applied - adopted);
            writeln!(out, "{ran} applied{place} in {took}, {adopted} adopted as already there")
        }
        Outcome::Applied => writeln!(out, "{} applied{place} in {took}", migrations(applied)),
        Outcome::Failed => {
            let back = report.steps.iter().any(|s| s.action == StepAction::Rollback);
            let (done, word) = if back { (undone, "undone") } else { (applied - adopted, "applied") };
            writeln!(out, "failed{place} after {} {word}, in {took} (run {})", migrations(done), report.run)
        }
        Outcome::Blocked => writeln!(out, "blocked{place}: nothing more was run"),
        Outcome::NeedsHuman => writeln!(out, "a person is needed{place}: nothing more was run"),
    };
    fold::since(&mut out, from, width);
    out
}

fn migrations(n: usize) -> String {
    if n == 1 { "1 migration".to_owned() } else { format!("{n} migrations") }
}

fn seconds(ms: u64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1000, ms % 1000 / 100) }
}

/// How a step is told.
#[derive(Clone, Copy)]
struct How {
    /// As one of a plan.
    planned: bool,
    /// With its statements.
    all: bool,
    /// In lines of so many characters.
    width: usize,
}

fn step_lines(out: &mut String, step: &StepReport, names: &Names<'_>, how: How) {
    let How { planned, all, width } = how;
    // Statements are left as they were written: broken elsewhere they may mean something else.
    let mut from = out.len();
    let word = match (step.action, step.state) {
        (StepAction::Apply, MigrationState::Pending) if planned => "apply",
        (StepAction::Rollback, MigrationState::Pending) if planned => "undo",
        (StepAction::Baseline, MigrationState::Pending) if planned => "record",
        (StepAction::Baseline, MigrationState::Applied) => "recorded",
        (_, MigrationState::Pending) => "not run",
        (_, MigrationState::Running) => "stopped in",
        (_, MigrationState::Applied) => "applied",
        (_, MigrationState::Failed) => "FAILED",
        (_, MigrationState::RolledBack) => "undone",
        (_, MigrationState::NeedsHuman) => "UNKNOWN",
    };
    let took = if matches!(step.state, MigrationState::Pending) {
        String::new()
    } else {
        format!("  {}", seconds(step.duration_ms))
    };
    let rows = step.rows.map_or(String::new(), |n| format!("  {n} changed"));
    let class = step.recovery.as_str();
    // What commits statement by statement is not taken back whole, whatever each of them is.
    let taken = match (step.in_transaction, step.recovery) {
        (true, _) => class.to_owned(),
        (false, RecoveryClass::Atomic) => "statement by statement".to_owned(),
        (false, _) => format!("statement by statement, {class}"),
    };
    let name = names.name(&step.unit, step.migration.as_str());
    let _ = writeln!(out, "  {word:<10} {name}  on {} ({taken}){took}{rows}", step.target);
    if all {
        // What is atomic needs no explanation.
        if step.recovery != RecoveryClass::Atomic && !step.recovery_reason.is_empty() {
            let _ = writeln!(out, "             {class}: {}", step.recovery_reason);
        }
        // Operations say it one by one.
        if let Some(probe) = step.probe.as_ref().filter(|_| !are_operations(step.engine)) {
            let _ = writeln!(out, "             after a crash: {probe}");
        }
        let locks: Vec<String> = step.locks.iter().flatten().map(|l| format!("{} {}", l.object, l.mode)).collect();
        if !locks.is_empty() {
            let _ = writeln!(out, "             locks: {}", locks.join(", "));
        }
        for statement in &step.statements {
            if let Some(operation) = operation_of(step.engine, statement) {
                let _ = writeln!(out, "             {}", operation.describe());
                let recovery = operation.recovery();
                let _ = writeln!(out, "               {}: {}", recovery_class(recovery.nature).as_str(), recovery.why);
                if step.action == StepAction::Apply
                    && let Some(why) = irreversible(&operation)
                {
                    let _ = writeln!(out, "               irreversible: {why}");
                }
                continue;
            }
            fold::since(out, from, width);
            for line in secrets::masked(statement).lines() {
                let _ = writeln!(out, "             {line}");
            }
            from = out.len();
        }
    }
    if step.verified > 0 {
        let queries = if step.verified == 1 { "1 query".to_owned() } else { format!("{} queries", step.verified) };
        let _ = writeln!(out, "    {queries} returned what the script says");
    }
    if all || step.error.is_some() {
        for notice in &step.notices {
            let _ = writeln!(out, "    said: {}", notice.replace(['\n', '\r'], " "));
        }
    }
    if let Some(error) = &step.error {
        let code = error.code.as_ref().map_or(String::new(), |c| format!(" ({c})"));
        let _ = writeln!(out, "    {}:{}: {}{code}", error.file, error.line, error.message);
        if let Some(hint) = &error.hint {
            let _ = writeln!(out, "    {hint}");
        }
        let undone = if error.undone {
            "the migration was taken back whole"
        } else {
            "statements before it stay done; the next run goes on from there"
        };
        let _ = match step.state {
            MigrationState::Failed => writeln!(out, "    {undone}"),
            MigrationState::Pending
            | MigrationState::Running
            | MigrationState::Applied
            | MigrationState::RolledBack
            | MigrationState::NeedsHuman => Ok(()),
        };
    }
    fold::since(out, from, width);
}

fn refusal_lines(out: &mut String, refusal: &Refusal) {
    let _ = writeln!(out, "  {}: {}", refusal.reason, refusal.message);
    if !refusal.what_to_do.is_empty() {
        let _ = writeln!(out, "    {}", refusal.what_to_do);
    }
}

/// What targets say about a set. `lock`: who froze the environment, in words.
pub fn status(targets: &[TargetStatus], lock: Option<&str>) -> String {
    let mut out = String::new();
    if let Some(lock) = lock {
        let _ = writeln!(out, "frozen: {lock}");
    }
    for target in targets {
        let of = |word: &str| target.migrations.iter().filter(|m| word_of(m) == word).count();
        let _ = write!(out, "{} ({}): {} applied", target.target, target.engine, of("applied"));
        if of("adopted") > 0 {
            let _ = write!(out, ", {} adopted", of("adopted"));
        }
        let _ = write!(out, ", {} pending", of("pending"));
        // What went well needs no word; what did not is never left out of the first line.
        for (word, words) in [
            ("running", "running"),
            ("failed", "failed"),
            ("rolled_back", "rolled back"),
            ("reset", "reset"),
            ("needs_human", "needs a person"),
        ] {
            if of(word) > 0 {
                let _ = write!(out, ", {} {words}", of(word));
            }
        }
        out.push('\n');
        if let Some(holder) = &target.lock {
            let _ = writeln!(
                out,
                "  locked by {} from {}, process {}, since {}",
                holder.who, holder.from, holder.pid, holder.since
            );
        }
        for refusal in &target.older {
            let _ = writeln!(out, "  {}; {}", refusal.message, refusal.what_to_do);
        }
        for m in &target.migrations {
            let when = m.applied_at.map_or(String::new(), |at| format!("  {}", at.format("%Y-%m-%d %H:%M:%S UTC")));
            let by = m.by.as_ref().map_or(String::new(), |by| format!("  by {by}"));
            let note = m.note.as_ref().map_or(String::new(), |n| format!("  {n}"));
            let _ = writeln!(out, "  {:<11} {}{when}{by}{note}", word_of(m), m.id);
        }
    }
    out
}

/// Where a migration stands, for people: what Godwit did not do itself has words of its own.
fn word_of(migration: &MigrationStatus) -> &'static str {
    match migration.state {
        MigrationState::Applied if migration.is_adopted() => "adopted",
        MigrationState::RolledBack if migration.is_reset() => "reset",
        state => state.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_narrow_terminal_words_are_broken_and_statements_are_not() {
        let statement = "create table customers (id bigint primary key, email text not null)";
        let report: RunReport = serde_json::from_value(serde_json::json!({
            "environment": "staging", "digest": format!("sha256:{}", "0".repeat(64)), "risk": "LOW", "outcome": "planned",
            "steps": [{ "migration": "0001_customers", "target": "shop", "engine": "postgresql", "action": "apply",
                        "recovery": "atomic", "probe": "its row in the history, which commits with it",
                        "statements": [statement], "state": "pending", "duration_ms": 0, "error": null }],
            "blocked_by": [{ "reason": "edited", "message": "`0000_a` is not as it was applied to `shop`",
                             "what_to_do": "put the file back", "needs_human": true }],
            "backup": null, "run": "01JD3ZQ7V3MZ5T4Q9C1XKX7B2H", "duration_ms": 0,
            "notes": ["`CREATE INDEX` without `CONCURRENTLY` is none of this"],
        }))
        .unwrap();
        let told = run(&report, true, 40);
        for line in told.lines().filter(|l| !l.contains(statement)) {
            assert!(line.chars().count() <= 40, "{told}");
        }
        assert!(told.contains(&format!("             {statement}\n")), "{told}");
        assert!(told.contains("  edited: `0000_a` is not as it was\n    applied to `shop`\n"), "{told}");
        // Elsewhere a line stays a line.
        assert!(run(&report, true, usize::MAX).contains("  edited: `0000_a` is not as it was applied to `shop`\n"));
    }
}
