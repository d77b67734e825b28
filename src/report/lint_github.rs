//! A lint report as workflow commands, which GitHub Actions turns into annotations.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Write as _;

use super::workflow_command::{data, property};
use crate::ids::Risk;
use crate::lint::{Category, LintReport, Severity, Violation};

/// Annotations of one level that GitHub shows per step; more are dropped without a word.
const SHOWN: usize = 10;

/// One command per finding, worst first; a notice says how many GitHub would have dropped. Waived findings are notices.
pub fn render(report: &LintReport) -> String {
    let sorted = worst_first(report);
    let mut out = String::new();
    let mut dropped = 0;
    for (level, command) in [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Info, "notice")] {
        let of_level: Vec<&&Violation> = sorted.iter().filter(|v| shown_as(v) == level).collect();
        // The last notice is kept for saying what was dropped.
        let room = if level == Severity::Info { SHOWN - 1 } else { SHOWN };
        for violation in of_level.iter().take(room) {
            line(&mut out, command, violation);
        }
        dropped += of_level.len().saturating_sub(room);
    }
    if dropped > 0 {
        let _ = writeln!(
            out,
            "::notice title=godwit::{dropped} more findings are not shown here: GitHub shows {SHOWN} of each level; the job summary has all of them"
        );
    }
    out
}

/// By level and risk; among equals one of each rule before the second of any, so that many of a kind hide nothing, and what
/// loses data before what fails before what waits.
fn worst_first(report: &LintReport) -> Vec<&Violation> {
    let mut seen: HashMap<(Severity, Risk, &str), usize> = HashMap::new();
    let mut sorted: Vec<(usize, &Violation)> = Vec::with_capacity(report.violations.len());
    for violation in &report.violations {
        let turn = seen.entry((shown_as(violation), violation.risk, &violation.rule)).or_default();
        sorted.push((*turn, violation));
        *turn += 1;
    }
    sorted.sort_by_key(|(turn, v)| (Reverse((v.severity, v.risk)), *turn, harm(v.category)));
    sorted.into_iter().map(|(_, violation)| violation).collect()
}

/// How much harm is done by the time that it shows, the worst first.
fn harm(category: Category) -> u8 {
    match category {
        Category::Destructive => 0,
        Category::Fails => 1,
        Category::Lock => 2,
        Category::Compatibility => 3,
        Category::Security => 4,
        Category::Structure => 5,
        Category::Style => 6,
    }
}

fn shown_as(v: &Violation) -> Severity {
    if v.waived.is_some() { Severity::Info } else { v.severity }
}

fn line(out: &mut String, command: &str, v: &Violation) {
    let _ = write!(out, "::{command} file={},line={},endLine={}", property(&v.file), v.line, v.end_line);
    // GitHub takes columns only within one line.
    if v.line == v.end_line && v.end_column > v.column {
        let _ = write!(out, ",col={},endColumn={}", v.column, v.end_column);
    }
    let _ = write!(out, ",title={}::{}", property(&v.rule), data(&v.message));
    if let Some(help) = &v.help {
        let _ = write!(out, "%0A{}", data(help));
    }
    if let Some(reason) = &v.waived {
        let _ = write!(out, "%0Awaived: {}", data(reason));
    }
    let _ = writeln!(out, "%0Arisk {}, {}", v.risk, data(&v.url));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::sample;

    #[test]
    fn what_a_file_holds_cannot_make_a_command() {
        let (mut report, _) = sample(&[("0001_a.up.sql", "update t set a = 1;")]);
        report.violations.retain(|v| v.severity == Severity::Error);
        report.violations.truncate(1);
        report.violations[0].file = "a,b:c%\n::error ::x.sql".to_owned();
        report.violations[0].message = "100 %\r\n::set-output name=x::y".to_owned();
        let text = render(&report);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("::error file=a%2Cb%3Ac%25%0A%3A%3Aerror %3A%3Ax.sql,line=1,"), "{text}");
        assert!(text.contains("::100 %25%0D%0A::set-output"), "{text}");
    }

    #[test]
    fn many_of_a_kind_do_not_hide_what_loses_data() {
        let mut files: Vec<(String, String)> =
            (1..32).map(|n| (format!("{n:04}_i.up.sql"), format!("create index i{n} on t{n} (a);"))).collect();
        files.push(("0040_t.up.sql".to_owned(), "truncate t;".to_owned()));
        files.push(("0041_c.up.sql".to_owned(), "alter table t add column c int not null;".to_owned()));
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let (report, _) = sample(&files);
        let shown: Vec<(Severity, Risk, &str)> =
            worst_first(&report).into_iter().take(SHOWN).map(|v| (v.severity, v.risk, v.rule.as_str())).collect();
        let first: Vec<&str> = shown.iter().take(3).map(|(.., rule)| *rule).collect();
        assert_eq!(
            first,
            ["truncate-table", "adding-required-field", "require-concurrent-index-creation"],
            "{shown:?}"
        );
        assert!(shown.iter().all(|v| (v.0, v.1) == (Severity::Warning, Risk::High)), "{shown:?}");
        assert!(render(&report).starts_with("::warning file=0040_t.up.sql,"), "{}", render(&report));
    }

    #[test]
    fn ten_of_each_level_and_a_word_about_the_rest() {
        let many = "update t set a = 1;\n".repeat(30);
        let (report, _) = sample(&[("0001_a.up.sql", &many)]);
        let text = render(&report);
        assert_eq!(text.lines().filter(|l| l.starts_with("::error ")).count(), 10);
        assert!(text.lines().last().is_some_and(|l| l.contains("more findings")), "{text}");
        assert!(text.lines().filter(|l| l.starts_with("::notice ")).count() <= 10);
    }
}
