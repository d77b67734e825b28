//! The page: what it shows, and that only it may act.

use serde_json::{Value, json};

use super::{Shop, shop};
use godwit::sandbox::{Button, Change, NewCommit};

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

fn get(url: &str) -> (u16, String) {
    let mut answer = agent().get(url).call().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

fn act(url: &str, origin: Option<&str>, body: &Value) -> (u16, String) {
    let mut request = agent().post(url).header("content-type", "application/json");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let mut answer = request.send(body.to_string()).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

#[test]
fn the_page_shows_the_conversation_and_people_act_on_it() {
    let Shop { sandbox, repo, pull } = shop();
    repo.require_checks("main", &["godwit / approval"]).unwrap();
    sandbox.add_button(Button::once(&pull, "Push the fix", |pull, _| {
        pull.push("alice", &[NewCommit::new("alice", "Fix", &[Change::write("fix.sql", "select 1;\n")])]).map(|_| ())
    }));
    pull.comment("bob", "<!-- unseen -->\n**bold** <script>alert(1)</script>").unwrap();
    let base = sandbox.base_url();
    let (status, html) = get(&format!("{base}/acme/shop/pull/1"));
    assert_eq!(status, 200);
    assert!(!html.contains("http://") && !html.contains("https://"), "nothing is loaded from elsewhere");
    assert!(get(base).1.contains("/acme/shop/pull/1"));
    assert_eq!(get(&format!("{base}/acme/shop/pull/7")).0, 404);
    let head = pull.head_sha().unwrap();
    for path in ["blob/orders/migrations/0001_orders.sql".to_owned(), format!("commit/{head}")] {
        assert!(get(&format!("{base}/acme/shop/{path}")).1.contains("CREATE TABLE"), "{path}");
    }
    let run = repo.foreign_check_run("godwit", "c", &head, "failure").unwrap();
    assert!(get(&format!("{base}/acme/shop/runs/{run}")).1.contains("Conversation"));
    let source = format!("{base}/_page/acme/shop/pull/1");
    let page: Value = serde_json::from_str(&get(&source).1).unwrap();
    let conversation = page["html"]["conversation"].as_str().unwrap();
    assert!(conversation.contains("<strong>bold</strong>") && !conversation.contains("<script"), "{conversation}");
    assert!(!conversation.contains("unseen"));
    assert!(page["html"]["files"].as_str().unwrap().contains("CREATE TABLE"));
    assert_eq!(page["buttons"][0]["label"], "Push the fix");
    assert_eq!(get(&format!("{source}?since={}", page["version"])).0, 204, "nothing new");
    let acts = format!("{source}/act");
    let does = |body: Value| act(&acts, Some(base), &body);
    assert_eq!(does(json!({ "as": "bob", "do": "press", "label": "Push the fix" })).0, 204);
    assert_eq!(pull.files().unwrap(), ["fix.sql", "migrations/0001_orders.sql"]);
    assert_eq!(does(json!({ "as": "bob", "do": "press", "label": "Push the fix" })).0, 422, "it is gone");
    assert_eq!(does(json!({ "as": "bob", "do": "approve", "text": "" })).0, 204);
    assert_eq!(does(json!({ "as": "carol", "do": "comment", "text": "/godwit status" })).0, 204);
    assert_eq!(does(json!({ "as": "carol", "do": "label", "text": "hold" })).0, 204);
    let (status, why) = does(json!({ "as": "bob", "do": "merge", "method": "squash" }));
    assert!(status == 422 && why.contains("godwit / approval"), "{why}");
    let (status, why) = does(json!({ "as": "alice", "do": "approve", "text": "" }));
    assert!(status == 422 && why.contains("approve your own"), "{why}");
    assert_eq!((pull.reviews().unwrap().len(), pull.labels().unwrap()), (1, vec!["hold".to_owned()]));
}

#[test]
fn pages_elsewhere_cannot_act_here() {
    let Shop { sandbox, pull, .. } = shop();
    let acts = format!("{}/_page/acme/shop/pull/1/act", sandbox.base_url());
    let body = json!({ "as": "bob", "do": "approve", "text": "" });
    assert_eq!(act(&acts, Some("https://evil.example"), &body).0, 403);
    let plain = agent().post(&acts).header("content-type", "text/plain").send(body.to_string()).unwrap();
    assert_eq!(plain.status(), 403);
    let other_host = agent().get(format!("{}/", sandbox.base_url())).header("host", "evil.example").call().unwrap();
    assert_eq!(other_host.status(), 421);
    assert!(pull.reviews().unwrap().is_empty());
}
