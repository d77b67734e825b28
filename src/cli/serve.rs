//! `godwit serve`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing_subscriber::filter::LevelFilter;

use super::exit::Failure;
use super::settings::data_dir_or;
use super::{Exit, Format, Global};
use crate::bot::{self, Bot};
use crate::config::server::{Role, ServerArgs, ServerSettings};
use crate::github::GithubSettings;
use crate::server::{self, AppState, WorkerLife, logs};
use crate::store::Store;

/// How long the step in flight may take to end after a signal; what is left comes back when its lease lapses.
const GRACE: Duration = Duration::from_secs(25);
/// How long deliveries and their finished work are kept.
const KEEP: chrono::TimeDelta = chrono::TimeDelta::days(30);
/// Time between passes that forget old ones.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// Arguments of `godwit serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The settings.
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    logs::start(std::env::var("RUST_LOG").ok().as_deref(), level);
    let url = global.store_url_in(args.server.data_dir.as_deref())?;
    let data_dir = data_dir_or(args.server.data_dir.as_deref())?;
    let settings =
        args.server.settings().map_err(|e| Failure::with_causes(Exit::Usage, "the server cannot start", &e))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads")?;
    runtime.block_on(async {
        let store = global.open_store_at(&url).await?;
        serve(global, settings, store, &data_dir).await
    })
}

async fn serve(global: &Global, settings: ServerSettings, store: Store, data_dir: &Path) -> anyhow::Result<Exit> {
    let (stop, stopping) = watch::channel(false);
    let life = WorkerLife::default();
    let worker = match settings.role {
        Role::All | Role::Worker => {
            Some(start_worker(bot(&settings, &store, data_dir)?, life.clone(), stopping.clone()))
        }
        Role::Web => None,
    };
    let forgetting = worker.is_some().then(|| tokio::spawn(forget_old_deliveries(store.clone(), stopping.clone())));

    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|e| Failure::usage(format!("cannot listen on `{}`: {e}", settings.listen)))?;
    let address = listener.local_addr().context("the listener has no address")?;
    match global.format {
        Format::Json => anstream::println!("{}", serde_json::json!({ "listening": format!("http://{address}") })),
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
            anstream::println!("godwit listens on http://{address}");
        }
    }
    let state = AppState::new(store.clone(), settings.webhook_secrets.clone(), worker.is_some().then_some(life));
    let answering = tokio::spawn(server::serve(listener, state, stopping));

    wait_for_signal().await?;
    tracing::info!("stopping: no more deliveries are taken, the step in flight is finished");
    stop.send_replace(true);
    let finish = async {
        let _ = answering.await;
        if let Some(worker) = worker {
            let _ = worker.await;
        }
        if let Some(forgetting) = forgetting {
            let _ = forgetting.await;
        }
        store.close().await;
    };
    tokio::select! {
        () = finish => tracing::info!("stopped"),
        () = tokio::time::sleep(GRACE) => tracing::warn!("stopped with work in flight; it comes back when its lease lapses"),
        _ = wait_for_signal() => tracing::warn!("stopped at once; work in flight comes back when its lease lapses"),
    }
    Ok(Exit::Done)
}

/// The one place where the worker of this process is started. It ends soon after `stopping` turns `true`.
fn start_worker(bot: Option<Bot>, life: WorkerLife, mut stopping: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let _alive = life.begin();
        match bot {
            Some(bot) => Arc::new(bot).work(stopping).await,
            None => {
                let _ = stopping.wait_for(|stop| *stop).await;
            }
        }
    })
}

/// The bot of this process; `None` without an App.
fn bot(settings: &ServerSettings, store: &Store, data_dir: &Path) -> anyhow::Result<Option<Bot>> {
    let Some(app) = &settings.app else {
        tracing::warn!(
            "no GitHub App: deliveries are stored and worked on once `GODWIT_GITHUB_APP_ID` and \
             `GODWIT_GITHUB_PRIVATE_KEY` are set"
        );
        return Ok(None);
    };
    let github = GithubSettings::new(settings.github_api_url.as_str(), app.id, app.private_key.clone());
    let mut how = bot::Settings::new(settings.secret_vars.clone());
    how.public_url = settings.public_url.as_ref().map(ToString::to_string);
    how.sweep_interval = settings.sweep_interval;
    Bot::new(store.clone(), &github, data_dir, how)
        .map(Some)
        .map_err(|e| Failure::with_causes(Exit::Usage, "the server cannot start", &e))
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

/// Waits for SIGINT (Ctrl-C) or SIGTERM.
async fn wait_for_signal() -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result.context("cannot listen for Ctrl-C"),
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.context("cannot listen for Ctrl-C")
}
