//! Whether the process lives, whether it can work, and how much waits. Neither version nor names are told: these pages ask
//! for no sign-in (B-20).

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use serde_json::{Value, json};

use super::AppState;

/// How long ago a process may have been heard of that is told of.
pub(super) const LATELY: Duration = Duration::from_secs(120);

/// What the probes found.
struct Found {
    store: bool,
    worker: bool,
}

impl Found {
    fn ready(&self) -> bool {
        self.store && self.worker
    }
}

async fn look(state: &AppState) -> Found {
    let store = match state.store.ping().await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the store does not answer");
            false
        }
    };
    Found { store, worker: state.worker.as_ref().is_none_or(|w| w.is_alive()) }
}

fn status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// The process lives; how much waits is told besides. A store that fails does not make it dead: a restart would not help.
pub(super) async fn healthz(State(state): State<AppState>) -> Json<Value> {
    let now = Utc::now();
    let seconds = |at: Option<chrono::DateTime<Utc>>| at.map(|at| (now - at).num_seconds().max(0));
    let queue = state.store.queue().await.ok();
    let unknown = state.store.unknown_runs().await.ok();
    let replicas = state.store.replicas(LATELY).await.ok();
    Json(json!({
        "status": if queue.is_some() { "ok" } else { "degraded" },
        "queue": queue.map(|q| json!({ "queued": q.queued, "running": q.running, "dead": q.dead })),
        "delivery_lag_seconds": queue.and_then(|q| seconds(q.oldest)),
        "lease_age_seconds": queue.and_then(|q| seconds(q.oldest_claim)),
        "unknown_runs": unknown,
        "role": state.who.role.as_str(),
        "region": state.who.region,
        "replica": state.who.id,
        "replicas": replicas.map(|all| all.iter().map(|r| json!({
            "id": r.id, "role": r.role, "region": r.region, "seen_seconds_ago": (now - r.seen_at).num_seconds().max(0),
        })).collect::<Vec<_>>()),
        "uptime_seconds": (now - state.started_at).num_seconds(),
    }))
}

/// Whether work can be taken: the store answers, the worker lives.
pub(super) async fn readyz(State(state): State<AppState>) -> (StatusCode, Json<Value>) {
    let found = look(&state).await;
    (status(found.ready()), Json(json!({ "ready": found.ready(), "store": found.store, "worker": found.worker })))
}

/// The same in the words of Spring's actuator, for monitors that know those (SPEC 13.1).
pub(super) async fn actuator(State(state): State<AppState>) -> (StatusCode, Json<Value>) {
    let word = |up: bool| if up { "UP" } else { "DOWN" };
    let found = look(&state).await;
    let components = json!({ "store": { "status": word(found.store) }, "worker": { "status": word(found.worker) } });
    (status(found.ready()), Json(json!({ "status": word(found.ready()), "components": components })))
}

/// The process answers.
pub(super) async fn liveness() -> Json<Value> {
    Json(json!({ "status": "UP" }))
}
