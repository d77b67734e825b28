//! Other migration tools' tables on SQLite.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::failure;
use crate::drivers::DriverError;
use crate::drivers::native::{Dialect, Kept, select};
use crate::ids::MigrationId;
use crate::migration::native::{Book, Found, Row, Said};

/// The tables that are there, with what they say.
pub(super) async fn read(connection: &mut SqliteConnection, book: &Book) -> Result<Vec<Found>, DriverError> {
    let mut out = Vec::new();
    for (number, ledger) in book.ledgers.iter().enumerate() {
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?1)")
            .persistent(false)
            .bind(&ledger.table)
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| failure(&e, None))?;
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        if !ledger.tool.knows(&columns) {
            continue;
        }
        let sql = select(Dialect::Sqlite, ledger.tool, &quoted(&ledger.table));
        let unreadable = |e: &dyn std::fmt::Display| {
            DriverError::History(format!("`{}` of {} cannot be read: {e}", ledger.table, ledger.tool.name()))
        };
        let rows = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| unreadable(&e))?
            .iter()
            .map(|row| {
                let word: String = row.try_get(1).map_err(|e| unreadable(&e))?;
                Ok(Row {
                    key: row.try_get(0).map_err(|e| unreadable(&e))?,
                    said: Said::parse(&word).ok_or_else(|| unreadable(&word))?,
                    checksum: row.try_get(2).map_err(|e| unreadable(&e))?,
                })
            })
            .collect::<Result<Vec<_>, DriverError>>()?;
        out.push(Found { ledger: number, schema: String::new(), rows });
    }
    Ok(out)
}

/// What a session keeps, and what makes the tables that are missing.
pub(super) fn keep(
    book: &Book,
    found: &[Found],
    units: &BTreeSet<&str>,
    applied: &[(String, MigrationId)],
) -> (Kept, String) {
    let mut kept = Kept::new(Dialect::Sqlite, book);
    let mut sql = String::new();
    for (n, ledger) in book.ledgers.iter().enumerate() {
        if found.iter().any(|f| f.ledger == n) {
            kept.take(n, quoted(&ledger.table));
        } else if ledger.make && units.contains(ledger.unit.as_str()) {
            sql.push_str(&kept.make(n, quoted(&ledger.table), applied));
        }
    }
    (kept, sql)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
