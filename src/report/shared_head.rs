//! What a check says where its commit is the head of several pull requests.

use super::check_run::{CheckOutput, Conclusion, field, short};
use super::escape;
use crate::ids::PrNumber;

/// What another one with the same head says by the same check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The pull request; `None` for a merge group.
    pub number: Option<PrNumber>,
    /// The branch that it goes into; empty where that is not known.
    pub base_ref: String,
    /// How its check would end.
    pub conclusion: Conclusion,
    /// In one line, why.
    pub title: String,
}

/// The check of one pull request with what the others on its commit say: it ends as the worst of them, and names that one.
pub fn with_others(own: CheckOutput, number: Option<PrNumber>, base_ref: &str, others: &[Beside]) -> CheckOutput {
    let Some(worst) = others.iter().max_by_key(|o| o.conclusion) else { return own };
    let mut lines = vec![line(number, base_ref, own.conclusion, &own.title)];
    lines.extend(others.iter().map(|o| line(o.number, &o.base_ref, o.conclusion, &o.title)));
    let summary = format!(
        "GitHub shows one check for this commit, which is the head of more than one change; it ends as the worst of them:\n\n{}\n\n{}",
        lines.join("\n"),
        own.summary
    );
    let (conclusion, title) = if worst.conclusion > own.conclusion {
        (worst.conclusion, format!("{} has the same head: {}", named(worst.number), worst.title))
    } else {
        (own.conclusion, own.title)
    };
    CheckOutput { title: short(&title), summary: field(&summary), conclusion, ..own }
}

fn named(number: Option<PrNumber>) -> String {
    number.map_or_else(|| "a merge group".to_owned(), |n| n.to_string())
}

fn line(number: Option<PrNumber>, base_ref: &str, conclusion: Conclusion, title: &str) -> String {
    let into = if base_ref.is_empty() { String::new() } else { format!(" into {}", escape::code(base_ref)) };
    format!("- {}{into}: **{}**, {}", named(number), conclusion.as_str(), escape::prose(title))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b19_a_check_for_several_names_the_one_that_is_in_the_way() {
        let own = CheckOutput {
            title: "Approved for staging".into(),
            summary: "All agreed.".into(),
            text: None,
            conclusion: Conclusion::Success,
            annotations: Vec::new(),
        };
        assert_eq!(with_others(own.clone(), Some(PrNumber(2)), "main", &[]), own);
        let waits = Beside {
            number: Some(PrNumber(1)),
            base_ref: "release`".into(),
            conclusion: Conclusion::ActionRequired,
            title: "Waiting for production: dba".into(),
        };
        let shown = with_others(own.clone(), Some(PrNumber(2)), "main", std::slice::from_ref(&waits));
        assert_eq!(shown.conclusion, Conclusion::ActionRequired);
        assert_eq!(shown.title, "#1 has the same head: Waiting for production: dba");
        assert!(shown.summary.contains("- #2 into `main`: **success**") && shown.summary.ends_with("All agreed."));
        let agreed = Beside { conclusion: Conclusion::Success, ..waits };
        assert_eq!(with_others(own, None, "main", &[agreed]).title, "Approved for staging");
    }
}
