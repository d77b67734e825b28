//! Other migration tools' tables on PostgreSQL: found along the search path, or in the schema of their service.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::message::{Tables, identifier, literal};
use super::wire;
use crate::drivers::DriverError;
use crate::drivers::native::{Dialect, Kept, select};
use crate::ids::MigrationId;
use crate::migration::native::{Book, Elsewhere, Found, Ledger, Row, Said, Tool};

/// Every name that another tool gives to its table of its own accord.
pub(super) const NAMES: [&str; 7] = [
    "schema_migrations",
    "_prisma_migrations",
    "flyway_schema_history",
    "_sqlx_migrations",
    "__diesel_schema_migrations",
    "goose_db_version",
    "gorp_migrations",
];

/// What `form` makes of each of these names, with commas between.
pub(super) fn each_name(form: impl Fn(&str) -> String) -> String {
    NAMES.map(form).join(",")
}

/// The tables that are there, with what they say.
pub(super) async fn read(connection: &mut PgConnection, book: &Book) -> Result<Vec<Found>, DriverError> {
    if book.ledgers.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<String> = book
        .ledgers
        .iter()
        .enumerate()
        .map(|(n, l)| {
            let table = identifier(&l.table);
            let place = l.schema.as_ref().map_or_else(|| table.clone(), |s| format!("{}.{table}", identifier(s)));
            format!("({n}, pg_catalog.to_regclass({}))", literal(&place))
        })
        .collect();
    let sql = format!(
        "SELECT v.n::text, s.nspname::text, pg_catalog.array_to_string(ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), ',') FROM (VALUES {}) v(n, place) \
         JOIN pg_catalog.pg_class c ON c.oid = v.place AND c.relkind IN ('r', 'p') \
         JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace ORDER BY v.n",
        wanted.join(",")
    );
    let mut out = Vec::new();
    for row in wire::rows(connection, sql).await? {
        let (number, schema, columns) = (wire::text(&row, 0)?, wire::text(&row, 1)?, wire::text(&row, 2)?);
        let Some((number, ledger)) = number.parse().ok().and_then(|n: usize| Some((n, book.ledgers.get(n)?))) else {
            continue;
        };
        let columns: Vec<&str> = columns.split(',').collect();
        if !ledger.tool.knows(&columns) {
            continue;
        }
        let table = format!("{}.{}", identifier(&schema), identifier(&ledger.table));
        let rows = rows_of(connection, ledger.tool, &table).await?;
        out.push(Found { ledger: number, schema, elsewhere: None, rows });
    }
    if book.looks_around {
        let known: BTreeSet<(String, String)> =
            out.iter().map(|f| (f.schema.clone(), book.ledgers[f.ledger].table.clone())).collect();
        out.extend(elsewhere(connection, book, &known).await?);
    }
    Ok(out)
}

/// Tables that have a tool's columns and no others, and are not where the book looks for them.
async fn elsewhere(
    connection: &mut PgConnection,
    book: &Book,
    known: &BTreeSet<(String, String)>,
) -> Result<Vec<Found>, DriverError> {
    let forms: BTreeSet<String> = book.ledgers.iter().map(|l| literal(&l.tool.columns().join(","))).collect();
    let counts: BTreeSet<String> = book.ledgers.iter().map(|l| l.tool.columns().len().to_string()).collect();
    let (forms, counts) = (Vec::from_iter(forms).join(","), Vec::from_iter(counts).join(","));
    let columns = "pg_catalog.array_to_string(ARRAY(SELECT a.attname::text COLLATE \"C\" FROM pg_catalog.pg_attribute a \
                   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1), ',')";
    let sql = format!(
        "SELECT s.nspname::text, c.relname::text, {columns}, \
         CASE WHEN s.nspname = ANY (pg_catalog.current_schemas(false)) THEN 't' ELSE 'f' END FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relnatts IN ({counts}) AND {columns} IN ({forms}) \
         AND s.nspname NOT LIKE 'pg\\_%' AND s.nspname <> 'information_schema' \
         AND pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(s.oid, 'USAGE') ORDER BY 1, 2"
    );
    let mut out = Vec::new();
    for row in wire::rows(connection, sql).await? {
        let (schema, name, columns) = (wire::text(&row, 0)?, wire::text(&row, 1)?, wire::text(&row, 2)?);
        if known.contains(&(schema.clone(), name.clone())) {
            continue;
        }
        let table = format!("{}.{}", identifier(&schema), identifier(&name));
        let alike = book.ledgers.iter().enumerate().filter(|(_, l)| l.tool.columns().join(",") == columns);
        for (ledger, Ledger { tool, .. }) in alike {
            let rows = rows_of(connection, *tool, &table).await?;
            let elsewhere = Elsewhere { table: format!("{schema}.{name}"), in_path: wire::str(&row, 3)? == "t" };
            out.push(Found { ledger, schema: schema.clone(), elsewhere: Some(elsewhere), rows });
        }
    }
    Ok(out)
}

/// What a table says.
async fn rows_of(connection: &mut PgConnection, tool: Tool, table: &str) -> Result<Vec<Row>, DriverError> {
    let read = wire::read(connection, select(Dialect::Postgres, tool, table), |row| {
        let word = wire::str(row, 1)?;
        Ok(Row {
            key: wire::text(row, 0)?,
            said: Said::parse(word).ok_or_else(|| wire::unreadable(&word))?,
            checksum: wire::optional_str(row, 2)?.map(str::to_owned),
        })
    });
    read.await.map_err(|e| match e {
        DriverError::Statement(failure) => DriverError::History(format!("`{table}` cannot be read: {failure}")),
        other => other,
    })
}

/// What a session keeps, and what makes the schemas and tables that are missing.
pub(super) fn keep(
    own: &Tables,
    book: &Book,
    found: &[Found],
    units: &BTreeSet<&str>,
    applied: &[(String, MigrationId)],
) -> (Kept, String) {
    let mut kept = Kept::new(Dialect::Postgres, book);
    let mut sql = String::new();
    for (_, schema) in book.schemas.iter().filter(|(unit, _)| units.contains(unit.as_str())) {
        // Even `IF NOT EXISTS` asks for the right to make schemas.
        sql.push_str(&format!(
            "DO $godwit$ BEGIN IF pg_catalog.to_regnamespace({}) IS NULL THEN CREATE SCHEMA {}; END IF; END $godwit$;",
            literal(&identifier(schema)),
            identifier(schema)
        ));
    }
    for (n, ledger) in book.ledgers.iter().enumerate() {
        let qualified = |schema: &str| format!("{}.{}", identifier(schema), identifier(&ledger.table));
        if let Some(there) = found.iter().find(|f| f.ledger == n) {
            kept.take(n, qualified(&there.schema));
        } else if ledger.make && units.contains(ledger.unit.as_str()) {
            let schema = ledger.schema.as_deref().unwrap_or(&own.schema);
            sql.push_str(&kept.make(n, qualified(schema), applied));
        }
    }
    (kept, sql)
}
