//! Workflow jobs that ask before they deploy get no yes that a run would not get.

use godwit::sandbox::{GateView, MergeMethod, PullHandle};

use super::world::{ENVIRONMENTS_YML, World, commit};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];
/// Development asks for a person as well.
const MATRIX: &str = "development:\n  ANY: { required_approvals: 1, required_roles: [data_ops] }\nstaging:\n  ANY: { required_approvals: 1, \
     required_roles: [data_ops] }\nproduction:\n  ANY: { required_approvals: 2, required_roles: [data_ops, dba] }\n";

fn gate(world: &World, run: u64) -> GateView {
    world.repo.gates().unwrap().into_iter().find(|g| g.run == run).unwrap()
}

/// A job for the head of a pull request that `omar` agreed to.
async fn agreed(world: &World, environment: &str) -> (PullHandle, u64) {
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    let run = world.repo.request_deployment("alice", environment, &pull.head_sha().unwrap()).unwrap();
    world.settle().await;
    (pull, run)
}

#[tokio::test]
async fn b19_a_job_gets_no_yes_from_an_environment_without_targets() {
    let files = ENVIRONMENTS_YML.replace(
        "production:\n  targets:\n    shop: { engine: sqlite, url: \"sqlite:${SHOP_PRODUCTION}\" }",
        "production:\n  targets: {}",
    );
    let world = World::start_with(&[("policies/environments.yml", &files)]).await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    let merged = pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    let run = world.repo.request_deployment("rosa", "production", &merged).unwrap();
    world.settle().await;
    let told = gate(&world, run);
    assert_eq!(told.state.as_deref(), Some("rejected"), "{told:?}");
    assert!(told.comments[0].contains("no target"), "{told:?}");
    // Nor for migrations that no target of any environment takes.
    let yml = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - path: migrations\n    engine: sqlite\n    \
               target: shop\n  - path: elsewhere\n    engine: sqlite\n    target: nowhere\n";
    let lost = ("elsewhere/0001_lost.up.sql", "CREATE TABLE lost (id INTEGER PRIMARY KEY);\n");
    let tip = world.repo.push("main", "rosa", &[commit("rosa", &[("godwit.yml", yml), lost])]).unwrap();
    let run = world.repo.request_deployment("rosa", "staging", &tip).unwrap();
    world.settle().await;
    let told = gate(&world, run);
    assert_eq!(told.state.as_deref(), Some("rejected"), "{told:?}");
    assert!(told.comments[0].contains("`0001_lost`"), "{told:?}");
}

#[tokio::test]
async fn a_job_is_not_let_through_by_what_people_said_of_another_pull_request() {
    let world = World::start_with(&[("policies/approval_matrix.yml", MATRIX)]).await;
    // Merged past everybody, and nobody agreed to it.
    let other = world
        .open("items", &[("migrations/0001_items.up.sql", "CREATE TABLE items (id INTEGER PRIMARY KEY);\n")])
        .await;
    other.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    let pull = world.open("orders", &[("migrations/0002_orders.up.sql", ORDERS[0].1)]).await;
    world.approve(&pull, "omar").await;
    let run = world.repo.request_deployment("alice", "development", &pull.head_sha().unwrap()).unwrap();
    world.settle().await;
    let told = gate(&world, run);
    assert_eq!(told.state, None, "{told:?}");
    assert!(told.comments[0].contains("`0001_items`") && told.comments[0].contains("not part of"), "{told:?}");
}

#[tokio::test]
async fn a_job_on_an_open_pull_request_waits_for_people() {
    let world = World::start_with(&[("policies/approval_matrix.yml", MATRIX)]).await;
    let pull = world.open("orders", &ORDERS).await;
    let head = pull.head_sha().unwrap();
    let run = world.repo.request_deployment("alice", "development", &head).unwrap();
    world.settle().await;
    assert_eq!(gate(&world, run).state, None, "{:?}", gate(&world, run));
    world.approve(&pull, "omar").await;
    assert_eq!(gate(&world, run).state.as_deref(), Some("approved"), "{:?}", gate(&world, run));
}

#[tokio::test]
async fn a_job_waits_as_a_run_would_for_lock_order_promotion_and_window() {
    let world = World::start_with(&[("policies/approval_matrix.yml", MATRIX)]).await;
    // The first environment of the branch: people are enough.
    let (pull, run) = agreed(&world, "development").await;
    assert_eq!(gate(&world, run).state.as_deref(), Some("approved"), "{:?}", gate(&world, run));
    // One behind it: the environment before it does not hold them.
    let head = pull.head_sha().unwrap();
    let run = world.repo.request_deployment("alice", "staging", &head).unwrap();
    world.settle().await;
    let told = gate(&world, run);
    assert_eq!(told.state, None, "{told:?}");
    assert!(told.comments[0].contains("`development` must hold"), "{told:?}");
    // A frozen one.
    world.ask(&pull, "omar", "/godwit lock development we look into something").await;
    let run = world.repo.request_deployment("alice", "development", &head).unwrap();
    world.settle().await;
    let told = gate(&world, run);
    assert_eq!(told.state, None, "{told:?}");
    assert!(told.comments[0].contains("locked by omar"), "{told:?}");
    world.ask(&pull, "omar", "/godwit unlock development").await;
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!(gate(&world, run).state.as_deref(), Some("approved"), "{:?}", gate(&world, run));
}

#[tokio::test]
async fn a_job_waits_for_a_promotion_and_for_a_window() {
    for (setting, part) in [
        ("  promotion: manual\n", "promoted by a person"),
        ("  maintenance_windows:\n    - { days: [sun], start: \"03:00\", end: \"04:00\" }\n", "maintenance window"),
    ] {
        let files = ENVIRONMENTS_YML.replace("staging:\n", &format!("{setting}staging:\n"));
        let world =
            World::start_with(&[("policies/environments.yml", &files), ("policies/approval_matrix.yml", MATRIX)]).await;
        // A Wednesday.
        world.it_is("2027-01-06T12:00:00Z");
        let (_, run) = agreed(&world, "development").await;
        let told = gate(&world, run);
        assert_eq!(told.state, None, "{setting}: {told:?}");
        assert!(told.comments[0].contains(part), "{setting}: {told:?}");
    }
}
