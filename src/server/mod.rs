//! The HTTP server: webhook endpoint, API, health, metrics. Leaves what deliveries mean to the worker beside it.

mod api;
mod health;
mod listener;
pub mod logs;
mod metrics;
pub mod process;
pub mod rotation;
#[cfg(feature = "otel")]
pub mod traces;
mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::server::Role;
use crate::github::webhook::WebhookSecrets;
use crate::store::Store;
use rotation::Secrets;

/// The largest payload GitHub sends (bytes).
pub const MAX_BODY: usize = 25 * 1024 * 1024;

/// Whether the worker beside the server is alive.
#[derive(Debug, Clone, Default)]
pub struct WorkerLife(Arc<AtomicBool>);

/// Says that the worker lives, until it is dropped.
#[derive(Debug)]
pub struct WorkerAlive(WorkerLife);

impl WorkerLife {
    /// Says that the worker has begun; keep what is given back as long as it works.
    pub fn begin(&self) -> WorkerAlive {
        self.0.store(true, Ordering::Relaxed);
        WorkerAlive(self.clone())
    }

    /// Whether it works.
    pub fn is_alive(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for WorkerAlive {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// What requests are answered from.
#[derive(Debug, Clone)]
pub struct AppState {
    /// Where deliveries go.
    pub store: Store,
    /// What deliveries are signed with; `None` where none are taken.
    pub secrets: Option<Secrets>,
    /// The worker of this process; `None` where another process works.
    pub worker: Option<WorkerLife>,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// GitHub's REST API, which says whose token a request of the API carries.
    pub github_api_url: Option<String>,
    /// When this process began.
    pub started_at: DateTime<Utc>,
    /// Which of the processes on the store this is.
    pub who: Who,
}

/// Which of the processes on one store this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// New at each start.
    pub id: String,
    /// What it does.
    pub role: Role,
    /// The region whose targets it works on.
    pub region: Option<String>,
}

impl AppState {
    /// Of a process that takes deliveries, with GitHub's own time limit for bodies.
    pub fn new(store: Store, secrets: WebhookSecrets, worker: Option<WorkerLife>) -> Self {
        let who = Who { id: ulid::Ulid::generate().to_string(), role: Role::All, region: None };
        Self::of(store, Some(Secrets::fixed(secrets)), worker, who)
    }

    /// Of any process.
    pub fn of(store: Store, secrets: Option<Secrets>, worker: Option<WorkerLife>, who: Who) -> Self {
        Self {
            store,
            secrets,
            worker,
            body_timeout: Duration::from_secs(10),
            github_api_url: None,
            started_at: Utc::now(),
            who,
        }
    }
}

/// Every route.
pub fn router(state: AppState) -> Router {
    let deliveries = if state.secrets.is_some() {
        Router::new().route("/github/webhook", post(webhook::receive).layer(DefaultBodyLimit::max(MAX_BODY)))
    } else {
        Router::new()
    };
    deliveries
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::prometheus))
        .route("/actuator/health", get(health::actuator))
        .route("/actuator/health/liveness", get(health::liveness))
        .route("/actuator/health/readiness", get(health::actuator))
        .route("/actuator/prometheus", get(metrics::prometheus))
        .route("/actuator/metrics", get(metrics::names))
        .route("/actuator/metrics/{name}", get(metrics::measurements))
        .merge(api::routes())
        .with_state(state)
}

/// Answers requests until `shutdown` turns `true`; then takes no more connections and finishes the requests under way.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, state: AppState, mut shutdown: watch::Receiver<bool>) -> std::io::Result<()> {
    metrics::install();
    let until = async move {
        // An error means that whoever could say so is gone, which is the same.
        let _ = shutdown.wait_for(|stop| *stop).await;
    };
    axum::serve(listener::Patient::new(listener), router(state)).with_graceful_shutdown(until).await
}
