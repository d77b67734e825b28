//! Bad days on request.

use std::time::{Duration, Instant};

use serde_json::json;

use super::client::Client;
use super::receiver::Receiver;
use super::{Shop, shop};
use godwit::sandbox::{Fault, FaultKind, WebhookFault, WebhookFaultKind};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn limits_come_with_githubs_headers() {
    let Shop { sandbox, .. } = shop();
    let client = Client::of(&sandbox);
    sandbox.fault(Fault::new("/repos/", 1, FaultKind::SecondaryLimit { retry_after: Some(7) }));
    sandbox.fault(Fault::new("/repos/", 1, FaultKind::TooManyRequests { retry_after: None }));
    sandbox.fault(Fault::new("/repos/", 1, FaultKind::PrimaryLimit { reset_in: 60 }));
    let first = client.get("/repos/acme/shop");
    assert_eq!((first.status, first.header("retry-after")), (403, Some("7")));
    let second = client.get("/repos/acme/shop");
    assert_eq!((second.status, second.header("retry-after")), (429, None));
    let third = client.get("/repos/acme/shop");
    assert_eq!((third.status, third.header("x-ratelimit-remaining")), (403, Some("0")));
    client.get("/repos/acme/shop").expect(200);
}

#[test]
fn a_lost_answer_leaves_the_work_done_and_a_lost_request_does_not() {
    let Shop { sandbox, pull, .. } = shop();
    let client = Client::of(&sandbox);
    let post =
        |text: &str| client.try_send("POST", "/repos/acme/shop/issues/1/comments", Some(json!({ "body": text })));
    sandbox.fault(Fault::new("/comments", 1, FaultKind::LoseAnswer));
    assert!(post("arrives").is_err());
    sandbox.fault(Fault::new("/comments", 1, FaultKind::LoseRequest));
    assert!(post("does not").is_err());
    let bodies: Vec<String> = pull.comments().unwrap().into_iter().map(|c| c.body).collect();
    assert_eq!(bodies, ["arrives"]);
}

#[test]
fn slow_answers_are_slow() {
    let Shop { sandbox, .. } = shop();
    let client = Client::of(&sandbox);
    sandbox.fault(Fault::new("/repos/acme/shop", 1, FaultKind::Slow(Duration::from_millis(300))));
    let started = Instant::now();
    client.get("/repos/acme/shop").expect(200);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[test]
fn webhooks_are_lost_repeated_delayed_and_overtaken() {
    let Shop { sandbox, pull, .. } = shop();
    let receiver = Receiver::start();
    sandbox.set_webhook_url(&receiver.url);
    sandbox.webhook_fault(WebhookFault::new(1, WebhookFaultKind::Lose).on("issue_comment.created"));
    sandbox.webhook_fault(WebhookFault::new(1, WebhookFaultKind::Repeat(1)).on("issue_comment"));
    sandbox.webhook_fault(WebhookFault::new(1, WebhookFaultKind::Overtaken(1)).on("issue_comment"));
    sandbox
        .webhook_fault(WebhookFault::new(1, WebhookFaultKind::Delay(Duration::from_millis(200))).on("issue_comment"));
    for text in ["lost", "twice", "overtaken", "late", "last"] {
        pull.comment("bob", text).unwrap();
    }
    sandbox.wait_for_deliveries(SOON).unwrap();
    let bodies = || -> Vec<String> {
        receiver.got().iter().map(|g| g.payload["comment"]["body"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(bodies(), ["twice", "twice", "last", "overtaken", "late"]);
    let guids: Vec<String> = receiver.got().iter().map(|g| g.header("x-github-delivery").to_owned()).collect();
    assert_eq!(guids[0], guids[1], "a repetition keeps its delivery id");
    // What was lost is listed as failed and can be asked for again.
    let app = Client::app(&sandbox);
    let listed = app.get("/app/hook/deliveries?per_page=100").expect(200);
    let lost = listed.as_array().unwrap().iter().find(|d| d["status_code"] == 502).unwrap();
    assert_eq!(app.post(&format!("/app/hook/deliveries/{}/attempts", lost["id"]), json!({})).status, 202);
    sandbox.wait_for_deliveries(SOON).unwrap();
    assert_eq!(bodies().last().unwrap(), "lost");
    assert_eq!(receiver.got().last().unwrap().header("x-github-delivery"), lost["guid"].as_str().unwrap());
}
