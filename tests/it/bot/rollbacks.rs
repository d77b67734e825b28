//! Undoing from a comment: who may, who agrees, what is told, and that nothing runs by itself afterwards.

use godwit::sandbox::{MergeMethod, PullHandle};

use super::world::{World, comment, run_comment};

const ORDERS: [(&str, &str); 2] = [
    ("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"),
    ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n"),
];

async fn merged(world: &World) -> PullHandle {
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    pull
}

/// The id of the request that an answer shows.
fn request(answer: &str) -> String {
    let at = answer.find("/godwit confirm ").unwrap_or_else(|| panic!("{answer}"));
    answer[at + "/godwit confirm ".len()..].chars().take_while(char::is_ascii_alphanumeric).collect()
}

#[tokio::test]
async fn a_rollback_outside_production_needs_one_holder_and_stays_undone() {
    let world = World::start().await;
    let pull = merged(&world).await;
    assert!(run_comment(&pull, "staging").contains("data_ops"), "who may undo it: {}", run_comment(&pull, "staging"));
    let said = world.ask(&pull, "dora", "/godwit rollback staging 0001_orders").await;
    assert!(said.contains("`@dora` may not") && world.has_table("staging", "orders").await, "{said}");
    for (text, part) in [
        ("/godwit rollback staging 0009_nothing", "no migration"),
        ("/godwit rollback moon 0001_orders", "no environment"),
    ] {
        let said = world.ask(&pull, "omar", text).await;
        assert!(said.contains(part), "{text}: {said}");
    }
    let said = world.ask(&pull, "omar", "/godwit rollback staging 0001_orders").await;
    assert!(said.contains("DROP TABLE orders") && said.contains("What is lost"), "{said}");
    assert!(!world.has_table("staging", "orders").await, "{}", run_comment(&pull, "staging"));
    let told = run_comment(&pull, "staging");
    assert!(told.contains("1 migration undone") && told.contains("rollback by omar"), "{told}");
    assert!(!pull.labels().unwrap().contains(&"migrated:staging".to_owned()));
    let said = world.ask(&pull, "omar", "/godwit status").await;
    assert!(said.contains("undone at"), "{said}");
    let said = world.ask(&pull, "omar", "/godwit rollback staging 0001_orders").await;
    assert!(said.contains("not applied"), "{said}");
    // Looking again is not running again.
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert!(!world.has_table("staging", "orders").await);
    world.ask(&pull, "omar", "/godwit retry staging").await;
    assert!(world.has_table("staging", "orders").await, "{}", run_comment(&pull, "staging"));
    assert!(pull.labels().unwrap().contains(&"migrated:staging".to_owned()));
    assert!(world.store.verify_audit(None).await.unwrap().valid);
}

#[tokio::test]
async fn r25_the_row_of_a_rollback_that_was_asked_for_proves_it() {
    let world = World::start().await;
    let pull = merged(&world).await;
    world.ask(&pull, "omar", "/godwit rollback staging 0001_orders").await;
    let rows = world.store.audit(&Default::default()).await.unwrap();
    let end = rows.iter().find(|r| r.body.basis.as_deref() == Some("rollback by omar")).unwrap();
    assert_eq!(end.body.action, "run-finished");
    let proof: serde_json::Value = serde_json::from_str(&end.body.details["proof"]).unwrap();
    assert_eq!(proof[0]["steps"][0]["state"], "rolled_back", "{proof}");
    assert_eq!(proof[0]["steps"][0]["recovery"], "atomic", "{proof}");
    assert_ne!(proof[0]["steps"][0]["recovery_reason"], serde_json::Value::Null, "{proof}");
    assert!(proof[0]["after"].is_string() && proof[0]["before"] != proof[0]["after"], "{proof}");
}

#[tokio::test]
async fn b18_a_rollback_in_production_waits_for_a_second_different_person() {
    let world = World::start().await;
    let pull = merged(&world).await;
    let said = world.ask(&pull, "omar", "/godwit rollback production 0001_orders").await;
    assert!(said.contains("waits for a second person") && said.contains("DROP TABLE orders"), "{said}");
    let id = request(&said);
    assert!(world.has_table("production", "orders").await);
    for (person, part) in [("omar", "second, different person"), ("alice", "may not"), ("mallory", "neither write")] {
        let said = world.ask(&pull, person, &format!("/godwit confirm {id}")).await;
        assert!(said.contains(part) && world.has_table("production", "orders").await, "{person}: {said}");
    }
    let other = world.open("other", &[("README.md", "# Shops\n")]).await;
    let said = world.ask(&other, "dora", &format!("/godwit confirm {id}")).await;
    assert!(said.contains("was asked for on"), "{said}");
    world.ask(&pull, "dora", &format!("/godwit confirm {id}")).await;
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    let told = run_comment(&pull, "production");
    assert!(told.contains("rollback by omar, confirmed by dora") && told.contains("1 migration undone"), "{told}");
    let said = world.ask(&pull, "dana", &format!("/godwit confirm {id}")).await;
    assert!(said.contains("is done"), "{said}");
}

#[tokio::test]
async fn a_request_expires_and_can_be_taken_back() {
    let world = World::start().await;
    let pull = merged(&world).await;
    let id = request(&world.ask(&pull, "omar", "/godwit rollback production 0001_orders").await);
    world.in_store("UPDATE rollback_requests SET expires_at = 1").await;
    let said = world.ask(&pull, "dora", &format!("/godwit confirm {id}")).await;
    assert!(said.contains("expired") && said.contains("/godwit rollback production migrations/0001_orders"), "{said}");
    let id = request(&world.ask(&pull, "omar", "/godwit rollback production 0001_orders").await);
    let said = world.ask(&pull, "dora", "/godwit cancel production").await;
    assert!(said.contains("is withdrawn"), "{said}");
    let said = world.ask(&pull, "dora", &format!("/godwit confirm {id}")).await;
    assert!(said.contains("is withdrawn") && world.has_table("production", "orders").await, "{said}");
}

#[tokio::test]
async fn b7_a_comment_that_comes_twice_undoes_once() {
    let world = World::start().await;
    let pull = merged(&world).await;
    world.ask(&pull, "omar", "/godwit rollback staging 0001_orders").await;
    let told = world.sandbox.recorder().webhooks.into_iter().rev().find(|f| f.event == "issue_comment").unwrap();
    world.ask(&pull, "omar", "/godwit retry staging").await;
    assert!(world.has_table("staging", "orders").await);
    world
        .in_store("UPDATE jobs SET state = 'queued', due_at = 0, attempts = 0 WHERE event LIKE '%rollback staging%'")
        .await;
    world.settle().await;
    world.sandbox.redeliver(&told.guid).unwrap();
    world.settle().await;
    assert!(world.has_table("staging", "orders").await, "{}", run_comment(&pull, "staging"));
}

#[tokio::test]
async fn a_rollback_asked_for_elsewhere_is_told_on_both_pull_requests() {
    let world = World::start().await;
    let pull = merged(&world).await;
    let revert = world.open("revert", &[("README.md", "# Shops\n")]).await;
    let said = world.ask(&revert, "omar", "/godwit rollback staging 0001_orders").await;
    assert!(said.contains("DROP TABLE orders"), "{said}");
    assert!(!world.has_table("staging", "orders").await);
    assert!(run_comment(&pull, "staging").contains("1 migration undone"), "{}", run_comment(&pull, "staging"));
    let told = revert.comments().unwrap();
    let told = told.iter().find(|c| c.body.starts_with("<!-- godwit:rollback:")).map(|c| c.body.clone());
    assert!(told.unwrap().contains("1 migration undone"));
    assert!(comment(&revert, "<!-- godwit:run:staging -->").is_none());
}

#[tokio::test]
async fn a_frozen_environment_undoes_nothing() {
    let world = World::start().await;
    let pull = merged(&world).await;
    world.ask(&pull, "omar", "/godwit lock staging release freeze").await;
    world.ask(&pull, "omar", "/godwit rollback staging 0001_orders").await;
    assert!(world.has_table("staging", "orders").await);
    let told: String = pull.comments().unwrap().into_iter().map(|c| c.body).collect();
    assert!(told.contains("is frozen by omar"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b18_godwit_confirm_is_the_same_word_by_the_same_rules() {
    let world = World::start().await;
    let pull = merged(&world).await;
    let work = world.checkout("main");
    let (omar, dora, dana, mallory, alice) =
        (world.token("omar"), world.token("dora"), world.token("dana"), world.token("mallory"), world.token("alice"));
    let id = request(&world.ask(&pull, "omar", "/godwit rollback production 0001_orders").await);
    // What lies in the folder gives nobody a right.
    std::fs::write(work.join("policies/roles.yml"), "data_ops: { users: [alice] }\ndba: { users: [alice] }\n").unwrap();
    for (token, run, code, part) in [
        ("", id.as_str(), 2, "set `GODWIT_TOKEN`"),
        ("ghp_wrong", &id, 2, "Bad credentials"),
        (&dora, "12", 2, "ULID"),
        (&dora, "01ARZ3NDEKTSV4RRFFQ69G5FAV", 2, "is no rollback of acme/shop that waits for anybody"),
        (&mallory, &id, 3, "`@mallory` may not do this"),
        (
            &alice,
            &id,
            3,
            "`@alice` may not do this; a holder of `data_ops` (`@dana`, `@omar`) or `dba` (`@acme/dba`) may",
        ),
        (&omar, &id, 3, "`@omar` asked for this rollback; a second, different person confirms it; ask one"),
    ] {
        let (found, out, err) = world.godwit(&work, token, &["confirm", run, "--for", "acme/shop"]).await;
        assert_eq!(found, code, "{run}\n{out}\n{err}");
        assert!(err.contains(part), "{part}\n{err}");
        assert!(token.is_empty() || !err.contains(token), "a token is shown: {err}");
    }
    world.settle().await;
    assert!(world.has_table("production", "orders").await);

    let confirm = ["confirm", &id, "--for", "acme/shop", "--format", "json"];
    let (code, out, err) = world.godwit(&work, &dora, &confirm).await;
    assert_eq!(code, 0, "{err}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((json["state"].as_str(), json["new"].as_bool()), (Some("ready"), Some(true)), "{json}");
    assert_eq!((json["asked_by"].as_str(), json["confirmed_by"].as_str()), (Some("omar"), Some("dora")), "{json}");
    world.settle().await;
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    let told = run_comment(&pull, "production");
    assert!(told.contains("rollback by omar, confirmed by dora") && told.contains("1 migration undone"), "{told}");

    // Saying it again changes nothing; somebody else hears that it is past.
    let (code, out, err) = world.godwit(&work, &dora, &["confirm", &id, "--for", "acme/shop"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("is confirmed by dora") && out.contains("was carried out"), "{out}");
    let (code, _, err) = world.godwit(&work, &dana, &["confirm", &id, "--for", "acme/shop"]).await;
    assert_eq!(code, 3, "{err}");
    let audit = world.store.audit(&Default::default()).await.unwrap();
    let said: Vec<_> = audit.iter().filter(|r| r.body.action == "confirm").collect();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!((said[0].body.actor.as_str(), said[0].body.details["source"].as_str()), ("dora", "cli"));
    assert!(world.store.verify_audit(None).await.unwrap().valid);
}

#[tokio::test(flavor = "multi_thread")]
async fn b18_godwit_confirm_comes_too_late_after_an_hour() {
    let world = World::start().await;
    let pull = merged(&world).await;
    let work = world.checkout("main");
    let id = request(&world.ask(&pull, "omar", "/godwit rollback production 0001_orders").await);
    world.in_store("UPDATE rollback_requests SET expires_at = 1").await;
    let dora = world.token("dora");
    for part in ["ask again: `/godwit rollback production migrations/0001_orders`", "is withdrawn"] {
        let (code, out, err) = world.godwit(&work, &dora, &["confirm", &id, "--for", "acme/shop"]).await;
        assert_eq!(code, 3, "{out}\n{err}");
        assert!(err.contains(part), "{part}\n{err}");
    }
    world.settle().await;
    assert!(world.has_table("production", "orders").await);
}

/// Production says nothing, so a backup is made before every run; staging wants none.
const CAREFUL: &str = "development:\n  targets:\n    shop: { engine: sqlite, url: \"sqlite:${SHOP_DEVELOPMENT}\" }\n  \
     migration: { auto_approve: true }\nstaging:\n  targets:\n    shop: { engine: sqlite, url: \"sqlite:${SHOP_STAGING}\" }\n  \
     migration: { backup_required: false }\nproduction:\n  targets:\n    shop: { engine: sqlite, url: \"sqlite:${SHOP_PRODUCTION}\" }\n";

/// The backups that the log knows of an environment, with how each ended.
async fn backups(world: &World, environment: &str) -> Vec<String> {
    let log = world.store.audit(&Default::default()).await.unwrap();
    let of_it = log.into_iter().map(|r| r.body).filter(|b| b.action == "backup");
    of_it.filter(|b| b.environment.as_deref() == Some(environment)).map(|b| b.result).collect()
}

#[tokio::test]
async fn r24_s3_29_a_rollback_makes_the_backup_that_every_run_there_makes() {
    let world = World::start_with(&[("policies/environments.yml", CAREFUL)]).await;
    let pull = merged(&world).await;
    assert_eq!(backups(&world, "production").await, ["verified"]);
    assert_eq!(backups(&world, "staging").await, [""; 0], "nothing is taken away by a new table");
    // Where a script takes data away there is one in any case.
    let said = world.ask(&pull, "omar", "/godwit rollback staging 0001_orders").await;
    assert!(said.contains("a backup of all of it is made and verified first"), "{said}");
    assert!(!world.has_table("staging", "orders").await, "{}", run_comment(&pull, "staging"));
    assert_eq!(backups(&world, "staging").await, ["verified"]);
    let id = request(&world.ask(&pull, "omar", "/godwit rollback production 0001_orders").await);
    world.ask(&pull, "dora", &format!("/godwit confirm {id}")).await;
    assert!(!world.has_table("production", "orders").await, "{}", run_comment(&pull, "production"));
    assert_eq!(backups(&world, "production").await, ["verified", "verified"]);
}
