//! What only GitHub can tell, and when it was so: co-authors, owners, the policy and the risk at the moment of a review.

use std::time::Duration;

use chrono::Utc;
use godwit::sandbox::{Change, NewCommit, NewPull, Permission, PullHandle, ReviewVerdict};

use super::world::{APPROVAL, SUMMARY, World, check, comment, commit, conclusion};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

fn told(pull: &PullHandle) -> String {
    comment(pull, SUMMARY).map_or_else(String::new, |c| c.body)
}

async fn sweep(world: &World) {
    world.bot.sweep(Utc::now()).await.unwrap();
    world.settle().await;
}

/// Both approve while nothing is heard of it.
fn approved_unheard(world: &World, pull: &PullHandle) {
    world.repo.set_installed(false).unwrap();
    for person in ["omar", "dora"] {
        pull.review(person, ReviewVerdict::Approve, "fine").unwrap();
    }
}

#[tokio::test]
async fn b2_a_co_author_is_excluded_by_any_address_that_is_proved_to_be_theirs() {
    let world = World::start().await;
    world.sandbox.add_user_with_emails("odile", &["odile@example.com", "private@odile.name"]);
    world.repo.set_permission("odile", Permission::Write).unwrap();
    world.repo.push("main", "rosa", &[commit("rosa", &[("policies/roles.yml", ROLES)])]).unwrap();
    let changes: Vec<Change> = ORDERS.iter().map(|(path, text)| Change::write(*path, text)).collect();
    let message = "Orders\n\nCo-authored-by: O. <private@odile.name>\nCo-authored-by: N. <nobody@nowhere.test>";
    let main = world.repo.branch_sha("main").unwrap();
    world.repo.force_push("orders", "alice", &main, &[NewCommit::new("alice", message, &changes)]).unwrap();
    let new = NewPull { author: "alice", title: "orders", body: "", head: "orders", base: "main", draft: false };
    let pull = world.repo.open_pull_request(&new).unwrap();
    world.settle().await;
    world.approve(&pull, "odile").await;
    world.approve(&pull, "dora").await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{}", told(&pull));
    let text = told(&pull);
    assert!(text.contains("odile` wrote part of this change") || text.contains("@odile"), "{text}");
    assert!(text.contains("nobody@nowhere.test") && !text.contains("private@odile.name"), "{text}");
    world.approve(&pull, "omar").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{text}");
}

/// With one more holder of `data_ops`.
const ROLES: &str = "developer: { users: [alice, bob] }\ndata_ops: { users: [omar, odile] }\ndata_ops_lead: { users: [dana] }\n\
                     dba: { teams: [acme/dba] }\ntech_lead: { users: [tess] }\ncto: { users: [carl] }\n";

#[tokio::test]
async fn b5_a_team_owns_what_it_may_write_itself() {
    let world = World::start_with(&[("CODEOWNERS", "/migrations/ @acme/readers\n/docs/ @nobody\n")]).await;
    world.sandbox.add_team("acme/readers", &["bob"]).unwrap();
    world.sandbox.grant_team("acme/readers", "acme/shop", Permission::Read).unwrap();
    let pull = world.open("orders", &ORDERS).await;
    for person in ["omar", "dora"] {
        world.approve(&pull, person).await;
    }
    // Bob may write himself, his team may not: GitHub takes the line for one without owners.
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", told(&pull));
    let text = told(&pull);
    assert!(text.contains("`@acme/readers` of CODEOWNERS owns nothing"), "{text}");
    assert!(text.contains("line 2") && text.contains("Unknown owner"), "{text}");
    world.sandbox.grant_team("acme/readers", "acme/shop", Permission::Write).unwrap();
    sweep(&world).await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{}", told(&pull));
    assert!(!told(&pull).contains("owns nothing"), "{}", told(&pull));
    world.approve(&pull, "bob").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", told(&pull));
}

#[tokio::test]
async fn b5_an_owner_by_address_is_whoever_github_says() {
    let owners = "/migrations/ rosa@example.com\n";
    let world = World::start_with(&[("CODEOWNERS", owners)]).await;
    let pull = world.open("orders", &ORDERS).await;
    for person in ["omar", "dora"] {
        world.approve(&pull, person).await;
    }
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{}", told(&pull));
    assert!(told(&pull).contains("@rosa"), "{}", told(&pull));
    world.approve(&pull, "rosa").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", told(&pull));
    // An address that nobody is known by blocks, and what to do is said.
    world.repo.push("main", "rosa", &[commit("rosa", &[("CODEOWNERS", "/migrations/ dba@elsewhere.test\n")])]).unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "failure", "{}", told(&pull));
    assert!(told(&pull).contains("write `@login` or `@org/team` in its place"), "{}", told(&pull));
}

#[tokio::test]
async fn b13_a_review_that_was_not_heard_of_is_bound_to_the_risk_of_its_moment() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.repo.set_installed(false).unwrap();
    pull.add_label("tess", "risk:high").unwrap();
    approved_unheard(&world, &pull);
    world.repo.set_installed(true).unwrap();
    sweep(&world).await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", told(&pull));
    // Raised after it: it was about less.
    let other = world
        .open("items", &[("migrations/0002_items.up.sql", "CREATE TABLE items (id INTEGER PRIMARY KEY);\n")])
        .await;
    approved_unheard(&world, &other);
    world.sandbox.advance_clock(Duration::from_secs(2));
    other.add_label("tess", "risk:high").unwrap();
    world.repo.set_installed(true).unwrap();
    sweep(&world).await;
    assert_eq!(conclusion(&other, APPROVAL), "action_required", "{}", told(&other));
    assert!(told(&other).contains("which is HIGH now"), "{}", told(&other));
}

#[tokio::test]
async fn b1_a_review_that_is_heard_of_late_is_bound_to_the_policy_of_its_moment() {
    let edit = |world: &World| {
        world.sandbox.advance_clock(Duration::from_secs(2));
        world.repo.push("main", "rosa", &[commit("rosa", &[("policies/lint.yml", "postgres_version: 16\n")])]).unwrap();
    };
    // Never heard of, and found by a sweep.
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    approved_unheard(&world, &pull);
    edit(&world);
    world.repo.set_installed(true).unwrap();
    sweep(&world).await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{}", told(&pull));
    assert!(told(&pull).contains("the policy changed since; please look again"), "{}", told(&pull));
    for person in ["omar", "dora"] {
        world.approve(&pull, person).await;
    }
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", told(&pull));
    // Heard of, and worked on after the edit.
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    for person in ["omar", "dora"] {
        pull.review(person, ReviewVerdict::Approve, "fine").unwrap();
    }
    edit(&world);
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{}", told(&pull));
    assert!(told(&pull).contains("the policy changed since; please look again"), "{}", told(&pull));
}

#[tokio::test]
async fn b13_another_app_raises_the_risk_as_a_person_does() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    for person in ["omar", "dora"] {
        world.approve(&pull, person).await;
    }
    assert_eq!(conclusion(&pull, APPROVAL), "success");
    world.repo.set_permission("scanner[bot]", Permission::Write).unwrap();
    pull.add_label("scanner[bot]", "risk:high").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{}", told(&pull));
    assert!(told(&pull).contains("which is HIGH now"), "{}", told(&pull));
    for person in ["omar", "dora"] {
        world.approve(&pull, person).await;
    }
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", told(&pull));
    // What Godwit sets itself follows from what it finds, and is no raise.
    assert!(!told(&pull).contains("godwit[bot]"), "{}", told(&pull));
}

#[tokio::test]
async fn b19_a_required_check_that_anybody_can_set_is_pointed_out() {
    let world = World::start().await;
    world.repo.require_checks_of_anybody("main", &[APPROVAL]).unwrap();
    let pull = world.open("orders", &ORDERS).await;
    assert!(told(&pull).contains("of any App or token for ours"), "{}", told(&pull));
    world.repo.require_checks("main", &[APPROVAL]).unwrap();
    sweep(&world).await;
    assert!(!told(&pull).contains("of any App or token"), "{}: {:?}", told(&pull), check(&pull, APPROVAL));
}
