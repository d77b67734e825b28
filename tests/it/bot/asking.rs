//! Whom the bot asks, how often, and what it points out: reviewers, outdated comments, stacks, retargeting, branches
//! without protection.

use std::time::Duration;

use godwit::sandbox::{MergeMethod, NewPull};

use super::world::{APPROVAL, LINT, SUMMARY, World, check, comment, commit, conclusion};

const UP: &str = "migrations/0001_orders.up.sql";
const ORDERS: [(&str, &str); 1] = [(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

/// How often GitHub was asked for reviews.
fn requests(world: &World) -> usize {
    let all = world.sandbox.recorder().exchanges;
    all.iter().filter(|e| e.method == "POST" && e.path.ends_with("/requested_reviewers")).count()
}

#[tokio::test]
async fn the_missing_people_are_asked_once_for_each_content_and_never_for_a_draft() {
    let world = World::start().await;
    let pull = world.open_as("alice", "orders", &ORDERS, true);
    world.settle().await;
    assert_eq!(pull.requested_reviewers().unwrap(), (vec![], vec![]), "a draft asks nobody");
    pull.set_draft("alice", false).unwrap();
    world.settle().await;
    // The lead of data operations counts as one of them; alice wrote it and carl has no role that is missing.
    let (people, teams) = pull.requested_reviewers().unwrap();
    assert_eq!((people, teams), (vec!["dana".to_owned(), "omar".to_owned()], vec!["dba".to_owned()]));
    assert_eq!(requests(&world), 1);
    // Looking again, commenting and labelling ask nobody anew.
    pull.comment("bob", "/godwit status").unwrap();
    pull.add_label("bob", "question").unwrap();
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!(requests(&world), 1);
    world.approve(&pull, "omar").await;
    assert_eq!(requests(&world), 1);
    // Another content is another question.
    pull.push("alice", &[commit("alice", &[(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY, n TEXT);\n")])]).unwrap();
    world.settle().await;
    assert_eq!(requests(&world), 2);
    assert!(pull.requested_reviewers().unwrap().0.contains(&"omar".to_owned()));
}

#[tokio::test]
async fn who_has_no_access_keeps_nobody_else_from_being_asked() {
    let world = World::start().await;
    // The team may not read the repository, so GitHub refuses whoever asks it.
    world.sandbox.add_team("acme/outside", &["tess"]).unwrap();
    let roles = "data_ops: { users: [omar] }\ndba: { teams: [acme/outside] }\n";
    world.repo.push("main", "rosa", &[commit("rosa", &[("policies/roles.yml", roles)])]).unwrap();
    let pull = world.open("orders", &ORDERS).await;
    assert_eq!(pull.requested_reviewers().unwrap(), (vec!["omar".to_owned()], vec![]));
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
}

#[tokio::test]
async fn b15_answers_about_an_earlier_content_are_hidden_and_the_summary_stays() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let asked = pull.comment("bob", "/godwit status").unwrap();
    world.settle().await;
    let answer = format!("<!-- godwit:answer:{asked} -->");
    assert_eq!(comment(&pull, &answer).unwrap().minimized, None);
    pull.push("alice", &[commit("alice", &[(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY, n TEXT);\n")])]).unwrap();
    world.settle().await;
    assert_eq!(comment(&pull, &answer).unwrap().minimized.as_deref(), Some("OUTDATED"));
    assert_eq!(comment(&pull, SUMMARY).unwrap().minimized, None);
    // People's own comments are theirs.
    assert!(pull.comments().unwrap().iter().filter(|c| !c.by_app).all(|c| c.minimized.is_none()));
}

#[tokio::test]
async fn a_branch_that_does_not_ask_for_the_check_is_pointed_out_until_it_does() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let told = |pull: &_| comment(pull, SUMMARY).unwrap().body.contains("required status check");
    assert!(told(&pull), "{}", comment(&pull, SUMMARY).unwrap().body);
    world.repo.require_checks("main", &[APPROVAL]).unwrap();
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert!(!told(&pull));
}

#[tokio::test]
async fn dec12_a_stacked_pull_request_is_linted_only_and_judged_where_the_stack_ends() {
    let world = World::start().await;
    let below = world.open("orders", &ORDERS).await;
    let items = ("migrations/0002_items.up.sql", "CREATE TABLE items (id INTEGER PRIMARY KEY);\n");
    let tip = below.head_sha().unwrap();
    world.repo.force_push("items", "bob", &tip, &[commit("bob", &[items])]).unwrap();
    let new = NewPull { author: "bob", title: "items", head: "items", base: "orders", ..NewPull::default() };
    let above = world.repo.open_pull_request(&new).unwrap();
    world.settle().await;
    assert_eq!(conclusion(&above, LINT), "success");
    let approval = check(&above, APPROVAL);
    assert_eq!(approval.conclusion.as_deref(), Some("action_required"));
    assert!(approval.title.unwrap().contains(&format!("Stacked on pull request {}", below.number())));
    let labels = above.labels().unwrap();
    assert!(!labels.iter().any(|l| l.starts_with("needs:") || l == "godwit:approved"), "{labels:?}");
    assert_eq!(above.requested_reviewers().unwrap(), (vec![], vec![]));
    // The one below is merged and this one is aimed at main: now people are asked.
    world.approve(&below, "omar").await;
    world.approve(&below, "dora").await;
    below.merge("rosa", MergeMethod::Merge).unwrap();
    world.settle().await;
    above.change_base("bob", "main").unwrap();
    world.settle().await;
    world.sandbox.advance_clock(Duration::from_secs(2));
    assert!(above.labels().unwrap().iter().any(|l| l == "needs:dba"));
    world.approve(&above, "omar").await;
    world.approve(&above, "dora").await;
    assert_eq!(conclusion(&above, APPROVAL), "success", "{:?}", check(&above, APPROVAL));
}

#[tokio::test]
async fn dec12_aimed_at_another_branch_it_is_judged_from_scratch() {
    let environments = super::world::ENVIRONMENTS_YML.replace("staging:\n", "staging:\n  branch: develop\n");
    let world = World::start_with(&[("policies/environments.yml", &environments)]).await;
    let main = world.repo.branch_sha("main").unwrap();
    world.repo.force_push("develop", "rosa", &main, &[commit("rosa", &[("develop.txt", "x")])]).unwrap();
    world.settle().await;
    let pull = world.open("orders", &ORDERS).await;
    pull.change_base("alice", "develop").unwrap();
    world.settle().await;
    // GitHub tells times to the second.
    world.sandbox.advance_clock(Duration::from_secs(2));
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
    // They agreed to staging, not to production.
    world.sandbox.advance_clock(Duration::from_secs(2));
    pull.change_base("alice", "main").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{:?}", check(&pull, APPROVAL));
    world.sandbox.advance_clock(Duration::from_secs(2));
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
}
