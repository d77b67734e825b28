//! A connection that is made while something else is read: the server needs as long to start a session as we need to
//! read a folder.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::JoinHandle;

use super::PostgresDriver;
use crate::drivers::{Driver as _, DriverError};

/// A connection that is being made, for whoever asks for it first; everybody else makes one of their own.
#[derive(Clone, Default)]
pub struct Ahead(Arc<Mutex<Option<Connecting>>>);

struct Connecting {
    url: SecretString,
    driver: JoinHandle<Result<PostgresDriver, DriverError>>,
}

impl Ahead {
    /// Begins to connect and to read the history. Needs a runtime around it.
    pub fn start(url: &SecretString) -> Self {
        let own = url.clone();
        let driver = tokio::spawn(async move {
            let mut driver = PostgresDriver::connect(&own).await?;
            // What cannot be read is asked for once more by the run, which says why.
            driver.read = driver.history().await.ok();
            Ok(driver)
        });
        Self(Arc::new(Mutex::new(Some(Connecting { url: url.clone(), driver }))))
    }

    /// The connection to `url`: the one that was begun, or a new one.
    ///
    /// # Errors
    /// As [`PostgresDriver::connect`].
    pub async fn connect(&self, url: &SecretString) -> Result<PostgresDriver, DriverError> {
        let begun = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match begun {
            Some(begun) if begun.url.expose_secret() == url.expose_secret() => match begun.driver.await {
                Ok(connected) => connected,
                Err(_) => PostgresDriver::connect(url).await,
            },
            Some(_) | None => PostgresDriver::connect(url).await,
        }
    }
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ahead")
    }
}
