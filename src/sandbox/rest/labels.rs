//! Labels of a repository and of its issues.

use serde_json::Value;

use super::super::http::Reply;
use super::super::state::{Label, Repo};
use super::super::{pulls, shapes};
use super::{Answer, Call, invalid, not_found, number};

pub(super) fn route(call: &mut Call<'_>, method: &str, name: &str, rest: &[&str]) -> Answer {
    match (method, rest) {
        ("GET", ["labels"]) => {
            let repo = call.repo(name)?;
            call.page(repo.labels.iter().map(|l| shapes::label(call.world, repo, &l.name)).collect())
        }
        ("POST", ["labels"]) => create(call, name),
        ("GET", ["labels", label]) => {
            let repo = call.repo(name)?;
            known(repo, label).ok_or_else(not_found)?;
            Ok(Reply::json(200, shapes::label(call.world, repo, label)))
        }
        ("PATCH", ["labels", label]) => edit(call, name, label),
        ("DELETE", ["labels", label]) => {
            let repo = call.repo_mut(name)?;
            let at = repo.labels.iter().position(|l| l.name.eq_ignore_ascii_case(label)).ok_or_else(not_found)?;
            repo.labels.remove(at);
            repo.issues.values_mut().for_each(|i| i.labels.retain(|l| !l.eq_ignore_ascii_case(label)));
            Ok(Reply::empty(204))
        }
        ("GET", ["issues", n, "labels"]) => of_issue(call, name, number(n)?, 200),
        ("POST", ["issues", n, "labels"]) => {
            let n = number(n)?;
            let bot = call.bot();
            for label in asked(call)? {
                pulls::label(call.world, name, n, &bot, &label)?;
            }
            of_issue(call, name, n, 200)
        }
        ("PUT", ["issues", n, "labels"]) => {
            let (n, asked, bot) = (number(n)?, asked(call)?, call.bot());
            let held = call.repo(name)?.issues.get(&n).ok_or_else(not_found)?.labels.clone();
            for label in held.iter().filter(|h| !asked.iter().any(|a| a.eq_ignore_ascii_case(h))) {
                pulls::unlabel(call.world, name, n, &bot, label)?;
            }
            for label in asked {
                pulls::label(call.world, name, n, &bot, &label)?;
            }
            of_issue(call, name, n, 200)
        }
        ("DELETE", ["issues", n, "labels", label]) => {
            let (n, bot) = (number(n)?, call.bot());
            if !pulls::unlabel(call.world, name, n, &bot, label)? {
                return Err(super::refuse(404, "Label does not exist"));
            }
            of_issue(call, name, n, 200)
        }
        ("DELETE", ["issues", n, "labels"]) => {
            let (n, bot) = (number(n)?, call.bot());
            let held = call.repo(name)?.issues.get(&n).ok_or_else(not_found)?.labels.clone();
            for label in held {
                pulls::unlabel(call.world, name, n, &bot, &label)?;
            }
            Ok(Reply::empty(204))
        }
        _ => Err(not_found()),
    }
}

fn known<'r>(repo: &'r Repo, label: &str) -> Option<&'r Label> {
    repo.labels.iter().find(|l| l.name.eq_ignore_ascii_case(label))
}

/// Labels of the request: `{"labels": [...]}`, or the bare list.
fn asked(call: &Call<'_>) -> Result<Vec<String>, Reply> {
    let list = call.body.get("labels").unwrap_or(&call.body);
    let list = list.as_array().ok_or_else(|| invalid("Label", "labels", "labels is no list"))?;
    list.iter()
        .map(|l| {
            let name = l.as_str().or(l["name"].as_str()).unwrap_or_default();
            check_name(name).map(|()| name.to_owned())
        })
        .collect()
}

fn check_name(name: &str) -> Result<(), Reply> {
    match name.chars().count() {
        1..=50 => Ok(()),
        _ => Err(invalid("Label", "name", "name must have 1 to 50 characters")),
    }
}

fn check_color(color: &str) -> Result<(), Reply> {
    if color.len() == 6 && color.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(invalid("Label", "color", "color must be 6 hexadecimal digits without #"))
}

fn check_description(description: Option<&str>) -> Result<(), Reply> {
    match description {
        Some(text) if text.chars().count() > 100 => {
            Err(invalid("Label", "description", "description is too long (maximum is 100 characters)"))
        }
        Some(_) | None => Ok(()),
    }
}

fn create(call: &mut Call<'_>, name: &str) -> Answer {
    let label = call.text("Label", "name")?;
    let color = call.optional("color").unwrap_or_else(|| "ededed".to_owned());
    let description = call.optional("description");
    check_name(&label)?;
    check_color(&color)?;
    check_description(description.as_deref())?;
    if known(call.repo(name)?, &label).is_some() {
        let mut refusal = invalid("Label", "name", "already_exists");
        if let super::Content::Json(body) = &mut refusal.content {
            body["errors"][0]["code"] = Value::from("already_exists");
        }
        return Err(refusal);
    }
    let id = call.world.new_id();
    call.repo_mut(name)?.labels.push(Label { id, name: label.clone(), color: color.to_lowercase(), description });
    let repo = call.repo(name)?;
    Ok(Reply::json(201, shapes::label(call.world, repo, &label)))
}

fn edit(call: &mut Call<'_>, name: &str, label: &str) -> Answer {
    let (color, description) = (call.optional("color"), call.optional("description"));
    check_description(description.as_deref())?;
    if let Some(color) = &color {
        check_color(color)?;
    }
    let repo = call.repo_mut(name)?;
    let entry = repo.labels.iter_mut().find(|l| l.name.eq_ignore_ascii_case(label)).ok_or_else(not_found)?;
    if let Some(color) = color {
        entry.color = color.to_lowercase();
    }
    if description.is_some() {
        entry.description = description;
    }
    let repo = call.repo(name)?;
    Ok(Reply::json(200, shapes::label(call.world, repo, label)))
}

fn of_issue(call: &Call<'_>, name: &str, n: u64, status: u16) -> Answer {
    let repo = call.repo(name)?;
    let issue = repo.issues.get(&n).ok_or_else(not_found)?;
    let labels: Vec<Value> = issue.labels.iter().map(|l| shapes::label(call.world, repo, l)).collect();
    if call.request.method == "GET" { call.page(labels) } else { Ok(Reply::json(status, Value::Array(labels))) }
}
