//! What the server is and how safe a write is on it: version, persistence, replicas, scripts that still run.

use std::time::{Duration, Instant};

use super::link::{Link, Node, To};
use super::message;
use crate::drivers::{DriverError, jittered};
use crate::ids::RunId;

/// How long replicas and the disk are waited for at once.
const WAIT: Duration = Duration::from_millis(500);

/// What was read of a server when a session began.
#[derive(Debug, Clone, Default)]
pub(super) struct Server {
    /// As it says it.
    pub version: String,
    /// Which copy of the data it has.
    pub replid: String,
    /// Whether it writes an append-only file.
    pub aof: bool,
    /// Whether it is a primary.
    pub primary: bool,
    /// Whether it is a node of a cluster.
    pub in_cluster: bool,
}

impl Server {
    /// Asks a node.
    pub async fn read(link: &Link, node: &Node) -> Result<Self, DriverError> {
        let info = link.info(node, "everything").await?;
        let get = |name| info.get(name).unwrap_or_default();
        Ok(Self {
            version: get("redis_version").to_owned(),
            replid: get("master_replid").to_owned(),
            aof: get("aof_enabled") == "1",
            primary: get("role") != "slave",
            in_cluster: get("cluster_enabled") == "1",
        })
    }

    fn at_least(&self, floor: [u32; 2]) -> bool {
        let mut parts = self.version.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
        [parts.next().unwrap_or(0), parts.next().unwrap_or(0)] >= floor
    }

    /// Waits, within bounds, until what was written is on the disk and on a replica, where there are any.
    pub async fn durable(&self, link: &Link, nodes: &[Node], patience: Duration) -> Result<(), DriverError> {
        for node in nodes {
            let info = link.info(node, "replication").await?;
            let replicas: u32 = info.get("connected_slaves").and_then(|n| n.parse().ok()).unwrap_or(0);
            let wanted = replicas.min(1);
            let on_disk = self.aof && self.at_least([7, 2]);
            if wanted == 0 && !on_disk {
                continue;
            }
            let began = Instant::now();
            loop {
                let timeout = WAIT.as_millis().to_string();
                let (local, remote) = if on_disk {
                    let mut command = redis::cmd("WAITAOF");
                    command.arg(1).arg(0).arg(&timeout);
                    let (local, _): (u32, u32) = link.ask(&command, &To::Node(node.clone())).await?;
                    (local, self.replicated(link, node, wanted, &timeout).await?)
                } else {
                    (1, self.replicated(link, node, wanted, &timeout).await?)
                };
                if local >= 1 && remote >= wanted {
                    break;
                }
                if began.elapsed() >= patience {
                    tracing::warn!(local, remote, "what was written is not yet on the disk or on a replica");
                    break;
                }
            }
        }
        Ok(())
    }

    async fn replicated(&self, link: &Link, node: &Node, wanted: u32, timeout: &str) -> Result<u32, DriverError> {
        if wanted == 0 {
            return Ok(0);
        }
        link.ask(redis::cmd("WAIT").arg(wanted).arg(timeout), &To::Node(node.clone())).await
    }

    /// How far the slowest replica of a node is behind.
    pub async fn lag(&self, link: &Link, node: &Node) -> Result<Duration, DriverError> {
        let info = link.info(node, "replication").await?;
        Ok(lag_of(info.lines()))
    }

    /// Waits until no script runs on any node; one of a run that was cut short is ended as long as it has written nothing.
    pub async fn settle(&self, link: &Link, runs: &[RunId], patience: Duration) -> Result<(), DriverError> {
        for node in link.nodes().await? {
            self.settle_node(link, &node, runs, patience).await?;
        }
        Ok(())
    }

    async fn settle_node(
        &self,
        link: &Link,
        node: &Node,
        runs: &[RunId],
        patience: Duration,
    ) -> Result<(), DriverError> {
        // The script itself ends the waiting, not the link's patience with it.
        let mut impatient = link.clone();
        impatient.patience = Duration::ZERO;
        let (began, to) = (Instant::now(), To::Node(node.clone()));
        loop {
            let alive = match impatient.try_ask::<String>(&redis::cmd("PING"), &to).await {
                Err(error) if error.code() == Some("BUSY") => error,
                Ok(_) | Err(_) => return Ok(()),
            };
            if began.elapsed() < patience {
                tokio::time::sleep(jittered(Duration::from_millis(100))).await;
                continue;
            }
            if runs.is_empty() {
                return Err(impatient.unreachable(&alive));
            }
            match impatient.try_ask::<String>(redis::cmd("SCRIPT").arg("KILL"), &to).await {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == Some("NOTBUSY") => return Ok(()),
                Err(error) => {
                    return Err(DriverError::Unreachable(format!(
                        "a script has been running on the server for longer than {} s and cannot be ended: {}. It has \
                         written already: wait for its end, or restart the server without saving (`SHUTDOWN NOSAVE`), \
                         which loses what is not on its disk",
                        patience.as_secs(),
                        message::words(&error)
                    )));
                }
            }
        }
    }
}

/// The lag of the slowest replica, from the lines of `INFO replication`: `slave0:ip=…,state=online,offset=…,lag=1`.
fn lag_of<'a>(lines: impl Iterator<Item = &'a str>) -> Duration {
    let seconds = lines
        .filter(|l| l.starts_with("slave") && l.contains("state=online"))
        .filter_map(|l| l.split(',').find_map(|p| p.strip_prefix("lag="))?.trim().parse::<u64>().ok())
        .max();
    Duration::from_secs(seconds.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_90_the_slowest_replica_counts() {
        let info = "role:master\nslave0:ip=1,port=2,state=online,offset=3,lag=1\nslave1:ip=1,port=3,state=online,offset=2,lag=7\n\
                    slave2:ip=1,port=3,state=wait_bgsave,offset=0,lag=90";
        assert_eq!(lag_of(info.lines()), Duration::from_secs(7));
        assert_eq!(lag_of("role:master".lines()), Duration::ZERO);
    }

    #[test]
    fn versions_compare_as_numbers() {
        let server = |v: &str| Server { version: v.to_owned(), ..Server::default() };
        assert!(server("7.2.4").at_least([7, 2]) && server("10.0").at_least([7, 2]));
        assert!(!server("7.0.15").at_least([7, 2]) && !server("").at_least([7, 2]));
    }
}
