//! What people agreed to, reckoned from what they did alone: nothing of the product is asked.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

/// What somebody's review says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Yes,
    No,
    Remark,
}

/// One review.
#[derive(Debug, Clone)]
pub struct Said {
    pub id: u64,
    pub by: &'static str,
    pub word: Word,
    /// What the migration held then.
    pub about: String,
    pub dismissed: bool,
}

/// What is known of one pull request at a moment.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What its migration holds.
    pub content: String,
    /// Whether it can run at all.
    pub sound: bool,
    /// Who had a hand in it.
    pub writers: BTreeSet<&'static str>,
    pub said: Vec<Said>,
    /// Labels: who set them, and what the migration held then.
    pub labels: BTreeMap<&'static str, (&'static str, String)>,
}

/// The roles of one environment, each to be held by another person.
pub fn roles_of(environment: &str) -> &'static [&'static str] {
    match environment {
        "development" => &[],
        "staging" => &["data_ops"],
        _ => &["data_ops", "dba"],
    }
}

fn holds(person: &str, role: &str, dba: bool) -> bool {
    match role {
        // The lead of the data operations team is of the team.
        "data_ops" => matches!(person, "omar" | "dana"),
        "dba" => person == "dora" && dba,
        _ => false,
    }
}

impl Facts {
    fn latest(&self, person: &str) -> Option<&Said> {
        self.said.iter().rev().find(|s| s.by == person && s.word != Word::Remark)
    }

    fn fills(&self, person: &str, role: &str, dba: bool) -> bool {
        if self.writers.contains(person) || !holds(person, role, dba) {
            return false;
        }
        let review =
            self.latest(person).is_some_and(|s| s.word == Word::Yes && !s.dismissed && s.about == self.content);
        let label = format!("approved:{role}");
        let by_label =
            self.labels.get(label.as_str()).is_some_and(|(by, about)| *by == person && *about == self.content);
        review || by_label
    }

    /// Whether somebody whose word counts is against it.
    pub fn refused(&self, dba: bool) -> bool {
        let against = |person: &&str| self.latest(person).is_some_and(|s| s.word == Word::No && !s.dismissed);
        self.labels.contains_key("hold")
            || ["omar", "dana", "dora"]
                .iter()
                .filter(|p| holds(p, "data_ops", dba) || holds(p, "dba", dba))
                .any(against)
    }

    /// Whether the cell of an environment is filled, each role by another person.
    pub fn agreed(&self, environment: &str, dba: bool) -> bool {
        fn fill(facts: &Facts, roles: &[&str], taken: &mut Vec<&'static str>, dba: bool) -> bool {
            let Some((role, rest)) = roles.split_first() else { return true };
            for person in ["omar", "dana", "dora"] {
                if !taken.contains(&person) && facts.fills(person, role, dba) {
                    taken.push(person);
                    if fill(facts, rest, taken, dba) {
                        return true;
                    }
                    taken.pop();
                }
            }
            false
        }
        self.sound && !self.refused(dba) && fill(self, roles_of(environment), &mut Vec::new(), dba)
    }
}

/// When an environment's cell was filled, and when not.
#[derive(Debug, Default)]
pub struct Timeline(Vec<(DateTime<Utc>, bool)>);

impl Timeline {
    /// From `at` on, it is so.
    pub fn note(&mut self, at: DateTime<Utc>, agreed: bool) {
        if self.0.last().is_none_or(|(_, last)| *last != agreed) {
            self.0.push((at, agreed));
        }
    }

    /// Whether it was filled at `at`, or within `leeway` before: between a look and the run that follows time passes.
    pub fn agreed_at(&self, at: DateTime<Utc>, leeway: TimeDelta) -> bool {
        let mut from_now_on = false;
        for (since, agreed) in &self.0 {
            if *since > at {
                break;
            }
            if *since <= at - leeway {
                from_now_on = *agreed;
            } else {
                from_now_on |= *agreed;
            }
        }
        from_now_on
    }
}
