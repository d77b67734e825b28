//! The real server in this process: `serve`'s own code, on a port of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::DemoError;
use super::shop::{ENVIRONMENTS, REPO};
use crate::config::server::{AppCredentials, Role, ServerSettings};
use crate::github::webhook::WebhookSecrets;
use crate::sandbox::{Sandbox, keys};
use crate::server::process::Process;
use crate::store::Store;

const SECRET: &str = "the demo's webhook secret";

/// Starts it on a free port and lets the stand-in send its webhooks there.
///
/// # Errors
/// When it does not start.
pub async fn start(sandbox: &Sandbox, store: Store, folder: &Path, databases: &Path) -> Result<Process, DemoError> {
    let wrong = |e: &dyn std::error::Error| DemoError::Server(e.to_string());
    // What the operator would set in the server's environment: a database for each of the shop's environments.
    let variables: HashMap<String, String> = ENVIRONMENTS
        .iter()
        .map(|(name, variable)| ((*variable).to_owned(), databases.join(format!("{name}.db")).display().to_string()))
        .collect();
    let rules: Vec<String> = ENVIRONMENTS.iter().map(|(name, variable)| format!("{REPO}:{name}={variable}")).collect();
    let settings = ServerSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        role: Role::All,
        region: None,
        public_url: None,
        webhook_secrets: Some(WebhookSecrets::parse(&SecretString::from(SECRET)).map_err(|e| wrong(&e))?),
        webhook_secret_file: None,
        github_api_url: sandbox.base_url().parse().map_err(|e| wrong(&e))?,
        app: Some(AppCredentials {
            id: sandbox.app_id(),
            private_key: SecretString::from(keys::PRIVATE_KEY_PEM),
            private_key_file: None,
        }),
        secret_vars: rules.join(";").parse().map_err(|e| wrong(&e))?,
        allowed_urls: Default::default(),
        sweep_interval: Duration::from_secs(300),
        lease: Duration::from_secs(30),
    };
    let lookup = Arc::new(move |name: &str| variables.get(name).cloned());
    let process = Process::start(&settings, store, folder, lookup).await.map_err(|e| wrong(&e))?;
    sandbox.set_webhook_secret(&SecretString::from(SECRET));
    sandbox.set_webhook_url(&format!("http://{}/github/webhook", process.address()));
    Ok(process)
}
