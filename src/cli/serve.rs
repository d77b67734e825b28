//! `godwit serve`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tracing_subscriber::filter::LevelFilter;

use super::exit::Failure;
use super::settings::data_dir_or;
use super::stopping::asked_to_stop;
use super::{Exit, Format, Global};
use crate::config::server::{ServerArgs, ServerSettings};
use crate::server::logs;
use crate::server::process::Process;
use crate::store::Store;

/// How long the step in flight may take to end after a signal; what is left comes back when its lease lapses.
const GRACE: Duration = Duration::from_secs(25);

/// Arguments of `godwit serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  GODWIT_WEBHOOK_SECRET=… GODWIT_GITHUB_APP_ID=1 GODWIT_GITHUB_PRIVATE_KEY_FILE=key.pem godwit serve")]
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
    let rust_log = std::env::var("RUST_LOG").ok();
    #[cfg(feature = "otel")]
    let traces = {
        let variable = |name: &str| std::env::var(name).ok();
        let begun = crate::server::traces::Traces::begin(&variable);
        begun.map_err(|why| Failure::usage(format!("traces cannot be sent: {why}")))?
    };
    #[cfg(feature = "otel")]
    logs::start(rust_log.as_deref(), level, traces.as_ref());
    #[cfg(not(feature = "otel"))]
    logs::start(rust_log.as_deref(), level);
    let url = global.store_url_in(args.server.data_dir.as_deref())?;
    let data_dir = data_dir_or(args.server.data_dir.as_deref())?;
    let settings =
        args.server.settings().map_err(|e| Failure::with_causes(Exit::Usage, "the server cannot start", &e))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(super::STACK)
        .build()
        .context("no threads")?;
    let done = runtime.block_on(async {
        let store = global.open_store_at(&url, Some(&data_dir)).await?;
        serve(global, settings, store, data_dir).await
    });
    #[cfg(feature = "otel")]
    if let Some(traces) = traces {
        traces.end();
    }
    done
}

async fn serve(global: &Global, settings: ServerSettings, store: Store, data_dir: PathBuf) -> anyhow::Result<Exit> {
    let lookup = Arc::new(|name: &str| std::env::var(name).ok());
    let process = Process::start(&settings, store, &data_dir, lookup)
        .await
        .map_err(|e| Failure::with_causes(Exit::Usage, "the server cannot start", &e))?;
    let address = process.address();
    match global.format {
        Format::Json => anstream::println!("{}", serde_json::json!({ "listening": format!("http://{address}") })),
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
            anstream::println!("godwit listens on http://{address}");
        }
    }
    asked_to_stop().await.context("cannot listen for Ctrl-C and SIGTERM")?;
    tracing::info!("stopping: no more deliveries are taken, the step in flight is finished");
    tokio::select! {
        () = process.stop() => tracing::info!("stopped"),
        () = tokio::time::sleep(GRACE) => tracing::warn!("stopped with work in flight; it comes back when its lease lapses"),
        _ = asked_to_stop() => tracing::warn!("stopped at once; work in flight comes back when its lease lapses"),
    }
    Ok(Exit::Done)
}
