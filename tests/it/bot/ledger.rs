//! B-16: migrations that an environment holds stand still.

use godwit::sandbox::{MergeMethod, PullHandle};

use super::world::{APPROVAL, LINT, SUMMARY, World, comment, commit, conclusion, run_comment};

const UP: &str = "migrations/0003_orders.up.sql";
const DOWN: &str = "migrations/0003_orders.down.sql";
const ORDERS: [(&str, &str); 2] =
    [(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"), (DOWN, "DROP TABLE orders;\n")];

/// A world in which every environment holds `0003_orders`.
async fn shipped() -> (World, PullHandle) {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(world.has_table("production", "orders").await);
    (world, pull)
}

fn summary(pull: &PullHandle) -> String {
    comment(pull, SUMMARY).map_or_else(String::new, |c| c.body)
}

#[tokio::test]
async fn b16_what_is_recorded_is_not_edited_renamed_deleted_or_overtaken() {
    let (world, first) = shipped().await;
    let number = first.number();
    for (branch, changes, parts) in [
        (
            "edit",
            &[(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);\n")][..],
            &["`migrations/0003_orders` is edited", "write a new migration"][..],
        ),
        (
            "rename",
            &[
                (UP, ""),
                (DOWN, ""),
                ("migrations/0004_orders.up.sql", ORDERS[0].1),
                ("migrations/0004_orders.down.sql", ORDERS[1].1),
            ],
            &["is renamed to `migrations/0004_orders`"],
        ),
        (
            "overtake",
            &[("migrations/0002_early.up.sql", "CREATE TABLE early (id INTEGER PRIMARY KEY);\n")],
            &["`migrations/0002_early` comes before `migrations/0003_orders`", "above the recorded ones"],
        ),
        // DECISIONS 11: the offer stands on the pull request that reverts.
        (
            "revert-1-orders",
            &[(UP, ""), (DOWN, "")],
            &[
                "`migrations/0003_orders` is deleted",
                "/godwit rollback production 0003_orders",
                "write a new migration",
            ],
        ),
    ] {
        let pull = world.open(branch, changes).await;
        world.approve(&pull, "omar").await;
        world.approve(&pull, "dora").await;
        assert_eq!(conclusion(&pull, APPROVAL), "failure", "{branch}");
        let text = summary(&pull);
        for part in parts.iter().copied().chain(["`production`", "`development`", &format!("`#{number}`")]) {
            assert!(text.contains(part), "{branch}: {part}\n{text}");
        }
    }
    // A rollback script that was wrong may be mended, and what comes after is welcome.
    for (branch, changes) in [
        ("mend", &[(DOWN, "DROP TABLE IF EXISTS orders;\n")][..]),
        ("next", &[("migrations/0004_next.up.sql", "CREATE TABLE next (id INTEGER PRIMARY KEY);\n")]),
    ] {
        let pull = world.open(branch, changes).await;
        assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{branch}: {}", summary(&pull));
    }
}

#[tokio::test]
async fn f203_a_number_that_a_merged_migration_has_is_refused_before_it_stops_every_environment() {
    let (world, _) = shipped().await;
    // It comes first by its name, so that the merged one is the second of the two.
    let early = [
        ("migrations/0003_early.up.sql", "CREATE TABLE early (id INTEGER PRIMARY KEY);\n"),
        ("migrations/0003_early.down.sql", "DROP TABLE early;\n"),
    ];
    let pull = world.open("early", &early).await;
    assert_eq!(conclusion(&pull, LINT), "failure", "{}", summary(&pull));
    assert!(summary(&pull).contains("version `0003` is taken by `0003_orders`"), "{}", summary(&pull));
}

#[tokio::test]
async fn dec11_reverting_what_no_environment_holds_is_fine() {
    let world = World::start().await;
    world.repo.push("main", "rosa", &[commit("rosa", &ORDERS)]).unwrap();
    world.settle().await;
    let pull = world.open("revert", &[(UP, ""), (DOWN, "")]).await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{}", summary(&pull));
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", summary(&pull));
}

/// RECOVERY: somebody put last night's copy back, and the store knows of more than the database holds.
#[tokio::test]
async fn dec20_a_database_restored_outside_godwit_stops_everything_until_a_person_settles_it() {
    let (world, _) = shipped().await;
    let last_night = std::fs::read(world.database("production")).unwrap();
    let ship = async |branch: &'static str, path: &'static str| {
        let text = format!("CREATE TABLE {branch} (id INTEGER PRIMARY KEY);\n");
        let pull = world.open(branch, &[(path, &text)]).await;
        world.approve(&pull, "omar").await;
        world.approve(&pull, "dora").await;
        pull.merge("rosa", MergeMethod::Squash).unwrap();
        world.settle().await;
        pull
    };
    let second = ship("items", "migrations/0004_items.up.sql").await;
    assert!(world.has_table("production", "items").await);
    std::fs::write(world.database("production"), last_night).unwrap();
    let third = ship("carts", "migrations/0005_carts.up.sql").await;
    let told = run_comment(&third, "production");
    assert!(told.contains("0004_items") && told.contains("restored an older copy"), "{told}");
    assert!(world.has_table("staging", "carts").await && !world.has_table("production", "carts").await);
    let said = world.ask(&second, "omar", "/godwit resolve production 0004_items rolled-back restored by hand").await;
    assert!(said.contains("/godwit retry production"), "{said}");
    world.ask(&second, "omar", "/godwit retry production").await;
    assert!(world.has_table("production", "items").await, "{}", run_comment(&second, "production"));
    if !world.has_table("production", "carts").await {
        world.ask(&third, "omar", "/godwit retry production").await;
    }
    assert!(world.has_table("production", "carts").await, "{}", run_comment(&third, "production"));
    assert!(world.store.verify_audit(None).await.unwrap().valid);
}
