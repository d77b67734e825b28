//! The App suspended, taken off and brought back; repositories renamed; GitHub's limits; GitHub Enterprise.

use godwit::sandbox::{Fault, FaultKind, MergeMethod, Permission, WebhookFault, WebhookFaultKind};

use super::world::{APPROVAL, World, check, conclusion, run_comment};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

/// The reasons for which work was closed undone.
async fn closed(world: &World) -> Vec<String> {
    sqlx::query_scalar("SELECT error FROM jobs WHERE state = 'done' AND error IS NOT NULL ORDER BY id")
        .fetch_all(world.store.reader())
        .await
        .unwrap()
}

async fn dead(world: &World) -> usize {
    world.store.dead_jobs().await.unwrap().len()
}

#[tokio::test]
async fn a_suspended_app_stops_and_goes_on_where_it_was() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    world.sandbox.suspend_app("rosa");
    world.settle().await;
    // Nothing is heard of it while it is suspended, and what was queued is closed with a reason.
    pull.review("dora", godwit::sandbox::ReviewVerdict::Approve, "").unwrap();
    let event = godwit::github::Event::PullRequest {
        repo: godwit::github::Repository {
            id: repository_id(&world),
            name: "acme/shop".parse().unwrap(),
            clone_url: world.repo.clone_url(),
            default_branch: "main".to_owned(),
            installation: world.sandbox.installation_id(),
        },
        number: godwit::ids::PrNumber(pull.number()),
        action: "synchronize".to_owned(),
        sender: godwit::github::Sender { login: godwit::ids::Login::new("alice"), bot: false },
        head: pull.head_sha().unwrap().parse().unwrap(),
        label: None,
        merged: false,
    };
    world.store.enqueue(&event.serial_key().unwrap(), &event, None).await.unwrap();
    world.settle().await;
    assert!(closed(&world).await.iter().any(|reason| reason.contains("suspended")), "{:?}", closed(&world).await);
    assert_eq!((dead(&world).await, conclusion(&pull, APPROVAL)), (0, "action_required".to_owned()));
    world.sandbox.unsuspend_app("rosa");
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
}

fn repository_id(world: &World) -> u64 {
    let fired = world.sandbox.recorder().webhooks;
    fired.iter().find_map(|f| f.payload["repository"]["id"].as_u64()).unwrap()
}

#[tokio::test]
async fn an_app_that_was_taken_off_leaves_nothing_behind_and_finds_its_way_back() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    // Its event is lost: the refusals that follow tell as much.
    world.sandbox.webhook_fault(WebhookFault::new(1, WebhookFaultKind::Lose).on("installation.deleted"));
    pull.comment("bob", "/godwit status").unwrap();
    world.sandbox.uninstall_app("rosa");
    world.settle().await;
    assert_eq!(dead(&world).await, 0);
    assert!(closed(&world).await.iter().any(|reason| reason.contains("taken off")), "{:?}", closed(&world).await);
    pull.review("dora", godwit::sandbox::ReviewVerdict::Approve, "").unwrap();
    world.sandbox.install_app("rosa");
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
    // One repository alone.
    world.repo.remove_from_installation("rosa").unwrap();
    world.settle().await;
    pull.add_label("bob", "hold").unwrap();
    world.repo.add_to_installation("rosa").unwrap();
    world.settle().await;
    assert_ne!(conclusion(&pull, APPROVAL), "success");
}

#[tokio::test]
async fn a_renamed_repository_keeps_its_approvals_and_its_history() {
    let mut world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    world.repo.set_permission("rosa", Permission::Admin).unwrap();
    let number = pull.number();
    let renamed = world.repo.rename("rosa", "store").unwrap();
    world.settle().await;
    // Variables are allowed by name, so the operator allows the new one.
    world.restart_bot_with("acme/store:*=SHOP_DEVELOPMENT,SHOP_STAGING,SHOP_PRODUCTION");
    let pull = renamed.pull(number).unwrap();
    pull.review("dora", godwit::sandbox::ReviewVerdict::Approve, "").unwrap();
    world.settle().await;
    // Omar's approval still counts, staging is not run again, and production follows.
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    let name = "acme/store".parse().unwrap();
    let filter = godwit::store::AuditFilter { repo: Some(name), ..Default::default() };
    let runs = world.store.audit(&filter).await.unwrap();
    let finished = |e: &str| {
        let of = runs.iter().filter(|r| r.body.action == "run-finished");
        of.filter(|r| r.body.environment.as_ref().is_some_and(|x| x.as_str() == e)).count()
    };
    assert_eq!((finished("staging"), finished("production")), (1, 1));
    assert!(world.store.verify_audit(None).await.unwrap().valid);
    // A late event under the old name finds the repository all the same.
    assert_eq!(dead(&world).await, 0);
}

#[tokio::test]
async fn limits_of_github_delay_and_are_nobodys_failure() {
    let world = World::start().await;
    for (path, kind) in [
        ("/pulls/", FaultKind::PrimaryLimit { reset_in: 4 }),
        ("/reviews", FaultKind::SecondaryLimit { retry_after: Some(4) }),
        ("/check-runs", FaultKind::TooManyRequests { retry_after: Some(4) }),
    ] {
        world.sandbox.fault(Fault::new(path, 1, kind));
    }
    let pull = world.open("orders", &ORDERS).await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    // Waiting used up no attempt, and no check was ever red with a failure of ours.
    let attempts: i64 =
        sqlx::query_scalar("SELECT max(attempts) FROM jobs").fetch_one(world.store.reader()).await.unwrap();
    assert_eq!(attempts, 1);
    let all = world.repo.check_runs(None).unwrap();
    assert!(all.iter().all(|c| !c.title.as_deref().unwrap_or_default().contains("could not judge")));
    // Nothing was asked while the limit was used up: each was hit once.
    let limited = world.sandbox.recorder().exchanges.iter().filter(|e| matches!(e.status, 403 | 429)).count();
    assert_eq!(limited, 3);
}

#[tokio::test]
async fn what_github_said_before_is_asked_for_conditionally() {
    let world = World::start().await;
    world.open("orders", &ORDERS).await;
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    let unchanged = world.sandbox.recorder().exchanges.iter().filter(|e| e.status == 304).count();
    assert!(unchanged > 5, "{unchanged}");
}

#[tokio::test]
async fn github_enterprise_has_its_api_below_v3_and_graphql_beside_it() {
    let world = World::start_at("/api/v3").await;
    let pull = world.open("orders", &ORDERS).await;
    let asked = pull.comment("bob", "/godwit status").unwrap();
    world.settle().await;
    pull.push(
        "alice",
        &[super::world::commit(
            "alice",
            &[("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY, n TEXT);\n")],
        )],
    )
    .unwrap();
    world.settle().await;
    let marker = format!("<!-- godwit:answer:{asked} -->");
    assert_eq!(super::world::comment(&pull, &marker).unwrap().minimized.as_deref(), Some("OUTDATED"));
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(world.has_table("production", "orders").await);
}
