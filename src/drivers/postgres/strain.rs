//! Whether the server or a replica has so much to do that batches and migrations had better wait.

use std::time::Duration;

use super::session::PostgresSession;
use super::wire;
use crate::drivers::{DriverError, Limits};

impl PostgresSession {
    /// Why to wait: too many sessions that do something, or a replica that is too far behind. Seeing a replica's lag
    /// needs the role `pg_monitor`.
    pub(super) async fn strained(&mut self, limits: &Limits) -> Result<Option<String>, DriverError> {
        if limits.any_load() && limits.max_lag.is_none() {
            return Ok(None);
        }
        let sql = "SELECT (100.0 * (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE state = 'active' \
             AND backend_type = 'client backend') / pg_catalog.current_setting('max_connections')::int8)::float8::text, \
             (SELECT (1000 * extract(epoch FROM pg_catalog.max(replay_lag)))::int8::text FROM pg_catalog.pg_stat_replication)";
        let rows = self.ask(sql.to_owned()).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let busy: f64 = wire::str(row, 0)?.parse().unwrap_or(0.0);
        let lag = wire::optional_str(row, 1)?.and_then(|t| t.parse().ok()).map(Duration::from_millis);
        Ok(limits.overloaded(busy, "the server's connections are busy").or_else(|| limits.behind(lag)))
    }
}
