//! Commands that GitHub never delivered, or that come twice or late (B-7, B-9, B-12).

use chrono::Utc;
use godwit::sandbox::{PullHandle, WebhookFault, WebhookFaultKind};

use super::world::{World, answer};

const ORDERS: (&str, &str) = ("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n");
const LOCK: &str = "/godwit lock production stocktaking";

async fn sweep(world: &World) {
    world.bot.sweep(Utc::now()).await.unwrap();
    world.settle().await;
}

/// A pull request in a repository that was swept before.
async fn swept() -> (World, PullHandle) {
    let world = World::start().await;
    let pull = world.open("orders", &[ORDERS]).await;
    sweep(&world).await;
    (world, pull)
}

/// Writes a comment that GitHub delivers nothing about, not even to its log.
fn unheard(world: &World, pull: &PullHandle, person: &str, text: &str) -> u64 {
    world.repo.set_installed(false).unwrap();
    let id = pull.comment(person, text).unwrap();
    world.repo.set_installed(true).unwrap();
    id
}

async fn locks(world: &World) -> usize {
    let rows = world.store.audit(&Default::default()).await.unwrap();
    rows.iter().filter(|r| r.body.action == "lock").count()
}

#[tokio::test]
async fn b9_a_command_written_while_the_app_was_suspended_is_done_once_it_is_back() {
    let (world, pull) = swept().await;
    world.sandbox.suspend_app("rosa");
    world.settle().await;
    let id = pull.comment("omar", LOCK).unwrap();
    let may_not = pull.comment("bob", "/godwit unlock production").unwrap();
    world.settle().await;
    assert_eq!(answer(&pull, id), "");
    world.sandbox.unsuspend_app("rosa");
    world.settle().await;
    assert!(answer(&pull, id).contains("is locked. Nothing starts"), "{}", answer(&pull, id));
    assert!(answer(&pull, may_not).contains("`@bob` may not"), "{}", answer(&pull, may_not));
    let asked = pull.comments().unwrap().into_iter().find(|c| c.id == id).unwrap();
    assert!(asked.reactions.iter().any(|(_, what)| what == "eyes"), "{asked:?}");
    sweep(&world).await;
    assert_eq!(locks(&world).await, 1);
}

#[tokio::test]
async fn b7_a_command_that_both_the_sweep_and_the_log_of_deliveries_bring_is_done_once() {
    let (world, pull) = swept().await;
    world.sandbox.webhook_fault(WebhookFault::new(1, WebhookFaultKind::Lose).on("issue_comment"));
    let id = pull.comment("omar", LOCK).unwrap();
    sweep(&world).await;
    // Whoever locks what is locked is told so: the second would stand in the answer.
    assert!(answer(&pull, id).contains("is locked. Nothing starts"), "{}", answer(&pull, id));
    let told = world.sandbox.recorder().webhooks.into_iter().find(|f| f.payload["comment"]["id"] == id).unwrap();
    assert_eq!(told.attempts.len(), 2, "{told:?}");
    world.sandbox.redeliver(&told.guid).unwrap();
    sweep(&world).await;
    world.in_store("UPDATE jobs SET state = 'queued', attempts = 0, due_at = 0 WHERE event LIKE '%stocktaking%'").await;
    world.settle().await;
    assert!(answer(&pull, id).contains("is locked. Nothing starts"), "{}", answer(&pull, id));
    assert_eq!(locks(&world).await, 1);
    assert!(world.store.verify_audit(None).await.unwrap().valid);
}

#[tokio::test]
async fn b9_a_command_whose_stored_work_was_lost_is_brought_by_the_sweep() {
    let (world, pull) = swept().await;
    let id = pull.comment("omar", LOCK).unwrap();
    world.sandbox.await_deliveries(crate::support::PATIENCE).await.unwrap();
    // It was taken with a 202; its work cannot be read by this version, say.
    world.in_store("UPDATE jobs SET event = '{}' WHERE event LIKE '%stocktaking%'").await;
    world.settle().await;
    assert_eq!(answer(&pull, id), "");
    sweep(&world).await;
    assert!(answer(&pull, id).contains("is locked. Nothing starts"), "{}", answer(&pull, id));
}

#[tokio::test]
async fn b12_what_is_gone_edited_or_from_before_the_app_is_not_obeyed_by_a_sweep() {
    let (world, pull) = swept().await;
    let gone = unheard(&world, &pull, "omar", LOCK);
    pull.delete_comment("omar", gone).unwrap();
    let edited = pull.comment("omar", "nothing").unwrap();
    // GitHub tells times by the second.
    world.sandbox.advance_clock(std::time::Duration::from_secs(2));
    pull.edit_comment("omar", edited, LOCK).unwrap();
    let quoted = unheard(&world, &pull, "omar", &format!("> {LOCK}\n\n```\n{LOCK}\n```"));
    sweep(&world).await;
    assert_eq!((answer(&pull, edited), answer(&pull, quoted)), (String::new(), String::new()));
    // The App came later than the comment.
    let early = unheard(&world, &pull, "omar", LOCK);
    world.in_store("UPDATE repositories SET known_at = known_at + 60000, commands_read = NULL").await;
    sweep(&world).await;
    assert_eq!(answer(&pull, early), "");
    world.in_store("UPDATE repositories SET known_at = known_at - 60000, commands_read = NULL").await;
    sweep(&world).await;
    assert!(answer(&pull, early).contains("is locked. Nothing starts"), "{}", answer(&pull, early));
    assert_eq!(locks(&world).await, 1);
}

#[tokio::test]
async fn b12_a_command_is_obeyed_only_while_it_stands_there() {
    let (world, pull) = swept().await;
    // The bot comes to it late: by then the author has thought better of it.
    let edited = pull.comment("omar", &format!("{LOCK}\n/godwit help")).unwrap();
    let deleted = pull.comment("omar", LOCK).unwrap();
    world.sandbox.await_deliveries(crate::support::PATIENCE).await.unwrap();
    pull.edit_comment("omar", edited, "/godwit help").unwrap();
    pull.delete_comment("omar", deleted).unwrap();
    world.in_store("UPDATE jobs SET created_at = created_at - 60000 WHERE state = 'queued'").await;
    world.settle().await;
    let said = answer(&pull, edited);
    assert!(said.contains("is not in the comment any more") && said.contains("/godwit status"), "{said}");
    assert_eq!((answer(&pull, deleted), locks(&world).await), (String::new(), 0));
}
