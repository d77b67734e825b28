//! The files below a folder: listed, looked at, read.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::standing::above;
use crate::migration::execution::{LONG, Long};
use crate::migration::{FileContent, SourceFile, has_beside};

/// Folders beside one of scripts that belong to it.
pub(super) const BESIDE: [&str; 2] = ["../rollbacks", "../data"];

/// Files above this many bytes are not read into memory as migrations (bytes).
const MAX_FILE: u64 = 512 * 1024 * 1024;

/// Files from which on two threads read: opening many small ones is what takes the time.
const SHARE_FROM: usize = 256;
/// What most files fit into (bytes).
const SMALL_FILE: usize = 16 * 1024;

/// A file that is going to be looked at.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    /// Its path below the folder, as it is shown.
    shown: String,
    /// Its path below the folder where it is not shown as it is.
    odd: Option<PathBuf>,
}

impl Named {
    /// What stands in this folder under `name`.
    fn entry(&self, name: OsString) -> Self {
        let (name, odd) = match name.into_string() {
            Ok(name) if name.contains('\\') => (name.replace('\\', "/"), Some(OsString::from(name))),
            Ok(name) => (name, None),
            Err(name) => (name.to_string_lossy().into_owned(), Some(name)),
        };
        let odd = match (&self.odd, &odd) {
            (None, None) => None,
            (_, odd) => Some(self.below().join(odd.as_deref().unwrap_or(name.as_ref()))),
        };
        let shown = if self.shown.is_empty() { name } else { format!("{}/{name}", self.shown) };
        Self { shown, odd }
    }

    /// Where it is below the folder.
    fn below(&self) -> &Path {
        self.odd.as_deref().unwrap_or(Path::new(&self.shown))
    }

    /// Where it is, `dir` being the folder.
    fn path(&self, dir: &Path) -> PathBuf {
        if self.shown.is_empty() { dir.to_path_buf() } else { dir.join(self.below()) }
    }
}

/// What is below a folder, before anything of it is read.
#[derive(Debug)]
pub(super) struct Tree {
    dir: PathBuf,
    /// What the folders above it say of it.
    pub above: String,
    /// What is no file to be read, but must be spoken of.
    others: Vec<SourceFile>,
    files: Vec<Named>,
}

/// How scripts are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Every one is held as text.
    Whole,
    /// A long one that nobody but a server has to see as a whole is looked over, and read again when it is sent.
    InPieces,
}

/// What `look` makes of the files, in their order; two threads share many.
fn shared<T: Send>(
    files: &[Named],
    look: impl Fn(&[Named]) -> anyhow::Result<Vec<T>> + Sync,
) -> anyhow::Result<Vec<T>> {
    if files.len() < SHARE_FROM {
        return look(files);
    }
    let (left, right) = files.split_at(files.len() / 2);
    let (left, right) = std::thread::scope(|s| {
        let other = s.spawn(|| look(right));
        (look(left), other.join())
    });
    let mut all = left?;
    all.extend(right.map_err(|_| anyhow::anyhow!("a thread that reads files ended early"))??);
    Ok(all)
}

/// A file's bytes. A small one needs no look at its size: it ends before the buffer does.
fn read_content(path: &Path, buffer: &mut [u8], reading: Reading) -> std::io::Result<FileContent> {
    let mut file = std::fs::File::open(path)?;
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => return Ok(FileContent::Bytes(buffer[..filled].to_vec())),
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let size = file.metadata()?.len();
    if size > MAX_FILE {
        return Ok(FileContent::TooLarge(size));
    }
    if reading == Reading::InPieces
        && size > LONG
        && path.extension().is_some_and(|ending| ending == "sql")
        && let Some(long) = Long::look_over(path, std::fs::File::open(path)?)?
    {
        return Ok(FileContent::Long(Box::new(long)));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).max(filled) + 1);
    bytes.extend_from_slice(&buffer[..filled]);
    file.read_to_end(&mut bytes)?;
    Ok(FileContent::Bytes(bytes))
}

/// Every file below `dir`, paths relative to `dir` with `/`, sorted; hidden folders and `target`, `node_modules` are left out.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn read_tree(dir: &Path) -> anyhow::Result<Vec<SourceFile>> {
    Tree::list(dir)?.read(Reading::Whole)
}

impl Tree {
    /// Lists what is below `dir`, as [`read_tree`] reads it.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn list(dir: &Path) -> anyhow::Result<Self> {
        let (mut others, mut files) = (Vec::new(), Vec::new());
        let above = above(dir);
        let mut folders = vec![Named { shown: String::new(), odd: None }];
        // What such a folder needs stands beside it.
        let beside = BESIDE.iter().filter(|name| has_beside(&above) && dir.join(name).is_dir());
        folders.extend(beside.map(|name| Named { shown: (*name).to_owned(), odd: None }));
        while let Some(folder) = folders.pop() {
            let whole = folder.path(dir);
            let unreadable = || format!("cannot read the folder `{}`", whole.display());
            for entry in std::fs::read_dir(&whole).with_context(unreadable)? {
                let entry = entry.with_context(unreadable)?;
                let kind = entry.file_type().with_context(|| format!("cannot look at `{}`", entry.path().display()))?;
                let found = folder.entry(entry.file_name());
                let name = found.shown.rsplit('/').next().unwrap_or_default();
                if kind.is_dir() && (name.starts_with('.') || name == "target" || name == "node_modules") {
                    continue;
                }
                if kind.is_dir() {
                    if found.shown.ends_with(".sql") {
                        others.push(SourceFile { path: found.shown.clone(), content: FileContent::Directory });
                    }
                    folders.push(found);
                } else if kind.is_symlink() {
                    others.push(SourceFile { path: found.shown, content: FileContent::Symlink });
                } else if kind.is_file() && found.below().to_str().is_none() {
                    others.push(SourceFile { path: found.shown, content: FileContent::Misnamed });
                } else if kind.is_file() {
                    files.push(found);
                } else {
                    // A pipe would be waited for until somebody writes into it.
                    others.push(SourceFile { path: found.shown, content: FileContent::Special });
                }
            }
        }
        files.sort_unstable();
        Ok(Self { dir: dir.to_path_buf(), above, others, files })
    }

    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn read(&self, reading: Reading) -> anyhow::Result<Vec<SourceFile>> {
        let mut files = shared(&self.files, |part| {
            let mut buffer = vec![0; SMALL_FILE];
            let read = |file: &Named| {
                let path = file.path(&self.dir);
                let content = read_content(&path, &mut buffer, reading)
                    .with_context(|| format!("cannot read `{}`", path.display()))?;
                Ok(SourceFile { path: file.shown.clone(), content })
            };
            part.iter().map(read).collect()
        })?;
        files.extend(self.others.iter().cloned());
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// What the file system says of the files without opening one; `None` where that is no proof of their contents, and for
    /// few files, which are read as soon.
    #[cfg(all(unix, feature = "postgres"))]
    pub fn imprint(&self) -> Option<Imprint> {
        use rustix::fs::{AtFlags, statat};
        use sha2::{Digest as _, Sha256};
        if self.files.len() < SHARE_FROM || !self.others.is_empty() {
            return None;
        }
        // From here, so that the kernel does not walk down to the folder for each file.
        let dir = std::fs::File::open(&self.dir).ok()?;
        let (mut hash, mut line, mut newest) = (Sha256::new(), Vec::new(), i64::MIN);
        // By this thread alone: the database, often on the same machine, needs the time more than this does.
        for file in &self.files {
            let found = statat(&dir, file.below(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
            line.clear();
            line.extend_from_slice(file.shown.as_bytes());
            line.push(0);
            // How wide they are differs between systems.
            line.extend_from_slice(&found.st_dev.to_le_bytes());
            line.extend_from_slice(&found.st_ino.to_le_bytes());
            line.extend_from_slice(&found.st_size.to_le_bytes());
            for time in [found.st_mtime, found.st_ctime] {
                line.extend_from_slice(&time.to_le_bytes());
                newest = time.max(newest);
            }
            line.extend_from_slice(&found.st_mtime_nsec.to_le_bytes());
            line.extend_from_slice(&found.st_ctime_nsec.to_le_bytes());
            hash.update(&line);
        }
        Some(Imprint { hash: hex::encode(hash.finalize()), newest })
    }

    /// The same where a file system says too little.
    #[cfg(all(not(unix), feature = "postgres"))]
    pub fn imprint(&self) -> Option<Imprint> {
        None
    }
}

/// Device, inode, size and both times of each file, as a hash. A change of a file changes its second time (`ctime`), which no
/// program can set.
#[cfg(feature = "postgres")]
#[derive(Debug, Clone)]
pub(super) struct Imprint {
    /// The hash.
    pub hash: String,
    /// When the last of them was changed (seconds since 1970).
    pub newest: i64,
}
