//! What the cluster says of its health, and whether an index or alias can be read.

use serde_json::Value;

use super::wire::{Wire, part};
use crate::config::health::Vital;
use crate::drivers::DriverError;
use crate::plan::health::Reading;

pub(super) async fn vitals(wire: &Wire) -> Result<Vec<Reading>, DriverError> {
    let (health, stats) = (wire.get("_cluster/health").await?, wire.get("_nodes/stats/jvm,os,fs").await?);
    let mut out = Vec::new();
    if health.is_ok() {
        out.extend(status(&health.body).map(|n| Reading::new(Vital::ClusterStatus, n)));
    }
    if stats.is_ok() {
        out.extend(of_nodes(&stats.body));
    }
    Ok(out)
}

fn status(health: &Value) -> Option<f64> {
    match health["status"].as_str()? {
        "green" => Some(0.0),
        "yellow" => Some(1.0),
        "red" => Some(2.0),
        _ => None,
    }
}

/// The node that fares worst counts.
fn of_nodes(stats: &Value) -> Vec<Reading> {
    let nodes: Vec<&Value> = stats["nodes"].as_object().map(|n| n.values().collect()).unwrap_or_default();
    let worst = |of: &dyn Fn(&Value) -> Option<f64>| nodes.iter().filter_map(|n| of(n)).reduce(f64::max);
    let disk = |node: &Value| {
        let total = node["fs"]["total"]["total_in_bytes"].as_f64().filter(|t| *t > 0.0)?;
        Some(100.0 - 100.0 * node["fs"]["total"]["available_in_bytes"].as_f64()? / total)
    };
    [
        (Vital::CpuUsage, worst(&|n| n["os"]["cpu"]["percent"].as_f64().filter(|p| *p >= 0.0))),
        (Vital::MemoryUsage, worst(&|n| n["jvm"]["mem"]["heap_used_percent"].as_f64())),
        (Vital::DiskUsage, worst(&disk)),
    ]
    .into_iter()
    .filter_map(|(vital, value)| Some(Reading::new(vital, value?)))
    .collect()
}

pub(super) async fn readable(wire: &Wire, name: &str) -> Result<(), DriverError> {
    let answer = wire.get(&format!("{}/_search?size=1&terminate_after=1", part(name))).await?;
    if answer.is_ok() { Ok(()) } else { Err(DriverError::Statement(answer.failure())) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_node_that_fares_worst_counts() {
        let node = |cpu: i32, heap: u32, free: u32| {
            json!({ "os": { "cpu": { "percent": cpu } }, "jvm": { "mem": { "heap_used_percent": heap } },
                    "fs": { "total": { "total_in_bytes": 200, "available_in_bytes": free } } })
        };
        let stats = json!({ "nodes": { "a": node(10, 70, 100), "b": node(40, 20, 20) } });
        assert_eq!(
            of_nodes(&stats),
            [
                Reading::new(Vital::CpuUsage, 40.0),
                Reading::new(Vital::MemoryUsage, 70.0),
                Reading::new(Vital::DiskUsage, 90.0)
            ]
        );
        assert_eq!(status(&json!({ "status": "red" })), Some(2.0));
        assert_eq!(of_nodes(&json!({})), []);
    }
}
