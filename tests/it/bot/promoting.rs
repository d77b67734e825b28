//! The order of environments, branches, windows, regions and turns.

use godwit::ids::{EnvironmentName, PrNumber, RepoName, RunId, TargetName};
use godwit::sandbox::{MergeMethod, NewPull, PullHandle};
use godwit::store::turns::Asker;

use super::world::{ENVIRONMENTS_YML, World, commit, run_comment};

const UP: &str = "migrations/0001_orders.up.sql";
const ORDERS: [(&str, &str); 1] = [(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

async fn agreed(world: &World) -> PullHandle {
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull
}

#[tokio::test]
async fn s1_58_a_merge_outside_the_window_is_queued_says_when_and_starts_by_itself() {
    let windows = "  maintenance_windows:\n    - { days: [sat, sun], start: \"02:00\", end: \"04:00\", timezone: Europe/Berlin }\n";
    let environments = format!("{ENVIRONMENTS_YML}{windows}");
    let world = World::start_with(&[("policies/environments.yml", &environments)]).await;
    // Years ahead, so that the moment does not come while the test runs.
    world.it_is("2030-11-23T00:30:00Z");
    let pull = agreed(&world).await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle_for_now().await;
    assert!(world.has_table("staging", "orders").await && !world.has_table("production", "orders").await);
    let told = run_comment(&pull, "production");
    assert!(told.contains("2030-11-23 01:00 UTC (2030-11-23 02:00 Europe/Berlin)"), "{told}");
    // Looked at again and again, it is queued once.
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle_for_now().await;
    let opens: chrono::DateTime<chrono::Utc> = "2030-11-23T01:00:00Z".parse().unwrap();
    assert_eq!(world.store.next_due().await.unwrap(), Some(opens));
    assert_eq!(world.store.queue().await.unwrap().queued, 1);
    world.it_is("2030-11-23T01:00:00Z");
    world.in_store("UPDATE jobs SET due_at = 0 WHERE state = 'queued'").await;
    world.settle().await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn s2_128_a_merge_into_develop_runs_staging_and_main_waits_for_it() {
    let environments = ENVIRONMENTS_YML.replace("staging:\n", "staging:\n  branch: develop\n");
    let world = World::start_with(&[("policies/environments.yml", &environments)]).await;
    let main = world.repo.branch_sha("main").unwrap();
    world.repo.force_push("develop", "rosa", &main, &[commit("rosa", &[("README.md", "# Shops\n")])]).unwrap();
    world.settle().await;
    let onto = |base: &'static str, branch: &'static str| {
        let from = world.repo.branch_sha(base).unwrap();
        world.repo.force_push(branch, "alice", &from, &[commit("alice", &ORDERS)]).unwrap();
        let new = NewPull { author: "alice", title: branch, body: "", head: branch, base, draft: false };
        world.repo.open_pull_request(&new).unwrap()
    };
    let release = onto("main", "release");
    world.settle().await;
    for person in ["omar", "dora"] {
        world.approve(&release, person).await;
    }
    release.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(world.has_table("development", "orders").await && !world.has_table("production", "orders").await);
    let told = run_comment(&release, "production");
    assert!(told.contains("must be in `staging` first") && told.contains("`develop`"), "{told}");
    let said = world.ask(&release, "omar", "/godwit apply staging").await;
    assert!(said.contains("does not concern `staging`") && said.contains("`develop`"), "{said}");

    let pull = onto("develop", "orders");
    world.settle().await;
    world.approve(&pull, "omar").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(world.has_table("staging", "orders").await, "{}", run_comment(&pull, "staging"));
    assert_eq!(run_comment(&pull, "development"), "");
    // The other pull request goes on by itself.
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&release, "production"));
}

#[tokio::test]
async fn b11_one_run_at_a_time_the_waiter_sees_its_place_and_goes_on_by_itself() {
    let world = World::start().await;
    let pull = agreed(&world).await;
    let (repo, staging) = (RepoName::new("acme/shop").unwrap(), EnvironmentName::new("staging").unwrap());
    let (targets, run) = ([TargetName::new("shop").unwrap()], RunId::generate());
    let asker = |pr, targets| Asker {
        repo: &repo,
        environment: &staging,
        pr: PrNumber(pr),
        targets,
        merged_at: chrono::DateTime::UNIX_EPOCH,
        event: &godwit::github::Event::Ping,
    };
    // Another replica runs #40 there, and #41 was merged before this one.
    assert!(world.store.take_turn(&asker(40, &targets), &run).await.unwrap().is_empty());
    assert_eq!(world.store.take_turn(&asker(41, &targets), &RunId::generate()).await.unwrap().len(), 1);
    let elsewhere = [TargetName::new("other").unwrap()];
    assert!(world.store.take_turn(&asker(42, &elsewhere), &RunId::generate()).await.unwrap().is_empty());
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    let waiting = async {
        while !run_comment(&pull, "staging").contains("number 3 in the queue") {
            world.sandbox.await_deliveries(crate::support::PATIENCE).await.unwrap();
            world.bot.run_due().await.unwrap();
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, waiting).await.unwrap();
    let told = run_comment(&pull, "staging");
    assert!(
        told.contains("waits for its turn") && told.contains("40 runs since") && told.contains("41 was merged before"),
        "{told}"
    );
    assert!(world.has_table("development", "orders").await && !world.has_table("staging", "orders").await);
    for pr in [40, 41, 42] {
        world.store.end_turn(&repo, &staging, PrNumber(pr)).await.unwrap();
    }
    world.store.wake(Some(&repo), &staging, None).await.unwrap();
    world.bot.run_due().await.unwrap();
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "staging"));
    assert_eq!(world.store.turns(&repo, &staging).await.unwrap(), []);
}

#[tokio::test]
async fn s0_07_regions_come_one_by_one_and_stop_at_the_first_that_fails() {
    let environments = "development:\n  targets:\n    shop: { engine: sqlite, url: \"sqlite:${SHOP_DEVELOPMENT}\" }\n    \
         shop-south: { engine: sqlite, url: \"sqlite:${SHOP_STAGING}.dev\" }\nproduction:\n  targets:\n    \
         shop: { engine: sqlite, url: \"sqlite:${SHOP_PRODUCTION}\", region: eu-west }\n    \
         shop-south: { engine: sqlite, url: \"sqlite:${SHOP_STAGING}\", region: af-south }\n  \
         regions:\n    - { name: af-south, provider: aws, compliance: [POPIA] }\n    - { name: eu-west, compliance: [GDPR] }\n  \
         migration: { backup_required: false }\n";
    let yml = "version: 1\nenvironments: [development, production]\nmigrations:\n  - { path: migrations, engine: sqlite, target: shop \
               }\n  - { path: south, engine: sqlite, target: shop-south }\n";
    let files = [("policies/environments.yml", environments), ("godwit.yml", yml)];
    let world = World::start_with(&files).await;
    let both = [ORDERS[0], ("south/0001_stock.up.sql", "CREATE TABLE stock (id INTEGER PRIMARY KEY);\n")];
    let pull = world.open("orders", &both).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    let by_hand = |sql: &'static str| {
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(world.database("staging")).create_if_missing(true);
        async move {
            let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
            sqlx::query(sql).execute(&pool).await.unwrap();
            pool.close().await;
        }
    };
    by_hand("CREATE TABLE stock (x)").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    // `af-south` is listed first and fails, so `eu-west` is not begun.
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    let told = run_comment(&pull, "production");
    assert!(told.contains("| ❌ | `af-south` (aws) | `shop-south` |"), "{told}");
    assert!(told.contains("| · | `eu-west` | `shop` |"), "{told}");
    by_hand("DROP TABLE stock").await;
    world.ask(&pull, "dora", "/godwit retry production").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    let told = run_comment(&pull, "production");
    assert!(told.contains("| ✅ | `eu-west` | `shop` | `GDPR`: approved by `@omar`, `@dora`"), "{told}");
}

#[tokio::test]
async fn r23_a_migration_that_depends_on_another_database_runs_after_an_earlier_merge_brought_that() {
    let environments = ENVIRONMENTS_YML.lines().fold(String::new(), |text, line| {
        let other = line.replace("shop:", "stock:").replace("}\" }", "}.stock\" }");
        if line.trim_start().starts_with("shop:") {
            format!("{text}{line}\n{other}\n")
        } else {
            format!("{text}{line}\n")
        }
    });
    let yml = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - { path: migrations, engine: sqlite, \
               target: shop }\n  - { path: stock, engine: sqlite, target: stock }\n";
    let world = World::start_with(&[("policies/environments.yml", &environments), ("godwit.yml", yml)]).await;
    let first = agreed(&world).await;
    first.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&first, "production"));
    let stock = (
        "stock/0001_stock.up.sql",
        "-- godwit: depends_on=migrations/0001_orders\nCREATE TABLE stock (id INTEGER PRIMARY KEY);\n",
    );
    let second = world.open("stock", &[stock]).await;
    world.approve(&second, "omar").await;
    world.approve(&second, "dora").await;
    second.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    let told = run_comment(&second, "production");
    assert!(told.contains("1 migration applied"), "{told}\n{}", run_comment(&second, "development"));
}
