//! `cancel` of what waits to run: for a gate, a window, its turn.

use godwit::ids::{EnvironmentName, PrNumber, RepoName, RunId, TargetName};
use godwit::sandbox::{MergeMethod, PullHandle};
use godwit::store::turns::Asker;

use super::world::{ENVIRONMENTS_YML, World, answer, run_comment};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

async fn agreed(world: &World) -> PullHandle {
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull
}

fn audited(rows: &[godwit::store::AuditRecord], result: &str) -> usize {
    rows.iter().filter(|r| r.body.action == "cancel" && r.body.result == result).count()
}

#[tokio::test]
async fn dec10_what_waits_for_its_window_is_taken_back_and_starts_again_when_somebody_says_so() {
    let windows = "  maintenance_windows:\n    - { days: [sat], start: \"02:00\", end: \"04:00\" }\n";
    let environments = format!("{ENVIRONMENTS_YML}{windows}");
    let world = World::start_with(&[("policies/environments.yml", &environments)]).await;
    // Years ahead, so that the moment does not come while the test runs.
    world.it_is("2030-11-22T12:00:00Z");
    let pull = agreed(&world).await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle_for_now().await;
    assert!(run_comment(&pull, "production").contains("maintenance window"), "{}", run_comment(&pull, "production"));
    let ask = async |person: &str, text: &str| {
        let id = pull.comment(person, text).unwrap();
        world.settle_for_now().await;
        answer(&pull, id)
    };
    let said = ask("bob", "/godwit cancel production").await;
    assert!(said.contains("`@bob` may not"), "{said}");
    let said = ask("omar", "/godwit cancel production").await;
    assert!(said.contains("starts in `production` any more") && said.contains("/godwit retry production"), "{said}");
    let told = run_comment(&pull, "production");
    assert!(told.contains("🛑") && told.contains("was cancelled by `@omar`"), "{told}");
    // The window opens, and nothing starts.
    world.it_is("2030-11-23T02:30:00Z");
    world.in_store("UPDATE jobs SET due_at = 0 WHERE state = 'queued'").await;
    world.settle_for_now().await;
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle_for_now().await;
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    // There is nothing left to take back.
    let said = ask("omar", "/godwit cancel production").await;
    assert!(said.contains("Nothing runs in `production`"), "{said}");
    ask("omar", "/godwit retry production").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    let rows = world.store.audit(&Default::default()).await.unwrap();
    assert_eq!(audited(&rows, "taken-back"), 1);
    assert!(world.store.verify_audit(None).await.unwrap().valid);
}

#[tokio::test]
async fn what_waits_for_people_is_taken_back_and_a_late_approval_starts_nothing() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(run_comment(&pull, "production").contains("dba"));
    world.ask(&pull, "omar", "/godwit cancel production").await;
    world.approve(&pull, "dora").await;
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    assert!(run_comment(&pull, "production").contains("cancelled"), "{}", run_comment(&pull, "production"));
    world.ask(&pull, "omar", "/godwit retry production").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn b11_what_waits_for_its_turn_is_taken_back_and_what_runs_goes_on_unless_asked_once_more() {
    let world = World::start().await;
    let pull = agreed(&world).await;
    let (repo, staging) = (RepoName::new("acme/shop").unwrap(), EnvironmentName::new("staging").unwrap());
    let (targets, run) = ([TargetName::new("shop").unwrap()], RunId::generate());
    let asker = Asker {
        repo: &repo,
        environment: &staging,
        pr: PrNumber(40),
        targets: &targets,
        merged_at: chrono::DateTime::UNIX_EPOCH,
        event: &godwit::github::Event::Ping,
    };
    // Another replica runs #40 there.
    assert!(world.store.take_turn(&asker, &run).await.unwrap().is_empty());
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    let until = async |part: &str, read: &dyn Fn() -> String| {
        let waiting = async {
            while !read().contains(part) {
                world.sandbox.await_deliveries(crate::support::PATIENCE).await.unwrap();
                world.bot.run_due().await.unwrap();
            }
        };
        tokio::time::timeout(crate::support::PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{part}: {}", read()));
    };
    until("number 2 in the queue", &|| run_comment(&pull, "staging")).await;
    let id = pull.comment("omar", "/godwit cancel staging").unwrap();
    until("40 runs there at the moment and goes on", &|| answer(&pull, id)).await;
    until("was cancelled by `@omar`", &|| run_comment(&pull, "staging")).await;
    assert_eq!(world.store.asked_to_stop(&run).await.unwrap(), None);
    let id = pull.comment("omar", "/godwit cancel staging").unwrap();
    until("to stop before its next statement", &|| answer(&pull, id)).await;
    assert_eq!(world.store.asked_to_stop(&run).await.unwrap().as_deref(), Some("omar"));
    world.store.end_turn(&repo, &staging, PrNumber(40)).await.unwrap();
    world.store.wake(Some(&repo), &staging, None).await.unwrap();
    world.settle().await;
    assert!(!world.has_table("staging", "orders").await, "{}", run_comment(&pull, "staging"));
    world.ask(&pull, "omar", "/godwit retry staging").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}
