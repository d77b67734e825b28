//! A long run: it tells how far it is, and stops before its next statement when somebody asks.

use super::postgres::{GATE, Gate, ORDERS, is_waiting, shop, until_done};
use super::world::{answer, run_comment};
use crate::support::{Said, godwit};
use crate::webhook::http::store_url;

const AFTER: (&str, &str) = ("migrations/0003_after.up.sql", "CREATE TABLE after (id bigint);\n");

#[test]
fn a_run_that_goes_on_tells_how_far_it_is_and_is_cancelled_from_a_comment() {
    let (shop, databases) = shop();
    let _served = shop.serve(None);
    let pull = shop.approved("orders", &[ORDERS, GATE, AFTER]);
    let gate = Gate::shut(&databases[1]);
    shop.merge(&pull);
    shop.until("staging runs", || is_waiting(&databases[1]));
    shop.until_told(&pull, "staging", "running, 1 of 3 migrations done");
    let told = run_comment(&pull, "staging");
    assert!(told.contains("`0002_gate` on `shop`") && told.contains("/godwit cancel staging"), "{told}");
    // Heard while the run goes on.
    let refused = pull.comment("bob", "/godwit cancel staging").unwrap();
    shop.until("bob is answered", || answer(&pull, refused).contains("`@bob` may not"));
    let asked = pull.comment("omar", "/godwit cancel staging").unwrap();
    shop.until("omar is answered", || answer(&pull, asked).contains("to stop before its next statement"));
    // The run has heard of it when its comment says so.
    shop.until_told(&pull, "staging", "asked it to stop");
    gate.open();
    shop.until_told(&pull, "staging", "cancelled after 2 of 3 migrations");
    shop.rest();
    let told = run_comment(&pull, "staging");
    assert!(told.contains("by `@omar`") && told.contains("/godwit retry staging"), "{told}");
    assert_eq!(databases[1].history(), ["0001_orders applied", "0002_gate applied"]);
    assert!(databases[2].history().is_empty());
    assert_eq!(shop.open_runs(), 0);
    pull.comment("omar", "/godwit retry staging").unwrap();
    until_done(&shop, &pull);
    assert_eq!(databases[1].history(), ["0001_orders applied", "0002_gate applied", "0003_after applied"]);
    let idle = pull.comment("omar", "/godwit cancel staging").unwrap();
    shop.until("omar is answered", || answer(&pull, idle).contains("Nothing runs"));
}

#[test]
fn a_run_of_the_server_is_cancelled_from_the_command_line() {
    let (shop, databases) = shop();
    let _served = shop.serve(None);
    let pull = shop.approved("orders", &[ORDERS, GATE, AFTER]);
    let gate = Gate::shut(&databases[0]);
    shop.merge(&pull);
    shop.until("development runs", || is_waiting(&databases[0]));
    let store = store_url(shop.dir.path());
    let said = Said::from(
        godwit(shop.dir.path()).args(["cancel", "--env", "development", "--store", &store]).output().unwrap(),
    )
    .expect(0);
    assert!(said.stdout.contains("ends before its next statement"), "{said:?}");
    shop.until_told(&pull, "development", "asked it to stop");
    gate.open();
    shop.until_told(&pull, "development", "cancelled after 2 of 3 migrations");
    shop.rest();
    assert!(databases[1].history().is_empty());
    let said =
        Said::from(godwit(shop.dir.path()).args(["cancel", "--env", "staging", "--store", &store]).output().unwrap())
            .expect(0);
    assert!(said.stdout.contains("nothing runs in staging"), "{said:?}");
}
