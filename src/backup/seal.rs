//! Encryption of backups: the age format, to recipients' keys or with a passphrase, as the environment says.

use std::io::{self, Read, Write};
use std::path::Path;

use secrecy::SecretString;

use super::BackupError;
use super::file::Content;

/// Recipients' public keys (`age1…`), comma-separated, that new backups are encrypted to.
pub const RECIPIENT: &str = "GODWIT_BACKUP_RECIPIENT";
/// The private key (`AGE-SECRET-KEY-1…`) that opens them; with `_FILE`, the file that holds it.
pub const IDENTITY: &str = "GODWIT_BACKUP_IDENTITY";
const IDENTITY_FILE: &str = "GODWIT_BACKUP_IDENTITY_FILE";
/// A passphrase in place of keys; with `_FILE`, the file that holds it.
pub const PASSPHRASE: &str = "GODWIT_BACKUP_PASSPHRASE";
const PASSPHRASE_FILE: &str = "GODWIT_BACKUP_PASSPHRASE_FILE";

/// The keys that the environment gives.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    recipients: Vec<String>,
    identities: Vec<SecretString>,
    passphrase: Option<SecretString>,
}

impl Keys {
    /// Reads `GODWIT_BACKUP_RECIPIENT`, `GODWIT_BACKUP_IDENTITY` and `GODWIT_BACKUP_PASSPHRASE` (the last two also as `…_FILE`).
    ///
    /// # Errors
    /// When a file that is named cannot be read, or both ways of encrypting are asked for.
    pub fn from_environment() -> Result<Self, BackupError> {
        Self::from(&|name| std::env::var(name).ok())
    }

    /// The same from other variables.
    ///
    /// # Errors
    /// As [`Keys::from_environment`].
    pub fn from(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, BackupError> {
        let recipients: Vec<String> = variable(RECIPIENT)
            .unwrap_or_default()
            .split([',', ' ', '\n'])
            .map(str::trim)
            .filter(|r| !r.is_empty())
            .map(str::to_owned)
            .collect();
        let identities = secret(variable, IDENTITY, IDENTITY_FILE)?
            .unwrap_or_default()
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
            .map(|l| {
                crate::redact::register(l);
                SecretString::from(l)
            })
            .collect();
        let passphrase =
            secret(variable, PASSPHRASE, PASSPHRASE_FILE)?.map(|p| p.trim().to_owned()).filter(|p| !p.is_empty());
        if passphrase.is_some() && !recipients.is_empty() {
            return Err(BackupError::Usage(format!(
                "`{RECIPIENT}` and `{PASSPHRASE}` are two ways to encrypt a backup; set one of them"
            )));
        }
        if let Some(passphrase) = &passphrase {
            crate::redact::register(passphrase);
        }
        Ok(Self { recipients, identities, passphrase: passphrase.map(SecretString::from) })
    }
}

fn secret(variable: &dyn Fn(&str) -> Option<String>, name: &str, named: &str) -> Result<Option<String>, BackupError> {
    if let Some(text) = variable(name) {
        return Ok(Some(text));
    }
    let Some(file) = variable(named) else { return Ok(None) };
    std::fs::read_to_string(&file)
        .map(Some)
        .map_err(|e| BackupError::Usage(format!("cannot read `{file}`, named by `{named}`: {e}")))
}

pub(super) use with_age::Writer;
pub use with_age::{Opener, Seal};

#[cfg(feature = "encryption")]
mod with_age {
    use super::*;

    /// Encrypts one backup.
    pub struct Seal {
        recipients: Vec<age::x25519::Recipient>,
        passphrase: Option<SecretString>,
        /// Opens this backup while this process lives, so that it can be verified where no private key is.
        own: age::x25519::Identity,
    }

    /// Opens encrypted backups.
    pub struct Opener(Vec<Box<dyn age::Identity + Send + Sync>>);

    /// What encrypts.
    pub(in crate::backup) type Writer<W> = age::stream::StreamWriter<W>;

    impl Keys {
        /// What encrypts the next backup; `None` where nothing asks for it.
        ///
        /// # Errors
        /// When a recipient is not a key.
        pub fn seal(&self) -> Result<Option<Seal>, BackupError> {
            if self.recipients.is_empty() && self.passphrase.is_none() {
                return Ok(None);
            }
            let recipients = self
                .recipients
                .iter()
                .map(|text| {
                    text.parse().map_err(|e| {
                        BackupError::Usage(format!("`{RECIPIENT}` holds `{text}`, which is no `age1…` public key: {e}"))
                    })
                })
                .collect::<Result<Vec<_>, _>>()?;
            let own = age::x25519::Identity::generate();
            Ok(Some(Seal { recipients, passphrase: self.passphrase.clone(), own }))
        }

        /// What opens backups of earlier runs.
        ///
        /// # Errors
        /// When no key is given, or one is not a key.
        pub fn opener(&self) -> Result<Opener, BackupError> {
            let mut all: Vec<Box<dyn age::Identity + Send + Sync>> = Vec::new();
            for text in &self.identities {
                let key: age::x25519::Identity = secrecy::ExposeSecret::expose_secret(text).parse().map_err(|_| {
                    BackupError::Usage(format!("`{IDENTITY}` holds something that is no `AGE-SECRET-KEY-1…`"))
                })?;
                all.push(Box::new(key));
            }
            if let Some(passphrase) = &self.passphrase {
                all.push(Box::new(age::scrypt::Identity::new(passphrase.clone())));
            }
            if all.is_empty() {
                return Err(BackupError::Usage(format!(
                    "the backup is encrypted: set `{IDENTITY}`, `{IDENTITY}_FILE` or `{PASSPHRASE}` to what opens it"
                )));
            }
            Ok(Opener(all))
        }
    }

    impl Seal {
        /// Encrypts what is written to `out`.
        pub(in crate::backup) fn writer<W: Write>(&self, out: W) -> io::Result<Writer<W>> {
            let encryptor = match &self.passphrase {
                Some(passphrase) => age::Encryptor::with_user_passphrase(passphrase.clone()),
                None => {
                    let own = self.own.to_public();
                    let all = self.recipients.iter().chain(std::iter::once(&own)).map(|r| r as &dyn age::Recipient);
                    age::Encryptor::with_recipients(all).map_err(|e| io::Error::other(e.to_string()))?
                }
            };
            encryptor.wrap_output(out)
        }

        /// Opens what this encrypted.
        pub fn opener(&self) -> Opener {
            match &self.passphrase {
                Some(passphrase) => Opener(vec![Box::new(age::scrypt::Identity::new(passphrase.clone()))]),
                None => Opener(vec![Box::new(self.own.clone())]),
            }
        }
    }

    impl Opener {
        /// The content of an encrypted file.
        pub(in crate::backup) fn reader(
            &self,
            input: impl Read + Send + 'static,
            file: &Path,
        ) -> Result<Content, BackupError> {
            let cannot = |e: age::DecryptError| match e {
                age::DecryptError::NoMatchingKeys | age::DecryptError::DecryptionFailed => BackupError::Usage(format!(
                    "no key given opens `{}`: it was encrypted for another one; set `{IDENTITY}` or `{PASSPHRASE}`",
                    file.display()
                )),
                other => BackupError::Damaged(format!("`{}` cannot be decrypted: {other}", file.display())),
            };
            let decryptor = age::Decryptor::new(input).map_err(cannot)?;
            let keys = self.0.iter().map(|k| &**k as &dyn age::Identity);
            Ok(Box::new(decryptor.decrypt(keys).map_err(cannot)?))
        }
    }
}

#[cfg(not(feature = "encryption"))]
mod with_age {
    use super::*;

    /// This build cannot encrypt.
    pub enum Seal {}

    /// This build cannot decrypt.
    pub enum Opener {}

    /// Never made.
    pub(in crate::backup) struct Writer<W> {
        never: std::convert::Infallible,
        out: W,
    }

    impl<W> Writer<W> {
        pub(in crate::backup) fn finish(self) -> io::Result<W> {
            Ok(self.out)
        }
    }

    impl<W> Write for Writer<W> {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            match self.never {}
        }

        fn flush(&mut self) -> io::Result<()> {
            match self.never {}
        }
    }

    fn unable() -> BackupError {
        BackupError::Usage("this build cannot encrypt or decrypt backups: it lacks the feature `encryption`".to_owned())
    }

    impl Keys {
        /// What encrypts the next backup.
        ///
        /// # Errors
        /// When encryption is asked for.
        pub fn seal(&self) -> Result<Option<Seal>, BackupError> {
            if self.recipients.is_empty() && self.passphrase.is_none() { Ok(None) } else { Err(unable()) }
        }

        /// What opens backups of earlier runs.
        ///
        /// # Errors
        /// Always.
        pub fn opener(&self) -> Result<Opener, BackupError> {
            let _ = &self.identities;
            Err(unable())
        }
    }

    impl Seal {
        pub(in crate::backup) fn writer<W: Write>(&self, _: W) -> io::Result<Writer<W>> {
            match *self {}
        }

        /// Never called.
        pub fn opener(&self) -> Opener {
            match *self {}
        }
    }

    impl Opener {
        pub(in crate::backup) fn reader(
            &self,
            _: impl Read + Send + 'static,
            _: &Path,
        ) -> Result<Content, BackupError> {
            match *self {}
        }
    }
}

#[cfg(all(test, feature = "encryption"))]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::super::file::{Sink, open, partial_of};
    use super::*;

    fn keys(pairs: &[(&str, &str)]) -> Keys {
        Keys::from(&|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
            .expect("no file is named")
    }

    #[test]
    fn s0_71_only_the_key_or_the_passphrase_opens_a_backup() {
        let dir = tempfile::tempdir().unwrap();
        let identity = age::x25519::Identity::generate();
        let (public, private) = (identity.to_public().to_string(), identity.to_string().expose_secret().to_owned());
        let stranger = age::x25519::Identity::generate().to_string().expose_secret().to_owned();
        for (n, (write, read, wrong)) in [
            ([(RECIPIENT, public.as_str())], [(IDENTITY, private.as_str())], [(IDENTITY, stranger.as_str())]),
            ([(PASSPHRASE, "correct horse")], [(PASSPHRASE, "correct horse")], [(PASSPHRASE, "battery staple")]),
        ]
        .into_iter()
        .enumerate()
        {
            let file = dir.path().join(format!("b{n}.sql.age"));
            let seal = keys(&write).seal().unwrap().unwrap();
            let mut sink = Sink::create(&file, Some(&seal)).unwrap();
            sink.write_all(b"secret rows").unwrap();
            sink.finish().unwrap();
            let partial = partial_of(&file);
            let bytes = std::fs::read(&partial).unwrap();
            assert!(bytes.starts_with(b"age-encryption.org/v1"));
            assert!(!bytes.windows(6).any(|w| w == b"secret"));
            for opener in [seal.opener(), keys(&read).opener().unwrap()] {
                let mut text = String::new();
                open(&partial, Some(&opener)).unwrap().read_to_string(&mut text).unwrap();
                assert_eq!(text, "secret rows");
            }
            let said = open(&partial, Some(&keys(&wrong).opener().unwrap())).err().unwrap().to_string();
            assert!(said.contains("no key given opens"), "{said}");
        }
        assert!(keys(&[]).opener().is_err());
        assert!(keys(&[]).seal().unwrap().is_none());
        assert!(keys(&[(RECIPIENT, "ssh-rsa x")]).seal().is_err());
    }
}
