//! The secrets that the audit chain is and was keyed with, and the file they are kept in.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::StoreError;
use super::audit::AuditRecord;
use crate::redact;

/// The secret that the chain is keyed with, and those that it was keyed with before: a key a line, the present one first.
/// The former ones are needed for what was written with them.
#[derive(Clone)]
pub struct AuditKey {
    /// Never empty.
    keys: Vec<SecretString>,
    /// Where they can be read anew.
    file: Option<PathBuf>,
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(…)")
    }
}

impl AuditKey {
    /// Name of the file a generated key is kept in.
    pub const FILE: &'static str = "audit.key";
    /// The least length of a key (characters).
    pub const SHORTEST: usize = 16;

    /// Takes a key, or several, each on a line of its own; spaces and line ends around them do not count.
    pub fn new(text: &SecretString) -> Self {
        let text = text.expose_secret().trim();
        let keys = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut keys: Vec<SecretString> = keys.map(SecretString::from).collect();
        if keys.is_empty() {
            keys.push(SecretString::from(text));
        }
        for key in &keys {
            redact::register(key.expose_secret());
        }
        Self { keys, file: None }
    }

    /// The keys in a file, which is read again when the log is keyed with one that it did not hold.
    ///
    /// # Errors
    /// When the file cannot be read, or a key in it has less than 16 characters.
    pub fn in_file(file: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::AuditKey { file: file.to_path_buf(), source };
        let text = std::fs::read_to_string(file).map_err(failed)?;
        let key = Self { file: Some(file.to_path_buf()), ..Self::new(&SecretString::from(text)) };
        if key.is_too_short() {
            return Err(failed(std::io::Error::other("it holds less than 16 characters")));
        }
        Ok(key)
    }

    /// The key in `file`, which is made with a new one, for its owner only, when it does not exist.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds less than 16 characters.
    pub fn read_or_make(file: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::AuditKey { file: file.to_path_buf(), source };
        match Self::in_file(file) {
            Err(StoreError::AuditKey { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                make_key(file).map_err(failed)?;
                Self::in_file(file)
            }
            other => other,
        }
    }

    /// Puts a new key before those in `file`, so that the log can be keyed with it from now on.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn renew(file: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::AuditKey { file: file.to_path_buf(), source };
        let before = Self::in_file(file)?;
        let draft = draft(file, &format!("{}\n{}", random().map_err(failed)?, before.text())).map_err(failed)?;
        #[cfg(unix)]
        if let Ok(known) = std::fs::metadata(file) {
            use std::os::unix::fs::MetadataExt as _;
            // The server's own file stays its own when somebody else renews it; who may not give files away owns it.
            let _ = std::os::unix::fs::chown(&draft, Some(known.uid()), Some(known.gid()));
        }
        std::fs::rename(&draft, file).map_err(failed)?;
        Self::in_file(file)
    }

    /// Whether one of the keys is too short to be one.
    pub fn is_too_short(&self) -> bool {
        self.keys.iter().any(|key| key.expose_secret().chars().count() < Self::SHORTEST)
    }

    /// The same with further keys that were in use before.
    #[must_use]
    pub fn with_former(mut self, former: &Self) -> Self {
        for key in &former.keys {
            if !self.keys.iter().any(|known| known.expose_secret() == key.expose_secret()) {
                self.keys.push(key.clone());
            }
        }
        self
    }

    /// Whether there are former keys beside the present one.
    pub fn has_former(&self) -> bool {
        self.keys.len() > 1
    }

    /// The keys as they stand in their file now, if that can be read.
    pub(super) fn again(&self) -> Option<Self> {
        self.file.as_deref().and_then(|file| Self::in_file(file).ok())
    }

    /// Keeps the key in `file` as well; nothing happens when it is there.
    ///
    /// # Errors
    /// When the file holds another key, or cannot be written.
    pub fn keep(&self, file: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::AuditKey { file: file.to_path_buf(), source };
        write_key(file, &self.text()).map_err(failed)?;
        if Self::read_or_make(file)?.text() == self.text() {
            Ok(())
        } else {
            Err(failed(std::io::Error::other("it holds another key than the store that is copied")))
        }
    }

    fn text(&self) -> String {
        self.keys.iter().map(|key| key.expose_secret()).collect::<Vec<_>>().join("\n")
    }

    /// A name for the key at a place that tells nothing of it.
    pub(super) fn fingerprint(&self, at: usize) -> String {
        self.sign(at, b"the key of a store")
    }

    /// The place of the key with that fingerprint.
    pub(super) fn find(&self, fingerprint: &str) -> Option<usize> {
        (0..self.keys.len()).find(|at| self.fingerprint(*at) == fingerprint)
    }

    /// The place of the key that a record was written with.
    pub(super) fn of_record(&self, record: &AuditRecord) -> Option<usize> {
        (0..self.keys.len()).find(|at| self.signed(*at, record))
    }

    /// The places of all keys.
    pub(super) fn places(&self) -> std::ops::Range<usize> {
        0..self.keys.len()
    }

    fn keyed(&self, at: usize) -> Hmac<Sha256> {
        let key = self.keys[at].expose_secret().as_bytes();
        Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
    }

    fn mac(&self, at: usize, record: &AuditRecord) -> Hmac<Sha256> {
        let mut mac = self.keyed(at);
        mac.update(&serde_json::to_vec(&record.body).expect("text, numbers and maps of text always have a JSON form"));
        mac
    }

    /// The keyed hash of anything else that must not be made up.
    pub(super) fn sign(&self, at: usize, bytes: &[u8]) -> String {
        let mut mac = self.keyed(at);
        mac.update(bytes);
        hex::encode(mac.finalize().into_bytes())
    }

    pub(super) fn hash(&self, at: usize, record: &AuditRecord) -> String {
        format!("sha256:{}", hex::encode(self.mac(at, record).finalize().into_bytes()))
    }

    pub(super) fn signed(&self, at: usize, record: &AuditRecord) -> bool {
        record
            .hash
            .strip_prefix("sha256:")
            .and_then(|h| hex::decode(h).ok())
            .is_some_and(|h| self.mac(at, record).verify_slice(&h).is_ok())
    }
}

/// Makes a new key.
fn make_key(file: &Path) -> std::io::Result<()> {
    write_key(file, &random()?)
}

/// 32 bytes by chance.
fn random() -> std::io::Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(hex::encode(bytes))
}

/// Writes a key so that nobody ever reads half of it, and so that of two processes one wins; never over another.
fn write_key(file: &Path, key: &str) -> std::io::Result<()> {
    let draft = draft(file, key)?;
    let linked = std::fs::hard_link(&draft, file);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A new file beside `file`, for its owner only, with the text on disk.
fn draft(file: &Path, text: &str) -> std::io::Result<PathBuf> {
    let mut bytes = [0_u8; 4];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    let draft = file.with_file_name(format!("{}.{}", AuditKey::FILE, hex::encode(bytes)));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(&draft)?;
    writeln!(out, "{text}")?;
    out.sync_all()?;
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(AuditKey::FILE);
        let first = AuditKey::read_or_make(&file).unwrap();
        let again = AuditKey::read_or_make(&file).unwrap();
        assert_eq!(first.text(), again.text());
        assert_eq!(first.text().len(), 64);
        std::fs::write(&file, "short").unwrap();
        assert!(AuditKey::read_or_make(&file).is_err());
        assert!(!format!("{first:?}").contains(&first.text()));
    }

    #[test]
    fn b17_a_new_key_stands_before_the_former_ones() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(AuditKey::FILE);
        let first = AuditKey::read_or_make(&file).unwrap();
        let second = AuditKey::renew(&file).unwrap();
        assert!(second.has_former() && !first.has_former());
        assert_eq!(second.find(&first.fingerprint(0)), Some(1));
        assert_eq!(first.find(&second.fingerprint(0)), None);
        assert_eq!(first.again().unwrap().text(), second.text());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
        let one = AuditKey::new(&SecretString::from("  0123456789abcdef \n"));
        assert!(!one.is_too_short() && !one.has_former());
        let both = one.clone().with_former(&second).with_former(&one);
        assert_eq!(both.keys.len(), 3);
        assert!(AuditKey::new(&SecretString::from("0123456789abcdef\nshort")).is_too_short());
        assert!(AuditKey::new(&SecretString::from(" \n ")).is_too_short());
    }
}
