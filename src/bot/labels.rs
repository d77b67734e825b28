//! Which labels the bot keeps on a pull request, and which of people's it takes off. Pure.

use std::collections::BTreeSet;

use super::contents::Contents;
use crate::approval::{Label, Policy, PullRequestSnapshot, Status, Verdict};
use crate::ids::{EnvironmentName, Login, Risk, RoleName};
use crate::lint::Category;
use crate::migration::Migration;

/// Everything is agreed.
pub const APPROVED: &str = "godwit:approved";
/// Something forbids it or is broken.
pub const BLOCKED: &str = "godwit:blocked";

/// What to send to GitHub.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelChange {
    /// To set.
    pub add: Vec<String>,
    /// To take off.
    pub remove: Vec<String>,
}

/// The colour (six hexadecimal digits) and description of a label that the bot keeps.
pub fn look(name: &str) -> (&'static str, &'static str) {
    match name {
        "risk:low" => ("0e8a16", "Safe on any table"),
        "risk:medium" => ("fbca04", "May wait for or hold a lock"),
        "risk:high" => ("d93f0b", "May lose data, rewrite a table or stop an application"),
        APPROVED => ("0e8a16", "Every automatic environment is agreed"),
        BLOCKED => ("b60205", "Nothing will run; see the check"),
        SECURITY => ("b60205", "A rule of security has something to say"),
        EDIT_UNAPPLIED => ("fbca04", "Edits a merged migration that no environment holds yet"),
        _ if name.starts_with("needs:") => ("d4c5f9", "An approval in this role is missing"),
        _ if name.starts_with("migrated:") => ("1d76db", "Applied in this environment"),
        _ => ("ededed", ""),
    }
}

/// The label of a risk.
pub fn risk_label(risk: Risk) -> String {
    format!("risk:{}", risk.as_str().to_ascii_lowercase())
}

/// The label of an environment that holds the migrations.
pub fn migrated_label(environment: &EnvironmentName) -> String {
    format!("migrated:{environment}")
}

/// A rule of security has something to say.
pub const SECURITY: &str = "security";
/// A migration that was merged before is edited, and no environment holds it yet.
pub const EDIT_UNAPPLIED: &str = "migration:edit-unapplied";

/// The labels that follow from what is changed.
pub fn of_contents(contents: &Contents) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    if contents.report.violations.iter().any(|v| v.category == Category::Security) {
        labels.insert(SECURITY.to_owned());
    }
    let edited = |m: &Migration| contents.before.migrations.iter().any(|b| b.reference() == m.reference());
    if contents.against.is_empty() && contents.own_migrations().any(edited) {
        labels.insert(EDIT_UNAPPLIED.to_owned());
    }
    labels
}

/// The labels that follow from a verdict; none without migrations.
pub fn wanted(risk: Option<Risk>, verdict: &Verdict, asks: bool) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    let Some(risk) = risk else { return labels };
    labels.insert(risk_label(risk));
    match verdict.status {
        Status::Approved => drop(labels.insert(APPROVED.to_owned())),
        Status::Disapproved => drop(labels.insert(BLOCKED.to_owned())),
        // Nobody has agreed to a draft, or to one that is stacked on another.
        Status::Pending | Status::Skipped => {}
    }
    // Nobody is asked on a draft (DECISIONS 12).
    if asks {
        labels.extend(verdict.missing_roles.iter().map(|role| format!("needs:{role}")));
    }
    labels
}

/// From the labels that are there to the `wanted` ones. Only labels of the bot's own kinds are taken off; `risk:` ones of
/// people stay, since they may raise the risk (B-13); a `migrated:` one goes where its environment does not hold it.
pub fn change(
    present: &[Label],
    wanted: &BTreeSet<String>,
    bot: &Login,
    held: &BTreeSet<EnvironmentName>,
) -> LabelChange {
    // GitHub compares labels without regard to case.
    let is_there = |name: &String| present.iter().any(|l| l.name.eq_ignore_ascii_case(name));
    let stale = |label: &&Label| {
        let name = label.name.to_ascii_lowercase();
        let kept = name == APPROVED || name == BLOCKED || name.starts_with("needs:");
        let shared = name.starts_with("risk:") || name == SECURITY || name == EDIT_UNAPPLIED;
        let own = shared && label.set_by.as_ref() == Some(bot);
        let untrue =
            name.starts_with("migrated:") && !held.iter().any(|e| migrated_label(e).eq_ignore_ascii_case(&name));
        (kept || own || untrue) && !wanted.iter().any(|w| w.eq_ignore_ascii_case(&name))
    };
    LabelChange {
        add: wanted.iter().filter(|name| !is_there(name)).cloned().collect(),
        remove: present.iter().filter(stale).map(|l| l.name.clone()).collect(),
    }
}

/// `approved:ROLE` labels that were set by somebody who does not hold the role, with the reason.
pub fn unearned(policy: &Policy, snapshot: &PullRequestSnapshot) -> Vec<(String, String)> {
    snapshot
        .labels
        .iter()
        .filter_map(|label| {
            let role = role_of(policy, &label.name)?;
            let by = label.set_by.as_ref()?;
            if snapshot.people.get(by).is_some_and(|person| policy.roles.holds(&role, by, &person.teams)) {
                return None;
            }
            Some((label.name.clone(), format!("`{by}` does not hold the role `{role}`")))
        })
        .collect()
}

/// The role that a label stands for.
fn role_of(policy: &Policy, label: &str) -> Option<RoleName> {
    let configured = policy.roles.0.iter().find(|(_, h)| h.labels.iter().any(|l| l.eq_ignore_ascii_case(label)));
    if let Some((role, _)) = configured {
        return Some(role.clone());
    }
    let (prefix, name) = label.split_once(':')?;
    if !prefix.eq_ignore_ascii_case("approved") {
        return None;
    }
    // GitHub knows a label in one spelling only, whoever made it first.
    let known = policy.roles.0.keys().find(|role| role.as_str().eq_ignore_ascii_case(name.trim()));
    known.cloned().or_else(|| RoleName::new(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str, by: &str) -> Label {
        Label { name: name.into(), set_by: Some(Login::new(by)), set_at: None, binding: None, own: by == "godwit[bot]" }
    }

    fn bot() -> Login {
        Login::new("godwit[bot]")
    }

    #[test]
    fn only_the_difference_is_sent_and_other_labels_stay() {
        let present = [
            label("risk:low", "godwit[bot]"),
            label("needs:dba", "godwit[bot]"),
            label("GODWIT:blocked", "godwit[bot]"),
            label("bug", "ann"),
            label("hold", "ann"),
            label("approved:dba", "ann"),
            label("migrated:staging", "godwit[bot]"),
        ];
        let wanted: BTreeSet<String> = ["risk:high", "needs:dba", "godwit:blocked"].map(String::from).into();
        let held = BTreeSet::from([EnvironmentName::new("staging").unwrap()]);
        assert_eq!(change(&present, &wanted, &bot(), &BTreeSet::new()).remove, ["risk:low", "migrated:staging"]);
        let change = change(&present, &wanted, &bot(), &held);
        assert_eq!(change, LabelChange { add: vec!["risk:high".into()], remove: vec!["risk:low".into()] });
    }

    #[test]
    fn b13_a_risk_label_of_a_person_raises_and_is_left_alone() {
        let present = [label("risk:high", "ann"), label("risk:low", "godwit[bot]")];
        let wanted: BTreeSet<String> = ["risk:medium".to_owned()].into();
        assert_eq!(change(&present, &wanted, &bot(), &BTreeSet::new()).remove, ["risk:low"]);
    }
}
