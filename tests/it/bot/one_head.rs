//! One commit at the head of several pull requests: GitHub shows one check for all of them, and no one of them is to lend
//! its check to another.

use godwit::sandbox::{MergeMethod, NewPull, PullHandle};

use super::world::{APPROVAL, LINT, World, check, commit, conclusion};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

/// A branch that no environment belongs to.
fn scratch(world: &World) {
    world.repo.push("scratch", "rosa", &[commit("rosa", &[("notes.md", "scratch\n")])]).unwrap();
    world.repo.require_checks("main", &[APPROVAL, LINT]).unwrap();
}

/// Alice's pull request from the branch `orders` into `base`.
async fn into(world: &World, base: &str) -> PullHandle {
    let pull = NewPull { author: "alice", title: base, body: "", head: "orders", base, draft: false };
    let pull = world.repo.open_pull_request(&pull).unwrap();
    world.settle().await;
    pull
}

#[tokio::test]
async fn b19_a_check_is_not_lent_by_a_later_pull_request_with_the_same_head() {
    let world = World::start().await;
    scratch(&world);
    let asks = world.open("orders", &ORDERS).await;
    assert_eq!(conclusion(&asks, APPROVAL), "action_required");
    let free = into(&world, "scratch").await;
    assert_eq!(asks.head_sha().unwrap(), free.head_sha().unwrap());
    assert_eq!(conclusion(&asks, APPROVAL), "action_required", "{:?}", check(&asks, APPROVAL));
    asks.merge("alice", MergeMethod::Squash).unwrap_err();
    let told = check(&asks, APPROVAL).summary.unwrap();
    assert!(told.contains("into `scratch`") && told.contains("action_required"), "{told}");
    // Looking again changes nothing.
    let shown = asks.check_runs().unwrap().len();
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!((asks.check_runs().unwrap().len(), conclusion(&asks, APPROVAL)), (shown, "action_required".to_owned()));
    world.approve(&asks, "omar").await;
    world.approve(&asks, "dora").await;
    assert_eq!(conclusion(&asks, APPROVAL), "success", "{:?}", check(&asks, APPROVAL));
    asks.merge("alice", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert_eq!(conclusion(&free, APPROVAL), "success");
}

#[tokio::test]
async fn b19_a_check_is_not_lent_by_an_earlier_pull_request_with_the_same_head() {
    let world = World::start().await;
    scratch(&world);
    let main = world.repo.branch_sha("main").unwrap();
    world.repo.force_push("orders", "alice", &main, &[commit("alice", &ORDERS)]).unwrap();
    let free = into(&world, "scratch").await;
    assert_eq!(conclusion(&free, APPROVAL), "success", "{:?}", check(&free, APPROVAL));
    let asks = into(&world, "main").await;
    assert_eq!(conclusion(&free, APPROVAL), "action_required", "{:?}", check(&free, APPROVAL));
    let title = check(&free, APPROVAL).title.unwrap();
    assert!(title.contains("Waiting for"), "{title}");
    // Whoever speaks last has no other word either.
    free.edit("alice", Some("another title"), None).unwrap();
    world.settle().await;
    assert_eq!(conclusion(&asks, APPROVAL), "action_required");
    asks.merge("alice", MergeMethod::Squash).unwrap_err();
    // Without it the other one's word is all there is.
    asks.close("alice").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&free, APPROVAL), "success", "{:?}", check(&free, APPROVAL));
    asks.reopen("alice").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&free, APPROVAL), "action_required");
    // Another head is another commit.
    let before = free.head_sha().unwrap();
    free.push("alice", &[commit("alice", &[("notes.md", "more\n")])]).unwrap();
    world.settle().await;
    assert_ne!(free.head_sha().unwrap(), before);
    assert_eq!(conclusion(&free, APPROVAL), "action_required");
}

#[tokio::test]
async fn b19_a_check_is_set_anew_when_the_other_pull_request_goes_elsewhere() {
    let world = World::start().await;
    scratch(&world);
    let asks = world.open("orders", &ORDERS).await;
    let twin = NewPull { author: "alice", title: "twin", body: "", head: "twin", base: "scratch", draft: false };
    let head = asks.head_sha().unwrap();
    world.repo.force_push("twin", "alice", &head, &[]).unwrap();
    let twin = world.repo.open_pull_request(&twin).unwrap();
    world.settle().await;
    world.approve(&asks, "omar").await;
    world.approve(&asks, "dora").await;
    assert_eq!(conclusion(&asks, APPROVAL), "success");
    // Aimed at the branch of the environments, the other one asks too, and nobody said anything there.
    twin.change_base("alice", "main").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&asks, APPROVAL), "action_required", "{:?}", check(&asks, APPROVAL));
    let title = check(&asks, APPROVAL).title.unwrap();
    assert!(title.contains("Waiting for"), "{title}");
    // GitHub tells times by the second, and what was said before the aim changed does not count.
    world.sandbox.advance_clock(std::time::Duration::from_secs(2));
    world.approve(&twin, "omar").await;
    world.approve(&twin, "dora").await;
    assert_eq!(conclusion(&asks, APPROVAL), "success", "{:?}", check(&asks, APPROVAL));
    // And where the other one's commit is another one, only one's own word counts.
    twin.review("dora", godwit::sandbox::ReviewVerdict::RequestChanges, "no").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&asks, APPROVAL), "action_required", "{:?}", check(&asks, APPROVAL));
    twin.push("alice", &[commit("alice", &[("notes.md", "more\n")])]).unwrap();
    world.settle().await;
    assert_eq!(conclusion(&asks, APPROVAL), "success", "{:?}", check(&asks, APPROVAL));
}

#[tokio::test]
async fn b19_lint_is_not_lent_either() {
    let world = World::start().await;
    scratch(&world);
    // What the other branch's policy lets pass.
    let off = ("policies/lint.yml", "rules: { missing-down: 'off' }\n");
    world.repo.push("scratch", "rosa", &[commit("rosa", &[off])]).unwrap();
    world
        .repo
        .push("main", "rosa", &[commit("rosa", &[("policies/lint.yml", "rules: { missing-down: error }\n")])])
        .unwrap();
    world.settle().await;
    let main = world.repo.branch_sha("main").unwrap();
    world.repo.force_push("orders", "alice", &main, &[commit("alice", &ORDERS)]).unwrap();
    let strict = into(&world, "main").await;
    assert_eq!(conclusion(&strict, LINT), "failure", "{:?}", check(&strict, LINT));
    let lax = into(&world, "scratch").await;
    assert_eq!(conclusion(&lax, LINT), "failure", "{:?}", check(&lax, LINT));
    strict.close("alice").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&lax, LINT), "success", "{:?}", check(&lax, LINT));
}
