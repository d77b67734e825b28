//! What the server says of its tables: sizes, rows, who holds them. Changes nothing and reads no row.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::message::literal;
use super::wire;
use crate::drivers::DriverError;
use crate::risk::facts::{TableFacts, TargetFacts};

/// How long the questions may take together (milliseconds).
const PATIENCE: u32 = 10_000;
/// Tables that are told of, the largest first.
const MOST: u32 = 20_000;

/// Rows are the density that the statistics know times the pages that are there now, as the planner has it.
const TABLES: &str = "WITH held AS (SELECT l.relation, \
     max(coalesce(extract(epoch FROM pg_catalog.now() - a.xact_start), 0))::int8 AS seconds \
     FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
     WHERE l.granted AND l.locktype = 'relation' AND l.pid <> pg_catalog.pg_backend_pid() \
     AND a.backend_type = 'client backend' GROUP BY l.relation) \
     SELECT n.nspname::text, c.relname::text, CASE WHEN pg_catalog.pg_table_is_visible(c.oid) THEN 't' ELSE 'f' END, \
     CASE WHEN c.relkind = 'p' THEN (SELECT sum(greatest(l.reltuples, 0))::int8::text FROM pg_catalog.pg_partition_tree(c.oid) p \
     JOIN pg_catalog.pg_class l ON l.oid = p.relid WHERE p.isleaf) \
     WHEN c.reltuples < 0 OR (c.reltuples = 0 AND c.relpages = 0) THEN nullif(s.n_live_tup, 0)::text \
     WHEN c.relpages > 0 THEN (c.reltuples / c.relpages * (pg_catalog.pg_relation_size(c.oid) \
     / pg_catalog.current_setting('block_size')::int8))::int8::text ELSE c.reltuples::int8::text END, \
     CASE WHEN c.relkind = 'p' THEN (SELECT coalesce(sum(pg_catalog.pg_table_size(p.relid)), 0)::text \
     FROM pg_catalog.pg_partition_tree(c.oid) p) ELSE pg_catalog.pg_relation_size(c.oid)::text END, \
     CASE WHEN c.relkind = 'p' THEN (SELECT coalesce(sum(pg_catalog.pg_total_relation_size(p.relid)), 0)::text \
     FROM pg_catalog.pg_partition_tree(c.oid) p) ELSE pg_catalog.pg_total_relation_size(c.oid)::text END, \
     h.seconds::text \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = c.oid LEFT JOIN held h ON h.relation = c.oid \
     WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
     AND n.nspname NOT LIKE 'pg\\_%'";
/// Which of them come first.
const ORDER: &str = " ORDER BY c.relpages DESC LIMIT ";

/// Other sessions of this database: how many do something, and how long the longest transaction is open.
const LOAD: &str = "SELECT pg_catalog.current_setting('server_version_num'), \
     count(*) FILTER (WHERE state = 'active')::text, \
     coalesce(max(extract(epoch FROM pg_catalog.now() - xact_start)), 0)::int8::text \
     FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() \
     AND backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()";

pub(super) async fn facts(
    connection: &mut PgConnection,
    only: Option<&BTreeSet<String>>,
) -> Result<TargetFacts, DriverError> {
    wire::execute(connection, format!("BEGIN READ ONLY;SET LOCAL statement_timeout={PATIENCE}")).await?;
    let found = read(connection, only).await;
    // Whatever came of it; the connection is of no use when not even this works.
    wire::execute(connection, "ROLLBACK".to_owned()).await?;
    found
}

/// Nothing but tables whose last name is among those wanted: the rest of the server is not measured for them.
fn named(only: &BTreeSet<String>) -> String {
    let names: BTreeSet<&str> = only.iter().map(|name| name.rsplit('.').next().unwrap_or(name)).collect();
    let list: Vec<String> = names.into_iter().map(literal).collect();
    format!(" AND c.relname IN ({})", if list.is_empty() { "''".to_owned() } else { list.join(", ") })
}

async fn read(connection: &mut PgConnection, only: Option<&BTreeSet<String>>) -> Result<TargetFacts, DriverError> {
    let rows = wire::rows(connection, LOAD.to_owned()).await?;
    let row = rows.first().ok_or_else(|| wire::unreadable(&"no row about the server"))?;
    let number = |text: &str| text.parse::<u64>().map_err(|e| wire::unreadable(&e));
    let (version, active, longest) =
        (number(wire::str(row, 0)?)?, number(wire::str(row, 1)?)?, number(wire::str(row, 2)?)?);
    let tables =
        wire::read(connection, format!("{TABLES}{}{ORDER}{MOST}", only.map(named).unwrap_or_default()), |row| {
            let optional = |column: usize| wire::optional_str(row, column)?.map(number).transpose();
            Ok(TableFacts {
                schema: wire::text(row, 0)?,
                name: wire::text(row, 1)?,
                visible: wire::str(row, 2)? == "t",
                rows: optional(3)?,
                heap: number(wire::str(row, 4)?)?,
                bytes: number(wire::str(row, 5)?)?,
                held: optional(6)?,
            })
        })
        .await?;
    Ok(TargetFacts { version: (version / 10_000).to_string(), active, longest, tables })
}
