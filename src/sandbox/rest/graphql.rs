//! The one thing that REST cannot do: hiding a comment.

use serde_json::{Value, json};

use super::super::http::Reply;
use super::{Answer, Call};

/// Answers `minimizeComment` and `unminimizeComment`, whether their arguments are variables or stand in the query.
pub(super) fn answer(call: &mut Call<'_>) -> Answer {
    call.may(&["issues", "pull_requests"], "write")?;
    let query = call.body["query"].as_str().unwrap_or_default().to_owned();
    let failed = |message: &str| Ok(Reply::json(200, json!({ "data": null, "errors": [{ "message": message }] })));
    let hide = query.contains("minimizeComment") && !query.contains("unminimizeComment");
    if !hide && !query.contains("unminimizeComment") {
        return failed("the stand-in only knows minimizeComment and unminimizeComment");
    }
    let Some(subject) = argument(&call.body, &query, "subjectId") else {
        return failed("subjectId is missing");
    };
    let classifier = argument(&call.body, &query, "classifier").filter(|_| hide);
    let id: Option<u64> = subject.strip_prefix("IC_").and_then(|id| id.parse().ok());
    let mut comments = call.world.repos.values_mut().flat_map(|r| r.issues.values_mut()).flat_map(|i| &mut i.comments);
    let Some(comment) = comments.find(|c| Some(c.id) == id) else {
        return failed("Could not resolve to a node with the given id");
    };
    comment.minimized.clone_from(&classifier);
    let hidden = json!({ "isMinimized": hide, "minimizedReason": classifier.map(|c| c.to_lowercase()) });
    let field = if hide { "minimizeComment" } else { "unminimizeComment" };
    Ok(Reply::json(200, json!({ "data": { field: { "minimizedComment": hidden } } })))
}

/// An argument, wherever it was written: anywhere in the variables, or `name: VALUE` in the query.
fn argument(body: &Value, query: &str, name: &str) -> Option<String> {
    let variables = &body["variables"];
    let given = [&variables[name], &variables["input"][name]].into_iter().find_map(Value::as_str);
    if let Some(given) = given {
        return Some(given.to_owned());
    }
    if name == "subjectId"
        && let Some(id) = variables["id"].as_str()
    {
        return Some(id.to_owned());
    }
    let rest = query.split_once(&format!("{name}:"))?.1.trim_start().trim_start_matches('"');
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    Some(rest[..end].to_owned()).filter(|v| !v.is_empty())
}
