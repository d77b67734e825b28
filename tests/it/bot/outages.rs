//! GitHub does not answer for long: commands wait, and what is really given up is told (B-7, B-9).

use godwit::sandbox::{Fault, FaultKind, MergeMethod};

use super::world::{APPROVAL, LINT, World, answer, check, conclusion};

const ORDERS: (&str, &str) = ("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n");
const LOCK: &str = "/godwit lock production stocktaking";

/// As many attempts as there are jobs that are due, `times` over.
async fn try_again(world: &World, times: usize) {
    world.sandbox.await_deliveries(crate::support::PATIENCE).await.unwrap();
    for _ in 0..times {
        world.in_store("UPDATE jobs SET due_at = 0 WHERE state = 'queued'").await;
        world.bot.run_due().await.unwrap();
    }
}

#[tokio::test]
async fn b9_however_long_github_fails_a_command_waits_says_so_and_is_done_in_the_end() {
    let world = World::start().await;
    let pull = world.open("orders", &[ORDERS]).await;
    for kind in [FaultKind::Status(503), FaultKind::LoseRequest] {
        world.sandbox.fault(Fault::new(format!("/pulls/{}", pull.number()), u32::MAX, kind));
        let id = pull.comment("omar", LOCK).unwrap();
        try_again(&world, 14).await;
        assert_eq!(world.store.dead_jobs().await.unwrap(), []);
        assert!(answer(&pull, id).contains("I go on trying until"), "{}", answer(&pull, id));
        let due = world.store.next_due().await.unwrap().unwrap();
        assert!(due < chrono::Utc::now() + chrono::TimeDelta::minutes(5), "{due}");
        world.sandbox.clear_faults();
        try_again(&world, 1).await;
        assert!(answer(&pull, id).contains("is locked. Nothing starts"), "{}", answer(&pull, id));
        world.ask(&pull, "omar", "/godwit unlock production").await;
    }
}

#[tokio::test]
async fn b9_an_outage_is_not_waited_for_for_ever() {
    let world = World::start().await;
    let pull = world.open("orders", &[ORDERS]).await;
    world.sandbox.fault(Fault::new(format!("/pulls/{}", pull.number()), u32::MAX, FaultKind::Status(500)));
    let id = pull.comment("omar", LOCK).unwrap();
    try_again(&world, 1).await;
    world.in_store("UPDATE jobs SET created_at = created_at - 259300000 WHERE state = 'queued'").await;
    try_again(&world, 11).await;
    assert_eq!(world.store.dead_jobs().await.unwrap().len(), 1);
    assert!(answer(&pull, id).contains("I could not do this"), "{}", answer(&pull, id));
}

#[tokio::test]
async fn b9_a_command_that_is_given_up_says_so_and_a_redelivery_tries_it_again() {
    let world = World::start().await;
    let pull = world.open("orders", &[ORDERS]).await;
    // GitHub refuses: that does not pass by itself.
    world.sandbox.fault(Fault::new(format!("/pulls/{}", pull.number()), u32::MAX, FaultKind::Status(409)));
    let id = pull.comment("omar", LOCK).unwrap();
    try_again(&world, 12).await;
    assert_eq!(world.store.dead_jobs().await.unwrap().len(), 1);
    let said = answer(&pull, id);
    assert!(said.contains("I could not do this: it failed 10 times") && said.contains("@omar"), "{said}");
    world.sandbox.clear_faults();
    // A sweep does not bring back what people were told is over.
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert!(answer(&pull, id).contains("I could not do this"), "{}", answer(&pull, id));
    let told = world.sandbox.recorder().webhooks.into_iter().find(|f| f.payload["comment"]["id"] == id).unwrap();
    world.sandbox.redeliver(&told.guid).unwrap();
    world.settle().await;
    assert!(answer(&pull, id).contains("is locked. Nothing starts"), "{}", answer(&pull, id));
}

#[tokio::test]
async fn b9_what_was_given_up_in_silence_is_told_by_the_sweep() {
    let world = World::start().await;
    let pull = world.open("orders", &[ORDERS]).await;
    world.approve(&pull, "omar").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    let id = pull.comment("omar", LOCK).unwrap();
    world.sandbox.await_deliveries(crate::support::PATIENCE).await.unwrap();
    // Its worker died again and again.
    world
        .in_store(
            "UPDATE jobs SET state = 'dead', attempts = 10, finished_at = created_at - 120000 WHERE state = 'queued'",
        )
        .await;
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    assert!(answer(&pull, id).contains("I could not do this"), "{}", answer(&pull, id));
    let comments: Vec<String> = pull.comments().unwrap().into_iter().map(|c| c.body).collect();
    assert!(comments.iter().any(|c| c.starts_with("<!-- godwit:given-up -->")), "{comments:#?}");
    let (untold, said) = (world.store.untold(chrono::Utc::now()).await.unwrap(), comments.len());
    assert_eq!(untold, []);
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    assert_eq!(pull.comments().unwrap().len(), said);
}

#[tokio::test]
async fn b9_a_check_that_github_forbids_is_given_up_and_stands_there_once_it_may() {
    let world = World::start().await;
    // No rate limit: a permission that somebody took away.
    world.sandbox.fault(Fault::new("/check-runs", u32::MAX, FaultKind::Status(403)).method("POST"));
    let pull = world.open_as("alice", "orders", &[ORDERS], false);
    try_again(&world, 12).await;
    assert_eq!(pull.check_runs().unwrap(), []);
    let dead = world.store.dead_jobs().await.unwrap();
    assert_eq!(dead.len(), 1, "{dead:#?}");
    for part in ["GitHub refuses `POST", "check-runs", "check the App's permissions"] {
        assert!(dead[0].error.contains(part), "{part}: {dead:#?}");
    }
    world.sandbox.clear_faults();
    let said = world.ask(&pull, "bob", "/godwit lint").await;
    assert!(said.contains("Looking again"), "{said}");
    assert_eq!(conclusion(&pull, LINT), "success", "{:?}", check(&pull, LINT));
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{:?}", check(&pull, APPROVAL));
}

#[tokio::test]
async fn b9_a_command_whose_answer_github_forbids_is_done_once_and_answered_when_it_may() {
    let world = World::start().await;
    let pull = world.open("orders", &[ORDERS]).await;
    let comments = format!("/issues/{}/comments", pull.number());
    world.sandbox.fault(Fault::new(comments, u32::MAX, FaultKind::Status(403)).method("POST"));
    let id = pull.comment("omar", LOCK).unwrap();
    try_again(&world, 12).await;
    let dead = world.store.dead_jobs().await.unwrap();
    assert_eq!(dead.len(), 1, "{dead:#?}");
    assert!(dead[0].error.contains("check the App's permissions"), "{dead:#?}");
    let locks = world.store.audit(&Default::default()).await.unwrap();
    assert_eq!(locks.iter().filter(|r| r.body.action == "lock").count(), 1, "{locks:#?}");
    world.sandbox.clear_faults();
    let told = world.sandbox.recorder().webhooks.into_iter().find(|f| f.payload["comment"]["id"] == id).unwrap();
    world.sandbox.redeliver(&told.guid).unwrap();
    world.settle().await;
    assert!(answer(&pull, id).contains("locked"), "{}", answer(&pull, id));
    let locks = world.store.audit(&Default::default()).await.unwrap();
    assert_eq!(locks.iter().filter(|r| r.body.action == "lock").count(), 1, "{locks:#?}");
}
