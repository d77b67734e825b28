//! Risks that people raised by a label. Whoever raised one takes it back, or a lead of data operations; a label that
//! somebody else took off still counts (DECISIONS 4, B-13).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::Bot;
use super::commands::holder;
use super::error::JobError;
use super::gather::Place;
use crate::approval::{Label, Policy};
use crate::config::roles::DATA_OPS_LEAD;
use crate::github::model;
use crate::ids::{Login, Risk, RoleName};

/// A risk that somebody raised to, and whose label others took off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raise {
    /// The label.
    pub label: String,
    /// Who set it.
    pub by: Login,
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// Who took it off since.
    pub taken_off_by: BTreeSet<Login>,
}

impl Raise {
    /// As if it were still there.
    pub fn label(&self) -> Label {
        Label { name: self.label.clone(), set_by: Some(self.by.clone()), set_at: self.at, binding: None, own: false }
    }

    /// What people are told.
    pub fn note(&self) -> String {
        let others: Vec<String> = self.taken_off_by.iter().map(|login| format!("@{login}")).collect();
        format!(
            "`{}` of @{} still counts although {} took the label off: @{} or a holder of `{DATA_OPS_LEAD}` takes it back",
            self.label,
            self.by,
            others.join(", "),
            self.by
        )
    }
}

/// Every raise of a person or of another App whose label somebody else took off, oldest first. `own` knows Godwit.
pub fn taken_off_by_others(timeline: &[model::TimelineEntry], own: &dyn Fn(&Login) -> bool) -> Vec<Raise> {
    let mut raises: BTreeMap<String, Vec<Raise>> = BTreeMap::new();
    for entry in timeline {
        let (Some(label), Some(actor)) = (&entry.label, &entry.actor) else { continue };
        // What Godwit sets follows from the migrations, and comes and goes with them.
        if !is_risk(&label.name) || own(&actor.login) {
            continue;
        }
        let known = raises.entry(label.name.to_ascii_lowercase()).or_default();
        match &*entry.event {
            "labeled" => known.push(Raise {
                label: label.name.clone(),
                by: actor.login.clone(),
                at: entry.created_at,
                taken_off_by: BTreeSet::new(),
            }),
            "unlabeled" => {
                known.retain(|raise| raise.by != actor.login);
                known.iter_mut().for_each(|raise| raise.taken_off_by.extend([actor.login.clone()]));
            }
            _ => {}
        }
    }
    let mut standing: Vec<Raise> = raises.into_values().flatten().filter(|r| !r.taken_off_by.is_empty()).collect();
    standing.sort_by_key(|raise| raise.at);
    standing
}

fn is_risk(label: &str) -> bool {
    label
        .split_once(':')
        .is_some_and(|(prefix, level)| prefix.eq_ignore_ascii_case("risk") && level.trim().parse::<Risk>().is_ok())
}

impl Bot {
    /// The raises that still count although their label is gone: none of those who took it off leads data operations.
    pub(super) async fn standing_raises(
        &self,
        place: &Place,
        policy: &Policy,
        timeline: &[model::TimelineEntry],
        own: &(dyn Fn(&Login) -> bool + Send + Sync),
    ) -> Result<Vec<Raise>, JobError> {
        let Ok(lead) = RoleName::new(DATA_OPS_LEAD) else { return Ok(Vec::new()) };
        let mut standing = Vec::new();
        'raises: for raise in taken_off_by_others(timeline, own) {
            for login in &raise.taken_off_by {
                let person = holder(place, policy, login).await?;
                if policy.roles.holds(&lead, login, &person.teams) {
                    continue 'raises;
                }
            }
            standing.push(raise);
        }
        Ok(standing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(word: &str, label: &str, by: &str) -> model::TimelineEntry {
        model::TimelineEntry {
            event: word.into(),
            actor: Some(model::User { login: Login::new(by), kind: "User".into() }),
            label: Some(model::LabelName { name: label.into() }),
            created_at: None,
        }
    }

    fn standing(events: &[(&str, &str, &str)]) -> Vec<(String, String)> {
        let timeline: Vec<_> = events.iter().map(|(word, label, by)| event(word, label, by)).collect();
        let own = |login: &Login| login.as_str() == "godwit[bot]";
        taken_off_by_others(&timeline, &own).into_iter().map(|r| (r.label, r.by.to_string())).collect()
    }

    #[test]
    fn b13_a_raise_is_taken_back_by_who_raised() {
        let high = |by: &str| vec![("risk:high".to_owned(), by.to_owned())];
        let (set, off) = ("labeled", "unlabeled");
        assert_eq!(standing(&[(set, "risk:high", "dora")]), [], "it is there");
        assert_eq!(standing(&[(set, "risk:high", "dora"), (off, "risk:high", "dora")]), []);
        assert_eq!(standing(&[(set, "risk:high", "dora"), (off, "Risk:High", "alice")]), high("dora"));
        // By way of a label of one's own it goes no more.
        let own = [
            (set, "risk:high", "dora"),
            (off, "risk:high", "alice"),
            (set, "risk:high", "alice"),
            (off, "risk:high", "alice"),
        ];
        assert_eq!(standing(&own), high("dora"));
        let back = [own.as_slice(), &[(set, "risk:high", "dora"), (off, "risk:high", "dora")]].concat();
        assert_eq!(standing(&back), []);
        // Another App raises as a person does; the bot's own come and go, and other labels are no raise.
        let scanner = vec![("risk:high".to_owned(), "scanner[bot]".to_owned())];
        assert_eq!(standing(&[(set, "risk:high", "scanner[bot]"), (off, "risk:high", "alice")]), scanner);
        assert_eq!(standing(&[(set, "risk:high", "godwit[bot]"), (off, "risk:high", "alice")]), []);
        assert_eq!(standing(&[(set, "risk:high", "dora"), (off, "risk:high", "godwit[bot]")]), []);
        for label in ["hold", "risk:none", "approved:dba"] {
            assert_eq!(standing(&[(set, label, "dora"), (off, label, "alice")]), [], "{label}");
        }
    }
}
