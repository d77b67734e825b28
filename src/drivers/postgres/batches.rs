//! A statement in batches on PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::message::literal;
use super::session::PostgresSession;
use super::wire;
use crate::drivers::batches::Batches;
use crate::drivers::{DriverError, SingleStatement, StatementFailure, failpoint};
use crate::migration::backfill::{Backfill, Checkpoint};

/// The longest wait of one batch for a lock; while it waits, others queue behind it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the rows of a batch stay locked when this program stops in the middle of it.
const IDLE_MS: u32 = 5000;

/// The key's columns as one text of literals with their types, which the server itself writes and reads.
fn key_literals(of: &Backfill, of_table: &str) -> String {
    let columns: Vec<String> = of
        .bare_key()
        .iter()
        .map(|c| {
            format!(
                "pg_catalog.quote_literal({of_table}{c}::text) || '::' || pg_catalog.format_type(pg_catalog.pg_typeof({of_table}{c}), NULL)"
            )
        })
        .collect();
    format!("pg_catalog.concat_ws(', ', {})", columns.join(", "))
}

fn ordered(of: &Backfill, direction: &str) -> String {
    of.bare_key().iter().map(|c| format!("{c}{direction}")).collect::<Vec<_>>().join(", ")
}

/// Why the key of `of` cannot be walked, if it cannot. `None` in the second place: there is no such table.
pub(super) async fn look_at_key(
    connection: &mut PgConnection,
    of: &Backfill,
) -> Result<Option<Result<(), String>>, DriverError> {
    let columns = of.columns();
    let list = columns.iter().map(|c| literal(c)).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "WITH t AS (SELECT pg_catalog.to_regclass({table})::oid AS oid) SELECT (t.oid IS NOT NULL)::text, \
         coalesce((SELECT pg_catalog.string_agg(a.attname::text, ', ') FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.oid \
         AND a.attnum > 0 AND NOT a.attisdropped AND a.attname::text IN ({list})), ''), \
         coalesce((SELECT pg_catalog.string_agg(a.attname::text, ', ') FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.oid \
         AND NOT a.attnotnull AND a.attname::text IN ({list})), ''), \
         EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = t.oid AND i.indisunique AND i.indisvalid \
         AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = {n} AND ARRAY(SELECT a.attname::text \
         FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY k(att, ord) JOIN pg_catalog.pg_attribute a \
         ON a.attrelid = i.indrelid AND a.attnum = k.att WHERE k.ord <= {n} ORDER BY k.ord) = ARRAY[{list}]::text[])::text FROM t",
        table = literal(&of.table),
        n = columns.len(),
    );
    let rows = wire::rows(connection, sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    if wire::str(row, 0)? != "true" {
        return Ok(None);
    }
    let known: Vec<&str> = wire::str(row, 1)?.split(", ").collect();
    let (nullable, indexed) = (wire::str(row, 2)?, wire::str(row, 3)? == "true");
    let key = columns.join(", ");
    Ok(Some(if let Some(missing) = columns.iter().find(|c| !known.contains(&c.as_str())) {
        Err(format!("the table `{}` has no column `{missing}`, the key of its batches", of.table))
    } else if !nullable.is_empty() {
        Err(format!("`{nullable}` of `{}` may be NULL, and such rows would be left out of every batch", of.table))
    } else if !indexed {
        Err(format!(
            "`{}` has no valid unique index on exactly ({key}), so batches by it would each read the table",
            of.table
        ))
    } else {
        Ok(())
    }))
}

impl Batches for PostgresSession {
    async fn check_key(&mut self, of: &Backfill) -> Result<Result<(), String>, DriverError> {
        let looked = look_at_key(&mut self.connection, of).await;
        let found = self.kept(looked).await?;
        Ok(found.unwrap_or_else(|| Err(format!("there is no table `{}` whose keys could be walked", of.table))))
    }

    async fn checkpoint(&mut self, statement: &SingleStatement<'_>) -> Result<Option<String>, DriverError> {
        let sql = self.tables.checkpoint(statement.unit, statement.id);
        let rows = self.ask(sql).await?;
        rows.first().map_or(Ok(None), |r| wire::optional_str(r, 0).map(|t| t.map(str::to_owned)))
    }

    async fn last_key(&mut self, of: &Backfill) -> Result<Option<String>, DriverError> {
        let sql =
            format!("SELECT {} FROM {} ORDER BY {} LIMIT 1", key_literals(of, ""), of.table, ordered(of, " DESC"));
        let rows = self.ask(sql).await?;
        rows.first().map(|r| wire::text(r, 0)).transpose()
    }

    async fn next_key(
        &mut self,
        of: &Backfill,
        after: Option<&str>,
        up_to: &str,
        size: u32,
    ) -> Result<Option<(String, u64)>, DriverError> {
        let sql = format!(
            "SELECT {literals}, (pg_catalog.count(*) OVER ())::text FROM (SELECT {key} FROM {table} WHERE {condition} \
             ORDER BY {key} LIMIT {size}) godwit_keys ORDER BY {last_first} LIMIT 1",
            literals = key_literals(of, "godwit_keys."),
            key = of.bare_key().join(", "),
            table = of.table,
            condition = of.condition(after, up_to),
            last_first = ordered(of, " DESC"),
        );
        let rows = self.ask(sql).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some((wire::text(row, 0)?, wire::str(row, 1)?.parse().unwrap_or(0))))
    }

    async fn estimate(&mut self, of: &Backfill) -> Result<Option<u64>, DriverError> {
        let sql = format!(
            "SELECT reltuples::int8::text FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass({})",
            literal(&of.table)
        );
        let rows = self.ask(sql).await?;
        let about = rows.first().map(|r| wire::text(r, 0)).transpose()?;
        Ok(about.and_then(|t| t.parse::<u64>().ok()).filter(|n| *n > 0))
    }

    async fn change(
        &mut self,
        statement: &SingleStatement<'_>,
        sql: &str,
        next: &Checkpoint,
    ) -> Result<u64, DriverError> {
        self.forget_blockers();
        let begin = self.begin_batch(LOCK_TIMEOUT, IDLE_MS, sql);
        let reply = self.send(&Arc::new(begin), &["stmt_sent"]).await;
        if let Some(error) = reply.error {
            return Err(self.failed(&error).await);
        }
        failpoint::hit("stmt_acked");
        let saved = Checkpoint { rows: next.rows + reply.affected, ..next.clone() };
        let text = serde_json::to_string(&saved).map_err(|e| DriverError::History(e.to_string()))?;
        let commit = self.tables.save_checkpoint(statement.unit, statement.id, &text);
        let committed = self.send(&Arc::new(commit), &["commit_sent"]).await;
        if let Some(error) = committed.error {
            return Err(self.failed(&error).await);
        }
        failpoint::hit("commit_acked");
        Ok(reply.affected)
    }

    async fn finish(&mut self, statement: &SingleStatement<'_>) -> Result<(), DriverError> {
        self.mark_done(statement).await
    }

    fn may_succeed_later(&self, failure: &StatementFailure) -> bool {
        matches!(failure.code.as_deref(), Some("55P03" | "40P01" | "40001"))
    }

    fn explain_batch(&self, failure: &mut StatementFailure, attempts: u32, began: Instant) {
        self.explain(failure, attempts, began);
    }
}
