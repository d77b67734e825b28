//! Check runs and suites, commit statuses, deployments.

use git2::Oid;
use serde_json::{Value, json};

use super::super::state::{CheckRun, CommitStatus, Deployment, DeploymentState, Repo, World};
use super::super::{SandboxError, gitrepo};
use super::{account, app, plain_commit, repository, time};

/// One suite per App and commit; its id follows from both.
fn suite_id(app: &str, sha: &str) -> u64 {
    let head = sha.get(..8).and_then(|h| u64::from_str_radix(h, 16).ok()).unwrap_or(1);
    head * 100 + app.len() as u64
}

/// Pull requests of the same repository whose head is this commit; GitHub names none for forks.
fn pulls_of(world: &World, repo: &Repo, sha: &str) -> Vec<Value> {
    let api = format!("{}/repos/{}", world.base_url, repo.full_name);
    let side = |branch: &str, sha: &str| json!({ "ref": branch, "sha": sha, "repo": { "id": repo.id, "url": api, "name": repo.name() } });
    repo.issues
        .values()
        .filter_map(|i| i.pull.as_ref().map(|p| (i, p)))
        .filter(|(i, p)| i.open && p.head_sha == sha && p.head_repo.as_deref() == Some(repo.full_name.as_str()))
        .map(|(i, p)| {
            json!({
                "id": p.id,
                "number": i.number,
                "url": format!("{api}/pulls/{}", i.number),
                "head": side(&p.head_ref, &p.head_sha),
                "base": side(&p.base_ref, &p.base_sha),
            })
        })
        .collect()
}

/// A check run.
pub(in crate::sandbox) fn check_run(world: &World, repo: &Repo, check: &CheckRun) -> Value {
    let api = format!("{}/repos/{}", world.base_url, repo.full_name);
    let url = format!("{api}/check-runs/{}", check.id);
    let html = format!("{}/{}/runs/{}", world.base_url, repo.full_name, check.id);
    json!({
        "id": check.id,
        "name": check.name,
        "node_id": format!("CR_{}", check.id),
        "head_sha": check.head_sha,
        "external_id": check.external_id.clone().unwrap_or_default(),
        "url": url,
        "html_url": html,
        "details_url": check.details_url.clone().unwrap_or(html),
        "status": check.status,
        "conclusion": check.conclusion,
        "started_at": time(check.started_at),
        "completed_at": check.completed_at.map(time),
        "output": {
            "title": check.title,
            "summary": check.summary,
            "text": check.text,
            "annotations_count": check.annotations.len(),
            "annotations_url": format!("{url}/annotations"),
        },
        "check_suite": suite(world, repo, &check.app, &check.head_sha),
        "app": app(world, &check.app),
        "pull_requests": pulls_of(world, repo, &check.head_sha),
    })
}

fn suite(world: &World, repo: &Repo, slug: &str, sha: &str) -> Value {
    let id = suite_id(slug, sha);
    let api = format!("{}/repos/{}", world.base_url, repo.full_name);
    let of_repo: Vec<&CheckRun> = repo.checks.iter().filter(|c| c.head_sha == sha && c.app == slug).collect();
    let completed = !of_repo.is_empty() && of_repo.iter().all(|c| c.status == "completed");
    let failed = of_repo.iter().any(|c| !matches!(c.conclusion.as_deref(), Some("success" | "neutral" | "skipped")));
    let pulls = pulls_of(world, repo, sha);
    json!({
        "id": id,
        "node_id": format!("CS_{id}"),
        "head_branch": pulls.first().map_or(Value::Null, |p| p["head"]["ref"].clone()),
        "head_sha": sha,
        "status": if completed { "completed" } else { "in_progress" },
        "conclusion": match (completed, failed) {
            (true, true) => json!("failure"),
            (true, false) => json!("success"),
            (false, _) => Value::Null,
        },
        "url": format!("{api}/check-suites/{id}"),
        "before": null,
        "after": sha,
        "pull_requests": pulls,
        "app": app(world, slug),
        "created_at": time(repo.created_at),
        "updated_at": time(world.now()),
    })
}

/// The App's suite of a commit, as webhooks send it.
pub(in crate::sandbox) fn check_suite(world: &World, repo: &Repo, sha: &str) -> Result<Value, SandboxError> {
    let mut shape = suite(world, repo, &world.app.slug, sha);
    let git = gitrepo::open(&repo.git_dir)?;
    shape["head_commit"] = plain_commit(&gitrepo::info(&git, Oid::from_str(sha)?)?);
    shape["latest_check_runs_count"] = json!(repo.checks.iter().filter(|c| c.head_sha == sha).count());
    shape["check_runs_url"] = json!(format!("{}/check-runs", shape["url"].as_str().unwrap_or_default()));
    shape["rerequestable"] = json!(true);
    shape["runs_rerequestable"] = json!(true);
    Ok(shape)
}

/// An annotation as it is listed.
pub(in crate::sandbox) fn annotation(world: &World, repo: &Repo, check: &CheckRun, sent: &Value) -> Value {
    let path = sent["path"].as_str().unwrap_or_default();
    let encoded = super::super::rest::encode_path(path);
    json!({
        "path": path,
        "blob_href": format!("{}/{}/blob/{}/{encoded}", world.base_url, repo.full_name, check.head_sha),
        "start_line": sent["start_line"],
        "end_line": sent["end_line"],
        "start_column": sent["start_column"],
        "end_column": sent["end_column"],
        "annotation_level": sent["annotation_level"],
        "title": sent["title"],
        "message": sent["message"],
        "raw_details": sent["raw_details"],
    })
}

/// A commit status.
pub(in crate::sandbox) fn status(world: &World, repo: &Repo, status: &CommitStatus) -> Value {
    json!({
        "url": format!("{}/repos/{}/statuses/{}", world.base_url, repo.full_name, status.sha),
        "avatar_url": format!("{}/avatars/{}", world.base_url, status.id),
        "id": status.id,
        "node_id": format!("SC_{}", status.id),
        "state": status.state,
        "description": status.description,
        "target_url": status.target_url,
        "context": status.context,
        "created_at": time(status.at),
        "updated_at": time(status.at),
        "creator": account(world, &status.creator),
    })
}

/// The latest status of each context, and what they come to.
pub(in crate::sandbox) fn combined_status(world: &World, repo: &Repo, sha: &str) -> Value {
    let mut latest: Vec<&CommitStatus> = Vec::new();
    for entry in repo.statuses.iter().rev().filter(|s| s.sha == sha) {
        if !latest.iter().any(|s| s.context == entry.context) {
            latest.push(entry);
        }
    }
    let any = |states: &[&str]| latest.iter().any(|s| states.contains(&s.state.as_str()));
    let state = if any(&["failure", "error"]) {
        "failure"
    } else if latest.is_empty() || any(&["pending"]) {
        "pending"
    } else {
        "success"
    };
    let api = format!("{}/repos/{}/commits/{sha}", world.base_url, repo.full_name);
    json!({
        "state": state,
        "sha": sha,
        "total_count": latest.len(),
        "statuses": latest.iter().map(|s| status(world, repo, s)).collect::<Vec<_>>(),
        "repository": repository(world, repo),
        "commit_url": api,
        "url": format!("{api}/status"),
    })
}

/// A deployment.
pub(in crate::sandbox) fn deployment(world: &World, repo: &Repo, deployment: &Deployment) -> Value {
    let api = format!("{}/repos/{}", world.base_url, repo.full_name);
    let url = format!("{api}/deployments/{}", deployment.id);
    json!({
        "url": url,
        "id": deployment.id,
        "node_id": format!("DE_{}", deployment.id),
        "sha": deployment.sha,
        "ref": deployment.git_ref,
        "task": deployment.task,
        "payload": deployment.payload,
        "original_environment": deployment.environment,
        "environment": deployment.environment,
        "description": deployment.description,
        "creator": account(world, &world.app.bot_login()),
        "created_at": time(deployment.at),
        "updated_at": time(deployment.states.last().map_or(deployment.at, |s| s.at)),
        "statuses_url": format!("{url}/statuses"),
        "repository_url": api,
        "transient_environment": false,
        "production_environment": deployment.production,
        "performed_via_github_app": app(world, &world.app.slug),
    })
}

/// A deployment's state.
pub(in crate::sandbox) fn deployment_state(
    world: &World,
    repo: &Repo,
    deployment: &Deployment,
    state: &DeploymentState,
) -> Value {
    let api = format!("{}/repos/{}", world.base_url, repo.full_name);
    let url = format!("{api}/deployments/{}", deployment.id);
    json!({
        "url": format!("{url}/statuses/{}", state.id),
        "id": state.id,
        "node_id": format!("DES_{}", state.id),
        "state": state.state,
        "creator": account(world, &world.app.bot_login()),
        "description": state.description,
        "environment": deployment.environment,
        "target_url": state.log_url,
        "log_url": state.log_url,
        "environment_url": state.environment_url,
        "deployment_url": url,
        "repository_url": api,
        "created_at": time(state.at),
        "updated_at": time(state.at),
        "performed_via_github_app": app(world, &world.app.slug),
    })
}
