//! How migrations and repositories come to Godwit: pushed straight to a branch, or with the App's first installation.

use godwit::sandbox::{MergeMethod, PullHandle};

use super::world::{World, commit, run_comment};

const UP: &str = "migrations/0001_orders.up.sql";
const ORDERS: [(&str, &str); 1] = [(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

#[tokio::test]
async fn dec12_a_push_straight_to_the_branch_runs_nothing_and_tells_the_owners_once() {
    let world = World::start().await;
    let first = world.repo.push("main", "rosa", &[commit("rosa", &ORDERS)]).unwrap();
    world.settle().await;
    let issues = world.repo.issues().unwrap();
    assert_eq!(issues.len(), 1, "{issues:#?}");
    let (_, title, body) = &issues[0];
    assert!(title.contains("main"), "{title}");
    // Whoever leads data operations owns the policy here, and GitHub tells them.
    for part in ["@dana", UP, first.as_str(), "`rosa`", "nothing ran", "godwit baseline", "`production`"] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
    for environment in ["development", "staging", "production"] {
        assert!(!world.has_table(environment, "orders").await);
    }
    // The same push told again, and a further one, open no second issue.
    let pushed = world.sandbox.recorder().webhooks.into_iter().rev().find(|w| w.event == "push").unwrap();
    world.sandbox.redeliver(&pushed.guid).unwrap();
    let items = ("migrations/0002_items.up.sql", "CREATE TABLE items (id INTEGER PRIMARY KEY);\n");
    let second = world.repo.push("main", "rosa", &[commit("rosa", &[items])]).unwrap();
    world.settle().await;
    let issues = world.repo.issues().unwrap();
    assert_eq!(issues.len(), 1);
    assert!(issues[0].2.contains(&first) && issues[0].2.contains(&second), "{}", issues[0].2);
    // Other files, other branches and merges are no such pushes.
    world.repo.push("main", "rosa", &[commit("rosa", &[("README.md", "# x\n")])]).unwrap();
    let third = ("migrations/0003_more.up.sql", "CREATE TABLE more (id INTEGER PRIMARY KEY);\n");
    world.repo.push("topic", "rosa", &[commit("rosa", &[third])]).unwrap();
    world.settle().await;
    assert_eq!(world.repo.issues().unwrap().len(), 1);
    // What comes by a pull request afterwards says what is in its way.
    let pull = world.open("late", &[third]).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(run_comment(&pull, "development").contains("0001_orders"), "{}", run_comment(&pull, "development"));
    assert_eq!(world.repo.issues().unwrap().len(), 1);
}

#[tokio::test]
async fn dec12_every_way_of_merging_is_no_straight_push() {
    for method in [MergeMethod::Merge, MergeMethod::Squash, MergeMethod::Rebase] {
        let world = World::start().await;
        let pull = world.open("orders", &ORDERS).await;
        pull.push(
            "alice",
            &[commit("alice", &[("migrations/0002_x.up.sql", "CREATE TABLE x (id INTEGER PRIMARY KEY);\n")])],
        )
        .unwrap();
        world.settle().await;
        world.approve(&pull, "omar").await;
        world.approve(&pull, "dora").await;
        pull.merge("rosa", method).unwrap();
        world.settle().await;
        assert!(world.repo.issues().unwrap().is_empty(), "{method:?}: {:?}", world.repo.issues());
    }
}

const BARE: [(&str, &str); 4] = [
    ("godwit.yml", ""),
    ("policies/environments.yml", ""),
    ("policies/roles.yml", ""),
    ("policies/approval_matrix.yml", ""),
];

/// A repository with migrations and without Godwit's files.
async fn bare(permissions: impl Fn(&mut Vec<(String, String)>)) -> World {
    let mut files = BARE.to_vec();
    files.push(("db/migrations/0007_orders.up.sql", "CREATE TABLE orders (id bigint PRIMARY KEY);\n"));
    World::start_allowed(&files, permissions).await
}

fn may_write_files(permissions: &mut Vec<(String, String)>) {
    permissions.retain(|(name, _)| name != "contents");
    permissions.push(("contents".to_owned(), "write".to_owned()));
}

fn proposal(world: &World) -> Vec<PullHandle> {
    let all = world.repo.pulls().unwrap().into_iter().map(|n| world.repo.pull(n).unwrap());
    all.filter(|p| p.view().unwrap().head_ref == "godwit/onboarding").collect()
}

#[tokio::test]
async fn the_first_installation_proposes_the_files_once() {
    let world = bare(may_write_files).await;
    world.sandbox.uninstall_app("rosa");
    world.sandbox.install_app("rosa");
    world.settle().await;
    let opened = proposal(&world);
    assert_eq!(opened.len(), 1);
    let files = opened[0].files().unwrap();
    for path in ["godwit.yml", "policies/environments.yml", "policies/roles.yml"] {
        assert!(files.contains(&path.to_owned()), "{files:?}");
    }
    let text = world.repo.file("godwit/onboarding", "godwit.yml").unwrap().unwrap();
    assert!(text.contains("db/migrations"), "{text}");
    // The history that is there is explained, and closing it is a no for good.
    opened[0].close("rosa").unwrap();
    world.sandbox.suspend_app("rosa");
    world.sandbox.unsuspend_app("rosa");
    world.repo.remove_from_installation("rosa").unwrap();
    world.repo.add_to_installation("rosa").unwrap();
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!(proposal(&world).len(), 1);
    assert!(!opened[0].view().unwrap().open);
    assert!(world.repo.issues().unwrap().is_empty());
}

#[tokio::test]
async fn without_the_right_to_write_files_an_issue_says_the_same() {
    let world = bare(|_| {}).await;
    world.repo.remove_from_installation("rosa").unwrap();
    world.repo.add_to_installation("rosa").unwrap();
    world.settle().await;
    world.repo.remove_from_installation("rosa").unwrap();
    world.repo.add_to_installation("rosa").unwrap();
    world.settle().await;
    let issues = world.repo.issues().unwrap();
    assert_eq!((proposal(&world).len(), issues.len()), (0, 1), "{issues:#?}");
    for part in ["godwit baseline --env production --to 0007_orders", "version: 1", "db/migrations"] {
        assert!(issues[0].2.contains(part), "{part} is not in {}", issues[0].2);
    }
}

#[tokio::test]
async fn a_repository_that_has_the_files_is_left_in_peace() {
    let world = World::start_allowed(&[], may_write_files).await;
    world.repo.remove_from_installation("rosa").unwrap();
    world.repo.add_to_installation("rosa").unwrap();
    world.settle().await;
    assert!(proposal(&world).is_empty() && world.repo.issues().unwrap().is_empty());
}
