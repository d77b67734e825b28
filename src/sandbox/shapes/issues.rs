//! Issues, comments, labels, reactions and the timeline.

use git2::Oid;
use serde_json::{Value, json};

use super::super::gitrepo;
use super::super::state::{Comment, Happening, Issue, Repo, TimelineItem, World};
use super::{account, app, git_commit, review, time};

/// A label by its name.
pub(in crate::sandbox) fn label(world: &World, repo: &Repo, name: &str) -> Value {
    let known = repo.labels.iter().find(|l| l.name.eq_ignore_ascii_case(name));
    let id = known.map_or(0, |l| l.id);
    let name = known.map_or(name, |l| l.name.as_str());
    json!({
        "id": id,
        "node_id": format!("LA_{id}"),
        "url": format!("{}/repos/{}/labels/{}", world.base_url, repo.full_name, super::super::rest::encode(name)),
        "name": name,
        "description": known.and_then(|l| l.description.clone()),
        "color": known.map_or("ededed", |l| l.color.as_str()),
        "default": false,
    })
}

fn reactions(url: &str, comment: Option<&Comment>) -> Value {
    let mut shape = json!({ "url": format!("{url}/reactions") });
    let mut total = 0;
    for content in ["+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"] {
        let count = comment.map_or(0, |c| c.reactions.iter().filter(|(_, _, r)| r == content).count());
        total += count;
        shape[content] = json!(count);
    }
    shape["total_count"] = json!(total);
    shape
}

/// An issue; `null` when there is none. A pull request is one too.
pub(in crate::sandbox) fn issue(world: &World, name: &str, number: u64) -> Value {
    let Some(repo) = world.repo(name) else { return Value::Null };
    let Some(issue) = repo.issues.get(&number) else { return Value::Null };
    let repository_url = format!("{}/repos/{}", world.base_url, repo.full_name);
    let url = format!("{repository_url}/issues/{number}");
    let page = if issue.pull.is_some() { "pull" } else { "issues" };
    let html = format!("{}/{}/{page}/{number}", world.base_url, repo.full_name);
    let labels: Vec<Value> = issue.labels.iter().map(|l| label(world, repo, l)).collect();
    let mut shape = json!({
        "url": url,
        "repository_url": repository_url,
        "labels_url": format!("{url}/labels{{/name}}"),
        "comments_url": format!("{url}/comments"),
        "events_url": format!("{url}/events"),
        "html_url": html,
        "id": issue.id,
        "node_id": format!("I_{}", issue.id),
        "number": number,
        "title": issue.title,
        "user": account(world, &issue.author),
        "labels": labels,
        "state": if issue.open { "open" } else { "closed" },
        "state_reason": if issue.open { Value::Null } else { json!("completed") },
        "locked": false,
        "assignee": null,
        "assignees": [],
        "milestone": null,
        "comments": issue.comments.len(),
        "created_at": time(issue.created_at),
        "updated_at": time(issue.updated_at),
        "closed_at": issue.closed_at.map(time),
        "author_association": world.association(repo, &issue.author),
        "active_lock_reason": null,
        "body": issue.body,
        "reactions": reactions(&url, None),
        "timeline_url": format!("{url}/timeline"),
        "performed_via_github_app": null,
    });
    if let Some(part) = &issue.pull {
        shape["draft"] = json!(part.draft);
        shape["pull_request"] = json!({
            "url": format!("{repository_url}/pulls/{number}"),
            "html_url": html,
            "diff_url": format!("{html}.diff"),
            "patch_url": format!("{html}.patch"),
            "merged_at": part.merged.as_ref().map(|m| time(m.at)),
        });
    }
    shape
}

/// A comment; `null` when there is none.
pub(in crate::sandbox) fn comment(world: &World, name: &str, number: u64, comment: u64) -> Value {
    let Some(repo) = world.repo(name) else { return Value::Null };
    let Some(issue) = repo.issues.get(&number) else { return Value::Null };
    let Some(entry) = issue.comments.iter().find(|c| c.id == comment) else { return Value::Null };
    let api = format!("{}/repos/{}", world.base_url, repo.full_name);
    let url = format!("{api}/issues/comments/{comment}");
    let page = if issue.pull.is_some() { "pull" } else { "issues" };
    json!({
        "url": url,
        "html_url": format!("{}/{}/{page}/{number}#issuecomment-{comment}", world.base_url, repo.full_name),
        "issue_url": format!("{api}/issues/{number}"),
        "id": comment,
        "node_id": format!("IC_{comment}"),
        "user": account(world, &entry.author),
        "created_at": time(entry.created_at),
        "updated_at": time(entry.updated_at),
        "author_association": world.association(repo, &entry.author),
        "body": entry.body,
        "reactions": reactions(&url, Some(entry)),
        "performed_via_github_app": if entry.by_app { app(world, &world.app.slug) } else { Value::Null },
    })
}

/// A reaction.
pub(in crate::sandbox) fn reaction(world: &World, (id, login, content): &(u64, String, String)) -> Value {
    json!({
        "id": id,
        "node_id": format!("REA_{id}"),
        "user": account(world, login),
        "content": content,
        "created_at": time(world.now()),
    })
}

/// GitHub's word for something that happened.
pub(in crate::sandbox) fn event_word(what: &Happening) -> &'static str {
    match what {
        Happening::Committed { .. } => "committed",
        Happening::Commented { .. } => "commented",
        Happening::Reviewed { .. } => "reviewed",
        Happening::ReviewDismissed { .. } => "review_dismissed",
        Happening::Labeled { .. } => "labeled",
        Happening::Unlabeled { .. } => "unlabeled",
        Happening::Renamed { .. } => "renamed",
        Happening::Closed => "closed",
        Happening::Reopened => "reopened",
        Happening::Merged { .. } => "merged",
        Happening::HeadRefForcePushed { .. } => "head_ref_force_pushed",
        Happening::BaseRefChanged => "base_ref_changed",
        Happening::ReadyForReview => "ready_for_review",
        Happening::ConvertToDraft => "convert_to_draft",
    }
}

/// An item of `…/issues/{n}/events`; `None` for what only the timeline shows.
pub(in crate::sandbox) fn issue_event(world: &World, repo: &Repo, item: &TimelineItem) -> Option<Value> {
    let api = format!("{}/repos/{}", world.base_url, repo.full_name);
    let mut shape = json!({
        "id": item.id,
        "node_id": format!("E_{}", item.id),
        "url": format!("{api}/issues/events/{}", item.id),
        "actor": account(world, &item.actor),
        "event": event_word(&item.what),
        "commit_id": null,
        "commit_url": null,
        "created_at": time(item.at),
        "performed_via_github_app": null,
    });
    match &item.what {
        Happening::Committed { .. } | Happening::Commented { .. } | Happening::Reviewed { .. } => return None,
        Happening::ReviewDismissed { review, was, message } => {
            shape["dismissed_review"] = json!({
                "state": was.to_lowercase(), "review_id": review, "dismissal_message": message,
            });
        }
        Happening::Labeled { label: name } | Happening::Unlabeled { label: name } => {
            let known = label(world, repo, name);
            shape["label"] = json!({ "name": known["name"], "color": known["color"] });
        }
        Happening::Renamed { from, to } => shape["rename"] = json!({ "from": from, "to": to }),
        Happening::Merged { sha } | Happening::HeadRefForcePushed { sha } => {
            shape["commit_id"] = json!(sha);
            shape["commit_url"] = json!(format!("{api}/commits/{sha}"));
        }
        Happening::Closed => shape["state_reason"] = Value::Null,
        Happening::Reopened | Happening::BaseRefChanged | Happening::ReadyForReview | Happening::ConvertToDraft => {}
    }
    Some(shape)
}

/// An item of the timeline; `None` when what it shows is gone (a deleted comment).
pub(in crate::sandbox) fn timeline_item(
    world: &World,
    repo: &Repo,
    issue: &Issue,
    item: &TimelineItem,
) -> Option<Value> {
    let mut shape = match &item.what {
        Happening::Committed { sha } => {
            let git = gitrepo::open(&repo.git_dir).ok()?;
            let info = gitrepo::info(&git, Oid::from_str(sha).ok()?).ok()?;
            git_commit(world, repo, &info)
        }
        Happening::Commented { comment: id } => {
            issue.comments.iter().find(|c| c.id == *id)?;
            let mut shape = comment(world, &repo.full_name, issue.number, *id);
            shape["actor"] = shape["user"].clone();
            shape
        }
        Happening::Reviewed { review: id } => {
            let mut shape = review(world, &repo.full_name, issue.number, *id);
            shape["state"] = json!(shape["state"].as_str().unwrap_or_default().to_lowercase());
            shape
        }
        Happening::ReviewDismissed { .. }
        | Happening::Labeled { .. }
        | Happening::Unlabeled { .. }
        | Happening::Renamed { .. }
        | Happening::Closed
        | Happening::Reopened
        | Happening::Merged { .. }
        | Happening::HeadRefForcePushed { .. }
        | Happening::BaseRefChanged
        | Happening::ReadyForReview
        | Happening::ConvertToDraft => return issue_event(world, repo, item),
    };
    shape["event"] = json!(event_word(&item.what));
    Some(shape)
}
