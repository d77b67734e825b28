//! Where a merged pull request has arrived: how each environment of its branch stands, and what comes next. Pure.

use super::escape::code;
use super::{and, run_comment};
use crate::ids::EnvironmentName;
use crate::plan::RunReport;

/// How an environment stands after the merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The environment.
    pub environment: EnvironmentName,
    /// How it stands.
    pub stand: Stand,
    /// What came of its last run, where that is known.
    pub report: Option<RunReport>,
}

/// How far an environment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stand {
    /// It holds what was merged.
    Holds,
    /// It held it, and it was undone.
    Undone,
    /// Its run failed.
    Failed,
    /// What its run left behind is not known.
    NeedsHuman,
    /// It waits: the word of the refusal.
    Waits(String),
    /// It runs.
    Runs,
    /// Its turn comes later.
    Ahead,
}

/// The mark, what happened, and how far it came, for whoever reads one line only.
pub(super) fn headline(arrivals: &[Arrival]) -> (&'static str, String, String) {
    let named = |stand: &Stand| -> Vec<String> {
        arrivals.iter().filter(|a| a.stand == *stand).map(|a| code(a.environment.as_str())).collect()
    };
    let holding = named(&Stand::Holds);
    let far =
        if holding.is_empty() { "applied nowhere yet".to_owned() } else { format!("applied in {}", and(&holding)) };
    for (stand, mark, words) in [
        (Stand::NeedsHuman, "🧑‍🔧", "a person is needed in"),
        (Stand::Failed, "❌", "failed in"),
        (Stand::Undone, "↩️", "undone in"),
    ] {
        let names = named(&stand);
        if !names.is_empty() {
            return (mark, format!("merged, {words} {}", and(&names)), far);
        }
    }
    let Some(first) = arrivals.iter().find(|a| a.stand != Stand::Holds) else {
        return if holding.is_empty() {
            ("➖", "merged, nothing runs".to_owned(), "no database of this branch takes anything of it".to_owned())
        } else {
            let done = "nothing is left to do".to_owned();
            ("✅", format!("merged, applied in {}", and(&holding)), done)
        };
    };
    let name = code(first.environment.as_str());
    match first.stand {
        Stand::Waits(_) => ("⏳", format!("merged, {name} waits"), far),
        Stand::Runs => ("🔄", format!("merged, {name} runs"), far),
        _ => ("🔄", format!("merged, {name} is next"), far),
    }
}

/// A row for each environment, and what comes next.
pub(super) fn section(arrivals: &[Arrival]) -> String {
    if arrivals.is_empty() {
        return String::new();
    }
    let mut out = String::from("### After the merge\n\n| | Environment | How it stands |\n|:-:|---|---|\n");
    for arrival in arrivals {
        let (mark, words) = row(arrival);
        out.push_str(&format!("| {mark} | {} | {words} |\n", code(arrival.environment.as_str())));
    }
    out.push_str(&format!("\n**Next:** {}\n\n", next(arrivals)));
    out
}

fn row(arrival: &Arrival) -> (&'static str, String) {
    let told = |mark, otherwise: &str| {
        arrival.report.as_ref().map_or_else(|| (mark, otherwise.to_owned()), run_comment::ended)
    };
    match &arrival.stand {
        Stand::Holds => told("✅", "applied"),
        Stand::Undone => told("↩️", "undone"),
        Stand::Failed => told("❌", "failed"),
        Stand::NeedsHuman => told("🧑‍🔧", "a person is needed"),
        Stand::Waits(reason) => ("⏳", waits(reason).to_owned()),
        Stand::Runs => ("🔄", "running".to_owned()),
        Stand::Ahead => ("·", "not reached yet".to_owned()),
    }
}

/// What the word of a refusal means, as far as one word can say it.
fn waits(reason: &str) -> &'static str {
    match reason {
        "approval" => "waits for approvals",
        "window" => "waits for its maintenance window",
        "promotion" => "waits for its promotion",
        "turn" => "waits for its turn",
        "locked" => "waits while it is locked",
        "busy" => "waits for a busy database",
        "unreachable" => "waits for a database that cannot be reached",
        "hold" => "is held up by a label",
        "cancelled" => "was cancelled",
        _ => "cannot start",
    }
}

fn next(arrivals: &[Arrival]) -> String {
    let Some(first) = arrivals.iter().find(|a| a.stand != Stand::Holds) else {
        return "nothing; every environment of this branch has it.".to_owned();
    };
    let (environment, name) = (&first.environment, code(first.environment.as_str()));
    match first.stand {
        Stand::Failed => {
            format!(
                "correct the cause, then `/godwit retry {environment}`; its comment says what happened, and the rest waits."
            )
        }
        Stand::NeedsHuman => format!("the comment about {name} says what to look at; the rest waits."),
        Stand::Undone => format!("nothing by itself; `/godwit retry {environment}` brings it again."),
        Stand::Waits(_) => format!("the comment about {name} says what it waits for."),
        Stand::Runs => format!("{name} runs; its comment says how far it is."),
        Stand::Holds | Stand::Ahead => format!("{name}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(stands: &[Stand]) -> Vec<Arrival> {
        let names = ["development", "staging", "production"];
        let one = |(name, stand): (&str, &Stand)| Arrival {
            environment: EnvironmentName::new(name).unwrap(),
            stand: stand.clone(),
            report: None,
        };
        names.into_iter().zip(stands).map(one).collect()
    }

    #[test]
    fn b15_the_first_line_says_what_became_of_a_merge() {
        use Stand::{Ahead, Failed, Holds, NeedsHuman, Runs, Undone, Waits};
        let waits = || Waits("approval".to_owned());
        for (stands, text, far) in [
            (vec![], "merged, nothing runs", "no database of this branch takes anything of it"),
            (vec![Ahead, Ahead], "merged, `development` is next", "applied nowhere yet"),
            (vec![Runs, Ahead], "merged, `development` runs", "applied nowhere yet"),
            (vec![Holds, Holds, waits()], "merged, `production` waits", "applied in `development` and `staging`"),
            (vec![Holds, Failed, Ahead], "merged, failed in `staging`", "applied in `development`"),
            (vec![Holds, NeedsHuman, Failed], "merged, a person is needed in `staging`", "applied in `development`"),
            (vec![Holds, Undone], "merged, undone in `staging`", "applied in `development`"),
            (vec![Holds, Holds], "merged, applied in `development` and `staging`", "nothing is left to do"),
        ] {
            let (_, said, came) = headline(&arrivals(&stands));
            assert_eq!((said.as_str(), came.as_str()), (text, far), "{stands:?}");
        }
    }

    #[test]
    fn b15_what_comes_next_is_about_the_first_that_does_not_hold_it() {
        use Stand::{Ahead, Failed, Holds, Undone, Waits};
        for (stands, row, next) in [
            (vec![Holds, Holds], "| ✅ | `staging` | applied |", "nothing; every environment"),
            (vec![Holds, Failed], "| ❌ | `staging` | failed |", "`/godwit retry staging`"),
            (vec![Holds, Undone], "| ↩️ | `staging` | undone |", "`/godwit retry staging` brings it again"),
            (
                vec![Waits("window".into()), Ahead],
                "| ⏳ | `development` | waits for its m",
                "the comment about `develop",
            ),
        ] {
            let text = section(&arrivals(&stands));
            let after = text.split("**Next:** ").nth(1).unwrap();
            assert!(text.contains(row) && after.contains(next), "{text}");
        }
        assert_eq!(section(&[]), "");
    }
}
