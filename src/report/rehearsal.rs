//! A rehearsal as text.

use std::fmt::Write as _;

use super::drift::differences;
use super::escape::{code, prose};
use super::workflow_command::{data, property};
use crate::ids::Engine;
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

/// What is said of roles that came to the server during a rehearsal, and may be its own.
pub fn roles_left(roles: &[String]) -> String {
    let names: Vec<String> = roles.iter().map(|role| format!("`{role}`")).collect();
    format!(
        "these roles came to the server meanwhile, and stay: {}; a migration puts names of roles together as it runs, so they may \
         be its own: drop those that are",
        names.join(", ")
    )
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
            let effect = holds_up(&lock.mode).map_or(String::new(), |e| format!(", {e}"));
            let until = lock.until.as_str();
            let _ = writeln!(out, "         locks {} in mode {}{effect} {until}", lock.relation, lock.mode);
        }
        if let Some(words) = changed(one) {
            let _ = writeln!(out, "         changes {words}");
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

/// How much the way forward changed, in the words of its database.
pub fn changed(tried: &Rehearsed) -> Option<String> {
    let word = match tried.engine {
        Engine::Postgresql | Engine::Sqlite => "row",
        Engine::Mongodb | Engine::Elasticsearch => "document",
        Engine::Redis => "key",
    };
    tried.changed.map(|n| super::count(usize::try_from(n).unwrap_or(usize::MAX), word))
}

/// The same as a section of a job summary. `tried` may be empty: then it says that nothing was there to try.
pub fn markdown(tried: &[Rehearsed]) -> String {
    let mut out = String::from("\n### Rehearsal\n\n");
    if tried.is_empty() {
        out.push_str("No migration of this change runs on the scratch database's engine.\n");
        return out;
    }
    out.push_str("Tried on a scratch database: forward, back, forward again.\n\n");
    out.push_str("| | migration | forward | back | again | locks |\n|---|---|---|---|---|---|\n");
    for one in tried {
        let took = |n: usize| one.took_ms.get(n).map_or("–".to_owned(), |ms| format!("{ms} ms"));
        let locks: Vec<String> = one
            .locks
            .iter()
            .map(|lock| {
                let effect = holds_up(&lock.mode).map_or(String::new(), |e| format!(" ({e})"));
                format!("{} {}{effect} {}", code(&lock.relation), lock.mode, lock.until.as_str())
            })
            .collect();
        let mark = if one.is_sound() { "✅" } else { "❌" };
        let id = code(one.migration.as_str());
        let _ = writeln!(out, "| {mark} | {id} | {} | {} | {} | {} |", took(0), took(1), took(2), locks.join(", "));
    }
    for one in tried.iter().filter(|t| !t.is_sound()) {
        let _ = writeln!(out, "\n{}: {}", code(one.migration.as_str()), prose(&one.complaint()));
    }
    out
}

/// The migrations that did not do what they should as workflow commands; `file_of` tells a migration's file.
pub fn annotations(tried: &[Rehearsed], file_of: impl Fn(&Rehearsed) -> Option<String>) -> String {
    let mut out = String::new();
    for one in tried.iter().filter(|t| !t.is_sound()) {
        let place = file_of(one).map(|f| format!("file={},line=1,", property(&f))).unwrap_or_default();
        let message = data(&format!("{}: {}", one.migration, one.complaint()));
        let _ = writeln!(out, "::error {place}title=rehearsal::{message}");
    }
    out
}

fn wrong(out: &mut String, what: &str, changes: &[SchemaChange]) {
    if !changes.is_empty() {
        let _ = writeln!(out, "         {what}:");
        differences(out, 11, changes);
    }
}
