//! Issues, comments, reactions, events and the timeline.

use serde_json::Value;

use super::super::http::Reply;
use super::super::state::{Comment, Issue};
use super::super::{people, pulls, shapes, webhooks};
use super::{Answer, Call, invalid, not_found, number};

/// GitHub refuses longer bodies, counted in characters.
const MAX_BODY: usize = 65_536;

pub(super) fn route(call: &mut Call<'_>, method: &str, name: &str, rest: &[&str]) -> Answer {
    match (method, rest) {
        ("GET", ["issues"]) => list(call, name),
        ("POST", ["issues"]) => create(call, name),
        ("GET", ["issues", "comments"]) => all_comments(call, name),
        ("GET", ["issues", "comments", id]) => {
            let (n, id) = find(call, name, number(id)?)?;
            Ok(Reply::json(200, shapes::comment(call.world, name, n, id)))
        }
        ("PATCH", ["issues", "comments", id]) => edit_comment(call, name, number(id)?),
        ("DELETE", ["issues", "comments", id]) => delete_comment(call, name, number(id)?),
        ("GET", ["issues", "comments", id, "reactions"]) => {
            let (n, id) = find(call, name, number(id)?)?;
            let comment = comment(call, name, n, id)?;
            call.page(comment.reactions.iter().map(|r| shapes::reaction(call.world, r)).collect())
        }
        ("POST", ["issues", "comments", id, "reactions"]) => react(call, name, number(id)?),
        ("GET", ["issues", n]) => {
            issue(call, name, number(n)?)?;
            Ok(Reply::json(200, shapes::issue(call.world, name, number(n)?)))
        }
        ("PATCH", ["issues", n]) => edit(call, name, number(n)?),
        ("GET", ["issues", n, "comments"]) => comments(call, name, number(n)?),
        ("POST", ["issues", n, "comments"]) => create_comment(call, name, number(n)?),
        ("GET", ["issues", n, "timeline"]) => {
            let (repo, issue) = (call.repo(name)?, issue(call, name, number(n)?)?);
            let items = issue.timeline.iter();
            call.page(items.filter_map(|t| shapes::timeline_item(call.world, repo, issue, t)).collect())
        }
        ("GET", ["issues", n, "events"]) => {
            let (repo, issue) = (call.repo(name)?, issue(call, name, number(n)?)?);
            call.page(issue.timeline.iter().filter_map(|t| shapes::issue_event(call.world, repo, t)).collect())
        }
        _ => Err(not_found()),
    }
}

fn issue<'c>(call: &'c Call<'_>, name: &str, n: u64) -> Result<&'c Issue, Reply> {
    call.repo(name)?.issues.get(&n).ok_or_else(not_found)
}

fn comment<'c>(call: &'c Call<'_>, name: &str, n: u64, id: u64) -> Result<&'c Comment, Reply> {
    issue(call, name, n)?.comments.iter().find(|c| c.id == id).ok_or_else(not_found)
}

/// The issue that a comment stands under.
fn find(call: &Call<'_>, name: &str, id: u64) -> Result<(u64, u64), Reply> {
    let mut issues = call.repo(name)?.issues.values();
    let found = issues.find(|i| i.comments.iter().any(|c| c.id == id));
    found.map(|i| (i.number, id)).ok_or_else(not_found)
}

fn list(call: &Call<'_>, name: &str) -> Answer {
    let state = call.request.param("state").unwrap_or_else(|| "open".to_owned());
    let labels = call.request.param("labels").unwrap_or_default();
    let wanted: Vec<&str> = labels.split(',').filter(|l| !l.is_empty()).collect();
    let found = call
        .repo(name)?
        .issues
        .values()
        .rev()
        .filter(|i| state == "all" || i.open == (state == "open"))
        .filter(|i| wanted.iter().all(|w| i.labels.iter().any(|l| l.eq_ignore_ascii_case(w))));
    call.page(found.map(|i| shapes::issue(call.world, name, i.number)).collect())
}

/// A body of the request that is short enough.
fn body(call: &Call<'_>, resource: &str) -> Result<String, Reply> {
    let body = call.text(resource, "body")?;
    if body.chars().count() > MAX_BODY {
        return Err(invalid(resource, "body", "body is too long (maximum is 65536 characters)"));
    }
    if body.trim().is_empty() {
        return Err(invalid(resource, "body", "body can't be blank"));
    }
    Ok(body)
}

fn create(call: &mut Call<'_>, name: &str) -> Answer {
    let title = call.text("Issue", "title")?;
    let text = if call.body.get("body").is_some() { body(call, "Issue")? } else { String::new() };
    let bot = call.bot();
    let n = pulls::open_issue(call.world, name, &bot, &title, &text, None)?;
    webhooks::issue(call.world, name, n, "opened", &bot);
    let labels: Vec<String> = call.body["labels"].as_array().into_iter().flatten().filter_map(label_name).collect();
    for label in labels {
        pulls::label(call.world, name, n, &bot, &label)?;
    }
    Ok(Reply::json(201, shapes::issue(call.world, name, n)))
}

fn label_name(label: &Value) -> Option<String> {
    label.as_str().or(label["name"].as_str()).map(str::to_owned)
}

fn edit(call: &mut Call<'_>, name: &str, n: u64) -> Answer {
    issue(call, name, n)?;
    let bot = call.bot();
    let (title, text, state) = (call.optional("title"), call.optional("body"), call.optional("state"));
    let entry = pulls::issue_mut(call.world, name, n)?;
    if let Some(title) = title {
        entry.title = title;
    }
    if let Some(text) = text {
        entry.body = Some(text);
    }
    match state.as_deref() {
        Some("closed") => pulls::set_open(call.world, name, n, &bot, false)?,
        Some("open") => pulls::set_open(call.world, name, n, &bot, true)?,
        Some(_) => return Err(invalid("Issue", "state", "state must be open or closed")),
        None => {}
    }
    Ok(Reply::json(200, shapes::issue(call.world, name, n)))
}

fn comments(call: &Call<'_>, name: &str, n: u64) -> Answer {
    let since = call.request.param("since").and_then(|s| chrono::DateTime::parse_from_rfc3339(&s).ok());
    let listed = issue(call, name, n)?.comments.iter().filter(|c| since.is_none_or(|s| c.updated_at >= s));
    call.page(listed.map(|c| shapes::comment(call.world, name, n, c.id)).collect())
}

/// The comments of the whole repository: by their ids, unless another order is asked for.
fn all_comments(call: &Call<'_>, name: &str) -> Answer {
    let since = call.request.param("since").and_then(|s| chrono::DateTime::parse_from_rfc3339(&s).ok());
    let sort = call.request.param("sort");
    let mut found: Vec<(u64, &Comment)> = call
        .repo(name)?
        .issues
        .values()
        .flat_map(|i| i.comments.iter().map(|c| (i.number, c)))
        // Times are told by the second, and compared so.
        .filter(|(_, c)| since.is_none_or(|s| c.updated_at.timestamp() >= s.timestamp()))
        .collect();
    match sort.as_deref() {
        Some("updated") => found.sort_by_key(|(_, c)| (c.updated_at, c.id)),
        Some("created") => found.sort_by_key(|(_, c)| (c.created_at, c.id)),
        Some(_) | None => found.sort_by_key(|(_, c)| c.id),
    }
    // The direction counts with an order only, and is downwards unless said.
    if sort.is_some() && call.request.param("direction").as_deref() != Some("asc") {
        found.reverse();
    }
    call.page(found.into_iter().map(|(n, c)| shapes::comment(call.world, name, n, c.id)).collect())
}

fn create_comment(call: &mut Call<'_>, name: &str, n: u64) -> Answer {
    issue(call, name, n)?;
    let text = body(call, "IssueComment")?;
    let bot = call.bot();
    let id = pulls::add_comment(call.world, name, n, &bot, &text, true)?;
    let shape = shapes::comment(call.world, name, n, id);
    let url = shape["url"].as_str().unwrap_or_default().to_owned();
    Ok(Reply::json(201, shape).header("location", url))
}

fn edit_comment(call: &mut Call<'_>, name: &str, id: u64) -> Answer {
    let (n, id) = find(call, name, id)?;
    let text = body(call, "IssueComment")?;
    let (bot, now) = (call.bot(), call.world.now());
    let entry = pulls::issue_mut(call.world, name, n)?.comments.iter_mut().find(|c| c.id == id);
    let entry = entry.ok_or_else(not_found)?;
    let from = std::mem::replace(&mut entry.body, text);
    entry.updated_at = now;
    let changes = serde_json::json!({ "body": { "from": from } });
    webhooks::issue_comment(call.world, name, n, id, "edited", &bot, changes);
    Ok(Reply::json(200, shapes::comment(call.world, name, n, id)))
}

fn delete_comment(call: &mut Call<'_>, name: &str, id: u64) -> Answer {
    let (n, id) = find(call, name, id)?;
    let bot = call.bot();
    webhooks::issue_comment(call.world, name, n, id, "deleted", &bot, Value::Null);
    people::repo_mut(call.world, name)?.issues.entry(n).and_modify(|i| i.comments.retain(|c| c.id != id));
    Ok(Reply::empty(204))
}

/// A reaction; 200 when this account had given the same one already.
fn react(call: &mut Call<'_>, name: &str, id: u64) -> Answer {
    let (n, id) = find(call, name, id)?;
    let content = call.text("Reaction", "content")?;
    if !["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"].contains(&content.as_str()) {
        return Err(invalid("Reaction", "content", "content is not a reaction"));
    }
    let (bot, new) = (call.bot(), call.world.new_id());
    let entry = pulls::issue_mut(call.world, name, n)?.comments.iter_mut().find(|c| c.id == id);
    let entry = entry.ok_or_else(not_found)?;
    let known = entry.reactions.iter().find(|(_, l, c)| *l == bot && *c == content).cloned();
    let (status, reaction) = match known {
        Some(reaction) => (200, reaction),
        None => {
            entry.reactions.push((new, bot.clone(), content.clone()));
            (201, (new, bot, content))
        }
    };
    Ok(Reply::json(status, shapes::reaction(call.world, &reaction)))
}
