//! A connection that is made while something else is read: the server needs as long to start a session as we need to
//! read a folder.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::JoinHandle;

use super::PostgresDriver;
use crate::drivers::{Driver as _, DriverError};
use crate::plan::HistoryRow;
use crate::plan::planner::HistorySummary;

/// A connection that is being made, for whoever asks for it first; everybody else makes one of their own.
#[derive(Clone, Default)]
pub struct Ahead(Arc<Mutex<Option<Begun>>>);

struct Begun {
    url: SecretString,
    driver: Connecting,
}

enum Connecting {
    Still(JoinHandle<Result<Made, DriverError>>),
    Done(Box<Result<Made, DriverError>>),
}

/// A connection, and what was asked beforehand.
struct Made {
    driver: PostgresDriver,
    summary: Option<HistorySummary>,
}

/// What is asked as soon as there is a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// The history as every run needs it.
    History,
    /// Only what it comes to, which is a third as much work for both sides: it may be a known one.
    Summary,
}

impl Connecting {
    /// The connection; `None` where what was to make it ended early.
    async fn end(self) -> Option<Result<Made, DriverError>> {
        match self {
            Connecting::Still(made) => made.await.ok(),
            Connecting::Done(made) => Some(*made),
        }
    }
}

impl Ahead {
    /// Begins to connect and to ask. Needs a runtime around it.
    pub fn start(url: &SecretString, first: First) -> Self {
        let own = url.clone();
        let made = tokio::spawn(async move {
            let mut made = Made { driver: PostgresDriver::connect(&own).await?, summary: None };
            // What cannot be read is asked for once more by the run, which says why.
            match first {
                First::History => made.driver.read = made.driver.history().await.ok(),
                First::Summary => made.summary = made.driver.summary().await.ok(),
            }
            Ok(made)
        });
        Self(Arc::new(Mutex::new(Some(Begun { url: url.clone(), driver: Connecting::Still(made) }))))
    }

    /// What the history comes to, where that was asked first. `None` where it could not be read, and where another tool's
    /// table may have a say as well.
    pub async fn summary(&self) -> Option<HistorySummary> {
        let begun = self.take()?;
        let mut made = begun.driver.end().await?;
        let summary = made.as_mut().ok().and_then(|made| made.summary.take_if(|_| !made.driver.place.shows_others));
        self.put_back(begun.url, made);
        summary
    }

    /// What `look` makes of the history, which the connection keeps for whoever asks for it next. `None` where it cannot be
    /// read, and where another tool's table may have a say as well.
    pub async fn look<T>(&self, look: impl FnOnce(&[HistoryRow]) -> Option<T>) -> Option<T> {
        let begun = self.take()?;
        let mut made = begun.driver.end().await?;
        let found = match &mut made {
            Ok(Made { driver, .. }) if !driver.place.shows_others => {
                driver.read = driver.history().await.ok();
                driver.read.as_deref().and_then(look)
            }
            Ok(_) | Err(_) => None,
        };
        self.put_back(begun.url, made);
        found
    }

    /// The connection to `url`: the one that was begun, or a new one.
    ///
    /// # Errors
    /// As [`PostgresDriver::connect`].
    pub async fn connect(&self, url: &SecretString) -> Result<PostgresDriver, DriverError> {
        match self.take() {
            Some(begun) if begun.url.expose_secret() == url.expose_secret() => match begun.driver.end().await {
                Some(made) => made.map(|made| made.driver),
                None => PostgresDriver::connect(url).await,
            },
            Some(_) | None => PostgresDriver::connect(url).await,
        }
    }

    fn put_back(&self, url: SecretString, made: Result<Made, DriverError>) {
        let done = Begun { url, driver: Connecting::Done(Box::new(made)) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
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
