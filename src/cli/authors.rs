//! Who wrote a migration, from the history of its files.

use std::collections::BTreeSet;
use std::path::Path;

use super::Exit;
use super::exit::Failure;
use crate::ids::CommitSha;
use crate::migration::Migration;

/// Commits that are looked through for those that touched a migration.
const MAX_COMMITS: usize = 20_000;

/// The commits, newest first, that changed a file of `migration`, as the folder `dir` has it checked out.
///
/// # Errors
/// Exit 3 when the files are not what the last commit holds: what nobody can look at cannot be approved.
pub fn commits_of(dir: &Path, migration: &Migration) -> anyhow::Result<Vec<CommitSha>> {
    let unreadable = |e: git2::Error| Failure::usage(format!("git cannot say who wrote it: {}", e.message()));
    let repository = git2::Repository::discover(dir).map_err(unreadable)?;
    let inside = match (repository.workdir().map(Path::canonicalize), dir.canonicalize()) {
        (Some(Ok(top)), Ok(dir)) => dir.strip_prefix(&top).map(Path::to_path_buf).unwrap_or_default(),
        _ => std::path::PathBuf::new(),
    };
    let paths: BTreeSet<std::path::PathBuf> = migration.files.iter().map(|f| inside.join(&f.path)).collect();
    let head = repository.head().and_then(|h| h.peel_to_commit()).map_err(unreadable)?;
    let tree = head.tree().map_err(unreadable)?;
    for (file, path) in migration.files.iter().zip(migration.files.iter().map(|f| inside.join(&f.path))) {
        let committed = tree.get_path(&path).ok().and_then(|e| repository.find_blob(e.id()).ok());
        let same = committed.is_some_and(|blob| sha256(blob.content()) == file.sha256);
        if !same {
            let message = format!("`{}` is not what the last commit holds; commit and push it first", file.path);
            return Err(Failure { exit: Exit::Blocked, message }.into());
        }
    }
    let mut walk = repository.revwalk().map_err(unreadable)?;
    walk.push(head.id()).map_err(unreadable)?;
    let mut found = Vec::new();
    for id in walk.take(MAX_COMMITS) {
        let commit = id.and_then(|id| repository.find_commit(id)).map_err(unreadable)?;
        let tree = commit.tree().map_err(unreadable)?;
        let parents: Vec<git2::Tree<'_>> = commit.parents().filter_map(|p| p.tree().ok()).collect();
        let touched = paths.iter().any(|path| {
            let here = tree.get_path(path).ok().map(|e| e.id());
            // A merge changes what none of its parents has.
            if parents.is_empty() {
                here.is_some()
            } else {
                parents.iter().all(|p| p.get_path(path).ok().map(|e| e.id()) != here)
            }
        });
        if touched && let Ok(sha) = CommitSha::new(commit.id().to_string()) {
            found.push(sha);
        }
    }
    Ok(found)
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}
