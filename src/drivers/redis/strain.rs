//! Whether a server or a replica has so much to do that batches and migrations had better wait.

use super::health;
use super::link::Node;
use super::session::RedisSession;
use crate::config::health::Vital;
use crate::drivers::{DriverError, Limits};

/// Whether what comes may need more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// It may.
    Needs,
    /// It needs none, or frees some: to wait for memory would be to wait for itself.
    Frees,
}

impl RedisSession {
    /// Why to wait for a node: connections or memory that run out, or a replica that is too far behind.
    pub(super) async fn strained(
        &self,
        node: &Node,
        limits: &Limits,
        memory: Memory,
    ) -> Result<Option<String>, DriverError> {
        if !limits.any_load() {
            for reading in health::of(&self.link, node).await? {
                let what = match reading.vital {
                    Vital::ConnectionPool => "the server's connections are in use",
                    Vital::MemoryUsage if memory == Memory::Needs => "the server's `maxmemory` are in use",
                    _ => continue,
                };
                let why = limits.overloaded(reading.value.value(), what);
                if why.is_some() {
                    return Ok(why);
                }
            }
        }
        if limits.max_lag.is_none() {
            return Ok(None);
        }
        Ok(limits.behind(Some(self.server.lag(&self.link, node).await?)))
    }

    /// The same of every node, between two migrations.
    pub(super) async fn strained_anywhere(&self, limits: &Limits) -> Result<Option<String>, DriverError> {
        for node in self.link.nodes().await? {
            let why = self.strained(&node, limits, Memory::Frees).await?;
            if why.is_some() {
                return Ok(why);
            }
        }
        Ok(None)
    }
}
