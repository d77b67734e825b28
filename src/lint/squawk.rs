//! squawk's findings as ours. Its types stay in this file.

use std::borrow::Cow;
use std::sync::OnceLock;

use squawk_linter::{Linter, LinterSettings, Rule, Version};
use squawk_syntax::{Parse, SourceFile};

use super::script::{Finding, Script};
use super::table::{self, RuleInfo};

/// The rules of squawk that a check runs, chosen once per report.
pub struct Chosen {
    rules: Vec<Rule>,
    version: Option<Version>,
}

impl Chosen {
    /// `wanted` says whether a rule of the table is on. An unreadable `postgres_version` leaves squawk's own default.
    pub fn new(postgres_version: &str, wanted: impl Fn(&RuleInfo) -> bool) -> Self {
        Self {
            rules: table::SQUAWK.iter().filter(|(_, info)| wanted(info)).map(|(rule, _)| *rule).collect(),
            version: postgres_version.parse().ok(),
        }
    }

    /// What squawk says about a script. One linter per script: findings pile up in it.
    pub fn run(&self, script: &Script<'_>, parse: &Parse<SourceFile>, found: &mut Vec<Finding>) {
        let mut linter = Linter::from(self.rules.iter().copied());
        linter.settings = LinterSettings {
            pg_version: self.version.clone().unwrap_or_default(),
            assume_in_transaction: script.in_transaction,
        };
        for violation in linter.lint(parse, script.text) {
            let Some(rule) = info_of(violation.code) else { continue };
            found.push(Finding {
                rule,
                range: usize::from(violation.text_range.start())..usize::from(violation.text_range.end()),
                message: violation.message,
                help: violation.help,
                severity: None,
                risk: None,
            });
        }
    }
}

/// Our entry for a rule of squawk, by the enum's own number.
fn info_of(rule: Rule) -> Option<&'static RuleInfo> {
    static BY_NUMBER: OnceLock<Vec<Option<&'static RuleInfo>>> = OnceLock::new();
    let table = BY_NUMBER.get_or_init(|| {
        let mut by_number = Vec::new();
        for (rule, info) in table::SQUAWK {
            let number = *rule as usize;
            if by_number.len() <= number {
                by_number.resize(number + 1, None);
            }
            by_number[number] = Some(info);
        }
        by_number
    });
    table.get(rule as usize).copied().flatten()
}

/// The text with squawk's own comments made inert: what a pull request writes about itself must not hide a finding
/// (DECISIONS 23). Every byte keeps its place.
pub fn without_marks(text: &str) -> Cow<'_, str> {
    if text.contains("squawk-") {
        Cow::Owned(text.replace("squawk-ignore", "squawk_ignore").replace("squawk-disable", "squawk_disable"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A `squawk-ignore` comment, read as a waiver without a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The byte behind the comment; `None`: the whole file.
    pub behind: Option<usize>,
    /// The rules it names; empty: all.
    pub rules: Vec<String>,
}

/// The `squawk-ignore` and `squawk-ignore-file` comments of a text.
pub fn marks(text: &str) -> Vec<Mark> {
    let mut out = Vec::new();
    for (at, word) in text.match_indices("squawk-ignore") {
        let line_start = text[..at].rfind('\n').map_or(0, |n| n + 1);
        let before = &text[line_start..at];
        if !before.contains("--") && !before.contains("/*") {
            continue;
        }
        let line_end = text[at..].find('\n').map_or(text.len(), |n| at + n);
        let rest = &text[at + word.len()..line_end];
        let (whole_file, rest) = match rest.strip_prefix("-file") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let rules = rest
            .trim_end()
            .trim_end_matches("*/")
            .split([',', ' ', ':'])
            .map(str::trim)
            .filter(|r| !r.is_empty())
            .map(str::to_owned)
            .collect();
        out.push(Mark { behind: (!whole_file).then_some(line_end), rules });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_and_made_inert() {
        let text =
            "-- squawk-ignore ban-drop-column, renaming-table\nalter table t drop column c;\n-- squawk-ignore-file\n";
        assert_eq!(
            marks(text),
            [
                Mark { behind: Some(48), rules: vec!["ban-drop-column".to_owned(), "renaming-table".to_owned()] },
                Mark { behind: None, rules: vec![] },
            ]
        );
        let inert = without_marks(text);
        assert_eq!(inert.len(), text.len());
        assert!(!inert.contains("squawk-ignore"));
    }
}
