//! Questions that change nothing.

use sqlx::{AssertSqlSafe, Executor as _, Row as _, SqliteConnection};

use super::failure;
use crate::drivers::{DriverError, one_query, refused};
use crate::ids::Engine;

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
