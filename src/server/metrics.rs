//! Metrics in Prometheus' words, and the same numbers for monitors that ask Spring's actuator.

use std::sync::OnceLock;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};

use super::AppState;
use super::health::LATELY;

const DELIVERIES: &str = "godwit_webhook_deliveries_total";
const WEBHOOK_SECONDS: &str = "godwit_webhook_seconds";
const QUEUE_JOBS: &str = "godwit_queue_jobs";
const QUEUE_OLDEST: &str = "godwit_queue_oldest_seconds";
const LEASE_AGE: &str = "godwit_queue_lease_age_seconds";
const STORE_UP: &str = "godwit_store_up";
const WORKER_UP: &str = "godwit_worker_up";
const UNKNOWN_RUNS: &str = "godwit_unknown_runs";
const REPLICA: &str = "godwit_replica_info";
const REPLICAS: &str = "godwit_replicas";

/// Bounds for answers to deliveries (seconds); GitHub gives up after ten.
const WEBHOOK_BOUNDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Bounds for everything else that is timed in seconds: migrations take from milliseconds to hours.
const BOUNDS: [f64; 12] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0];
/// Events that get a name of their own; the header's words are not bounded otherwise.
const EVENTS: [&str; 12] = [
    "ping",
    "pull_request",
    "pull_request_review",
    "issue_comment",
    "check_run",
    "check_suite",
    "push",
    "merge_group",
    "installation",
    "installation_repositories",
    "membership",
    "team",
];

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the process's recorder; again is nothing.
pub(super) fn install() -> Option<&'static PrometheusHandle> {
    HANDLE
        .get_or_init(|| {
            let built = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Full(WEBHOOK_SECONDS.to_owned()), &WEBHOOK_BOUNDS)
                .and_then(|b| b.set_buckets(&BOUNDS))
                .and_then(PrometheusBuilder::install_recorder);
            match built {
                Ok(handle) => {
                    describe();
                    Some(handle)
                }
                Err(error) => {
                    tracing::error!(%error, "metrics are not available");
                    None
                }
            }
        })
        .as_ref()
}

fn describe() {
    metrics::describe_counter!(DELIVERIES, "Webhook deliveries by event and result");
    metrics::describe_histogram!(WEBHOOK_SECONDS, "Seconds from a delivery's headers to its answer");
    metrics::describe_gauge!(QUEUE_JOBS, "Jobs by state: queued, running, dead (given up)");
    metrics::describe_gauge!(QUEUE_OLDEST, "Age of the oldest job that is not done, in seconds");
    metrics::describe_gauge!(LEASE_AGE, "Age of the oldest claim, in seconds");
    metrics::describe_gauge!(STORE_UP, "1 when the store answers");
    metrics::describe_gauge!(WORKER_UP, "1 when the worker of this process lives");
    metrics::describe_gauge!(REPLICA, "1, with this process's id, role and region");
    metrics::describe_gauge!(REPLICAS, "Processes on this store that were heard of lately, by role and region");
    metrics::describe_counter!("godwit_migration_runs_total", "Runs by environment and result");
    metrics::describe_histogram!("godwit_migration_duration_seconds", "Seconds a migration took");
    metrics::describe_gauge!("godwit_migration_pending", "Migrations that an environment has yet to take");
    metrics::describe_gauge!("godwit_migration_db_impact", "What was measured before and after the last run, by kind");
    metrics::describe_gauge!(
        "godwit_migration_connection_pool_usage",
        "Connections in use around the last run, percent"
    );
    metrics::describe_gauge!(
        "godwit_migration_db_cpu_usage",
        "Work of a database's machine around the last run, percent"
    );
    metrics::describe_gauge!("godwit_migration_db_memory_usage", "Memory in use around the last run, percent");
    metrics::describe_gauge!("godwit_migration_error_rate", "Requests that failed around the last run, percent");
    metrics::describe_gauge!(
        "godwit_migration_query_time_p95_ms",
        "Time within which 95 of 100 queries ended, milliseconds"
    );
    metrics::describe_gauge!(UNKNOWN_RUNS, "Runs that a person must settle: what they left behind is not known");
}

/// Counts one delivery.
pub(super) fn delivery(event: &str, result: &'static str, took: Duration) {
    let event = EVENTS.into_iter().find(|known| *known == event).unwrap_or("other");
    counter!(DELIVERIES, "event" => event, "result" => result).increment(1);
    histogram!(WEBHOOK_SECONDS, "result" => result).record(took.as_secs_f64());
}

async fn render(state: &AppState) -> Option<String> {
    let handle = install()?;
    let now = Utc::now();
    let age = |at: Option<DateTime<Utc>>| at.map_or(0.0, |at| (now - at).as_seconds_f64().max(0.0));
    let queue = state.store.queue().await;
    gauge!(STORE_UP).set(f64::from(u8::from(queue.is_ok())));
    if let Ok(queue) = queue {
        for (name, count) in [("queued", queue.queued), ("running", queue.running), ("dead", queue.dead)] {
            gauge!(QUEUE_JOBS, "state" => name).set(count as f64);
        }
        gauge!(QUEUE_OLDEST).set(age(queue.oldest));
        gauge!(LEASE_AGE).set(age(queue.oldest_claim));
    }
    if let Ok(unknown) = state.store.unknown_runs().await {
        gauge!(UNKNOWN_RUNS).set(unknown as f64);
    }
    let region = |name: &Option<String>| name.clone().unwrap_or_default();
    let who = &state.who;
    gauge!(REPLICA, "replica" => who.id.clone(), "role" => who.role.as_str(), "region" => region(&who.region)).set(1.0);
    if let Ok(replicas) = state.store.replicas(LATELY).await {
        let mut counts = std::collections::BTreeMap::<(String, String), f64>::new();
        for replica in replicas {
            *counts.entry((replica.role.clone(), region(&replica.region))).or_default() += 1.0;
        }
        for ((role, region), count) in counts {
            gauge!(REPLICAS, "role" => role, "region" => region).set(count);
        }
    }
    if let Some(worker) = &state.worker {
        gauge!(WORKER_UP).set(f64::from(u8::from(worker.is_alive())));
    }
    handle.run_upkeep();
    Some(handle.render())
}

/// Prometheus' text format.
pub(super) async fn prometheus(State(state): State<AppState>) -> Response {
    match render(&state).await {
        Some(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The names of all metrics.
pub(super) async fn names(State(state): State<AppState>) -> Json<Value> {
    let text = render(&state).await.unwrap_or_default();
    let names: std::collections::BTreeSet<&str> =
        text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).filter_map(|l| l.split(' ').next()).collect();
    Json(json!({ "names": names }))
}

/// The numbers of one metric.
pub(super) async fn measurements(State(state): State<AppState>, Path(name): Path<String>) -> Response {
    let text = render(&state).await.unwrap_or_default();
    let found = measurements_in(&text, &name);
    if found.is_empty() {
        return StatusCode::NOT_FOUND.into_response();
    }
    Json(json!({ "name": name, "measurements": found })).into_response()
}

fn measurements_in(text: &str, name: &str) -> Vec<Value> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (metric, labels) = series.split_once('{').unwrap_or((series, ""));
            let statistic = match metric.strip_prefix(name)? {
                "" => "VALUE",
                "_sum" => "TOTAL",
                "_count" => "COUNT",
                _ => return None,
            };
            let value: f64 = value.parse().ok()?;
            Some(json!({ "statistic": statistic, "value": value, "labels": labels.trim_end_matches('}') }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_read_from_prometheus_text() {
        let text = "# TYPE a gauge\na{state=\"x\"} 3\na_sum 1.5\na_count 2\na_bucket{le=\"1\"} 2\nab 9\n";
        let found = measurements_in(text, "a");
        assert_eq!(found.len(), 3);
        assert_eq!(found[0], json!({ "statistic": "VALUE", "value": 3.0, "labels": "state=\"x\"" }));
        assert!(measurements_in(text, "b").is_empty());
    }
}
