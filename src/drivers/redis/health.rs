//! What the servers say of their health; of a cluster's nodes the one that fares worst counts.

use super::link::{Info, Link, Node};
use crate::config::health::Vital;
use crate::drivers::DriverError;
use crate::plan::health::Reading;

pub(super) async fn vitals(link: &Link, nodes: &[Node]) -> Result<Vec<Reading>, DriverError> {
    let mut worst: Vec<Reading> = Vec::new();
    for node in nodes {
        for reading in of(link, node).await? {
            match worst.iter_mut().find(|r| r.vital == reading.vital) {
                Some(known) => known.value = known.value.max(reading.value),
                None => worst.push(reading),
            }
        }
    }
    Ok(worst)
}

/// What one of them says.
pub(super) async fn of(link: &Link, node: &Node) -> Result<Vec<Reading>, DriverError> {
    let (clients, memory) = (link.info(node, "clients").await?, link.info(node, "memory").await?);
    Ok(of_node(&clients, &memory))
}

fn of_node(clients: &Info, memory: &Info) -> Vec<Reading> {
    let number = |info: &Info, name: &str| info.get(name).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
    let used = Reading::share(
        Vital::ConnectionPool,
        number(clients, "connected_clients"),
        // Servers before 7.0 do not say it.
        number(clients, "maxclients"),
    );
    // A cache that throws the oldest away is full by design; one that does not refuses writes.
    let refuses = memory.get("maxmemory_policy") == Some("noeviction");
    let full = Reading::share(Vital::MemoryUsage, number(memory, "used_memory"), number(memory, "maxmemory"));
    used.into_iter().chain(full.filter(|_| refuses)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_memory_that_runs_out_counts() {
        let clients = Info::of("connected_clients:5\r\nmaxclients:10\r\n");
        let memory = |policy: &str, most: u32| {
            Info::of(&format!("used_memory:90\r\nmaxmemory:{most}\r\nmaxmemory_policy:{policy}\r\n"))
        };
        let pool = Reading::new(Vital::ConnectionPool, 50.0);
        assert_eq!(of_node(&clients, &memory("noeviction", 100)), [pool, Reading::new(Vital::MemoryUsage, 90.0)]);
        assert_eq!(of_node(&clients, &memory("allkeys-lru", 100)), [pool]);
        assert_eq!(of_node(&clients, &memory("noeviction", 0)), [pool]);
    }
}
