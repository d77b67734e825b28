//! Other migration tools' tables on SQLite.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::failure;
use crate::drivers::DriverError;
use crate::drivers::native::{Dialect, Kept, select};
use crate::ids::MigrationId;
use crate::migration::native::{Book, Elsewhere, Found, Ledger, Row, Said, Tool};

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
        let rows = rows_of(connection, ledger.tool, &ledger.table).await?;
        out.push(Found { ledger: number, schema: String::new(), elsewhere: None, rows });
    }
    if book.looks_around {
        out.extend(elsewhere(connection, book).await?);
    }
    Ok(out)
}

/// Tables that have a tool's columns and no others, and another name than the book's.
async fn elsewhere(connection: &mut SqliteConnection, book: &Book) -> Result<Vec<Found>, DriverError> {
    let sql = "SELECT t.name, (SELECT group_concat(name) FROM (SELECT p.name FROM pragma_table_info(t.name) p ORDER BY 1)) \
               FROM sqlite_master t WHERE t.type = 'table' ORDER BY t.name";
    let tables: Vec<(String, Option<String>)> =
        sqlx::query_as(sql).persistent(false).fetch_all(&mut *connection).await.map_err(|e| failure(&e, None))?;
    let mut out = Vec::new();
    for (table, columns) in tables {
        for (ledger, Ledger { tool, table: own, .. }) in book.ledgers.iter().enumerate() {
            if *own != table && columns.as_deref() == Some(tool.columns().join(",").as_str()) {
                let rows = rows_of(connection, *tool, &table).await?;
                let elsewhere = Some(Elsewhere { table: table.clone(), in_path: true });
                out.push(Found { ledger, schema: String::new(), elsewhere, rows });
            }
        }
    }
    Ok(out)
}

/// What a table says.
async fn rows_of(connection: &mut SqliteConnection, tool: Tool, table: &str) -> Result<Vec<Row>, DriverError> {
    let unreadable =
        |e: &dyn std::fmt::Display| DriverError::History(format!("`{table}` of {} cannot be read: {e}", tool.name()));
    sqlx::query(AssertSqlSafe(select(Dialect::Sqlite, tool, &quoted(table))))
        .persistent(false)
        .fetch_all(connection)
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
        .collect()
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
