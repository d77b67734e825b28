//! Looks at other sessions of the server: who holds the lock, who is in the way, what stands in between.

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::beat::Beat;
use super::message::Tables;
use super::wire;
use crate::drivers::DriverError;
use crate::migration::sealed::OPENED;
use crate::plan::LockHolder;

/// The advisory lock of a target: not a constant, so that other programs and other schemas do not collide with it.
pub(super) fn lock_key(database: &str, schema: &str) -> i64 {
    let hash = Sha256::digest(format!("godwit\0{database}\0{schema}"));
    let mut key = [0u8; 8];
    key.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(key)
}

const HOLDER: &str = "SELECT a.pid::text, coalesce(a.application_name, ''), coalesce(a.usename, ''), \
     coalesce(host(a.client_addr), 'a local socket'), \
     to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
     CASE WHEN a.state = 'active' THEN left(a.query, 160) END \
     FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
     AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
     AND l.classid::bigint = $CLASS AND l.objid::bigint = $OBJECT";

/// Who holds the lock of the target with `tables`.
pub(super) async fn find_holder(
    connection: &mut PgConnection,
    tables: &Tables,
) -> Result<Option<LockHolder>, DriverError> {
    let rows = wire::rows(connection, "SELECT pg_catalog.current_database()::text".to_owned()).await?;
    let database = rows.first().map(|r| wire::text(r, 0)).transpose()?.unwrap_or_default();
    holder_of(connection, lock_key(&database, &tables.schema)).await
}

pub(super) async fn holder_of(connection: &mut PgConnection, key: i64) -> Result<Option<LockHolder>, DriverError> {
    let bits = u64::from_be_bytes(key.to_be_bytes());
    let sql = HOLDER.replace("$CLASS", &(bits >> 32).to_string()).replace("$OBJECT", &(bits & 0xffff_ffff).to_string());
    let rows = wire::rows(connection, sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let doing = sqlx::Row::try_get::<Option<String>, _>(row, 5).map_err(|e| wire::unreadable(&e))?;
    Ok(Some(LockHolder {
        pid: wire::text(row, 0)?.parse().unwrap_or(0),
        who: format!("{} ({})", wire::text(row, 1)?, wire::text(row, 2)?),
        from: wire::text(row, 3)?,
        since: wire::text(row, 4)?,
        doing: doing.map(|q| crate::redact::text(shown(&q))),
    }))
}

/// A query of another session as it is shown: up to the first value in it that was sealed [S4-84].
pub(super) fn shown(query: &str) -> &str {
    query.split(OPENED).next().unwrap_or_default()
}

/// Who blocks `pid`, as a sentence; with `cancel`, its statement is cancelled.
pub(super) async fn look(beat: &Beat, pid: i64, cancel: bool) -> Result<Option<String>, DriverError> {
    if cancel {
        beat.ask(format!("SELECT pg_catalog.pg_cancel_backend({pid})::text")).await?;
    }
    let sql = format!(
        "SELECT a.pid::text, coalesce(a.usename, ''), coalesce(nullif(a.application_name, ''), 'unnamed'), coalesce(a.state, ''), \
         coalesce(extract(epoch from clock_timestamp() - a.xact_start)::int::text, '0'), left(coalesce(a.query, ''), 200) \
         FROM pg_catalog.pg_stat_activity a WHERE a.pid = ANY (pg_catalog.pg_blocking_pids({pid})) ORDER BY a.xact_start LIMIT 3"
    );
    let rows = beat.ask(sql).await?;
    let seen: Result<Vec<String>, DriverError> = rows
        .iter()
        .map(|r| {
            let query = shown(&wire::text(r, 5)?).split_whitespace().collect::<Vec<_>>().join(" ");
            Ok(format!(
                "process {} ({}, {}, {}, in its transaction for {} s): `{query}`",
                wire::text(r, 0)?,
                wire::text(r, 1)?,
                wire::text(r, 2)?,
                wire::text(r, 3)?,
                wire::text(r, 4)?
            ))
        })
        .collect();
    let seen = seen?;
    Ok((!seen.is_empty()).then(|| crate::redact::text(&format!("blocked by {}", seen.join("; ")))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_belongs_to_the_database_and_the_schema() {
        assert_ne!(lock_key("a", "public"), lock_key("b", "public"));
        assert_ne!(lock_key("a", "public"), lock_key("a", "tenant"));
        assert_eq!(lock_key("a", "public"), lock_key("a", "public"));
    }
}
