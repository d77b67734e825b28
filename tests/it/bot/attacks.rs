//! What somebody might try who wants a migration to run that nobody agreed to. Each is refused, and told why.

use godwit::sandbox::{Change, NewCommit, NewPull, PullHandle, ReviewVerdict};
use secrecy::ExposeSecret as _;

use super::world::{APPROVAL, SUMMARY, World, check, comment, commit, conclusion};
use crate::webhook::http::request;

const UP: &str = "migrations/0001_orders.up.sql";
const ORDERS: [(&str, &str); 2] = [
    (UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"),
    ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n"),
];

async fn approved(world: &World) -> PullHandle {
    let pull = world.open("orders", &ORDERS).await;
    for person in ["omar", "dora"] {
        world.approve(&pull, person).await;
    }
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
    pull
}

/// Everything that the check and the summary say.
fn told(pull: &PullHandle) -> String {
    format!("{:?}\n{}", check(pull, APPROVAL), comment(pull, SUMMARY).map_or_else(String::new, |c| c.body))
}

#[tokio::test]
async fn b1_approved_then_refused_then_the_refusal_dismissed_is_no_approval() {
    let world = World::start().await;
    let pull = approved(&world).await;
    let refused = pull.review("omar", ReviewVerdict::RequestChanges, "wait").unwrap();
    world.settle().await;
    assert_ne!(conclusion(&pull, APPROVAL), "success");
    assert!(told(&pull).contains("omar"), "{}", told(&pull));
    pull.dismiss_review("alice", refused, "it is fine").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    assert!(told(&pull).contains("data_ops"), "{}", told(&pull));
    // A remark afterwards changes nothing, neither way.
    pull.review("omar", ReviewVerdict::Comment, "looks good").unwrap();
    pull.review("dora", ReviewVerdict::Comment, "hm").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    world.approve(&pull, "omar").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", told(&pull));
}

/// A pull request of one commit.
async fn of(world: &World, commit: NewCommit) -> PullHandle {
    let main = world.repo.branch_sha("main").unwrap();
    world.repo.force_push("orders", "alice", &main, &[commit]).unwrap();
    let new = NewPull { author: "alice", title: "orders", body: "", head: "orders", base: "main", draft: false };
    let pull = world.repo.open_pull_request(&new).unwrap();
    world.settle().await;
    pull
}

#[tokio::test]
async fn b2_who_is_named_as_co_author_or_committer_cannot_approve_and_is_named() {
    let changes: Vec<Change> = ORDERS.iter().map(|(path, text)| Change::write(*path, text)).collect();
    let trailer = "Orders\n\nCo-Authored-By: Omar <7+omar@users.noreply.github.com>";
    for written in
        [NewCommit::new("alice", trailer, &changes), NewCommit::new("alice", "Orders", &changes).committed_by("omar")]
    {
        let world = World::start().await;
        let pull = of(&world, written).await;
        for person in ["omar", "dora"] {
            world.approve(&pull, person).await;
        }
        assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{}", told(&pull));
        assert!(told(&pull).contains("omar"), "{}", told(&pull));
        world.approve(&pull, "dana").await;
        assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", told(&pull));
    }
}

#[tokio::test]
async fn b13_a_raise_of_the_risk_is_taken_back_by_who_raised_or_by_the_lead_only() {
    let world = World::start().await;
    let pull = approved(&world).await;
    pull.add_label("dora", "risk:high").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{}", told(&pull));
    let is_high = || pull.labels().unwrap().contains(&"risk:high".to_owned());
    // The author takes it off, and takes it off again by way of a label of her own.
    for round in 0..2 {
        if round == 1 {
            pull.remove_label("alice", "risk:high").unwrap();
            pull.add_label("alice", "risk:high").unwrap();
        }
        pull.remove_label("alice", "risk:high").unwrap();
        world.settle().await;
        assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{round}: {}", told(&pull));
        assert!(is_high() && told(&pull).contains("@dora"), "{round}: {:?} {}", pull.labels(), told(&pull));
    }
    // What is approved now is approved at that risk, also by a review whose webhook tells it.
    for person in ["omar", "dora"] {
        world.approve(&pull, person).await;
    }
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", told(&pull));
    // The lead takes it back, and what was agreed to at the higher risk is asked for anew.
    pull.remove_label("dana", "risk:high").unwrap();
    world.settle().await;
    assert!(!is_high(), "{:?}", pull.labels());
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{}", told(&pull));
}

#[tokio::test]
async fn b13_a_label_that_says_what_is_not_so_is_taken_off() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    for label in ["godwit:approved", "migrated:production", "approved:dba", "Approved:DBA", "approved:nobody"] {
        pull.add_label("mallory", label).unwrap();
        world.settle().await;
        assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{label}");
        let left = pull.labels().unwrap();
        assert!(!left.iter().any(|l| l.eq_ignore_ascii_case(label)), "{label}: {left:?}");
    }
    // In whatever spelling GitHub knows it, it counts for who holds the role.
    pull.add_label("dora", "Approved:DBA").unwrap();
    world.settle().await;
    world.approve(&pull, "omar").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", told(&pull));
}

#[tokio::test]
async fn b19_a_check_that_somebody_overwrote_is_shown_as_it_is() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let shown = check(&pull, APPROVAL);
    assert_eq!(shown.conclusion.as_deref(), Some("action_required"));
    // With a token of the App, as a workflow may have one.
    let token = world.sandbox.installation_token();
    let address = world.sandbox.base_url().trim_start_matches("http://").parse().unwrap();
    let head = format!(
        "PATCH /repos/acme/shop/check-runs/{} HTTP/1.1\r\nUser-Agent: a-workflow\r\nAuthorization: Bearer {}\r\nContent-Type: application/json",
        shown.id,
        token.expose_secret()
    );
    let body = br#"{"status":"completed","conclusion":"success"}"#;
    let answer = tokio::task::spawn_blocking(move || request(address, &head, body)).await.unwrap().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(conclusion(&pull, APPROVAL), "success");
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
}

#[tokio::test]
async fn b12_what_only_looks_like_a_command_does_nothing() {
    let world = World::start().await;
    let pull = approved(&world).await;
    for text in [
        "> /godwit lock production x",
        "    /godwit lock production x",
        "```\n/godwit lock production x\n```",
        "~~~\n/godwit lock production x",
        "<!--\n/godwit lock production x\n-->",
        "please /godwit lock production x",
        "`/godwit lock production x`",
        "/godwitlock production x",
    ] {
        assert_eq!(world.ask(&pull, "omar", text).await, "", "{text}");
    }
    for text in [
        "/godwit lock production",
        "/godwit lock prod;reboot x",
        "/godwit lock ../production x",
        "/godwit LOCK production x",
        "/godwit lock $(production) x",
        "/godwit lock --all x",
        "/godwit approve production",
    ] {
        let said = world.ask(&pull, "omar", text).await;
        assert!(said.contains("/godwit") || said.contains("`production`"), "{text}: {said}");
    }
    let production = godwit::ids::EnvironmentName::new("production").unwrap();
    let repo = godwit::ids::RepoName::new("acme/shop").unwrap();
    assert!(world.store.environment_lock(Some(&repo), &production).await.unwrap().is_none());
    // Edited into a command, it stays what it was.
    let id = pull.comment("omar", "fine").unwrap();
    world.settle().await;
    pull.edit_comment("omar", id, "/godwit lock production x").unwrap();
    world.settle().await;
    assert!(world.store.environment_lock(Some(&repo), &production).await.unwrap().is_none());
}

#[tokio::test]
async fn b16_a_migration_hidden_behind_another_folder_or_a_link_is_no_way_in() {
    let world = World::start().await;
    // The folder is taken out of the configuration in the same breath: both configurations decide what is a migration.
    let hidden = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - path: elsewhere\n    \
                  engine: sqlite\n    target: shop\n";
    let mut files = ORDERS.to_vec();
    files.push(("godwit.yml", hidden));
    let pull = world.open("hidden", &files).await;
    for person in ["omar", "dora"] {
        world.approve(&pull, person).await;
    }
    assert_ne!(conclusion(&pull, APPROVAL), "success", "{}", told(&pull));
    assert!(told(&pull).contains("godwit.yml") || told(&pull).contains("policy"), "{}", told(&pull));
    pull.push("alice", &[commit("alice", &[("godwit.yml", super::world::GODWIT_YML)])]).unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    assert!(told(&pull).contains("the policy changed since"), "{}", told(&pull));
}
