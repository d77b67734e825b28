//! What a server's log tells of a merge, line by line.

use godwit::sandbox::{Fault, FaultKind};
use serde_json::Value;

use super::process::{ENVIRONMENTS, Shop};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

/// Whose lines follow from a delivery, or from what a sweep finds.
const AT_WORK: [&str; 4] = ["godwit::bot", "godwit::runner", "godwit::drivers", "godwit::git"];

fn lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[test]
fn r25_each_line_of_a_deliverys_work_names_it_and_runs_tell_of_themselves() {
    let shop = Shop::sqlite();
    let served = shop.serve(None);
    let pull = shop.approved("orders", &ORDERS);
    shop.merge(&pull);
    shop.until("production has it", || pull.labels().unwrap().contains(&"migrated:production".to_owned()));
    shop.rest();
    let webhooks = shop.sandbox.recorder().webhooks.clone();
    let merged = webhooks.iter().rev().find(|w| w.action.as_deref() == Some("closed")).unwrap().guid.clone();
    let log = served.log();
    let lines = lines(&log);
    for environment in ENVIRONMENTS {
        for message in ["a run begins", "a run ended"] {
            let told = lines.iter().find(|l| l["message"] == message && l["environment"] == environment);
            let told = told.unwrap_or_else(|| panic!("{message} in {environment}: {log}"));
            assert_eq!(told["delivery"], merged.as_str(), "{told}");
            assert_eq!((&told["level"], &told["targets"]), (&"INFO".into(), &"shop".into()), "{told}");
            assert_eq!(told["migrations"], "0001_orders", "{told}");
            assert!(told["run"].is_string(), "{told}");
            if message == "a run ended" {
                assert_eq!(told["outcome"], "applied", "{told}");
                assert!(told["duration_ms"].is_u64(), "{told}");
            }
        }
    }
}

#[test]
fn r25_a_worker_that_fails_says_for_which_delivery() {
    let shop = Shop::sqlite();
    let served = shop.serve_as(&[], &[("RUST_LOG", "godwit=debug")]);
    shop.webhooks_to(&served);
    let pull = shop.approved("orders", &ORDERS);
    shop.sandbox.fault(Fault::new(format!("/pulls/{}", pull.number()), u32::MAX, FaultKind::Status(500)));
    let asked = pull.comment("bob", "/godwit status").unwrap();
    shop.until("the work failed", || served.log().contains("the work failed"));
    let webhooks = shop.sandbox.recorder().webhooks.clone();
    let guid = webhooks.iter().rev().find(|w| w.event == "issue_comment").unwrap().guid.clone();
    let log = served.log();
    let lines = lines(&log);
    let failed = lines.iter().find(|l| l["message"] == "the work failed").unwrap();
    assert_eq!(failed["delivery"], guid.as_str(), "comment {asked}: {failed}");
    let received = lines.iter().find(|l| l["message"] == "delivery received" && l["delivery"] == guid.as_str());
    assert!(received.is_some(), "{log}");
    for line in &lines {
        let target = line["target"].as_str().unwrap();
        if AT_WORK.iter().any(|at| target.starts_with(at)) {
            assert!(line["delivery"].as_str().is_some_and(|d| !d.is_empty()), "{line}");
        }
    }
}
