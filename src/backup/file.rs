//! Backup files: written beside their name, hashed on the way, encrypted on demand; read only after they were checked.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::BackupError;
use super::seal::{self, Opener, Seal};

/// What a backup is called until it is complete.
pub const PARTIAL: &str = "partial";

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Bytes in the file.
    pub size: u64,
    /// SHA-256 of those bytes, in hexadecimal.
    pub sha256: String,
}

/// Writes a backup to `NAME.partial`.
pub struct Sink {
    out: Out,
    partial: PathBuf,
}

enum Out {
    Plain(Hashing),
    Sealed(Box<seal::Writer<Hashing>>),
}

/// A file whose bytes are hashed and counted as they are written.
pub(super) struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink {
    /// Begins the file `NAME.partial`, readable by its owner only.
    ///
    /// # Errors
    /// When it cannot be made, or is there already.
    pub fn create(file: &Path, seal: Option<&Seal>) -> Result<Self, BackupError> {
        let partial = partial_of(file);
        let cannot = |e: io::Error| cannot_write(&partial, &e);
        let hashing = Hashing {
            file: BufWriter::with_capacity(1 << 18, private_file(&partial).map_err(cannot)?),
            hash: Sha256::new(),
            size: 0,
        };
        let out = match seal {
            None => Out::Plain(hashing),
            Some(seal) => Out::Sealed(Box::new(seal.writer(hashing).map_err(cannot)?)),
        };
        Ok(Self { out, partial })
    }

    /// Ends the file and brings it to the disk. It keeps the name `NAME.partial`.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn finish(self) -> Result<Written, BackupError> {
        let cannot = |e: io::Error| cannot_write(&self.partial, &e);
        let hashing = match self.out {
            Out::Plain(hashing) => hashing,
            Out::Sealed(sealed) => sealed.finish().map_err(cannot)?,
        };
        let file = hashing.file.into_inner().map_err(|e| cannot(e.into_error()))?;
        file.sync_all().map_err(cannot)?;
        Ok(Written { size: hashing.size, sha256: hex::encode(hashing.hash.finalize()) })
    }

    /// The error of a write to this file.
    pub fn cannot(&self, error: &io::Error) -> BackupError {
        cannot_write(&self.partial, error)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Out::Plain(out) => out.write(bytes),
            Out::Sealed(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Out::Plain(out) => out.flush(),
            Out::Sealed(out) => out.flush(),
        }
    }
}

fn cannot_write(file: &Path, error: &io::Error) -> BackupError {
    BackupError::Failed(format!(
        "cannot write the backup `{}`: {error}; free some space, or name another folder with `--dir`",
        file.display()
    ))
}

/// `FILE.partial`.
pub fn partial_of(file: &Path) -> PathBuf {
    with_suffix(file, PARTIAL)
}

/// `FILE.SUFFIX`.
pub(super) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// A new file that only its owner can read.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Brings the names in a folder to the disk; not every file system can.
pub(super) fn sync_folder(dir: &Path) {
    if let Ok(folder) = File::open(dir) {
        let _ = folder.sync_all();
    }
}

/// Compares a file with the size and the checksum that were noted when it was written.
///
/// # Errors
/// When it cannot be read, or is not what was written.
pub fn check(file: &Path, size: u64, sha256: &str) -> Result<(), BackupError> {
    let cannot = |e: io::Error| BackupError::Failed(format!("cannot read the backup `{}`: {e}", file.display()));
    let mut input = File::open(file).map_err(cannot)?;
    let found = input.metadata().map_err(cannot)?.len();
    if found != size {
        return Err(BackupError::Damaged(format!(
            "`{}` has {found} bytes, but {size} were written: it was cut off or changed; use another backup",
            file.display()
        )));
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 18];
    loop {
        let read = input.read(&mut buffer).map_err(cannot)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    let found = hex::encode(hash.finalize());
    if found != sha256 {
        return Err(BackupError::Damaged(format!(
            "the checksum of `{}` is {found}, but {sha256} was written: its content was changed; use another backup",
            file.display()
        )));
    }
    Ok(())
}

/// A backup's content, decrypted.
pub type Content = Box<dyn Read + Send>;

/// Opens a backup for reading.
///
/// # Errors
/// When it cannot be read, or no key opens it.
pub fn open(file: &Path, opener: Option<&Opener>) -> Result<Content, BackupError> {
    let cannot = |e: io::Error| BackupError::Failed(format!("cannot read the backup `{}`: {e}", file.display()));
    let input = BufReader::with_capacity(1 << 18, File::open(file).map_err(cannot)?);
    match opener {
        None => Ok(Box::new(input)),
        Some(opener) => opener.reader(input, file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_81_a_file_is_read_only_when_it_is_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b.sql");
        let mut sink = Sink::create(&file, None).unwrap();
        sink.write_all(b"select 1;\n").unwrap();
        let written = sink.finish().unwrap();
        let partial = partial_of(&file);
        check(&partial, written.size, &written.sha256).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&partial).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&partial, b"select 2;\n").unwrap();
        let said = check(&partial, written.size, &written.sha256).unwrap_err().to_string();
        assert!(said.contains("checksum"), "{said}");
        std::fs::write(&partial, b"select").unwrap();
        let said = check(&partial, written.size, &written.sha256).unwrap_err().to_string();
        assert!(said.contains("6 bytes, but 10"), "{said}");
        assert!(Sink::create(&file, None).is_err(), "what another process writes is left alone");
    }
}
