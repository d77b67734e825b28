//! Custom deployment protection rules: a workflow job that asks the App whether it may deploy.

use serde_json::json;

use super::people::{RepoHandle, repo_mut};
use super::state::{Deployment, Gate};
use super::{SandboxError, gitrepo, shapes, webhooks};

impl RepoHandle {
    /// A workflow job is about to deploy a commit to an environment that the App protects. Gives the workflow run's id.
    pub fn request_deployment(&self, person: &str, environment: &str, reference: &str) -> Result<u64, SandboxError> {
        self.change(|w, name| {
            let (run, id, now) = (w.new_id(), w.new_id(), w.now());
            let entry = repo_mut(w, name)?;
            let git = gitrepo::open(&entry.git_dir)?;
            let sha = gitrepo::resolve(&git, &entry.heads, reference)
                .ok_or_else(|| SandboxError::NoSuchCommit(reference.to_owned()))?
                .to_string();
            let deployment = Deployment {
                id,
                sha: sha.clone(),
                git_ref: reference.to_owned(),
                task: "deploy".to_owned(),
                environment: environment.to_owned(),
                payload: json!({}),
                description: None,
                production: environment == "production",
                at: now,
                states: Vec::new(),
            };
            entry.deployments.push(deployment.clone());
            entry.gates.push(Gate { run, environment: environment.to_owned(), sha, state: None, comments: Vec::new() });
            let full_name = entry.full_name.clone();
            let Some(entry) = w.repo(name) else { return Err(SandboxError::NoSuchRepo(full_name)) };
            let callback = format!("{}/repos/{full_name}/actions/runs/{run}/deployment_protection_rule", w.base_url);
            let payload = json!({
                "action": "requested", "environment": environment, "event": "push",
                "deployment_callback_url": callback, "deployment": shapes::deployment(w, entry, &deployment),
                "pull_requests": [],
            });
            webhooks::fire(w, &full_name, "deployment_protection_rule", person, payload);
            Ok(run)
        })
    }
}
