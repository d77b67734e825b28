//! what runs goes where, and as, it did when people agreed; else it waits for a word of somebody who could have agreed.

use godwit::sandbox::{MergeMethod, PullHandle};
use godwit::store::AuditFilter;

use super::world::{ENVIRONMENTS_YML, World, commit, run_comment};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

/// The usual matrix, with emergencies in production.
const EMERGENCY: &str = "development:\n  ANY: { required_approvals: 0, required_roles: [] }\nstaging:\n  ANY: { required_approvals: 1, \
     required_roles: [data_ops] }\nproduction:\n  ANY: { required_approvals: 2, required_roles: [data_ops, dba], \
     emergency_override: true }\n";

/// Approved for everything, and not merged.
async fn approved(world: &World) -> PullHandle {
    let pull = world.open("orders", &ORDERS).await;
    for person in ["omar", "dora"] {
        world.approve(&pull, person).await;
    }
    pull
}

async fn merge(world: &World, pull: &PullHandle) {
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
}

/// Says on the base branch where the environments' databases are.
async fn places(world: &World, environments: &str) {
    world.repo.push("main", "rosa", &[commit("rosa", &[("policies/environments.yml", environments)])]).unwrap();
    world.settle().await;
}

/// A sweep, and what follows from it.
async fn swept(world: &World) {
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
}

async fn accepted(world: &World) -> Vec<String> {
    let filter = AuditFilter { actions: vec!["terms-accepted"], ..AuditFilter::default() };
    let rows = world.store.audit(&filter).await.unwrap();
    rows.into_iter().map(|r| format!("{}: {}", r.body.actor, r.body.details["changed"])).collect()
}

#[tokio::test]
async fn r16_a_variable_that_changed_after_the_approval_blocks_the_run_until_a_holder_lets_it_go_on() {
    let world = World::start().await;
    let pull = approved(&world).await;
    world.moved("SHOP_PRODUCTION", "elsewhere");
    merge(&world, &pull).await;
    assert!(world.has_table("staging", "orders").await, "what nobody touched runs");
    assert!(!world.has_table("elsewhere", "orders").await);
    let told = run_comment(&pull, "production");
    for part in ["not what people agreed to", "`shop` is another database now", "/godwit retry production", "@acme/dba"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("elsewhere"), "where databases are is nobody's business: {told}");
    // Who could not have agreed lets nothing go on.
    let said = world.ask(&pull, "bob", "/godwit retry production").await;
    assert!(said.contains("only a holder of") && said.contains("another database"), "{said}");
    assert!(!world.has_table("elsewhere", "orders").await);
    // What changes once more is told once more.
    world.ask(&pull, "dora", "/godwit retry production").await;
    assert!(world.has_table("elsewhere", "orders").await, "{}", run_comment(&pull, "production"));
    assert!(!world.has_table("production", "orders").await);
    assert_eq!(accepted(&world).await, ["dora: `shop` is another database now: its host, port or name changed"]);
    assert!(world.store.verify_audit(None).await.unwrap().valid);
}

#[tokio::test]
async fn r16_what_is_put_back_runs_by_itself_and_what_changes_again_is_asked_again() {
    let world = World::start().await;
    let pull = approved(&world).await;
    world.ask(&pull, "omar", "/godwit lock production freeze").await;
    merge(&world, &pull).await;
    world.moved("SHOP_PRODUCTION", "elsewhere");
    world.ask(&pull, "omar", "/godwit unlock production").await;
    assert!(run_comment(&pull, "production").contains("another database"), "{}", run_comment(&pull, "production"));
    // Accepted, and changed again before it ran.
    world.ask(&pull, "omar", "/godwit lock production freeze").await;
    world.ask(&pull, "dora", "/godwit retry production").await;
    world.moved("SHOP_PRODUCTION", "third");
    world.ask(&pull, "omar", "/godwit unlock production").await;
    assert!(run_comment(&pull, "production").contains("another database"), "{}", run_comment(&pull, "production"));
    for name in ["production", "elsewhere", "third"] {
        assert!(!world.has_table(name, "orders").await, "{name}");
    }
    // Back at what dora accepted.
    world.moved("SHOP_PRODUCTION", "elsewhere");
    swept(&world).await;
    assert!(world.has_table("elsewhere", "orders").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn r16_a_target_that_the_policy_moved_after_the_merge_blocks_the_run() {
    let world = World::start().await;
    let pull = approved(&world).await;
    world.ask(&pull, "omar", "/godwit lock production freeze").await;
    merge(&world, &pull).await;
    let moved = ENVIRONMENTS_YML.replace("${SHOP_PRODUCTION}", "${SHOP_STAGING}");
    places(&world, &moved).await;
    world.ask(&pull, "omar", "/godwit unlock production").await;
    let told = run_comment(&pull, "production");
    assert!(told.contains("another database now"), "{told}");
    assert!(!world.has_table("production", "orders").await);
    // Other words for the same place are no change.
    let other = ENVIRONMENTS_YML.replace("sqlite:${SHOP_PRODUCTION}", "sqlite:${SHOP_PRODUCTION}?mode=rwc");
    places(&world, &other).await;
    swept(&world).await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn r16_an_upgrade_blocks_only_what_it_would_carry_out_otherwise() {
    let world = World::start().await;
    let pull = approved(&world).await;
    let version = env!("CARGO_PKG_VERSION");
    // As if another version had written it.
    let older = format!("UPDATE terms SET agreed = replace(agreed, '\"tool\":\"{version}\"', '\"tool\":\"0.0.7\"')");
    world.in_store(Box::leak(older.into_boxed_str())).await;
    world
        .in_store(
            "UPDATE terms SET agreed = replace(agreed, '0001_orders\":\"sha256:', '0001_orders\":\"sha256:0') \
         WHERE environment = 'production'",
        )
        .await;
    merge(&world, &pull).await;
    assert!(
        world.has_table("staging", "orders").await,
        "the version alone is no reason: {}",
        run_comment(&pull, "staging")
    );
    assert!(!world.has_table("production", "orders").await);
    let told = run_comment(&pull, "production");
    for part in ["0001_orders", "in another way", version, "0.0.7", "/godwit retry production"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    world.ask(&pull, "omar", "/godwit retry production").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn r16_an_emergency_goes_where_the_environment_is_now() {
    let world = World::start_with(&[("policies/approval_matrix.yml", EMERGENCY)]).await;
    let pull = approved(&world).await;
    world.moved("SHOP_PRODUCTION", "elsewhere");
    merge(&world, &pull).await;
    assert!(!world.has_table("elsewhere", "orders").await);
    world.ask(&pull, "dana", "/godwit emergency production the old machine burns").await;
    assert!(world.has_table("elsewhere", "orders").await, "{}", run_comment(&pull, "production"));
}
