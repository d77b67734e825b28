//! Who holds a role *now*: memberships that are pending, nested, ended; and who is asked once more when a run starts.

use godwit::sandbox::{MergeMethod, Permission};

use super::world::{APPROVAL, World, check, conclusion, run_comment};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

#[tokio::test]
async fn b3_only_an_active_member_of_the_team_holds_the_role_and_one_of_a_team_below_does() {
    let world = World::start().await;
    world.sandbox.leave_team("acme/dba", "dora").unwrap();
    world.sandbox.invite_to_team("acme/dba", "tess").unwrap();
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    // Invited, and not there yet; and one who was there until today.
    for person in ["tess", "dora"] {
        world.approve(&pull, person).await;
        assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{person}: {:?}", check(&pull, APPROVAL));
    }
    world.sandbox.add_team("acme/dba-eu", &["carl"]).unwrap();
    world.sandbox.nest_team("acme/dba-eu", "dba").unwrap();
    world.approve(&pull, "carl").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
}

#[tokio::test]
async fn b10_approvals_are_judged_again_at_the_moment_of_the_run() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.ask(&pull, "omar", "/godwit lock production stocktaking").await;
    for person in ["omar", "dora"] {
        world.approve(&pull, person).await;
    }
    assert_eq!(conclusion(&pull, APPROVAL), "success");
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(world.has_table("staging", "orders").await && !world.has_table("production", "orders").await);
    // Between the merge and the run one leaves the team, one loses the right to write, one takes the word back.
    world.sandbox.leave_team("acme/dba", "dora").unwrap();
    world.ask(&pull, "omar", "/godwit unlock production").await;
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    assert!(run_comment(&pull, "production").contains("dba"), "{}", run_comment(&pull, "production"));
    world.sandbox.add_team("acme/dba", &["dora"]).unwrap();
    world.repo.set_permission("omar", Permission::Read).unwrap();
    world.ask(&pull, "dana", "/godwit apply production").await;
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    let review = pull.reviews().unwrap().into_iter().find(|r| r.author == "omar").unwrap();
    pull.dismiss_review("rosa", review.id, "not any more").unwrap();
    world.settle().await;
    world.repo.set_permission("omar", Permission::Write).unwrap();
    world.ask(&pull, "dana", "/godwit apply production").await;
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    world.approve(&pull, "omar").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}
