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
