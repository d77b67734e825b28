//! Pull requests and reviews.

use git2::Oid;
use serde_json::{Value, json};

use super::super::gitrepo;
use super::super::state::{Issue, LineComment, PullPart, Repo, World};
use super::{account, label, repository, simple_team, time};

/// How much of a pull request is shown: lists leave out what has to be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Detail {
    Simple,
    Full,
}

fn side(world: &World, repo: Option<&Repo>, owner: &str, branch: &str, sha: &str) -> Value {
    json!({
        "label": format!("{owner}:{branch}"),
        "ref": branch,
        "sha": sha,
        "user": account(world, owner),
        "repo": repo.map(|r| repository(world, r)),
    })
}

/// A pull request; `null` when there is none.
pub(in crate::sandbox) fn pull(world: &World, name: &str, number: u64, detail: Detail) -> Value {
    let Some(repo) = world.repo(name) else { return Value::Null };
    let Some(issue) = repo.issues.get(&number) else { return Value::Null };
    let Some(part) = &issue.pull else { return Value::Null };
    let api = format!("{}/repos/{}", world.base_url, repo.full_name);
    let html = format!("{}/{}/pull/{number}", world.base_url, repo.full_name);
    let url = format!("{api}/pulls/{number}");
    let issue_url = format!("{api}/issues/{number}");
    let statuses = format!("{api}/statuses/{}", part.head_sha);
    let head_repo = part.head_repo.as_deref().and_then(|r| world.repo(r));
    let head_owner = head_repo.map_or(issue.author.as_str(), Repo::owner);
    let labels: Vec<Value> = issue.labels.iter().map(|l| label(world, repo, l)).collect();
    let merged_at = part.merged.as_ref().map(|m| time(m.at));
    let mut shape = json!({
        "url": url,
        "id": part.id,
        "node_id": format!("PR_{}", part.id),
        "html_url": html,
        "diff_url": format!("{html}.diff"),
        "patch_url": format!("{html}.patch"),
        "issue_url": issue_url,
        "number": number,
        "state": if issue.open { "open" } else { "closed" },
        "locked": false,
        "title": issue.title,
        "user": account(world, &issue.author),
        "body": issue.body,
        "created_at": time(issue.created_at),
        "updated_at": time(issue.updated_at),
        "closed_at": issue.closed_at.map(time),
        "merged_at": merged_at,
        "merge_commit_sha": part.merged.as_ref().map(|m| m.sha.clone()),
        "assignee": null,
        "assignees": [],
        "requested_reviewers": part.requested_people.iter().map(|l| account(world, l)).collect::<Vec<_>>(),
        "requested_teams": requested_teams(world, repo, part),
        "labels": labels,
        "milestone": null,
        "draft": part.draft,
        "commits_url": format!("{url}/commits"),
        "review_comments_url": format!("{url}/comments"),
        "review_comment_url": format!("{api}/pulls/comments{{/number}}"),
        "comments_url": format!("{issue_url}/comments"),
        "statuses_url": statuses,
        "head": side(world, head_repo, head_owner, &part.head_ref, &part.head_sha),
        "base": side(world, Some(repo), repo.owner(), &part.base_ref, &part.base_sha),
        "author_association": world.association(repo, &issue.author),
        "auto_merge": null,
        "active_lock_reason": null,
    });
    shape["_links"] = json!({
        "self": { "href": url },
        "html": { "href": html },
        "issue": { "href": issue_url },
        "comments": { "href": format!("{issue_url}/comments") },
        "review_comments": { "href": format!("{url}/comments") },
        "review_comment": { "href": format!("{api}/pulls/comments{{/number}}") },
        "commits": { "href": format!("{url}/commits") },
        "statuses": { "href": statuses },
    });
    if detail == Detail::Full {
        add_details(world, repo, issue, part, &mut shape);
    }
    shape
}

fn requested_teams(world: &World, repo: &Repo, part: &PullPart) -> Vec<Value> {
    let Some(org) = world.orgs.get(&repo.owner().to_lowercase()) else { return Vec::new() };
    part.requested_teams.iter().filter_map(|slug| org.teams.get(slug)).map(|t| simple_team(world, org, t)).collect()
}

fn add_details(world: &World, repo: &Repo, issue: &Issue, part: &PullPart, shape: &mut Value) {
    let (commits, files) = super::super::pulls::contents(repo, part).unwrap_or_default();
    let mergeable = (|| {
        let git = gitrepo::open(&repo.git_dir).ok()?;
        let base = gitrepo::tip(&git, &repo.branch_ref(&part.base_ref))?;
        Some(gitrepo::mergeable(&git, base, Oid::from_str(&part.head_sha).ok()?))
    })();
    let mergeable = mergeable.filter(|_| issue.open && part.mergeable_unknown == 0);
    for (name, value) in [
        ("merged", json!(part.merged.is_some())),
        ("mergeable", json!(mergeable)),
        ("rebaseable", json!(mergeable)),
        (
            "mergeable_state",
            json!(match mergeable {
                Some(true) if part.draft => "draft",
                Some(true) => "clean",
                Some(false) => "dirty",
                None => "unknown",
            }),
        ),
        ("merged_by", part.merged.as_ref().map_or(Value::Null, |m| account(world, &m.by))),
        ("comments", json!(issue.comments.len())),
        ("review_comments", json!(part.line_comments.len())),
        ("maintainer_can_modify", json!(false)),
        ("commits", json!(commits.len())),
        ("additions", json!(files.iter().map(|f| f.additions).sum::<u64>())),
        ("deletions", json!(files.iter().map(|f| f.deletions).sum::<u64>())),
        ("changed_files", json!(files.len())),
    ] {
        shape[name] = value;
    }
}

/// A review, its state in upper case; `null` when there is none.
pub(in crate::sandbox) fn review(world: &World, name: &str, number: u64, review: u64) -> Value {
    let Some(repo) = world.repo(name) else { return Value::Null };
    let part = repo.issues.get(&number).and_then(|i| i.pull.as_ref());
    let Some(review) = part.and_then(|p| p.reviews.iter().find(|r| r.id == review)) else { return Value::Null };
    let html = format!("{}/{}/pull/{number}#pullrequestreview-{}", world.base_url, repo.full_name, review.id);
    let pull_url = format!("{}/repos/{}/pulls/{number}", world.base_url, repo.full_name);
    json!({
        "id": review.id,
        "node_id": format!("PRR_{}", review.id),
        "user": account(world, &review.author),
        "body": review.body,
        "state": review.verdict.as_str(),
        "html_url": html,
        "pull_request_url": pull_url,
        "_links": { "html": { "href": html }, "pull_request": { "href": pull_url } },
        "submitted_at": time(review.submitted_at),
        "updated_at": time(review.submitted_at),
        "commit_id": review.commit,
        "author_association": world.association(repo, &review.author),
    })
}

/// A comment on lines.
pub(in crate::sandbox) fn line_comment(world: &World, name: &str, number: u64, comment: &LineComment) -> Value {
    let Some(repo) = world.repo(name) else { return Value::Null };
    let api = format!("{}/repos/{}/pulls", world.base_url, repo.full_name);
    let html = format!("{}/{}/pull/{number}#discussion_r{}", world.base_url, repo.full_name, comment.id);
    let (url, pull_url) = (format!("{api}/comments/{}", comment.id), format!("{api}/{number}"));
    json!({
        "url": url,
        "id": comment.id,
        "node_id": format!("PRRC_{}", comment.id),
        "pull_request_review_id": comment.review,
        "diff_hunk": comment.hunk,
        "path": comment.path,
        "commit_id": comment.commit,
        "original_commit_id": comment.commit,
        "user": account(world, &comment.author),
        "body": comment.body,
        "created_at": time(comment.created_at),
        "updated_at": time(comment.created_at),
        "html_url": html,
        "pull_request_url": pull_url,
        "author_association": world.association(repo, &comment.author),
        "_links": { "self": { "href": url }, "html": { "href": html }, "pull_request": { "href": pull_url } },
        "start_line": comment.start_line,
        "original_start_line": comment.start_line,
        "start_side": comment.start_line.map(|_| "RIGHT"),
        "line": comment.line,
        "original_line": comment.line,
        "side": "RIGHT",
        "subject_type": "line",
    })
}
