//! The audit log and its verdict as text for a terminal.

use crate::store::{AuditRecord, AuditVerdict};

/// A line per record: when, who, what, on what, how it ended.
pub fn list(records: &[AuditRecord]) -> String {
    let mut out = String::new();
    for AuditRecord { body, .. } in records {
        let mut line = format!(
            "{:>6}  {}  {:<16}  {:<16}",
            body.seq,
            body.at.format("%Y-%m-%d %H:%M:%S"),
            one_line(&body.actor),
            one_line(&body.action)
        );
        for part in [&body.environment, &body.target, &body.repo].into_iter().flatten() {
            line.push(' ');
            line.push_str(&one_line(part));
        }
        if let Some(pr) = body.pr {
            line.push_str(&format!("#{pr}"));
        }
        line.push_str(&format!("  {}", one_line(&body.result)));
        if let Some(basis) = &body.basis {
            line.push_str(&format!(" ({})", one_line(basis)));
        }
        for (key, value) in &body.details {
            line.push_str(&format!("  {}: {}", one_line(key), short(value)));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The verdict in a sentence or two.
pub fn verdict(verdict: &AuditVerdict) -> String {
    match &verdict.problem {
        None => format!(
            "{} records, every one as it was written\nhead {}\n{}",
            verdict.records,
            verdict.head,
            if verdict.anchor.is_some() {
                ""
            } else {
                "no anchor was there to compare with: a cut-off end shows with `--head` only\n"
            }
        ),
        Some(problem) => format!(
            "the audit log is not what was written: {problem}\n{} records, head {}\n",
            verdict.records, verdict.head
        ),
    }
}

/// A detail in a line; one that is for programs is left to the other formats.
fn short(value: &str) -> String {
    if value.len() > 80 && value.starts_with(['{', '[']) { "…".to_owned() } else { one_line(value) }
}

/// Text of people without anything that moves the cursor or breaks the line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(one_line("a\u{1b}[31mb\nc"), "a [31mb c");
    }

    #[test]
    fn what_is_for_programs_is_left_to_them() {
        assert_eq!(short("[not so long]"), "[not so long]");
        assert_eq!(short(&format!("[{}]", "1,".repeat(60))), "…");
        assert_eq!(short(&"x".repeat(100)), "x".repeat(100));
    }

    #[test]
    fn a_verdict_says_what_is_wrong() {
        let bad = AuditVerdict {
            records: 3,
            valid: false,
            first_bad: Some(2),
            head: "sha256:x".into(),
            problem: Some("record 2 is missing".into()),
            anchor: None,
        };
        assert!(verdict(&bad).contains("record 2 is missing"));
        assert!(verdict(&AuditVerdict { problem: None, ..bad }).starts_with("3 records, every one"));
    }
}
