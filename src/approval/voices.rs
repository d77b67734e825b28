//! What people said that counts: the latest review of each, and labels that stand for an approval, bound to what is
//! there now (B-1, B-13).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{Binding, CommitPerson, Label, Permission, Policy, PullRequestSnapshot, Review, ReviewState, Source};
use crate::ids::{EnvironmentName, Login, Risk, RoleName};

/// One person's approval of what is there now, each with its time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Voice {
    /// By a review: for every role the person holds, and as a code owner.
    pub review: Option<DateTime<Utc>>,
    /// By labels: for these roles. A label whose time is not known is as old as can be.
    pub labels: BTreeMap<RoleName, DateTime<Utc>>,
    /// Entered outside GitHub: for one environment and role each.
    pub entered: Vec<(EnvironmentName, RoleName, DateTime<Utc>, Source)>,
}

/// What everybody said.
#[derive(Debug)]
pub(super) struct Voices<'a> {
    policy: &'a Policy,
    snapshot: &'a PullRequestSnapshot,
    /// The risk that decides: what was computed, raised by labels.
    pub risk: Risk,
    /// Approvals that hold for what is there now, from people with write access.
    pub approvals: BTreeMap<Login, Voice>,
    /// People whose latest word is a request for changes.
    pub objections: BTreeSet<Login>,
    /// Who wrote the change: author, commit authors, committers, co-authors, pushers.
    pub writers: BTreeSet<Login>,
    /// Approvals that do not count, with the reason.
    pub ignored: Vec<String>,
}

/// The risk that labels of people and of other Apps raise to. Labels can only raise: the caller takes the maximum
/// (DECISIONS 4). Labels that Godwit keeps itself say nothing new; one whose origin is unknown counts, to be safe.
pub fn labelled_risk(labels: &[Label]) -> Option<Risk> {
    labels
        .iter()
        .filter(|l| !l.own)
        .filter_map(|l| {
            let (prefix, level) = l.name.split_once(':')?;
            prefix.eq_ignore_ascii_case("risk").then(|| level.trim().parse().ok())?
        })
        .max()
}

impl<'a> Voices<'a> {
    pub fn of(policy: &'a Policy, snapshot: &'a PullRequestSnapshot) -> Self {
        let computed = snapshot.binding.as_ref().map_or(Risk::Low, |b| b.risk);
        let risk = labelled_risk(&snapshot.labels).map_or(computed, |raised| raised.max(computed));
        let committers = snapshot.commit_people.iter().filter_map(|p| match p {
            CommitPerson::Known(login) => Some(login.clone()),
            CommitPerson::Unknown(_) => None,
        });
        let mut voices = Self {
            policy,
            snapshot,
            risk,
            approvals: BTreeMap::new(),
            objections: BTreeSet::new(),
            writers: snapshot.author.iter().cloned().chain(committers).collect(),
            ignored: Vec::new(),
        };
        voices.hear_reviews();
        voices.hear_labels();
        voices.hear_entered();
        voices
    }

    /// Whether the person holds `role` now and may write to the repository.
    pub fn holds(&self, login: &Login, role: &RoleName) -> bool {
        self.snapshot.people.get(login).is_some_and(|person| {
            person.permission >= Permission::Write && self.policy.roles.holds(role, login, &person.teams)
        })
    }

    /// Whether the person's approval on GitHub counts for `role`.
    pub fn approves_as(&self, login: &Login, role: &RoleName) -> bool {
        !self.ways(login, role, None, None).is_empty()
    }

    /// The ways in which the person's approval counts for `role` in `environment`, given no earlier than `since`.
    pub fn ways(
        &self,
        login: &Login,
        role: &RoleName,
        environment: Option<&EnvironmentName>,
        since: Option<DateTime<Utc>>,
    ) -> BTreeSet<Source> {
        let mut ways = BTreeSet::new();
        let Some(voice) = self.approvals.get(login).filter(|_| self.holds(login, role)) else { return ways };
        let in_time = |at: DateTime<Utc>| since.is_none_or(|since| at >= since);
        let counts_as = |name: &RoleName| self.policy.roles.counting_as(role).any(|(n, _)| n == name) || name == role;
        if voice.review.is_some_and(in_time) {
            ways.insert(Source::Review);
        }
        if voice.labels.iter().any(|(name, at)| in_time(*at) && counts_as(name)) {
            ways.insert(Source::Label);
        }
        ways.extend(
            voice
                .entered
                .iter()
                .filter(|(e, name, at, _)| Some(e) == environment && in_time(*at) && counts_as(name))
                .map(|(_, _, _, source)| *source),
        );
        ways
    }

    /// The ways in which the person approved at all, for a cell that asks for no role.
    pub fn any_way(
        &self,
        login: &Login,
        environment: &EnvironmentName,
        since: Option<DateTime<Utc>>,
    ) -> BTreeSet<Source> {
        let in_time = |at: DateTime<Utc>| since.is_none_or(|since| at >= since);
        let mut ways = BTreeSet::new();
        let Some(voice) = self.approvals.get(login) else { return ways };
        ways.extend(voice.review.filter(|at| in_time(*at)).map(|_| Source::Review));
        ways.extend(voice.labels.values().any(|at| in_time(*at)).then_some(Source::Label));
        let entered = voice.entered.iter().filter(|(e, _, at, _)| e == environment && in_time(*at));
        ways.extend(entered.map(|(_, _, _, source)| *source));
        ways
    }

    /// Whether the person, who may not have spoken, could still speak: unknown people could, readers cannot.
    pub fn may_write(&self, login: &Login) -> bool {
        self.snapshot.people.get(login).is_none_or(|p| p.permission >= Permission::Write)
    }

    fn hear_reviews(&mut self) {
        let mut reviews: Vec<&Review> = self.snapshot.reviews.iter().collect();
        reviews.sort_by_key(|r| (r.submitted_at, r.id));
        let mut latest: BTreeMap<&Login, &Review> = BTreeMap::new();
        for review in reviews {
            match review.state {
                ReviewState::Approved | ReviewState::ChangesRequested | ReviewState::Dismissed => {
                    latest.insert(&review.login, review);
                }
                ReviewState::Commented | ReviewState::Pending => {}
            }
        }
        for (login, review) in latest {
            match review.state {
                ReviewState::Approved => match self.why_not(login, review.binding.as_ref()) {
                    None => self.approvals.entry(login.clone()).or_default().review = Some(review.submitted_at),
                    Some(reason) => self.ignored.push(format!("the approval of @{login} does not count: {reason}")),
                },
                ReviewState::ChangesRequested => {
                    self.objections.insert(login.clone());
                }
                ReviewState::Dismissed | ReviewState::Commented | ReviewState::Pending => {}
            }
        }
    }

    fn hear_labels(&mut self) {
        for label in &self.snapshot.labels {
            let roles = self.roles_of_label(&label.name);
            if roles.is_empty() {
                if label.name.to_ascii_lowercase().starts_with("approved:") {
                    self.ignored.push(format!("the label `{}` does not count: no role has this name", label.name));
                }
                continue;
            }
            let Some(by) = &label.set_by else {
                self.ignored.push(format!("the label `{}` does not count: who set it is not known", label.name));
                continue;
            };
            if let Some(reason) = self.why_not(by, label.binding.as_ref()) {
                self.ignored.push(format!("the label `{}` of @{by} does not count: {reason}", label.name));
                continue;
            }
            let held: BTreeSet<RoleName> = roles.into_iter().filter(|r| self.holds(by, r)).collect();
            if held.is_empty() {
                self.ignored.push(format!("the label `{}` does not count: @{by} does not hold the role", label.name));
            } else {
                let at = label.set_at.unwrap_or(DateTime::<Utc>::MIN_UTC);
                let voice = self.approvals.entry(by.clone()).or_default();
                for role in held {
                    let known = voice.labels.entry(role).or_insert(at);
                    *known = at.max(*known);
                }
            }
        }
    }

    fn hear_entered(&mut self) {
        for entered in &self.snapshot.entered {
            let (login, role) = (&entered.approver, &entered.role);
            let how = entered.source.as_str();
            let by = if entered.entered_by == *login {
                String::new()
            } else {
                format!(" (entered by @{})", entered.entered_by)
            };
            let what = format!("the approval of @{login} as `{role}` for `{}`{by} by {how}", entered.environment);
            let refused = match self.why_not(login, Some(&entered.binding)) {
                None if !self.holds(login, role) => Some(format!("@{login} does not hold the role `{role}`")),
                other => other,
            };
            match refused {
                Some(reason) => self.ignored.push(format!("{what} does not count: {reason}")),
                None => self.approvals.entry(login.clone()).or_default().entered.push((
                    entered.environment.clone(),
                    role.clone(),
                    entered.at,
                    entered.source,
                )),
            }
        }
    }

    /// The roles a label stands for: `approved:ROLE`, or one that `roles.yml` names. GitHub compares labels without case.
    fn roles_of_label(&self, label: &str) -> BTreeSet<RoleName> {
        let named = self.policy.roles.0.iter().filter(|(role, holders)| {
            holders.labels.iter().any(|l| l.eq_ignore_ascii_case(label))
                || label.split_once(':').is_some_and(|(prefix, name)| {
                    prefix.eq_ignore_ascii_case("approved") && name.trim().eq_ignore_ascii_case(role.as_str())
                })
        });
        named.map(|(role, _)| role.clone()).collect()
    }

    /// Why an approval does not count for what is there now; `None` if it does.
    fn why_not(&self, login: &Login, bound: Option<&Binding>) -> Option<String> {
        match self.snapshot.people.get(login) {
            None => return Some("what GitHub allows this person is not known".to_owned()),
            Some(person) if person.permission < Permission::Write => {
                return Some("no write access to the repository".to_owned());
            }
            Some(_) => {}
        }
        // Without migrations and without a binding there is no content to be bound to: a change of policy files only.
        let now = self.snapshot.binding.as_ref()?;
        let Some(bound) = bound else {
            return Some("what it was about cannot be proved; please approve again".to_owned());
        };
        if bound.digest != now.digest {
            return Some("the migrations changed since; please look again".to_owned());
        }
        if bound.policy_hash != now.policy_hash {
            return Some("the policy changed since; please look again".to_owned());
        }
        if bound.risk != self.risk {
            return Some(format!("it was given at risk {}, which is {} now; please look again", bound.risk, self.risk));
        }
        None
    }
}
