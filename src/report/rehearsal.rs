//! A rehearsal as text.

use std::fmt::Write as _;

use super::drift::differences;
use crate::plan::drift::SchemaChange;
use crate::plan::rehearsal::Rehearsed;

/// Lock modes that keep readers or writers out, in the words of what waits.
fn holds_up(mode: &str) -> Option<&'static str> {
    match mode {
        "AccessExclusive" => Some("holds up readers and writers"),
        "Exclusive" | "ShareRowExclusive" | "Share" => Some("holds up writers"),
        _ => None,
    }
}

/// What each migration did on the scratch database.
pub fn rehearsal(tried: &[Rehearsed]) -> String {
    let mut out = String::new();
    for one in tried {
        let mark = if one.is_sound() { "ok" } else { "WRONG" };
        let times: Vec<String> = one
            .took_ms
            .iter()
            .zip(["forward", "back", "forward again"])
            .map(|(ms, way)| format!("{way} {ms} ms"))
            .collect();
        let _ = writeln!(out, "  {mark:<6} {}  {}", one.migration, times.join(", "));
        if let Some(error) = &one.error {
            let _ = writeln!(out, "         {error}");
        }
        for lock in &one.locks {
            let effect = holds_up(&lock.mode).map_or(String::new(), |e| format!(", {e} until the end"));
            let _ = writeln!(out, "         locks {} in mode {}{effect}", lock.relation, lock.mode);
        }
        if !one.reversible && one.error.is_none() {
            out.push_str("         has no way back, so only the way forward was tried\n");
        }
        wrong(&mut out, "the way back did not restore", &one.not_restored);
        wrong(&mut out, "the second time left something else", &one.not_repeated);
    }
    let unsound = tried.iter().filter(|t| !t.is_sound()).count();
    let _ = writeln!(out, "{} tried, {unsound} wrong; the scratch database is gone", tried.len());
    out
}

fn wrong(out: &mut String, what: &str, changes: &[SchemaChange]) {
    if !changes.is_empty() {
        let _ = writeln!(out, "         {what}:");
        differences(out, 11, changes);
    }
}
