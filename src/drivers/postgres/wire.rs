//! Simple-protocol messages over sqlx: nothing is prepared, so nothing is left behind in the session.

use std::sync::Arc;

use futures_util::StreamExt as _;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition, PgRow};
use sqlx::{AssertSqlSafe, Either, PgConnection, Row as _, ValueRef as _};

use crate::drivers::{DriverError, FENCED, StatementFailure};
use crate::migration::verify::Answer;

/// How a message ended.
#[derive(Debug)]
pub(super) struct Reply {
    /// Statements of the message that succeeded.
    pub succeeded: usize,
    /// Rows that the last of them touched.
    pub affected: u64,
    /// What the last of them answered.
    pub answer: Answer,
    /// What went wrong with the next one.
    pub error: Option<sqlx::Error>,
}

/// Sends a message of any number of statements and reads everything that comes back; of the rows, only
/// what a check asks for is kept.
pub(super) async fn send(connection: &mut PgConnection, message: Arc<String>) -> Reply {
    let mut results = sqlx::raw_sql(AssertSqlSafe(message)).fetch_many(connection);
    let (mut succeeded, mut affected) = (0, 0);
    let (mut answer, mut coming) = (Answer::default(), Answer::default());
    while let Some(item) = results.next().await {
        match item {
            Ok(Either::Left(done)) => {
                succeeded += 1;
                affected = done.rows_affected();
                answer = std::mem::take(&mut coming);
            }
            Ok(Either::Right(row)) => {
                if coming.rows == 0 {
                    coming.value = optional_str(&row, 0).ok().flatten().map(str::to_owned);
                }
                coming.rows += 1;
            }
            Err(error) => return Reply { succeeded, affected, answer, error: Some(error) },
        }
    }
    Reply { succeeded, affected, answer, error: None }
}

/// The rows of a query.
pub(super) async fn rows(connection: &mut PgConnection, sql: String) -> Result<Vec<PgRow>, DriverError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.map_err(|e| failure(&e))
}

/// What `decode` makes of every row of a query; each is dropped before the next is looked at.
pub(super) async fn read<T>(
    connection: &mut PgConnection,
    sql: String,
    decode: impl Fn(&PgRow) -> Result<T, DriverError>,
) -> Result<Vec<T>, DriverError> {
    let mut out = Vec::new();
    each(connection, sql, |row| {
        out.push(decode(row)?);
        Ok(())
    })
    .await?;
    Ok(out)
}

/// Shows `look` every row of a query.
pub(super) async fn each(
    connection: &mut PgConnection,
    sql: String,
    mut look: impl FnMut(&PgRow) -> Result<(), DriverError>,
) -> Result<(), DriverError> {
    let mut rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch(connection);
    while let Some(row) = rows.next().await {
        look(&row.map_err(|e| failure(&e))?)?;
    }
    Ok(())
}

/// A message whose rows do not matter.
pub(super) async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), DriverError> {
    match send(connection, Arc::new(sql)).await.error {
        None => Ok(()),
        Some(error) => Err(failure(&error)),
    }
}

/// A text column that is never NULL.
pub(super) fn text(row: &PgRow, column: usize) -> Result<String, DriverError> {
    str(row, column).map(str::to_owned)
}

/// The same, borrowed from the row.
pub(super) fn str(row: &PgRow, column: usize) -> Result<&str, DriverError> {
    optional_str(row, column)?.ok_or_else(|| unreadable(&"NULL where something must stand"))
}

/// A text column that may be NULL.
pub(super) fn optional_str(row: &PgRow, column: usize) -> Result<Option<&str>, DriverError> {
    // As it was sent: in this protocol everything is text.
    let value = row.try_get_raw(column).map_err(|e| unreadable(&e))?;
    if value.is_null() { Ok(None) } else { value.as_str().map(Some).map_err(|e| unreadable(&e)) }
}

pub(super) fn unreadable(error: &dyn std::fmt::Display) -> DriverError {
    DriverError::History(format!("the target answered something unexpected: {error}"))
}

/// The server's error, if it is one.
pub(super) fn server_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    match error {
        sqlx::Error::Database(e) => e.try_downcast_ref::<PgDatabaseError>(),
        _ => None,
    }
}

/// The SQLSTATE, if the server gave one.
pub(super) fn code(error: &sqlx::Error) -> Option<&str> {
    server_error(error).map(PgDatabaseError::code)
}

/// Whether the connection is gone, so that what became of the statement must be asked anew.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => {
            code(error).is_some_and(|c| matches!(c, "57P01" | "57P02" | "57P03") || c.starts_with("08"))
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Whether the fence refused.
pub(super) fn is_fenced(error: &sqlx::Error) -> bool {
    server_error(error).is_some_and(|e| e.code() == "22P02" && e.message().contains(FENCED))
}

/// Whether the same message may succeed later: a lock that was not free, a deadlock, a serialisation failure.
pub(super) fn is_worth_trying_again(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|c| matches!(c, "55P03" | "40P01" | "40001"))
}

/// The character (from 1) of the message at which the server saw the error.
pub(super) fn position(error: &sqlx::Error) -> Option<usize> {
    match server_error(error)?.position()? {
        PgErrorPosition::Original(at) => Some(at),
        PgErrorPosition::Internal { .. } => None,
    }
}

/// Any error as the driver's.
pub(super) fn failure(error: &sqlx::Error) -> DriverError {
    if is_fenced(error) {
        return DriverError::Fenced;
    }
    if is_lost(error) {
        return DriverError::Lost(describe(error));
    }
    DriverError::Statement(statement_failure(error, None))
}

/// Any error in the server's words, without its position.
pub(super) fn statement_failure(error: &sqlx::Error, line: Option<u32>) -> StatementFailure {
    StatementFailure {
        message: describe(error),
        code: code(error).map(str::to_owned),
        line,
        hint: server_error(error).and_then(|e| e.hint()).map(str::to_owned),
    }
}

/// An error for a person.
pub(super) fn describe(error: &sqlx::Error) -> String {
    let text = match server_error(error) {
        Some(e) => {
            let mut text = e.message().to_owned();
            if let Some(detail) = e.detail() {
                text.push_str(&format!(" ({detail})"));
            }
            if let Some(place) = e.r#where() {
                text.push_str(&format!(" [{}]", place.lines().next().unwrap_or_default()));
            }
            text
        }
        None => match error {
            sqlx::Error::Io(e) => e.to_string(),
            other => other.to_string(),
        },
    };
    crate::redact::text(&text)
}
