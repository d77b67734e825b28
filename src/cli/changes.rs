//! What a branch adds or touches, and the policy it is judged by, from git.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::exit::Failure;
use super::instead::Staged;
use crate::migration::{FileContent, SourceFile};

/// The part of git's modes that says what an entry is.
const MODE_KIND: u32 = 0o170_000;
/// A symbolic link.
const MODE_LINK: u32 = 0o120_000;

/// Files a branch changed since it left `base`, and files as they are at `base`.
pub(super) struct Branch {
    repository: git2::Repository,
    base: git2::Oid,
    /// The folder we work in, relative to the repository's top, empty or ending with `/`.
    inside: String,
}

impl Branch {
    /// Looks at the repository around `dir`; `base` is whatever git understands: a branch, a tag, a commit.
    ///
    /// # Errors
    /// No repository, no such commit, or no common history (a shallow clone).
    pub(super) fn open(dir: &Path, base: &str) -> anyhow::Result<Self> {
        let repository = git2::Repository::discover(dir).map_err(|e| {
            Failure::usage(format!("`--base` needs a git repository around `{}`: {}", dir.display(), e.message()))
        })?;
        let commit = ["", "origin/"]
            .iter()
            .find_map(|prefix| {
                let name = format!("{prefix}{base}^{{commit}}");
                repository.revparse_single(&name).ok().map(|o| o.id())
            })
            .ok_or_else(|| {
                Failure::usage(format!(
                    "`{base}` is no commit, branch or tag here; fetch it first (in GitHub Actions: `fetch-depth: 0`)"
                ))
            })?;
        let inside = inside(&repository, dir);
        Ok(Self { repository, base: commit, inside })
    }

    /// Paths, relative to the folder we work in, that differ between the point where the branch left its base and the
    /// working tree, new files included, deleted ones not.
    ///
    /// # Errors
    /// When the two have no common commit, or git cannot read its objects.
    pub(super) fn touched(&self) -> anyhow::Result<BTreeSet<String>> {
        Ok(paths(&self.diff(&self.fork()?)?, &self.inside))
    }

    /// Paths that the branch deleted since it left its base.
    ///
    /// # Errors
    /// As [`Branch::touched`].
    pub(super) fn deleted(&self) -> anyhow::Result<BTreeSet<String>> {
        Ok(deleted(&self.diff(&self.fork()?)?, &self.inside))
    }

    /// Files as they were where the branch left its base: those in the folders of `changed`, and in the folders around
    /// those. Of names that end otherwise than in `read`, the name alone.
    ///
    /// # Errors
    /// When git cannot read its objects.
    pub(super) fn files_around(&self, changed: &BTreeSet<&str>, read: &[&str]) -> anyhow::Result<Vec<SourceFile>> {
        let is_read = |path: &str| read.iter().any(|ending| path.ends_with(ending));
        let folders: BTreeSet<&str> = changed
            .iter()
            .filter(|p| is_read(p))
            .flat_map(|p| {
                let dir = p.rsplit_once('/').map_or("", |(dir, _)| dir);
                [dir, dir.rsplit_once('/').map_or("", |(above, _)| above)]
            })
            .collect();
        let mut files = Vec::new();
        if folders.is_empty() {
            return Ok(files);
        }
        // A folder around the top is the top, and what lies deep below it is not meant.
        let near = |path: &str| {
            let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
            folders.contains(dir)
                || dir.rsplit_once('/').is_some_and(|(above, _)| !above.is_empty() && folders.contains(above))
        };
        let fail = |e: git2::Error| Failure::usage(format!("git cannot read the base: {}", e.message()));
        let tree = self.fork()?;
        let mut wanted = Vec::new();
        tree.walk(git2::TreeWalkMode::PreOrder, |dir, entry| {
            let path = format!("{dir}{}", entry.name().unwrap_or_default());
            if let Some(path) = path.strip_prefix(&self.inside)
                && entry.kind() == Some(git2::ObjectType::Blob)
                && near(path)
            {
                wanted.push((path.to_owned(), entry.id()));
            }
            git2::TreeWalkResult::Ok
        })
        .map_err(fail)?;
        for (path, id) in wanted {
            let bytes = match is_read(&path) {
                true => self.repository.find_blob(id).map_err(fail)?.content().to_vec(),
                false => Vec::new(),
            };
            files.push(SourceFile::new(path, bytes));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// The tree of the commit at which the branch left its base.
    fn fork(&self) -> anyhow::Result<git2::Tree<'_>> {
        let fail = |e: git2::Error| Failure::usage(format!("git cannot compare with the base: {}", e.message()));
        let head = self.repository.head().and_then(|h| h.peel_to_commit()).map_err(fail)?;
        let fork = self.repository.merge_base(self.base, head.id()).map_err(|_| {
            Failure::usage(
                "the branch and its base have no common commit here; fetch the history (in GitHub Actions: `fetch-depth: 0`)",
            )
        })?;
        self.repository.find_commit(fork).and_then(|c| c.tree()).map_err(fail)
    }

    fn diff(&self, tree: &git2::Tree<'_>) -> anyhow::Result<git2::Diff<'_>> {
        let mut options = git2::DiffOptions::new();
        options.include_untracked(true).recurse_untracked_dirs(true);
        self.repository
            .diff_tree_to_workdir_with_index(Some(tree), Some(&mut options))
            .map_err(|e| Failure::usage(format!("git cannot compare with the base: {}", e.message())))
    }

    /// Whether the base has a file of that path.
    pub(super) fn has(&self, path: &str) -> bool {
        let tree = self.repository.find_commit(self.base).and_then(|c| c.tree());
        tree.is_ok_and(|t| t.get_path(Path::new(&format!("{}{path}", self.inside))).is_ok())
    }

    /// A file's text at the base; what a branch writes about its own rules does not count.
    ///
    /// # Errors
    /// When the object cannot be read or is not UTF-8.
    pub(super) fn read_base(&self, path: &str) -> anyhow::Result<Option<String>> {
        let tree = self.repository.find_commit(self.base).and_then(|c| c.tree())?;
        let Ok(entry) = tree.get_path(Path::new(&format!("{}{path}", self.inside))) else { return Ok(None) };
        let object = entry.to_object(&self.repository)?;
        let Some(blob) = object.as_blob() else { return Ok(None) };
        match std::str::from_utf8(blob.content()) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(Failure::usage(format!("`{path}` at the base is not UTF-8"))),
        }
    }
}

/// The folder `dir` within the repository, empty or ending with `/`.
fn inside(repository: &git2::Repository, dir: &Path) -> String {
    match (repository.workdir().map(Path::canonicalize), dir.canonicalize()) {
        (Some(Ok(top)), Ok(dir)) => match dir.strip_prefix(&top) {
            Ok(path) if !path.as_os_str().is_empty() => format!("{}/", path.to_string_lossy().replace('\\', "/")),
            Ok(_) | Err(_) => String::new(),
        },
        _ => String::new(),
    }
}

/// New and changed files of a comparison that lie below `inside`, relative to it; deleted ones are left out.
fn paths(diff: &git2::Diff<'_>, inside: &str) -> BTreeSet<String> {
    diff.deltas()
        .filter(|d| d.status() != git2::Delta::Deleted)
        .filter_map(|d| d.new_file().path().map(|p| p.to_string_lossy().replace('\\', "/")))
        .filter_map(|p| p.strip_prefix(inside).map(str::to_owned))
        .collect()
}

/// Deleted files of a comparison that lie below `inside`, relative to it.
fn deleted(diff: &git2::Diff<'_>, inside: &str) -> BTreeSet<String> {
    diff.deltas()
        .filter(|d| d.status() == git2::Delta::Deleted)
        .filter_map(|d| d.old_file().path().map(|p| p.to_string_lossy().replace('\\', "/")))
        .filter_map(|p| p.strip_prefix(inside).map(str::to_owned))
        .collect()
}

/// Whether the last commit of the repository around a file has it. Outside of a repository, and before its first commit,
/// nothing is committed.
pub(super) fn is_committed(file: &Path) -> bool {
    let Ok(file) = file.canonicalize() else { return false };
    let Some(repository) = file.parent().and_then(|folder| git2::Repository::discover(folder).ok()) else {
        return false;
    };
    let Some(top) = repository.workdir().and_then(|top| top.canonicalize().ok()) else { return false };
    let last = repository.head().and_then(|head| head.peel_to_tree());
    last.is_ok_and(|tree| file.strip_prefix(top).is_ok_and(|path| tree.get_path(path).is_ok()))
}

/// What the next commit would record: the files of git's index that differ from the last commit, or all of them before the
/// first. Of names that end otherwise than in `read`, the name alone.
///
/// # Errors
/// No repository around `dir`, or git cannot read its objects.
pub(super) fn staged(dir: &Path, read: &[&str]) -> anyhow::Result<Staged> {
    let fail = |e: git2::Error| {
        Failure::usage(format!("`--staged` needs a git repository around `{}`: {}", dir.display(), e.message()))
    };
    let repository = git2::Repository::discover(dir).map_err(fail)?;
    let inside = inside(&repository, dir);
    let last = match repository.head() {
        Ok(head) => Some(head.peel_to_tree().map_err(fail)?),
        Err(e) if matches!(e.code(), git2::ErrorCode::UnbornBranch | git2::ErrorCode::NotFound) => None,
        Err(e) => return Err(fail(e)),
    };
    let staged = repository.diff_tree_to_index(last.as_ref(), None, None).map_err(fail)?;
    let mut options = git2::DiffOptions::new();
    options.include_untracked(true).recurse_untracked_dirs(true);
    let since = repository.diff_index_to_workdir(None, Some(&mut options)).map_err(fail)?;
    let entries = repository.index().map_err(fail)?;
    let mut index = BTreeMap::new();
    for delta in since.deltas() {
        let Some(path) = delta.old_file().path().or_else(|| delta.new_file().path()) else { continue };
        let text = path.to_string_lossy().replace('\\', "/");
        let Some(shown) = text.strip_prefix(&inside) else { continue };
        let entry = entries.get_path(path, 0);
        let content = match &entry {
            None => None,
            Some(entry) if entry.mode & MODE_KIND == MODE_LINK => Some(FileContent::Symlink),
            Some(_) if !read.iter().any(|ending| shown.ends_with(ending)) => Some(FileContent::Bytes(Vec::new())),
            Some(entry) => match repository.find_blob(entry.id) {
                Ok(blob) => Some(FileContent::Bytes(blob.content().to_vec())),
                // Another repository, which stands in this one by its commit.
                Err(_) => None,
            },
        };
        index.insert(shown.to_owned(), content);
    }
    Ok(Staged { paths: paths(&staged, &inside), gone: deleted(&staged, &inside), index })
}
