//! Mechanical rewrites: what a rule offers, where it lies in the file, and which of them leave nothing worse behind.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::lines::Lines;
use super::uses::RETYPES;
use super::{LintReport, Scope, Severity, Violation, check};
use crate::config::LintConfig;
use crate::migration::{Directives, Layout, Migration, MigrationSet, Script};

/// A rewrite as a rule offers it, in bytes of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// What it does, such as `Add NOT VALID`.
    pub title: String,
    /// What is replaced by what.
    pub edits: Vec<(Range<usize>, String)>,
}

/// A rewrite that a rule offers for a finding. Field names are those of `godwit lint --format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fix {
    /// What it does.
    pub title: String,
    /// What is replaced, in the file's order, none overlapping another.
    pub edits: Vec<Edit>,
}

/// One replacement in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Edit {
    /// First line, from 1.
    pub line: u32,
    /// First column, from 1, in characters.
    pub column: u32,
    /// Line of the first character that stays.
    pub end_line: u32,
    /// Column of the first character that stays.
    pub end_column: u32,
    /// What comes in between.
    pub text: String,
}

impl Rewrite {
    /// The rewrite by lines and columns of the file.
    pub(super) fn located(self, lines: &Lines<'_>) -> Fix {
        let mut edits: Vec<Edit> = self
            .edits
            .into_iter()
            .map(|(range, text)| {
                let (start, end) = (lines.position(range.start), lines.position(range.end));
                Edit { line: start.line, column: start.column, end_line: end.line, end_column: end.column, text }
            })
            .collect();
        edits.sort();
        Fix { title: self.title, edits }
    }
}

/// A file with the rewrites that hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed<'a> {
    /// The file.
    pub file: &'a str,
    /// The findings that are gone with them.
    pub mended: Vec<&'a Violation>,
}

impl Fixed<'_> {
    /// The whole file's text with the rewrites in it; `None` when `text` is not what was looked at.
    pub fn apply(&self, text: &str) -> Option<String> {
        apply(text, 1, self.mended.iter().filter_map(|v| v.fix.as_ref()))
    }
}

/// One rewrite as whole lines of a file, to be offered for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// What was found.
    pub violation: Violation,
    /// The first line that changes, from 1.
    pub first_line: u32,
    /// The last line that changes.
    pub last_line: u32,
    /// These lines as they are.
    pub before: String,
    /// And as they would be.
    pub after: String,
}

impl Fixed<'_> {
    /// Each rewrite of the file for itself.
    pub fn proposals(&self, set: &MigrationSet) -> Vec<Proposal> {
        let scripts: Vec<&Script> = set
            .migrations
            .iter()
            .flat_map(|m| std::iter::once(&m.up).chain(&m.down))
            .filter(|s| s.path == self.file)
            .collect();
        let propose = |violation: &Violation| {
            let fix = violation.fix.as_ref()?;
            let first_line = fix.edits.iter().map(|e| e.line).min()?;
            let last_line = fix.edits.iter().map(|e| e.end_line).max()?;
            let script = scripts.iter().find(|s| s.first_line <= first_line && last_line <= last_line_of(s))?;
            let skipped = usize::try_from(first_line - script.first_line).ok()?;
            let count = usize::try_from(last_line - first_line).ok()? + 1;
            let lines: Vec<&str> = script.text.lines().skip(skipped).take(count).collect();
            let before = lines.join("\n");
            let after = apply(&before, first_line, std::iter::once(fix))?;
            Some(Proposal { violation: violation.clone(), first_line, last_line, before, after })
        };
        self.mended.iter().filter_map(|v| propose(v)).collect()
    }
}

/// What came of the rewrites that a report offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried<'a> {
    /// Those that hold, by file.
    pub fixed: Vec<Fixed<'a>>,
    /// Those that do not, each with the reason.
    pub left: Vec<(&'a Violation, String)>,
}

/// The rewrites of a report that hold, as [`tried`] finds them.
pub fn fixes<'a>(
    set: &MigrationSet,
    report: &'a LintReport,
    config: &LintConfig,
    scope: &Scope,
    today: NaiveDate,
) -> Vec<Fixed<'a>> {
    tried(set, report, config, scope, today).fixed
}

/// Lays the rewrites of a report over the migrations together: one holds that takes its finding away and leaves no error
/// that was not there. Waived findings are left alone, and of two that overlap the later one.
pub fn tried<'a>(
    set: &MigrationSet,
    report: &'a LintReport,
    config: &LintConfig,
    scope: &Scope,
    today: NaiveDate,
) -> Tried<'a> {
    let look = |rewritten: &MigrationSet| check(rewritten, config, scope, today);
    let mut chosen: BTreeMap<&str, Vec<&Violation>> = BTreeMap::new();
    let mut left: Vec<(&Violation, String)> = Vec::new();
    let migrations = by_file(set);
    for violation in report.violations.iter().filter(|v| v.waived.is_none() && v.fix.is_some()) {
        if let Some(why) = migrations.get(violation.file.as_str()).and_then(|m| against_its_tool(m, violation)) {
            left.push((violation, why));
            continue;
        }
        let of_file = chosen.entry(violation.file.as_str()).or_default();
        match of_file.iter().find(|other| overlap(other, violation)) {
            None => of_file.push(violation),
            Some(other) => {
                left.push((
                    violation,
                    format!("it changes what the rewrite for `{}` changes; run it again", other.rule),
                ));
            }
        }
    }
    // Each round that is not the last gives up a file or a rewrite, so it ends.
    while !chosen.is_empty() {
        let rewritten = match rewritten(set, &chosen) {
            Ok(rewritten) => rewritten,
            Err(file) => {
                let all = chosen.remove(file.as_str()).unwrap_or_default();
                left.extend(all.into_iter().map(|v| (v, "it does not fit the file's text".to_owned())));
                continue;
            }
        };
        let after = look(&rewritten);
        let worse: Vec<&str> =
            chosen.keys().copied().filter(|file| new_error(report, &after, file).is_some()).collect();
        let mut changed = !worse.is_empty();
        for file in worse {
            let all = chosen.remove(file).unwrap_or_default();
            let (holding, others) = alone(set, report, file, &all, &look);
            // Where each would do by itself, other files make it worse, and nobody can say which rewrite it is.
            if others.is_empty() {
                let why = new_error(report, &after, file).unwrap_or_default();
                left.extend(holding.into_iter().map(|v| (v, why.clone())));
            } else if !holding.is_empty() {
                chosen.insert(file, holding);
            }
            left.extend(others);
        }
        if changed {
            continue;
        }
        for (file, mended) in &mut chosen {
            // A note in a warning's place says that there is nothing to fear any more.
            let count = |all: &[Violation], mine: &Violation| {
                let same = |v: &&Violation| v.file == *file && v.rule == mine.rule && v.severity >= mine.severity;
                all.iter().filter(same).count()
            };
            let tried = mended.clone();
            let helps = |v: &&Violation| {
                let same = |t: &&&Violation| t.rule == v.rule && t.severity >= v.severity;
                count(&after.violations, v) + tried.iter().filter(same).count() <= count(&report.violations, v)
            };
            mended.retain(helps);
            let gone = tried.iter().filter(|v| !mended.iter().any(|kept| std::ptr::eq(*kept, **v)));
            left.extend(gone.map(|v| (*v, "it would still be found".to_owned())));
            changed |= mended.len() < tried.len();
        }
        chosen.retain(|_, mended| !mended.is_empty());
        if !changed {
            break;
        }
    }
    left.sort_by_key(|(v, _)| (&v.file, v.line, v.column, &v.rule));
    Tried { fixed: chosen.into_iter().map(|(file, mended)| Fixed { file, mended }).collect(), left }
}

fn by_file(set: &MigrationSet) -> BTreeMap<&str, &Migration> {
    set.migrations
        .iter()
        .flat_map(|m| std::iter::once(&m.up).chain(&m.down).map(move |s| (s.path.as_str(), m)))
        .collect()
}

/// Why the tool that the folder's layout comes from could not go on with the file after a rewrite, if it could not.
fn against_its_tool(migration: &Migration, violation: &Violation) -> Option<String> {
    let brings = |word: &str| {
        let edits = violation.fix.iter().flat_map(|fix| &fix.edits);
        edits.into_iter().any(|edit| edit.text.to_ascii_lowercase().contains(word))
    };
    let steps = || !migration.directives.no_transaction && (brings("concurrently") || brings("no-transaction"));
    let own_mark = match migration.layout {
        Layout::Prisma if RETYPES.contains(&violation.rule.as_str()) => {
            return Some(
                "Prisma takes the type from schema.prisma: change it there (`@db.…`) and make the migration anew"
                    .to_owned(),
            );
        }
        Layout::Goose => "`-- +goose NO TRANSACTION`",
        Layout::SqlMigrate => "`notransaction` behind `-- +migrate Up` (or `Down`)",
        Layout::Dbmate => "`transaction:false` behind `-- migrate:up` (or `down`)",
        Layout::Diesel => "`run_in_transaction = false` in the folder's metadata.toml",
        Layout::Sqlx => "`-- no-transaction` as the first line",
        Layout::Numbered | Layout::Typed | Layout::Service | Layout::Scripts | Layout::Prisma | Layout::Flyway => {
            return None;
        }
    };
    steps().then(|| {
        format!(
            "it runs outside of a transaction: write {own_mark}, as {} asks for, and run it again",
            migration.layout
        )
    })
}

/// Of the rewrites of one file, tried one behind the other: those that bring no error together, and the others with what
/// they would bring.
fn alone<'a>(
    set: &MigrationSet,
    report: &LintReport,
    file: &'a str,
    all: &[&'a Violation],
    look: &dyn Fn(&MigrationSet) -> LintReport,
) -> (Vec<&'a Violation>, Vec<(&'a Violation, String)>) {
    let (mut holding, mut others) = (Vec::new(), Vec::new());
    for violation in all {
        let together: Vec<&Violation> = holding.iter().copied().chain([*violation]).collect();
        let brought = match rewritten(set, &BTreeMap::from([(file, together)])) {
            Ok(rewritten) => new_error(report, &look(&rewritten), file),
            Err(_) => Some("it does not fit the file's text".to_owned()),
        };
        match brought {
            None => holding.push(*violation),
            Some(why) => others.push((*violation, why)),
        }
    }
    (holding, others)
}

/// What is wrong with a file after a rewrite that was not before, in words; `None` where it has no more errors.
fn new_error(before: &LintReport, after: &LintReport, file: &str) -> Option<String> {
    let stands = |v: &&Violation| v.file == file && v.severity == Severity::Error && v.waived.is_none();
    let count = |report: &LintReport| report.violations.iter().filter(stands).count();
    if count(after) <= count(before) {
        return None;
    }
    let of_rule =
        |report: &LintReport, rule: &str| report.violations.iter().filter(stands).filter(|v| v.rule == rule).count();
    let new = after.violations.iter().filter(stands).find(|v| of_rule(after, &v.rule) > of_rule(before, &v.rule))?;
    Some(format!("it would bring an error ({}): {}", new.rule, new.message))
}

/// The set with the chosen rewrites in its scripts, or the file whose text they do not fit.
fn rewritten(set: &MigrationSet, chosen: &BTreeMap<&str, Vec<&Violation>>) -> Result<MigrationSet, String> {
    let mut changed = set.clone();
    changed.migrations.iter_mut().try_for_each(|migration| rewrite_one(migration, chosen))?;
    Ok(changed)
}

/// Puts the chosen rewrites into a migration's scripts, or gives the file whose text they do not fit.
fn rewrite_one(migration: &mut Migration, chosen: &BTreeMap<&str, Vec<&Violation>>) -> Result<(), String> {
    for script in std::iter::once(&mut migration.up).chain(&mut migration.down) {
        let Some(mended) = chosen.get(script.path.as_str()) else { continue };
        let (first, last) = (script.first_line, last_line_of(script));
        let within = |v: &&&Violation| v.line >= first && v.end_line <= last;
        let here = mended.iter().filter(within).filter_map(|v| v.fix.as_ref());
        match apply(&script.text, first, here) {
            Some(text) => script.text = text,
            None => return Err(script.path.clone()),
        }
    }
    // A rewrite may bring the mark with it.
    let up = &migration.up;
    if chosen.contains_key(up.path.as_str()) {
        migration.directives.no_transaction |=
            Directives::parse(&up.path, &up.text, up.first_line, &mut Vec::new()).no_transaction;
    }
    Ok(())
}

fn last_line_of(script: &Script) -> u32 {
    let breaks = script.text.bytes().filter(|b| *b == b'\n').count();
    script.first_line.saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX))
}

fn overlap(a: &Violation, b: &Violation) -> bool {
    fn edits(v: &Violation) -> impl Iterator<Item = &Edit> {
        v.fix.iter().flat_map(|f| &f.edits)
    }
    edits(a).any(|x| {
        edits(b).any(|y| {
            (x.line, x.column) <= (y.end_line, y.end_column) && (y.line, y.column) <= (x.end_line, x.end_column)
        })
    })
}

/// `text`, which begins on `first_line` of its file, with every edit done; `None` when one lies outside of it.
pub fn apply<'f>(text: &str, first_line: u32, fixes: impl Iterator<Item = &'f Fix>) -> Option<String> {
    let mut edits: Vec<&Edit> = fixes.flat_map(|f| &f.edits).collect();
    edits.sort();
    let lines = Lines::new(text, first_line);
    // A byte order mark is no column.
    let mark = if first_line == 1 && text.starts_with('\u{feff}') { 1 } else { 0 };
    let offset = |line: u32, column: u32| {
        let start = lines.offset_of_line(line)?;
        let rest = text[start..].split('\n').next().unwrap_or_default();
        let skipped = usize::try_from(column.checked_sub(1)?).ok()? + if line == 1 { mark } else { 0 };
        match rest.char_indices().nth(skipped) {
            Some((at, _)) => Some(start + at),
            None => (rest.chars().count() == skipped).then_some(start + rest.len()),
        }
    };
    let (mut out, mut done) = (String::with_capacity(text.len() + 64), 0);
    for edit in edits {
        let (start, end) = (offset(edit.line, edit.column)?, offset(edit.end_line, edit.end_column)?);
        if start < done || end < start {
            return None;
        }
        out.push_str(&text[done..start]);
        out.push_str(&edit.text);
        done = end;
    }
    out.push_str(&text[done..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn fixed(files: &[(&str, &str)]) -> Vec<(String, String, Vec<String>)> {
        let (report, set) = sample(files);
        let today = NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date");
        fixes(&set, &report, &LintConfig::default(), &Scope::All, today)
            .iter()
            .map(|f| {
                let text = files.iter().find(|(path, _)| path.ends_with(f.file)).expect("a file").1;
                let rules = f.mended.iter().map(|v| v.rule.clone()).collect();
                (f.file.to_owned(), f.apply(text).expect("the text that was read"), rules)
            })
            .collect()
    }

    fn one(sql: &str) -> String {
        let files = [("1_a.up.sql", sql), ("1_a.down.sql", "select 1;")];
        fixed(&files).pop().map_or_else(|| sql.to_owned(), |(_, text, _)| text)
    }

    #[test]
    fn what_is_mechanical_is_rewritten() {
        for (before, after) in [
            ("create index i on t (a);", "create index concurrently i on t (a);"),
            ("drop index i;", "drop index concurrently i;"),
            ("alter table t add column d timestamp;", "alter table t add column d timestamptz;"),
            ("alter table t add column d char(4);", "alter table t add column d varchar(4);"),
            ("alter table t add column d char;", "alter table t add column d varchar(1);"),
            ("ALTER TABLE t ADD COLUMN d bpchar;", "ALTER TABLE t ADD COLUMN d TEXT;"),
            ("ALTER TABLE t ADD COLUMN at TIMESTAMP(3);", "ALTER TABLE t ADD COLUMN at TIMESTAMPTZ(3);"),
            (
                "alter table t add column at timestamp (0) without time zone[];",
                "alter table t add column at timestamptz(0)[];",
            ),
            ("create index concurrently if not exists i on t (a);", "create index concurrently i on t (a);"),
            (
                "alter table t add constraint c check (a > 0);",
                "alter table t add constraint c check (a > 0) not valid;",
            ),
            (
                "alter table t add constraint c foreign key (a) references u (id) on delete restrict;",
                "alter table t add constraint c foreign key (a) references u (id) on delete restrict not valid;",
            ),
        ] {
            assert_eq!(one(before).to_lowercase(), after.to_lowercase(), "{before}");
        }
    }

    #[test]
    fn a_file_stays_one_that_its_own_tool_can_run() {
        let index = "CREATE INDEX i ON t (a);\n";
        let of = |path: &str, text: &str| fixed(&[(path, text)]).pop().map(|(_, text, _)| text);
        for (path, plain, marked) in [
            ("00001_i.sql", "-- +goose Up\n", "-- +goose NO TRANSACTION\n-- +goose Up\n"),
            ("20240101000000_i.sql", "-- migrate:up\n", "-- migrate:up transaction:false\n"),
            ("1_i.sql", "-- +migrate Up\n", "-- +migrate Up notransaction\n"),
        ] {
            assert_eq!(of(path, &format!("{plain}{index}")), None, "{plain}");
            let text = of(path, &format!("{marked}{index}")).expect("a rewrite");
            assert!(text.contains("CREATE INDEX CONCURRENTLY i"), "{text}");
        }
        let column = "ALTER TABLE t ADD COLUMN at TIMESTAMP(3);";
        assert_eq!(of("20240101000000_a/migration.sql", column), None, "the type stands in schema.prisma");
        assert!(of("V1__a.sql", column).is_some());
    }

    #[test]
    fn what_the_pages_advise_is_written_where_it_is_mechanical() {
        for (before, after) in [
            ("create table u (a json);", "create table u (a jsonb);"),
            ("drop table t cascade;", "drop table t;"),
            ("alter table t drop column c cascade, drop column d;", "alter table t drop column c, drop column d;"),
            ("truncate t cascade;", "truncate t;"),
            ("set lock_timeout = 0;\nalter table t drop column c;\n", "alter table t drop column c;\n"),
            (
                "alter table t add column c uuid default gen_random_uuid(), add column d bigint;\nselect 1;",
                "alter table t add column c uuid, add column d bigint;\nalter table t alter column c set default gen_random_uuid();\nselect 1;",
            ),
            (
                "alter table t add column c bigint check (c > 0) default 1",
                "alter table t add column c bigint default 1, add constraint t_c_check check (c > 0) not valid",
            ),
            (
                "alter table s.t add column c bigint constraint k check (c > 0), add column d bigint;",
                "alter table s.t add column c bigint, add constraint k check (c > 0) not valid, add column d bigint;",
            ),
            (
                "alter table t add column c bigint default 1 references u (id) on delete cascade;",
                "alter table t add column c bigint default 1, add constraint t_c_fkey foreign key (c) references u (id) on delete cascade not valid;",
            ),
            (
                "alter table t alter column c set not null;\n",
                "-- godwit: no-transaction\nalter table t add constraint t_c_not_null check (c is not null) not valid;\n\
                 alter table t validate constraint t_c_not_null;\nalter table t alter column c set not null;\n\
                 alter table t drop constraint t_c_not_null;\n",
            ),
            (
                "alter table t add constraint k unique (a, b);",
                "-- godwit: no-transaction\ncreate unique index concurrently k on t (a, b);\n\
                 alter table t add constraint k unique using index k;",
            ),
            (
                "alter table t add unique (a);",
                "-- godwit: no-transaction\ncreate unique index concurrently t_a_key on t (a);\n\
                 alter table t add constraint t_a_key unique using index t_a_key;",
            ),
            (
                "create table c (id bigint primary key, t_id bigint references t (id));\nselect 1;",
                "create table c (id bigint primary key, t_id bigint references t (id));\ncreate index on c (t_id);\nselect 1;",
            ),
        ] {
            assert_eq!(one(before).to_lowercase(), after, "{before}");
        }
        // What needs a thought, or another migration, is left as it is.
        for sql in [
            "alter table t add column c uuid not null default gen_random_uuid();",
            "alter table t add column c bigint generated always as identity;",
            "alter table t alter column c set not null; insert into t values (1);",
            "alter table t alter column c set not null, drop column d;",
            "alter table t add constraint k unique nulls not distinct (a);",
            "alter table t add constraint k unique (a) deferrable;",
            "drop owned by r cascade;",
        ] {
            assert_eq!(one(sql), sql);
        }
    }

    #[test]
    fn a_rewrite_that_would_make_it_worse_is_left_out() {
        // CONCURRENTLY cannot run in the transaction that the other statement asks for.
        let mixed = "insert into t values (1);\ncreate index i on t (a);\n";
        assert_eq!(one(mixed), mixed);
        // What else the file needs is done all the same, and it is said why that is not.
        let more = format!("{mixed}alter table t add column d timestamp;\n");
        assert_eq!(one(&more), more.replace("timestamp", "timestamptz"));
        let (report, set) = sample(&[("1_a.up.sql", &more), ("1_a.down.sql", "select 1;")]);
        let today = NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date");
        let left = tried(&set, &report, &LintConfig::default(), &Scope::All, today).left;
        let rules: Vec<&str> = left.iter().map(|(v, _)| v.rule.as_str()).collect();
        assert_eq!(rules, ["require-concurrent-index-creation"], "{left:?}");
        assert!(left[0].1.starts_with("it would bring an error (mixed-transaction): "), "{left:?}");
        // A column's own foreign key has no NOT VALID.
        let column = "alter table t add column a bigint references u (id);";
        assert_eq!(one(column), column);
        let waived = "-- godwit: waive=prefer-timestamp-tz reason=\"local times are meant\"\n\
                      alter table t add column d timestamp;";
        assert_eq!(one(waived), waived);
    }

    #[test]
    fn edits_fall_where_they_belong() {
        let text = "\u{feff}alter table tä add column d timestamp,\r\n  add column e timestamp;\r\n";
        let files = [("1_a.up.sql", text), ("1_a.down.sql", "select 1;")];
        let (_, after, rules) = fixed(&files).pop().expect("a file");
        assert_eq!(after, text.replace("timestamp", "timestamptz"));
        assert_eq!(rules.len(), 2);
        // A second look finds nothing to do.
        assert_eq!(fixed(&[("1_a.up.sql", &after), ("1_a.down.sql", "select 1;")]), []);
    }

    #[test]
    fn edits_that_do_not_fit_are_refused() {
        let edit = |line, column, end_column| Edit { line, column, end_line: line, end_column, text: "x".to_owned() };
        let fix = |edits: Vec<Edit>| Fix { title: String::new(), edits };
        for edits in [vec![edit(3, 1, 1)], vec![edit(1, 9, 9)], vec![edit(1, 2, 1)], vec![edit(1, 1, 3), edit(1, 2, 4)]]
        {
            assert_eq!(apply("abc\ndef", 1, std::iter::once(&fix(edits.clone()))), None, "{edits:?}");
        }
        assert_eq!(apply("abc\ndef", 5, std::iter::once(&fix(vec![edit(6, 4, 4)]))), Some("abc\ndefx".to_owned()));
        assert_eq!(apply("", 1, std::iter::once(&fix(vec![edit(1, 1, 1)]))), Some("x".to_owned()));
    }
}
