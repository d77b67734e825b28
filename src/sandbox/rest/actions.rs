//! The App's word on a workflow job that waits to deploy.

use super::super::http::Reply;
use super::{Answer, Call, invalid, not_found, number};

/// Characters of a report.
const MAX_COMMENT: usize = 1024;
/// Reports on one job.
const MAX_REPORTS: usize = 10;

pub(super) fn route(call: &mut Call<'_>, method: &str, name: &str, rest: &[&str]) -> Answer {
    match (method, rest) {
        ("POST", ["actions", "runs", run, "deployment_protection_rule"]) => review(call, name, number(run)?),
        _ => Err(not_found()),
    }
}

fn review(call: &mut Call<'_>, name: &str, run: u64) -> Answer {
    let wrong = |field: &str, why: &str| invalid("DeploymentProtectionRule", field, why);
    let environment = call.text("DeploymentProtectionRule", "environment_name")?;
    let (state, comment) = (call.optional("state"), call.optional("comment"));
    if state.as_deref().is_some_and(|s| !matches!(s, "approved" | "rejected")) {
        return Err(wrong("state", "state must be approved or rejected"));
    }
    if state.is_none() && comment.is_none() {
        return Err(wrong("comment", "comment is missing"));
    }
    if comment.as_ref().is_some_and(|c| c.chars().count() > MAX_COMMENT) {
        return Err(wrong("comment", "comment is too long (maximum is 1024 characters)"));
    }
    let gates = &mut call.repo_mut(name)?.gates;
    let gate = gates.iter_mut().find(|g| g.run == run && g.environment == environment).ok_or_else(not_found)?;
    if gate.state.is_some() {
        return Err(wrong("state", "the rule was reviewed already"));
    }
    if state.is_none() && gate.comments.len() >= MAX_REPORTS {
        return Err(wrong("comment", "no more than 10 status reports are allowed"));
    }
    gate.comments.extend(comment);
    gate.state = state;
    Ok(Reply::empty(204))
}
