//! What runs leave in the metrics (names as in the server's descriptions). Without a recorder nothing happens.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::config::health::Vital;
use crate::ids::{EnvironmentName, RepoName};
use crate::plan::health::Measured;
use crate::plan::{MigrationState, RunReport};

const RUNS: &str = "godwit_migration_runs_total";

/// Counts a run, how long each of its migrations took and what is left to do.
pub(super) fn run(repo: &RepoName, environment: &EnvironmentName, report: &RunReport) {
    let name = environment.to_string();
    counter!(RUNS, "environment" => name.clone(), "result" => report.outcome.as_str()).increment(1);
    let mut left = 0;
    for step in &report.steps {
        match step.state {
            MigrationState::Pending => left += 1,
            MigrationState::Running | MigrationState::Failed | MigrationState::NeedsHuman => {
                left += 1;
                took(&name, step.engine.as_str(), step.duration_ms);
            }
            MigrationState::Applied | MigrationState::RolledBack => took(&name, step.engine.as_str(), step.duration_ms),
        }
    }
    pending(repo, environment, left);
    if let Some(health) = &report.health {
        vitals(environment, "before", &health.before);
        vitals(environment, "after", &health.after);
    }
}

fn took(environment: &str, engine: &'static str, milliseconds: u64) {
    histogram!("godwit_migration_duration_seconds", "environment" => environment.to_owned(), "engine" => engine)
        .record(Duration::from_millis(milliseconds).as_secs_f64());
}

/// Says what was measured around a run, and what holds now.
pub(super) fn vitals(environment: &EnvironmentName, phase: &'static str, measured: &[Measured]) {
    for value in measured {
        let target = value.target.as_ref().map_or(String::new(), ToString::to_string);
        let place = [("environment", environment.to_string()), ("target", target)];
        gauge!(
            "godwit_migration_db_impact",
            &[&place[..], &[("phase", phase.to_owned()), ("kind", value.vital.as_str().to_owned())]].concat()
        )
        .set(value.value.value());
        let name = match value.vital {
            Vital::CpuUsage => "godwit_migration_db_cpu_usage",
            Vital::MemoryUsage => "godwit_migration_db_memory_usage",
            Vital::ConnectionPool => "godwit_migration_connection_pool_usage",
            Vital::ErrorRate => "godwit_migration_error_rate",
            Vital::QueryTimeP95 => "godwit_migration_query_time_p95_ms",
            Vital::DiskUsage => "godwit_migration_db_disk_usage",
            Vital::ClusterStatus => "godwit_migration_db_cluster_status",
        };
        gauge!(name, &place).set(value.value.value());
    }
}

/// Counts a run that could not begin because a database cannot be reached.
pub(super) fn unreachable(environment: &EnvironmentName) {
    counter!(RUNS, "environment" => environment.to_string(), "result" => "unreachable").increment(1);
}

/// Says how many migrations an environment still has to take.
pub(super) fn pending(repo: &RepoName, environment: &EnvironmentName, count: usize) {
    gauge!("godwit_migration_pending", "environment" => environment.to_string(), "repo" => repo.to_string())
        .set(count as f64);
}
