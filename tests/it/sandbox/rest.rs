//! Each endpoint, asked by a plain client; what passed is compared with GitHub's description at the end of each test.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, jwt};
use super::{Shop, shop};
use crate::contract;
use godwit::sandbox::{Change, Fault, FaultKind, MergeMethod, NewPull, Permission, ReviewVerdict};

#[test]
fn the_app_finds_itself_and_makes_tokens() {
    let Shop { sandbox, repo, .. } = shop();
    let app = Client::app(&sandbox);
    let id = sandbox.installation_id();
    assert_eq!(app.get("/app").expect(200)["slug"], "godwit");
    assert_eq!(app.get("/app/installations").expect(200)[0]["id"], id);
    assert_eq!(app.get(&format!("/app/installations/{id}")).expect(200)["id"], id);
    assert_eq!(app.get("/repos/acme/shop/installation").expect(200)["id"], id);
    assert_eq!(app.get("/orgs/acme/installation").expect(200)["id"], id);
    app.get("/repos/acme/none/installation").expect(404);
    let asked = json!({ "repositories": ["shop"], "permissions": { "contents": "read" } });
    let token = app.post(&format!("/app/installations/{id}/access_tokens"), asked).expect(201);
    assert_eq!(token["permissions"], json!({ "contents": "read", "metadata": "read" }));
    let few = Client::new(sandbox.base_url(), token["token"].as_str().unwrap());
    few.get("/repos/acme/shop/contents/README.md").expect(200);
    few.get("/repos/acme/shop/pulls").expect(403);
    assert_eq!(few.get("/installation/repositories").expect(200)["total_count"], 1);
    app.post(&format!("/app/installations/{id}/access_tokens"), json!({ "repositories": ["other"] })).expect(422);
    let too_much = json!({ "permissions": { "contents": "write" } });
    app.post(&format!("/app/installations/{id}/access_tokens"), too_much).expect(422);
    Client::of(&sandbox).get("/rate_limit").expect(200);
    repo.set_installed(false).unwrap();
    app.get("/repos/acme/shop/installation").expect(404);
    contract::validate(&sandbox.recorder());
}

#[test]
fn credentials_that_github_refuses_are_refused() {
    let Shop { sandbox, repo, .. } = shop();
    let base = sandbox.base_url();
    for (token, why) in [
        ("nonsense".to_owned(), "no JWT"),
        (jwt(sandbox.app_id() + 1, 0, 540), "another App"),
        (jwt(sandbox.app_id(), 1200, -600), "expired"),
        (jwt(sandbox.app_id(), 0, 3600), "too long"),
        (jwt(sandbox.app_id(), -3600, 4000), "from the future"),
    ] {
        assert_eq!(Client::new(base, &token).get("/app").status, 401, "{why}");
    }
    Client::new(base, "ghs_unknown").get("/repos/acme/shop").expect(401);
    let client = Client::of(&sandbox);
    client.get("/repos/acme/shop").expect(200);
    sandbox.advance_clock(Duration::from_secs(3700));
    client.get("/repos/acme/shop").expect(401);
    let client = Client::of(&sandbox);
    sandbox.set_suspended(true);
    client.get("/repos/acme/shop").expect(403);
    sandbox.set_suspended(false);
    repo.set_private().unwrap();
    repo.set_installed(false).unwrap();
    client.get("/repos/acme/shop").expect(404);
    contract::validate(&sandbox.recorder());
}

#[test]
fn pull_requests_are_listed_with_files_commits_and_reviews() {
    let Shop { sandbox, repo, pull } = shop();
    let client = Client::of(&sandbox);
    pull.review("bob", ReviewVerdict::Approve, "fine").unwrap();
    let dismissed = pull.review("carol", ReviewVerdict::RequestChanges, "no").unwrap();
    pull.dismiss_review("bob", dismissed, "settled").unwrap();
    let one = client.get("/repos/acme/shop/pulls/1").expect(200);
    assert_eq!((&one["mergeable"], &one["changed_files"], &one["commits"]), (&json!(true), &json!(1), &json!(1)));
    assert_eq!(client.get("/repos/acme/shop/pulls?state=all&per_page=100").expect(200)[0]["number"], 1);
    assert_eq!(client.get("/repos/acme/shop/pulls?head=acme:orders&base=main").expect(200)[0]["number"], 1);
    assert_eq!(client.get("/repos/acme/shop/pulls?state=closed").expect(200), json!([]));
    let files = client.get("/repos/acme/shop/pulls/1/files?per_page=100").expect(200);
    assert_eq!(files[0]["filename"], "migrations/0001_orders.sql");
    assert_eq!(files[0]["status"], "added");
    assert!(files[0]["patch"].as_str().unwrap().starts_with("@@ -0,0 +1 @@\n+CREATE TABLE"));
    let commits = client.get("/repos/acme/shop/pulls/1/commits").expect(200);
    assert_eq!(commits[0]["author"]["login"], "alice");
    let reviews = client.get("/repos/acme/shop/pulls/1/reviews").expect(200);
    assert_eq!(reviews[0]["state"], "APPROVED");
    assert_eq!(reviews[1]["state"], "DISMISSED");
    client.get(&format!("/repos/acme/shop/pulls/1/reviews/{dismissed}")).expect(200);
    let head = pull.head_sha().unwrap();
    assert_eq!(client.get(&format!("/repos/acme/shop/commits/{head}/pulls")).expect(200)[0]["number"], 1);
    client.get("/repos/acme/shop/pulls/9").expect(404);
    let merged = pull.merge("bob", MergeMethod::Squash).unwrap();
    let one = client.get("/repos/acme/shop/pulls/1").expect(200);
    assert_eq!((&one["merged"], &one["merge_commit_sha"]), (&json!(true), &json!(merged)));
    assert_eq!(one["changed_files"], 1, "a squashed pull request still shows its files");
    assert_eq!(client.get(&format!("/repos/acme/shop/commits/{merged}/pulls")).expect(200)[0]["number"], 1);
    assert_eq!(repo.file("main", "migrations/0001_orders.sql").unwrap().unwrap().len(), 33);
    contract::validate(&sandbox.recorder());
}

#[test]
fn comments_are_written_edited_deleted_and_paged() {
    let Shop { sandbox, pull, .. } = shop();
    let client = Client::of(&sandbox);
    for n in 0..34 {
        pull.comment("bob", &format!("comment {n}")).unwrap();
    }
    let made = client.post("/repos/acme/shop/issues/1/comments", json!({ "body": "<!-- m -->\nhello" })).expect(201);
    assert_eq!(made["user"]["login"], "godwit[bot]");
    assert_eq!(made["performed_via_github_app"]["slug"], "godwit");
    let id = made["id"].as_u64().unwrap();
    let first = client.get("/repos/acme/shop/issues/1/comments");
    assert!(first.header("link").unwrap().contains("page=2>; rel=\"next\""), "{:?}", first.headers);
    assert_eq!(first.expect(200).as_array().unwrap().len(), 30);
    let second = client.get("/repos/acme/shop/issues/1/comments?page=2");
    assert!(second.header("link").unwrap().contains("rel=\"prev\""));
    assert_eq!(second.expect(200).as_array().unwrap().len(), 5);
    let url = format!("/repos/acme/shop/issues/comments/{id}");
    assert_eq!(client.patch(&url, json!({ "body": "new" })).expect(200)["body"], "new");
    assert_eq!(client.get(&url).expect(200)["body"], "new");
    assert_eq!(client.post(&format!("{url}/reactions"), json!({ "content": "eyes" })).status, 201);
    assert_eq!(client.post(&format!("{url}/reactions"), json!({ "content": "eyes" })).status, 200);
    assert_eq!(client.get(&format!("{url}/reactions")).expect(200)[0]["content"], "eyes");
    client.post(&format!("{url}/reactions"), json!({ "content": "thumb" })).expect(422);
    let long = json!({ "body": "ä".repeat(65_536) });
    client.post("/repos/acme/shop/issues/1/comments", long).expect(201);
    let longer = json!({ "body": "ä".repeat(65_537) });
    client.post("/repos/acme/shop/issues/1/comments", longer).expect(422);
    client.post("/repos/acme/shop/issues/1/comments", json!({ "body": " " })).expect(422);
    let hide = json!({
        "query": "mutation($input: MinimizeCommentInput!) { minimizeComment(input: $input) { minimizedComment { isMinimized } } }",
        "variables": { "input": { "subjectId": made["node_id"], "classifier": "OUTDATED" } },
    });
    assert_eq!(
        client.post("/graphql", hide).expect(200)["data"]["minimizeComment"]["minimizedComment"]["isMinimized"],
        true
    );
    assert!(pull.comments().unwrap().iter().any(|c| c.id == id && c.minimized.as_deref() == Some("OUTDATED")));
    assert_eq!(client.delete(&url).status, 204);
    client.get(&url).expect(404);
    contract::validate(&sandbox.recorder());
}

#[test]
fn labels_and_the_timeline_say_who_did_it() {
    let Shop { sandbox, pull, .. } = shop();
    let client = Client::of(&sandbox);
    let label = json!({ "name": "risk:high", "color": "B60205", "description": "what can go wrong" });
    client.post("/repos/acme/shop/labels", label.clone()).expect(201);
    assert_eq!(client.post("/repos/acme/shop/labels", label).expect(422)["errors"][0]["code"], "already_exists");
    client.post("/repos/acme/shop/labels", json!({ "name": "x", "color": "#b60205" })).expect(422);
    client.get("/repos/acme/shop/labels/risk%3Ahigh").expect(200);
    client.patch("/repos/acme/shop/labels/risk%3Ahigh", json!({ "color": "00ff00" })).expect(200);
    client.get("/repos/acme/shop/labels?per_page=100").expect(200);
    client.post("/repos/acme/shop/issues/1/labels", json!({ "labels": ["risk:high", "needs:dba"] })).expect(200);
    pull.add_label("bob", "approved:dba").unwrap();
    let now = client.get("/repos/acme/shop/issues/1/labels").expect(200);
    assert_eq!(now.as_array().unwrap().len(), 3);
    client.delete("/repos/acme/shop/issues/1/labels/needs%3Adba").expect(200);
    assert_eq!(
        client.delete("/repos/acme/shop/issues/1/labels/needs%3Adba").expect(404)["message"],
        "Label does not exist"
    );
    client.send("PUT", "/repos/acme/shop/issues/1/labels", Some(json!({ "labels": ["hold"] }))).expect(200);
    assert_eq!(pull.labels().unwrap(), ["hold"]);
    pull.edit("alice", Some("Orders"), None).unwrap();
    pull.comment("bob", "hi").unwrap();
    let review = pull.review("bob", ReviewVerdict::Approve, "").unwrap();
    pull.dismiss_review("carol", review, "too early").unwrap();
    pull.close("alice").unwrap();
    pull.reopen("alice").unwrap();
    let timeline = client.get("/repos/acme/shop/issues/1/timeline?per_page=100").expect(200);
    let by = |event: &str| {
        let found =
            timeline.as_array().unwrap().iter().find(|t| t["event"] == event && t["label"]["name"] == "approved:dba");
        found.map(|t| t["actor"]["login"].clone())
    };
    assert_eq!(by("labeled"), Some(json!("bob")));
    assert_eq!(by("unlabeled"), Some(json!("godwit[bot]")));
    let words: Vec<&str> = timeline.as_array().unwrap().iter().filter_map(|t| t["event"].as_str()).collect();
    for word in ["committed", "commented", "reviewed", "review_dismissed", "renamed", "closed", "reopened"] {
        assert!(words.contains(&word), "no {word} in {words:?}");
    }
    client.get("/repos/acme/shop/issues/1/events?per_page=100").expect(200);
    assert_eq!(client.delete("/repos/acme/shop/issues/1/labels").status, 204);
    assert_eq!(client.delete("/repos/acme/shop/labels/hold").status, 204);
    contract::validate(&sandbox.recorder());
}

fn annotation(line: u64) -> Value {
    json!({ "path": "migrations/0001_orders.sql", "start_line": line, "end_line": line, "annotation_level": "warning", "message": "m", "title": "t" })
}

#[test]
fn check_runs_keep_githubs_limits() {
    let Shop { sandbox, repo, pull } = shop();
    let client = Client::of(&sandbox);
    let head = pull.head_sha().unwrap();
    let new = |conclusion: Option<&str>, notes: usize, summary: String| {
        let mut body = json!({
            "name": "godwit / lint", "head_sha": head, "external_id": "job 1",
            "output": { "title": "T", "summary": summary, "annotations": (1..=notes as u64).map(annotation).collect::<Vec<_>>() },
        });
        match conclusion {
            Some(conclusion) => {
                body["status"] = json!("completed");
                body["conclusion"] = json!(conclusion);
            }
            None => body["status"] = json!("in_progress"),
        }
        client.post("/repos/acme/shop/check-runs", body)
    };
    new(None, 51, "s".to_owned()).expect(422);
    new(None, 0, "ä".repeat(65_536)).expect(422);
    new(Some("stale"), 0, "s".to_owned()).expect(422);
    let made = new(None, 50, "ä".repeat(65_535)).expect(201);
    let url = format!("/repos/acme/shop/check-runs/{}", made["id"]);
    assert_eq!(made["pull_requests"][0]["number"], 1);
    let more =
        json!({ "conclusion": "failure", "output": { "title": "T", "summary": "s", "annotations": [annotation(51)] } });
    assert_eq!(client.patch(&url, more).expect(200)["output"]["annotations_count"], 51, "annotations are appended");
    assert_eq!(client.get(&url).expect(200)["conclusion"], "failure");
    assert_eq!(client.get(&format!("{url}/annotations?per_page=100")).expect(200).as_array().unwrap().len(), 51);
    new(Some("success"), 0, "s".to_owned()).expect(201);
    repo.foreign_check_run("other-app", "godwit / lint", &head, "success").unwrap();
    let listed =
        client.get(&format!("/repos/acme/shop/commits/{head}/check-runs?check_name=godwit+%2F+lint")).expect(200);
    assert_eq!(listed["total_count"], 2, "the latest of each App");
    let all = client.get(&format!("/repos/acme/shop/commits/{head}/check-runs?filter=all&app_id={}", sandbox.app_id()));
    assert_eq!(all.expect(200)["total_count"], 2);
    let foreign = repo.check_runs(None).unwrap().iter().find(|c| c.app == "other-app").unwrap().id;
    client.patch(&format!("/repos/acme/shop/check-runs/{foreign}"), json!({ "conclusion": "failure" })).expect(403);
    assert_eq!(pull.check_runs().unwrap().len(), 2);
    contract::validate(&sandbox.recorder());
}

#[test]
fn statuses_and_deployments_are_kept() {
    let Shop { sandbox, repo, pull } = shop();
    let client = Client::of(&sandbox);
    let head = pull.head_sha().unwrap();
    let status =
        json!({ "state": "success", "context": "godwit/staging", "description": "d", "target_url": "http://x/" });
    client.post(&format!("/repos/acme/shop/statuses/{head}"), status).expect(201);
    let long = json!({ "state": "success", "description": "x".repeat(141) });
    client.post(&format!("/repos/acme/shop/statuses/{head}"), long).expect(422);
    assert_eq!(client.get(&format!("/repos/acme/shop/commits/{head}/status")).expect(200)["state"], "success");
    client.get(&format!("/repos/acme/shop/commits/{head}/statuses")).expect(200);
    let deployment = json!({
        "ref": head, "environment": "staging", "auto_merge": false, "required_contexts": [], "payload": { "run": "1" },
        "description": "migrations",
    });
    let made = client.post("/repos/acme/shop/deployments", deployment).expect(201);
    let url = format!("/repos/acme/shop/deployments/{}", made["id"]);
    client.get(&url).expect(200);
    client.get("/repos/acme/shop/deployments?environment=staging").expect(200);
    for state in ["queued", "in_progress", "success"] {
        client.post(&format!("{url}/statuses"), json!({ "state": state, "log_url": "http://x/log" })).expect(201);
    }
    client.get(&format!("{url}/statuses")).expect(200);
    assert_eq!(repo.deployments().unwrap()[0].states, ["queued", "in_progress", "success"]);
    assert_eq!(repo.statuses().unwrap()[0].context, "godwit/staging");
    client
        .post("/repos/acme/shop/check-runs", json!({ "name": "c", "head_sha": head, "conclusion": "failure" }))
        .expect(201);
    client.post("/repos/acme/shop/deployments", json!({ "ref": head })).expect(409);
    contract::validate(&sandbox.recorder());
}

#[test]
fn people_and_teams_are_asked_for() {
    let Shop { sandbox, repo, .. } = shop();
    let client = Client::of(&sandbox);
    sandbox.invite_to_team("acme/dba", "dave").unwrap();
    sandbox.add_team("acme/dba-eu", &["erin"]).unwrap();
    sandbox.nest_team("acme/dba-eu", "dba").unwrap();
    sandbox.add_team("acme/hidden", &["bob"]).unwrap();
    sandbox.hide_team("acme/hidden").unwrap();
    sandbox.grant_team("acme/dba", "acme/shop", Permission::Maintain).unwrap();
    let state = |login: &str| client.get(&format!("/orgs/acme/teams/dba/memberships/{login}"));
    assert_eq!(state("carol").expect(200)["state"], "active");
    assert_eq!(state("dave").expect(200)["state"], "pending");
    assert_eq!(state("erin").expect(200)["state"], "active", "members of teams below count");
    state("bob").expect(404);
    client.get("/orgs/acme/teams/hidden/memberships/bob").expect(404);
    assert_eq!(client.get("/orgs/acme/teams/dba/members?per_page=100").expect(200).as_array().unwrap().len(), 2);
    client.get("/orgs/acme/teams/dba").expect(200);
    assert_eq!(client.get("/orgs/acme/teams").expect(200).as_array().unwrap().len(), 2);
    let permission = |login: &str| client.get(&format!("/repos/acme/shop/collaborators/{login}/permission"));
    assert_eq!(permission("alice").expect(200)["permission"], "write");
    let erin = permission("erin").expect(200);
    assert_eq!((&erin["permission"], &erin["role_name"]), (&json!("write"), &json!("maintain")));
    repo.set_permission("tom", Permission::Triage).unwrap();
    assert_eq!(permission("tom").expect(200)["permission"], "read");
    permission("nobody").expect(404);
    client.get("/users/alice").expect(200);
    client.get("/users/nobody").expect(404);
    contract::validate(&sandbox.recorder());
}

#[test]
fn repositories_give_commits_files_and_rules() {
    let Shop { sandbox, repo, pull } = shop();
    let client = Client::of(&sandbox);
    repo.require_checks("main", &["godwit / approval"]).unwrap();
    let odd = "migrations/0002 ä#?%.sql";
    repo.commit("main", "bob", "Odd name", &[Change::write(odd, "select 1;\n")]).unwrap();
    let head = pull.head_sha().unwrap();
    assert_eq!(client.get("/repos/acme/shop").expect(200)["default_branch"], "main");
    client.get("/repos/acme/shop/branches").expect(200);
    assert_eq!(client.get("/repos/acme/shop/branches/main").expect(200)["protected"], true);
    let rules = client.get("/repos/acme/shop/rules/branches/main").expect(200);
    assert_eq!(rules[0]["type"], "required_status_checks");
    client.get("/repos/acme/shop/commits?sha=main&path=README.md").expect(200);
    assert_eq!(client.get(&format!("/repos/acme/shop/commits/{head}")).expect(200)["files"][0]["status"], "added");
    client.get("/repos/acme/shop/commits/none").expect(422);
    let compared = client.get(&format!("/repos/acme/shop/compare/main...{head}")).expect(200);
    assert_eq!((&compared["status"], &compared["ahead_by"]), (&json!("diverged"), &json!(1)));
    client.get("/repos/acme/shop/compare/main...none").expect(404);
    assert_eq!(client.get("/repos/acme/shop/git/ref/heads/orders").expect(200)["object"]["sha"], json!(head));
    assert_eq!(client.get("/repos/acme/shop/git/ref/pull/1/head").expect(200)["object"]["sha"], json!(head));
    client.get(&format!("/repos/acme/shop/git/commits/{head}")).expect(200);
    let file = client.get("/repos/acme/shop/contents/migrations/0002%20%C3%A4%23%3F%25.sql?ref=main").expect(200);
    assert_eq!((&file["path"], &file["content"]), (&json!(odd), &json!("c2VsZWN0IDE7Cg==")));
    client.get("/repos/acme/shop/contents/migrations").expect(200);
    client.get("/repos/acme/shop/contents/none.sql").expect(404);
    let errors = client.get("/repos/acme/shop/codeowners/errors?ref=main").expect(200);
    assert_eq!(errors["errors"][0]["line"], 2);
    contract::validate(&sandbox.recorder());
}

#[test]
fn issues_are_opened_and_closed() {
    let Shop { sandbox, repo, .. } = shop();
    let client = Client::of(&sandbox);
    let new = json!({ "title": "Pushed past review", "body": "@bob", "labels": ["godwit:notice"] });
    let made = client.post("/repos/acme/shop/issues", new).expect(201);
    assert_eq!(made["number"], 2);
    client.get("/repos/acme/shop/issues/2").expect(200);
    client.get("/repos/acme/shop/issues?state=all&labels=godwit%3Anotice").expect(200);
    assert_eq!(client.patch("/repos/acme/shop/issues/2", json!({ "state": "closed" })).expect(200)["state"], "closed");
    client.post("/repos/acme/shop/issues", json!({ "body": "no title" })).expect(422);
    assert_eq!(repo.issues().unwrap().len(), 1);
    contract::validate(&sandbox.recorder());
}

#[test]
fn what_did_not_change_costs_nothing() {
    let Shop { sandbox, .. } = shop();
    let client = Client::of(&sandbox);
    let first = client.get("/repos/acme/shop/labels");
    let etag = first.header("etag").unwrap().to_owned();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let again = agent
        .get(format!("{}/repos/acme/shop/labels", client.base))
        .header("authorization", format!("Bearer {}", client.credential))
        .header("if-none-match", etag)
        .call()
        .unwrap();
    assert_eq!(again.status(), 304);
    let enterprise = client.get("/api/v3/repos/acme/shop");
    assert_eq!(enterprise.status, 200);
    contract::validate(&sandbox.recorder());
}

#[test]
fn forks_can_be_read_and_not_written() {
    let Shop { sandbox, repo, .. } = shop();
    let fork = repo.fork("mallory").unwrap();
    fork.commit("evil", "mallory", "Drop", &[Change::write("migrations/0009_x.sql", "DROP TABLE x;\n")]).unwrap();
    let new = NewPull { author: "mallory", title: "Help", head: "mallory:evil", base: "main", ..NewPull::default() };
    let pull = repo.open_pull_request(&new).unwrap();
    let client = Client::of(&sandbox);
    let shape = client.get(&format!("/repos/acme/shop/pulls/{}", pull.number())).expect(200);
    assert_eq!(shape["head"]["repo"]["full_name"], "mallory/shop");
    assert_eq!(shape["author_association"], "NONE");
    client.get("/repos/mallory/shop").expect(200);
    client.post("/repos/mallory/shop/labels", json!({ "name": "x" })).expect(403);
    fork.delete().unwrap();
    let shape = client.get(&format!("/repos/acme/shop/pulls/{}", pull.number())).expect(200);
    assert_eq!(shape["head"]["repo"], Value::Null);
    assert_eq!(pull.files().unwrap(), ["migrations/0009_x.sql"]);
    contract::validate(&sandbox.recorder());
}

#[test]
fn recorded_faults_are_marked_and_not_held_against_the_stand_in() {
    let Shop { sandbox, .. } = shop();
    sandbox.fault(Fault::new("/labels", 1, FaultKind::Status(502)).method("get"));
    let client = Client::of(&sandbox);
    client.get("/repos/acme/shop/labels").expect(502);
    client.get("/repos/acme/shop/labels").expect(200);
    assert!(sandbox.recorder().exchanges[0].fault);
    contract::validate(&sandbox.recorder());
}
