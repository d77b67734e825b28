//! A connection that is made while something else is read: the server needs as long to start a session as we need to
//! read a folder.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::JoinHandle;

use super::PostgresDriver;
use crate::drivers::{Driver as _, DriverError};
use crate::plan::HistoryRow;

/// A connection that is being made, for whoever asks for it first; everybody else makes one of their own.
#[derive(Clone, Default)]
pub struct Ahead(Arc<Mutex<Option<Begun>>>);

struct Begun {
    url: SecretString,
    driver: Connecting,
}

enum Connecting {
    Still(JoinHandle<Result<PostgresDriver, DriverError>>),
    Done(Box<Result<PostgresDriver, DriverError>>),
}

impl Connecting {
    /// The connection; `None` where what was to make it ended early.
    async fn end(self) -> Option<Result<PostgresDriver, DriverError>> {
        match self {
            Connecting::Still(driver) => driver.await.ok(),
            Connecting::Done(driver) => Some(*driver),
        }
    }
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
        Self(Arc::new(Mutex::new(Some(Begun { url: url.clone(), driver: Connecting::Still(driver) }))))
    }

    /// What `look` makes of the history that the connection has read, which it keeps for whoever asks for it next. `None`
    /// where it has read none, and where another tool's table may have a say as well.
    pub async fn look<T>(&self, look: impl FnOnce(&[HistoryRow]) -> Option<T>) -> Option<T> {
        let begun = self.take()?;
        let driver = begun.driver.end().await?;
        let found = match &driver {
            Ok(driver) if !driver.place.shows_others => driver.read.as_deref().and_then(look),
            Ok(_) | Err(_) => None,
        };
        let done = Begun { url: begun.url, driver: Connecting::Done(Box::new(driver)) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        found
    }

    /// The connection to `url`: the one that was begun, or a new one.
    ///
    /// # Errors
    /// As [`PostgresDriver::connect`].
    pub async fn connect(&self, url: &SecretString) -> Result<PostgresDriver, DriverError> {
        match self.take() {
            Some(begun) if begun.url.expose_secret() == url.expose_secret() => match begun.driver.end().await {
                Some(connected) => connected,
                None => PostgresDriver::connect(url).await,
            },
            Some(_) | None => PostgresDriver::connect(url).await,
        }
    }

    fn take(&self) -> Option<Begun> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ahead")
    }
}
