//! What is looked at around the runs of a merged pull request, and in the minutes after.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use godwit::sandbox::{MergeMethod, PullHandle};

use super::world::{ENVIRONMENTS_YML, World, comment, run_comment};
use crate::health::world::Endpoint;

const ORDERS: [(&str, &str); 2] = [
    ("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"),
    ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n"),
];
const WATCHED: &str = "<!-- godwit:watch:development -->";

/// `environments.yml` with `more` in development.
fn in_development(more: &str) -> String {
    let before = "  migration: { auto_approve: true }\n";
    assert!(ENVIRONMENTS_YML.contains(before));
    ENVIRONMENTS_YML.replace(before, &format!("{before}{more}"))
}

/// A world with a machine that is as busy as the number says, in the environment into which `place` writes it.
async fn measured(place: fn(&str) -> String) -> (World, Endpoint, Arc<AtomicU64>) {
    let cpu = Arc::new(AtomicU64::new(10));
    let told = Arc::clone(&cpu);
    let metrics = Endpoint::answering(move |_| (200, format!("node_cpu_usage {}\n", told.load(Ordering::SeqCst))));
    let more = format!("  monitoring: {{ enabled: true, metrics_endpoint: \"{}\" }}\n", metrics.url());
    let mut world = World::start_with(&[("policies/environments.yml", &place(&more))]).await;
    world.allow(&metrics.url());
    (world, metrics, cpu)
}

async fn merged(world: &World) -> PullHandle {
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    pull
}

async fn audited(world: &World, action: &str) -> usize {
    world.store.audit(&Default::default()).await.unwrap().iter().filter(|r| r.body.action == action).count()
}

#[tokio::test]
async fn s3_86_an_environment_is_watched_after_its_run_and_a_critical_value_is_told_once() {
    let (world, metrics, cpu) = measured(in_development).await;
    let pull = merged(&world).await;
    let told = run_comment(&pull, "development");
    assert!(told.contains("Health: 3 checks passed") && told.contains("cpu_usage") && told.contains("10 %"), "{told}");
    assert!(!run_comment(&pull, "staging").contains("cpu_usage"));
    assert!(comment(&pull, WATCHED).is_none());
    assert!(metrics.asked() >= 2);

    cpu.store(99, Ordering::SeqCst);
    for _ in 0..2 {
        world.bot.sweep(chrono::Utc::now()).await.unwrap();
        world.settle().await;
        let alert = comment(&pull, WATCHED).unwrap().body;
        assert!(alert.contains("99 %") && alert.contains("fares badly"), "{alert}");
        assert_eq!(audited(&world, "health-alert").await, 1);
    }
    // Nothing was done about it, and after the half hour nobody looks any more.
    assert!(world.has_table("development", "orders").await);
    let later = chrono::Utc::now() + chrono::TimeDelta::minutes(31);
    world.it_is(&later.to_rfc3339());
    let asked = metrics.asked();
    world.bot.sweep(later).await.unwrap();
    world.settle().await;
    assert_eq!(metrics.asked(), asked);
}

#[tokio::test]
async fn b10_what_is_taken_back_while_the_environment_before_runs_counts() {
    // Staging's run asks for its metrics; in that moment somebody takes the word for production back.
    let pull: Arc<Mutex<Option<PullHandle>>> = Arc::default();
    let taken = Arc::clone(&pull);
    let metrics = Endpoint::answering(move |n| {
        if let (1, Some(pull)) = (n, taken.lock().unwrap().as_ref()) {
            let review = pull.reviews().unwrap().into_iter().find(|r| r.author == "dora").unwrap();
            pull.dismiss_review("rosa", review.id, "not any more").unwrap();
        }
        (200, "node_cpu_usage 10\n".to_owned())
    });
    let more = format!("  monitoring: {{ enabled: true, metrics_endpoint: \"{}\" }}\nproduction:\n", metrics.url());
    let environments = ENVIRONMENTS_YML.replace("production:\n", &more);
    let mut world = World::start_with(&[("policies/environments.yml", &environments)]).await;
    world.allow(&metrics.url());
    let opened = world.open("orders", &ORDERS).await;
    for person in ["omar", "dora"] {
        world.approve(&opened, person).await;
    }
    assert_eq!(metrics.asked(), 0);
    *pull.lock().unwrap() = Some(world.repo.pull(opened.number()).unwrap());
    opened.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(metrics.asked() > 0 && world.has_table("staging", "orders").await);
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&opened, "production"));
    assert!(run_comment(&opened, "production").contains("dba"), "{}", run_comment(&opened, "production"));
}

#[tokio::test]
async fn an_address_that_the_server_does_not_allow_is_not_asked() {
    let page = Endpoint::saying(200, "cpu_usage 99\n");
    let more = format!(
        "  health_checks: {{ critical_paths: [{{ http: \"{0}/healthz\" }}] }}\n  monitoring: {{ enabled: true, metrics_endpoint: \"{0}\" }}\n",
        page.url()
    );
    let world = World::start_with(&[("policies/environments.yml", &in_development(&more))]).await;
    let pull = merged(&world).await;
    let told = run_comment(&pull, "development");
    assert!(
        told.contains("1 migration applied") && told.contains("GODWIT\\_ALLOWED\\_URLS")
            || told.contains("GODWIT_ALLOWED_URLS"),
        "{told}"
    );
    assert_eq!(page.asked(), 0);
}

#[tokio::test]
async fn a_check_that_fails_after_a_run_takes_it_back_and_stops_the_chain() {
    let more = "  health_checks: { critical_tables: [customers] }\n";
    let world = World::start_with(&[("policies/environments.yml", &in_development(more))]).await;
    let pull = merged(&world).await;
    let told = run_comment(&pull, "development");
    assert!(
        told.contains("critical-table") && told.contains("customers") && told.contains("was undone by itself"),
        "{told}"
    );
    assert!(!world.has_table("development", "orders").await);
    assert!(!world.has_table("staging", "orders").await);
    assert!(!pull.labels().unwrap().contains(&"migrated:development".to_owned()));
    let report = world.store.audit(&Default::default()).await.unwrap();
    let end = report.iter().find(|r| r.body.action == "run-finished").unwrap();
    assert_eq!(end.body.result, "failed");
    assert!(end.body.details["report"].contains("critical-table"), "{:?}", end.body.details);
    assert!(world.store.verify_audit(None).await.unwrap().valid);
}

/// `environments.yml` with `more` in staging.
fn in_staging(more: &str) -> String {
    ENVIRONMENTS_YML.replace("production:\n", &format!("{more}production:\n"))
}

#[tokio::test]
async fn s3_57_a_rollback_asked_for_in_a_comment_is_checked_afterwards_and_stays_undone() {
    let more = "  health_checks: { critical_tables: [orders] }\n";
    let world = World::start_with(&[("policies/environments.yml", &in_staging(more))]).await;
    let pull = merged(&world).await;
    assert!(run_comment(&pull, "staging").contains("checks passed"), "{}", run_comment(&pull, "staging"));
    world.ask(&pull, "omar", "/godwit rollback staging 0001_orders").await;
    let told = run_comment(&pull, "staging");
    assert!(told.contains("critical-table") && told.contains("nothing is taken back by itself"), "{told}");
    assert!(!world.has_table("staging", "orders").await, "what a person asked to undo is not done again");
    assert!(!pull.labels().unwrap().contains(&"migrated:staging".to_owned()));
    let rows = world.store.audit(&Default::default()).await.unwrap();
    let end = rows.iter().rev().find(|r| r.body.action == "run-finished").unwrap();
    assert_eq!((end.body.result.as_str(), end.body.basis.as_deref()), ("failed", Some("rollback by omar")));
    assert!(end.body.details["report"].contains("critical-table"), "{:?}", end.body.details);
    assert!(world.store.verify_audit(None).await.unwrap().valid);
}

#[tokio::test]
async fn s3_103_a_rollback_asked_for_in_a_comment_does_not_begin_while_something_is_critical() {
    let (world, _metrics, cpu) = measured(in_staging).await;
    let pull = merged(&world).await;
    cpu.store(99, Ordering::SeqCst);
    world.ask(&pull, "omar", "/godwit rollback staging 0001_orders").await;
    assert!(world.has_table("staging", "orders").await, "nothing is undone on a machine that fares badly");
    let said: Vec<String> = pull.comments().unwrap().into_iter().map(|c| c.body).collect();
    let told = said.iter().find(|c| c.contains("does not fare well enough"));
    assert!(told.is_some_and(|c| c.contains("99 %")), "{said:#?}");
    cpu.store(10, Ordering::SeqCst);
    world.ask(&pull, "omar", "/godwit rollback staging 0001_orders").await;
    assert!(!world.has_table("staging", "orders").await, "{}", run_comment(&pull, "staging"));
}
