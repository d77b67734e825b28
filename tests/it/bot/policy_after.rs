//! A merged pull request is judged by the policy as it is now, and never by what it changed in its own favour.

use godwit::sandbox::{MergeMethod, PullHandle};
use godwit::store::AuditFilter;
use sha2::{Digest as _, Sha256};

use super::world::{ENVIRONMENTS_YML, ROLES_YML, World, commit, run_comment};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

async fn merged(world: &World, files: &[(&str, &str)], people: &[&str]) -> PullHandle {
    let pull = world.open("orders", files).await;
    for person in people {
        world.approve(&pull, person).await;
    }
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    pull
}

async fn onto_main(world: &World, path: &str, text: &str) {
    world.repo.push("main", "rosa", &[commit("rosa", &[(path, text)])]).unwrap();
    world.settle().await;
}

#[tokio::test]
async fn dec8_a_host_that_is_mended_after_the_merge_is_used_by_a_retry() {
    let wrong = ENVIRONMENTS_YML.replace("SHOP_PRODUCTION", "SHOP_NOWHERE");
    let world = World::start_with(&[("policies/environments.yml", &wrong)]).await;
    let pull = merged(&world, &ORDERS, &["omar", "dora"]).await;
    assert!(world.has_table("staging", "orders").await && !world.has_table("production", "orders").await);
    assert!(run_comment(&pull, "production").contains("SHOP_NOWHERE"), "{}", run_comment(&pull, "production"));
    onto_main(&world, "policies/environments.yml", ENVIRONMENTS_YML).await;
    world.ask(&pull, "dana", "/godwit retry production").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    // B-17: which bytes ran stands in the chain.
    let rows = world.store.audit(&AuditFilter::default()).await.unwrap();
    let ended: Vec<_> = rows.iter().filter(|r| r.body.action == "run-finished").collect();
    let sha = hex::encode(Sha256::digest(ORDERS[0].1));
    assert!(ended.len() >= 3);
    for row in ended {
        assert_eq!(row.body.details["policy_now"].len(), 64);
        let scripts = &row.body.details["scripts"];
        assert!(scripts.contains(&sha) && scripts.contains(ORDERS[0].0), "{scripts}");
    }
}

#[tokio::test]
async fn dec8_who_lost_a_role_after_the_merge_does_not_count_and_who_gained_it_does() {
    let world = World::start().await;
    let pull = merged(&world, &ORDERS, &["omar"]).await;
    assert!(world.has_table("staging", "orders").await && !world.has_table("production", "orders").await);
    let without = ROLES_YML.replace("data_ops: { users: [omar] }", "data_ops: { users: [tess] }");
    onto_main(&world, "policies/roles.yml", &without).await;
    world.approve(&pull, "dora").await;
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    assert!(run_comment(&pull, "production").contains("data_ops"), "{}", run_comment(&pull, "production"));
    // Another holder is named, as the advice says, and agrees.
    world.approve(&pull, "tess").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn b4_a_pull_request_does_not_lower_its_own_bar_by_being_merged() {
    let world = World::start().await;
    let nothing = "development:\n  ANY: { required_approvals: 0, required_roles: [] }\nstaging:\n  ANY: { required_approvals: 0, \
                   required_roles: [] }\nproduction:\n  ANY: { required_approvals: 0, required_roles: [] }\n";
    let roles = ROLES_YML.replace("data_ops: { users: [omar] }", "data_ops: { users: [omar, bob] }");
    let files = [ORDERS[0], ("policies/approval_matrix.yml", nothing), ("policies/roles.yml", roles.as_str())];
    // Merged past the checks, with the word of somebody to whom it gives a role.
    let pull = merged(&world, &files, &["bob"]).await;
    for environment in ["development", "staging", "production"] {
        assert!(!world.has_table(environment, "orders").await, "{}", run_comment(&pull, environment));
    }
    // Another commit changes nothing about that.
    onto_main(&world, "notes.md", "hello\n").await;
    world.ask(&pull, "dana", "/godwit retry staging").await;
    assert!(!world.has_table("staging", "orders").await, "{}", run_comment(&pull, "staging"));
    // Its policy owner and the people of the former matrix agree.
    for person in ["dana", "omar", "dora"] {
        world.approve(&pull, person).await;
    }
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn dec8_nothing_of_a_merged_pull_request_runs_while_the_policy_is_broken() {
    let world = World::start().await;
    let pull = merged(&world, &ORDERS, &["omar"]).await;
    onto_main(&world, "policies/roles.yml", "dba: { usres: [dora] }\n").await;
    world.approve(&pull, "dora").await;
    assert!(!world.has_table("production", "orders").await);
    onto_main(&world, "policies/roles.yml", ROLES_YML).await;
    world.ask(&pull, "dana", "/godwit retry production").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}
