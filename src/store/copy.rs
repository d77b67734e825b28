//! A whole store into another, empty one: all of it or nothing.
//!
//! The source is read as of one moment, the other is written in one transaction, which is committed when every table
//! has as many rows as there and the audit log is the same valid chain. Who serves the store is not copied.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::Utc;
use futures_util::TryStreamExt as _;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::{AuditVerdict, Store, StoreError, StoreKind, WriteTransaction, migrations};

/// Tables that tell of processes and not of work.
const OF_PROCESSES: [&str; 2] = ["replicas", "facts"];
/// Values in one statement at most; both databases take more.
const VALUES: usize = 8_000;
/// A server that was heard of so lately may still write (seconds).
const LATELY: i64 = 60;

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Rows of each table.
    pub tables: BTreeMap<String, u64>,
    /// The audit log at its new place.
    pub audit: AuditVerdict,
}

/// Whether a damaged audit log is copied as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damaged {
    /// It is refused.
    Refused,
    /// It is copied, and stays damaged.
    Accepted,
}

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something is there already.
    #[error("the other store is not empty: {0}")]
    NotEmpty(String),
    /// The source's log is not valid.
    #[error("the audit log is not valid: {0}")]
    Damaged(String),
    /// What arrived is not what was sent.
    #[error("`{table}` has {there} rows here and {here} there; nothing was kept")]
    Lost {
        /// The table.
        table: String,
        /// Rows in the source.
        there: u64,
        /// Rows in the other.
        here: u64,
    },
    /// Somebody writes into the source.
    #[error("a server ({role}) was seen on the store {seconds} seconds ago: what it writes from now on would be lost")]
    Served {
        /// What it does.
        role: String,
        /// How long ago.
        seconds: i64,
    },
}

impl From<sqlx::Error> for CopyError {
    fn from(error: sqlx::Error) -> Self {
        CopyError::Store(error.into())
    }
}

/// A column: its name, and whether it holds numbers.
struct Column {
    name: String,
    number: bool,
}

impl Store {
    /// Refuses when a server was heard of lately.
    ///
    /// # Errors
    /// When one was, or the database fails.
    pub async fn is_left_alone(&self) -> Result<(), CopyError> {
        let now = Utc::now();
        for replica in self.replicas(std::time::Duration::from_secs(LATELY.unsigned_abs())).await? {
            let seconds = (now - replica.seen_at).num_seconds().max(0);
            if seconds < LATELY {
                return Err(CopyError::Served { role: replica.role, seconds });
            }
        }
        Ok(())
    }

    /// Copies everything into `to`, which must be empty.
    ///
    /// # Errors
    /// Why nothing was copied.
    pub async fn copy_into(&self, to: &Store, damaged: Damaged) -> Result<Copied, CopyError> {
        let before = self.verify_audit(None).await?;
        if !before.valid && damaged == Damaged::Refused {
            return Err(CopyError::Damaged(before.problem.unwrap_or_default()));
        }
        let mut tables = BTreeMap::new();
        let mut target = to.begin().await?;
        let mut source = self.reader().begin_with(self.kind().begin_reading()).await?;
        let names = migrations::tables().into_iter().filter(|t| !OF_PROCESSES.contains(t));
        for table in names.clone() {
            if count(&mut target, table).await? > 0 {
                return Err(CopyError::NotEmpty(format!("`{table}` has rows")));
            }
        }
        for table in names {
            let columns = columns(self.kind(), &mut source, table).await?;
            let there = copy_table(&mut source, &mut target, table, &columns).await?;
            let here = count(&mut target, table).await?;
            if here != there {
                return Err(CopyError::Lost { table: table.to_owned(), there, here });
            }
            tables.insert(table.to_owned(), there);
        }
        drop(source);
        let audit = to.verify_audit_in(&mut target).await?;
        // What was appended since it was looked at is in the copy as well.
        if !audit.valid && damaged == Damaged::Refused {
            return Err(CopyError::Damaged(audit.problem.unwrap_or_default()));
        }
        if to.keys().key.has_former() {
            super::audit_rotation::settle(&mut target, &to.keys()).await?;
        }
        target.commit().await?;
        Ok(Copied { tables, audit })
    }
}

async fn count(tx: &mut WriteTransaction, table: &str) -> Result<u64, StoreError> {
    let count: i64 =
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"))).fetch_one(&mut **tx).await?;
    Ok(count.unsigned_abs())
}

/// The columns of a table of the store's own schema, which has two types only.
async fn columns(kind: StoreKind, tx: &mut WriteTransaction, table: &str) -> Result<Vec<Column>, StoreError> {
    let sql = match kind {
        StoreKind::Sqlite => "SELECT name, type FROM pragma_table_info($1) ORDER BY cid",
        StoreKind::Postgres => {
            "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT) FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
        }
    };
    let rows: Vec<(String, String)> = sqlx::query_as(sql).bind(table).fetch_all(&mut **tx).await?;
    Ok(rows.into_iter().map(|(name, kind)| Column { name, number: kind.eq_ignore_ascii_case("bigint") }).collect())
}

async fn copy_table(
    source: &mut WriteTransaction,
    target: &mut WriteTransaction,
    table: &str,
    columns: &[Column],
) -> Result<u64, StoreError> {
    let names = columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
    let size = (VALUES / columns.len().max(1)).max(1);
    let mut rows = sqlx::query(AssertSqlSafe(format!("SELECT {names} FROM {table}"))).fetch(&mut **source);
    let mut batch: Vec<AnyRow> = Vec::with_capacity(size);
    let mut copied = 0;
    loop {
        let row = rows.try_next().await?;
        let ended = row.is_none();
        batch.extend(row);
        if batch.len() == size || (ended && !batch.is_empty()) {
            let sql = format!("INSERT INTO {table} ({names}) VALUES {}", places(batch.len(), columns.len(), ""));
            let mut insert = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            for row in &batch {
                for (i, column) in columns.iter().enumerate() {
                    insert = if column.number {
                        insert.bind(row.try_get::<Option<i64>, _>(i)?)
                    } else {
                        insert.bind(row.try_get::<Option<String>, _>(i)?)
                    };
                }
            }
            copied += insert.execute(&mut **target).await?.rows_affected();
            batch.clear();
        }
        if ended {
            return Ok(copied);
        }
    }
}

/// `($1, $2), ($3, $4), …`: places for that many rows of values, each with `also` behind its own.
pub(super) fn places(rows: usize, columns: usize, also: &str) -> String {
    let mut text = String::with_capacity(rows * (columns * 6 + also.len() + 4));
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 1..=columns {
            let comma = if column == 1 { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}${}", row * columns + column);
        }
        text.push_str(also);
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_numbered_through() {
        assert_eq!(places(2, 2, ", 'x'"), "($1, $2, 'x'), ($3, $4, 'x')");
    }
}
