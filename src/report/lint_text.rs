//! A lint report for a terminal: each finding with the line it is about, or one line per finding.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::fold;
use crate::ids::Engine;
use crate::lint::{LintReport, Severity, Violation, secrets};
use crate::migration::operations::{self, Operation, redis};
use crate::migration::{MigrationSet, Script};

const BOLD: Style = Style::new().bold();
const BAR: Style = AnsiColor::Blue.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const INFO: Style = AnsiColor::Cyan.on_default().bold();

/// Characters of a source line that are shown at most.
const WIDTH: usize = 160;

/// How much is said about each finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The source line, the help and the page.
    Full,
    /// `file:line:column: severity[rule]: message`, for editors and large reports.
    Terse,
}

/// The report as text with ANSI styles (the printer takes them out where they are not wanted), in lines of `width`
/// characters unless it is terse. `set` gives the sources.
pub fn render(report: &LintReport, set: &MigrationSet, detail: Detail, width: usize) -> String {
    let mut out = String::with_capacity(report.violations.len() * 120);
    match detail {
        Detail::Terse => {
            for violation in &report.violations {
                terse(&mut out, violation);
            }
        }
        Detail::Full => {
            let mut sources: HashMap<&str, Vec<&Script>> = HashMap::new();
            for script in set.migrations.iter().flat_map(|m| std::iter::once(&m.up).chain(&m.down)) {
                sources.entry(script.path.as_str()).or_default().push(script);
            }
            // Violations are sorted by file, so each source is cut into lines once.
            for of_file in report.violations.chunk_by(|a, b| a.file == b.file) {
                let scripts = of_file.first().and_then(|v| sources.get(v.file.as_str())).map_or(&[][..], Vec::as_slice);
                let texts: Vec<(u32, Cow<'_, str>)> =
                    scripts.iter().filter_map(|script| Some((script.first_line, source(script)?))).collect();
                let mut lines: HashMap<u32, &str> = HashMap::new();
                for (first, text) in &texts {
                    for (n, line) in (*first..).zip(text.lines()) {
                        // An inline rollback is a part of the file that is there already.
                        lines.entry(n).or_insert(line);
                    }
                }
                for violation in of_file {
                    full(&mut out, violation, &lines, width);
                }
            }
        }
    }
    out
}

/// The text of the file that a script was read from, as far as the script tells it.
fn source(script: &Script) -> Option<Cow<'_, str>> {
    if script.path.ends_with(".lua") {
        let listed = operations::read(Engine::Redis, &script.text).ok()?;
        return listed.into_iter().find_map(|l| match l.operation {
            Operation::Redis(redis::Operation::Script { lua, .. }) => {
                Some(Cow::Owned(secrets::masked(&lua).into_owned()))
            }
            _ => None,
        });
    }
    // A computed rollback stands in no file.
    let computed = script.path.ends_with(".json") && script.text.starts_with("[{\"type\":\"undo\"");
    (!computed).then(|| secrets::masked(&script.text))
}

/// One line about the whole: how many of each, and the risk.
pub fn summary(report: &LintReport) -> String {
    let count = |s| report.violations.iter().filter(|v| v.severity == s && v.waived.is_none()).count();
    let waived = report.violations.iter().filter(|v| v.waived.is_some()).count();
    let mut text = format!(
        "{}, {}: {}, {}, {}",
        plural(report.files, "file"),
        plural(report.migrations.len(), "migration"),
        plural(count(Severity::Error), "error"),
        plural(count(Severity::Warning), "warning"),
        plural(count(Severity::Info), "note"),
    );
    if waived > 0 {
        let _ = write!(text, ", {waived} waived");
    }
    let fixable = report.violations.iter().filter(|v| v.fix.is_some() && v.waived.is_none()).count();
    if fixable > 0 {
        let _ = write!(text, "; `--fix` can rewrite {fixable}");
    }
    // What is deleted is no migration any more, and a risk all the same.
    if !report.migrations.is_empty() || report.risk > crate::ids::Risk::Low {
        let _ = write!(text, "; risk {}", report.risk);
    }
    text
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("{n} {what}") } else { format!("{n} {what}s") }
}

fn style(severity: Severity) -> Style {
    match severity {
        Severity::Error => ERROR,
        Severity::Warning => WARNING,
        Severity::Info => INFO,
    }
}

fn terse(out: &mut String, v: &Violation) {
    let style = style(v.severity);
    let waived = if v.waived.is_some() { " (waived)" } else { "" };
    let _ = writeln!(
        out,
        "{}:{}:{}: {style}{}[{}]{style:#}: {}{waived}",
        printable(&v.file),
        v.line,
        v.column,
        v.severity.as_str(),
        v.rule,
        printable(&v.message),
    );
}

fn full(out: &mut String, v: &Violation, lines: &HashMap<u32, &str>, width: usize) {
    let style = style(v.severity);
    let number = v.line.to_string();
    let indent = number.len();
    let severity = v.severity.as_str();
    let title = format!("{style}{severity}[{}]{style:#}{BOLD}: {}{BOLD:#}", v.rule, printable(&v.message));
    fold::hanging(out, &title, width, 2);
    let _ = writeln!(out, "{:indent$}{BAR}-->{BAR:#} {}:{}:{}", "", printable(&v.file), v.line, v.column);
    let source = lines.get(&v.line);
    if let Some(source) = source.filter(|s| !s.trim().is_empty()) {
        let source = secrets::masked(source);
        let (shown, before, marked) = window(&source, v, width.saturating_sub(indent + 5).clamp(10, WIDTH));
        let _ = writeln!(out, "{:indent$} {BAR}|{BAR:#}", "");
        let _ = writeln!(out, "{BAR}{number} |{BAR:#} {shown}");
        let _ = writeln!(out, "{:indent$} {BAR}|{BAR:#} {:before$}{style}{}{style:#}", "", "", "^".repeat(marked));
    }
    let mut below = |text: String| {
        fold::hanging(out, &format!("{:indent$} {BAR}={BAR:#} {text}", ""), width, indent + 3);
    };
    if let Some(help) = &v.help {
        below(format!("{BOLD}help{BOLD:#}: {}", printable(help)));
    }
    if let Some(reason) = &v.waived {
        below(format!("{BOLD}waived{BOLD:#}: {}", printable(reason)));
    }
    below(format!("risk {}, see {}", v.risk, v.url));
    out.push('\n');
}

/// The part of a line that is shown, `most` characters of it, the columns in front of the mark, and the mark's length.
fn window(source: &str, v: &Violation, most: usize) -> (String, usize, usize) {
    let chars: Vec<char> = source.chars().collect();
    let column = usize::try_from(v.column).unwrap_or(1).saturating_sub(1).min(chars.len());
    let end =
        if v.end_line == v.line { usize::try_from(v.end_column).unwrap_or(1).saturating_sub(1) } else { chars.len() };
    let end = end.clamp(column, chars.len());
    let start = if column > most / 2 && chars.len() > most { column - most / 4 } else { 0 };
    let stop = chars.len().min(start + most);
    let mut shown = String::new();
    if start > 0 {
        shown.push('…');
    }
    shown.extend(chars[start..stop].iter().map(|c| visible(*c)));
    if stop < chars.len() {
        shown.push('…');
    }
    let before = column - start + usize::from(start > 0);
    (shown, before, end.min(stop).saturating_sub(column).max(1))
}

/// What stands for a character on a terminal: one that would move the cursor or colour the screen becomes a box, and a
/// tab one blank, so that the mark below stays in place.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control()
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}') =>
        {
            '\u{fffd}'
        }
        c => c,
    }
}

/// Text of a repository made safe for a terminal; line ends become blanks.
fn printable(text: &str) -> Cow<'_, str> {
    // Nearly every text is plain, and there is one for every finding.
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| if c == '\n' { ' ' } else { visible(c) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::sample;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn the_mark_stands_under_what_is_meant() {
        let (report, set) =
            sample(&[("0001_a.up.sql", "-- grüße\r\ncreate table a (id int);\r\n  drop table ä_t cascade;\r\n")]);
        let text = plain(&render(&report, &set, Detail::Full, usize::MAX));
        let lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().position(|l| l.contains("drop-cascade")).expect(&text);
        assert_eq!(lines[at + 1], " --> 0001_a.up.sql:3:18");
        assert_eq!(lines[at + 3], "3 |   drop table ä_t cascade;");
        assert_eq!(lines[at + 4], "  |                  ^^^^^^^");
    }

    #[test]
    fn terse_is_one_line_each() {
        let (report, set) = sample(&[("0001_a.up.sql", "drop table t cascade;\nupdate t set a = 1;\n")]);
        let text = plain(&render(&report, &set, Detail::Terse, usize::MAX));
        assert_eq!(text.lines().count(), report.violations.len());
        assert!(text.contains("0001_a.up.sql:2:1: error[update-without-where]: "), "{text}");
    }

    #[test]
    fn nothing_in_a_file_reaches_the_terminal_raw() {
        let (report, set) = sample(&[("0001_a.up.sql", "update \"\u{1b}[31mx\u{202e}\" set a = 1;\n")]);
        for detail in [Detail::Full, Detail::Terse] {
            let text = render(&report, &set, detail, usize::MAX);
            assert!(!text.contains("[31mx") || text.contains('\u{fffd}'), "{text:?}");
            assert!(!text.contains('\u{202e}'));
        }
    }

    #[test]
    fn very_long_lines_are_cut_around_the_mark() {
        let long = format!("select '{}'; drop table t cascade;", "x".repeat(5000));
        let (report, set) = sample(&[("0001_a.up.sql", &long)]);
        let text = plain(&render(&report, &set, Detail::Full, usize::MAX));
        assert!(text.lines().all(|l| l.chars().count() < 200), "{text}");
        assert!(text.contains("drop table t cascade"));
    }
    #[test]
    fn a_finding_fits_a_narrow_terminal() {
        let text = format!("select '{}' from somewhere; drop table t cascade;", "x".repeat(60));
        let (report, set) = sample(&[("0001_a.up.sql", &text)]);
        let told = plain(&render(&report, &set, Detail::Full, 40));
        assert!(told.lines().all(|l| l.chars().count() <= 40), "{told}");
        let lines: Vec<&str> = told.lines().collect();
        let mark = lines.iter().position(|l| l.ends_with(" ^^^^^^^")).expect(&told);
        let column = lines[mark].chars().take_while(|c| *c != '^').count();
        let meant: String = lines[mark - 1].chars().skip(column).take(7).collect();
        assert_eq!(meant, "cascade", "{told}");
        // For programs every finding stays a line.
        assert_eq!(render(&report, &set, Detail::Terse, 40), render(&report, &set, Detail::Terse, usize::MAX));
    }
}
