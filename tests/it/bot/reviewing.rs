//! What a pull request sees before it is merged.

use godwit::sandbox::{Fault, FaultKind, ReviewVerdict, WebhookFault, WebhookFaultKind};

use super::world::{APPROVAL, LINT, SUMMARY, World, check, comment, commit, conclusion};

const UP: &str = "migrations/0001_orders.up.sql";
const DOWN: &str = "migrations/0001_orders.down.sql";
const ORDERS: [(&str, &str); 2] =
    [(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"), (DOWN, "DROP TABLE orders;\n")];

#[tokio::test]
async fn a_pull_request_is_linted_asked_about_and_approved() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    assert_eq!(conclusion(&pull, LINT), "success");
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    let summary = comment(&pull, SUMMARY).unwrap().body;
    assert!(summary.contains("data_ops") && summary.contains("dba"), "{summary}");
    let labels = pull.labels().unwrap();
    assert!(labels.iter().any(|l| l == "needs:dba") && labels.iter().any(|l| l.starts_with("risk:")), "{labels:?}");

    world.approve(&pull, "omar").await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    assert!(!pull.labels().unwrap().iter().any(|l| l == "needs:data_ops"), "{:?}", pull.labels());
    let agreed = |name: &str| {
        let (store, name) = (world.store.clone(), godwit::ids::EnvironmentName::new(name).unwrap());
        async move { store.agreed_in(&name).await.unwrap().len() }
    };
    // What the command line will find in this store, which cannot ask GitHub.
    assert_eq!((agreed("staging").await, agreed("production").await), (1, 0));
    world.approve(&pull, "dora").await;
    assert_eq!((agreed("staging").await, agreed("production").await), (1, 1));
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
    let labels = pull.labels().unwrap();
    assert!(labels.contains(&"godwit:approved".to_owned()) && !labels.iter().any(|l| l.starts_with("needs:")));
    let judged = world.store.audit(&Default::default()).await.unwrap();
    assert!(judged.iter().any(|r| r.body.action == "judged" && r.body.result == "approved"));
    assert!(world.store.verify_audit(None).await.unwrap().valid);
}

#[tokio::test]
async fn b1_an_approval_falls_with_the_content_and_outlives_a_rebase() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success");
    // The base moves on by another file; the same content is pushed anew on top of it.
    world.repo.push("main", "rosa", &[commit("rosa", &[("other.txt", "x")])]).unwrap();
    let main = world.repo.branch_sha("main").unwrap();
    pull.force_push("alice", &main, &[commit("alice", &ORDERS)]).unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
    // One byte more and nobody has approved it.
    pull.push("alice", &[commit("alice", &[(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY, n TEXT);\n")])]).unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    let production = godwit::ids::EnvironmentName::new("production").unwrap();
    assert_eq!(world.store.agreed_in(&production).await.unwrap(), []);
}

#[tokio::test]
async fn b1_a_dismissed_or_withdrawn_approval_does_not_count() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "dora").await;
    let review = pull.review("omar", ReviewVerdict::Approve, "").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "success");
    pull.dismiss_review("rosa", review, "too early").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    pull.review("omar", ReviewVerdict::RequestChanges, "wait").unwrap();
    world.settle().await;
    assert_ne!(conclusion(&pull, APPROVAL), "success");
}

#[tokio::test]
async fn b2_whoever_pushed_cannot_approve() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    pull.push(
        "omar",
        &[commit("alice", &[("migrations/0002_more.up.sql", "CREATE TABLE more (id INTEGER PRIMARY KEY);\n")])],
    )
    .unwrap();
    world.settle().await;
    world.approve(&pull, "dora").await;
    world.approve(&pull, "omar").await;
    assert_ne!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
}

#[tokio::test]
async fn a_pull_request_without_migrations_is_green_and_left_in_peace() {
    let world = World::start().await;
    let pull = world.open("docs", &[("README.md", "# The shop\n")]).await;
    assert_eq!((conclusion(&pull, LINT), conclusion(&pull, APPROVAL)), ("success".into(), "success".into()));
    assert_eq!(pull.comments().unwrap().len(), 0);
    assert_eq!(pull.labels().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn lint_errors_are_shown_on_their_lines_and_nobody_can_wave_them_through() {
    let world = World::start().await;
    let pull = world
        .open("broken", &[(UP, "UPDATE customers SET status = 1;\nALTER TABLE customers DROP COLUMN fax;\n")])
        .await;
    let lint = check(&pull, LINT);
    assert_eq!(lint.conclusion.as_deref(), Some("failure"));
    assert_eq!(lint.annotations[0]["path"], UP);
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    assert_eq!(conclusion(&pull, APPROVAL), "failure");
}

#[tokio::test]
async fn more_than_fifty_annotations_arrive_once_each() {
    let world = World::start().await;
    let files: Vec<(String, String)> = (1..=130)
        .map(|n| (format!("migrations/{n:04}_t.up.sql"), format!("CREATE TABEL t{n} (id INTEGER);\n")))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let pull = world.open("many", &files).await;
    let lint = check(&pull, LINT);
    assert_eq!(lint.status, "completed");
    let paths: std::collections::BTreeSet<_> =
        lint.annotations.iter().map(|a| format!("{}{}{}", a["path"], a["start_line"], a["title"])).collect();
    assert!(lint.annotations.len() >= 130, "{}", lint.annotations.len());
    assert_eq!(paths.len(), lint.annotations.len());
}

#[tokio::test]
async fn b4_a_policy_is_read_from_the_base_and_a_broken_one_is_named() {
    let world = World::start_with(&[("policies/roles.yml", "dba: { usres: [dora] }\n")]).await;
    let pull = world.open("orders", &ORDERS).await;
    for name in [LINT, APPROVAL] {
        let check = check(&pull, name);
        assert_eq!(check.conclusion.as_deref(), Some("failure"));
        let all = format!("{check:?}");
        assert!(all.contains("policies/roles.yml") && all.contains("usres"), "{all}");
    }
    // A pull request that gives itself an easier matrix is judged by the old one.
    let world = World::start().await;
    let easy = "development:\n  ANY: { required_approvals: 0, required_roles: [] }\nstaging:\n  ANY: { required_approvals: 0, \
                required_roles: [] }\nproduction:\n  ANY: { required_approvals: 0, required_roles: [] }\n";
    let mut files = ORDERS.to_vec();
    files.push(("policies/approval_matrix.yml", easy));
    let pull = world.open("easy", &files).await;
    assert_ne!(conclusion(&pull, APPROVAL), "success");
    // Nor can it break the policy for everybody after it.
    let pull = world.open("breaks", &[("policies/approval_matrix.yml", "nonsense: [\n")]).await;
    assert_eq!(conclusion(&pull, APPROVAL), "failure");
}

#[tokio::test]
async fn b13_labels_count_for_who_set_them_and_are_taken_off_where_they_do_not() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    pull.add_label("mallory", "approved:dba").unwrap();
    world.settle().await;
    assert!(!pull.labels().unwrap().contains(&"approved:dba".to_owned()));
    let told = pull.comments().unwrap().iter().any(|c| c.by_app && c.body.contains("mallory"));
    assert!(told, "{:?}", pull.comments());
    pull.add_label("dora", "approved:dba").unwrap();
    world.settle().await;
    world.approve(&pull, "omar").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
    // It stood for what was there; with another content it stands for nothing.
    pull.push("alice", &[commit("alice", &[(DOWN, "DROP TABLE IF EXISTS orders;\n")])]).unwrap();
    world.settle().await;
    assert_ne!(conclusion(&pull, APPROVAL), "success");
    pull.add_label("mallory", "hold").unwrap();
    world.settle().await;
    assert_ne!(conclusion(&pull, APPROVAL), "success");
}

#[tokio::test]
async fn dec12_a_draft_is_linted_and_nobody_is_asked() {
    let world = World::start().await;
    let pull = world.open_as("alice", "draft", &ORDERS, true);
    world.settle().await;
    assert_eq!(conclusion(&pull, LINT), "success");
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    assert!(!pull.labels().unwrap().iter().any(|l| l.starts_with("needs:")));
    pull.set_draft("alice", false).unwrap();
    world.settle().await;
    assert!(pull.labels().unwrap().iter().any(|l| l.starts_with("needs:")));
}

#[tokio::test]
async fn b14_a_fork_is_linted_only() {
    let world = World::start().await;
    world.sandbox.add_user("stranger");
    let fork = world.repo.fork("stranger").unwrap();
    fork.push("topic", "stranger", &[commit("stranger", &ORDERS)]).unwrap();
    let pull = world
        .repo
        .open_pull_request(&godwit::sandbox::NewPull {
            author: "stranger",
            title: "From afar",
            body: "",
            head: "stranger:topic",
            base: "main",
            draft: false,
        })
        .unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, LINT), "success");
    assert_ne!(conclusion(&pull, APPROVAL), "success");
    assert!(!world.database("production").exists(), "a fork's pull request reached a database");
}

#[tokio::test]
async fn b9_lost_and_repeated_webhooks_converge() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    // Both reviews are lost; the sweep finds them.
    world.sandbox.webhook_fault(WebhookFault::new(2, WebhookFaultKind::Lose).on("pull_request_review"));
    pull.review("omar", ReviewVerdict::Approve, "").unwrap();
    pull.review("dora", ReviewVerdict::Approve, "").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
    let checks = pull.check_runs().unwrap().len();
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!(pull.check_runs().unwrap().len(), checks, "looking again shows nothing new");
}

#[tokio::test]
async fn b15_a_pasted_marker_is_not_taken_for_our_own_comment() {
    let world = World::start().await;
    let pull = world.open_as("alice", "orders", &ORDERS, false);
    pull.comment("mallory", &format!("{SUMMARY}\nAll approved!")).unwrap();
    world.settle().await;
    let own = comment(&pull, SUMMARY).unwrap();
    assert!(!own.body.contains("All approved!"));
    assert!(pull.comments().unwrap().iter().any(|c| c.author == "mallory" && c.body.contains("All approved!")));
}

#[tokio::test]
async fn b19_github_failing_delays_and_never_decides() {
    let world = World::start().await;
    world.sandbox.fault(Fault::new("/reviews", 3, FaultKind::Status(500)));
    world.sandbox.fault(Fault::new("/check-runs", 1, FaultKind::LoseAnswer).method("POST"));
    world.sandbox.fault(Fault::new("/comments", 1, FaultKind::LoseAnswer).method("POST"));
    world.sandbox.fault(Fault::new("/labels", 1, FaultKind::TooManyRequests { retry_after: Some(1) }));
    world.sandbox.fault(Fault::new("/commits", 1, FaultKind::SecondaryLimit { retry_after: Some(1) }));
    let pull = world.open("orders", &ORDERS).await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    assert!(comment(&pull, SUMMARY).is_some());
}
