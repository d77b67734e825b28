//! Services whose `environments.json` asks for more than the environment does: on pull requests and in the runs after them.

use godwit::sandbox::{MergeMethod, PullHandle};

use super::world::{APPROVAL, LINT, SUMMARY, World, check, comment, commit, conclusion, run_comment};

const GODWIT_YML: &str = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - path: \
                          services/*/migrations\n    layout: service\n    engine: sqlite\n    target: shop\n";
const SETTINGS: &str = "services/users/migrations/environments.json";
const USERS: [(&str, &str); 2] = [
    ("services/users/migrations/0001_users.up.sql", "CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY);\n"),
    ("services/users/migrations/0001_users.down.sql", "DROP TABLE IF EXISTS users;\n"),
];
const ORDERS: [(&str, &str); 2] = [
    ("services/orders/migrations/0001_orders.up.sql", "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY);\n"),
    ("services/orders/migrations/0001_orders.down.sql", "DROP TABLE IF EXISTS orders;\n"),
];
const SATURDAYS: &str =
    r#"{ "production": { "maintenance_windows": [ { "days": ["sat"], "start": "02:00", "end": "04:00" } ] } }"#;

/// A company whose service `users` asks this.
async fn company(asks: &str, files: &[(&str, &str)]) -> World {
    let usual = [("godwit.yml", GODWIT_YML), (SETTINGS, asks)];
    World::start_with(&[&usual, files].concat()).await
}

/// Agreed to by everybody and merged; left alone where it waits.
async fn merged(world: &World, branch: &str, files: &[(&str, &str)]) -> PullHandle {
    let pull = world.open_as("alice", branch, files, false);
    world.settle_for_now().await;
    for person in ["dana", "omar", "dora"] {
        pull.review(person, godwit::sandbox::ReviewVerdict::Approve, "fine").unwrap();
    }
    world.settle_for_now().await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle_for_now().await;
    pull
}

async fn onto_main(world: &World, path: &str, text: &str) {
    world.repo.push("main", "rosa", &[commit("rosa", &[(path, text)])]).unwrap();
    world.settle_for_now().await;
}

#[tokio::test]
async fn s1_24_s4_1_a_run_waits_for_the_window_of_its_service_and_says_whose_it_is() {
    let world = company(SATURDAYS, &[]).await;
    // Years ahead, so that the moment does not come while the test runs.
    world.it_is("2030-11-22T12:00:00Z");
    // Another service has nothing to do with it.
    merged(&world, "orders", &ORDERS).await;
    assert!(world.has_table("production", "orders").await);
    let pull = merged(&world, "users", &USERS).await;
    assert!(world.has_table("staging", "users").await && !world.has_table("production", "users").await);
    let told = run_comment(&pull, "production");
    assert!(
        told.contains("migrations of `users` in the maintenance window of its `environments.json` only")
            && told.contains("2030-11-23 02:00 UTC"),
        "{told}"
    );
    world.it_is("2030-11-23T02:00:00Z");
    world.in_store("UPDATE jobs SET due_at = 0 WHERE state = 'queued'").await;
    world.settle().await;
    assert!(world.has_table("production", "users").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn s1_24_dec8_a_change_does_not_take_its_own_window_away_and_a_later_one_does() {
    let world = company(SATURDAYS, &[]).await;
    world.it_is("2030-11-22T12:00:00Z");
    let more = [
        ("services/users/migrations/0002_names.up.sql", "CREATE TABLE IF NOT EXISTS names (id INTEGER PRIMARY KEY);\n"),
        ("services/users/migrations/0002_names.down.sql", "DROP TABLE IF EXISTS names;\n"),
    ];
    let pull = merged(&world, "users", &USERS).await;
    assert!(!world.has_table("production", "users").await);
    // What the base branch says now is what counts.
    onto_main(&world, SETTINGS, "{ \"production\": {} }\n").await;
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle_for_now().await;
    assert!(world.has_table("production", "users").await, "{}", run_comment(&pull, "production"));
    // Neither can a change loosen what holds for it.
    onto_main(&world, SETTINGS, SATURDAYS).await;
    let pull = merged(&world, "names", &[more[0], more[1], (SETTINGS, "{}\n")]).await;
    assert!(world.has_table("staging", "names").await && !world.has_table("production", "names").await);
    assert!(run_comment(&pull, "production").contains("`users`"), "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn s1_24_s4_1_the_authors_opening_is_not_enough_where_a_service_asks_for_more() {
    let matrix = "development:\n  ANY: { required_approvals: 1, required_roles: [developer] }\nstaging:\n  ANY: { required_approvals: 1, \
                  required_roles: [data_ops] }\nproduction:\n  ANY: { required_approvals: 2, required_roles: [data_ops, dba] }\n";
    let world = company("{}\n", &[("policies/approval_matrix.yml", matrix)]).await;
    let agreed = async |pull: &PullHandle| {
        for person in ["omar", "dora"] {
            world.approve(pull, person).await;
        }
        conclusion(pull, APPROVAL)
    };
    let pull = world.open("free", &USERS).await;
    assert_eq!(agreed(&pull).await, "success", "{:?}", check(&pull, APPROVAL));
    // Tightened on the base branch, it holds for what is open.
    let asks = "{ \"development\": { \"approval_required\": true }, \"staging\": { \"auto_approve\": true } }\n";
    onto_main(&world, SETTINGS, asks).await;
    let orders = world.open("orders", &ORDERS).await;
    assert_eq!(agreed(&orders).await, "success", "{:?}", check(&orders, APPROVAL));
    // The pull request that takes it out is judged with it, whoever owns the policy.
    for (branch, also) in [("users", &[][..]), ("loosening", &[(SETTINGS, "{}\n")])] {
        let pull = world.open(branch, &[&USERS, also].concat()).await;
        world.approve(&pull, "dana").await;
        assert_eq!(agreed(&pull).await, "action_required", "{branch}: {:?}", check(&pull, APPROVAL));
        let told = comment(&pull, SUMMARY).unwrap().body;
        assert!(told.contains("asks for somebody else's approval"), "{told}");
        world.approve(&pull, "bob").await;
        assert_eq!(conclusion(&pull, APPROVAL), "success", "{branch}: {:?}", check(&pull, APPROVAL));
        pull.close("alice").unwrap();
        world.settle().await;
    }
}

#[tokio::test]
async fn s1_24_s4_1_a_service_asks_for_backups_and_strict_judgement() {
    let asks = "{ \"staging\": { \"backup_required\": true, \"validation\": \"strict\" } }\n";
    let relaxed = super::world::ENVIRONMENTS_YML.replace("  targets:", "  validation: relaxed\n  targets:");
    let world = company(asks, &[("policies/environments.yml", &relaxed)]).await;
    // Without a way back: an error by the strict profile alone.
    let pull = world.open("orders", &ORDERS[..1]).await;
    assert_eq!(conclusion(&pull, LINT), "success", "{:?}", check(&pull, LINT));
    pull.close("alice").unwrap();
    let pull = world.open("users", &USERS[..1]).await;
    assert_eq!(conclusion(&pull, LINT), "failure", "{:?}", check(&pull, LINT));
    pull.close("alice").unwrap();
    world.settle().await;
    merged(&world, "orders-again", &ORDERS).await;
    let pull = merged(&world, "users-again", &USERS).await;
    assert!(world.has_table("production", "users").await, "{}", run_comment(&pull, "production"));
    let log = world.store.audit(&Default::default()).await.unwrap();
    let backups: Vec<_> = log.into_iter().map(|r| r.body).filter(|b| b.action == "backup").collect();
    let of: Vec<_> = backups.iter().map(|b| (b.environment.as_deref(), b.pr)).collect();
    let number = i64::try_from(pull.number()).unwrap();
    assert_eq!(of, [(Some("staging"), Some(number))]);
    // Undoing it is a run of its migrations, too.
    let said = world.ask(&pull, "omar", "/godwit rollback staging 0001_users").await;
    assert!(said.contains("wants one before each run in"), "{said}");
}

#[tokio::test]
async fn n08_s1_24_a_broken_environments_json_keeps_its_service_from_being_merged() {
    let broken = "{ \"production\": { \"windows\": [] } }\n";
    let world = company(broken, &[]).await;
    let pull = world.open("users", &USERS).await;
    assert_eq!((conclusion(&pull, LINT).as_str(), conclusion(&pull, APPROVAL).as_str()), ("failure", "failure"));
    let told = comment(&pull, SUMMARY).unwrap().body;
    assert!(told.contains("environments.json") && told.contains("windows"), "{told}");
    // A change that mends it is judged by what it says then.
    let mending = world.open("mending", &[USERS[0], USERS[1], (SETTINGS, "{}\n")]).await;
    assert_eq!(conclusion(&mending, LINT), "success", "{:?}", check(&mending, LINT));
    assert_eq!(conclusion(&mending, APPROVAL), "action_required");
    for person in ["dana", "omar", "dora"] {
        world.approve(&mending, person).await;
    }
    assert_eq!(conclusion(&mending, APPROVAL), "success", "{:?}", check(&mending, APPROVAL));
    // One that breaks it is not merged either.
    let breaking = world
        .open("breaking", &[("services/orders/migrations/environments.json", "{ \"staging\": 1 }\n"), ORDERS[0]])
        .await;
    assert_eq!(conclusion(&breaking, LINT), "failure", "{:?}", check(&breaking, LINT));
}
