//! What passed between the bot and the stand-in, held against GitHub's own description of its API and webhooks.
//!
//! The descriptions are npm's `@octokit/openapi` (file named by `GODWIT_TEST_GITHUB_OPENAPI`) and
//! `@octokit/openapi-webhooks` (`GODWIT_TEST_GITHUB_OPENAPI_WEBHOOKS`). Other tests call [`validate`] at their end.

mod description;

use std::collections::BTreeMap;

use godwit::sandbox::{Exchange, Fired, Recorder};
use serde_json::Value;

use description::Description;

/// Fails with everything that GitHub would not have sent, taken or answered.
pub fn validate(recorder: &Recorder) {
    let problems = problems(recorder);
    assert!(problems.is_empty(), "{} differences from GitHub:\n{}", problems.len(), problems.join("\n"));
}

/// Where GitHub's descriptions do not say what GitHub does: start of the problem, a part of it, and why.
const KNOWN: [(&str, &str, &str); 6] = [
    ("GET /app/installations:", "/account", "asks one account for the fields of a user and of an enterprise at once"),
    ("GET /repos/{owner}/{repo}/pulls", "/head/repo", "a deleted fork gives null, as the webhooks' description says"),
    ("webhook check-suite", "merge_group", "the list of events is older than the merge queue"),
    ("webhook check-suite", "deployment_protection_rule", "the list of events is older than protection rules"),
    ("GET /repos/{owner}/{repo}/pulls:", "/labels/*/description", "a label without a description gives null"),
    ("POST /repos/{owner}/{repo}/pulls/", "/labels/*/description", "a label without a description gives null"),
];

/// Every difference from GitHub's descriptions but [`KNOWN`] ones, one line each, each kind once.
pub fn problems(recorder: &Recorder) -> Vec<String> {
    let mut found = BTreeMap::new();
    let rest = Description::rest();
    for exchange in &recorder.exchanges {
        for problem in of_exchange(rest, exchange) {
            found.entry(problem).or_insert(());
        }
    }
    let hooks = Description::webhooks();
    for fired in &recorder.webhooks {
        for problem in of_webhook(hooks, fired) {
            found.entry(problem).or_insert(());
        }
    }
    found.retain(|problem, ()| {
        !KNOWN.iter().any(|(start, part, _)| problem.starts_with(start) && problem.contains(part))
    });
    found.into_keys().collect()
}

fn of_exchange(rest: &Description, exchange: &Exchange) -> Vec<String> {
    if exchange.path.ends_with("/graphql") {
        return Vec::new();
    }
    let at = format!("{} {}", exchange.method, exchange.path);
    // GitHub redirects renamed repositories to addresses by id, which its description leaves out.
    let path = match exchange.path.strip_prefix("/repositories/").and_then(|rest| rest.split_once('/')) {
        Some((_, rest)) => format!("/repos/o/r/{rest}"),
        None if exchange.path.starts_with("/repositories/") => "/repos/o/r".to_owned(),
        None => exchange.path.clone(),
    };
    let Some(operation) = rest.operation(&exchange.method, &path) else {
        // The bot may ask for what does not exist only if the answer says so.
        return if exchange.status == 404 { Vec::new() } else { vec![format!("{at}: no such operation")] };
    };
    let mut found = Vec::new();
    // A request that was refused as wrong may be wrong.
    if !matches!(exchange.status, 400 | 404 | 422) {
        found.extend(rest.query_problems(&operation, &exchange.query));
        found.extend(rest.request_problems(&operation, exchange.request.as_ref()));
    }
    if !exchange.fault {
        found.extend(rest.response_problems(&operation, exchange.status, exchange.response.as_ref()));
    }
    found.iter().map(|problem| format!("{} {}: {problem}", exchange.method, operation.template)).collect()
}

fn of_webhook(hooks: &Description, fired: &Fired) -> Vec<String> {
    let name = match &fired.action {
        Some(action) => format!("{}-{action}", fired.event),
        None => fired.event.clone(),
    };
    let name = name.replace('_', "-");
    let pointer = format!("/webhooks/{name}/post/requestBody/content/application~1json/schema");
    let Some(schema) = hooks.document.pointer(&pointer) else {
        return vec![format!("webhook {name}: GitHub has none of this name")];
    };
    let problems = hooks.schema_problems(&pointer, schema, &fired.payload);
    problems.into_iter().map(|problem| format!("webhook {name}: {problem}")).collect()
}

#[test]
fn a_wrong_answer_and_a_wrong_webhook_are_noticed() {
    let wrong = |method: &str, path: &str, request: Option<Value>, status: u16, response: Value| Exchange {
        method: method.to_owned(),
        path: path.to_owned(),
        query: String::new(),
        request,
        status,
        response: Some(response),
        fault: false,
    };
    let label =
        serde_json::json!({ "id": 1, "node_id": "x", "url": "u", "name": "n", "description": null, "color": "ededed" });
    let recorder = Recorder {
        exchanges: vec![
            wrong("GET", "/repos/o/r/labels", None, 200, serde_json::json!([label])),
            wrong("POST", "/repos/o/r/issues/1/comments", Some(serde_json::json!({ "text": "x" })), 201, Value::Null),
            wrong("GET", "/repos/o/r/nonsense/here", None, 200, Value::Null),
        ],
        webhooks: vec![Fired {
            event: "pull_request".to_owned(),
            action: Some("labeled".to_owned()),
            guid: "g".to_owned(),
            payload: serde_json::json!({ "action": "labeled", "number": 1 }),
            attempts: vec![],
        }],
    };
    let found = problems(&recorder);
    for part in ["default", "body", "nonsense", "pull_request"] {
        assert!(found.iter().any(|p| p.contains(part)), "nothing about {part}: {found:#?}");
    }
}
