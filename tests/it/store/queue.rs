//! Deliveries and jobs.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use godwit::github::{Event, Repository, Sender};
use godwit::ids::{DeliveryId, Login, PrNumber, RepoName};
use godwit::store::{Ingest, MAX_ATTEMPTS, NewDelivery, StoreError};

use super::{Fresh, fresh_on, on_both};
use crate::support::Kind;

on_both! {
    b7_a_delivery_becomes_one_job_however_often_it_comes,
    b7_a_redelivery_brings_back_work_that_was_given_up,
    b7_concurrent_deliveries_are_each_stored_once,
    b7_what_was_stored_survives_the_process_and_is_worked_on_later,
    deliveries_without_work_are_remembered_too,
    a_key_is_worked_on_by_one_worker_and_in_order,
    b8_a_vanished_workers_jobs_come_back_and_it_cannot_finish_them,
    a_heartbeat_keeps_a_claim,
    a_job_that_kills_its_worker_is_given_up_where_people_see_it,
    a_failed_job_waits_and_is_given_up_in_the_end,
    jobs_of_a_claim_can_end_one_by_one,
    a_job_that_cannot_be_read_does_not_stop_the_others,
    workers_hear_of_new_jobs,
    old_deliveries_are_forgotten_but_not_what_is_open,
}

const LEASE: Duration = Duration::from_secs(60);
/// A lease that has lapsed as soon as it is given.
const LAPSED: Duration = Duration::ZERO;

fn comment(number: u64, body: &str) -> Event {
    Event::Comment {
        repo: Repository {
            id: 1,
            name: RepoName::new("o/r").unwrap(),
            clone_url: "https://github.example/o/r.git".into(),
            default_branch: "main".into(),
            installation: 7,
        },
        number: PrNumber(number),
        comment: 1,
        body: body.into(),
        sender: Sender { login: Login::new("alice"), bot: false },
    }
}

fn delivery(id: &str, event: Event) -> NewDelivery {
    NewDelivery { id: DeliveryId::new(id).unwrap(), name: "issue_comment".into(), event, received_at: Utc::now() }
}

/// To a process whose clock is wrong it looks as if the store's were.
#[tokio::test]
async fn b7_clocks_that_differ_neither_delay_work_nor_hurry_it() {
    for hours in [-2, 2] {
        let fresh = fresh_on(Kind::Postgres).await;
        let database = fresh.database().to_owned();
        let function = format!(
            "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE \
             AS $$ SELECT pg_catalog.clock_timestamp() + interval '{hours} hours' $$"
        );
        fresh.raw(&function).await.unwrap();
        fresh.raw(&format!("ALTER DATABASE \"{database}\" SET search_path = public, pg_catalog")).await.unwrap();
        let store = fresh.again().await;
        // What is due now, by whatever way it came, is claimed now.
        store.enqueue("o/r#1", &Event::Ping, None).await.unwrap();
        let claim = store.claim("w", LEASE).await.unwrap().expect("due now");
        store.retry(&claim, "again", Utc::now()).await.unwrap();
        let claim = store.claim("w", LEASE).await.unwrap().expect("due again");
        store.postpone(&claim, "later", Utc::now() + chrono::Duration::hours(1)).await.unwrap();
        // What is due in an hour is not, and whoever sleeps until then sleeps an hour.
        assert!(store.claim("w", LEASE).await.unwrap().is_none(), "{hours}");
        let due = store.next_due().await.unwrap().unwrap() - Utc::now();
        assert!((50..=70).contains(&due.num_minutes()), "{hours}: {due}");
        // What a web stored whose clock is another is there for the workers at once.
        store.ingest(delivery("d-1", comment(2, "a"))).await.unwrap();
        let claim = store.claim("w", LEASE).await.unwrap().expect("arrived just now");
        assert_eq!(claim.jobs[0].event, comment(2, "a"));
    }
}

async fn b7_a_delivery_becomes_one_job_however_often_it_comes(fresh: Fresh) {
    let store = &fresh.store;
    assert_eq!(store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap(), Ingest::New);
    assert_eq!(store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap(), Ingest::Duplicate);

    let claim = store.claim("w", LEASE).await.unwrap().unwrap();
    assert_eq!(claim.jobs.len(), 1);
    assert_eq!(claim.jobs[0].delivery, Some(DeliveryId::new("d-1").unwrap()));
    assert_eq!(store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap(), Ingest::Duplicate, "while it runs");
    store.complete(&claim).await.unwrap();
    assert_eq!(store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap(), Ingest::Duplicate, "when it is done");
    assert!(store.is_idle().await.unwrap());
    assert!(store.knows_delivery(&DeliveryId::new("d-1").unwrap()).await.unwrap());
    assert!(!store.knows_delivery(&DeliveryId::new("d-2").unwrap()).await.unwrap());
}

async fn b7_a_redelivery_brings_back_work_that_was_given_up(fresh: Fresh) {
    let store = &fresh.store;
    store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap();
    let claim = store.claim("w", LEASE).await.unwrap().unwrap();
    store.give_up(&claim, "no use").await.unwrap();
    assert_eq!(store.dead_jobs().await.unwrap()[0].error, "no use");

    assert_eq!(store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap(), Ingest::New);
    let claim = store.claim("w", LEASE).await.unwrap().unwrap();
    assert_eq!(claim.jobs[0].attempt, 1, "attempts count anew");
}

async fn b7_concurrent_deliveries_are_each_stored_once(fresh: Fresh) {
    let tasks: Vec<_> = (0..400)
        .map(|n| {
            let store = fresh.store.clone();
            // Every id comes four times, at once.
            tokio::spawn(async move { store.ingest(delivery(&format!("d-{}", n / 4), comment(n / 40, "x"))).await })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += usize::from(task.await.unwrap().unwrap() == Ingest::New);
    }
    assert_eq!(new, 100);
    assert_eq!(fresh.store.queue().await.unwrap().queued, 100);
}

async fn b7_what_was_stored_survives_the_process_and_is_worked_on_later(fresh: Fresh) {
    fresh.store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap();
    let other = fresh.again().await;
    assert_eq!(other.ingest(delivery("d-1", comment(1, "a"))).await.unwrap(), Ingest::Duplicate);
    assert_eq!(other.claim("w", LEASE).await.unwrap().unwrap().jobs[0].event, comment(1, "a"));
}

async fn deliveries_without_work_are_remembered_too(fresh: Fresh) {
    let event = Event::Ignored { name: "fork".into(), action: None };
    assert_eq!(fresh.store.ingest(delivery("d-1", event.clone())).await.unwrap(), Ingest::New);
    assert_eq!(fresh.store.ingest(delivery("d-1", event)).await.unwrap(), Ingest::Duplicate);
    assert!(fresh.store.is_idle().await.unwrap());
}

async fn a_key_is_worked_on_by_one_worker_and_in_order(fresh: Fresh) {
    let store = &fresh.store;
    for (id, number, body) in [("d-1", 1, "first"), ("d-2", 2, "other"), ("d-3", 1, "second")] {
        store.ingest(delivery(id, comment(number, body))).await.unwrap();
    }
    let one = store.claim("w1", LEASE).await.unwrap().unwrap();
    assert_eq!(
        one.jobs.iter().map(|j| j.event.clone()).collect::<Vec<_>>(),
        [comment(1, "first"), comment(1, "second")]
    );
    // A third one for the held key waits; the other key is free, also for another process.
    store.ingest(delivery("d-4", comment(1, "third"))).await.unwrap();
    let two = fresh.again().await.claim("w2", LEASE).await.unwrap().unwrap();
    assert_eq!(two.key, "o/r#2 comments");
    assert!(store.claim("w3", LEASE).await.unwrap().is_none());
    store.complete(&one).await.unwrap();
    assert_eq!(store.claim("w3", LEASE).await.unwrap().unwrap().jobs[0].event, comment(1, "third"));
}

async fn b8_a_vanished_workers_jobs_come_back_and_it_cannot_finish_them(fresh: Fresh) {
    let store = &fresh.store;
    store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap();
    let lost = store.claim("w1", LAPSED).await.unwrap().unwrap();
    let held = store.claim("w2", LEASE).await.unwrap().unwrap();
    assert_eq!((held.jobs[0].id.as_str(), held.jobs[0].attempt), (lost.jobs[0].id.as_str(), 2));

    assert!(matches!(store.heartbeat(&lost).await, Err(StoreError::LostClaim)));
    assert!(matches!(store.complete(&lost).await, Err(StoreError::LostClaim)));
    assert!(matches!(store.complete_job(&lost, &lost.jobs[0]).await, Err(StoreError::LostClaim)));
    assert!(matches!(store.retry(&lost, "x", Utc::now()).await, Err(StoreError::LostClaim)));
    store.heartbeat(&held).await.unwrap();
    store.complete(&held).await.unwrap();
}

async fn a_heartbeat_keeps_a_claim(fresh: Fresh) {
    let store = &fresh.store;
    store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap();
    let claim = store.claim("w1", LEASE).await.unwrap().unwrap();
    fresh.raw("UPDATE jobs SET lease_until = 1").await.unwrap();
    store.heartbeat(&claim).await.unwrap();
    assert!(store.claim("w2", LEASE).await.unwrap().is_none());
}

async fn a_job_that_kills_its_worker_is_given_up_where_people_see_it(fresh: Fresh) {
    let store = &fresh.store;
    store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap();
    for attempt in 1..=MAX_ATTEMPTS {
        assert_eq!(store.claim("w", LAPSED).await.unwrap().unwrap().jobs[0].attempt, attempt);
    }
    assert!(store.claim("w", LEASE).await.unwrap().is_none());
    assert_eq!(store.queue().await.unwrap().dead, 1);
    assert!(store.dead_jobs().await.unwrap()[0].error.contains("vanished"));
    assert!(store.is_idle().await.unwrap());
}

async fn a_failed_job_waits_and_is_given_up_in_the_end(fresh: Fresh) {
    let store = &fresh.store;
    store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap();
    let claim = store.claim("w", LEASE).await.unwrap().unwrap();
    let later = Utc::now() + TimeDelta::hours(1);
    store.retry(&claim, "postgres://u:hunter22@h/d is down", later).await.unwrap();
    assert!(store.claim("w", LEASE).await.unwrap().is_none(), "not due yet");
    assert!(!store.is_idle().await.unwrap());
    assert_eq!(store.next_due().await.unwrap().unwrap().timestamp_millis(), later.timestamp_millis());
    // What arrives meanwhile does not wait for it.
    store.ingest(delivery("d-2", comment(1, "b"))).await.unwrap();
    let claim = store.claim("w", LEASE).await.unwrap().unwrap();
    assert_eq!(claim.jobs.len(), 1);
    store.complete(&claim).await.unwrap();

    fresh.raw("UPDATE jobs SET due_at = 0").await.unwrap();
    for _ in 1..MAX_ATTEMPTS {
        let claim = store.claim("w", LEASE).await.unwrap().unwrap();
        store.retry(&claim, "postgres://u:hunter22@h/d is down", Utc::now() - TimeDelta::seconds(1)).await.unwrap();
    }
    assert!(store.claim("w", LEASE).await.unwrap().is_none());
    let dead = store.dead_jobs().await.unwrap();
    assert_eq!((dead.len(), dead[0].error.as_str()), (1, "postgres://u:****@h/d is down"));
}

async fn jobs_of_a_claim_can_end_one_by_one(fresh: Fresh) {
    let store = &fresh.store;
    store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap();
    store.ingest(delivery("d-2", comment(1, "b"))).await.unwrap();
    let claim = store.claim("w", LEASE).await.unwrap().unwrap();
    store.complete_job(&claim, &claim.jobs[0]).await.unwrap();
    store.retry(&claim, "the second failed", Utc::now() - TimeDelta::seconds(1)).await.unwrap();
    let claim = store.claim("w", LEASE).await.unwrap().unwrap();
    assert_eq!(claim.jobs.iter().map(|j| j.event.clone()).collect::<Vec<_>>(), [comment(1, "b")]);
    store.complete_job(&claim, &claim.jobs[0]).await.unwrap();
    store.complete(&claim).await.unwrap();
}

async fn a_job_that_cannot_be_read_does_not_stop_the_others(fresh: Fresh) {
    let store = &fresh.store;
    store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap();
    fresh.raw("UPDATE jobs SET event = '{\"event\":\"of_a_later_version\"}'").await.unwrap();
    store.ingest(delivery("d-2", comment(1, "b"))).await.unwrap();
    let claim = store.claim("w", LEASE).await.unwrap().unwrap();
    assert_eq!(claim.jobs.len(), 1);
    assert_eq!(store.queue().await.unwrap().dead, 1);
}

async fn workers_hear_of_new_jobs(fresh: Fresh) {
    let mut changes = fresh.store.job_changes();
    fresh.store.enqueue("o/r", &comment(1, "a"), None).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), changes.changed()).await.unwrap().unwrap();
    fresh.store.ingest(delivery("d-1", comment(1, "a"))).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), changes.changed()).await.unwrap().unwrap();
}

async fn old_deliveries_are_forgotten_but_not_what_is_open(fresh: Fresh) {
    let store = &fresh.store;
    store.ingest(delivery("d-1", comment(1, "done"))).await.unwrap();
    store.complete(&store.claim("w", LEASE).await.unwrap().unwrap()).await.unwrap();
    store.ingest(delivery("d-2", comment(1, "open"))).await.unwrap();
    store.ingest(delivery("d-3", Event::Ping)).await.unwrap();
    assert_eq!(store.forget_deliveries(Utc::now() - TimeDelta::days(1)).await.unwrap(), 0);
    assert_eq!(store.forget_deliveries(Utc::now() + TimeDelta::days(1)).await.unwrap(), 2);
    assert!(store.knows_delivery(&DeliveryId::new("d-2").unwrap()).await.unwrap());
    assert!(!store.knows_delivery(&DeliveryId::new("d-1").unwrap()).await.unwrap());
}
