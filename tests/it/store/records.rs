//! What is remembered about pull requests and environments.

use chrono::{DateTime, TimeDelta, Utc};
use godwit::approval::{Asked, Binding};
use godwit::ids::{CommitSha, Digest, EnvironmentName, Login, PrNumber, RepoName, Risk};
use godwit::plan::Outcome;
use godwit::store::EnvironmentRecord;

use super::{Fresh, on_both};

on_both! {
    b1_a_review_stays_bound_to_what_it_was_given_for,
    b13_a_label_set_again_counts_anew_but_an_old_event_does_not,
    people_are_asked_once_per_binding_until_asked_anew,
    b2_pushers_are_remembered_without_regard_to_case,
    b10_the_newest_record_of_a_digest_is_found,
    locks_hold_for_one_repository_or_for_all,
}

fn digest(digit: char) -> Digest {
    Digest::new(format!("sha256:{}", String::from(digit).repeat(64))).unwrap()
}

fn binding(digit: char) -> Binding {
    Binding { digest: digest(digit), policy_hash: "p".into(), risk: Risk::High }
}

fn repo() -> RepoName {
    RepoName::new("o/r").unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

async fn b1_a_review_stays_bound_to_what_it_was_given_for(fresh: Fresh) {
    let (store, pr, alice) = (&fresh.store, PrNumber(1), Login::new("Alice"));
    store.remember_binding(&repo(), pr, "review:5", &alice, &binding('1'), at(0)).await.unwrap();
    store.remember_binding(&repo(), pr, "review:5", &alice, &binding('2'), at(9)).await.unwrap();
    let stored = store.bindings(&repo(), pr).await.unwrap();
    assert_eq!((stored.len(), &stored[0].binding, stored[0].at), (1, &binding('1'), at(0)));
    assert_eq!(stored[0].login.as_str(), "Alice");
    assert!(store.bindings(&repo(), PrNumber(2)).await.unwrap().is_empty());
}

async fn b13_a_label_set_again_counts_anew_but_an_old_event_does_not(fresh: Fresh) {
    let (store, pr, alice) = (&fresh.store, PrNumber(1), Login::new("alice"));
    let label = "label:approved:dba";
    store.remember_binding(&repo(), pr, label, &alice, &binding('1'), at(0)).await.unwrap();
    store.remember_binding(&repo(), pr, label, &Login::new("bob"), &binding('2'), at(9)).await.unwrap();
    store.remember_binding(&repo(), pr, label, &alice, &binding('3'), at(5)).await.unwrap();
    let stored = store.bindings(&repo(), pr).await.unwrap();
    assert_eq!((&stored[0].binding, stored[0].login.as_str()), (&binding('2'), "bob"));
    store.forget_binding(&repo(), pr, label).await.unwrap();
    assert!(store.bindings(&repo(), pr).await.unwrap().is_empty());
}

async fn people_are_asked_once_per_binding_until_asked_anew(fresh: Fresh) {
    let (store, pr) = (&fresh.store, PrNumber(1));
    assert_eq!(store.asked_at(&repo(), pr, &binding('1'), at(0)).await.unwrap(), at(0));
    assert_eq!(store.asked_at(&repo(), pr, &binding('1'), at(9)).await.unwrap(), at(0));
    assert_eq!(store.asked_at(&repo(), pr, &binding('2'), at(9)).await.unwrap(), at(9));
    let production = EnvironmentName::new("production").unwrap();
    let ask = |second, anew| {
        let asked = Asked { at: at(second), anew };
        let (store, production) = (store.clone(), production.clone());
        async move {
            store.ask_in(&repo(), pr, &production, &binding('1'), asked).await.unwrap();
            store.asked_in(&repo(), pr, &binding('1')).await.unwrap()[&production]
        }
    };
    assert_eq!(ask(10, false).await, Asked { at: at(10), anew: false });
    assert_eq!(ask(15, false).await, Asked { at: at(10), anew: false }, "asking twice asks once");
    assert_eq!(ask(20, true).await, Asked { at: at(20), anew: true });
    assert!(store.asked_in(&repo(), pr, &binding('2')).await.unwrap().is_empty());
}

async fn b2_pushers_are_remembered_without_regard_to_case(fresh: Fresh) {
    for login in ["Alice", "alice", "bob"] {
        fresh.store.remember_pusher(&repo(), PrNumber(1), &Login::new(login)).await.unwrap();
    }
    let pushers = fresh.store.pushers(&repo(), PrNumber(1)).await.unwrap();
    assert_eq!(pushers.len(), 2);
    assert!(pushers.contains(&Login::new("ALICE")));
}

async fn b10_the_newest_record_of_a_digest_is_found(fresh: Fresh) {
    let environment = EnvironmentName::new("staging").unwrap();
    let record = |digit, outcome| EnvironmentRecord {
        repo: repo(),
        environment: environment.clone(),
        pr: Some(PrNumber(3)),
        commit: CommitSha::new("a".repeat(40)).unwrap(),
        digest: digest(digit),
        outcome,
        run: None,
        at: at(0),
    };
    for r in [record('1', Outcome::Failed), record('1', Outcome::Applied), record('2', Outcome::Failed)] {
        fresh.store.record_environment(&r).await.unwrap();
    }
    let found = |digit| {
        let (store, environment) = (fresh.store.clone(), environment.clone());
        async move { store.latest_environment(&repo(), &environment, &digest(digit)).await.unwrap() }
    };
    assert_eq!(found('1').await, Some(record('1', Outcome::Applied)));
    assert_eq!(found('2').await.unwrap().outcome, Outcome::Failed);
    assert_eq!(found('3').await, None);
    assert_eq!(fresh.store.environment_records(&repo(), 2).await.unwrap().len(), 2);
}

async fn locks_hold_for_one_repository_or_for_all(fresh: Fresh) {
    let (store, other) = (&fresh.store, RepoName::new("o/other").unwrap());
    let production = EnvironmentName::new("production").unwrap();
    assert_eq!(store.lock_environment(Some(&repo()), &production, "release", "alice").await.unwrap(), None);
    let held = store.lock_environment(Some(&repo()), &production, "mine", "bob").await.unwrap().unwrap();
    assert_eq!((held.by.as_str(), held.reason.as_str()), ("alice", "release"));
    assert!(held.at > Utc::now() - TimeDelta::minutes(1));
    assert!(store.environment_lock(Some(&other), &production).await.unwrap().is_none());

    store.lock_environment(None, &production, "all of it", "carol").await.unwrap();
    assert_eq!(store.environment_lock(Some(&other), &production).await.unwrap().unwrap().by, "carol");
    assert_eq!(store.environment_lock(Some(&repo()), &production).await.unwrap().unwrap().by, "alice");
    assert_eq!(store.unlock_environment(Some(&repo()), &production).await.unwrap().unwrap().by, "alice");
    assert_eq!(store.environment_lock(Some(&repo()), &production).await.unwrap().unwrap().by, "carol");
    assert!(store.unlock_environment(Some(&repo()), &production).await.unwrap().is_none());
}
