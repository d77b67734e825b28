//! A statement in batches on SQLite.

use std::time::Instant;

use sqlx::{AssertSqlSafe, Row as _};

use super::session::SqliteSession;
use super::{failure, is_busy};
use crate::drivers::batches::Batches;
use crate::drivers::{DriverError, HISTORY, SingleStatement, StatementFailure, failpoint};
use crate::migration::backfill::{Backfill, Checkpoint};

/// The key's columns as one text of literals.
fn key_literals(of: &Backfill) -> String {
    of.bare_key().iter().map(|c| format!("quote({c})")).collect::<Vec<_>>().join(" || ', ' || ")
}

fn ordered(of: &Backfill, direction: &str) -> String {
    of.bare_key().iter().map(|c| format!("{c}{direction}")).collect::<Vec<_>>().join(", ")
}

fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl SqliteSession {
    async fn rows(&mut self, sql: String) -> Result<Vec<sqlx::sqlite::SqliteRow>, DriverError> {
        sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_all(&mut self.connection)
            .await
            .map_err(|e| failure(&e, None))
    }

    async fn try_change(
        &mut self,
        statement: &SingleStatement<'_>,
        sql: &str,
        next: &Checkpoint,
    ) -> Result<u64, DriverError> {
        self.check_time()?;
        self.begin().await?;
        failpoint::hit("stmt_sent");
        let line = Some(statement.line);
        self.bound(true);
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await;
        self.bound(false);
        let done = done.map_err(|e| self.explained(failure(&e, line)))?;
        failpoint::hit("stmt_acked");
        let saved = Checkpoint { rows: next.rows + done.rows_affected(), ..next.clone() };
        let text = serde_json::to_string(&saved).map_err(|e| DriverError::History(e.to_string()))?;
        sqlx::query(AssertSqlSafe(format!("UPDATE {HISTORY} SET progress = ?1 WHERE unit = ?2 AND id = ?3")))
            .bind(text)
            .bind(statement.unit)
            .bind(statement.id.as_str())
            .execute(&mut self.connection)
            .await
            .map_err(|e| failure(&e, None))?;
        failpoint::hit("commit_sent");
        self.say("COMMIT").await?;
        failpoint::hit("commit_acked");
        Ok(done.rows_affected())
    }
}

impl Batches for SqliteSession {
    async fn check_key(&mut self, of: &Backfill) -> Result<Result<(), String>, DriverError> {
        // The name alone: an attached database has no place in a migration.
        let table = text_literal(of.table.trim_matches('"'));
        let unreadable = |e: sqlx::Error| failure(&e, None);
        let columns = self
            .rows(format!("SELECT name, upper(type), \"notnull\", pk FROM pragma_table_info({table})"))
            .await?
            .iter()
            .map(|r| Ok((r.try_get(0)?, r.try_get(1)?, r.try_get(2)?, r.try_get(3)?)))
            .collect::<Result<Vec<(String, String, i64, i64)>, sqlx::Error>>()
            .map_err(unreadable)?;
        if columns.is_empty() {
            return Ok(Err(format!("there is no table `{}` whose keys could be walked", of.table)));
        }
        let key = of.columns();
        let alone = columns.iter().filter(|c| c.3 > 0).count() == 1;
        for name in &key {
            let Some(column) = columns.iter().find(|c| c.0.eq_ignore_ascii_case(name)) else {
                return Ok(Err(format!("the table `{}` has no column `{name}`, the key of its batches", of.table)));
            };
            let is_rowid = alone && column.3 > 0 && column.1 == "INTEGER";
            if is_rowid && key.len() == 1 {
                return Ok(Ok(()));
            }
            if column.2 == 0 && !is_rowid {
                let why = "may be NULL, and such rows would be left out of every batch";
                return Ok(Err(format!("`{name}` of `{}` {why}", of.table)));
            }
        }
        let indexes = self
            .rows(format!(
                "SELECT (SELECT group_concat(name, char(10)) FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno)) \
                 FROM pragma_index_list({table}) l WHERE l.\"unique\" = 1 AND l.partial = 0"
            ))
            .await?
            .iter()
            .map(|r| r.try_get::<Option<String>, _>(0))
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable)?;
        let wanted = key.join("\n");
        Ok(if indexes.iter().flatten().any(|i| i.eq_ignore_ascii_case(&wanted)) {
            Ok(())
        } else {
            let key = key.join(", ");
            Err(format!(
                "`{}` has no unique index on exactly ({key}), so batches by it would each read the table",
                of.table
            ))
        })
    }

    async fn checkpoint(&mut self, statement: &SingleStatement<'_>) -> Result<Option<String>, DriverError> {
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT progress FROM {HISTORY} WHERE unit = ?1 AND id = ?2")))
            .persistent(false)
            .bind(statement.unit)
            .bind(statement.id.as_str())
            .fetch_optional(&mut self.connection)
            .await
            .map(Option::flatten)
            .map_err(|e| failure(&e, None))
    }

    async fn last_key(&mut self, of: &Backfill) -> Result<Option<String>, DriverError> {
        let sql = format!("SELECT {} FROM {} ORDER BY {} LIMIT 1", key_literals(of), of.table, ordered(of, " DESC"));
        let rows = self.rows(sql).await?;
        rows.first().map(|r| r.try_get(0).map_err(|e| failure(&e, None))).transpose()
    }

    async fn next_key(
        &mut self,
        of: &Backfill,
        after: Option<&str>,
        up_to: &str,
        size: u32,
    ) -> Result<Option<(String, u64)>, DriverError> {
        let sql = format!(
            "SELECT {literals}, count(*) OVER () FROM (SELECT {key} FROM {table} WHERE {condition} ORDER BY {key} \
             LIMIT {size}) ORDER BY {last_first} LIMIT 1",
            literals = key_literals(of),
            key = of.bare_key().join(", "),
            table = of.table,
            condition = of.condition(after, up_to),
            last_first = ordered(of, " DESC"),
        );
        let rows = self.rows(sql).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let key = row.try_get(0).map_err(|e| failure(&e, None))?;
        let count: i64 = row.try_get(1).map_err(|e| failure(&e, None))?;
        Ok(Some((key, u64::try_from(count).unwrap_or(0))))
    }

    async fn estimate(&mut self, of: &Backfill) -> Result<Option<u64>, DriverError> {
        let rows = self.rows(format!("SELECT count(*) FROM {}", of.table)).await?;
        let count: Option<i64> = rows.first().map(|r| r.try_get(0)).transpose().map_err(|e| failure(&e, None))?;
        Ok(count.and_then(|n| u64::try_from(n).ok()))
    }

    async fn change(
        &mut self,
        statement: &SingleStatement<'_>,
        sql: &str,
        next: &Checkpoint,
    ) -> Result<u64, DriverError> {
        let result = self.try_change(statement, sql, next).await;
        if result.is_err() {
            // Nothing is open when BEGIN itself failed.
            let _ = self.say("ROLLBACK").await;
        }
        result
    }

    async fn finish(&mut self, statement: &SingleStatement<'_>) -> Result<(), DriverError> {
        crate::drivers::Session::mark(self, statement).await
    }

    fn may_succeed_later(&self, failure: &StatementFailure) -> bool {
        is_busy(&DriverError::Statement(failure.clone()))
    }

    fn explain_batch(&self, failure: &mut StatementFailure, attempts: u32, began: Instant) {
        if self.may_succeed_later(failure) {
            failure.hint = Some(format!(
                "tried {attempts} times in {:.1} s; another program is writing to this database; end it and run again",
                began.elapsed().as_secs_f64()
            ));
        }
    }
}
