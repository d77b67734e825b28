//! A rewrite as a suggestion on the lines of a pull request, which one click commits.

use super::{Links, escape};
use crate::lint::fix::Proposal;
use crate::migration::checksum::sha256_hex;

/// As many are made on one pull request; more is what `godwit lint --fix` is for.
pub const MOST: usize = 20;
/// How the first line of each begins; what follows tells one from another.
pub const MARKER: &str = "<!-- godwit:fix:";

/// A suggestion, ready to be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The file.
    pub path: String,
    /// The first line that it replaces, from 1.
    pub first_line: u32,
    /// The last line that it replaces.
    pub last_line: u32,
    /// The first line of its text; the same content gives the same, wherever the lines move.
    pub marker: String,
    /// Its text.
    pub body: String,
}

/// The text of a suggestion: what is wrong, and the lines as they should be. `None` where these hold what is never
/// printed, so that a click would commit something else.
pub fn suggestion(proposal: &Proposal, links: &Links) -> Option<Suggestion> {
    let violation = &proposal.violation;
    let block = escape::fence("suggestion", &proposal.after);
    if !block.contains(&format!("\n{}\n", proposal.after)) {
        return None;
    }
    let parts = [&violation.file, &violation.rule, &proposal.before, &proposal.after].map(String::as_str);
    let marker = format!("{MARKER}{} -->", &sha256_hex(parts.join("\0").as_bytes())[..16]);
    let title = violation.fix.as_ref().map_or("", |f| f.title.as_str());
    let body = format!(
        "{marker}\n{} ({}). {}:\n\n{}",
        escape::prose(violation.message.trim_end_matches('.')),
        links.rule(&violation.rule, &violation.url),
        escape::prose(title),
        block.trim_end()
    );
    Some(Suggestion {
        path: violation.file.clone(),
        first_line: proposal.first_line,
        last_line: proposal.last_line,
        marker,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::fix::fixes;
    use crate::lint::{Scope, sample};

    fn of(sql: &str) -> Vec<Suggestion> {
        let (report, set) = sample(&[("1_a.up.sql", sql), ("1_a.down.sql", "select 1;")]);
        let today = chrono::NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date");
        let fixed = fixes(&set, &report, &crate::config::LintConfig::default(), &Scope::All, today);
        fixed.iter().flat_map(|f| f.proposals(&set)).filter_map(|p| suggestion(&p, &Links::default())).collect()
    }

    #[test]
    fn a_suggestion_holds_whole_lines() {
        let sql = "-- one\nalter table t\n  add constraint c check\n    (a > 0),\n  add column b int;\n";
        let all = of(sql);
        let constraint = all.iter().find(|s| s.body.contains("not valid")).expect("a suggestion");
        assert_eq!((constraint.first_line, constraint.last_line), (4, 4));
        assert!(constraint.body.ends_with("```suggestion\n    (a > 0) not valid,\n```"), "{}", constraint.body);
        assert!(constraint.body.starts_with(&constraint.marker) && constraint.marker.starts_with(MARKER));
        let moved = of(&format!("-- two\n{sql}"));
        assert!(moved.iter().any(|s| s.marker == constraint.marker && s.first_line == 5), "the same one, a line on");
    }

    #[test]
    fn b17_what_stands_in_the_file_does_not_end_the_block() {
        let all = of("create index i on t (a); -- ``` @everyone\n");
        let body = &all.first().expect("a suggestion").body;
        assert!(body.contains("````suggestion\n") && body.ends_with("\n````"), "{body}");
    }
}
