//! The bare repository behind a stand-in repository: commits, comparisons and merges through libgit2.

use std::path::Path;

use chrono::{DateTime, TimeZone, Utc};
use git2::build::TreeUpdateBuilder;
use git2::{Delta, DiffFindOptions, DiffOptions, FileMode, Oid, Patch, Repository, Signature, Sort, Time};

use super::{Change, SandboxError};

/// A commit as the REST API and the page show it.
#[derive(Debug, Clone)]
pub(super) struct CommitInfo {
    pub sha: String,
    pub tree: String,
    pub parents: Vec<String>,
    pub message: String,
    pub author: Person,
    pub committer: Person,
}

/// Who and when, as written in a commit.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub name: String,
    pub email: String,
    pub at: DateTime<Utc>,
}

/// One changed file.
#[derive(Debug, Clone)]
pub(super) struct FileChange {
    pub path: String,
    pub previous: Option<String>,
    pub status: &'static str,
    /// Blob after the change; before it for a removal.
    pub blob: String,
    pub additions: u64,
    pub deletions: u64,
    /// Unified diff from the first `@@`; absent for binary files and very large changes.
    pub patch: Option<String>,
}

pub(super) fn open(dir: &Path) -> Result<Repository, git2::Error> {
    Repository::open_bare(dir)
}

pub(super) fn init(dir: &Path, default_branch: &str) -> Result<(), git2::Error> {
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).initial_head(default_branch).external_template(false);
    Repository::init_opts(dir, &options).map(|_| ())
}

fn person(signature: &Signature<'_>) -> Person {
    Person {
        name: String::from_utf8_lossy(signature.name_bytes()).into_owned(),
        email: String::from_utf8_lossy(signature.email_bytes()).into_owned(),
        at: Utc.timestamp_opt(signature.when().seconds(), 0).single().unwrap_or_default(),
    }
}

pub(super) fn info(repo: &Repository, oid: Oid) -> Result<CommitInfo, git2::Error> {
    let commit = repo.find_commit(oid)?;
    Ok(CommitInfo {
        sha: oid.to_string(),
        tree: commit.tree_id().to_string(),
        parents: commit.parent_ids().map(|p| p.to_string()).collect(),
        message: String::from_utf8_lossy(commit.message_bytes()).trim_end().to_owned(),
        author: person(&commit.author()),
        committer: person(&commit.committer()),
    })
}

/// Writes a commit on top of `parent`; moves no branch.
pub(super) fn write_commit(
    repo: &Repository,
    parent: Option<Oid>,
    changes: &[Change],
    (author, committer): (&Person, &Person),
    message: &str,
) -> Result<Oid, SandboxError> {
    let parent = parent.map(|oid| repo.find_commit(oid)).transpose()?;
    let base = match &parent {
        Some(commit) => commit.tree()?,
        None => repo.find_tree(repo.treebuilder(None)?.write()?)?,
    };
    let mut update = TreeUpdateBuilder::new();
    for change in changes {
        match change {
            Change::Write { path, bytes } => {
                update.upsert(path.as_str(), repo.blob(bytes)?, FileMode::Blob);
            }
            Change::Delete { path } => {
                if base.get_path(Path::new(path)).is_err() {
                    return Err(SandboxError::NoSuchFile(path.clone()));
                }
                update.remove(path.as_str());
            }
        }
    }
    let tree = repo.find_tree(update.create_updated(repo, &base)?)?;
    let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
    Ok(repo.commit(None, &signature(author)?, &signature(committer)?, message, &tree, &parents)?)
}

fn signature(person: &Person) -> Result<Signature<'static>, git2::Error> {
    Signature::new(&person.name, &person.email, &Time::new(person.at.timestamp(), 0))
}

pub(super) fn tip(repo: &Repository, reference: &str) -> Option<Oid> {
    repo.find_reference(reference).ok()?.peel_to_commit().ok().map(|c| c.id())
}

pub(super) fn set_ref(repo: &Repository, reference: &str, oid: Oid) -> Result<(), git2::Error> {
    repo.reference(reference, oid, true, "stand-in").map(|_| ())
}

/// Commits reachable from `head` and not from `base`, oldest first.
pub(super) fn commits_between(repo: &Repository, base: Option<Oid>, head: Oid) -> Result<Vec<CommitInfo>, git2::Error> {
    let mut walk = repo.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
    walk.push(head)?;
    if let Some(base) = base {
        walk.hide(base)?;
    }
    walk.map(|oid| info(repo, oid?)).collect()
}

/// The files that differ between two commits (`base` `None`: from nothing), with renames found as GitHub does.
pub(super) fn changes(repo: &Repository, base: Option<Oid>, head: Oid) -> Result<Vec<FileChange>, git2::Error> {
    let old = base.map(|b| repo.find_commit(b)?.tree()).transpose()?;
    let new = repo.find_commit(head)?.tree()?;
    let mut diff = repo.diff_tree_to_tree(old.as_ref(), Some(&new), Some(DiffOptions::new().context_lines(3)))?;
    diff.find_similar(Some(DiffFindOptions::new().renames(true)))?;
    let mut files = Vec::new();
    for (index, delta) in diff.deltas().enumerate() {
        let path_of = |file: git2::DiffFile<'_>| file.path_bytes().map(|b| String::from_utf8_lossy(b).into_owned());
        let (old_path, new_path) = (path_of(delta.old_file()), path_of(delta.new_file()));
        let removed = delta.status() == Delta::Deleted;
        let patch = Patch::from_diff(&diff, index)?;
        let (_, additions, deletions) = match &patch {
            Some(patch) => patch.line_stats()?,
            None => (0, 0, 0),
        };
        let text = match patch {
            Some(mut patch) if patch.num_hunks() > 0 => Some(hunks(&String::from_utf8_lossy(&patch.to_buf()?))),
            Some(_) | None => None,
        };
        files.push(FileChange {
            path: new_path.clone().or(old_path.clone()).unwrap_or_default(),
            previous: if delta.status() == Delta::Renamed { old_path } else { None },
            status: match delta.status() {
                Delta::Added => "added",
                Delta::Deleted => "removed",
                Delta::Renamed => "renamed",
                Delta::Copied => "copied",
                Delta::Unmodified => "unchanged",
                Delta::Modified
                | Delta::Ignored
                | Delta::Untracked
                | Delta::Typechange
                | Delta::Unreadable
                | Delta::Conflicted => "modified",
            },
            blob: if removed { delta.old_file().id() } else { delta.new_file().id() }.to_string(),
            additions: additions as u64,
            deletions: deletions as u64,
            patch: text.filter(|t| t.len() <= 400_000),
        });
    }
    Ok(files)
}

/// A patch without its header, as GitHub gives it.
fn hunks(patch: &str) -> String {
    patch.find("\n@@").map_or(String::new(), |at| patch[at + 1..].trim_end_matches('\n').to_owned())
}

/// The result of merging `head` into `base` as a tree, or a conflict.
fn merged_tree<'r>(repo: &'r Repository, base: Oid, head: Oid) -> Result<git2::Tree<'r>, SandboxError> {
    let mut index = repo.merge_commits(&repo.find_commit(base)?, &repo.find_commit(head)?, None)?;
    if index.has_conflicts() {
        return Err(SandboxError::NotMergeable);
    }
    Ok(repo.find_tree(index.write_tree_to(repo)?)?)
}

/// Whether `head` could be merged into `base` without a conflict.
pub(super) fn mergeable(repo: &Repository, base: Oid, head: Oid) -> bool {
    merged_tree(repo, base, head).is_ok()
}

pub(super) fn merge(repo: &Repository, base: Oid, head: Oid, by: &Person, message: &str) -> Result<Oid, SandboxError> {
    let tree = merged_tree(repo, base, head)?;
    let parents = [repo.find_commit(base)?, repo.find_commit(head)?];
    Ok(repo.commit(None, &signature(by)?, &web_flow(by)?, message, &tree, &[&parents[0], &parents[1]])?)
}

pub(super) fn squash(repo: &Repository, base: Oid, head: Oid, by: &Person, message: &str) -> Result<Oid, SandboxError> {
    let tree = merged_tree(repo, base, head)?;
    Ok(repo.commit(None, &signature(by)?, &web_flow(by)?, message, &tree, &[&repo.find_commit(base)?])?)
}

pub(super) fn rebase(repo: &Repository, base: Oid, head: Oid, by: &Person) -> Result<Oid, SandboxError> {
    let mut onto = base;
    for commit in commits_between(repo, Some(base), head)? {
        let original = repo.find_commit(Oid::from_str(&commit.sha)?)?;
        if original.parent_count() > 1 {
            continue;
        }
        let parent = repo.find_commit(onto)?;
        let mut index = repo.cherrypick_commit(&original, &parent, 0, None)?;
        if index.has_conflicts() {
            return Err(SandboxError::NotMergeable);
        }
        let tree = repo.find_tree(index.write_tree_to(repo)?)?;
        let message = String::from_utf8_lossy(original.message_bytes()).into_owned();
        onto = repo.commit(None, &original.author(), &signature(by)?, &message, &tree, &[&parent])?;
    }
    Ok(onto)
}

/// GitHub commits merges made on its page as itself.
fn web_flow(by: &Person) -> Result<Signature<'static>, git2::Error> {
    Signature::new("GitHub", "noreply@github.com", &Time::new(by.at.timestamp(), 0))
}

/// A file's bytes at a commit.
pub(super) fn file(repo: &Repository, commit: Oid, path: &str) -> Option<Vec<u8>> {
    let tree = repo.find_commit(commit).ok()?.tree().ok()?;
    let entry = tree.get_path(Path::new(path)).ok()?;
    repo.find_blob(entry.id()).ok().map(|b| b.content().to_vec())
}

/// Finds a commit by branch (of this repository's space), tag, full or short id.
pub(super) fn resolve(repo: &Repository, heads: &str, name: &str) -> Option<Oid> {
    let name = name.strip_prefix("refs/").unwrap_or(name);
    let branch = name.strip_prefix("heads/").unwrap_or(name);
    tip(repo, &format!("{heads}{branch}"))
        .or_else(|| tip(repo, &format!("refs/{name}")))
        .or_else(|| tip(repo, &format!("refs/tags/{name}")))
        .or_else(|| {
            let hex = name.len() >= 7 && name.bytes().all(|b| b.is_ascii_hexdigit());
            hex.then(|| repo.find_commit_by_prefix(name).ok().map(|c| c.id())).flatten()
        })
}
