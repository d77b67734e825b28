//! Deployments and their states.

use serde_json::{Value, json};

use super::super::http::Reply;
use super::super::shapes;
use super::super::state::{Deployment, DeploymentState};
use super::{Answer, Call, checks, invalid, not_found, number, refuse};

pub(super) fn route(call: &mut Call<'_>, method: &str, name: &str, rest: &[&str]) -> Answer {
    match (method, rest) {
        ("GET", ["deployments"]) => list(call, name),
        ("POST", ["deployments"]) => create(call, name),
        ("GET", ["deployments", id]) => {
            let entry = find(call, name, number(id)?)?;
            Ok(Reply::json(200, shapes::deployment(call.world, call.repo(name)?, entry)))
        }
        ("GET", ["deployments", id, "statuses"]) => {
            let entry = find(call, name, number(id)?)?;
            let repo = call.repo(name)?;
            let states = entry.states.iter().rev();
            call.page(states.map(|s| shapes::deployment_state(call.world, repo, entry, s)).collect())
        }
        ("POST", ["deployments", id, "statuses"]) => set_state(call, name, number(id)?),
        _ => Err(not_found()),
    }
}

fn find<'c>(call: &'c Call<'_>, name: &str, id: u64) -> Result<&'c Deployment, Reply> {
    call.repo(name)?.deployments.iter().find(|d| d.id == id).ok_or_else(not_found)
}

fn list(call: &Call<'_>, name: &str) -> Answer {
    let repo = call.repo(name)?;
    let wanted = |field: &str, value: &str| call.request.param(field).is_none_or(|w| w == value || w == "none");
    let listed = repo.deployments.iter().rev().filter(|d| {
        wanted("environment", &d.environment)
            && wanted("sha", &d.sha)
            && wanted("ref", &d.git_ref)
            && wanted("task", &d.task)
    });
    call.page(listed.map(|d| shapes::deployment(call.world, repo, d)).collect())
}

fn create(call: &mut Call<'_>, name: &str) -> Answer {
    let git_ref = call.text("Deployment", "ref")?;
    let sha = checks::resolve(call, name, &git_ref)?;
    let contexts = call.body.get("required_contexts").and_then(Value::as_array);
    let repo = call.repo(name)?;
    // Without `required_contexts: []` GitHub wants every status and check of the commit to be green.
    let failing = repo
        .checks
        .iter()
        .any(|c| c.head_sha == sha && !matches!(c.conclusion.as_deref(), Some("success" | "neutral" | "skipped")));
    if contexts.is_none_or(|c| !c.is_empty()) && failing {
        return Err(refuse(409, "Conflict: Commit status checks failed for the ref"));
    }
    let environment = call.optional("environment").unwrap_or_else(|| "production".to_owned());
    let deployment = Deployment {
        id: call.world.new_id(),
        sha,
        git_ref,
        task: call.optional("task").unwrap_or_else(|| "deploy".to_owned()),
        production: call.body["production_environment"].as_bool().unwrap_or(environment == "production"),
        environment,
        payload: call.body.get("payload").filter(|p| !p.is_null()).cloned().unwrap_or_else(|| json!({})),
        description: call.optional("description"),
        at: call.world.now(),
        states: Vec::new(),
    };
    call.repo_mut(name)?.deployments.push(deployment.clone());
    Ok(Reply::json(201, shapes::deployment(call.world, call.repo(name)?, &deployment)))
}

fn set_state(call: &mut Call<'_>, name: &str, id: u64) -> Answer {
    let entry = find(call, name, id)?.clone();
    let state = call.text("DeploymentStatus", "state")?;
    let known = ["error", "failure", "inactive", "in_progress", "queued", "pending", "success"];
    if !known.contains(&state.as_str()) {
        return Err(invalid("DeploymentStatus", "state", &format!("{state} is not a state")));
    }
    let description = call.optional("description").unwrap_or_default();
    if description.chars().count() > 140 {
        return Err(invalid("DeploymentStatus", "description", "description is too long (maximum is 140 characters)"));
    }
    let new = DeploymentState {
        id: call.world.new_id(),
        state: state.clone(),
        description,
        log_url: call.optional("log_url").or(call.optional("target_url")).unwrap_or_default(),
        environment_url: call.optional("environment_url").unwrap_or_default(),
        at: call.world.now(),
    };
    let auto_inactive = call.body["auto_inactive"].as_bool().unwrap_or(true);
    let (inactive_id, at) = (call.world.new_id(), call.world.now());
    for other in &mut call.repo_mut(name)?.deployments {
        if other.id == id {
            other.states.push(new.clone());
        } else if state == "success"
            && auto_inactive
            && !other.production
            && other.environment == entry.environment
            && other.states.last().is_some_and(|s| s.state == "success")
        {
            other.states.push(DeploymentState {
                id: inactive_id,
                state: "inactive".to_owned(),
                description: String::new(),
                log_url: String::new(),
                environment_url: String::new(),
                at,
            });
        }
    }
    let entry = find(call, name, id)?;
    Ok(Reply::json(201, shapes::deployment_state(call.world, call.repo(name)?, entry, &new)))
}
