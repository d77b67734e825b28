//! Who stands behind commits, labels and reviews. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::approval::{Binding, CommitPerson, Label, Review, ReviewState};
use crate::git::CommitNames;
use crate::github::{RETARGETED, model};
use crate::ids::{CommitSha, Login};
use crate::store::StoredBinding;

/// The people of the commits, as far as GitHub's list of them goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CommitPeople {
    /// Those found.
    pub people: BTreeSet<CommitPerson>,
    /// E-mails that only a commit outside of GitHub's list names, with that commit: GitHub has to be asked about it.
    pub open: BTreeMap<String, CommitSha>,
}

/// What GitHub said about commits.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Its list of them; 250 at most.
    pub listed: &'a [model::Commit],
    /// Whose addresses it takes those of further authors for, in lower case.
    pub told: &'a BTreeMap<String, Login>,
    /// Where people read it, which is where its no-reply addresses end.
    pub host: Option<&'a str>,
}

impl Known<'_> {
    fn emails(&self) -> BTreeMap<String, Login> {
        let mut known = self.told.clone();
        known.extend(known_emails(self.listed));
        known
    }
}

/// Commits that name a co-author whose address is none of those that GitHub's list maps: it maps more of them than a list
/// shows, and a no-reply address by its number, whatever the login was then.
pub fn with_strangers(names: &[CommitNames], listed: &[model::Commit]) -> BTreeSet<CommitSha> {
    let known = known_emails(listed);
    let strange = |c: &&CommitNames| c.co_authors.iter().any(|e| !known.contains_key(&e.to_ascii_lowercase()));
    names.iter().filter(strange).map(|c| c.sha.clone()).collect()
}

/// Maps the e-mails of `names` to logins by what GitHub says about them, co-authors by the e-mails that others of them use
/// too, or by GitHub's own no-reply addresses (B-2).
pub fn commit_people(names: &[CommitNames], said: &Known<'_>) -> CommitPeople {
    let known = said.emails();
    let login_of = |email: &str| login_of(email, &known, said.host);
    let listed = said.listed;
    let in_list: BTreeSet<&CommitSha> = listed.iter().map(|c| &c.sha).collect();
    let mut found = CommitPeople::default();
    for commit in names {
        for email in [&commit.author, &commit.committer] {
            match login_of(email) {
                Some(login) => drop(found.people.insert(CommitPerson::Known(login))),
                None if in_list.contains(&commit.sha) => {
                    found.people.insert(CommitPerson::Unknown(email.clone()));
                }
                None => drop(found.open.entry(email.clone()).or_insert_with(|| commit.sha.clone())),
            }
        }
        for email in &commit.co_authors {
            let login = login_of(email);
            found.people.insert(login.map_or_else(|| CommitPerson::Unknown(email.clone()), CommitPerson::Known));
        }
    }
    // An account may be known although the e-mail in git is another one by now.
    for account in listed.iter().flat_map(|c| [&c.author, &c.committer]).flatten() {
        found.people.extend(account.login.clone().map(CommitPerson::Known));
    }
    found
}

fn known_emails(listed: &[model::Commit]) -> BTreeMap<String, Login> {
    let mut known = BTreeMap::new();
    for commit in listed {
        for (account, signature) in
            [(&commit.author, &commit.commit.author), (&commit.committer, &commit.commit.committer)]
        {
            if let (Some(login), Some(signature)) = (account.as_ref().and_then(|a| a.login.clone()), signature) {
                known.insert(signature.email.to_ascii_lowercase(), login);
            }
        }
    }
    known
}

fn login_of(email: &str, known: &BTreeMap<String, Login>, host: Option<&str>) -> Option<Login> {
    let email = email.to_ascii_lowercase();
    known.get(&email).cloned().or_else(|| {
        let (user, domain) = email.split_once('@')?;
        let of = domain.strip_prefix("users.noreply.")?;
        if of != "github.com" && !host.is_some_and(|h| h.eq_ignore_ascii_case(of)) {
            return None;
        }
        let login = user.split_once('+').map_or(user, |(_, login)| login);
        (!login.is_empty()).then(|| Login::new(login))
    })
}

/// When the pull request was last aimed at another branch: what was said before was said about something else
/// (DECISIONS 12).
pub fn retargeted(timeline: &[model::TimelineEntry]) -> Option<DateTime<Utc>> {
    timeline.iter().filter(|e| RETARGETED.contains(&&*e.event)).filter_map(|e| e.created_at).max()
}

/// The labels that were there at a moment, and what had happened to them by then.
pub fn labelled_at(
    timeline: &[model::TimelineEntry],
    at: DateTime<Utc>,
) -> (Vec<model::LabelName>, Vec<model::TimelineEntry>) {
    let until: Vec<_> = timeline.iter().filter(|e| e.created_at.is_none_or(|made| made <= at)).cloned().collect();
    let mut there: BTreeMap<String, model::LabelName> = BTreeMap::new();
    for (entry, label) in until.iter().filter_map(|e| Some((e, e.label.as_ref()?))) {
        match &*entry.event {
            "labeled" => drop(there.insert(label.name.to_ascii_lowercase(), label.clone())),
            "unlabeled" => drop(there.remove(&label.name.to_ascii_lowercase())),
            _ => {}
        }
    }
    (there.into_values().collect(), until)
}

/// Labels that were set before `since` stand for no content any more.
pub fn since(mut labels: Vec<Label>, since: Option<DateTime<Utc>>) -> Vec<Label> {
    for label in &mut labels {
        if let (Some(since), Some(at)) = (since, label.set_at)
            && at <= since
        {
            label.binding = None;
        }
    }
    labels
}

/// Approvals that were given before `since` stand for no content any more; a request for changes still does.
pub fn reviews_since(mut reviews: Vec<Review>, since: Option<DateTime<Utc>>) -> Vec<Review> {
    for review in reviews.iter_mut().filter(|r| r.state == ReviewState::Approved) {
        if since.is_some_and(|since| review.submitted_at <= since) {
            review.binding = None;
        }
    }
    reviews
}

/// The labels with who set them last, and what an approving label was set for. `bindings` are the stored ones.
pub fn labels(
    present: &[model::LabelName],
    timeline: &[model::TimelineEntry],
    bindings: &[StoredBinding],
    own: &dyn Fn(&Login) -> bool,
) -> Vec<Label> {
    present
        .iter()
        .map(|label| {
            let same = |name: &str| name.eq_ignore_ascii_case(&label.name);
            let last =
                timeline.iter().rev().find(|e| e.event == "labeled" && e.label.as_ref().is_some_and(|l| same(&l.name)));
            let set_by = last.and_then(|e| e.actor.as_ref()).map(|a| a.login.clone());
            let set_at = last.and_then(|e| e.created_at);
            let binding = bindings.iter().find(|b| {
                // The event may be worked before or after GitHub's own time stamp, but not for another setting of it.
                let same_setting = set_at.is_none_or(|at| b.at + chrono::Duration::seconds(60) >= at);
                b.subject.strip_prefix("label:").is_some_and(same) && Some(&b.login) == set_by.as_ref() && same_setting
            });
            let own = set_by.as_ref().is_some_and(own);
            Label { name: label.name.clone(), set_by, set_at, binding: binding.map(|b| b.binding.clone()), own }
        })
        .collect()
}

/// The reviews, oldest first, each with what it was given for where that was remembered. Reviews of deleted accounts and
/// unsubmitted ones are left out.
pub fn reviews(given: &[model::Review], bindings: &[StoredBinding]) -> Vec<Review> {
    given
        .iter()
        .filter_map(|review| {
            let login = review.user.as_ref()?.login.clone();
            let subject = review_subject(review.id);
            let binding: Option<Binding> =
                bindings.iter().find(|b| b.subject == subject && b.login == login).map(|b| b.binding.clone());
            let submitted_at = review.submitted_at?;
            Some(Review { id: review.id, login, state: review_state(&review.state)?, submitted_at, binding })
        })
        .collect()
}

/// What a review is remembered under.
pub fn review_subject(id: u64) -> String {
    format!("review:{id}")
}

/// What a label is remembered under.
pub fn label_subject(name: &str) -> String {
    format!("label:{}", name.to_ascii_lowercase())
}

/// GitHub's word for a review; a new word that nobody knows yet counts as a comment.
fn review_state(word: &str) -> Option<ReviewState> {
    match word.to_ascii_uppercase().as_str() {
        "APPROVED" => Some(ReviewState::Approved),
        "CHANGES_REQUESTED" => Some(ReviewState::ChangesRequested),
        "DISMISSED" => Some(ReviewState::Dismissed),
        "PENDING" => None,
        _ => Some(ReviewState::Commented),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Digest, Risk};
    use chrono::{DateTime, Utc};

    fn sha(c: char) -> CommitSha {
        CommitSha::new(c.to_string().repeat(40)).unwrap()
    }

    fn names(c: char, author: &str, committer: &str, co_authors: &[&str]) -> CommitNames {
        CommitNames {
            sha: sha(c),
            author: author.into(),
            committer: committer.into(),
            co_authors: co_authors.iter().map(|s| (*s).into()).collect(),
        }
    }

    fn listed(c: char, author: (&str, Option<&str>), committer: (&str, Option<&str>)) -> model::Commit {
        let account = |login: Option<&str>| login.map(|l| model::MaybeUser { login: Some(Login::new(l)) });
        let signature = |email: &str| Some(model::Signature { email: email.into(), date: None });
        model::Commit {
            sha: sha(c),
            author: account(author.1),
            committer: account(committer.1),
            commit: model::GitCommit {
                author: signature(author.0),
                committer: signature(committer.0),
                message: String::new(),
            },
        }
    }

    fn known(login: &str) -> CommitPerson {
        CommitPerson::Known(Login::new(login))
    }

    #[test]
    fn b2_authors_committers_and_co_authors_are_all_found() {
        let names = [
            names('a', "ann@x", "bob@x", &["Carl@x", "12+dora@users.noreply.github.com", "who@x"]),
            names('b', "carl@x", "lost@x", &[]),
        ];
        let listed = [
            listed('a', ("ann@x", Some("ann")), ("bob@x", Some("bob"))),
            listed('b', ("carl@x", Some("carl")), ("lost@x", None)),
        ];
        let none = BTreeMap::new();
        let found = commit_people(&names, &Known { listed: &listed, told: &none, host: None });
        let unknown = |e: &str| CommitPerson::Unknown(e.into());
        let expected: BTreeSet<_> =
            [known("ann"), known("bob"), known("carl"), known("dora"), unknown("who@x"), unknown("lost@x")].into();
        assert_eq!(found.people, expected);
        assert!(found.open.is_empty());
        assert_eq!(with_strangers(&names, &listed), [sha('a')].into());
        // GitHub knows more addresses than its list shows.
        let told = [("who@x".to_owned(), Login::new("wilma"))].into();
        let found = commit_people(&names, &Known { listed: &listed, told: &told, host: None });
        assert!(found.people.contains(&known("wilma")) && !found.people.contains(&unknown("who@x")));
    }

    #[test]
    fn b2_no_reply_addresses_belong_to_the_github_that_is_asked() {
        let names =
            [names('a', "ann@x", "ann@x", &["7+eve@users.noreply.ghe.acme.com", "8+fay@users.noreply.evil.com"])];
        let listed = [listed('a', ("ann@x", Some("ann")), ("ann@x", Some("ann")))];
        let none = BTreeMap::new();
        let found = |host| commit_people(&names, &Known { listed: &listed, told: &none, host }).people;
        let fay = CommitPerson::Unknown("8+fay@users.noreply.evil.com".into());
        assert_eq!(found(Some("ghe.acme.com")), [known("ann"), known("eve"), fay.clone()].into());
        let eve = CommitPerson::Unknown("7+eve@users.noreply.ghe.acme.com".into());
        assert_eq!(found(None), [known("ann"), eve, fay].into());
        // By its number the account is known, whatever its login was then.
        let told = [("8+fay@users.noreply.evil.com".to_owned(), Login::new("faye"))].into();
        let by_id = commit_people(&names, &Known { listed: &listed, told: &told, host: None }).people;
        assert!(by_id.contains(&known("faye")));
    }

    #[test]
    fn b2_a_commit_beyond_githubs_list_is_asked_about() {
        let names = [names('c', "ann@x", "zoe@x", &[])];
        let listed = [listed('a', ("ann@x", Some("ann")), ("ann@x", Some("ann")))];
        let none = BTreeMap::new();
        let found = commit_people(&names, &Known { listed: &listed, told: &none, host: None });
        assert_eq!(found.people, [known("ann")].into());
        assert_eq!(found.open, [("zoe@x".to_owned(), sha('c'))].into());
    }

    #[test]
    fn b13_a_risk_is_raised_from_the_moment_on_at_which_somebody_raised_it() {
        let timeline = [
            entry("labeled", "risk:high", "dora", 10),
            entry("unlabeled", "Risk:High", "dora", 20),
            entry("labeled", "hold", "dora", 30),
        ];
        for (second, expected, past) in
            [(9, vec![], 0), (10, vec!["risk:high"], 1), (25, vec![], 2), (31, vec!["hold"], 3)]
        {
            let (there, until) = labelled_at(&timeline, at(second));
            let there: Vec<_> = there.iter().map(|l| l.name.as_str()).collect();
            assert_eq!((there, until.len()), (expected, past), "{second}");
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn binding() -> Binding {
        let digest = Digest::new(format!("sha256:{}", "0".repeat(64))).unwrap();
        Binding { digest, policy_hash: "p".into(), risk: Risk::High }
    }

    fn entry(event: &str, label: &str, by: &str, second: i64) -> model::TimelineEntry {
        model::TimelineEntry {
            event: event.into(),
            actor: Some(model::User { login: Login::new(by), kind: "User".into() }),
            label: Some(model::LabelName { name: label.into() }),
            created_at: Some(at(second)),
        }
    }

    #[test]
    fn b13_a_label_counts_for_who_set_it_last_and_for_what_was_there_then() {
        let present = [model::LabelName { name: "approved:dba".into() }];
        let timeline = [
            entry("labeled", "approved:dba", "mallory", 0),
            entry("unlabeled", "approved:dba", "ann", 10),
            entry("labeled", "Approved:DBA", "ann", 1000),
        ];
        let stored = |login: &str, second| StoredBinding {
            subject: label_subject("approved:DBA"),
            login: Login::new(login),
            binding: binding(),
            at: at(second),
        };
        for (bindings, counts) in [
            (vec![stored("ann", 1001)], true),
            (vec![stored("mallory", 1)], false),
            (vec![stored("ann", 1)], false),
            (vec![], false),
        ] {
            let found = labels(&present, &timeline, &bindings, &|_| false);
            assert_eq!(found[0].set_by, Some(Login::new("ann")));
            assert_eq!(found[0].binding.is_some(), counts, "{bindings:?}");
        }
    }
}
