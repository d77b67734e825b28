//! Repositories.

use serde_json::{Value, json};

use super::super::state::{Repo, World};
use super::{account, time};

/// A repository with all that GitHub's `full-repository` and its webhooks promise.
pub(in crate::sandbox) fn repository(world: &World, repo: &Repo) -> Value {
    let (base, id, full_name) = (&world.base_url, repo.id, &repo.full_name);
    let api = format!("{base}/repos/{full_name}");
    let html = format!("{base}/{full_name}");
    let open_issues = repo.issues.values().filter(|i| i.open).count();
    let forks = world.repos.values().filter(|r| r.fork_of.as_ref() == Some(full_name)).count();
    let mut shape = json!({
        "id": id,
        "node_id": format!("R_{id}"),
        "name": repo.name(),
        "full_name": full_name,
        "private": repo.private,
        "owner": account(world, repo.owner()),
        "html_url": html,
        "description": null,
        "fork": repo.fork_of.is_some(),
        "url": api,
        "clone_url": format!("{html}.git"),
        "git_url": format!("git://{full_name}.git"),
        "ssh_url": format!("git@localhost:{full_name}.git"),
        "svn_url": html,
        "homepage": null,
        "size": 1,
        "stargazers_count": 0,
        "watchers_count": 0,
        "language": null,
    });
    let more = json!({
        "has_issues": true,
        "has_projects": true,
        "has_downloads": true,
        "has_wiki": false,
        "has_pages": false,
        "has_discussions": false,
        "forks_count": forks,
        "mirror_url": null,
        "archived": false,
        "disabled": false,
        "open_issues_count": open_issues,
        "license": null,
        "allow_forking": true,
        "is_template": false,
        "web_commit_signoff_required": false,
        "topics": [],
        "visibility": if repo.private { "private" } else { "public" },
        "forks": forks,
        "open_issues": open_issues,
        "watchers": 0,
        "default_branch": repo.default_branch,
        "network_count": forks,
        "subscribers_count": 0,
        "created_at": time(repo.created_at),
        "updated_at": time(repo.created_at),
        "pushed_at": time(repo.pushed_at),
    });
    if let (Some(shape), Value::Object(more)) = (shape.as_object_mut(), more) {
        shape.extend(more);
    }
    for (name, path) in [
        ("archive_url", "{archive_format}{/ref}"),
        ("assignees_url", "assignees{/user}"),
        ("blobs_url", "git/blobs{/sha}"),
        ("branches_url", "branches{/branch}"),
        ("collaborators_url", "collaborators{/collaborator}"),
        ("comments_url", "comments{/number}"),
        ("commits_url", "commits{/sha}"),
        ("compare_url", "compare/{base}...{head}"),
        ("contents_url", "contents/{+path}"),
        ("contributors_url", "contributors"),
        ("deployments_url", "deployments"),
        ("downloads_url", "downloads"),
        ("events_url", "events"),
        ("forks_url", "forks"),
        ("git_commits_url", "git/commits{/sha}"),
        ("git_refs_url", "git/refs{/sha}"),
        ("git_tags_url", "git/tags{/sha}"),
        ("hooks_url", "hooks"),
        ("issue_comment_url", "issues/comments{/number}"),
        ("issue_events_url", "issues/events{/number}"),
        ("issues_url", "issues{/number}"),
        ("keys_url", "keys{/key_id}"),
        ("labels_url", "labels{/name}"),
        ("languages_url", "languages"),
        ("merges_url", "merges"),
        ("milestones_url", "milestones{/number}"),
        ("notifications_url", "notifications{?since,all,participating}"),
        ("pulls_url", "pulls{/number}"),
        ("releases_url", "releases{/id}"),
        ("stargazers_url", "stargazers"),
        ("statuses_url", "statuses/{sha}"),
        ("subscribers_url", "subscribers"),
        ("subscription_url", "subscription"),
        ("tags_url", "tags"),
        ("teams_url", "teams"),
        ("trees_url", "git/trees{/sha}"),
    ] {
        shape[name] = json!(format!("{api}/{path}"));
    }
    shape
}
