//! What GitHub shows of environments, and workflow jobs that ask before they deploy.

use godwit::sandbox::{MergeMethod, PullHandle};

use super::world::{World, run_comment};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

async fn approved(world: &World) -> PullHandle {
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull
}

/// The states of an environment's only deployment at a commit.
fn states(world: &World, environment: &str, sha: &str) -> Vec<String> {
    let all = world.repo.deployments().unwrap();
    let of: Vec<_> = all.into_iter().filter(|d| d.environment == environment && d.sha == sha).collect();
    assert!(of.len() <= 1, "{of:#?}");
    of.into_iter().next().map_or_else(Vec::new, |d| d.states)
}

fn status(world: &World, sha: &str, environment: &str) -> Option<String> {
    let context = format!("godwit / {environment}");
    let all = world.repo.statuses().unwrap();
    all.into_iter().rev().find(|s| s.sha == sha && s.context == context).map(|s| s.state)
}

#[tokio::test]
async fn every_environment_of_a_merge_is_a_deployment_and_a_status() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    let merged = pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    for environment in ["development", "staging"] {
        assert_eq!(states(&world, environment, &merged), ["in_progress", "success"]);
        assert_eq!(status(&world, &merged, environment).as_deref(), Some("success"));
    }
    assert_eq!(states(&world, "production", &merged), ["queued"]);
    assert_eq!(status(&world, &merged, "production").as_deref(), Some("pending"));
    world.approve(&pull, "dora").await;
    assert_eq!(states(&world, "production", &merged), ["queued", "in_progress", "success"]);
    let all = world.repo.deployments().unwrap();
    let log = all.iter().find(|d| d.environment == "production").and_then(|d| d.log_url.clone()).unwrap();
    assert!(log.contains("#issuecomment-"), "{log}");
    // Looking again shows nothing twice.
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!(states(&world, "production", &merged), ["queued", "in_progress", "success"]);
    // The next merge takes the places of this one.
    let items = ("migrations/0002_items.up.sql", "CREATE TABLE items (id INTEGER PRIMARY KEY);\n");
    let next = world.open("items", &[items]).await;
    world.approve(&next, "omar").await;
    world.approve(&next, "dora").await;
    let second = next.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert_eq!(states(&world, "production", &second).last().map(String::as_str), Some("success"));
    for environment in ["development", "staging", "production"] {
        assert_eq!(states(&world, environment, &merged).last().map(String::as_str), Some("inactive"), "{environment}");
    }
}

#[tokio::test]
async fn a_failed_run_shows_as_a_failed_deployment() {
    // Something that cannot run twice, and stands there already in staging.
    let world = World::start().await;
    let pull = approved(&world).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(world.database("staging")).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("CREATE TABLE orders (x)").execute(&pool).await.unwrap();
    pool.close().await;
    let merged = pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert_eq!(states(&world, "staging", &merged), ["in_progress", "failure"]);
    assert_eq!(status(&world, &merged, "staging").as_deref(), Some("failure"));
    assert!(states(&world, "production", &merged).is_empty());
}

#[tokio::test]
async fn without_the_permission_the_run_is_the_same() {
    let world = World::start_allowed(&[], |permissions| {
        permissions.retain(|(name, _)| name != "deployments" && name != "statuses");
    })
    .await;
    let pull = approved(&world).await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    for environment in ["development", "staging", "production"] {
        assert!(run_comment(&pull, environment).contains("1 migration applied"));
    }
    assert!(world.repo.deployments().unwrap().is_empty() && world.repo.statuses().unwrap().is_empty());
}

#[tokio::test]
async fn a_job_deploys_once_the_environment_holds_the_migrations_of_its_commit() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    let merged = pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    let gate = |run: u64| world.repo.gates().unwrap().into_iter().find(|g| g.run == run).unwrap();
    // Staging has them.
    let staging = world.repo.request_deployment("rosa", "staging", &merged).unwrap();
    world.settle().await;
    assert_eq!(gate(staging).state.as_deref(), Some("approved"), "{:?}", gate(staging));
    // Production waits for its dba; the job is told for whom, once, and goes on by itself.
    let production = world.repo.request_deployment("rosa", "production", &merged).unwrap();
    world.settle().await;
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    let waits = gate(production);
    assert_eq!((waits.state.as_deref(), waits.comments.len()), (None, 1), "{waits:?}");
    assert!(waits.comments[0].contains("0001_orders") && waits.comments[0].contains("dba"), "{waits:?}");
    world.approve(&pull, "dora").await;
    assert_eq!(gate(production).state.as_deref(), Some("approved"), "{:?}", gate(production));
    // An environment that nobody configured passes nothing.
    let unknown = world.repo.request_deployment("rosa", "moon", &merged).unwrap();
    world.settle().await;
    assert_eq!(gate(unknown).state.as_deref(), Some("rejected"));
    assert!(gate(unknown).comments[0].contains("`staging`"), "{:?}", gate(unknown));
}

#[tokio::test]
async fn a_job_whose_migrations_failed_is_stopped() {
    let world = World::start().await;
    let pull = approved(&world).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(world.database("staging")).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("CREATE TABLE orders (x)").execute(&pool).await.unwrap();
    pool.close().await;
    let merged = pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    let run = world.repo.request_deployment("rosa", "staging", &merged).unwrap();
    world.settle().await;
    let gate = world.repo.gates().unwrap().into_iter().find(|g| g.run == run).unwrap();
    assert_eq!(gate.state.as_deref(), Some("rejected"), "{gate:?}");
    assert!(gate.comments[0].contains("0001_orders"));
}

#[tokio::test]
async fn an_environment_whose_migrations_were_undone_is_no_active_deployment_until_they_are_brought_again() {
    let world = World::start().await;
    let down = ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n");
    let pull = world.open("orders", &[ORDERS[0], down]).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    let merged = pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    world.ask(&pull, "omar", "/godwit rollback staging 0001_orders").await;
    assert!(!world.has_table("staging", "orders").await);
    assert_eq!(states(&world, "staging", &merged), ["in_progress", "success", "inactive"]);
    assert_eq!(status(&world, &merged, "staging").as_deref(), Some("failure"));
    // Looking again shows nothing twice, and the others stay as they are.
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!(states(&world, "staging", &merged), ["in_progress", "success", "inactive"]);
    assert_eq!(states(&world, "production", &merged), ["in_progress", "success"]);
    world.ask(&pull, "omar", "/godwit retry staging").await;
    assert_eq!(states(&world, "staging", &merged).last().map(String::as_str), Some("success"));
    assert_eq!(status(&world, &merged, "staging").as_deref(), Some("success"));
}
