//! A page about each migration, and the page that lists them [S1-11] [S2-139]. Pure.

use std::fmt::Write as _;

use super::pending::{makes, statements};
use super::{escape, risk_mark};
use crate::lint::{LintReport, made_by, objects_of, secrets};
use crate::migration::graph::edges;
use crate::migration::{Migration, MigrationSet, operations};

/// What every generated page begins with, so that none that people wrote is overwritten.
pub const MARK: &str = "<!-- written by godwit docs: changes are lost -->";

/// The path of a migration's page below the folder of pages.
pub fn path_of(migration: &Migration) -> String {
    let unit = migration.unit.replace("..", "_");
    if unit.is_empty() { format!("{}.md", migration.id) } else { format!("{unit}/{}.md", migration.id) }
}

/// Every page: its path below the folder, and its text.
pub fn pages(set: &MigrationSet, lint: &LintReport) -> Vec<(String, String)> {
    let edges = edges(set);
    let mut all = vec![("README.md".to_owned(), index(set, lint))];
    for (at, migration) in set.migrations.iter().enumerate() {
        let named = |found: Vec<usize>| found.into_iter().map(|n| &set.migrations[n]).collect::<Vec<_>>();
        let needs = named(edges.iter().filter(|e| e.by == at && e.declared).map(|e| e.needed).collect());
        let needed = named(edges.iter().filter(|e| e.needed == at && e.declared).map(|e| e.by).collect());
        all.push((path_of(migration), page(migration, lint, &needs, &needed)));
    }
    all
}

fn index(set: &MigrationSet, lint: &LintReport) -> String {
    let mut out = format!("{MARK}\n\n# Migrations\n");
    let mut unit = None;
    for migration in &set.migrations {
        if unit != Some(&migration.unit) {
            unit = Some(&migration.unit);
            let title = if migration.unit.is_empty() { "." } else { &migration.unit };
            let _ = writeln!(
                out,
                "\n## {}\n\n| migration | engine | risk | what it does |\n|---|---|---|---|",
                escape::code(title)
            );
        }
        let summary = lint.migrations.iter().find(|m| m.unit == migration.unit && m.id == migration.id.as_str());
        let risk = summary.map_or(String::new(), |s| format!("{} {}", risk_mark(s.risk), s.risk));
        let _ = writeln!(
            out,
            "| [{}]({}) | {} | {risk} | {} |",
            escape::inline(migration.id.as_str()),
            escape::path_in_url(&path_of(migration)),
            migration.engine,
            escape::inline(&purpose(migration))
        );
    }
    out
}

fn purpose(migration: &Migration) -> String {
    migration.description.clone().unwrap_or_else(|| migration.name.replace('_', " "))
}

fn page(migration: &Migration, lint: &LintReport, needs: &[&Migration], needed: &[&Migration]) -> String {
    let mut out =
        format!("{MARK}\n\n# {}\n\n{}\n\n", escape::inline(migration.id.as_str()), escape::inline(&purpose(migration)));
    let summary = lint.migrations.iter().find(|m| m.unit == migration.unit && m.id == migration.id.as_str());
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "| {name} | {value} |");
    };
    row("", "");
    row("---", "---");
    row("version", &escape::code(migration.version.as_str()));
    row("engine", migration.engine.as_str());
    row("layout", migration.layout.as_str());
    if let Some(target) = &migration.target {
        row("target", &escape::code(target.as_str()));
    }
    if let Some(service) = &migration.service {
        row("service", &escape::code(service));
    }
    if let Some(only) = &migration.only_in {
        row("runs only in", &escape::code(only.as_str()));
    }
    if let Some(summary) = summary {
        row("risk", &format!("{} {}", risk_mark(summary.risk), summary.risk));
        row("one transaction", if summary.transactional { "yes" } else { "no" });
    }
    row("can be taken back", if migration.is_reversible() { "yes" } else { "no" });
    row("statements", &statements(migration).to_string());
    row("makes", &makes(made_by(migration)));
    let objects: Vec<String> = objects_of(migration).iter().map(|o| escape::code(o)).collect();
    row("names", &objects.join(", "));
    let references =
        |all: &[&Migration]| all.iter().map(|m| escape::code(&m.reference())).collect::<Vec<_>>().join(", ");
    if !needs.is_empty() {
        row("needs", &references(needs));
    }
    if !needed.is_empty() {
        row("is needed by", &references(needed));
    }
    row("checksum", &escape::code(migration.checksum.as_str()));
    if let Some(summary) = summary.filter(|s| !s.reasons.is_empty()) {
        out.push_str("\n## Risk\n\n");
        for reason in &summary.reasons {
            let _ = writeln!(out, "* {}", escape::inline(reason));
        }
    }
    let findings: Vec<_> =
        lint.violations.iter().filter(|v| migration.files.iter().any(|f| f.path == v.file)).collect();
    if !findings.is_empty() {
        out.push_str("\n## Findings\n\n");
        for v in findings {
            let _ = writeln!(out, "* {}, line {}: {}", escape::code(&v.rule), v.line, escape::inline(&v.message));
        }
    }
    let language = if operations::are_operations(migration.engine) { "json" } else { "sql" };
    let _ = write!(
        out,
        "\n## Forward\n\n{}\n\n{}\n",
        escape::code(&migration.up.path),
        escape::fence(language, secrets::masked(migration.up.text.trim_end()).as_ref())
    );
    if let Some(down) = migration.down.as_ref().filter(|_| migration.is_reversible()) {
        let _ = write!(
            out,
            "\n## Back\n\n{}\n\n{}\n",
            escape::code(&down.path),
            escape::fence(language, secrets::masked(down.text.trim_end()).as_ref())
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::sample;

    #[test]
    fn x01_a_page_shows_no_secret() {
        let (lint, set) = sample(&[
            (
                "0001_a.up.sql",
                "create user app password 'hunter1';\ncreate subscription s connection 'password=hunter2' publication p;",
            ),
            ("0001_a.down.sql", "select 'postgres://root:hunter3@host/db';"),
        ]);
        let pages = pages(&set, &lint);
        assert!(pages.iter().any(|(_, text)| text.contains("create user app password '*******';")));
        assert!(pages.iter().all(|(_, text)| !text.contains("hunter")), "{pages:?}");
    }

    #[test]
    fn s1_11_every_migration_has_its_page_and_stands_in_the_list() {
        let (lint, set) = sample(&[
            ("0001_a.up.sql", "create table a (id bigint primary key);"),
            ("0001_a.down.sql", "drop table a;"),
            ("0002_b.up.sql", "-- godwit: depends_on=0001_a\nalter table a add column x int;\n-- </details> ``` @all"),
        ]);
        let pages = pages(&set, &lint);
        let text = |path: &str| &pages.iter().find(|(p, _)| p == path).unwrap_or_else(|| panic!("{path}")).1;
        assert!(text("README.md").contains("[0001\\_a](0001_a.md)"), "{}", text("README.md"));
        assert!(text("0001_a.md").contains("| is needed by | `0002_b` |"), "{}", text("0001_a.md"));
        assert!(text("0001_a.md").contains("## Back"));
        // A fence in the script does not end the page's.
        assert!(text("0002_b.md").contains("````sql"), "{}", text("0002_b.md"));
        assert!(pages.iter().all(|(_, text)| text.starts_with(MARK)));
    }
}
