//! The files below a folder: listed, looked at, read.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::migration::execution::{LONG, Long};
use crate::migration::{FileContent, SourceFile};

/// Files above this many bytes are not read into memory as migrations (bytes).
const MAX_FILE: u64 = 512 * 1024 * 1024;

/// Files from which on two threads read: opening many small ones is what takes the time.
const SHARE_FROM: usize = 256;
/// What most files fit into (bytes).
const SMALL_FILE: usize = 16 * 1024;

/// A file that is going to be looked at: its path as it is shown, and where it is.
type Named = (String, PathBuf);

/// What is below a folder, before anything of it is read.
#[derive(Debug)]
pub(super) struct Tree {
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
        let mut folders = vec![(dir.to_path_buf(), String::new())];
        while let Some((folder, before)) = folders.pop() {
            let entries =
                std::fs::read_dir(&folder).with_context(|| format!("cannot read the folder `{}`", folder.display()))?;
            for entry in entries {
                let entry = entry.with_context(|| format!("cannot read the folder `{}`", folder.display()))?;
                let path = entry.path();
                let kind = entry.file_type().with_context(|| format!("cannot look at `{}`", path.display()))?;
                let mut shown =
                    entry.file_name().into_string().unwrap_or_else(|name| name.to_string_lossy().into_owned());
                if kind.is_dir() && (shown.starts_with('.') || shown == "target" || shown == "node_modules") {
                    continue;
                }
                if shown.contains('\\') {
                    shown = shown.replace('\\', "/");
                }
                shown.insert_str(0, &before);
                if kind.is_dir() {
                    let below = format!("{shown}/");
                    if shown.ends_with(".sql") {
                        others.push(SourceFile { path: shown, content: FileContent::Directory });
                    }
                    folders.push((path, below));
                } else if kind.is_symlink() {
                    others.push(SourceFile { path: shown, content: FileContent::Symlink });
                } else {
                    files.push((shown, path));
                }
            }
        }
        files.sort_unstable();
        Ok(Self { others, files })
    }

    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn read(&self, reading: Reading) -> anyhow::Result<Vec<SourceFile>> {
        let mut files = shared(&self.files, |part| {
            let mut buffer = vec![0; SMALL_FILE];
            let read = |(shown, path): &Named| {
                let content = read_content(path, &mut buffer, reading)
                    .with_context(|| format!("cannot read `{}`", path.display()))?;
                Ok(SourceFile { path: shown.clone(), content })
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
        use sha2::{Digest as _, Sha256};
        use std::os::unix::fs::MetadataExt as _;
        if self.files.len() < SHARE_FROM || !self.others.is_empty() {
            return None;
        }
        let looked_at = |part: &[Named]| -> anyhow::Result<Vec<[i64; 7]>> {
            let look = |(_, path): &Named| {
                let found = std::fs::symlink_metadata(path)?;
                let numbers = [found.dev(), found.ino(), found.size()].map(u64::cast_signed);
                let [device, inode, size] = numbers;
                Ok([device, inode, size, found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()])
            };
            part.iter().map(look).collect()
        };
        let said = shared(&self.files, looked_at).ok()?;
        let mut hash = Sha256::new();
        let mut line = Vec::with_capacity(256);
        for ((shown, _), numbers) in self.files.iter().zip(&said) {
            line.clear();
            line.extend_from_slice(shown.as_bytes());
            line.push(0);
            numbers.iter().for_each(|n| line.extend_from_slice(&n.to_le_bytes()));
            hash.update(&line);
        }
        let newest = said.iter().map(|numbers| numbers[3].max(numbers[5])).max()?;
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
