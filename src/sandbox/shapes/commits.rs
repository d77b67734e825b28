//! Commits and changed files.

use git2::{Oid, Repository};
use serde_json::{Value, json};

use super::super::gitrepo::{self, CommitInfo, FileChange, Person};
use super::super::state::{Repo, World};
use super::{account, time};

fn signed(person: &Person) -> Value {
    json!({ "name": person.name, "email": person.email, "date": time(person.at) })
}

fn verification() -> Value {
    json!({ "verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null })
}

/// The account of a commit's e-mail address; `null` when it is nobody's.
fn account_of(world: &World, person: &Person) -> Value {
    if person.email == "noreply@github.com" {
        return account(world, "web-flow");
    }
    world.login_of_email(&person.email).map_or(Value::Null, |login| account(world, login))
}

/// A commit of the REST API.
pub(in crate::sandbox) fn commit(world: &World, repo: &Repo, commit: &CommitInfo) -> Value {
    let api = format!("{}/repos/{}", world.base_url, repo.full_name);
    let html = format!("{}/{}", world.base_url, repo.full_name);
    let sha = &commit.sha;
    let parents: Vec<Value> = commit
        .parents
        .iter()
        .map(|p| json!({ "sha": p, "url": format!("{api}/commits/{p}"), "html_url": format!("{html}/commit/{p}") }))
        .collect();
    json!({
        "sha": sha,
        "node_id": format!("C_{sha}"),
        "commit": {
            "author": signed(&commit.author),
            "committer": signed(&commit.committer),
            "message": commit.message,
            "tree": { "sha": commit.tree, "url": format!("{api}/git/trees/{}", commit.tree) },
            "url": format!("{api}/git/commits/{sha}"),
            "comment_count": 0,
            "verification": verification(),
        },
        "url": format!("{api}/commits/{sha}"),
        "html_url": format!("{html}/commit/{sha}"),
        "comments_url": format!("{api}/commits/{sha}/comments"),
        "author": account_of(world, &commit.author),
        "committer": account_of(world, &commit.committer),
        "parents": parents,
    })
}

/// A commit of the git database API, and the `committed` item of a timeline.
pub(in crate::sandbox) fn git_commit(world: &World, repo: &Repo, commit: &CommitInfo) -> Value {
    let api = format!("{}/repos/{}/git", world.base_url, repo.full_name);
    let html = format!("{}/{}", world.base_url, repo.full_name);
    let sha = &commit.sha;
    let parents: Vec<Value> = commit
        .parents
        .iter()
        .map(|p| json!({ "sha": p, "url": format!("{api}/commits/{p}"), "html_url": format!("{html}/commit/{p}") }))
        .collect();
    json!({
        "sha": sha,
        "node_id": format!("C_{sha}"),
        "url": format!("{api}/commits/{sha}"),
        "html_url": format!("{html}/commit/{sha}"),
        "author": signed(&commit.author),
        "committer": signed(&commit.committer),
        "tree": { "sha": commit.tree, "url": format!("{api}/trees/{}", commit.tree) },
        "message": commit.message,
        "parents": parents,
        "verification": verification(),
    })
}

/// A commit as merge groups and check suites name it.
pub(in crate::sandbox) fn plain_commit(commit: &CommitInfo) -> Value {
    json!({
        "id": commit.sha,
        "tree_id": commit.tree,
        "message": commit.message,
        "timestamp": time(commit.committer.at),
        "author": { "name": commit.author.name, "email": commit.author.email },
        "committer": { "name": commit.committer.name, "email": commit.committer.email },
    })
}

/// A commit as `push` lists it, with the names of its files.
pub(in crate::sandbox) fn pushed_commit(
    world: &World,
    repo: &Repo,
    git: &Repository,
    commit: &CommitInfo,
) -> Result<Value, git2::Error> {
    let parent = commit.parents.first().map(|p| Oid::from_str(p)).transpose()?;
    let files = gitrepo::changes(git, parent, Oid::from_str(&commit.sha)?)?;
    let of = |status: &[&str]| -> Vec<String> {
        files.iter().filter(|f| status.contains(&f.status)).map(|f| f.path.clone()).collect()
    };
    let mut shape = plain_commit(commit);
    for (side, person) in [("author", &commit.author), ("committer", &commit.committer)] {
        if let Some(login) = world.login_of_email(&person.email) {
            shape[side]["username"] = json!(login);
        }
        shape[side]["date"] = json!(time(person.at));
    }
    shape["distinct"] = json!(true);
    shape["url"] = json!(format!("{}/{}/commit/{}", world.base_url, repo.full_name, commit.sha));
    shape["added"] = json!(of(&["added", "copied"]));
    shape["removed"] = json!(of(&["removed"]));
    shape["modified"] = json!(of(&["modified", "renamed"]));
    Ok(shape)
}

/// A changed file.
pub(in crate::sandbox) fn file(world: &World, repo: &Repo, head: &str, file: &FileChange) -> Value {
    let encoded = super::super::rest::encode_path(&file.path);
    let html = format!("{}/{}", world.base_url, repo.full_name);
    let mut shape = json!({
        "sha": file.blob,
        "filename": file.path,
        "status": file.status,
        "additions": file.additions,
        "deletions": file.deletions,
        "changes": file.additions + file.deletions,
        "blob_url": format!("{html}/blob/{head}/{encoded}"),
        "raw_url": format!("{html}/raw/{head}/{encoded}"),
        "contents_url": format!("{}/repos/{}/contents/{encoded}?ref={head}", world.base_url, repo.full_name),
    });
    if let Some(previous) = &file.previous {
        shape["previous_filename"] = json!(previous);
    }
    if let Some(patch) = &file.patch {
        shape["patch"] = json!(patch);
    }
    shape
}
