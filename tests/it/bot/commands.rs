//! Commands in comments.

use super::world::{World, answer};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

#[tokio::test]
async fn b12_a_command_is_seen_at_once_and_answered_once() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let id = pull.comment("bob", "Hello\n\n/godwit help\n").unwrap();
    world.settle().await;
    let asked = pull.comments().unwrap().into_iter().find(|c| c.id == id).unwrap();
    assert!(asked.reactions.iter().any(|(_, what)| what == "eyes"), "{asked:?}");
    assert!(answer(&pull, id).contains("/godwit status"), "{}", answer(&pull, id));
    for (text, parts) in [
        ("/godwit status", &["production", "not merged"][..]),
        ("/godwit plan", &["development"]),
        ("/godwit plan staging", &["staging"]),
        ("/godwit apply staging", &["not merged"]),
        ("/godwit frobnicate", &["frobnicate", "`plan`"]),
        ("/godwit plan moon", &["`moon`", "`development`, `staging`, `production`"]),
        ("/godwit rollback staging 0001_orders", &["`@bob` may not", "`data_ops` (`@dana`, `@omar`)"]),
        ("/godwit promote production", &["`@bob` may not", "`dba` (`@acme/dba`)"]),
        ("/godwit lock staging freeze", &["`@bob` may not", "`data_ops`"]),
        ("/godwit emergency production fire", &["`@bob` may not", "`data_ops_lead` (`@dana`)"]),
        ("/godwit release production 0001_orders done", &["`@bob` may not"]),
        ("/godwit confirm 01ARZ3NDEKTSV4RRFFQ69G5FAV", &["no rollback that waits"]),
    ] {
        let id = pull.comment("bob", text).unwrap();
        world.settle().await;
        for part in parts {
            assert!(answer(&pull, id).contains(part), "{text}: {}", answer(&pull, id));
        }
    }
}

#[tokio::test]
async fn b12_strangers_edits_and_quotes_are_not_obeyed() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let id = pull.comment("mallory", "/godwit status").unwrap();
    world.settle().await;
    assert!(answer(&pull, id).contains("neither write access"), "{}", answer(&pull, id));
    let quoted = pull.comment("bob", "> /godwit status\n\n```\n/godwit help\n```").unwrap();
    let edited = pull.comment("bob", "nothing").unwrap();
    world.settle().await;
    pull.edit_comment("bob", edited, "/godwit help").unwrap();
    world.settle().await;
    assert_eq!((answer(&pull, quoted), answer(&pull, edited)), (String::new(), String::new()));
}

#[tokio::test]
async fn b17_a_refused_command_is_an_audit_record_and_strangers_do_not_fill_the_log() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    for (person, text) in [
        ("bob", "/godwit lock staging freeze\n/godwit unlock staging"),
        ("omar", "/godwit rollback staging 0001_orders"),
        // Neither a slip of the pen nor a look is one.
        ("bob", "/godwit frobnicate"),
        ("bob", "/godwit status"),
        ("mallory", "/godwit lock staging mine"),
        ("mallory", "/godwit emergency production mine"),
    ] {
        world.ask(&pull, person, text).await;
    }
    world.in_store("UPDATE jobs SET state = 'queued', due_at = 0 WHERE event LIKE '%/godwit%'").await;
    world.settle().await;
    let rows = world.store.audit(&Default::default()).await.unwrap();
    let refused: Vec<_> = rows.iter().map(|r| &r.body).filter(|b| b.action == "command-refused").collect();
    let told: Vec<_> =
        refused.iter().map(|b| (b.actor.as_str(), b.result.as_str(), b.environment.as_deref())).collect();
    assert_eq!(
        told,
        [
            ("bob", "refused", Some("staging")),
            ("bob", "refused", Some("staging")),
            ("omar", "refused", Some("staging")),
            ("mallory", "stranger", None),
        ]
    );
    assert_eq!(refused[0].details["text"], "/godwit lock staging freeze");
    assert!(refused[0].basis.as_deref().unwrap().contains("`@bob` may not do this"), "{:?}", refused[0]);
    assert!(refused[2].basis.as_deref().unwrap().contains("is no migration of this branch"), "{:?}", refused[2]);
}
