//! Questions that change nothing.

use sqlx::{AssertSqlSafe, Executor as _, Row as _, SqliteConnection};

use super::failure;
use crate::drivers::{DriverError, one_query, refused};
use crate::ids::Engine;
use crate::migration::verify::{Answer, Check};

pub(super) async fn readable(connection: Option<&mut SqliteConnection>, name: &str) -> Result<(), DriverError> {
    let quoted: Vec<String> = name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    answer(connection, &format!("SELECT 1 FROM {} LIMIT 1", quoted.join("."))).await.map(|_| ())
}

pub(super) async fn answer(
    connection: Option<&mut SqliteConnection>,
    sql: &str,
) -> Result<Option<String>, DriverError> {
    let Some(connection) = connection else { return Err(refused("the database file is not there")) };
    let query = one_query(Engine::Sqlite, sql)?;
    let told = |e: sqlx::Error| failure(&e, None);
    connection.execute(AssertSqlSafe("PRAGMA query_only = ON")).await.map_err(told)?;
    let found = sqlx::query(AssertSqlSafe(query.to_owned())).persistent(false).fetch_optional(&mut *connection).await;
    connection.execute(AssertSqlSafe("PRAGMA query_only = OFF")).await.map_err(told)?;
    match found.map_err(told)? {
        // SQLite gives every value as text.
        Some(row) if !row.is_empty() => row.try_get_unchecked::<Option<String>, _>(0).map_err(told),
        Some(_) | None => Ok(None),
    }
}

/// How SQLite means to carry out a statement, line by line; nothing is carried out.
pub(super) async fn plan(
    connection: Option<&mut SqliteConnection>,
    statement: &str,
) -> Result<Vec<String>, DriverError> {
    let Some(connection) = connection else { return Ok(Vec::new()) };
    let query = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"))).persistent(false);
    let rows = query.fetch_all(connection).await.map_err(|e| failure(&e, None))?;
    rows.iter().map(|row| row.try_get_unchecked("detail").map_err(|e| failure(&e, None))).collect()
}

/// Asks a query of a script, in the script's transaction, whether it gives what it must.
pub(super) async fn holds(
    connection: &mut SqliteConnection,
    check: &Check,
    line: Option<u32>,
) -> Result<(), DriverError> {
    let query = sqlx::query(AssertSqlSafe(check.sql.clone())).persistent(false);
    let rows = query.fetch_all(connection).await.map_err(|e| failure(&e, line))?;
    let value = rows.first().filter(|row| !row.is_empty()).and_then(|row| row.try_get_unchecked(0).ok().flatten());
    let answer = Answer { rows: u64::try_from(rows.len()).unwrap_or(u64::MAX), value };
    check.judge(&answer).map_err(|message| {
        DriverError::Statement(crate::drivers::StatementFailure { message, code: None, line, hint: None })
    })
}
