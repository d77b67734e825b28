//! Where the audit log ended when it was last written, kept outside the store: a chain by itself cannot show that its end
//! is missing.
//!
//! The anchor is written after its record is on disk and is not synced itself: after a crash it may lie a little behind
//! the log, never ahead of it. It moves on only from a record that the log still holds, so a log that was cut off,
//! emptied or replaced stays found out until a person accepts it.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::audit::AuditHead;
use super::audit_key::AuditKey;

/// More than an anchor ever has (bytes).
const MAX: u64 = 1024;

/// The file beside the store's file, or in the data directory.
#[derive(Debug, Clone)]
pub(super) struct AnchorFile(PathBuf);

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Anchor {
    /// There is none: nothing was written since there are anchors.
    Missing,
    /// The log ended there, or behind it.
    At(AuditHead),
    /// The same, written with a key that the log was keyed with before.
    Former(AuditHead),
    /// Not what was written with this key.
    Altered,
}

impl AnchorFile {
    /// The anchor of the store of this name.
    pub fn of_store(folder: &Path, name: &str) -> Self {
        Self(folder.join(format!("audit-{name}.anchor")))
    }

    /// Reads it; `at` is the place of the key that the log is keyed with.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self, key: &AuditKey, at: usize) -> std::io::Result<Anchor> {
        let mut text = String::new();
        match std::fs::File::open(&self.0) {
            Ok(file) => match file.take(MAX).read_to_string(&mut text) {
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::InvalidData => return Ok(Anchor::Altered),
                Err(e) => return Err(e),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Anchor::Missing),
            Err(e) => return Err(e),
        }
        if let Some(head) = parse(key, at, &text) {
            return Ok(Anchor::At(head));
        }
        Ok(key.places().find_map(|at| parse(key, at, &text)).map_or(Anchor::Altered, Anchor::Former))
    }

    /// Writes it: one block, always of the same length, so that it is either the old one or the new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, key: &AuditKey, at: usize, head: &AuditHead) -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.0)?;
        let text = render(key, at, head);
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    }
}

fn words(head: &AuditHead) -> String {
    format!("{:020} {}", head.seq, head.hash)
}

fn render(key: &AuditKey, at: usize, head: &AuditHead) -> String {
    let words = words(head);
    format!("{words} {}\n", key.sign(at, words.as_bytes()))
}

fn parse(key: &AuditKey, at: usize, text: &str) -> Option<AuditHead> {
    let mut parts = text.split_whitespace();
    let head = AuditHead { seq: parts.next()?.parse().ok()?, hash: parts.next()?.to_owned() };
    (key.sign(at, words(&head).as_bytes()) == parts.next()?).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    #[test]
    fn b17_an_anchor_is_what_was_written_with_the_key_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = AnchorFile::of_store(dir.path(), "godwit");
        let key = AuditKey::new(&SecretString::from("0123456789abcdef"));
        assert_eq!(file.read(&key, 0).unwrap(), Anchor::Missing);
        for seq in [99, 100, 7] {
            let head = AuditHead { seq, hash: format!("sha256:{}", "a".repeat(64)) };
            file.write(&key, 0, &head).unwrap();
            assert_eq!(file.read(&key, 0).unwrap(), Anchor::At(head));
        }
        let other = AuditKey::new(&SecretString::from("another key altogether"));
        assert_eq!(file.read(&other, 0).unwrap(), Anchor::Altered);
        let both = other.with_former(&key);
        let Anchor::At(last) = file.read(&both, 1).unwrap() else { panic!("it was written with the second of them") };
        assert_eq!(file.read(&both, 0).unwrap(), Anchor::Former(last));
        let text = std::fs::read_to_string(&file.0).unwrap();
        for bad in [text.replacen('7', "8", 1), text[..40].to_owned(), String::new()] {
            std::fs::write(&file.0, bad).unwrap();
            assert_eq!(file.read(&key, 0).unwrap(), Anchor::Altered);
        }
        std::fs::write(&file.0, [0xff, 0xfe]).unwrap();
        assert_eq!(file.read(&key, 0).unwrap(), Anchor::Altered);
    }
}
