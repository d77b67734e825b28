//! Check runs with their limits, and commit statuses.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::super::http::Reply;
use super::super::snapshots::latest_checks;
use super::super::state::{CheckRun, CommitStatus};
use super::super::{gitrepo, shapes, webhooks};
use super::{Answer, Call, invalid, not_found, number, refuse};

/// Characters that `output.summary` and `output.text` may have.
const MAX_TEXT: usize = 65_535;

pub(super) fn route(call: &mut Call<'_>, method: &str, name: &str, rest: &[&str]) -> Answer {
    match (method, rest) {
        ("POST", ["check-runs"]) => create(call, name),
        ("GET", ["check-runs", id]) => {
            let repo = call.repo(name)?;
            let id = number(id)?;
            let check = repo.checks.iter().find(|c| c.id == id).ok_or_else(not_found)?;
            Ok(Reply::json(200, shapes::check_run(call.world, repo, check)))
        }
        ("PATCH", ["check-runs", id]) => update(call, name, number(id)?),
        ("GET", ["check-runs", id, "annotations"]) => {
            let repo = call.repo(name)?;
            let id = number(id)?;
            let check = repo.checks.iter().find(|c| c.id == id).ok_or_else(not_found)?;
            call.page(check.annotations.iter().map(|a| shapes::annotation(call.world, repo, check, a)).collect())
        }
        ("GET", ["commits", reference, "check-runs"]) => list(call, name, reference),
        ("POST", ["statuses", sha]) => set_status(call, name, sha),
        ("GET", ["commits", reference, "status"]) => {
            let sha = resolve(call, name, reference)?;
            Ok(Reply::json(200, shapes::combined_status(call.world, call.repo(name)?, &sha)))
        }
        ("GET", ["commits", reference, "statuses"]) => {
            let sha = resolve(call, name, reference)?;
            let repo = call.repo(name)?;
            let listed = repo.statuses.iter().rev().filter(|s| s.sha == sha);
            call.page(listed.map(|s| shapes::status(call.world, repo, s)).collect())
        }
        _ => Err(not_found()),
    }
}

/// The commit that a branch, tag or SHA names.
pub(super) fn resolve(call: &Call<'_>, name: &str, reference: &str) -> Result<String, Reply> {
    let repo = call.repo(name)?;
    let git = gitrepo::open(&repo.git_dir)?;
    let found = gitrepo::resolve(&git, &repo.heads, reference);
    found.map(|oid| oid.to_string()).ok_or_else(|| refuse(422, &format!("No commit found for SHA: {reference}")))
}

fn time(call: &Call<'_>, field: &str) -> Result<Option<DateTime<Utc>>, Reply> {
    match call.optional(field) {
        None => Ok(None),
        Some(text) => DateTime::parse_from_rfc3339(&text)
            .map(|t| Some(t.to_utc()))
            .map_err(|_| invalid("CheckRun", field, &format!("{field} is no time"))),
    }
}

fn create(call: &mut Call<'_>, name: &str) -> Answer {
    let (check_name, sha) = (call.text("CheckRun", "name")?, call.text("CheckRun", "head_sha")?);
    let sha = resolve(call, name, &sha)?;
    let started_at = time(call, "started_at")?.unwrap_or(call.world.now());
    let mut check = CheckRun {
        id: call.world.new_id(),
        app: call.world.app.slug.clone(),
        name: check_name,
        head_sha: sha,
        status: "queued".to_owned(),
        conclusion: None,
        external_id: None,
        details_url: None,
        started_at,
        completed_at: None,
        title: None,
        summary: None,
        text: None,
        annotations: Vec::new(),
        actions: Vec::new(),
        asked_again: false,
    };
    apply(call, &mut check)?;
    let (id, bot) = (check.id, call.bot());
    let completed = check.status == "completed";
    call.repo_mut(name)?.checks.push(check);
    webhooks::check_run(call.world, name, id, if completed { "completed" } else { "created" }, &bot, None)?;
    answer(call, name, id, 201)
}

fn update(call: &mut Call<'_>, name: &str, id: u64) -> Answer {
    let found = call.repo(name)?.checks.iter().find(|c| c.id == id);
    let mut check = found.ok_or_else(not_found)?.clone();
    if check.app != call.world.app.slug {
        return Err(refuse(
            403,
            "Invalid app_id `{id}` - check run can only be modified by the GitHub App that created it.",
        ));
    }
    let was_completed = check.status == "completed";
    if let Some(name) = call.optional("name") {
        check.name = name;
    }
    if let Some(started) = time(call, "started_at")? {
        check.started_at = started;
    }
    apply(call, &mut check)?;
    check.asked_again = false;
    let (bot, completed) = (call.bot(), check.status == "completed" && !was_completed);
    let slot = call.repo_mut(name)?.checks.iter_mut().find(|c| c.id == id);
    *slot.ok_or_else(not_found)? = check;
    if completed {
        webhooks::check_run(call.world, name, id, "completed", &bot, None)?;
    }
    answer(call, name, id, 200)
}

fn answer(call: &Call<'_>, name: &str, id: u64, status: u16) -> Answer {
    let repo = call.repo(name)?;
    let check = repo.checks.iter().find(|c| c.id == id).ok_or_else(not_found)?;
    Ok(Reply::json(status, shapes::check_run(call.world, repo, check)))
}

/// Takes over what the request says, refusing what GitHub refuses.
fn apply(call: &Call<'_>, check: &mut CheckRun) -> Result<(), Reply> {
    let wrong = |field: &str, message: &str| invalid("CheckRun", field, message);
    let conclusion = call.optional("conclusion");
    if let Some(conclusion) = &conclusion {
        let known = ["action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"];
        if !known.contains(&conclusion.as_str()) {
            return Err(wrong("conclusion", &format!("{conclusion} is not a conclusion")));
        }
    }
    let status = call.optional("status").or(conclusion.as_ref().map(|_| "completed".to_owned()));
    if let Some(status) = status {
        match (status.as_str(), &conclusion) {
            ("completed", None) => return Err(wrong("conclusion", "conclusion is missing for a completed run")),
            ("completed", Some(_)) => check.completed_at = time(call, "completed_at")?.or(Some(call.world.now())),
            ("queued" | "in_progress", None) => check.completed_at = None,
            ("queued" | "in_progress", Some(_)) => return Err(wrong("status", "a run with a conclusion is completed")),
            _ => return Err(wrong("status", &format!("{status} is not a status an App may set"))),
        }
        check.status = status;
        check.conclusion = conclusion;
    }
    if let Some(id) = call.optional("external_id") {
        check.external_id = Some(id);
    }
    if let Some(url) = call.optional("details_url") {
        check.details_url = Some(url);
    }
    if let Some(actions) = call.body.get("actions").and_then(Value::as_array) {
        let long = |a: &Value, field: &str, max: usize| a[field].as_str().is_none_or(|s| s.chars().count() > max);
        let bad = |a: &Value| long(a, "label", 20) || long(a, "description", 40) || long(a, "identifier", 20);
        if actions.len() > 3 || actions.iter().any(bad) {
            return Err(wrong("actions", "at most 3, label 20, description 40, identifier 20 characters"));
        }
        check.actions.clone_from(actions);
    }
    if let Some(output) = call.body.get("output").filter(|o| !o.is_null()) {
        apply_output(check, output)?;
    }
    Ok(())
}

fn apply_output(check: &mut CheckRun, output: &Value) -> Result<(), Reply> {
    let wrong = |field: &str, message: &str| invalid("CheckRun", field, message);
    let Some(summary) = output["summary"].as_str() else {
        return Err(wrong("output.summary", "summary is missing"));
    };
    let title = output["title"].as_str().map(str::to_owned).or(check.title.clone());
    if title.is_none() {
        return Err(wrong("output.title", "title is missing"));
    }
    let text = output["text"].as_str();
    for (field, value) in [("output.summary", Some(summary)), ("output.text", text)] {
        if value.is_some_and(|v| v.chars().count() > MAX_TEXT) {
            return Err(wrong(field, "only 65535 characters are allowed"));
        }
    }
    let none = Vec::new();
    let annotations = output["annotations"].as_array().unwrap_or(&none);
    if annotations.len() > 50 {
        return Err(wrong("output.annotations", "no more than 50 items are allowed"));
    }
    if let Some(problem) = annotations.iter().find_map(annotation_problem) {
        return Err(wrong("output.annotations", problem));
    }
    check.title = title;
    check.summary = Some(summary.to_owned());
    if let Some(text) = text {
        check.text = Some(text.to_owned());
    }
    // GitHub appends: who sends the same again has it twice.
    check.annotations.extend_from_slice(annotations);
    Ok(())
}

fn annotation_problem(annotation: &Value) -> Option<&'static str> {
    let (start, end) = (annotation["start_line"].as_u64(), annotation["end_line"].as_u64());
    let columns = annotation["start_column"].is_u64() || annotation["end_column"].is_u64();
    let message = annotation["message"].as_str();
    let level = annotation["annotation_level"].as_str();
    if annotation["path"].as_str().is_none_or(|p| p.is_empty() || p.starts_with('/')) {
        Some("path must be relative to the repository")
    } else if start.is_none_or(|s| s == 0) || end < start {
        Some("lines count from 1, and end_line is not before start_line")
    } else if columns && start != end {
        Some("columns are allowed within one line only")
    } else if !matches!(level, Some("notice" | "warning" | "failure")) {
        Some("annotation_level must be notice, warning or failure")
    } else if message.is_none_or(|m| m.is_empty() || m.len() > 64 * 1024) {
        Some("message must have 1 byte to 64 KB")
    } else if annotation["title"].as_str().is_some_and(|t| t.chars().count() > 255) {
        Some("title has more than 255 characters")
    } else {
        None
    }
}

fn list(call: &Call<'_>, name: &str, reference: &str) -> Answer {
    let sha = resolve(call, name, reference)?;
    let repo = call.repo(name)?;
    let (check_name, status) = (call.request.param("check_name"), call.request.param("status"));
    let app = call.request.param("app_id");
    let all = call.request.param("filter").as_deref() == Some("all");
    let mut listed: Vec<&CheckRun> =
        if all { repo.checks.iter().filter(|c| c.head_sha == sha).collect() } else { latest_checks(repo, &sha) };
    let own = call.world.app.id.to_string();
    listed.retain(|c| {
        check_name.as_deref().is_none_or(|n| c.name == n)
            && status.as_deref().is_none_or(|s| c.status == s)
            && app.as_deref().is_none_or(|a| a == own && c.app == call.world.app.slug)
    });
    listed.sort_by_key(|c| std::cmp::Reverse(c.id));
    call.page_in("check_runs", listed.into_iter().map(|c| shapes::check_run(call.world, repo, c)).collect())
}

fn set_status(call: &mut Call<'_>, name: &str, sha: &str) -> Answer {
    let sha = resolve(call, name, sha)?;
    let state = call.text("Status", "state")?;
    if !matches!(state.as_str(), "error" | "failure" | "pending" | "success") {
        return Err(invalid("Status", "state", "state must be error, failure, pending or success"));
    }
    let description = call.optional("description");
    if description.as_ref().is_some_and(|d| d.chars().count() > 140) {
        return Err(invalid("Status", "description", "description is too long (maximum is 140 characters)"));
    }
    let status = CommitStatus {
        id: call.world.new_id(),
        sha,
        state,
        context: call.optional("context").unwrap_or_else(|| "default".to_owned()),
        description,
        target_url: call.optional("target_url").filter(|u| !u.is_empty()),
        creator: call.bot(),
        at: call.world.now(),
    };
    call.repo_mut(name)?.statuses.push(status.clone());
    let repo = call.repo(name)?;
    let shape = shapes::status(call.world, repo, &status);
    let location = shape["url"].as_str().unwrap_or_default().to_owned();
    Ok(Reply::json(201, shape).header("location", location))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotations_that_github_refuses_are_refused() {
        let good = json!({
            "path": "a.sql", "start_line": 1, "end_line": 1, "annotation_level": "warning", "message": "m",
        });
        assert_eq!(annotation_problem(&good), None);
        for (field, value) in [
            ("path", json!("/a.sql")),
            ("start_line", json!(0)),
            ("end_line", json!(0)),
            ("annotation_level", json!("error")),
            ("message", json!("")),
            ("title", json!("x".repeat(256))),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert!(annotation_problem(&bad).is_some(), "{field}");
        }
        let mut columns = good.clone();
        columns["end_line"] = json!(2);
        columns["start_column"] = json!(1);
        assert!(annotation_problem(&columns).is_some());
    }
}
