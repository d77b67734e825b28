//! Which module may use which: the table of docs/ARCHITECTURE.md, as code.

use super::{files, none, read};

/// A module, and what it may name after `crate::`. A longer path allows only that one item of another module.
const ARROWS: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("redact", &[]),
    // Input: the repository's files and its configuration.
    ("migration", &["ids", "redact", "config"]),
    // The server's settings hold webhook secrets as the type that checks signatures; they are compiled with the server only.
    ("config", &["ids", "redact", "migration", "github::webhook"]),
    // Decisions. A lint report names each migration's risk, and the risk is read from the violations: one row.
    ("lint", &["ids", "redact", "config", "migration", "risk"]),
    ("risk", &["ids", "config", "migration", "lint"]),
    ("approval", &["ids", "redact", "config", "migration", "lint", "risk"]),
    ("plan", &["ids", "redact", "config", "migration", "lint", "risk", "approval"]),
    // The audit log is printed as the store keeps it; that page is compiled with the store only.
    (
        "report",
        &[
            "ids",
            "redact",
            "config",
            "migration",
            "lint",
            "risk",
            "approval",
            "plan",
            "store::{AuditRecord, AuditVerdict}",
        ],
    ),
    // Neighbours, which do not know each other. The queue keeps events, so the store knows that one type.
    ("drivers", &["ids", "redact", "config", "migration", "plan", "risk::facts"]),
    // Copies of targets; a copy's schema is read as a target's is.
    ("backup", &["ids", "redact", "config", "migration", "plan", "drivers"]),
    // SQLite in a cage: what it says of migrations becomes words of the linter.
    ("judge", &["ids", "migration", "lint"]),
    ("git", &["ids", "redact", "config", "migration"]),
    ("github", &["ids", "redact", "config", "migration", "approval", "plan"]),
    ("store", &["ids", "redact", "config", "migration", "risk::facts", "approval", "plan", "github::Event"]),
    // Acting.
    ("runner", &["ids", "redact", "config", "migration", "risk::facts", "plan", "drivers", "backup", "store"]),
    (
        "bot",
        &[
            "ids",
            "redact",
            "config",
            "migration",
            "lint",
            "risk",
            "approval",
            "plan",
            "report",
            "github",
            "git",
            "judge",
            "store",
            "runner",
        ],
    ),
    // Entrances.
    ("server", &["ids", "redact", "config", "approval", "github", "store", "bot"]),
    // The stand-in for GitHub knows nothing of the bot that it is there to test.
    ("sandbox", &["ids"]),
];

/// Modules at the top, which may use everything.
const FREE: &[&str] = &["cli", "demo", "manager", "lib.rs", "main.rs"];

#[test]
fn modules_use_only_what_stands_above_them() {
    let mut findings = Vec::new();
    for file in files("src").iter().filter(|file| file.ends_with(".rs")) {
        let module = file["src/".len()..].split('/').next().unwrap();
        let module = if FREE.contains(&module) { module } else { module.trim_end_matches(".rs") };
        if FREE.contains(&module) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
            findings.push(format!("{file}: `{module}` is not in the table"));
            continue;
        };
        for (number, line) in read(file).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for path in line.split("crate::").skip(1) {
                let used = |name: &str| path.strip_prefix(name).is_some_and(|rest| !rest.starts_with(is_name));
                if !used(module) && !allowed.iter().any(|name| used(name)) {
                    let name: String = path.chars().take_while(|c| is_name(*c) || *c == ':').collect();
                    findings.push(format!("{file}:{}: `{module}` may not use `{name}`", number + 1));
                }
            }
        }
    }
    none(&findings);
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
