//! Where the links of comments and checks lead: files, commits, check runs.

use git2::Oid;
use percent_encoding::percent_decode_str;

use super::super::Shared;
use super::super::gitrepo;
use super::super::http::Reply;
use super::markdown::escape;
use super::{diff, document, missing};

/// Sends the browser to another page here.
pub(super) fn to(path: &str) -> Reply {
    Reply::empty(302).header("location", path)
}

/// A file with line numbers that `#L3` points to.
pub(super) fn blob(shared: &Shared, repo: &str, reference: &str, path: &str) -> Reply {
    let path = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let found = shared.look(|w| {
        let repo = w.repo(repo)?;
        let git = gitrepo::open(&repo.git_dir).ok()?;
        let commit = gitrepo::resolve(&git, &repo.heads, &percent_decode_str(reference).decode_utf8_lossy())?;
        gitrepo::file(&git, commit, &path)
    });
    let Some(bytes) = found else { return missing() };
    let rows: String = String::from_utf8_lossy(&bytes)
        .lines()
        .enumerate()
        .map(|(at, line)| {
            format!("<tr id=\"L{0}\"><td class=\"no\">{0}</td><td><pre>{1}</pre></td></tr>", at + 1, escape(line))
        })
        .collect();
    let body = format!(
        "<h1><code>{}</code></h1><div class=\"file scroll\"><table class=\"diff\">{rows}</table></div>",
        escape(&path)
    );
    document(&body, None)
}

/// A commit's message and changes.
pub(super) fn commit(shared: &Shared, repo: &str, sha: &str) -> Reply {
    let found = shared.look(|w| {
        let git = gitrepo::open(&w.repo(repo)?.git_dir).ok()?;
        let info = gitrepo::info(&git, Oid::from_str(sha).ok()?).ok()?;
        let parent = info.parents.first().and_then(|p| Oid::from_str(p).ok());
        Some((gitrepo::changes(&git, parent, Oid::from_str(sha).ok()?).ok()?, info))
    });
    let Some((files, info)) = found else { return missing() };
    let (title, rest) = info.message.split_once('\n').unwrap_or((&info.message, ""));
    let body = format!(
        "<h1>{}</h1><pre>{}</pre><p class=\"muted\">{} <code>{}</code></p>{}",
        escape(title),
        escape(rest.trim()),
        escape(&info.author.name),
        escape(&info.sha),
        diff::render(&files, &[])
    );
    document(&body, None)
}

/// The checks of the pull request that a check run belongs to.
pub(super) fn check_run(shared: &Shared, repo: &str, id: &str) -> Reply {
    let found = shared.look(|w| {
        let repo = w.repo(repo)?;
        let check = repo.checks.iter().find(|c| c.id.to_string() == id)?;
        let mut issues = repo.issues.values();
        let of_head = |i: &&super::super::state::Issue| i.pull.as_ref().is_some_and(|p| p.head_sha == check.head_sha);
        issues.find(of_head).map(|i| format!("/{}/pull/{}#checks", repo.full_name, i.number))
    });
    found.map_or_else(missing, |path| to(&path))
}
