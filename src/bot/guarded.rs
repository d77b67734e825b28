//! Whether a branch asks for our check before anything is merged into it, and takes nobody else's for it. Pure.

use crate::github::{Required, Source};
use crate::report::check_run::APPROVAL;

/// What is open where a branch is not guarded by our own check, and what to do about it.
pub fn unguarded(required: &[Required], own: u64) -> Option<(String, String)> {
    let ours: Vec<Source> = required.iter().filter(|r| r.name == APPROVAL).map(|r| r.of).collect();
    let make = "make it a required status check of the branch, and choose this App as its source (Settings, Rules)";
    if ours.is_empty() {
        return Some((format!("can be merged into without the check `{APPROVAL}`"), make.to_owned()));
    }
    // Each rule that asks for it has to be satisfied, so one that asks for ours is enough.
    if ours.iter().any(|of| *of == Source::App(own) || *of == Source::Untold) {
        return None;
    }
    if ours.contains(&Source::Anybody) {
        let what = format!("takes a check `{APPROVAL}` of any App or token for ours, so whoever can set one can merge");
        return Some((what, "choose this App as the source of the required check (Settings, Rules)".to_owned()));
    }
    let what = format!("asks for a check `{APPROVAL}` of another App, which ours never satisfies");
    Some((what, "choose this App as the source of the required check (Settings, Rules)".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b19_only_a_check_that_must_be_ours_guards_a_branch() {
        let ask = |name: &str, of| Required { name: name.into(), of };
        for (required, part) in [
            (vec![], Some("without the check")),
            (vec![ask("ci", Source::App(7))], Some("without the check")),
            (vec![ask(APPROVAL, Source::Anybody)], Some("any App")),
            (vec![ask(APPROVAL, Source::App(8))], Some("another App")),
            (vec![ask(APPROVAL, Source::App(7))], None),
            (vec![ask(APPROVAL, Source::Untold)], None),
            (vec![ask(APPROVAL, Source::Anybody), ask(APPROVAL, Source::App(7))], None),
        ] {
            let told = unguarded(&required, 7).map(|(what, _)| what);
            assert_eq!(told.is_some(), part.is_some(), "{required:?}");
            assert!(told.unwrap_or_default().contains(part.unwrap_or_default()), "{required:?}");
        }
    }
}
