//! The real server in this process: `serve`'s own code, on a port of its own.

use std::path::Path;

use super::DemoError;
use crate::sandbox::Sandbox;
use crate::store::Store;

/// The running server.
pub struct Server {
    url: String,
}

/// Starts it on a free port and lets the stand-in send its webhooks there.
///
/// # Errors
/// When it does not start.
pub async fn start(sandbox: &Sandbox, store: &Store, folder: &Path, databases: &Path) -> Result<Server, DemoError> {
    let _ = (store, folder, databases);
    sandbox.set_webhook_url("");
    Err(DemoError::Server("not there yet".to_owned()))
}

impl Server {
    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it: the step in flight is finished.
    ///
    /// # Errors
    /// When it ended badly.
    pub async fn stop(self) -> Result<(), DemoError> {
        Ok(())
    }
}
