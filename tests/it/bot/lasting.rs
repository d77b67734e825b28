//! What people asked for holds until it is done, and looking again leaves no trace of its own (B-10, B-17).

use chrono::Utc;
use godwit::ids::{EnvironmentName, PrNumber, RepoName};
use godwit::sandbox::{MergeMethod, PullHandle};
use godwit::store::{AuditBody, AuditEntry};

use super::world::{ENVIRONMENTS_YML, World, run_comment};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];
const ITEMS: [(&str, &str); 1] = [("migrations/0002_items.up.sql", "CREATE TABLE items (id INTEGER PRIMARY KEY);\n")];

async fn agreed(world: &World, branch: &str, files: &[(&str, &str)]) -> PullHandle {
    let pull = world.open(branch, files).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull
}

async fn merge(world: &World, pull: &PullHandle) {
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
}

async fn rows(world: &World, action: &str, environment: &str) -> Vec<AuditBody> {
    let all = world.store.audit(&Default::default()).await.unwrap().into_iter().map(|r| r.body);
    all.filter(|b| b.action == action && b.environment.as_deref() == Some(environment)).collect()
}

#[tokio::test]
async fn b10_a_promotion_is_not_forgotten_however_much_happens_meanwhile() {
    let environments = ENVIRONMENTS_YML.replace("production:\n", "production:\n  promotion: manual\n");
    let world = World::start_with(&[("policies/environments.yml", &environments)]).await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    merge(&world, &pull).await;
    let said = world.ask(&pull, "omar", "/godwit promote production").await;
    assert!(said.contains("The gate of `production` is open. Looking"), "{said}");
    for _ in 0..300 {
        let mut entry = AuditEntry::new(Utc::now(), "godwit", "run-started", "running");
        entry.repo = RepoName::new("acme/shop").ok();
        entry.pr = Some(PrNumber(pull.number()));
        entry.environment = EnvironmentName::new("production").ok();
        world.store.append_audit(entry).await.unwrap();
    }
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    world.approve(&pull, "dora").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn dec10_a_promotion_does_not_start_what_was_taken_back_and_says_so() {
    let environments = ENVIRONMENTS_YML.replace("production:\n", "production:\n  promotion: manual\n");
    let world = World::start_with(&[("policies/environments.yml", &environments)]).await;
    let pull = agreed(&world, "orders", &ORDERS).await;
    merge(&world, &pull).await;
    world.ask(&pull, "omar", "/godwit cancel production").await;
    for _ in 0..2 {
        let said = world.ask(&pull, "omar", "/godwit promote production").await;
        assert!(said.contains("`@omar` took this run back") && said.contains("`/godwit retry production`"), "{said}");
        assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    }
    world.ask(&pull, "omar", "/godwit retry production").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn b17_an_attempt_that_only_waits_for_a_busy_database_is_no_run_of_its_own() {
    let world = World::start().await;
    let pull = agreed(&world, "orders", &ORDERS).await;
    // Somebody else holds the database of staging.
    let lock = format!("{}.godwit-lock", world.database("staging").display());
    let held = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&lock).unwrap();
    held.lock().unwrap();
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.sandbox.await_deliveries(crate::support::PATIENCE).await.unwrap();
    for _ in 0..3 {
        world.in_store("UPDATE jobs SET due_at = 0 WHERE state = 'queued'").await;
        world.bot.run_due().await.unwrap();
    }
    assert!(run_comment(&pull, "staging").contains("holds this target's lock"), "{}", run_comment(&pull, "staging"));
    let waiting = rows(&world, "run-started", "staging").await;
    assert_eq!(waiting.len(), 1, "{waiting:#?}");
    drop(held);
    world.in_store("UPDATE jobs SET due_at = 0 WHERE state = 'queued'").await;
    world.settle().await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "staging"));
    let (started, ended) =
        (rows(&world, "run-started", "staging").await, rows(&world, "run-finished", "staging").await);
    assert_eq!((started.len(), ended.len()), (1, 1), "{started:#?}");
    assert_eq!(started[0].run, ended[0].run);
}

#[tokio::test]
async fn b17_looking_again_at_what_is_blocked_for_the_same_reasons_records_nothing() {
    let world = World::start().await;
    let second = agreed(&world, "items", &ITEMS).await;
    merge(&world, &second).await;
    assert!(world.has_table("production", "items").await);
    // A lower version than what is applied, merged past the red check.
    let first = agreed(&world, "orders", &ORDERS).await;
    merge(&world, &first).await;
    let told = run_comment(&first, "development");
    assert!(!world.has_table("development", "orders").await && told.contains("0001_orders"), "{told}");
    let before = rows(&world, "run-finished", "development").await;
    assert_eq!(before.last().map(|b| b.result.as_str()), Some("blocked"), "{before:#?}");
    let started = rows(&world, "run-started", "development").await.len();
    for _ in 0..2 {
        world.bot.sweep(Utc::now()).await.unwrap();
        world.settle().await;
    }
    assert_eq!(rows(&world, "run-finished", "development").await.len(), before.len());
    assert_eq!(rows(&world, "run-started", "development").await.len(), started);
    assert_eq!(run_comment(&first, "development"), told);
    // Who asks gets an answer of this moment.
    world.ask(&first, "bob", "/godwit retry development").await;
    assert_eq!(rows(&world, "run-finished", "development").await.len(), before.len() + 1);
}

#[tokio::test]
async fn b19_a_part_of_what_was_merged_is_not_run_as_if_it_were_the_whole() {
    let yml = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - { path: migrations, engine: sqlite, \
               target: shop }\n  - { path: other, engine: sqlite, target: nowhere }\n";
    let world = World::start_with(&[("godwit.yml", yml)]).await;
    let orphan = ("other/0001_stock.up.sql", "CREATE TABLE stock (id INTEGER PRIMARY KEY);\n");
    let pull = agreed(&world, "orders", &[ORDERS[0], orphan]).await;
    merge(&world, &pull).await;
    let told = run_comment(&pull, "development");
    assert!(told.contains("0001_stock") && told.contains("no target of any environment takes"), "{told}");
    assert!(!world.has_table("development", "orders").await);
    let labels = pull.labels().unwrap();
    assert!(!labels.iter().any(|l| l.starts_with("migrated:")), "{labels:?}");
}
