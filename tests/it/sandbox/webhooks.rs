//! Each webhook that the stand-in fires, received, its signature checked, compared with GitHub's description.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;

use super::client::Client;
use super::receiver::Receiver;
use super::{Shop, shop};
use crate::contract;
use godwit::sandbox::{Change, MergeMethod, NewCommit, NewPull, ReviewVerdict};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn every_action_of_people_is_told_in_order() {
    let Shop { sandbox, repo, pull } = shop();
    let receiver = Receiver::start();
    sandbox.set_webhook_url(&receiver.url);
    let change = |n: u32| [Change::write(format!("migrations/000{n}_x.sql"), "select 1;\n")];
    pull.push("alice", &[NewCommit::new("alice", "More", &change(2))]).unwrap();
    pull.force_push("alice", "main", &[NewCommit::new("alice", "Again", &change(3)).committed_by("bob")]).unwrap();
    let review = pull.review("carol", ReviewVerdict::Approve, "yes").unwrap();
    pull.dismiss_review("bob", review, "no").unwrap();
    let comment = pull.comment("bob", "/godwit status").unwrap();
    pull.edit_comment("bob", comment, "never mind").unwrap();
    pull.delete_comment("bob", comment).unwrap();
    pull.add_label("bob", "hold").unwrap();
    pull.remove_label("bob", "hold").unwrap();
    pull.edit("alice", Some("Title"), Some("Body")).unwrap();
    repo.commit("release", "bob", "Branch", &change(4)).unwrap();
    pull.change_base("alice", "release").unwrap();
    pull.change_base("alice", "main").unwrap();
    pull.set_draft("alice", true).unwrap();
    pull.set_draft("alice", false).unwrap();
    pull.close("alice").unwrap();
    pull.reopen("alice").unwrap();
    pull.merge("bob", MergeMethod::Rebase).unwrap();
    repo.delete_branch("orders", "bob").unwrap();
    sandbox.wait_for_deliveries(SOON).unwrap();
    let expected = [
        "push",
        "pull_request.synchronize",
        "push",
        "pull_request.synchronize",
        "pull_request_review.submitted",
        "pull_request_review.dismissed",
        "issue_comment.created",
        "issue_comment.edited",
        "issue_comment.deleted",
        "pull_request.labeled",
        "pull_request.unlabeled",
        "pull_request.edited",
        "push",
        "pull_request.edited",
        "pull_request.edited",
        "pull_request.converted_to_draft",
        "pull_request.ready_for_review",
        "pull_request.closed",
        "pull_request.reopened",
        "push",
        "pull_request.closed",
        "push",
    ];
    assert_eq!(receiver.names(), expected);
    for got in receiver.got() {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"the stand-in's webhook secret").unwrap();
        mac.update(&got.raw);
        let expected = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        assert_eq!(got.header("x-hub-signature-256"), expected);
        assert_eq!(got.payload["installation"]["id"], sandbox.installation_id());
        assert!(got.payload["repository"]["clone_url"].as_str().unwrap().ends_with("/acme/shop.git"));
    }
    let forced = &receiver.got()[2].payload;
    assert_eq!((&forced["forced"], &forced["commits"][0]["committer"]["username"]), (&json!(true), &json!("bob")));
    contract::validate(&sandbox.recorder());
}

#[test]
fn the_merge_queue_and_the_checks_are_told() {
    let Shop { sandbox, repo, pull } = shop();
    let client = Client::of(&sandbox);
    let receiver = Receiver::start();
    sandbox.set_webhook_url(&receiver.url);
    let new = json!({ "name": "godwit / lint", "head_sha": pull.head_sha().unwrap(), "status": "in_progress" });
    let id = client.post("/repos/acme/shop/check-runs", new).expect(201)["id"].as_u64().unwrap();
    client.patch(&format!("/repos/acme/shop/check-runs/{id}"), json!({ "conclusion": "success" })).expect(200);
    repo.rerequest_check_run("bob", id).unwrap();
    repo.rerequest_check_suite("bob", &pull.head_sha().unwrap()).unwrap();
    let made = client.post("/repos/acme/shop/issues", json!({ "title": "Notice", "labels": ["x"] })).expect(201);
    client.patch(&format!("/repos/acme/shop/issues/{}", made["number"]), json!({ "state": "closed" })).expect(200);
    let group = repo.merge_group("bob", &[pull.number()]).unwrap();
    repo.destroy_merge_group("bob", &group, "invalidated").unwrap();
    let group = repo.merge_group("bob", &[pull.number()]).unwrap();
    repo.complete_merge_group("bob", &group).unwrap();
    assert_eq!(pull.view().unwrap().merged.as_deref(), Some(group.head_sha.as_str()));
    assert_eq!(repo.branch_sha("main").unwrap(), group.head_sha);
    let new = NewPull { author: "alice", title: "t", head: "next", base: "main", draft: true, ..NewPull::default() };
    repo.commit("next", "alice", "Next", &[Change::delete("README.md")]).unwrap();
    repo.open_pull_request(&new).unwrap();
    sandbox.wait_for_deliveries(SOON).unwrap();
    let names = receiver.names();
    for name in [
        "check_run.created",
        "check_run.completed",
        "check_run.rerequested",
        "check_suite.rerequested",
        "issues.opened",
        "issues.labeled",
        "issues.closed",
        "pull_request.enqueued",
        "pull_request.dequeued",
        "merge_group.checks_requested",
        "merge_group.destroyed",
        "pull_request.opened",
    ] {
        assert!(names.iter().any(|n| n == name), "no {name} in {names:?}");
    }
    contract::validate(&sandbox.recorder());
}

#[test]
fn deliveries_can_be_listed_and_asked_for_again_with_the_same_id() {
    let Shop { sandbox, pull, .. } = shop();
    let receiver = Receiver::start();
    sandbox.set_webhook_url(&receiver.url);
    receiver.answer_with(500);
    pull.comment("bob", "one").unwrap();
    sandbox.wait_for_deliveries(SOON).unwrap();
    receiver.answer_with(202);
    pull.comment("bob", "two").unwrap();
    sandbox.wait_for_deliveries(SOON).unwrap();
    let app = Client::app(&sandbox);
    let first = app.get("/app/hook/deliveries?per_page=1");
    let next = first.header("link").unwrap();
    let next = next.trim_start_matches(&format!("<{}", sandbox.base_url())).split('>').next().unwrap().to_owned();
    assert_eq!(first.expect(200)[0]["status_code"], 202);
    let failed = app.get(&next).expect(200)[0].clone();
    assert_eq!(failed["status_code"], 500);
    app.get(&format!("/app/hook/deliveries/{}", failed["id"])).expect(200);
    app.post(&format!("/app/hook/deliveries/{}/attempts", failed["id"]), json!({})).expect(202);
    sandbox.wait_for_deliveries(SOON).unwrap();
    let got = receiver.got();
    assert_eq!(got.len(), 3);
    assert_eq!(got[0].header("x-github-delivery"), got[2].header("x-github-delivery"));
    assert_eq!(sandbox.recorder().webhooks.iter().find(|w| w.guid == failed["guid"]).unwrap().attempts, [500, 202]);
    contract::validate(&sandbox.recorder());
}
