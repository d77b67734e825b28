//! What the App does on GitHub besides checks and comments: asking for reviews, writing files, answering jobs; and what
//! owners do with the App.

use std::time::Duration;

use serde_json::json;

use super::client::Client;
use super::receiver::Receiver;
use super::{Shop, shop};
use crate::contract;
use godwit::sandbox::Permission;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn reviews_are_asked_for_all_or_none() {
    let Shop { sandbox, repo, pull } = shop();
    sandbox.grant_team("acme/dba", "acme/shop", Permission::Write).unwrap();
    let client = Client::of(&sandbox);
    let url = "/repos/acme/shop/pulls/1/requested_reviewers";
    client.post(url, json!({ "reviewers": ["alice"] })).expect(422);
    client.post(url, json!({ "reviewers": ["bob", "nobody"] })).expect(422);
    client.post(url, json!({ "team_reviewers": ["no-such-team"] })).expect(422);
    assert_eq!(pull.requested_reviewers().unwrap(), (vec![], vec![]));
    let asked = client.post(url, json!({ "reviewers": ["bob"], "team_reviewers": ["dba"] })).expect(201);
    assert_eq!(asked["requested_teams"][0]["slug"], "dba");
    client.post(url, json!({ "reviewers": ["bob"] })).expect(201);
    assert_eq!(client.get(url).expect(200)["users"][0]["login"], "bob");
    pull.review("bob", godwit::sandbox::ReviewVerdict::Comment, "hm").unwrap();
    assert_eq!(pull.requested_reviewers().unwrap(), (vec![], vec!["dba".to_owned()]));
    client.send("DELETE", url, Some(json!({ "reviewers": [], "team_reviewers": ["dba"] }))).expect(200);
    assert_eq!(pull.requested_reviewers().unwrap(), (vec![], vec![]));
    assert_eq!(repo.pulls().unwrap(), [1]);
    contract::validate(&sandbox.recorder());
}

#[test]
fn files_are_written_and_proposed() {
    let Shop { sandbox, repo, .. } = shop();
    let tip = repo.branch_sha("main").unwrap();
    let tree = json!({ "base_tree": tip, "tree": [{ "path": "a/b.yml", "mode": "100644", "type": "blob", "content": "x: 1\n" }] });
    // Reading is all that the App may do by itself.
    Client::of(&sandbox).post("/repos/acme/shop/git/trees", tree.clone()).expect(403);
    sandbox.allow("contents", "write");
    let client = Client::of(&sandbox);
    let tree = client.post("/repos/acme/shop/git/trees", tree).expect(201);
    let commit = json!({ "message": "Add", "tree": tree["sha"], "parents": [tip] });
    let commit = client.post("/repos/acme/shop/git/commits", commit).expect(201);
    let branch = json!({ "ref": "refs/heads/proposal", "sha": commit["sha"] });
    client.post("/repos/acme/shop/git/refs", branch.clone()).expect(201);
    client.post("/repos/acme/shop/git/refs", branch).expect(422);
    let pull = json!({ "title": "Add", "head": "proposal", "base": "main", "body": "" });
    let opened = client.post("/repos/acme/shop/pulls", pull.clone()).expect(201);
    client.post("/repos/acme/shop/pulls", pull).expect(422);
    assert_eq!(opened["user"]["login"], "godwit[bot]");
    assert_eq!(repo.file("proposal", "a/b.yml").unwrap().as_deref(), Some("x: 1\n"));
    assert_eq!(
        client.get("/repos/acme/shop/pulls?state=all&head=acme:proposal").expect(200).as_array().unwrap().len(),
        1
    );
    contract::validate(&sandbox.recorder());
}

#[test]
fn a_waiting_job_takes_ten_reports_and_one_word() {
    let Shop { sandbox, repo, .. } = shop();
    let receiver = Receiver::start();
    sandbox.set_webhook_url(&receiver.url);
    let run = repo.request_deployment("bob", "production", "main").unwrap();
    sandbox.wait_for_deliveries(SOON).unwrap();
    assert_eq!(receiver.names(), ["deployment_protection_rule.requested"]);
    let client = Client::of(&sandbox);
    let url = format!("/repos/acme/shop/actions/runs/{run}/deployment_protection_rule");
    client.post(&url, json!({ "environment_name": "staging", "comment": "x" })).expect(404);
    client.post(&url, json!({ "environment_name": "production", "comment": "x".repeat(1025) })).expect(422);
    for n in 0..10 {
        client.post(&url, json!({ "environment_name": "production", "comment": format!("{n}") })).expect(204);
    }
    client.post(&url, json!({ "environment_name": "production", "comment": "one more" })).expect(422);
    let word = json!({ "environment_name": "production", "state": "approved", "comment": "fine" });
    client.post(&url, word.clone()).expect(204);
    client.post(&url, word).expect(422);
    assert_eq!(repo.gates().unwrap()[0].state.as_deref(), Some("approved"));
    contract::validate(&sandbox.recorder());
}

#[test]
fn owners_rename_suspend_and_take_off() {
    let Shop { sandbox, repo, pull } = shop();
    let receiver = Receiver::start();
    sandbox.set_webhook_url(&receiver.url);
    repo.set_permission("bob", Permission::Admin).unwrap();
    let renamed = repo.rename("bob", "store").unwrap();
    let client = Client::of(&sandbox);
    let moved = client.get("/repos/acme/shop/pulls/1/commits?per_page=5");
    assert_eq!(moved.status, 301);
    let to = moved.header("location").unwrap().trim_start_matches(sandbox.base_url()).to_owned();
    assert!(to.starts_with("/repositories/") && to.ends_with("/pulls/1/commits?per_page=5"), "{to}");
    assert_eq!(client.get(&to).expect(200).as_array().unwrap().len(), 1);
    client.post("/repos/acme/shop/issues/1/labels", json!({ "labels": ["x"] })).expect(307);
    client.get("/repos/acme/store/pulls/1").expect(200);
    assert_eq!(renamed.pull(1).unwrap().head_sha().unwrap(), pull.head_sha().unwrap());
    renamed.remove_from_installation("bob").unwrap();
    renamed.add_to_installation("bob").unwrap();
    sandbox.suspend_app("bob");
    pull.comment("bob", "not heard").unwrap();
    client.get("/repos/acme/store").expect(401);
    sandbox.unsuspend_app("bob");
    sandbox.uninstall_app("bob");
    let app = Client::app(&sandbox);
    assert_eq!(app.get("/app/installations").expect(200), json!([]));
    app.post(&format!("/app/installations/{}/access_tokens", sandbox.installation_id()), json!({})).expect(404);
    sandbox.install_app("bob");
    sandbox.wait_for_deliveries(SOON).unwrap();
    let expected = [
        "repository.renamed",
        "installation_repositories.removed",
        "installation_repositories.added",
        "installation.suspend",
        "installation.unsuspend",
        "installation.deleted",
        "installation.created",
    ];
    assert_eq!(receiver.names(), expected);
    app.get("/app/hook/config").expect(200);
    contract::validate(&sandbox.recorder());
}

#[test]
fn buttons_send_back_what_the_app_wrote_on_them() {
    let Shop { sandbox, repo, pull } = shop();
    let client = Client::of(&sandbox);
    let receiver = Receiver::start();
    sandbox.set_webhook_url(&receiver.url);
    let action = |label: &str| json!({ "label": label, "description": "d", "identifier": "ask" });
    let new = |actions: serde_json::Value| json!({ "name": "x", "head_sha": pull.head_sha().unwrap(), "status": "in_progress", "actions": actions });
    client.post("/repos/acme/shop/check-runs", new(json!([action("a label that is far too long")]))).expect(422);
    let made = client.post("/repos/acme/shop/check-runs", new(json!([action("Ask")]))).expect(201);
    repo.press_check_action("bob", made["id"].as_u64().unwrap(), "ask").unwrap();
    sandbox.wait_for_deliveries(SOON).unwrap();
    let got = receiver.got();
    assert_eq!(got.last().unwrap().payload["requested_action"]["identifier"], "ask");
    contract::validate(&sandbox.recorder());
}
