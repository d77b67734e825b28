//! Whose turn it is, when several processes ask at once; and what of an environment is done while the rest waits.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use godwit::github::{Event, Repository, Sender};
use godwit::ids::{CommitSha, Digest, EnvironmentName, Login, PrNumber, RepoName, Risk, RunId, TargetName};
use godwit::plan::{Outcome, Refusal, RunReport};
use godwit::store::legs::{DoneLeg, Whole};
use godwit::store::turns::{Asker, TurnState};
use godwit::store::waking::Brought;
use godwit::store::{AuditEntry, EnvironmentRecord, Store, StoreError};

use super::{Fresh, on_both};

on_both! {
    b11_of_many_in_two_processes_that_ask_at_once_one_has_the_turn_and_they_come_in_merge_order,
    b11_who_lost_its_lease_takes_no_turn,
    b11_who_was_cut_short_goes_on_before_those_who_wait,
    b11_after_a_run_only_those_are_woken_who_may_go_on,
    parts_are_kept_until_the_whole_is_told_and_the_turn_stays_with_them,
    a_part_and_its_record_are_written_both_or_neither,
}

fn repo() -> RepoName {
    RepoName::new("o/r").unwrap()
}

fn staging() -> EnvironmentName {
    EnvironmentName::new("staging").unwrap()
}

fn shop() -> [TargetName; 1] {
    [TargetName::new("shop").unwrap()]
}

fn digest() -> Digest {
    Digest::new(format!("sha256:{}", "0".repeat(64))).unwrap()
}

/// Asks for the turn of a pull request that was merged so many seconds after the others began.
async fn ask(store: &Store, pr: u64, merged: i64, run: &RunId) -> Result<Vec<PrNumber>, StoreError> {
    let asker = Asker {
        repo: &repo(),
        environment: &staging(),
        pr: PrNumber(pr),
        targets: &shop(),
        merged_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(merged),
        event: &Event::Ping,
    };
    Ok(store.take_turn(&asker, run).await?.into_iter().map(|t| t.pr).collect())
}

async fn b11_of_many_in_two_processes_that_ask_at_once_one_has_the_turn_and_they_come_in_merge_order(fresh: Fresh) {
    const MANY: u64 = 8;
    let other = fresh.again().await;
    let done = std::sync::Arc::new(std::sync::Mutex::new((Vec::new(), None::<u64>)));
    // Everybody stands there first, as after a freeze that ends: then the order is known.
    let freeze = RunId::generate();
    assert!(ask(&fresh.store, 99, -1, &freeze).await.unwrap().is_empty());
    for pr in 1..=MANY {
        assert!(!ask(&fresh.store, pr, i64::try_from(pr).unwrap(), &RunId::generate()).await.unwrap().is_empty());
    }
    let asking: Vec<_> = (1..=MANY)
        .map(|pr| {
            let (store, done) = (if pr % 2 == 0 { fresh.store.clone() } else { other.clone() }, done.clone());
            tokio::spawn(async move {
                let run = RunId::generate();
                while !ask(&store, pr, i64::try_from(pr).unwrap(), &run).await.unwrap().is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let before = done.lock().unwrap().1.replace(pr);
                assert_eq!(before, None, "#{pr} and another one have the turn");
                store.keep_turn(&run).await.unwrap();
                tokio::task::yield_now().await;
                {
                    let mut done = done.lock().unwrap();
                    done.0.push(pr);
                    done.1 = None;
                }
                store.end_turn(&repo(), &staging(), PrNumber(pr)).await.unwrap();
            })
        })
        .collect();
    fresh.store.end_turn(&repo(), &staging(), PrNumber(99)).await.unwrap();
    for task in asking {
        tokio::time::timeout(crate::support::PATIENCE, task).await.expect("somebody never had the turn").unwrap();
    }
    assert_eq!(done.lock().unwrap().0, (1..=MANY).collect::<Vec<_>>());
    assert_eq!(fresh.store.turns(&repo(), &staging()).await.unwrap(), []);
}

async fn b11_who_lost_its_lease_takes_no_turn(fresh: Fresh) {
    let (store, other) = (&fresh.store, fresh.again().await);
    store.enqueue("o/r#1", &Event::Ping, None).await.unwrap();
    let lost = store.claim("w1", Duration::ZERO).await.unwrap().unwrap();
    let held = other.claim("w2", Duration::from_secs(60)).await.unwrap().unwrap();
    let (first, second) = (RunId::generate(), RunId::generate());
    let (late, bound) = (store.under(&lost), other.under(&held));
    let (late, bound) = tokio::join!(ask(&late, 1, 1, &first), ask(&bound, 1, 1, &second));
    assert!(matches!(late, Err(StoreError::LostClaim)), "{late:?}");
    assert!(bound.unwrap().is_empty());
    let turns = store.turns(&repo(), &staging()).await.unwrap();
    assert_eq!(turns.into_iter().map(|t| t.run).collect::<Vec<_>>(), [Some(second)]);
}

async fn b11_who_was_cut_short_goes_on_before_those_who_wait(fresh: Fresh) {
    let store = &fresh.store;
    assert!(ask(store, 2, 2, &RunId::generate()).await.unwrap().is_empty());
    // Merged before it, it came to its turn later.
    assert_eq!(ask(store, 1, 1, &RunId::generate()).await.unwrap(), [PrNumber(2)]);
    let again = RunId::generate();
    assert!(ask(store, 2, 2, &again).await.unwrap().is_empty(), "it was cut short and taken up again");
    store.rest_turn(&again).await.unwrap();
    let turn = store.turns(&repo(), &staging()).await.unwrap().into_iter().find(|t| t.pr == PrNumber(2)).unwrap();
    assert!(turn.rests() && !turn.is_handed_on() && turn.state == TurnState::Running, "{turn:?}");
    // Silent for long, it is taken for dead, and comes behind who was before it.
    fresh.raw("UPDATE turns SET seen_at = 0 WHERE pr = 2").await.unwrap();
    assert!(ask(store, 1, 1, &RunId::generate()).await.unwrap().is_empty());
    assert_eq!(ask(store, 2, 2, &RunId::generate()).await.unwrap(), [PrNumber(1)]);
}

async fn b11_after_a_run_only_those_are_woken_who_may_go_on(fresh: Fresh) {
    let (store, repo, staging) = (&fresh.store, repo(), staging());
    let production = EnvironmentName::new("production").unwrap();
    let elsewhere = [TargetName::new("other").unwrap()];
    let references = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
    let look = |pr| Event::PullRequest {
        repo: Repository {
            id: 1,
            name: RepoName::new("o/r").unwrap(),
            clone_url: String::new(),
            default_branch: "main".into(),
            installation: 1,
        },
        number: PrNumber(pr),
        action: "reconcile".into(),
        sender: Sender { login: Login::new("godwit"), bot: true },
        head: CommitSha::new("1".repeat(40)).unwrap(),
        label: None,
        merged: true,
    };
    let looks: Vec<Event> = (0..20).map(look).collect();
    let asker = |pr: usize, environment, targets| Asker {
        repo: &repo,
        environment,
        pr: PrNumber(pr as u64),
        targets,
        merged_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(i64::try_from(pr).unwrap()),
        event: &looks[pr],
    };
    let (shop, none) = (shop(), BTreeSet::new());
    // #1 runs, and five are behind it in the queue; one is in the queue of another database.
    for pr in 1..=6 {
        store.take_turn(&asker(pr, &staging, &shop), &RunId::generate()).await.unwrap();
    }
    store.take_turn(&asker(7, &staging, &elsewhere), &RunId::generate()).await.unwrap();
    store.take_turn(&asker(8, &staging, &elsewhere), &RunId::generate()).await.unwrap();
    // These wait for people, for what #1 brings, for what #2 brings, and elsewhere for what #1 brings.
    store.wait_at_gate(&asker(9, &staging, &shop), "approval", &none).await.unwrap();
    store.wait_at_gate(&asker(10, &staging, &shop), "promotion", &references(&["m/0000_x", "m/0001_a"])).await.unwrap();
    store.wait_at_gate(&asker(11, &staging, &shop), "promotion", &references(&["m/0002_b"])).await.unwrap();
    store.wait_at_gate(&asker(12, &production, &shop), "promotion", &references(&["m/0001_a"])).await.unwrap();
    // One that waited for that once, and now for people.
    store.wait_at_gate(&asker(13, &staging, &shop), "promotion", &references(&["m/0001_a"])).await.unwrap();
    store.wait_at_gate(&asker(13, &staging, &shop), "approval", &none).await.unwrap();

    store.end_turn(&repo, &staging, PrNumber(1)).await.unwrap();
    let migrations = references(&["m/0001_a"]);
    let (environment, targets) = (&staging, &shop[..]);
    let brought = Brought { repo: &repo, environment, pr: PrNumber(1), targets, migrations: &migrations };
    store.wake_after(brought).await.unwrap();
    let keys: Vec<(String,)> = sqlx::query_as("SELECT serial_key FROM jobs WHERE state = 'queued' ORDER BY id")
        .fetch_all(store.reader())
        .await
        .unwrap();
    let keys: Vec<String> = keys.into_iter().map(|(key,)| key).collect();
    assert_eq!(keys, ["o/r#2", "o/r#3", "o/r#4", "o/r#10", "o/r#12"]);
}

fn report(run: &RunId) -> RunReport {
    let refusal = Refusal {
        reason: "x".into(),
        message: "with 'quotes' and \u{1F426}".into(),
        what_to_do: String::new(),
        needs_human: false,
    };
    RunReport::blocked(staging(), digest(), Risk::Low, refusal, run.clone())
}

fn part(targets: &[&str], second: i64) -> DoneLeg {
    let run = RunId::generate();
    let at = DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap();
    let targets = targets.iter().map(|t| TargetName::new(*t).unwrap()).collect();
    DoneLeg { report: report(&run), run, targets, at }
}

fn entry(leg: &DoneLeg) -> AuditEntry {
    let mut entry = AuditEntry::new(leg.at, "w", "part-finished", "applied");
    entry.run = Some(leg.run.clone());
    entry
}

async fn parts_are_kept_until_the_whole_is_told_and_the_turn_stays_with_them(fresh: Fresh) {
    let store = &fresh.store;
    let (repo, staging, digest, other) = (repo(), staging(), digest(), RepoName::new("o/other").unwrap());
    let whole = Whole { repo: &repo, environment: &staging, pr: PrNumber(1), digest: &digest };
    let (one, two) = (part(&["a", "b"], 1), part(&["c"], 2));
    assert!(ask(store, 1, 1, &one.run).await.unwrap().is_empty());
    store.finish_leg(entry(&one), whole, &one).await.unwrap();
    // However long the next worker takes, nobody comes between.
    fresh.raw("UPDATE turns SET seen_at = 0 WHERE pr = 1").await.unwrap();
    assert_eq!(ask(store, 2, 0, &RunId::generate()).await.unwrap(), [PrNumber(1)]);
    let turn = store.turns(&repo, &staging).await.unwrap().into_iter().find(|t| t.pr == PrNumber(1)).unwrap();
    assert!(turn.is_handed_on(), "{turn:?}");
    assert_eq!(store.open_runs(Some(&repo), &staging).await.unwrap(), [], "nothing goes on at the moment");
    assert!(ask(store, 1, 1, &two.run).await.unwrap().is_empty());
    store.finish_leg(entry(&two), whole, &two).await.unwrap();
    let found = fresh.again().await.done_legs(whole).await.unwrap();
    assert_eq!(found, [one.clone(), two]);
    for elsewhere in [Whole { repo: &other, ..whole }, Whole { pr: PrNumber(2), ..whole }] {
        assert_eq!(store.done_legs(elsewhere).await.unwrap(), []);
    }
    // The record of the whole ends them; so does an undoing.
    let record = EnvironmentRecord {
        repo: repo.clone(),
        environment: staging.clone(),
        pr: Some(PrNumber(1)),
        commit: CommitSha::new("1".repeat(40)).unwrap(),
        digest: digest.clone(),
        outcome: Outcome::Applied,
        run: Some(RunId::generate()),
        at: Utc::now(),
    };
    store.end_environment(AuditEntry::new(Utc::now(), "w", "run-finished", "applied"), &record).await.unwrap();
    assert_eq!(store.done_legs(whole).await.unwrap(), []);
    let three = part(&["a"], 3);
    store.finish_leg(entry(&three), whole, &three).await.unwrap();
    assert_eq!(store.done_legs(whole).await.unwrap(), [three]);
    store.forget_legs(&repo, &staging, PrNumber(1)).await.unwrap();
    assert_eq!(store.done_legs(whole).await.unwrap(), []);
    assert!(store.verify_audit(None).await.unwrap().valid);
}

async fn a_part_and_its_record_are_written_both_or_neither(fresh: Fresh) {
    let store = &fresh.store;
    let (repo, staging, digest) = (repo(), staging(), digest());
    let whole = Whole { repo: &repo, environment: &staging, pr: PrNumber(1), digest: &digest };
    let leg = part(&["a"], 1);
    store.finish_leg(entry(&leg), whole, &leg).await.unwrap();
    assert!(store.finish_leg(entry(&leg), whole, &leg).await.is_err(), "the same run twice");
    assert_eq!(store.audit(&Default::default()).await.unwrap().len(), 1);
    store.enqueue("o/r#1", &Event::Ping, None).await.unwrap();
    let lost = store.claim("w1", Duration::ZERO).await.unwrap().unwrap();
    fresh.again().await.claim("w2", Duration::from_secs(60)).await.unwrap().unwrap();
    let late = part(&["b"], 2);
    let refused = store.under(&lost).finish_leg(entry(&late), whole, &late).await;
    assert!(matches!(refused, Err(StoreError::LostClaim)), "{refused:?}");
    assert_eq!(store.done_legs(whole).await.unwrap(), [leg]);
}
