//! What a pass over the REST API finds, and what it leaves alone (B-9).

use chrono::Utc;
use godwit::sandbox::{MergeMethod, PullHandle, ReviewVerdict};

use super::world::{SUMMARY, World, comment, commit, run_comment};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];
const ITEMS: [(&str, &str); 1] = [("migrations/0002_items.up.sql", "CREATE TABLE items (id INTEGER PRIMARY KEY);\n")];

async fn sweep(world: &World) {
    world.bot.sweep(Utc::now()).await.unwrap();
    world.settle().await;
}

async fn merged(world: &World, branch: &str, files: &[(&str, &str)], people: &[&str]) -> PullHandle {
    let pull = world.open(branch, files).await;
    for person in people {
        world.approve(&pull, person).await;
    }
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    pull
}

#[tokio::test]
async fn b9_what_was_opened_approved_and_merged_while_nothing_was_heard_runs_after_a_sweep() {
    let world = World::start().await;
    sweep(&world).await;
    // GitHub tells times by the second.
    world.sandbox.advance_clock(std::time::Duration::from_secs(2));
    // No webhook is sent, so GitHub's log holds none that could come again.
    world.repo.set_installed(false).unwrap();
    let pull = world.open_as("alice", "orders", &ORDERS, false);
    for person in ["omar", "dora"] {
        pull.review(person, ReviewVerdict::Approve, "fine").unwrap();
    }
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    let closed = world.open_as("alice", "closed", &ITEMS, false);
    closed.close("alice").unwrap();
    world.repo.set_installed(true).unwrap();
    world.settle().await;
    assert!(!world.has_table("development", "orders").await);
    sweep(&world).await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    assert!(run_comment(&pull, "production").contains("1 migration applied"), "{}", run_comment(&pull, "production"));
    assert!(!world.has_table("development", "items").await && closed.comments().unwrap().is_empty());
}

#[tokio::test]
async fn b9_what_was_merged_before_the_app_came_is_none_of_its_business() {
    let world = World::start().await;
    world.repo.set_installed(false).unwrap();
    let pull = world.open_as("alice", "orders", &ORDERS, false);
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.repo.set_installed(true).unwrap();
    for _ in 0..2 {
        sweep(&world).await;
    }
    assert!(!world.has_table("development", "orders").await && pull.comments().unwrap().is_empty());
}

#[tokio::test]
async fn b9_a_close_that_was_never_heard_of_is_found() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let other = world.open("other", &[("migrations/0001_other.up.sql", "CREATE TABLE other (id INTEGER);\n")]).await;
    let told = || comment(&other, SUMMARY).unwrap().body;
    assert!(told().contains("is open too"), "{}", told());
    world.repo.set_installed(false).unwrap();
    pull.close("alice").unwrap();
    world.repo.set_installed(true).unwrap();
    sweep(&world).await;
    assert!(told().contains("is not in the way any more") && !told().contains("is open too"), "{}", told());
    let repo = godwit::ids::RepoName::new("acme/shop").unwrap();
    let number = godwit::ids::PrNumber(pull.number());
    assert!(!world.store.standing(&repo, number).await.unwrap().unwrap().open);
}

#[tokio::test]
async fn b9_a_sweep_looks_at_what_waits_and_not_at_what_is_done() {
    let world = World::start().await;
    let done = merged(&world, "orders", &ORDERS, &["omar", "dora"]).await;
    let waits = merged(&world, "items", &ITEMS, &["omar"]).await;
    assert!(run_comment(&waits, "production").contains("dba"), "{}", run_comment(&waits, "production"));
    // What is asked about a pull request stands below its number.
    let asked = |pull: &PullHandle| {
        let number = format!("/pulls/{}", pull.number());
        move |record: &godwit::sandbox::Recorder| {
            record.exchanges.iter().any(|e| e.path.contains(&number) && !e.path.ends_with("/pulls"))
        }
    };
    drop(world.sandbox.take_record());
    sweep(&world).await;
    let record = world.sandbox.take_record();
    assert!(!asked(&done)(&record) && asked(&waits)(&record));
    // Undone, it is not done any more.
    let said = world.ask(&done, "omar", "/godwit rollback development 0001_orders").await;
    assert!(said.contains("0001_orders"), "{said}");
    drop(world.sandbox.take_record());
    sweep(&world).await;
    let undone = !world.has_table("development", "orders").await;
    assert_eq!(asked(&done)(&world.sandbox.take_record()), undone, "{said}");
}

#[tokio::test]
async fn b10_what_was_heard_too_late_by_a_whole_environment_is_heard() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    for person in ["omar", "dora"] {
        world.approve(&pull, person).await;
    }
    // Neither the review taken back nor the merge is heard of; the merged content is what was agreed to.
    let review = pull.reviews().unwrap().into_iter().find(|r| r.author == "dora").unwrap();
    world.repo.set_installed(false).unwrap();
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    pull.dismiss_review("rosa", review.id, "not any more").unwrap();
    world.repo.push("main", "rosa", &[commit("rosa", &[("README.md", "# Shops\n")])]).unwrap();
    world.repo.set_installed(true).unwrap();
    sweep(&world).await;
    assert!(world.has_table("staging", "orders").await && !world.has_table("production", "orders").await);
    assert!(run_comment(&pull, "production").contains("dba"), "{}", run_comment(&pull, "production"));
}
