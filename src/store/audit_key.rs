//! The secret that the audit chain is keyed with, and the file it is kept in.

use std::fmt;
use std::io::Write as _;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::StoreError;
use super::audit::AuditRecord;
use crate::redact;

/// The secret that the chain is keyed with.
#[derive(Clone)]
pub struct AuditKey(SecretString);

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(…)")
    }
}

impl AuditKey {
    /// Name of the file a generated key is kept in.
    pub const FILE: &'static str = "audit.key";

    /// Takes a key; spaces and line ends around it do not count.
    pub fn new(text: &SecretString) -> Self {
        let text = text.expose_secret().trim();
        redact::register(text);
        Self(SecretString::from(text))
    }

    /// The key in `file`, which is made with a new one, for its owner only, when it does not exist.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds less than 16 characters.
    pub fn read_or_make(file: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::AuditKey { file: file.to_path_buf(), source };
        match std::fs::read_to_string(file) {
            Ok(text) if text.trim().len() < 16 => {
                Err(failed(std::io::Error::other("it holds less than 16 characters")))
            }
            Ok(text) => Ok(Self::new(&SecretString::from(text))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                make_key(file).map_err(failed)?;
                let text = std::fs::read_to_string(file).map_err(failed)?;
                Ok(Self::new(&SecretString::from(text)))
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// Keeps the key in `file` as well; nothing happens when it is there.
    ///
    /// # Errors
    /// When the file holds another key, or cannot be written.
    pub fn keep(&self, file: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::AuditKey { file: file.to_path_buf(), source };
        write_key(file, self.0.expose_secret()).map_err(failed)?;
        let kept = Self::read_or_make(file)?;
        if kept.0.expose_secret() == self.0.expose_secret() {
            Ok(())
        } else {
            Err(failed(std::io::Error::other("it holds another key than the store that is copied")))
        }
    }

    fn mac(&self, record: &AuditRecord) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
        mac.update(&serde_json::to_vec(&record.body).expect("text, numbers and maps of text always have a JSON form"));
        mac
    }

    /// The keyed hash of anything else that must not be made up.
    pub(super) fn sign(&self, bytes: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
        mac.update(bytes);
        hex::encode(mac.finalize().into_bytes())
    }

    pub(super) fn hash(&self, record: &AuditRecord) -> String {
        format!("sha256:{}", hex::encode(self.mac(record).finalize().into_bytes()))
    }

    pub(super) fn signed(&self, record: &AuditRecord) -> bool {
        record
            .hash
            .strip_prefix("sha256:")
            .and_then(|h| hex::decode(h).ok())
            .is_some_and(|h| self.mac(record).verify_slice(&h).is_ok())
    }
}

/// Makes a new key.
fn make_key(file: &Path) -> std::io::Result<()> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    write_key(file, &hex::encode(bytes))
}

/// Writes a key so that nobody ever reads half of it, and so that of two processes one wins; never over another.
fn write_key(file: &Path, key: &str) -> std::io::Result<()> {
    let mut bytes = [0_u8; 4];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    let draft = file.with_file_name(format!("{}.{}", AuditKey::FILE, hex::encode(bytes)));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(&draft)?;
    writeln!(out, "{key}")?;
    out.sync_all()?;
    let linked = std::fs::hard_link(&draft, file);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
        Ok(()) | Err(_) => Ok(()),
    }
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
        assert_eq!(first.0.expose_secret(), again.0.expose_secret());
        assert_eq!(first.0.expose_secret().len(), 64);
        std::fs::write(&file, "short").unwrap();
        assert!(AuditKey::read_or_make(&file).is_err());
        assert!(!format!("{first:?}").contains(first.0.expose_secret()));
    }
}
