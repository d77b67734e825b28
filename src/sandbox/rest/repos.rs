//! Repositories: commits, comparisons, files, branches, rules, who may do what.

use base64::Engine;
use git2::{ObjectType, Oid, Repository};
use serde_json::{Value, json};

use super::super::http::Reply;
use super::super::state::{Permission, Repo};
use super::super::{gitrepo, shapes};
use super::{Answer, Call, encode_path, not_found, refuse};

pub(super) fn route(call: &mut Call<'_>, method: &str, name: &str, rest: &[&str]) -> Answer {
    if method != "GET" {
        return Err(not_found());
    }
    let repo = call.repo(name)?;
    match rest {
        [] => Ok(Reply::json(200, shapes::repository(call.world, repo))),
        ["collaborators", login, "permission"] => permission(call, repo, login),
        ["codeowners", "errors"] => codeowners_errors(call, repo),
        ["branches"] => branches(call, repo),
        ["branches", branch @ ..] => branch_of(call, repo, &branch.join("/")),
        ["rules", "branches", branch @ ..] => call.page(repo.rules.get(&branch.join("/")).cloned().unwrap_or_default()),
        ["commits"] => commits(call, repo),
        ["commits", reference @ ..] => one_commit(call, repo, &reference.join("/")),
        ["compare", range @ ..] => compare(call, repo, &range.join("/")),
        ["git", "ref", reference @ ..] => git_ref(call, repo, &reference.join("/")),
        ["git", "commits", sha] => git_commit(call, repo, sha),
        ["contents", path @ ..] => contents(call, repo, &path.join("/")),
        _ => Err(not_found()),
    }
}

fn open(repo: &Repo) -> Result<Repository, Reply> {
    Ok(gitrepo::open(&repo.git_dir)?)
}

fn find(git: &Repository, repo: &Repo, name: &str) -> Result<Oid, Reply> {
    gitrepo::resolve(git, &repo.heads, name).ok_or_else(|| refuse(422, &format!("No commit found for SHA: {name}")))
}

fn permission(call: &Call<'_>, repo: &Repo, login: &str) -> Answer {
    if call.world.user(login).is_none() {
        return Err(not_found());
    }
    let held = call.world.permission(repo, login);
    let mut user = shapes::account(call.world, login);
    user["role_name"] = json!(held.role_name());
    let body = json!({ "permission": held.legacy(), "role_name": held.role_name(), "user": user });
    Ok(Reply::json(200, body))
}

/// What GitHub skips of CODEOWNERS: here, patterns with `!` or `[`, owners that are neither `@…` nor an e-mail, and those
/// that it does not know or that may not write.
fn codeowners_errors(call: &Call<'_>, repo: &Repo) -> Answer {
    let git = open(repo)?;
    let at = find(&git, repo, &call.request.param("ref").unwrap_or_else(|| repo.default_branch.clone()))?;
    let places = [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"];
    let found = places.iter().find_map(|p| gitrepo::file(&git, at, p).map(|bytes| (*p, bytes)));
    let (path, bytes) = found.ok_or_else(not_found)?;
    let mut errors = Vec::new();
    for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(pattern) = words.next() else { continue };
        let owners: Vec<&str> = words.collect();
        let kind = if pattern.starts_with('!') || pattern.contains('[') {
            "Invalid pattern"
        } else if owners.iter().any(|owner| !owner.contains('@')) {
            "Invalid owner"
        } else if owners.iter().any(|owner| !owns(call, repo, owner)) {
            "Unknown owner"
        } else {
            continue;
        };
        errors.push(json!({
            "line": index + 1, "column": 1, "source": format!("{line}\n"), "kind": kind, "suggestion": null,
            "message": format!("{kind} on line {}: {line}", index + 1), "path": path,
        }));
    }
    Ok(Reply::json(200, json!({ "errors": errors })))
}

/// Whether GitHub takes it for an owner: a person who may write, a visible team that may itself, a known address.
fn owns(call: &Call<'_>, repo: &Repo, owner: &str) -> bool {
    let Some(name) = owner.strip_prefix('@') else { return call.world.login_of_email(owner).is_some() };
    match name.split_once('/') {
        None => call.world.user(name).is_some() && call.world.permission(repo, name) >= Permission::Write,
        Some((org, slug)) => {
            let org = call.world.orgs.get(&org.to_lowercase());
            let team = org.and_then(|o| o.teams.get(&slug.to_lowercase())).filter(|t| !t.secret);
            team.and_then(|t| super::orgs::granted(org?, t, repo)).is_some_and(|held| held >= Permission::Write)
        }
    }
}

fn branches(call: &Call<'_>, repo: &Repo) -> Answer {
    let git = open(repo)?;
    let mut listed = Vec::new();
    for reference in git.references_glob(&format!("{}*", repo.heads))? {
        let reference = reference?;
        let name = String::from_utf8_lossy(reference.name_bytes()).into_owned();
        let (Some(branch), Some(oid)) = (name.strip_prefix(&repo.heads), reference.target()) else { continue };
        listed.push(json!({
            "name": branch,
            "commit": { "sha": oid.to_string(), "url": format!("{}/repos/{}/commits/{oid}", call.world.base_url, repo.full_name) },
            "protected": repo.rules.contains_key(branch),
        }));
    }
    call.page(listed)
}

fn branch_of(call: &Call<'_>, repo: &Repo, branch: &str) -> Answer {
    let git = open(repo)?;
    let tip = gitrepo::tip(&git, &repo.branch_ref(branch)).ok_or_else(|| refuse(404, "Branch not found"))?;
    let url = format!("{}/repos/{}/branches/{}", call.world.base_url, repo.full_name, encode_path(branch));
    let protected = repo.rules.contains_key(branch);
    let checks: Vec<Value> = repo
        .rules
        .get(branch)
        .into_iter()
        .flatten()
        .filter_map(|r| r.pointer("/parameters/required_status_checks")?.as_array())
        .flatten()
        .map(|c| json!({ "context": c["context"], "app_id": c["integration_id"] }))
        .collect();
    let contexts: Vec<Value> = checks.iter().map(|c| c["context"].clone()).collect();
    Ok(Reply::json(
        200,
        json!({
            "name": branch,
            "commit": shapes::commit(call.world, repo, &gitrepo::info(&git, tip)?),
            "_links": {
                "html": format!("{}/{}/tree/{}", call.world.base_url, repo.full_name, encode_path(branch)),
                "self": url,
            },
            "protected": protected,
            "protection": {
                "enabled": protected,
                "required_status_checks": {
                    "enforcement_level": if protected { "everyone" } else { "off" }, "contexts": contexts, "checks": checks,
                },
            },
            "protection_url": format!("{url}/protection"),
        }),
    ))
}

fn commits(call: &Call<'_>, repo: &Repo) -> Answer {
    let git = open(repo)?;
    let from = find(&git, repo, &call.request.param("sha").unwrap_or_else(|| repo.default_branch.clone()))?;
    let path = call.request.param("path");
    // A login, or an address as it stands in the commit.
    let author = call.request.param("author");
    let mut listed = Vec::new();
    for commit in gitrepo::commits_between(&git, None, from)?.iter().rev() {
        let parent = commit.parents.first().map(|p| Oid::from_str(p)).transpose()?;
        let touches = match &path {
            None => true,
            Some(path) => gitrepo::changes(&git, parent, Oid::from_str(&commit.sha)?)?
                .iter()
                .any(|f| f.path == *path || f.path.starts_with(&format!("{path}/"))),
        };
        let by = author.as_ref().is_none_or(|a| {
            let login = call.world.login_of_email(&commit.author.email);
            commit.author.email.eq_ignore_ascii_case(a) || login.is_some_and(|l| l.eq_ignore_ascii_case(a))
        });
        if touches && by {
            listed.push(shapes::commit(call.world, repo, commit));
        }
    }
    call.page(listed)
}

fn one_commit(call: &Call<'_>, repo: &Repo, reference: &str) -> Answer {
    let git = open(repo)?;
    let oid = find(&git, repo, reference)?;
    let info = gitrepo::info(&git, oid)?;
    let parent = info.parents.first().map(|p| Oid::from_str(p)).transpose()?;
    let files = gitrepo::changes(&git, parent, oid)?;
    let (added, deleted) = files.iter().fold((0, 0), |(a, d), f| (a + f.additions, d + f.deletions));
    let mut shape = shapes::commit(call.world, repo, &info);
    shape["stats"] = json!({ "additions": added, "deletions": deleted, "total": added + deleted });
    shape["files"] = files.iter().map(|f| shapes::file(call.world, repo, &info.sha, f)).collect();
    Ok(Reply::json(200, shape))
}

/// A side of a comparison: `branch`, SHA, or `owner:branch` of a fork.
fn side(call: &Call<'_>, git: &Repository, repo: &Repo, name: &str) -> Result<Oid, Reply> {
    let Some((owner, branch)) = name.split_once(':') else {
        return gitrepo::resolve(git, &repo.heads, name).ok_or_else(not_found);
    };
    let other = call.world.repo(&format!("{owner}/{}", repo.name())).ok_or_else(not_found)?;
    gitrepo::resolve(git, &other.heads, branch).ok_or_else(not_found)
}

fn compare(call: &Call<'_>, repo: &Repo, range: &str) -> Answer {
    let (base_name, head_name) = range.split_once("...").ok_or_else(not_found)?;
    let git = open(repo)?;
    let (base, head) = (side(call, &git, repo, base_name)?, side(call, &git, repo, head_name)?);
    let fork_point = git.merge_base(base, head).map_err(|_| not_found())?;
    let ahead = gitrepo::commits_between(&git, Some(base), head)?;
    let behind = gitrepo::commits_between(&git, Some(head), base)?.len();
    let status = match (ahead.len(), behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        (_, _) => "diverged",
    };
    let files = gitrepo::changes(&git, Some(fork_point), head)?;
    let shown = |oid: Oid| -> Result<Value, Reply> { Ok(shapes::commit(call.world, repo, &gitrepo::info(&git, oid)?)) };
    let html = format!("{}/{}/compare/{range}", call.world.base_url, repo.full_name);
    let head_sha = head.to_string();
    Ok(Reply::json(
        200,
        json!({
            "url": format!("{}/repos/{}/compare/{range}", call.world.base_url, repo.full_name),
            "html_url": html,
            "permalink_url": html,
            "diff_url": format!("{html}.diff"),
            "patch_url": format!("{html}.patch"),
            "base_commit": shown(base)?,
            "merge_base_commit": shown(fork_point)?,
            "status": status,
            "ahead_by": ahead.len(),
            "behind_by": behind,
            "total_commits": ahead.len(),
            "commits": ahead.iter().take(250).map(|c| shapes::commit(call.world, repo, c)).collect::<Vec<_>>(),
            // GitHub shows 300 files of a comparison.
            "files": files.iter().take(300).map(|f| shapes::file(call.world, repo, &head_sha, f)).collect::<Vec<_>>(),
        }),
    ))
}

fn git_ref(call: &Call<'_>, repo: &Repo, reference: &str) -> Answer {
    let git = open(repo)?;
    let stored = match reference.strip_prefix("heads/") {
        Some(branch) => repo.branch_ref(branch),
        None => format!("refs/{reference}"),
    };
    let oid = gitrepo::tip(&git, &stored).ok_or_else(not_found)?;
    let api = format!("{}/repos/{}/git", call.world.base_url, repo.full_name);
    Ok(Reply::json(
        200,
        json!({
            "ref": format!("refs/{reference}"),
            "node_id": format!("REF_{oid}"),
            "url": format!("{api}/refs/{}", encode_path(reference)),
            "object": { "sha": oid.to_string(), "type": "commit", "url": format!("{api}/commits/{oid}") },
        }),
    ))
}

fn git_commit(call: &Call<'_>, repo: &Repo, sha: &str) -> Answer {
    let git = open(repo)?;
    let oid = Oid::from_str(sha).map_err(|_| not_found())?;
    let info = gitrepo::info(&git, oid).map_err(|_| not_found())?;
    Ok(Reply::json(200, shapes::git_commit(call.world, repo, &info)))
}

fn contents(call: &Call<'_>, repo: &Repo, path: &str) -> Answer {
    let git = open(repo)?;
    let reference = call.request.param("ref").unwrap_or_else(|| repo.default_branch.clone());
    let commit = gitrepo::resolve(&git, &repo.heads, &reference)
        .ok_or_else(|| refuse(404, &format!("No commit found for the ref {reference}")))?;
    let tree = git.find_commit(commit)?.tree()?;
    let shown = |path: &str, oid: Oid, kind: Option<ObjectType>, size: usize| {
        let encoded = encode_path(path);
        let url = format!("{}/repos/{}/contents/{encoded}?ref={reference}", call.world.base_url, repo.full_name);
        let directory = kind == Some(ObjectType::Tree);
        let html = format!("{}/{}/blob/{reference}/{encoded}", call.world.base_url, repo.full_name);
        let part = if directory { "trees" } else { "blobs" };
        let git_url = format!("{}/repos/{}/git/{part}/{oid}", call.world.base_url, repo.full_name);
        json!({
            "name": path.rsplit('/').next().unwrap_or(path),
            "path": path,
            "sha": oid.to_string(),
            "size": size,
            "url": url,
            "html_url": html,
            "git_url": git_url,
            "download_url": if directory { Value::Null } else { json!(html) },
            "type": if directory { "dir" } else { "file" },
            "_links": { "self": url, "git": git_url, "html": html },
        })
    };
    let size_of = |oid: Oid| git.find_blob(oid).map_or(0, |b| b.size());
    let list = |tree: &git2::Tree<'_>| -> Vec<Value> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        tree.iter()
            .map(|e| {
                let name = String::from_utf8_lossy(e.name_bytes()).into_owned();
                shown(&format!("{prefix}{name}"), e.id(), e.kind(), size_of(e.id()))
            })
            .collect()
    };
    if path.is_empty() {
        return Ok(Reply::json(200, Value::Array(list(&tree))));
    }
    let entry = tree.get_path(std::path::Path::new(path)).map_err(|_| not_found())?;
    if entry.kind() == Some(ObjectType::Tree) {
        return Ok(Reply::json(200, Value::Array(list(&git.find_tree(entry.id())?))));
    }
    let blob = git.find_blob(entry.id())?;
    let mut shape = shown(path, entry.id(), entry.kind(), blob.size());
    // GitHub sends no content over 1 MB this way.
    let (content, encoding) = if blob.size() > 1024 * 1024 {
        (String::new(), "none")
    } else {
        (base64::engine::general_purpose::STANDARD.encode(blob.content()), "base64")
    };
    shape["content"] = json!(content);
    shape["encoding"] = json!(encoding);
    Ok(Reply::json(200, shape))
}
