//! What REST cannot do: hiding a comment, and naming every author of a commit.

use serde_json::{Value, json};

use super::super::gitrepo;
use super::super::http::Reply;
use super::super::state::World;
use super::{Answer, Call};

/// Answers what REST cannot.
pub(super) fn answer(call: &mut Call<'_>) -> Answer {
    let query = call.body["query"].as_str().unwrap_or_default();
    if query.contains("authors(") { authors(call) } else { hide(call) }
}

/// Whoever wrote a commit, those of its `Co-authored-by` lines too, each with the account that its address belongs to.
fn authors(call: &mut Call<'_>) -> Answer {
    call.may(&["contents"], "read")?;
    let variables = &call.body["variables"];
    let part = |name: &str| variables[name].as_str().unwrap_or_default();
    let name = call.open("GET", &format!("{}/{}", part("owner"), part("name")))?;
    let git = gitrepo::open(&call.repo(&name)?.git_dir)?;
    let query = call.body["query"].as_str().unwrap_or_default();
    let mut found = serde_json::Map::new();
    for (before, after) in query.match_indices("object(oid:").map(|(at, m)| (&query[..at], &query[at + m.len()..])) {
        let alias = before.trim_end().trim_end_matches(':').rsplit([' ', '{', '}']).next().unwrap_or_default();
        let sha = after.split('"').nth(1).unwrap_or_default();
        let info = git2::Oid::from_str(sha).and_then(|oid| gitrepo::info(&git, oid));
        let nodes = info.ok().map(|info| {
            let trailers = info.message.lines().filter_map(|line| {
                let (key, value) = line.split_once(':')?;
                let email = value.split_once('<')?.1.split_once('>')?.0;
                key.trim().eq_ignore_ascii_case("co-authored-by").then(|| email.to_owned())
            });
            let emails: Vec<String> = std::iter::once(info.author.email.clone()).chain(trailers).collect();
            let node = |email: &String| {
                json!({ "email": email, "user": login_of(call.world, email).map(|login| json!({ "login": login })) })
            };
            emails.iter().map(node).collect::<Vec<_>>()
        });
        found.insert(alias.to_owned(), nodes.map_or(Value::Null, |nodes| json!({ "authors": { "nodes": nodes } })));
    }
    Ok(Reply::json(200, json!({ "data": { "repository": found } })))
}

/// The account of an address: one of its own, or its no-reply address, by the number in it.
fn login_of(world: &World, email: &str) -> Option<String> {
    let by_id = || {
        let (user, domain) = email.split_once('@')?;
        let id: u64 = user.split_once('+')?.0.parse().ok()?;
        let user = world.users.values().find(|u| u.id == id)?;
        domain.starts_with("users.noreply.").then(|| user.login.clone())
    };
    world.login_of_email(email).map(str::to_owned).or_else(by_id)
}

/// Answers `minimizeComment` and `unminimizeComment`, whether their arguments are variables or stand in the query.
fn hide(call: &mut Call<'_>) -> Answer {
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
