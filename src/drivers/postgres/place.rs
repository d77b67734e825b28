//! Where Godwit's tables are, or would go, and what this user may not do there.

use sqlx::PgConnection;

use super::health::Lack;
use super::message::literal;
use super::{native, wire};
use crate::drivers::{DriverError, HISTORY};

/// The place of Godwit's tables as this connection sees it.
#[derive(Debug)]
pub(super) struct Place {
    /// The schema, as its name is.
    pub schema: String,
    /// Whether the tables are there.
    pub exists: bool,
    /// Whether the search path shows a table that may be another migration tool's.
    pub shows_others: bool,
    /// What this user may not do, if it is something that every run needs.
    pub lacks: Option<Lack>,
}

/// The place where the search path names one schema, as most do: functions alone. A session has just begun, and the first
/// look at each catalog costs it more than everything else here.
const ONE_SCHEMA: &str = "SELECT CASE WHEN pg_catalog.cardinality(pg_catalog.current_schemas(false)) = 1 \
     THEN (pg_catalog.current_schemas(false))[1] END, CASE WHEN $TABLE IS NULL THEN 'f' ELSE 't' END, $OTHERS, \
     CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'primary' \
     WHEN pg_catalog.current_setting('transaction_read_only') = 'on' THEN 'writing' \
     WHEN $TABLE IS NULL AND NOT pg_catalog.has_schema_privilege((pg_catalog.current_schemas(false))[1], 'CREATE') THEN 'create' \
     WHEN $TABLE IS NOT NULL AND NOT (pg_catalog.has_table_privilege($TABLE, 'SELECT') \
     AND pg_catalog.has_table_privilege($TABLE, 'INSERT') AND pg_catalog.has_table_privilege($TABLE, 'UPDATE')) THEN 'history' \
     ELSE '' END";

/// The history in the one schema of the path.
const TABLE: &str = "pg_catalog.to_regclass(pg_catalog.quote_ident((pg_catalog.current_schemas(false))[1]) || '.$HISTORY')::pg_catalog.oid";

/// Whether the path shows a table with a name that another tool gives to its own.
const OTHERS: &str = "CASE WHEN coalesce($NAMES) IS NULL THEN 'f' ELSE 't' END";

/// The same for any search path. Where the tables are found along it they stay, even when a schema that comes earlier in
/// the path is made later (a schema named like the user). New ones go to the first schema of the path that may hold
/// tables, the user's own one only if there is no other.
const ANY_PATH: &str = "WITH path AS (SELECT n.oid, n.nspname, p.ord FROM \
     unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY p(name, ord) JOIN pg_catalog.pg_namespace n ON n.nspname = p.name) \
     SELECT p.nspname::text, CASE WHEN c.oid IS NULL THEN 'f' ELSE 't' END, $OTHERS, \
     CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'primary' \
     WHEN pg_catalog.current_setting('transaction_read_only') = 'on' THEN 'writing' \
     WHEN c.oid IS NULL AND NOT pg_catalog.has_schema_privilege(p.oid, 'CREATE') THEN 'create' \
     WHEN c.oid IS NOT NULL AND NOT (pg_catalog.has_table_privilege(c.oid, 'SELECT') \
     AND pg_catalog.has_table_privilege(c.oid, 'INSERT') AND pg_catalog.has_table_privilege(c.oid, 'UPDATE')) THEN 'history' \
     ELSE '' END FROM path p \
     LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = p.oid AND c.relname = '$HISTORY' AND c.relkind IN ('r', 'p') \
     ORDER BY c.oid IS NULL, NOT pg_catalog.has_schema_privilege(p.oid, 'CREATE'), \
     p.nspname = current_user AND pg_catalog.current_setting('search_path') LIKE '%$user%', p.ord LIMIT 1";

/// Finds the place; `None` where the search path names no schema that exists.
pub(super) async fn find(connection: &mut PgConnection) -> Result<Option<Place>, DriverError> {
    let names = native::each_name(|name| format!("pg_catalog.to_regclass({})", literal(name)));
    let others = OTHERS.replace("$NAMES", &names);
    for question in [ONE_SCHEMA, ANY_PATH] {
        let question = question.replace("$TABLE", TABLE).replace("$OTHERS", &others).replace("$HISTORY", HISTORY);
        let rows = wire::rows(connection, question).await?;
        let Some(row) = rows.first() else { break };
        let Some(schema) = wire::optional_str(row, 0)? else { continue };
        return Ok(Some(Place {
            schema: schema.to_owned(),
            exists: wire::str(row, 1)? == "t",
            shows_others: wire::str(row, 2)? == "t",
            lacks: Lack::of(wire::str(row, 3)?),
        }));
    }
    Ok(None)
}
