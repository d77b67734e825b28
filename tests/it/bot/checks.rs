//! Check runs: run again, buttons, merge groups.

use godwit::sandbox::PullHandle;

use super::world::{APPROVAL, LINT, World, check, comment, commit, conclusion};

const UP: &str = "migrations/0001_orders.up.sql";
const ORDERS: [(&str, &str); 2] = [
    (UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"),
    ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n"),
];

#[tokio::test]
async fn b19_a_check_that_is_run_again_ends_anew_and_stands_once() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let (lint, approval) = (check(&pull, LINT), check(&pull, APPROVAL));
    world.repo.rerequest_check_run("bob", lint.id).unwrap();
    assert!(check(&pull, LINT).asked_again);
    world.settle().await;
    let after = check(&pull, LINT);
    // Whoever pressed the button waits until it ends; its annotations stand there once all the same.
    assert_eq!((after.id, after.asked_again, after.annotations.len()), (lint.id, false, lint.annotations.len()));
    world.repo.rerequest_check_suite("bob", &pull.head_sha().unwrap()).unwrap();
    world.settle().await;
    assert!(!check(&pull, LINT).asked_again && !check(&pull, APPROVAL).asked_again);
    assert_eq!(check(&pull, APPROVAL).id, approval.id);
    // What changed meanwhile shows.
    world.sandbox.leave_team("acme/dba", "dora").unwrap();
    world.approve(&pull, "omar").await;
    let before = check(&pull, APPROVAL);
    world.repo.rerequest_check_run("bob", before.id).unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
}

#[tokio::test]
async fn b19_checks_of_other_apps_are_left_alone_and_never_count() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let head = pull.head_sha().unwrap();
    let foreign = world.repo.foreign_check_run("imposter", APPROVAL, &head, "success").unwrap();
    world.repo.rerequest_check_run("mallory", foreign).unwrap();
    world.repo.press_check_action("bob", foreign, "ask").unwrap();
    world.settle().await;
    assert!(!asked_again(&world).await);
    let own = pull.check_runs().unwrap().into_iter().find(|c| c.name == APPROVAL && c.app == "godwit").unwrap();
    assert_eq!(own.conclusion.as_deref(), Some("action_required"));
}

async fn asked_again(world: &World) -> bool {
    world.store.audit(&Default::default()).await.unwrap().iter().any(|r| r.body.action == "ask-again")
}

#[tokio::test]
async fn a_button_asks_again_for_those_who_may_give_commands() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let approval = check(&pull, APPROVAL);
    assert_eq!(approval.actions, ["ask", "plan"]);
    world.repo.press_check_action("mallory", approval.id, "ask").unwrap();
    world.settle().await;
    assert!(!asked_again(&world).await);
    assert!(comment(&pull, "<!-- godwit:button -->").unwrap().body.contains("mallory"));
    world.repo.press_check_action("bob", approval.id, "ask").unwrap();
    world.settle().await;
    assert!(asked_again(&world).await);
    world.repo.press_check_action("bob", approval.id, "plan").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    assert_eq!(check(&pull, APPROVAL).actions, ["plan"]);
}

fn of_group(world: &World, sha: &str, name: &str) -> String {
    let all = world.repo.check_runs(Some(sha)).unwrap();
    all.into_iter().filter(|c| c.name == name).max_by_key(|c| c.id).and_then(|c| c.conclusion).unwrap_or_default()
}

async fn approved(world: &World, branch: &str, files: &[(&str, &str)]) -> PullHandle {
    let pull = world.open(branch, files).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull
}

#[tokio::test]
async fn b19_a_group_of_several_is_judged_by_its_content_and_runs_when_it_lands() {
    let world = World::start().await;
    let orders = approved(&world, "orders", &ORDERS).await;
    let items = ("migrations/0002_items.up.sql", "CREATE TABLE items (id INTEGER PRIMARY KEY);\n");
    let items = approved(&world, "items", &[items]).await;
    let group = world.repo.merge_group("rosa", &[orders.number(), items.number()]).unwrap();
    world.settle().await;
    assert_eq!(
        (of_group(&world, &group.head_sha, LINT), of_group(&world, &group.head_sha, APPROVAL)),
        ("success".into(), "success".into())
    );
    world.repo.destroy_merge_group("rosa", &group, "invalidated").unwrap();
    // One of the two changes after that; the group that follows brings what nobody approved.
    orders
        .push("alice", &[commit("alice", &[(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY, n TEXT);\n")])])
        .unwrap();
    world.settle().await;
    let group = world.repo.merge_group("rosa", &[orders.number(), items.number()]).unwrap();
    world.settle().await;
    assert_eq!(of_group(&world, &group.head_sha, APPROVAL), "failure");
    world.repo.destroy_merge_group("rosa", &group, "dequeued").unwrap();
    world.settle().await;
    world.approve(&orders, "omar").await;
    world.approve(&orders, "dora").await;
    let group = world.repo.merge_group("rosa", &[orders.number(), items.number()]).unwrap();
    world.settle().await;
    assert_eq!(of_group(&world, &group.head_sha, APPROVAL), "success");
    world.repo.complete_merge_group("rosa", &group).unwrap();
    world.settle().await;
    for environment in ["development", "staging", "production"] {
        assert!(world.has_table(environment, "orders").await && world.has_table(environment, "items").await);
    }
    // What came by the queue came by pull requests.
    assert!(world.repo.issues().unwrap().is_empty(), "{:?}", world.repo.issues());
}
