//! The server as a whole: endpoint, worker and upkeep in one process, started and stopped together. `godwit serve` runs
//! it until a signal; the demo runs the same one.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::rotation::{self, Secrets};
use super::{AppState, Who, WorkerLife};
use crate::bot::{self, Bot, JobError};
use crate::config::server::{Role, ServerSettings};
use crate::github::GithubSettings;
use crate::store::{Store, StoreError};

/// How long deliveries and their finished work are kept.
const KEEP: chrono::TimeDelta = chrono::TimeDelta::days(30);
/// Time between passes that forget old ones.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// How long a process that starts waits for a store that stands still: several times what a frozen replica can hold it.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The store does not answer.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// A worker without an App has nothing to work with.
    #[error("a worker needs the App: set `GODWIT_GITHUB_APP_ID` and `GODWIT_GITHUB_PRIVATE_KEY` (or `…_FILE`)")]
    NoApp,
    /// The App's key or address cannot be used.
    #[error("the GitHub App's settings cannot be used: {0}")]
    App(#[from] JobError),
}

/// A running server.
pub struct Process {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    store: Store,
    who: Who,
}

impl Process {
    /// Starts everything that the settings' role asks for. Git mirrors go below `data_dir`; `lookup` gives the
    /// value of a variable that a configuration may name.
    ///
    /// # Errors
    /// When it cannot listen, or the App's settings cannot be used.
    pub async fn start(
        settings: &ServerSettings,
        store: Store,
        data_dir: &Path,
        lookup: bot::Lookup,
    ) -> Result<Self, StartError> {
        let (stop, stopping) = watch::channel(false);
        let life = WorkerLife::default();
        let who = Who { id: ulid::Ulid::generate().to_string(), role: settings.role, region: settings.region.clone() };
        let mut tasks = Vec::new();
        let works = match settings.role {
            Role::All | Role::Worker => true,
            Role::Web => false,
        };
        let mut app_key = None;
        if works {
            match (bot(settings, &who, &store, data_dir, lookup)?, &settings.app) {
                (Some(bot), Some(app)) => {
                    app_key = app.private_key_file.clone().map(|file| (bot.clone(), file, app.private_key.clone()));
                    tasks.push(tokio::spawn(work(bot, life.clone(), stopping.clone())));
                }
                _ if settings.role == Role::Worker => return Err(StartError::NoApp),
                _ => tracing::warn!(
                    "no GitHub App: deliveries are stored and worked on once `GODWIT_GITHUB_APP_ID` and \
                     `GODWIT_GITHUB_PRIVATE_KEY` are set"
                ),
            }
            tasks.push(tokio::spawn(forget_old_deliveries(store.clone(), stopping.clone())));
        }
        let failed = |source| StartError::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        become_known(&store, &who).await?;
        tasks.push(tokio::spawn(stay_known(store.clone(), who.clone(), settings.lease / 3, stopping.clone())));
        let secrets = settings.webhook_secrets.clone().map(|secrets| match &settings.webhook_secret_file {
            Some(file) => Secrets::in_file(secrets, file.clone()),
            None => Secrets::fixed(secrets),
        });
        tasks.push(tokio::spawn(rotation::keep_reading(secrets.clone(), app_key, stopping.clone())));
        let worker = (works && settings.app.is_some()).then_some(life);
        let mut state = AppState::of(store.clone(), secrets, worker, who.clone());
        state.github_api_url = Some(settings.github_api_url.as_str().trim_end_matches('/').to_owned());
        tasks.push(tokio::spawn(async move {
            if let Err(error) = super::serve(listener, state, stopping).await {
                tracing::error!(error = &error as &dyn std::error::Error, "the listener failed");
            }
        }));
        Ok(Self { address, stop, tasks, store, who })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more deliveries, finishes the step in flight, closes the store.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            // A task that panicked has said so already.
            let _ = task.await;
        }
        if let Err(error) = self.store.leave(&self.who.id).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the store was not told of the end");
        }
        self.store.close().await;
    }
}

/// The bot, if there is an App to be.
fn bot(
    settings: &ServerSettings,
    who: &Who,
    store: &Store,
    data_dir: &Path,
    lookup: bot::Lookup,
) -> Result<Option<Bot>, StartError> {
    let Some(app) = &settings.app else { return Ok(None) };
    let api = settings.github_api_url.as_str().trim_end_matches('/');
    let github = GithubSettings::new(api, app.id, app.private_key.clone());
    let settings = bot::Settings {
        public_url: settings.public_url.as_ref().map(ToString::to_string),
        sweep_interval: settings.sweep_interval,
        lease: settings.lease,
        lookup,
        allowed_urls: settings.allowed_urls.clone(),
        worker: who.id.clone(),
        region: who.region.clone(),
        ..bot::Settings::new(settings.secret_vars.clone())
    };
    Ok(Some(Bot::new(store.clone(), &github, data_dir, settings)?))
}

async fn work(bot: Bot, life: WorkerLife, stopping: watch::Receiver<bool>) {
    let _alive = life.begin();
    Arc::new(bot).work(stopping).await;
}

/// Says for the first time that this process serves the store. The store is open by then, so whoever holds it up is
/// expected to end.
async fn become_known(store: &Store, who: &Who) -> Result<(), StoreError> {
    let deadline = tokio::time::Instant::now() + START_PATIENCE;
    loop {
        match store.join(&who.id, who.role.as_str(), who.region.as_deref()).await {
            Err(StoreError::Database(error)) if tokio::time::Instant::now() < deadline => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the store is held up; trying again");
            }
            done => return done,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Says every `pause` that this process serves the store.
async fn stay_known(store: Store, who: Who, pause: Duration, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(pause.max(Duration::from_secs(1))) => {}
        }
        if let Err(error) = store.join(&who.id, who.role.as_str(), who.region.as_deref()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the store was not told that this process lives");
        }
    }
}

/// Forgets what is old, now and then; comments people wrote are among it.
async fn forget_old_deliveries(store: Store, mut stopping: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(FORGET_EVERY);
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            _ = ticks.tick() => {}
        }
        match store.forget_deliveries(chrono::Utc::now() - KEEP).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "old deliveries were forgotten"),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "old deliveries stay"),
        }
    }
}
