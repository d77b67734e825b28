//! Several processes on one store: who is there, who may write, who hears of work.

use std::time::Duration;

use chrono::Utc;
use godwit::github::Event;
use godwit::store::{AuditEntry, StoreError};

use super::{Fresh, fresh_on, on_both};
use crate::support::Kind;

const LEASE: Duration = Duration::from_secs(60);

on_both! {
    b11_who_lost_the_claim_cannot_write_through_it,
    work_of_a_region_is_for_its_workers_alone,
    processes_are_known_while_they_say_so,
    one_process_at_a_time_makes_a_pass,
    b7_many_workers_in_two_processes_do_each_job_once_and_a_key_in_order,
}

async fn b11_who_lost_the_claim_cannot_write_through_it(fresh: Fresh) {
    let store = &fresh.store;
    store.enqueue("o/r#1", &Event::Ping, None).await.unwrap();
    let lost = store.claim("w1", Duration::ZERO).await.unwrap().unwrap();
    let bound = store.under(&lost);
    // The lease has lapsed, but nobody has taken the work yet.
    bound.append_audit(AuditEntry::new(Utc::now(), "w1", "run-started", "running")).await.unwrap();
    let other = fresh.again().await;
    let held = other.claim("w2", LEASE).await.unwrap().unwrap();
    let refused = bound.append_audit(AuditEntry::new(Utc::now(), "w1", "run-finished", "applied")).await;
    assert!(matches!(refused, Err(StoreError::LostClaim)), "{refused:?}");
    assert!(matches!(bound.enqueue("o/r#1", &Event::Ping, None).await, Err(StoreError::LostClaim)));
    other.under(&held).append_audit(AuditEntry::new(Utc::now(), "w2", "run-finished", "applied")).await.unwrap();
    other.complete(&held).await.unwrap();
    let actors: Vec<String> =
        store.audit(&Default::default()).await.unwrap().into_iter().map(|r| r.body.actor).collect();
    assert_eq!(actors, ["w1", "w2"]);
    assert!(store.verify_audit(None).await.unwrap().valid);
}

async fn work_of_a_region_is_for_its_workers_alone(fresh: Fresh) {
    let (store, now) = (&fresh.store, Utc::now());
    store.enqueue_in(Some("eu"), "o/r#1@eu", &Event::Ping, None, now).await.unwrap();
    assert!(store.claim("anywhere", LEASE).await.unwrap().is_none());
    assert!(store.claim_in(Some("us"), "w", LEASE).await.unwrap().is_none());
    let claim = store.claim_in(Some("eu"), "w", LEASE).await.unwrap().unwrap();
    assert_eq!(claim.key, "o/r#1@eu");
    store.retry(&claim, "again", now).await.unwrap();
    assert!(store.claim("anywhere", LEASE).await.unwrap().is_none(), "it stays the region's");
    store.complete(&store.claim_in(Some("eu"), "w", LEASE).await.unwrap().unwrap()).await.unwrap();
    assert!(store.is_idle().await.unwrap());
}

async fn processes_are_known_while_they_say_so(fresh: Fresh) {
    let store = &fresh.store;
    store.join("1", "web", None).await.unwrap();
    store.join("2", "worker", None).await.unwrap();
    store.join("2", "worker", None).await.unwrap();
    store.join("3", "worker", Some("eu")).await.unwrap();
    let known = |all: Vec<godwit::store::Replica>| {
        all.into_iter().map(|r| format!("{} {} {}", r.id, r.role, r.region.unwrap_or_default())).collect::<Vec<_>>()
    };
    assert_eq!(known(store.replicas(LEASE).await.unwrap()), ["1 web ", "2 worker ", "3 worker eu"]);
    store.leave("2").await.unwrap();
    store.leave("3").await.unwrap();
    assert_eq!(known(store.replicas(LEASE).await.unwrap()), ["1 web ", "3 worker eu"], "its work waits for the next");
    fresh.raw("UPDATE replicas SET seen_at = seen_at - 3600000 WHERE id = '3'").await.unwrap();
    assert_eq!(known(store.replicas(LEASE).await.unwrap()), ["1 web "]);
    fresh.raw("UPDATE replicas SET seen_at = 0 WHERE id = '3'").await.unwrap();
    store.join("1", "web", None).await.unwrap();
    assert_eq!(known(store.replicas(Duration::MAX).await.unwrap()), ["1 web "]);
}

async fn one_process_at_a_time_makes_a_pass(fresh: Fresh) {
    let (store, other) = (&fresh.store, fresh.again().await);
    let hour = chrono::Duration::hours(1);
    assert!(store.take_pass("sweep", hour).await.unwrap());
    assert!(!other.take_pass("sweep", hour).await.unwrap());
    assert!(other.take_pass("something else", hour).await.unwrap());
    assert!(other.take_pass("sweep", chrono::Duration::zero()).await.unwrap());
    fresh.raw("UPDATE facts SET value = '99999999999999' WHERE name = 'pass:sweep'").await.unwrap();
    assert!(store.take_pass("sweep", hour).await.unwrap(), "a clock was wrong for a while");
}

async fn b7_many_workers_in_two_processes_do_each_job_once_and_a_key_in_order(fresh: Fresh) {
    const KEYS: usize = 6;
    const EACH: usize = 10;
    for n in 0..KEYS * EACH {
        let event = Event::Ignored { name: format!("{n:03}"), action: None };
        fresh.store.enqueue(&format!("k{}", n % KEYS), &event, None).await.unwrap();
    }
    let other = fresh.again().await;
    let done = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let working: Vec<_> = (0..8)
        .map(|n| {
            let (store, done) = (if n % 2 == 0 { fresh.store.clone() } else { other.clone() }, done.clone());
            tokio::spawn(async move {
                while !store.is_idle().await.unwrap() {
                    let Some(claim) = store.claim(&format!("w{n}"), LEASE).await.unwrap() else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    // One job at a time, so that keys are claimed again and again.
                    let job = &claim.jobs[0];
                    done.lock().unwrap().push((claim.key.clone(), job.id.clone()));
                    store.complete_job(&claim, job).await.unwrap();
                    match store.retry(&claim, "the rest", Utc::now()).await {
                        Ok(_) | Err(StoreError::LostClaim) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    for worker in working {
        worker.await.unwrap();
    }
    let done = done.lock().unwrap();
    assert_eq!(done.len(), KEYS * EACH);
    for key in 0..KEYS {
        let ids: Vec<&String> = done.iter().filter(|(k, _)| *k == format!("k{key}")).map(|(_, id)| id).collect();
        assert!(ids.len() == EACH && ids.is_sorted(), "{key}: {ids:?}");
    }
}

#[tokio::test]
async fn replicas_on_one_server_hear_of_each_others_work() {
    let fresh = fresh_on(Kind::Postgres).await;
    let other = fresh.again().await;
    let mut changes = other.job_changes();
    let heard = async |changes: &mut tokio::sync::watch::Receiver<u64>| {
        tokio::time::timeout(crate::support::PATIENCE, changes.changed()).await.expect("nothing was heard").unwrap();
    };
    // The first word is that it listens.
    heard(&mut changes).await;
    fresh.store.enqueue("k", &Event::Ping, None).await.unwrap();
    heard(&mut changes).await;
    // Also after the server ended the connection it listens on.
    fresh
        .raw("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%' AND pid <> pg_backend_pid()")
        .await
        .unwrap();
    let mut n = 0;
    loop {
        fresh.store.enqueue("k", &Event::Ping, None).await.unwrap();
        if tokio::time::timeout(Duration::from_millis(200), changes.changed()).await.is_ok() {
            break;
        }
        n += 1;
        assert!(n < 300, "it does not listen again");
    }
}

#[tokio::test]
async fn leases_are_measured_by_the_servers_clock() {
    let fresh = fresh_on(Kind::Postgres).await;
    fresh.store.enqueue("k", &Event::Ping, None).await.unwrap();
    fresh.store.claim("w", LEASE).await.unwrap().unwrap();
    let ahead = "SELECT 1 / (CASE WHEN MIN(lease_until) BETWEEN EXTRACT(EPOCH FROM now()) * 1000 \
                 AND EXTRACT(EPOCH FROM now()) * 1000 + 60000 THEN 1 ELSE 0 END) FROM jobs WHERE state = 'running'";
    fresh.raw(ahead).await.unwrap();
}

#[tokio::test]
async fn a_replica_that_froze_while_it_wrote_does_not_hold_the_others_up_for_ever() {
    let fresh = fresh_on(Kind::Postgres).await;
    let frozen = fresh.again().await;
    let mut held = frozen.begin().await.unwrap();
    // Sooner than the seconds that a real one has.
    sqlx::query("SET idle_in_transaction_session_timeout = '200ms'").execute(&mut *held).await.unwrap();
    fresh.store.enqueue("k", &Event::Ping, None).await.unwrap();
    assert!(held.commit().await.is_err(), "it was thrown out");
}
