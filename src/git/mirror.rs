//! Reading a mirror at a commit. Everything here is blocking; `Mirrors` calls it on a thread for that.

use std::collections::BTreeMap;

use git2::{DiffFindOptions, DiffOptions, ErrorCode, ObjectType, Oid, Repository, TreeWalkMode, TreeWalkResult};

use super::GitError;
use crate::ids::CommitSha;
use crate::migration::{FileContent, SourceFile};

/// Commits of a branch that are gone back through to find an earlier tip.
const MOST_STEPS: usize = 10_000;

/// A bare local copy, as of the fetch just before.
pub struct Mirror {
    pub(super) repository: Repository,
}

/// A path that differs between two commits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The path before; that of the other side for an added file.
    pub old: String,
    /// The path after; that of the other side for a deleted file.
    pub new: String,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// Content or mode changed.
    Modified,
    /// It has another name.
    Renamed,
}

/// Who a commit names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitNames {
    /// The commit.
    pub sha: CommitSha,
    /// The author's e-mail.
    pub author: String,
    /// The committer's e-mail.
    pub committer: String,
    /// E-mails of `Co-authored-by` trailers.
    pub co_authors: Vec<String>,
}

impl Mirror {
    /// The commit a branch points at, `None` where there is no such branch.
    ///
    /// # Errors
    /// When the mirror cannot be read.
    pub fn branch(&self, name: &str) -> Result<Option<CommitSha>, GitError> {
        self.reference(&format!("refs/heads/{name}"))
    }

    /// The head of a pull request, `None` where git's server has none.
    ///
    /// # Errors
    /// When the mirror cannot be read.
    pub fn pull_head(&self, number: u64) -> Result<Option<CommitSha>, GitError> {
        self.reference(&format!("refs/pull/{number}/head"))
    }

    fn reference(&self, name: &str) -> Result<Option<CommitSha>, GitError> {
        match self.repository.refname_to_id(name) {
            Ok(oid) => Ok(Some(sha(oid)?)),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether a commit is here.
    pub fn has(&self, commit: &CommitSha) -> bool {
        Oid::from_str(commit.as_str()).is_ok_and(|oid| self.repository.find_commit(oid).is_ok())
    }

    /// Every file of a commit that `wanted` takes, sorted by path. Symbolic links, submodules, and folders whose name
    /// `wanted` takes are named without content; files above `max_size` bytes likewise.
    ///
    /// # Errors
    /// When the commit is not here, or the mirror cannot be read.
    pub fn files(
        &self,
        commit: &CommitSha,
        max_size: u64,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<SourceFile>, GitError> {
        let tree = self.commit(commit)?.tree()?;
        let odb = self.repository.odb()?;
        let (mut found, mut failed) = (Vec::new(), None);
        tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
            let path = format!("{folder}{}", String::from_utf8_lossy(entry.name_bytes()));
            if !wanted(&path) {
                return TreeWalkResult::Ok;
            }
            let content = match entry.kind() {
                Some(ObjectType::Blob) if std::str::from_utf8(entry.name_bytes()).is_err() => FileContent::Misnamed,
                // The link's own text is a blob, told apart by its mode.
                Some(ObjectType::Blob) if entry.filemode() == 0o120_000 => FileContent::Symlink,
                Some(ObjectType::Blob) => match odb.read_header(entry.id()) {
                    Ok((size, _)) if size as u64 > max_size => FileContent::TooLarge(size as u64),
                    Ok(_) => match self.repository.find_blob(entry.id()) {
                        Ok(blob) => FileContent::Bytes(blob.content().to_vec()),
                        Err(e) => {
                            failed = Some(e);
                            return TreeWalkResult::Abort;
                        }
                    },
                    Err(e) => {
                        failed = Some(e);
                        return TreeWalkResult::Abort;
                    }
                },
                // A folder is worth a word only where it carries a file's name; `x.sql/` (F217).
                Some(ObjectType::Tree) if path.ends_with(".sql") => FileContent::Directory,
                Some(ObjectType::Tree) => return TreeWalkResult::Ok,
                // A submodule stands for a folder of another repository.
                Some(ObjectType::Commit) => FileContent::Directory,
                _ => return TreeWalkResult::Ok,
            };
            found.push(SourceFile { path, content });
            TreeWalkResult::Ok
        })
        .or_else(|e| if failed.is_some() { Ok(()) } else { Err(e) })?;
        if let Some(e) = failed {
            return Err(e.into());
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// One regular file of a commit; `None` where there is none (or a link, which is never followed).
    ///
    /// # Errors
    /// When the commit is not here, or the mirror cannot be read.
    pub fn file(&self, commit: &CommitSha, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        let tree = self.commit(commit)?.tree()?;
        let entry = match tree.get_path(std::path::Path::new(path)) {
            Ok(entry) => entry,
            Err(e) if e.code() == ErrorCode::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        if entry.kind() != Some(ObjectType::Blob) || entry.filemode() == 0o120_000 {
            return Ok(None);
        }
        Ok(Some(self.repository.find_blob(entry.id())?.content().to_vec()))
    }

    /// Where two commits parted; `None` for unrelated histories.
    ///
    /// # Errors
    /// When a commit is not here.
    pub fn merge_base(&self, one: &CommitSha, two: &CommitSha) -> Result<Option<CommitSha>, GitError> {
        match self.repository.merge_base(self.oid(one)?, self.oid(two)?) {
            Ok(oid) => Ok(Some(sha(oid)?)),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// What `head` changes since it parted from `base` (the three-dot difference a pull request shows), renames with both
    /// names. Unrelated histories: everything in `head` is new.
    ///
    /// # Errors
    /// When a commit is not here, or the mirror cannot be read.
    pub fn changes(&self, base: &CommitSha, head: &CommitSha) -> Result<Vec<Change>, GitError> {
        let old = match self.merge_base(base, head)? {
            Some(parted) => Some(self.commit(&parted)?.tree()?),
            None => None,
        };
        self.difference(old.as_ref(), &self.commit(head)?.tree()?)
    }

    /// What differs between the trees of two commits, whatever lies between them.
    ///
    /// # Errors
    /// When a commit is not here, or the mirror cannot be read.
    pub fn tree_changes(&self, old: &CommitSha, new: &CommitSha) -> Result<Vec<Change>, GitError> {
        self.difference(Some(&self.commit(old)?.tree()?), &self.commit(new)?.tree()?)
    }

    fn difference(&self, old: Option<&git2::Tree<'_>>, new: &git2::Tree<'_>) -> Result<Vec<Change>, GitError> {
        let mut diff = self.repository.diff_tree_to_tree(old, Some(new), Some(&mut DiffOptions::new()))?;
        diff.find_similar(Some(DiffFindOptions::new().renames(true)))?;
        let mut changes: Vec<Change> = diff
            .deltas()
            .filter_map(|delta| {
                let kind = match delta.status() {
                    git2::Delta::Added | git2::Delta::Copied => ChangeKind::Added,
                    git2::Delta::Deleted => ChangeKind::Deleted,
                    git2::Delta::Renamed => ChangeKind::Renamed,
                    git2::Delta::Unmodified => return None,
                    _ => ChangeKind::Modified,
                };
                let text =
                    |file: git2::DiffFile<'_>| file.path_bytes().map(|b| String::from_utf8_lossy(b).into_owned());
                let (old, new) = (text(delta.old_file()), text(delta.new_file()));
                Some(Change { kind, old: old.clone().or(new.clone())?, new: new.or(old)? })
            })
            .collect();
        changes.sort();
        Ok(changes)
    }

    /// Who the commits between `base` and `head` name, newest first.
    ///
    /// # Errors
    /// When a commit is not here, or the mirror cannot be read.
    pub fn people(&self, base: &CommitSha, head: &CommitSha) -> Result<Vec<CommitNames>, GitError> {
        let mut walk = self.repository.revwalk()?;
        walk.push(self.oid(head)?)?;
        walk.hide(self.oid(base)?)?;
        walk.map(|oid| {
            let commit = self.repository.find_commit(oid?)?;
            let email = |s: git2::Signature<'_>| String::from_utf8_lossy(s.email_bytes()).into_owned();
            Ok(CommitNames {
                sha: sha(commit.id())?,
                author: email(commit.author()),
                committer: email(commit.committer()),
                co_authors: co_authors(&String::from_utf8_lossy(commit.message_bytes())),
            })
        })
        .collect()
    }

    /// The commit that stood on the base branch before `merge` brought `commits` commits of a pull request there. A merge
    /// commit's first parent; for a rebase, as many steps back as the pull request had commits, where the messages agree
    /// with `messages` (newest first); otherwise (a squash) the parent.
    ///
    /// # Errors
    /// When the commit is not here, or has no parent.
    pub fn before_merge(&self, merge: &CommitSha, messages: &[String]) -> Result<CommitSha, GitError> {
        let tip = self.commit(merge)?;
        if tip.parent_count() != 1 {
            return sha(tip.parent(0).map_err(|_| GitError::Missing(merge.clone()))?.id());
        }
        let same = |commit: &git2::Commit<'_>, message: &String| {
            String::from_utf8_lossy(commit.message_bytes()).trim() == message.trim()
        };
        let mut at = tip.clone();
        for message in messages {
            if at.parent_count() != 1 || !same(&at, message) {
                return sha(tip.parent_id(0)?);
            }
            at = at.parent(0)?;
        }
        if messages.is_empty() { sha(tip.parent_id(0)?) } else { sha(at.id()) }
    }

    /// The messages of the commits between `base` and `head`, newest first, along first parents.
    ///
    /// # Errors
    /// When a commit is not here.
    pub fn messages(&self, base: &CommitSha, head: &CommitSha) -> Result<Vec<String>, GitError> {
        let mut walk = self.repository.revwalk()?;
        walk.push(self.oid(head)?)?;
        walk.hide(self.oid(base)?)?;
        walk.set_sorting(git2::Sort::TOPOLOGICAL)?;
        walk.map(|oid| Ok(String::from_utf8_lossy(self.repository.find_commit(oid?)?.message_bytes()).into_owned()))
            .collect()
    }

    /// When a commit says it was made (seconds since 1970); its maker chose that.
    ///
    /// # Errors
    /// When the commit is not here.
    pub fn committed_at(&self, commit: &CommitSha) -> Result<i64, GitError> {
        Ok(self.commit(commit)?.time().seconds())
    }

    /// The commit that was the tip of a branch at `moment` (seconds since 1970), by what the commits say of themselves, along
    /// first parents from `tip`; `None` where history does not go back that far.
    ///
    /// # Errors
    /// When the commit is not here.
    pub fn tip_at(&self, tip: &CommitSha, moment: i64) -> Result<Option<CommitSha>, GitError> {
        let mut at = self.commit(tip)?;
        for _ in 0..MOST_STEPS {
            if at.time().seconds() <= moment {
                return sha(at.id()).map(Some);
            }
            match at.parent(0) {
                Ok(parent) => at = parent,
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Git's id of every file below a commit that `wanted` takes: equal ids, equal bytes.
    ///
    /// # Errors
    /// When the commit is not here, or the mirror cannot be read.
    pub fn blob_ids(
        &self,
        commit: &CommitSha,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, String>, GitError> {
        let mut found = BTreeMap::new();
        self.commit(commit)?.tree()?.walk(TreeWalkMode::PreOrder, |folder, entry| {
            let path = format!("{folder}{}", String::from_utf8_lossy(entry.name_bytes()));
            if entry.kind() == Some(ObjectType::Blob) && wanted(&path) {
                found.insert(path, entry.id().to_string());
            }
            TreeWalkResult::Ok
        })?;
        Ok(found)
    }

    /// The id of a commit that is here. One that is not is lost, and no sign of damage.
    fn oid(&self, commit: &CommitSha) -> Result<Oid, GitError> {
        Ok(self.commit(commit)?.id())
    }

    fn commit(&self, commit: &CommitSha) -> Result<git2::Commit<'_>, GitError> {
        self.repository.find_commit(Oid::from_str(commit.as_str())?).map_err(|e| match e.code() {
            ErrorCode::NotFound => GitError::Missing(commit.clone()),
            _ => e.into(),
        })
    }
}

pub(super) fn sha(oid: Oid) -> Result<CommitSha, GitError> {
    CommitSha::new(oid.to_string()).map_err(|e| GitError::Transport(e.to_string()))
}

/// E-mails of the `Co-authored-by:` lines, wherever they stand in the message: a line too many costs an approver, a line
/// too few lets an author approve.
fn co_authors(message: &str) -> Vec<String> {
    message
        .lines()
        .filter_map(|line| {
            let (key, value) = line.trim().split_once(':')?;
            if !key.trim().eq_ignore_ascii_case("co-authored-by") {
                return None;
            }
            let value = value.trim();
            let email = match (value.rfind('<'), value.rfind('>')) {
                (Some(open), Some(close)) if open < close => &value[open + 1..close],
                _ => value,
            };
            Some(email.trim().to_owned())
        })
        .filter(|email| !email.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b2_co_authors_are_found_in_any_spelling() {
        let message = "Add orders\n\nCo-authored-by: Ann <ann@x.org>\nco-Authored-By:  bob@y.org \nSee: <no@one>\n\
                       Co-authored-by: <>\n";
        assert_eq!(co_authors(message), ["ann@x.org", "bob@y.org"]);
    }
}
