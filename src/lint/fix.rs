//! Mechanical rewrites: what a rule offers, where it lies in the file, and which of them leave nothing worse behind.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::lines::Lines;
use super::{LintReport, Scope, Severity, Violation, check};
use crate::config::LintConfig;
use crate::migration::{Directives, Migration, MigrationSet, Script};

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

/// The rewrites of a report that hold, by file: laid over the migrations together, each takes its finding away and
/// leaves no error that was not there. Waived findings are left alone, and of two that overlap the later one.
pub fn fixes<'a>(
    set: &MigrationSet,
    report: &'a LintReport,
    config: &LintConfig,
    scope: &Scope,
    today: NaiveDate,
) -> Vec<Fixed<'a>> {
    let mut chosen: BTreeMap<&str, Vec<&Violation>> = BTreeMap::new();
    for violation in report.violations.iter().filter(|v| v.waived.is_none() && v.fix.is_some()) {
        let of_file = chosen.entry(violation.file.as_str()).or_default();
        if !of_file.iter().any(|other| overlap(other, violation)) {
            of_file.push(violation);
        }
    }
    let before = errors(report);
    // Each round that is not the last gives up a file or a rewrite, so it ends.
    while !chosen.is_empty() {
        let Some(rewritten) = rewritten(set, &mut chosen) else { continue };
        let after = check(&rewritten, config, scope, today);
        let now = errors(&after);
        let worse: BTreeSet<&str> =
            chosen.keys().copied().filter(|f| now.get(f).unwrap_or(&0) > before.get(f).unwrap_or(&0)).collect();
        let mut changed = !worse.is_empty();
        chosen.retain(|file, _| !worse.contains(file));
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
            changed |= mended.len() < tried.len();
        }
        chosen.retain(|_, mended| !mended.is_empty());
        if !changed {
            break;
        }
    }
    chosen.into_iter().map(|(file, mended)| Fixed { file, mended }).collect()
}

/// The set with the chosen rewrites in its scripts; `None` after it gave up a file whose text they do not fit.
fn rewritten(set: &MigrationSet, chosen: &mut BTreeMap<&str, Vec<&Violation>>) -> Option<MigrationSet> {
    let mut changed = set.clone();
    for migration in &mut changed.migrations {
        if !rewrite_one(migration, chosen) {
            return None;
        }
    }
    Some(changed)
}

/// Puts the chosen rewrites into a migration's scripts; false after it gave up a file whose text they do not fit.
fn rewrite_one(migration: &mut Migration, chosen: &mut BTreeMap<&str, Vec<&Violation>>) -> bool {
    for script in std::iter::once(&mut migration.up).chain(&mut migration.down) {
        let Some(mended) = chosen.get(script.path.as_str()) else { continue };
        let (first, last) = (script.first_line, last_line_of(script));
        let within = |v: &&&Violation| v.line >= first && v.end_line <= last;
        let here = mended.iter().filter(within).filter_map(|v| v.fix.as_ref());
        match apply(&script.text, first, here) {
            Some(text) => script.text = text,
            None => {
                let path = script.path.clone();
                chosen.remove(path.as_str());
                return false;
            }
        }
    }
    // A rewrite may bring the mark with it.
    let up = &migration.up;
    if chosen.contains_key(up.path.as_str()) {
        migration.directives.no_transaction |=
            Directives::parse(&up.path, &up.text, up.first_line, &mut Vec::new()).no_transaction;
    }
    true
}

fn last_line_of(script: &Script) -> u32 {
    let breaks = script.text.bytes().filter(|b| *b == b'\n').count();
    script.first_line.saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX))
}

/// Errors that stand, by file.
fn errors(report: &LintReport) -> BTreeMap<&str, usize> {
    let mut count = BTreeMap::new();
    for violation in report.violations.iter().filter(|v| v.severity == Severity::Error && v.waived.is_none()) {
        *count.entry(violation.file.as_str()).or_insert(0) += 1;
    }
    count
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
