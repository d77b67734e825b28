//! Commands that change what runs: lock, unlock, resolve, emergency, release.

use godwit::sandbox::{Fault, FaultKind, MergeMethod, PullHandle};

use super::world::{World, run_comment};

const UP: &str = "migrations/0001_orders.up.sql";
const ORDERS: [(&str, &str); 1] = [(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];
const ITEMS: [(&str, &str); 1] = [("migrations/0002_items.up.sql", "CREATE TABLE items (id INTEGER PRIMARY KEY);\n")];

async fn agreed(world: &World, branch: &str, changes: &[(&str, &str)]) -> PullHandle {
    let pull = world.open(branch, changes).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull
}

async fn merge(world: &World, pull: &PullHandle) {
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
}

pub(super) async fn by_hand(world: &World, environment: &str, sql: &'static str) {
    let file = world.database(environment);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query(sql).execute(&pool).await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn s2_26_a_lock_stops_says_who_and_why_and_what_waits_goes_on_by_itself() {
    let world = World::start().await;
    let pull = agreed(&world, "orders", &ORDERS).await;
    let said = world.ask(&pull, "dora", "/godwit lock staging audit week").await;
    assert!(said.contains("`@dora` may not"), "{said}");
    let said = world.ask(&pull, "omar", "/godwit lock staging audit week").await;
    assert!(said.contains("is locked"), "{said}");
    let said = world.ask(&pull, "dana", "/godwit lock staging me too").await;
    assert!(said.contains("locked already, by `omar`") && said.contains("audit week"), "{said}");
    merge(&world, &pull).await;
    assert!(world.has_table("development", "orders").await && !world.has_table("staging", "orders").await);
    let told = run_comment(&pull, "staging");
    assert!(told.contains("locked by omar since") && told.contains("audit week"), "{told}");
    let said = world.ask(&pull, "bob", "/godwit unlock staging").await;
    assert!(said.contains("`@bob` may not"), "{said}");
    let said = world.ask(&pull, "dana", "/godwit unlock staging").await;
    assert!(said.contains("it was locked by `omar`"), "{said}");
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "staging"));
    let said = world.ask(&pull, "dana", "/godwit unlock staging").await;
    assert!(said.contains("is not locked"), "{said}");
}

#[tokio::test]
async fn a_lock_shows_on_what_waited_for_something_else_before() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    merge(&world, &pull).await;
    assert!(run_comment(&pull, "production").contains("dba"));
    world.ask(&pull, "omar", "/godwit lock production new year").await;
    assert!(run_comment(&pull, "production").contains("new year"), "{}", run_comment(&pull, "production"));
    world.ask(&pull, "omar", "/godwit unlock production").await;
    assert!(run_comment(&pull, "production").contains("dba"), "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn a_failure_blocks_what_is_behind_it_and_resolve_lets_both_go_on() {
    let world = World::start().await;
    let first = agreed(&world, "orders", &ORDERS).await;
    by_hand(&world, "staging", "CREATE TABLE orders (id INTEGER PRIMARY KEY)").await;
    merge(&world, &first).await;
    let told = run_comment(&first, "staging");
    assert!(told.contains("already exists") && told.contains("/godwit resolve staging 0001_orders applied"), "{told}");
    let second = agreed(&world, "items", &ITEMS).await;
    merge(&world, &second).await;
    let told = run_comment(&second, "staging");
    for part in ["0001_orders", "1 stopped there", "/godwit retry staging` on #", "/godwit rollback", "fix forward"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(world.has_table("development", "items").await && !world.has_table("staging", "items").await);
    let said = world.ask(&first, "bob", "/godwit resolve staging 0001_orders applied made by hand").await;
    assert!(said.contains("`@bob` may not"), "{said}");
    let said = world.ask(&first, "omar", "/godwit resolve staging 0001_orders applied made by hand").await;
    assert!(said.contains("was failed, is applied"), "{said}");
    for (pull, table) in [(&first, "orders"), (&second, "items")] {
        for environment in ["staging", "production"] {
            assert!(world.has_table(environment, table).await, "{environment} {}", run_comment(pull, environment));
        }
    }
    let rows = world.store.audit(&Default::default()).await.unwrap();
    let resolved = rows.iter().find(|r| r.body.action == "resolve").unwrap();
    assert_eq!((resolved.body.actor.as_str(), resolved.body.basis.as_deref()), ("omar", Some("made by hand")));
}

const EMERGENCY: &str = "development:\n  ANY: { required_approvals: 0, required_roles: [] }\nstaging:\n  ANY: { required_approvals: 1, \
     required_roles: [data_ops] }\nproduction:\n  ANY: { required_approvals: 2, required_roles: [data_ops, dba], timeout_hours: 12, \
     emergency_override: true }\n";

#[tokio::test]
async fn b18_an_emergency_skips_approvals_and_order_in_one_environment_and_a_review_follows() {
    let world = World::start_with(&[("policies/approval_matrix.yml", EMERGENCY)]).await;
    let pull = world.open("orders", &ORDERS).await;
    let said = world.ask(&pull, "dana", "/godwit emergency production site is down").await;
    assert!(said.contains("not merged"), "{said}");
    merge(&world, &pull).await;
    assert!(!world.has_table("staging", "orders").await, "staging asks for data_ops");
    for (person, text, part) in [
        ("omar", "/godwit emergency production site is down", "`@omar` may not"),
        ("dana", "/godwit emergency production", "reason is missing"),
        ("dana", "/godwit emergency staging site is down", "does not let an emergency pass"),
    ] {
        let said = world.ask(&pull, person, text).await;
        assert!(said.contains(part), "{text}: {said}");
    }
    world.ask(&pull, "dana", "/godwit lock production stocktaking").await;
    let said = world.ask(&pull, "dana", "/godwit emergency production site is down").await;
    assert!(said.contains("12 hours") && said.contains("review afterwards is #2"), "{said}");
    assert!(!world.has_table("production", "orders").await, "an emergency opens no lock");
    assert!(run_comment(&pull, "production").contains("stocktaking"));
    world.ask(&pull, "dana", "/godwit unlock production").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    assert!(!world.has_table("staging", "orders").await, "one environment only");
    let told = run_comment(&pull, "production");
    assert!(told.contains("emergency by dana"), "{told}");
    let issues = world.repo.issues().unwrap();
    let review: Vec<_> = issues.iter().filter(|(_, title, _)| title.contains("emergency run of #1")).collect();
    assert_eq!(review.len(), 1, "{issues:?}");
    let text = &review[0].2;
    assert!(text.contains("site is down") && text.contains("dba") && text.contains("data_ops"), "{text}");
    let rows = world.store.audit(&Default::default()).await.unwrap();
    let started =
        rows.iter().find(|r| r.body.action == "run-started" && r.body.environment.as_deref() == Some("production"));
    assert_eq!(started.unwrap().body.basis.as_deref(), Some("emergency by dana: site is down"));
    // What is merged later is another content.
    let second = world.open("items", &ITEMS).await;
    merge(&world, &second).await;
    assert!(!world.has_table("production", "items").await);
}

#[tokio::test]
async fn b18_an_emergency_passes_over_no_lint_error_and_no_hold() {
    let world = World::start_with(&[("policies/approval_matrix.yml", EMERGENCY)]).await;
    let pull = world.open("orders", &[(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY;\n")]).await;
    merge(&world, &pull).await;
    world.ask(&pull, "dana", "/godwit emergency production site is down").await;
    let told = run_comment(&pull, "production");
    assert!(told.contains("1 error") && !world.has_table("production", "orders").await, "{told}");
    let held = world.open("items", &ITEMS).await;
    held.add_label("bob", "hold").unwrap();
    merge(&world, &held).await;
    let said = world.ask(&held, "dana", "/godwit emergency production site is down").await;
    assert!(said.contains("hold"), "{said}");
}

#[tokio::test]
async fn b18_in_an_emergency_a_rollback_needs_no_second_person() {
    let world = World::start_with(&[("policies/approval_matrix.yml", EMERGENCY)]).await;
    let down = ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n");
    let pull = agreed(&world, "orders", &[ORDERS[0], down]).await;
    merge(&world, &pull).await;
    world.ask(&pull, "dana", "/godwit rollback production 0001_orders").await;
    assert!(world.has_table("production", "orders").await);
    let said = world.ask(&pull, "dana", "/godwit emergency production site is down").await;
    assert!(said.contains("without a second person"), "{said}");
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn b18_an_emergency_rollback_is_one_however_often_it_is_repeated_and_is_reviewed() {
    let world = World::start_with(&[("policies/approval_matrix.yml", EMERGENCY)]).await;
    let down = ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n");
    let pull = agreed(&world, "orders", &[ORDERS[0], down]).await;
    merge(&world, &pull).await;
    world.ask(&pull, "omar", "/godwit rollback production 0001_orders").await;
    // The answer is lost, so the command is worked on again, when its rollback has run.
    world.sandbox.fault(Fault::new("/comments", 1, FaultKind::Status(500)).method("POST"));
    let said = world.ask(&pull, "dana", "/godwit emergency production").await;
    assert!(said.contains("without a second person") && said.contains("review afterwards is #2"), "{said}");
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    let issues = world.repo.issues().unwrap();
    let review: Vec<_> = issues.iter().filter(|(_, title, _)| title.contains("emergency")).collect();
    assert_eq!(review.len(), 1, "{issues:?}");
    let (title, text) = (&review[0].1, &review[0].2);
    assert!(title.contains("emergency rollback on #1 in production"), "{title}");
    for part in ["not given", "0001_orders", "a second person", "`@omar`", "`@dana`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let rows = world.store.audit(&Default::default()).await.unwrap();
    let said: Vec<_> = rows.iter().map(|r| &r.body).filter(|b| b.action == "emergency").collect();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!((said[0].result.as_str(), said[0].basis.as_deref()), ("rollback", Some("not given")));
    // Nothing runs forward by it, now or later.
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn b18_an_emergency_does_not_revive_a_rollback_that_expired() {
    let world = World::start_with(&[("policies/approval_matrix.yml", EMERGENCY)]).await;
    let down = ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n");
    let pull = agreed(&world, "orders", &[ORDERS[0], down]).await;
    merge(&world, &pull).await;
    world.ask(&pull, "omar", "/godwit rollback production 0001_orders").await;
    world.in_store("UPDATE rollback_requests SET expires_at = 1").await;
    let said = world.ask(&pull, "dana", "/godwit emergency production site is down").await;
    assert!(said.contains("expired") && world.has_table("production", "orders").await, "{said}");
}

#[tokio::test]
async fn b18_a_hold_stops_an_emergency_until_the_moment_it_runs() {
    let world = World::start_with(&[("policies/approval_matrix.yml", EMERGENCY)]).await;
    let pull = world.open("orders", &ORDERS).await;
    merge(&world, &pull).await;
    world.ask(&pull, "dana", "/godwit lock production stocktaking").await;
    world.ask(&pull, "dana", "/godwit emergency production site is down").await;
    pull.add_label("bob", "hold").unwrap();
    world.settle().await;
    world.ask(&pull, "dana", "/godwit unlock production").await;
    let told = run_comment(&pull, "production");
    assert!(!world.has_table("production", "orders").await && told.contains("`hold`"), "{told}");
    pull.remove_label("bob", "hold").unwrap();
    world.settle().await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn a_contract_is_held_until_somebody_releases_it_in_a_comment() {
    let world = World::start().await;
    let pull = agreed(&world, "orders", &ORDERS).await;
    merge(&world, &pull).await;
    let contract = ("migrations/0002_drop.up.sql", "-- godwit: phase=contract\nDROP TABLE orders;\n");
    let pull = agreed(&world, "drop", &[contract]).await;
    merge(&world, &pull).await;
    let told = run_comment(&pull, "production");
    assert!(told.contains("/godwit release production MIGRATION REASON"), "{told}");
    assert!(world.has_table("production", "orders").await);
    let said = world.ask(&pull, "dora", "/godwit release production 0001_orders why not").await;
    assert!(said.contains("is not held"), "{said}");
    let said = world.ask(&pull, "dora", "/godwit release production 0002_drop version 4 is everywhere").await;
    assert!(said.contains("may run in"), "{said}");
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    assert!(world.has_table("staging", "orders").await);
}
