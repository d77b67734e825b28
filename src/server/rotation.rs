//! Secrets that are replaced in their files while the server runs: no restart, and no delivery lost between old and new.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

use crate::bot::Bot;
use crate::config::server::secret;
use crate::github::webhook::WebhookSecrets;

/// Time between looks at the files.
const EVERY: Duration = Duration::from_secs(10);
/// Wrong signatures make the file be read at most this often.
const AT_MOST: Duration = Duration::from_secs(1);

/// The webhook's secrets as they are now; cheap to clone.
#[derive(Clone)]
pub struct Secrets(Arc<Inner>);

struct Inner {
    current: RwLock<WebhookSecrets>,
    source: Option<Source>,
}

/// A file and what it held.
struct Source {
    variable: &'static str,
    file: PathBuf,
    seen: Mutex<Seen>,
}

struct Seen {
    text: String,
    at: Option<Instant>,
}

impl Source {
    fn new(variable: &'static str, file: PathBuf, held: &str) -> Self {
        Self { variable, file, seen: Mutex::new(Seen { text: held.to_owned(), at: None }) }
    }

    /// What the file holds, if it is something else than before; not read when that was done a moment ago.
    fn changed(&self, at_most: Duration) -> Option<SecretString> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.at.is_some_and(|at| at.elapsed() < at_most) {
            return None;
        }
        seen.at = Some(Instant::now());
        match secret(self.variable, None, Some(&self.file)) {
            Ok(Some(new)) if new.expose_secret() != seen.text => {
                seen.text = new.expose_secret().to_owned();
                Some(new)
            }
            Ok(Some(_)) => None,
            // As between the two steps of a replacement.
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(error = %error, "a secret's file cannot be read; what it held before stays in use");
                None
            }
        }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// Secrets that stay.
    pub fn fixed(secrets: WebhookSecrets) -> Self {
        Self(Arc::new(Inner { current: RwLock::new(secrets), source: None }))
    }

    /// Secrets that stood in a file, which is looked at again.
    pub fn in_file(secrets: WebhookSecrets, file: PathBuf) -> Self {
        let source = Source::new("GODWIT_WEBHOOK_SECRET_FILE", file, "");
        Self(Arc::new(Inner { current: RwLock::new(secrets), source: Some(source) }))
    }

    /// Those that count now.
    pub fn current(&self) -> WebhookSecrets {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks into the file because a signature did not fit; `true` when there are other secrets now.
    pub fn look_again(&self) -> bool {
        self.refresh(AT_MOST)
    }

    fn refresh(&self, at_most: Duration) -> bool {
        let Some(new) = self.0.source.as_ref().and_then(|s| s.changed(at_most)) else { return false };
        match WebhookSecrets::parse(&new) {
            Ok(secrets) => {
                *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = secrets;
                tracing::info!("the webhook's secrets were read from their file");
                true
            }
            Err(error) => {
                tracing::error!(%error, "the file of the webhook's secrets is not used; the ones before stay");
                false
            }
        }
    }
}

/// Looks at the files now and then, until `stopping`.
pub(super) async fn keep_reading(
    secrets: Option<Secrets>,
    app: Option<(Bot, PathBuf, SecretString)>,
    mut stopping: watch::Receiver<bool>,
) {
    let app =
        app.map(|(bot, file, held)| (bot, Source::new("GODWIT_GITHUB_PRIVATE_KEY_FILE", file, held.expose_secret())));
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Some(secrets) = &secrets {
            secrets.refresh(Duration::ZERO);
        }
        if let Some((bot, source)) = &app
            && let Some(key) = source.changed(Duration::ZERO)
        {
            match bot.use_app_key(key) {
                Ok(()) => tracing::info!("the App's key was read from its file"),
                Err(error) => tracing::error!(%error, "the file of the App's key is not used; the one before stays"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::webhook::verify_signature;

    fn sign(secret: &str, body: &[u8]) -> String {
        use hmac::{Hmac, KeyInit as _, Mac as _};
        let mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn b7_a_replaced_file_counts_and_a_broken_one_does_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "the first one\n").unwrap();
        let first = WebhookSecrets::parse(&SecretString::from("the first one")).unwrap();
        let secrets = Secrets::in_file(first, file.path().to_owned());
        let counts = |secret: &str| verify_signature(&secrets.current(), b"x", &sign(secret, b"x"));
        secrets.refresh(Duration::ZERO);
        for broken in ["", "a,b,c", " , "] {
            std::fs::write(file.path(), broken).unwrap();
            assert!(!secrets.refresh(Duration::ZERO) && counts("the first one"), "{broken:?}");
        }
        std::fs::write(file.path(), "the first one,the second one").unwrap();
        assert!(secrets.refresh(Duration::ZERO) && counts("the first one") && counts("the second one"));
        std::fs::write(file.path(), "the second one").unwrap();
        assert!(!secrets.look_again(), "it was read a moment ago");
        assert!(secrets.refresh(Duration::ZERO) && !counts("the first one") && counts("the second one"));
        std::fs::remove_file(file.path()).unwrap();
        assert!(!secrets.refresh(Duration::ZERO) && counts("the second one"));
    }
}
