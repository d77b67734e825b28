//! Whether a semantic version says what its migration does: major breaks, minor adds, patch repairs [S4-41] [S4-42]
//! [S4-43]. Operations are judged where they are followed; the words are the same.

use squawk_syntax::SourceFile;
use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

use super::check::cannot_parse;
use super::script::range_of;
use super::{Severity, Violation, depth, squawk};
use crate::ids::{Engine, Risk};
use crate::migration::operations::lua::{self, Taken};
use crate::migration::{Migration, Problem, Version, VersionStep};

/// Rules about what programs use and find no more: taken away, under another name, or of a narrower type.
const BREAKS: [&str; 11] = [
    "ban-drop-column",
    "ban-drop-domain",
    "ban-drop-function",
    "ban-drop-table",
    "ban-drop-type",
    "ban-drop-view",
    "ban-set-schema",
    "changing-column-type",
    "renaming-column",
    "renaming-object",
    "renaming-table",
];
/// Commands by which a script of Redis gives keys another name, or takes away what is no whole key.
const BREAKS_IN_LUA: [&str; 5] = ["RENAME", "RENAMENX", "HDEL", "FLUSHDB", "FLUSHALL"];

/// Whether the description tells what breaks [S4-61].
pub(super) fn notes_breaking(migration: &Migration) -> bool {
    migration.description.as_deref().is_some_and(|d| d.contains("BREAKING"))
}

/// What is said of a major version whose description does not tell what breaks, and what helps.
pub(super) fn unnoted(version: &Version) -> (String, &'static str) {
    let message = format!("version {version} is a major one, but the description says nothing of BREAKING [S4-61]");
    (message, "say in `description` what breaks: `BREAKING: …`")
}

/// What is said of something that breaks in a lower version, and what helps.
pub(super) fn breaking(what: &str, version: &Version) -> (String, &'static str) {
    let message = format!("`{what}` breaks what runs, but {version} is no major version [S4-41]");
    (message, "raise the first number of `version` and say BREAKING in `description`")
}

/// What is said of something new in a patch version, and what helps.
pub(super) fn adding(what: &str, version: &Version) -> (String, &'static str) {
    let message = format!("`{what}` adds something, but {version} is a patch version [S4-43]");
    (message, "raise the second number of `version`")
}

/// Whether a Lua script takes keys away or renames them.
pub(super) fn takes_keys(script: &str) -> bool {
    lua::losses(script).iter().any(|loss| loss.taken != Taken::Members)
        || lua::calls(script).iter().any(|call| BREAKS_IN_LUA.contains(&call.command.as_str()))
}

/// What does not fit between the version of a migration in SQL and what the rules found in it.
pub(super) fn content(migration: &Migration, violations: &[Violation]) -> Option<Problem> {
    let step = migration.step?;
    if !matches!(migration.engine, Engine::Postgresql | Engine::Sqlite) {
        return None;
    }
    let problem = |file: &str, line: u32, (message, help): (String, &str)| Problem {
        file: file.to_owned(),
        line,
        column: 1,
        end_column: 1,
        rule: "version-content",
        severity: Severity::Error,
        message,
        help: help.to_owned(),
    };
    let up = &migration.up;
    if step == VersionStep::Major {
        let about = migration.files.iter().find(|f| f.path.ends_with(".json")).map_or(&up.path, |f| &f.path);
        return (!notes_breaking(migration)).then(|| problem(about, 1, unnoted(&migration.version)));
    }
    let breaks = |v: &&Violation| v.file == up.path && v.risk >= Risk::Medium && BREAKS.contains(&v.rule.as_str());
    if let Some(found) = violations.iter().find(breaks) {
        return Some(problem(&up.path, found.line, breaking(&found.rule, &migration.version)));
    }
    if step != VersionStep::Patch || cannot_parse(&up.text).is_some() {
        return None;
    }
    let (what, at) = depth::with_stack(|| addition(&up.text))?;
    let lines = up.text[..at.min(up.text.len())].matches('\n').count();
    let line = up.first_line + u32::try_from(lines).unwrap_or(0);
    Some(problem(&up.path, line, adding(what, &migration.version)))
}

/// The first new table or column of a script, with the byte where its statement begins.
fn addition(text: &str) -> Option<(&'static str, usize)> {
    let place = |node: &SyntaxNode| range_of(node).start;
    SourceFile::parse(&squawk::without_marks(text)).tree().stmts().find_map(|statement| match &statement {
        ast::Stmt::CreateTable(create) if create.persistence().is_none() => {
            Some(("CREATE TABLE", place(create.syntax())))
        }
        ast::Stmt::AlterTable(alter) => {
            let adds = alter.actions().any(|action| matches!(action, ast::AlterTableAction::AddColumn(_)));
            adds.then(|| ("ADD COLUMN", place(alter.syntax())))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LintConfig;
    use crate::lint::{LintReport, Scope, check};
    use crate::migration::{MigrationRoot, SourceFile as File, resolve};

    /// A first migration and one behind it: version, description, script.
    fn typed(engine: &str, first: &str, (version, description, script): (&str, &str, &str)) -> LintReport {
        let (extension, keys) = if engine == "redis" { ("lua", r#","keys":["a"]"#) } else { ("sql", "") };
        let about = |version: &str, name: &str, description: &str| {
            format!(
                r#"{{"version":"{version}","name":"{name}","description":"{description}","database_type":"{engine}","migration_type":"schema"{keys}}}"#
            )
        };
        let file = |stem: &str, extension: &str, text: &str| {
            File::new(format!("migrations/{engine}/{stem}.{extension}"), text.as_bytes())
        };
        let back = |sql| if engine == "redis" { "return 0" } else { sql };
        let files = [
            file("001_a", "json", &about("1.0.0", "a", "Tables")),
            file("001_a", extension, first),
            file("001_a_rollback", extension, back("DROP TABLE a;")),
            file("002_b", "json", &about(version, "b", description)),
            file("002_b", extension, script),
            file("002_b_rollback", extension, back("DROP TABLE b;")),
        ];
        let set = resolve(&files, &[MigrationRoot::folder("migrations/*")]);
        assert_eq!(set.migrations.len(), 2, "{:?}", set.problems);
        let today = chrono::NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date");
        check(&set, &LintConfig::default(), &Scope::All, today)
    }

    fn told(report: &LintReport) -> Option<(String, u32, String)> {
        let found = report.violations.iter().find(|v| v.rule == "version-content")?;
        Some((found.file.clone(), found.line, found.message.clone()))
    }

    #[test]
    fn n13_f219_the_version_of_a_script_in_sql_says_what_it_does() {
        let first = "CREATE TABLE a (id bigint PRIMARY KEY, n text);";
        let on = |second| typed("postgresql", first, second);
        for (version, description, sql, expected) in [
            (
                "1.0.1",
                "x",
                "SELECT 1;\nALTER TABLE a DROP COLUMN n;",
                Some(("002_b.sql", 2, "`ban-drop-column` breaks")),
            ),
            ("1.1.0", "x", "ALTER TABLE a RENAME COLUMN n TO m;", Some(("002_b.sql", 1, "`renaming-column` breaks"))),
            ("2.0.0", "x", "ALTER TABLE a DROP COLUMN n;", Some(("002_b.json", 1, "nothing of BREAKING"))),
            ("2.0.0", "BREAKING: n goes", "ALTER TABLE a DROP COLUMN n;", None),
            (
                "1.0.1",
                "x",
                "-- new\nCREATE TABLE b (id bigint PRIMARY KEY);",
                Some(("002_b.sql", 2, "`CREATE TABLE` adds")),
            ),
            ("1.0.1", "x", "ALTER TABLE a ADD COLUMN m text;", Some(("002_b.sql", 1, "`ADD COLUMN` adds"))),
            ("1.1.0", "x", "CREATE TABLE b (id bigint PRIMARY KEY);", None),
            ("1.0.1", "x", "CREATE INDEX CONCURRENTLY i ON a (n);", None),
            ("1.0.1", "x", "CREATE TEMP TABLE b (id bigint);", None),
        ] {
            let report = on((version, description, sql));
            match (told(&report), expected) {
                (None, None) => {}
                (Some((file, line, message)), Some((ending, at, part))) => {
                    assert!(file.ends_with(ending) && line == at && message.contains(part), "{file}:{line} {message}");
                }
                (told, _) => panic!("{version} {sql}: {told:?}"),
            }
        }
    }

    #[test]
    fn n13_the_version_of_a_lua_script_says_what_it_does() {
        let on = |second| told(&typed("redis", "return redis.call('EXPIRE', KEYS[1], 5)", second)).map(|(.., m)| m);
        let gone = "return redis.call('UNLINK', KEYS[1])";
        assert!(on(("1.0.1", "x", gone)).is_some_and(|m| m.contains("breaks what runs")));
        assert!(on(("2.0.0", "x", gone)).is_some_and(|m| m.contains("nothing of BREAKING")));
        assert_eq!(on(("2.0.0", "BREAKING: a goes", gone)), None);
        assert_eq!(on(("1.0.1", "x", "return redis.call('EXPIRE', KEYS[1], 6)")), None);
    }

    #[test]
    fn s4_41_a_major_version_is_high_and_says_so_among_the_reasons() {
        let first = "CREATE TABLE a (id bigint PRIMARY KEY, n text);";
        let on = |version, sql| typed("postgresql", first, (version, "BREAKING: x", sql));
        let harmless = "CREATE TABLE b (id bigint PRIMARY KEY);";
        let report = on("2.0.0", harmless);
        let major = &report.migrations[1];
        assert_eq!((major.risk, report.risk), (Risk::High, Risk::High));
        assert!(major.reasons.iter().any(|r| r.contains("version 2.0.0 is a major one")), "{:?}", major.reasons);
        // The first version of a folder breaks nothing, whatever its number is.
        assert_eq!((report.migrations[0].risk, report.migrations[0].reasons.len()), (Risk::Low, 0));
        for version in ["1.1.0", "1.0.1"] {
            assert_eq!(on(version, harmless).risk, Risk::Low, "{version}");
        }
    }
}
