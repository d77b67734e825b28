//! Deployments, commit statuses, and the word on a workflow job that waits to deploy.

use serde_json::{Value, json};

use super::client::{Method, Repeat, segment};
use super::error::GithubError;
use super::model::{CommitStatus, Deployment, DeploymentStatus};
use super::repo::RepoApi;
use crate::ids::CommitSha;

/// What the App's deployments are called, by which it finds its own.
const TASK: &str = "godwit";
/// Characters of a description.
const DESCRIPTION: usize = 140;
/// Characters of a report on a job that waits.
const REPORT: usize = 1024;

/// The word on a workflow job that waits to deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateWord {
    /// Not yet; only the report is shown.
    Waits,
    /// It may deploy.
    Approved,
    /// It may not.
    Rejected,
}

impl RepoApi {
    /// Shows the state of an environment at a commit as a deployment: made when there is none, and told of a state only
    /// when that is not its newest one already.
    ///
    /// # Errors
    /// When GitHub cannot be asked or refuses.
    pub async fn show_deployment(
        &self,
        sha: &CommitSha,
        environment: &str,
        state: &str,
        description: &str,
        log_url: Option<&str>,
    ) -> Result<(), GithubError> {
        let list = format!("/deployments?sha={sha}&environment={}&task={TASK}", segment(environment));
        let known: Vec<Deployment> = self.caller.list(&self.path(&list)).await?;
        // The answer may have been lost: the oldest is the one.
        let id = match known.iter().map(|d| d.id).min() {
            Some(id) => id,
            None => self.create_deployment(sha, environment).await?.id,
        };
        let path = self.path(&format!("/deployments/{id}/statuses"));
        let statuses: Vec<DeploymentStatus> = self.caller.get(&format!("{path}?per_page=1")).await?;
        let same = |s: &DeploymentStatus| s.state == state && s.description == short(description, DESCRIPTION);
        if statuses.first().is_some_and(same) {
            return Ok(());
        }
        let mut body = json!({ "state": state, "description": short(description, DESCRIPTION) });
        if let Some(url) = log_url {
            body["log_url"] = json!(url);
        }
        self.caller.send(Method::Post, &path, Some(&body), Repeat::Never).await.map(drop)
    }

    /// Says of every other deployment of ours in `environment` that its commit is no longer the one that runs there.
    /// GitHub does so by itself, but not where the environment is marked as production.
    ///
    /// # Errors
    /// When GitHub cannot be asked or refuses.
    pub async fn retire_deployments(&self, sha: &CommitSha, environment: &str) -> Result<(), GithubError> {
        let list = format!("/deployments?environment={}&task={TASK}&per_page=10", segment(environment));
        let known: Vec<Deployment> = self.caller.get(&self.path(&list)).await?;
        for other in known.into_iter().filter(|d| d.sha != *sha) {
            let path = self.path(&format!("/deployments/{}/statuses", other.id));
            let statuses: Vec<DeploymentStatus> = self.caller.get(&format!("{path}?per_page=1")).await?;
            if statuses.first().is_some_and(|s| s.state == "success") {
                let body = json!({ "state": "inactive" });
                self.caller.send(Method::Post, &path, Some(&body), Repeat::Safe).await?;
            }
        }
        Ok(())
    }

    async fn create_deployment(&self, sha: &CommitSha, environment: &str) -> Result<Deployment, GithubError> {
        // No required contexts: what the run was allowed by is judged elsewhere. No auto-merge: GitHub would merge the
        // default branch into the commit.
        let body = json!({
            "ref": sha, "task": TASK, "environment": environment, "auto_merge": false, "required_contexts": [],
            "description": format!("Migrations of {environment}"),
            "production_environment": environment == "production",
        });
        self.caller.write(Method::Post, &self.path("/deployments"), &body, Repeat::Never).await
    }

    /// Sets a commit status unless its context says the same already.
    ///
    /// # Errors
    /// When GitHub cannot be asked or refuses.
    pub async fn set_status(
        &self,
        sha: &CommitSha,
        context: &str,
        state: &str,
        description: &str,
        url: Option<&str>,
    ) -> Result<(), GithubError> {
        let known: Vec<CommitStatus> = self.caller.list(&self.path(&format!("/commits/{sha}/statuses"))).await?;
        let description = short(description, DESCRIPTION);
        let newest = known.iter().find(|s| s.context == context);
        if newest.is_some_and(|s| s.state == state && s.description.as_deref() == Some(&description)) {
            return Ok(());
        }
        let mut body = json!({ "state": state, "context": context, "description": description });
        if let Some(url) = url {
            body["target_url"] = json!(url);
        }
        let path = self.path(&format!("/statuses/{sha}"));
        self.caller.send(Method::Post, &path, Some(&body), Repeat::Safe).await.map(drop)
    }

    /// Gives the word on a workflow job that waits to deploy. The address is made from the run's number, never taken from
    /// a payload.
    ///
    /// # Errors
    /// When GitHub cannot be asked or refuses.
    pub async fn answer_protection_rule(
        &self,
        run: u64,
        environment: &str,
        word: GateWord,
        report: &str,
    ) -> Result<(), GithubError> {
        let path = self.path(&format!("/actions/runs/{run}/deployment_protection_rule"));
        let mut body: Value = json!({ "environment_name": environment, "comment": short(report, REPORT) });
        match word {
            GateWord::Waits => {}
            GateWord::Approved => body["state"] = json!("approved"),
            GateWord::Rejected => body["state"] = json!("rejected"),
        }
        // A repeated final word is refused and means the same; a repeated report would use up one of ten.
        let repeat = if word == GateWord::Waits { Repeat::Never } else { Repeat::Safe };
        self.caller.send(Method::Post, &path, Some(&body), repeat).await.map(drop)
    }
}

fn short(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(limit - 1).collect();
    out.push('…');
    out
}
