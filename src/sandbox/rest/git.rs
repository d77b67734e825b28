//! Writing into git by REST: trees, commits, branches.

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Oid};
use serde_json::{Value, json};

use super::super::http::Reply;
use super::super::people::{move_branch, signature_of};
use super::super::{gitrepo, shapes};
use super::{Answer, Call, encode_path, invalid, not_found, refuse};

pub(super) fn route(call: &mut Call<'_>, name: &str, rest: &[&str]) -> Answer {
    match rest {
        ["git", "trees"] => tree(call, name),
        ["git", "commits"] => commit(call, name),
        ["git", "refs"] => branch(call, name),
        _ => Err(not_found()),
    }
}

fn tree(call: &Call<'_>, name: &str) -> Answer {
    let repo = call.repo(name)?;
    let git = gitrepo::open(&repo.git_dir)?;
    let base = match call.optional("base_tree") {
        Some(sha) => {
            let oid = Oid::from_str(&sha).map_err(|_| invalid("Tree", "base_tree", "base_tree is not a tree"))?;
            let object = git.find_object(oid, None).map_err(|_| not_found())?;
            object.peel_to_tree().map_err(|_| not_found())?
        }
        None => git.find_tree(git.treebuilder(None)?.write()?)?,
    };
    let mut update = TreeUpdateBuilder::new();
    for entry in call.body["tree"].as_array().ok_or_else(|| invalid("Tree", "tree", "tree is missing"))? {
        let (Some(path), Some(content)) = (entry["path"].as_str(), entry["content"].as_str()) else {
            return Err(invalid("Tree", "tree", "the stand-in takes entries with path and content"));
        };
        if path.is_empty() || path.starts_with('/') || path.split('/').any(|p| p.is_empty() || p == ".." || p == ".git")
        {
            return Err(invalid("Tree", "tree.path", "tree.path contains a malformed path component"));
        }
        update.upsert(path, git.blob(content.as_bytes())?, FileMode::Blob);
    }
    let oid = update.create_updated(&git, &base)?;
    let api = format!("{}/repos/{}/git", call.world.base_url, repo.full_name);
    let written = git.find_tree(oid)?;
    let entries: Vec<Value> = written
        .iter()
        .map(|e| {
            let (kind, mode) = match e.kind() {
                Some(git2::ObjectType::Tree) => ("tree", "040000"),
                _ => ("blob", "100644"),
            };
            let path = String::from_utf8_lossy(e.name_bytes()).into_owned();
            json!({ "path": path, "mode": mode, "type": kind, "sha": e.id().to_string(), "url": format!("{api}/{kind}s/{}", e.id()) })
        })
        .collect();
    let body =
        json!({ "sha": oid.to_string(), "url": format!("{api}/trees/{oid}"), "tree": entries, "truncated": false });
    Ok(Reply::json(201, body))
}

fn commit(call: &Call<'_>, name: &str) -> Answer {
    let repo = call.repo(name)?;
    let git = gitrepo::open(&repo.git_dir)?;
    let oid = |sha: &str| Oid::from_str(sha).map_err(|_| invalid("Commit", "tree", "that is not a SHA"));
    let message = call.text("Commit", "message")?;
    let tree = git.find_tree(oid(&call.text("Commit", "tree")?)?).map_err(|_| not_found())?;
    let mut parents = Vec::new();
    for parent in call.body["parents"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        parents.push(git.find_commit(oid(parent)?).map_err(|_| not_found())?);
    }
    let by = signature_of(call.world, &call.bot(), None)?;
    let signature = git2::Signature::new(&by.name, &by.email, &git2::Time::new(by.at.timestamp(), 0))?;
    let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
    let made = git.commit(None, &signature, &signature, &message, &tree, &parents)?;
    Ok(Reply::json(201, shapes::git_commit(call.world, repo, &gitrepo::info(&git, made)?)))
}

fn branch(call: &mut Call<'_>, name: &str) -> Answer {
    let reference = call.text("Reference", "ref")?;
    let Some(branch) = reference.strip_prefix("refs/heads/").map(str::to_owned) else {
        return Err(refuse(422, "Reference name must start with 'refs/heads/'"));
    };
    let sha = call.text("Reference", "sha")?;
    let repo = call.repo(name)?;
    let git = gitrepo::open(&repo.git_dir)?;
    let oid = Oid::from_str(&sha).ok().filter(|oid| git.find_commit(*oid).is_ok());
    let oid = oid.ok_or_else(|| refuse(422, "Object does not exist"))?;
    if gitrepo::tip(&git, &repo.branch_ref(&branch)).is_some() {
        return Err(refuse(422, "Reference already exists"));
    }
    let (bot, api) = (call.bot(), format!("{}/repos/{}/git", call.world.base_url, repo.full_name));
    move_branch(call.world, name, &branch, &bot, oid)?;
    let shape = json!({
        "ref": reference,
        "node_id": format!("REF_{oid}"),
        "url": format!("{api}/refs/heads/{}", encode_path(&branch)),
        "object": { "sha": sha, "type": "commit", "url": format!("{api}/commits/{sha}") },
    });
    Ok(Reply::json(201, shape))
}
