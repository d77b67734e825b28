//! Pull requests, their files, commits and reviews.

use serde_json::Value;

use super::super::http::Reply;
use super::super::pulls::NewPull;
use super::super::shapes::{self, Detail};
use super::super::state::{Issue, PullPart};
use super::super::{gitrepo, pulls};
use super::{Answer, Call, invalid, not_found, number};

/// GitHub lists no more commits of a pull request than this.
const MAX_COMMITS: usize = 250;
/// GitHub lists no more files of a pull request than this.
const MAX_FILES: usize = 3000;

pub(super) fn route(call: &mut Call<'_>, method: &str, name: &str, rest: &[&str]) -> Answer {
    match (method, rest) {
        ("GET", ["pulls"]) => list(call, name),
        ("POST", ["pulls"]) => create(call, name),
        ("GET", ["pulls", n]) => one(call, name, number(n)?),
        ("GET", ["pulls", n, "files"]) => files(call, name, number(n)?),
        ("GET", ["pulls", n, "commits"]) => commits(call, name, number(n)?),
        ("GET", ["pulls", n, "reviews"]) => reviews(call, name, number(n)?),
        ("GET", ["pulls", n, "reviews", id]) => {
            let shape = shapes::review(call.world, name, number(n)?, number(id)?);
            if shape.is_null() { Err(not_found()) } else { Ok(Reply::json(200, shape)) }
        }
        ("POST", ["pulls", n, "reviews"]) => super::line_comments::review(call, name, number(n)?),
        ("GET", ["pulls", n, "comments"]) => super::line_comments::list(call, name, number(n)?),
        ("GET", ["commits", sha, "pulls"]) => of_commit(call, name, sha),
        _ => Err(not_found()),
    }
}

fn list(call: &Call<'_>, name: &str) -> Answer {
    let param = |name: &str, default: &str| call.request.param(name).unwrap_or_else(|| default.to_owned());
    let state = param("state", "open");
    let (base, head) = (call.request.param("base"), call.request.param("head"));
    let repo = call.repo(name)?;
    let mut found: Vec<(&Issue, &PullPart)> = repo
        .issues
        .values()
        .filter_map(|i| i.pull.as_ref().map(|p| (i, p)))
        .filter(|(i, _)| state == "all" || i.open == (state == "open"))
        .filter(|(_, p)| base.as_deref().is_none_or(|b| p.base_ref == b))
        .filter(|(_, p)| {
            head.as_deref().is_none_or(|h| {
                let owner = p.head_repo.as_deref().and_then(|r| r.split_once('/')).map_or("", |(o, _)| o);
                format!("{owner}:{}", p.head_ref) == h
            })
        })
        .collect();
    let updated = param("sort", "created") == "updated";
    found.sort_by_key(|(i, _)| (if updated { i.updated_at } else { i.created_at }, i.number));
    if param("direction", "desc") == "desc" {
        found.reverse();
    }
    call.page(found.iter().map(|(i, _)| shapes::pull(call.world, name, i.number, Detail::Simple)).collect())
}

fn create(call: &mut Call<'_>, name: &str) -> Answer {
    let (head, base) = (call.text("PullRequest", "head")?, call.text("PullRequest", "base")?);
    let (title, body) = (call.text("PullRequest", "title")?, call.optional("body").unwrap_or_default());
    let taken = call
        .repo(name)?
        .issues
        .values()
        .any(|i| i.open && i.pull.as_ref().is_some_and(|p| p.head_ref == head && p.base_ref == base));
    if taken {
        return Err(invalid("PullRequest", "head", &format!("A pull request already exists for {head}.")));
    }
    let author = call.bot();
    let draft = call.body["draft"].as_bool().unwrap_or(false);
    let new = NewPull { author: &author, title: &title, body: &body, head: &head, base: &base, draft };
    let n = pulls::open(call.world, name, &new)?;
    Ok(Reply::json(201, shapes::pull(call.world, name, n, Detail::Full)))
}

fn one(call: &mut Call<'_>, name: &str, n: u64) -> Answer {
    let shape = shapes::pull(call.world, name, n, Detail::Full);
    if shape.is_null() { Err(not_found()) } else { Ok(Reply::json(200, shape)) }
}

fn files(call: &Call<'_>, name: &str, n: u64) -> Answer {
    let (_, part) = pulls::pull(call.world, name, n)?;
    let repo = call.repo(name)?;
    let (_, files) = pulls::contents(repo, part)?;
    call.page(files.iter().take(MAX_FILES).map(|f| shapes::file(call.world, repo, &part.head_sha, f)).collect())
}

fn commits(call: &Call<'_>, name: &str, n: u64) -> Answer {
    let (_, part) = pulls::pull(call.world, name, n)?;
    let repo = call.repo(name)?;
    let (commits, _) = pulls::contents(repo, part)?;
    call.page(commits.iter().take(MAX_COMMITS).map(|c| shapes::commit(call.world, repo, c)).collect())
}

fn reviews(call: &Call<'_>, name: &str, n: u64) -> Answer {
    let (_, part) = pulls::pull(call.world, name, n)?;
    call.page(part.reviews.iter().map(|r| shapes::review(call.world, name, n, r.id)).collect())
}

/// Pull requests that a commit came in with, or is the head of.
fn of_commit(call: &Call<'_>, name: &str, sha: &str) -> Answer {
    let repo = call.repo(name)?;
    let git = gitrepo::open(&repo.git_dir)?;
    let oid = gitrepo::resolve(&git, &repo.heads, sha).ok_or_else(not_found)?.to_string();
    let mut shapes_found: Vec<Value> = Vec::new();
    for issue in repo.issues.values() {
        let Some(part) = &issue.pull else { continue };
        let merged = part.merged.as_ref().is_some_and(|m| m.brought.contains(&oid));
        let contains = || pulls::contents(repo, part).is_ok_and(|(commits, _)| commits.iter().any(|c| c.sha == oid));
        if merged || part.head_sha == oid || contains() {
            shapes_found.push(shapes::pull(call.world, name, issue.number, Detail::Simple));
        }
    }
    call.page(shapes_found)
}
