//! What is looked at instead of what lies in the folder: what git's index holds, and folders that a branch has deleted.

use std::collections::{BTreeMap, BTreeSet};

use super::gather::READ;
use super::tree::BESIDE;
use crate::migration::paths::{any_below, below};
use crate::migration::{FileContent, SourceFile};

/// Files by their paths, as they are staged; `None` for one that git does not hold.
pub(super) type Index = BTreeMap<String, Option<FileContent>>;

/// What the next commit would record, paths relative to the folder we work in.
pub(super) struct Staged {
    /// New and changed files.
    pub paths: BTreeSet<String>,
    /// Files that it deletes.
    pub gone: BTreeSet<String>,
    /// What of the index is not as it lies in the folder, whether it is staged or not.
    pub index: Index,
}

/// What stands for the files of the folder, where something does.
#[derive(Debug, Default)]
pub(super) struct Instead {
    /// What the next commit would record in place of what lies there.
    pub index: Index,
    /// Files that lay there before a branch, around those that it changes or deletes.
    pub before: BTreeSet<String>,
}

impl Instead {
    /// What stands for a file: nothing where what lies there counts, `None` within where it is not there for git.
    pub fn of(&self, path: &str) -> Option<Option<&FileContent>> {
        self.index.get(path).map(Option::as_ref)
    }

    /// The text of a file as git's index holds it; else what `read` finds.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn text(
        &self,
        path: &str,
        read: &dyn Fn(&str) -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<Option<String>> {
        match self.of(path) {
            Some(Some(FileContent::Bytes(bytes))) if READ.iter().any(|ending| path.ends_with(ending)) => {
                Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
            }
            Some(None) => Ok(None),
            Some(Some(_)) | None => read(path),
        }
    }

    /// The same for paths in front of which `dir` stands.
    #[must_use]
    pub fn shown_below(&self, dir: &str) -> Self {
        let index = self.index.iter().map(|(path, content)| (format!("{dir}/{path}"), content.clone())).collect();
        Self { index, before: self.before.iter().map(|path| format!("{dir}/{path}")).collect() }
    }

    /// Whether it holds a file below the folder `dir`.
    pub fn holds_below(&self, dir: &str) -> bool {
        let start = format!("{dir}/");
        let mut below = self.index.range(start.clone()..).take_while(|(path, _)| path.starts_with(&start));
        below.any(|(_, content)| content.is_some())
    }

    /// Puts what is staged below the folder `dir` in place of what lies there; `files` are relative to that folder.
    pub fn lay(&self, dir: &str, files: &mut Vec<SourceFile>) {
        self.lay_where(dir, files, &|_| true);
    }

    /// As [`Instead::lay`], of folders below `dir` those alone that are wanted, and of those beside it too.
    pub fn lay_where(&self, dir: &str, files: &mut Vec<SourceFile>, wanted: &dyn Fn(&str) -> bool) {
        if self.index.is_empty() {
            return;
        }
        let around = dir.rsplit_once('/').map_or("", |(around, _)| around);
        let inside = |path: &str, dir: &str| match dir {
            "" => Some(path.to_owned()),
            dir => below(path, dir).map(str::to_owned),
        };
        let beside = |path: &str| {
            let path = format!("../{}", inside(path, around)?);
            let is_read = files.iter().any(|file| file.path.starts_with("../"));
            let fits = BESIDE.iter().any(|name| path.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')));
            (is_read && fits && !dir.is_empty()).then_some(path)
        };
        let is_wanted = |path: &String| path.rsplit_once('/').is_none_or(|(folder, _)| wanted(folder));
        let place = |path: &str| inside(path, dir).filter(is_wanted).or_else(|| beside(path));
        let own: BTreeMap<String, &Option<FileContent>> =
            self.index.iter().filter_map(|(path, content)| Some((place(path)?, content))).collect();
        files.retain(|file| !own.contains_key(&file.path));
        files
            .extend(own.into_iter().filter_map(|(path, content)| Some(SourceFile { path, content: content.clone()? })));
        files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// Whether a path that is not there was one of a file or of a folder before the branch.
    pub fn was_there(&self, path: &str) -> bool {
        self.before.contains(path) || any_below(&self.before, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_staged_stands_for_what_lies_in_the_folder() {
        let staged = |text: &str| Some(FileContent::Bytes(text.as_bytes().to_vec()));
        let instead = Instead {
            index: BTreeMap::from([
                ("db/1_a.sql".to_owned(), staged("bad")),
                ("db/2_gone.sql".to_owned(), staged("select 2;")),
                ("db/3_untracked.sql".to_owned(), None),
                ("other/1_x.sql".to_owned(), staged("select 9;")),
            ]),
            before: BTreeSet::from(["old/1_a.sql".to_owned()]),
        };
        let mut files = ["1_a.sql", "3_untracked.sql", "4_d.sql"].map(|n| SourceFile::new(n, "mended")).to_vec();
        instead.lay("db", &mut files);
        let text = |f: &SourceFile| f.content.bytes().map(|b| String::from_utf8_lossy(b).into_owned());
        let left: Vec<_> = files.iter().map(|f| (f.path.as_str(), text(f).expect("text"))).collect();
        let expected = [("1_a.sql", "bad"), ("2_gone.sql", "select 2;"), ("4_d.sql", "mended")];
        assert_eq!(left, expected.map(|(path, text)| (path, text.to_owned())));
        assert!(instead.was_there("old") && instead.was_there("old/1_a.sql") && !instead.was_there("ol"));
    }
}
