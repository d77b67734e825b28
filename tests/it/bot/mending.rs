//! A base branch whose policy is broken, and the pull request that mends it (B-4).

use super::world::{APPROVAL, ENVIRONMENTS_YML, LINT, ROLES_YML, SUMMARY, World, check, comment, conclusion};

const ORDERS: (&str, &str) = ("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n");
const ENVIRONMENTS: &str = "policies/environments.yml";
const ROLES: &str = "policies/roles.yml";

#[tokio::test]
async fn b4_a_pull_request_that_mends_the_policy_is_judged_by_what_is_sound_of_it() {
    let world = World::start_with(&[(ENVIRONMENTS, "development: { tragets: {} }\n")]).await;
    let orders = world.open("orders", &[ORDERS]).await;
    assert_eq!(conclusion(&orders, APPROVAL), "failure");
    // Not together with anything else, and not by leaving it broken.
    for files in [
        &[(ENVIRONMENTS, ENVIRONMENTS_YML), ORDERS][..],
        &[(ENVIRONMENTS, ENVIRONMENTS_YML), ("README.md", "# Shops\n")],
        &[(ENVIRONMENTS, "development: { trgets: {} }\n")],
        &[(ROLES, ROLES_YML)],
    ] {
        let pull = world.open("besides", files).await;
        assert_eq!(conclusion(&pull, APPROVAL), "failure", "{files:?}");
        pull.close("alice").unwrap();
    }
    let pull = world.open("mend", &[(ENVIRONMENTS, ENVIRONMENTS_YML)]).await;
    assert_eq!(
        (conclusion(&pull, LINT).as_str(), conclusion(&pull, APPROVAL).as_str()),
        ("success", "action_required")
    );
    let summary = comment(&pull, SUMMARY).unwrap().body;
    assert!(summary.contains("tragets") && summary.contains("mends it") && summary.contains("dana"), "{summary}");
    world.approve(&pull, "omar").await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    world.approve(&pull, "dana").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
    pull.merge("rosa", godwit::sandbox::MergeMethod::Squash).unwrap();
    world.settle().await;
    assert_eq!(conclusion(&orders, LINT), "success");
    assert_eq!(conclusion(&orders, APPROVAL), "action_required");
}

#[tokio::test]
async fn b4_where_the_broken_policy_names_nobody_it_says_what_an_administrator_does() {
    let broken = (ROLES, "dba: { usres: [dora] }\n");
    let world = World::start_with(&[broken]).await;
    let pull = world.open("mend", &[(ROLES, ROLES_YML)]).await;
    assert_eq!(conclusion(&pull, APPROVAL), "failure");
    let told = format!("{:?}", check(&pull, APPROVAL));
    assert!(told.contains("administrator") && told.contains("required check"), "{told}");
    // Code owners are named outside of the broken file.
    let world = World::start_with(&[broken, ("CODEOWNERS", "/policies/ @tess\n")]).await;
    let pull = world.open("mend", &[(ROLES, ROLES_YML)]).await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    world.approve(&pull, "tess").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success");
}
