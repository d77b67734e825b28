//! The server killed or stopped in the middle of a merge, and pushes and repeats at the same time (B-7, B-8).

use godwit::sandbox::PullHandle;

use super::process::{ENVIRONMENTS, Shop, history, metric};
use super::world::run_comment;

const ORDERS: [(&str, &str); 2] = [
    (
        "migrations/0001_orders.up.sql",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY);\nINSERT INTO orders VALUES (1);\n",
    ),
    ("migrations/0002_items.up.sql", "CREATE TABLE items (id INTEGER PRIMARY KEY);\nINSERT INTO items VALUES (1);\n"),
];

/// Everything is as if nobody had killed anything.
fn assert_done(shop: &Shop, pull: &PullHandle, what: &str) {
    for environment in ENVIRONMENTS {
        let file = shop.dir.path().join(format!("{environment}.db"));
        assert_eq!(history(&file), ["0001_orders applied", "0002_items applied"], "{what} {environment}");
        let told = run_comment(pull, environment);
        assert!(told.contains("2 migrations applied") && !told.contains('❌'), "{what}: {told}");
        assert!(told.contains("0001_orders") && told.contains("0002_items"), "{what}: {told}");
        assert!(pull.labels().unwrap().contains(&format!("migrated:{environment}")), "{what}");
        assert_eq!(shop.audited("run-finished", environment), 1, "{what}: {environment} ended once");
    }
    assert_eq!(shop.open_runs(), 0, "{what}: a run never ended");
    // Reading it checks the chain.
    assert!(!shop.audit().is_empty());
}

/// A server that ends at `point` after the merge, and one that goes on.
fn killed_at(point: &str) {
    let shop = Shop::sqlite();
    let served = shop.serve(Some(point));
    let pull = shop.approved("orders", &ORDERS);
    shop.merge(&pull);
    assert_eq!(served.wait().code(), None, "{point} was not come to");
    let served = shop.serve(None);
    shop.until("production has it", || pull.labels().unwrap().contains(&"migrated:production".to_owned()));
    shop.rest();
    assert_done(&shop, &pull, point);
    assert!(metric(&served, "godwit_unknown_runs").iter().all(|l| l.ends_with(" 0")));
}

#[test]
fn b8_killed_at_the_steps_of_a_run_it_ends_as_if_never_killed() {
    // A script runs in one transaction, so a point between statements comes once for each migration.
    for point in ["lock_post:kill:1", "intent_post:kill:2", "stmt_sent:kill:2", "commit_sent:kill:3"] {
        killed_at(point);
    }
}

#[test]
fn b8_killed_after_the_commit_nothing_runs_twice() {
    for point in ["commit_acked:kill:1", "record_pre:kill:2", "record_post:kill:1", "unlock_pre:kill:3"] {
        killed_at(point);
    }
}

#[test]
fn b8_b10_killed_around_and_between_environments_it_goes_on_with_the_next() {
    for point in godwit::drivers::failpoint::OF_THE_BOT {
        killed_at(&format!("{point}:kill:2"));
    }
}
