//! What pull requests touch and where they collide, and approvals that were entered outside GitHub.

use chrono::{DateTime, Utc};
use godwit::approval::collisions::Touched;
use godwit::approval::{Asked, Binding, Source};
use godwit::ids::{Digest, Engine, EnvironmentName, Login, PrNumber, RepoName, Risk, RoleName, TargetName};
use godwit::store::{NewEntered, StoredCollision};

use super::{Fresh, on_both};

on_both! {
    what_open_pull_requests_touch_is_known_until_they_are_closed,
    a_collision_is_kept_once_for_both_and_says_how_it_ended,
    dec9_an_entered_approval_is_kept_once_and_given_anew_by_saying_it_again,
    people_of_one_environment_are_asked_once_until_they_are_asked_anew,
}

fn repo() -> RepoName {
    RepoName::new("o/r").unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn environment(name: &str) -> EnvironmentName {
    EnvironmentName::new(name).unwrap()
}

fn binding(digit: char) -> Binding {
    let digest = Digest::new(format!("sha256:{}", String::from(digit).repeat(64))).unwrap();
    Binding { digest, policy_hash: "p".into(), risk: Risk::High }
}

fn touched(migration: &str) -> Touched {
    Touched {
        unit: "migrations".into(),
        migration: migration.into(),
        version: "1".into(),
        checksum: "c".into(),
        engine: Engine::Postgresql,
        target: Some(TargetName::new("shop").unwrap()),
        objects: ["table \"o'rders\"".to_owned(), "ümlaut \u{1F426}".to_owned()].into(),
    }
}

async fn what_open_pull_requests_touch_is_known_until_they_are_closed(fresh: Fresh) {
    let store = &fresh.store;
    let others = async |pr: u64| store.changes_of_others(&repo(), PrNumber(pr)).await.unwrap();
    store.remember_changes(&repo(), PrNumber(1), &[]).await.unwrap();
    assert_eq!(others(9).await, [], "nothing touched is nothing kept");
    store.remember_changes(&repo(), PrNumber(2), &[touched("0002_b")]).await.unwrap();
    store.remember_changes(&repo(), PrNumber(1), &[touched("0001_a")]).await.unwrap();
    store.remember_changes(&repo(), PrNumber(1), &[touched("0001_a"), touched("0003_c")]).await.unwrap();
    let elsewhere = RepoName::new("o/other").unwrap();
    store.remember_changes(&elsewhere, PrNumber(1), &[touched("0009_x")]).await.unwrap();
    let one = (PrNumber(1), vec![touched("0001_a"), touched("0003_c")]);
    let two = (PrNumber(2), vec![touched("0002_b")]);
    assert_eq!(others(9).await, [one, two.clone()]);
    assert_eq!(others(1).await, [two]);
    store.forget_changes(&repo(), PrNumber(2)).await.unwrap();
    assert_eq!(others(1).await, []);
    // What it touched once and does no more is kept as nothing.
    store.remember_changes(&repo(), PrNumber(1), &[]).await.unwrap();
    assert_eq!(others(9).await, [(PrNumber(1), Vec::new())]);
}

async fn a_collision_is_kept_once_for_both_and_says_how_it_ended(fresh: Fresh) {
    let store = &fresh.store;
    let of = async |pr: u64| store.collisions(&repo(), PrNumber(pr)).await.unwrap();
    let with = |other: u64, what: &str, settled: Option<&str>| StoredCollision {
        other: PrNumber(other),
        what: vec![what.to_owned()],
        settled: settled.map(str::to_owned),
    };
    store.remember_collision(&repo(), PrNumber(7), &with(3, "both bring `0004`", None)).await.unwrap();
    store.remember_collision(&repo(), PrNumber(3), &with(9, "both change `orders`", None)).await.unwrap();
    assert_eq!(of(7).await, [with(3, "both bring `0004`", None)]);
    assert_eq!(of(3).await, [with(7, "both bring `0004`", None), with(9, "both change `orders`", None)]);
    store.remember_collision(&repo(), PrNumber(3), &with(7, "both bring `0004`", Some("#7 was closed"))).await.unwrap();
    assert_eq!(of(7).await, [with(3, "both bring `0004`", Some("#7 was closed"))]);
    assert_eq!(of(8).await, []);
    assert_eq!(store.collisions(&RepoName::new("o/other").unwrap(), PrNumber(7)).await.unwrap(), []);
}

fn entered(pr: Option<u64>, approver: &str, digit: char, seconds: i64) -> NewEntered {
    NewEntered {
        repo: repo(),
        pr: pr.map(PrNumber),
        environment: environment("production"),
        role: RoleName::new("dba").unwrap(),
        approver: Login::new(approver),
        entered_by: Login::new("alice"),
        source: Source::Api,
        comment: "it's \"fine\"; -- \u{1F426}".into(),
        subject: "pull request #1".into(),
        binding: binding(digit),
        at: at(seconds),
    }
}

async fn dec9_an_entered_approval_is_kept_once_and_given_anew_by_saying_it_again(fresh: Fresh) {
    let store = &fresh.store;
    let first = store.enter_approval(&entered(Some(1), "Dora", '1', 0)).await.unwrap();
    let again = store.enter_approval(&entered(Some(1), "Dora", '1', 60)).await.unwrap();
    assert_eq!(first, again);
    let other_content = store.enter_approval(&entered(Some(1), "Dora", '2', 0)).await.unwrap();
    let one_migration = store.enter_approval(&entered(None, "Dora", '1', 0)).await.unwrap();
    let other_pull = store.enter_approval(&entered(Some(2), "Dora", '1', 0)).await.unwrap();
    let ids = async |pr: Option<u64>| -> Vec<String> {
        let rows = store.entered(&repo(), pr.map(PrNumber)).await.unwrap();
        rows.into_iter().map(|r| r.id).collect()
    };
    assert_eq!(ids(Some(1)).await, [first.clone(), other_content.clone(), one_migration.clone()]);
    assert_eq!(ids(Some(3)).await, std::slice::from_ref(&one_migration));
    assert_eq!(ids(None).await, [first, other_content, one_migration, other_pull]);
    let rows = store.entered_in(&environment("production")).await.unwrap();
    assert_eq!(
        (rows.len(), &rows[0].approval),
        (4, &entered(Some(1), "Dora", '1', 60)),
        "said again, it holds from then on"
    );
    assert_eq!(rows[2].approval.pr, None);
    assert_eq!(store.entered_in(&environment("staging")).await.unwrap(), []);
}

async fn people_of_one_environment_are_asked_once_until_they_are_asked_anew(fresh: Fresh) {
    let (store, pr, staging) = (&fresh.store, PrNumber(1), environment("staging"));
    let ask = async |seconds: i64, anew: bool| {
        store.ask_in(&repo(), pr, &staging, &binding('1'), Asked { at: at(seconds), anew }).await.unwrap();
        store.asked_in(&repo(), pr, &binding('1')).await.unwrap()[&staging]
    };
    assert_eq!(ask(0, false).await, Asked { at: at(0), anew: false });
    assert_eq!(ask(9, false).await, Asked { at: at(0), anew: false }, "the first time stays");
    assert_eq!(ask(20, true).await, Asked { at: at(20), anew: true });
    assert!(store.asked_in(&repo(), pr, &binding('2')).await.unwrap().is_empty());
    assert!(store.asked_in(&repo(), PrNumber(2), &binding('1')).await.unwrap().is_empty());
}
