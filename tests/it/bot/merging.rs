//! What a merge starts.

use age::secrecy::ExposeSecret as _;
use godwit::ids::{EnvironmentName, RepoName};
use godwit::sandbox::{Fault, FaultKind, MergeMethod, PullHandle, WebhookFault, WebhookFaultKind};

use super::world::{ENVIRONMENTS_YML, SEALED, SUMMARY, World, comment, commit, run_comment};

const UP: &str = "migrations/0001_orders.up.sql";
const DOWN: &str = "migrations/0001_orders.down.sql";
const ORDERS: [(&str, &str); 2] =
    [(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"), (DOWN, "DROP TABLE orders;\n")];
const ENVIRONMENTS: [&str; 3] = ["development", "staging", "production"];

async fn approved(world: &World) -> PullHandle {
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull
}

/// How often each run word stands in the audit log.
async fn audited(world: &World, action: &str) -> usize {
    world.store.audit(&Default::default()).await.unwrap().iter().filter(|r| r.body.action == action).count()
}

#[tokio::test]
async fn b10_a_merge_brings_every_environment_forward_in_order() {
    for method in [MergeMethod::Merge, MergeMethod::Squash, MergeMethod::Rebase] {
        let world = World::start().await;
        let pull = approved(&world).await;
        let summary = comment(&pull, SUMMARY).unwrap().body;
        assert!(summary.contains("CREATE TABLE orders"), "the plan is shown: {summary}");
        pull.merge("rosa", method).unwrap();
        world.settle().await;
        let labels = pull.labels().unwrap();
        for environment in ENVIRONMENTS {
            assert!(world.has_table(environment, "orders").await, "{environment}: {}", run_comment(&pull, environment));
            assert!(
                run_comment(&pull, environment).contains("1 migration applied"),
                "{}",
                run_comment(&pull, environment)
            );
            assert!(labels.contains(&format!("migrated:{environment}")), "{labels:?}");
        }
        let head = world.store.audit_head().await.unwrap().unwrap();
        assert!(run_comment(&pull, "production").contains(&head.hash), "the audit head stands in the comment");
        assert_eq!((audited(&world, "run-started").await, audited(&world, "run-finished").await), (3, 3));
        assert!(world.store.verify_audit(None).await.unwrap().valid);
    }
}

/// What a summary says only before the merge, or of an environment that lacks it.
const BEFORE: [&str; 5] = ["ready to merge", "nothing to do", "### On merge", "### Before the deployment", "### Plan"];

#[tokio::test]
async fn b15_after_the_merge_the_summary_says_where_it_is_and_what_comes_next() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let summary = || comment(&pull, SUMMARY).unwrap().body;
    let has = |parts: &[&str]| {
        let text = summary();
        parts.iter().for_each(|part| assert!(text.contains(part), "{part} in {text}"));
    };
    world.approve(&pull, "omar").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    has(&[
        "## ⏳ Godwit: merged, `production` waits",
        "applied in `development` and `staging`",
        "| ✅ | `staging` | 1 migration applied in ",
        "| ⏳ | `production` | waits for approvals |",
        "**Next:** the comment about `production` says what it waits for.",
    ]);
    // What is still to be done there is shown, and nothing of what is done.
    let text = summary();
    assert!(text.contains("<b>production</b>: 1 migration") && text.contains("<b>production</b>: "), "{text}");
    assert!(!text.contains("<b>staging</b>") && !text.contains("ready to merge"), "{text}");
    assert!(!text.contains("### On merge"), "{text}");

    world.approve(&pull, "dora").await;
    has(&[
        "## ✅ Godwit: merged, applied in `development`, `staging` and `production`",
        "nothing is left to do",
        "| ✅ | `production` | 1 migration applied in ",
        "**Next:** nothing; every environment of this branch has it.",
        "Each can be undone: `/godwit rollback production MIGRATION`",
    ]);
    let done = summary();
    BEFORE.iter().for_each(|past| assert!(!done.contains(past), "{past} in {done}"));
    // Looking again changes nothing.
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!(summary(), done);

    world.ask(&pull, "omar", "/godwit rollback staging 0001_orders").await;
    has(&[
        "## ↩️ Godwit: merged, undone in `staging`",
        "| ↩️ | `staging` | 1 migration undone in ",
        "`/godwit retry staging` brings it again",
    ]);
}

#[tokio::test]
async fn b7_a_repeated_merge_never_runs_twice() {
    let mut world = World::start().await;
    let pull = approved(&world).await;
    world.sandbox.webhook_fault(WebhookFault::new(1, WebhookFaultKind::Repeat(3)).on("pull_request.closed"));
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    let closed =
        world.sandbox.recorder().webhooks.into_iter().rev().find(|f| f.action.as_deref() == Some("closed")).unwrap();
    world.sandbox.redeliver(&closed.guid).unwrap();
    world.settle().await;
    world.restart_bot();
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!(audited(&world, "run-finished").await, 3);
}

#[tokio::test]
async fn b9_a_lost_merge_is_found_by_the_sweep() {
    let world = World::start().await;
    let pull = approved(&world).await;
    world.sandbox.webhook_fault(WebhookFault::new(1, WebhookFaultKind::Lose).on("pull_request.closed"));
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(!world.has_table("production", "orders").await);
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert!(world.has_table("production", "orders").await);
}

#[tokio::test]
async fn a_closed_gate_waits_says_for_whom_and_goes_on_by_itself() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(world.has_table("staging", "orders").await, "{}", run_comment(&pull, "staging"));
    assert!(!world.has_table("production", "orders").await);
    assert!(run_comment(&pull, "production").contains("dba"), "{}", run_comment(&pull, "production"));
    world.approve(&pull, "dora").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    assert!(run_comment(&pull, "production").contains("1 migration applied"));
}

#[tokio::test]
async fn a_locked_environment_waits() {
    let world = World::start().await;
    let pull = approved(&world).await;
    let (repo, staging) = (RepoName::new("acme/shop").unwrap(), EnvironmentName::new("staging").unwrap());
    world.store.lock_environment(Some(&repo), &staging, "release freeze", "carl").await.unwrap();
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(world.has_table("development", "orders").await);
    assert!(!world.has_table("staging", "orders").await && !world.has_table("production", "orders").await);
    assert!(run_comment(&pull, "staging").contains("release freeze"), "{}", run_comment(&pull, "staging"));
    world.store.unlock_environment(Some(&repo), &staging).await.unwrap();
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert!(world.has_table("production", "orders").await);
}

#[tokio::test]
async fn b10_a_failure_stops_the_chain_says_what_was_undone_and_can_be_tried_again() {
    let world = World::start().await;
    let pull = approved(&world).await;
    // Somebody made the table by hand in staging.
    let by_hand = |sql: &'static str| {
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(world.database("staging")).create_if_missing(true);
        async move {
            let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
            sqlx::query(sql).execute(&pool).await.unwrap();
            pool.close().await;
        }
    };
    by_hand("CREATE TABLE orders (x)").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(world.has_table("development", "orders").await);
    assert!(!world.has_table("production", "orders").await);
    let told = run_comment(&pull, "staging");
    assert!(
        told.contains("already exists") && told.contains("undone") && told.contains("/godwit retry staging"),
        "{told}"
    );
    let summary = comment(&pull, SUMMARY).unwrap().body;
    for part in
        ["merged, failed in `staging`", "| ❌ | `staging` | failed", "| · | `production` |", "`/godwit retry staging`"]
    {
        assert!(summary.contains(part), "{part} in {summary}");
    }
    // Looking again is not trying again.
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!(audited(&world, "run-started").await, 2);
    by_hand("DROP TABLE orders").await;
    pull.comment("omar", "/godwit retry staging").unwrap();
    world.settle().await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "staging"));
}

#[tokio::test]
async fn b6_what_was_merged_must_be_what_was_approved() {
    let world = World::start_with(&[(UP, "-- orders\n-- one\n-- two\n-- three\n-- four\nSELECT 1;\n")]).await;
    let edited = "-- orders\n-- one\n-- two\n-- three\n-- four\nCREATE TABLE orders (id INTEGER PRIMARY KEY);\n";
    let pull = world.open("edit", &[(UP, edited)]).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    let theirs =
        "CREATE TABLE sneaked (id INTEGER PRIMARY KEY);\n-- orders\n-- one\n-- two\n-- three\n-- four\nSELECT 1;\n";
    // The bot hears of the push to the base only after the merge.
    world.sandbox.webhook_fault(WebhookFault::new(1, WebhookFaultKind::Lose).on("push"));
    world.repo.push("main", "rosa", &[commit("rosa", &[(UP, theirs)])]).unwrap();
    pull.merge("rosa", MergeMethod::Merge).unwrap();
    world.settle().await;
    for environment in ENVIRONMENTS {
        assert!(!world.has_table(environment, "sneaked").await, "{environment} ran what nobody approved");
        assert!(!world.has_table(environment, "orders").await);
    }
    assert!(run_comment(&pull, "development").contains(UP), "{}", run_comment(&pull, "development"));
}

#[tokio::test]
async fn b6_migrations_of_another_pull_request_are_not_run_along() {
    let world = World::start().await;
    let first = world.open("orders", &ORDERS).await;
    world.approve(&first, "omar").await;
    first.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    // The first one still waits for its dba in production when the second is merged, fully approved.
    let second = world
        .open("items", &[("migrations/0002_items.up.sql", "CREATE TABLE items (id INTEGER PRIMARY KEY);\n")])
        .await;
    world.approve(&second, "omar").await;
    world.approve(&second, "dora").await;
    second.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(world.has_table("staging", "items").await, "{}", run_comment(&second, "staging"));
    assert!(!world.has_table("production", "items").await && !world.has_table("production", "orders").await);
    assert!(run_comment(&second, "production").contains("0001_orders"), "{}", run_comment(&second, "production"));
    world.approve(&first, "dora").await;
    assert!(world.has_table("production", "orders").await);
    // The second one goes on by itself behind the first.
    assert!(world.has_table("production", "items").await, "{}", run_comment(&second, "production"));
}

#[tokio::test]
async fn an_environment_with_manual_promotion_waits_for_a_person() {
    let environments = ENVIRONMENTS_YML.to_owned() + "  promotion: manual\n";
    let world = World::start_with(&[("policies/environments.yml", &environments)]).await;
    let pull = approved(&world).await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(world.has_table("staging", "orders").await);
    assert!(!world.has_table("production", "orders").await);
    assert!(run_comment(&pull, "production").contains("/godwit promote production"));
    // The chief of technology holds no role of this environment's cell.
    let refused = world.ask(&pull, "carl", "/godwit promote production").await;
    assert!(refused.contains("`@carl` may not") && refused.contains("`dba`"), "{refused}");
    assert!(!world.has_table("production", "orders").await);
    let idle = world.ask(&pull, "dora", "/godwit promote staging").await;
    assert!(idle.contains("may not") || idle.contains("starts by itself"), "{idle}");
    world.ask(&pull, "dora", "/godwit promote production").await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
}

#[tokio::test]
async fn b20_a_variable_that_is_not_allowed_is_refused_by_name() {
    let environments = ENVIRONMENTS_YML.replace("SHOP_STAGING", "HOME");
    let world = World::start_with(&[("policies/environments.yml", &environments)]).await;
    let pull = approved(&world).await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(!world.has_table("production", "orders").await);
    let told = run_comment(&pull, "staging");
    assert!(told.contains("GODWIT_SECRET_VARS") && told.contains("HOME"), "{told}");
}

#[tokio::test]
async fn s4_84_b20_a_merge_opens_sealed_values_with_the_key_that_its_environment_names() {
    let key = age::x25519::Identity::generate();
    let public = [key.to_public().to_string()];
    let sealed = godwit::runner::sealed::seal("planted-secret", &public).unwrap();
    let table = format!(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, token TEXT);\nINSERT INTO orders VALUES (1, '{sealed}');\n"
    );
    let part = "  sealed: { identity: \"${SHOP_SEALED}\" }\n";
    let environments = ENVIRONMENTS_YML.replace("staging:\n", &format!("staging:\n{part}"));
    let environments = environments.replace("development:\n", &format!("development:\n{part}"));
    let world = World::start_with(&[("policies/environments.yml", &environments)]).await;
    let pull = world
        .open(
            "orders",
            &[("migrations/0001_orders.up.sql", &table), ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n")],
        )
        .await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    // The server has no key yet.
    let told = run_comment(&pull, "development");
    assert!(told.contains("no key is given") && told.contains("set `SHOP_SEALED` for the server"), "{told}");
    assert!(!world.has_table("development", "orders").await);
    std::fs::write(world.dir.path().join(SEALED), key.to_string().expose_secret()).unwrap();
    world.ask(&pull, "dora", "/godwit retry development").await;
    world.settle().await;
    for environment in ["development", "staging"] {
        let file = std::fs::read(world.database(environment)).unwrap();
        let holds = |text: &str| file.windows(text.len()).any(|w| w == text.as_bytes());
        assert!(holds("planted-secret") && !holds("ENC[age:"), "{environment}: {}", run_comment(&pull, environment));
    }
    // Production names no key, and gets nobody else's.
    let told = run_comment(&pull, "production");
    assert!(told.contains("no key is given") && told.contains("`sealed.identity` of `production`"), "{told}");
    assert!(!world.has_table("production", "orders").await);
    let everything =
        format!("{:?} {:?}", pull.comments().unwrap(), world.store.audit(&Default::default()).await.unwrap());
    assert!(everything.contains("ENC[age:") && !everything.contains("planted"), "{everything}");
}

#[tokio::test]
async fn github_failing_in_the_middle_of_a_run_loses_no_environment() {
    let world = World::start().await;
    let pull = approved(&world).await;
    world.sandbox.fault(Fault::new("/comments", 2, FaultKind::LoseAnswer).method("POST"));
    world.sandbox.fault(Fault::new("/comments", 1, FaultKind::Status(500)).method("POST"));
    world.sandbox.fault(Fault::new("/labels", 5, FaultKind::Status(502)).method("POST"));
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    for environment in ENVIRONMENTS {
        assert!(world.has_table(environment, "orders").await);
        assert!(run_comment(&pull, environment).contains("1 migration applied"), "{}", run_comment(&pull, environment));
        assert!(pull.labels().unwrap().contains(&format!("migrated:{environment}")));
    }
    assert_eq!(audited(&world, "run-finished").await, 3);
}
