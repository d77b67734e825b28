//! Check runs: made once per outcome, recognised by `external_id`, annotations in batches.

use serde::Serialize;
use serde_json::{Value, json};

use super::client::{Method, Repeat, segment};
use super::error::GithubError;
use super::model::CheckRun;
use super::repo::RepoApi;
use crate::ids::CommitSha;

/// Annotations that GitHub takes in one request.
const BATCH: usize = 50;

/// A finding shown on a line of the pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckAnnotation {
    /// Path relative to the repository.
    pub path: String,
    /// First line, from 1.
    pub start_line: u32,
    /// Last line.
    pub end_line: u32,
    /// First column, from 1; only where the first line is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_column: Option<u32>,
    /// Last column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_column: Option<u32>,
    /// `failure`, `warning` or `notice`.
    pub annotation_level: String,
    /// The text.
    pub message: String,
    /// Its heading.
    pub title: String,
}

/// A button on a check run; GitHub shows three at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckAction {
    /// What stands on it, at most 20 characters.
    pub label: String,
    /// What it does, at most 40 characters.
    pub description: String,
    /// What GitHub sends back, at most 20 characters.
    pub identifier: String,
}

/// A completed check run to be shown on a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewCheckRun {
    /// The check's name; a required check is recognised by it.
    pub name: String,
    /// The conclusion, in GitHub's word.
    pub conclusion: String,
    /// One line.
    pub title: String,
    /// Markdown, at most 65,535 characters.
    pub summary: String,
    /// More Markdown.
    pub text: Option<String>,
    /// Findings.
    pub annotations: Vec<CheckAnnotation>,
    /// Where "Details" leads.
    pub details_url: Option<String>,
    /// Its buttons.
    pub actions: Vec<CheckAction>,
}

impl NewCheckRun {
    /// A word for everything shown, by which the run is recognised when it would be sent again.
    pub fn fingerprint(&self) -> String {
        use sha2::Digest as _;
        let all = serde_json::to_vec(self).expect("plain texts and numbers become JSON");
        format!("godwit:{}", hex::encode(&sha2::Sha256::digest(all)[..16]))
    }
}

/// What is done where the newest check run says the same already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Once,
    /// It is ended anew: somebody asked GitHub to run it again, and its suite waits.
    Anew,
}

impl RepoApi {
    /// The check runs of this App with `name` on a commit, newest first.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn check_runs(&self, sha: &CommitSha, name: &str) -> Result<Vec<CheckRun>, GithubError> {
        let path = self.path(&format!("/commits/{sha}/check-runs?check_name={}&filter=all", segment(name)));
        let mut runs: Vec<CheckRun> = self.caller.list_in(&path, "check_runs").await?;
        runs.retain(|r| r.name == name && r.app.as_ref().is_none_or(|a| a.id == self.github.app_id()));
        runs.sort_by_key(|r| std::cmp::Reverse(r.id));
        Ok(runs)
    }

    /// Shows `run` on a commit. Where the newest one of that name already says the same, nothing is sent; one that was
    /// begun and not finished (the answer was lost half-way) is replaced by a new one, so that no annotation stands twice.
    /// The conclusion is set last: a run that breaks off in between stays incomplete and blocks.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or refuses the output.
    pub async fn show_check_run(&self, sha: &CommitSha, run: &NewCheckRun, shown: Shown) -> Result<u64, GithubError> {
        let fingerprint = run.fingerprint();
        if let Some(last) = self.check_runs(sha, &run.name).await?.first()
            && last.external_id.as_deref() == Some(&fingerprint)
            && last.status == "completed"
            // Whoever has a token of the App can change what it said, and leaves the rest as it was.
            && last.conclusion.as_deref() == Some(&run.conclusion)
        {
            if shown == Shown::Anew {
                // Without its output: annotations would be appended.
                let body = json!({ "status": "completed", "conclusion": run.conclusion });
                let path = self.path(&format!("/check-runs/{}", last.id));
                self.caller.send(Method::Patch, &path, Some(&body), Repeat::Safe).await?;
            }
            return Ok(last.id);
        }
        let mut batches = run.annotations.chunks(BATCH);
        let first = batches.next().unwrap_or_default();
        let rest: Vec<&[CheckAnnotation]> = batches.collect();
        let mut body = json!({
            "name": run.name, "head_sha": sha, "external_id": fingerprint, "output": output(run, first),
        });
        if let Some(url) = &run.details_url {
            body["details_url"] = json!(url);
        }
        if !run.actions.is_empty() {
            body["actions"] = json!(run.actions);
        }
        if rest.is_empty() {
            body["status"] = json!("completed");
            body["conclusion"] = json!(run.conclusion);
        } else {
            body["status"] = json!("in_progress");
        }
        let created: CheckRun =
            self.caller.write(Method::Post, &self.path("/check-runs"), &body, Repeat::Never).await?;
        for (i, batch) in rest.iter().enumerate() {
            let mut body = json!({ "output": output(run, batch) });
            if i + 1 == rest.len() {
                body["status"] = json!("completed");
                body["conclusion"] = json!(run.conclusion);
            }
            let path = self.path(&format!("/check-runs/{}", created.id));
            // Annotations are appended, so a lost answer must not be asked for twice.
            let _: CheckRun = self.caller.write(Method::Patch, &path, &body, Repeat::Never).await?;
        }
        Ok(created.id)
    }
}

fn output(run: &NewCheckRun, annotations: &[CheckAnnotation]) -> Value {
    let mut output = json!({ "title": run.title, "summary": run.summary });
    if let Some(text) = &run.text {
        output["text"] = json!(text);
    }
    if !annotations.is_empty() {
        output["annotations"] = json!(annotations);
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_text_is_another_run() {
        let run = NewCheckRun {
            name: "godwit / lint".into(),
            conclusion: "success".into(),
            title: "no findings".into(),
            summary: String::new(),
            text: None,
            annotations: Vec::new(),
            details_url: None,
            actions: Vec::new(),
        };
        let other = NewCheckRun { title: "1 finding".into(), ..run.clone() };
        assert_eq!(run.fingerprint(), run.clone().fingerprint());
        assert_ne!(run.fingerprint(), other.fingerprint());
    }
}
