//! Deliveries that never arrived come back by GitHub's own log of them (B-9).

use chrono::Utc;
use godwit::sandbox::{WebhookFault, WebhookFaultKind};

use super::world::{World, answer};

const ORDERS: (&str, &str) = ("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n");

/// How often GitHub was asked to deliver again.
fn asked(world: &World) -> usize {
    world.sandbox.recorder().exchanges.iter().filter(|e| e.path.ends_with("/attempts")).count()
}

#[tokio::test]
async fn b9_a_command_that_never_arrived_is_done_after_the_sweep_and_once() {
    let world = World::start().await;
    let pull = world.open("orders", &[ORDERS]).await;
    // More than a page of deliveries later, and with one that was stored although GitHub heard no answer.
    world.sandbox.webhook_fault(WebhookFault::new(1, WebhookFaultKind::Lose).on("issue_comment"));
    let lost = pull.comment("alice", "/godwit help").unwrap();
    for n in 0..110 {
        pull.comment("bob", &format!("a word {n}")).unwrap();
    }
    world.settle().await;
    assert_eq!(answer(&pull, lost), "");
    world.bot.sweep(Utc::now()).await.unwrap();
    world.settle().await;
    assert!(answer(&pull, lost).contains("/godwit"), "{:?}", pull.comments().unwrap().len());
    assert_eq!(asked(&world), 1);
    // What arrived is not asked for again.
    world.bot.sweep(Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!(asked(&world), 1);
}
