//! What is in a database: rows by table, and a digest of those that can be read twice without harm.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::texts;
use crate::backup::meta::Sum;

/// Tables up to this many rows are compared by content.
const READ_WHOLE: u64 = 200_000;

/// The entry of large objects, where there are any.
pub(super) const LARGE_OBJECTS: &str = "large objects";

/// Tables that hold rows of their own and belong to no extension.
const TABLES: &str = "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c \
     JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' \
     AND n.nspname <> 'information_schema' AND NOT EXISTS \
     (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 1";

/// Reads it, as the connection's transaction sees it.
pub(super) async fn read(connection: &mut PgConnection) -> Result<BTreeMap<String, Sum>, sqlx::Error> {
    // Values look alike on both sides.
    let alike = "SET search_path = pg_catalog; SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; \
                 SET extra_float_digits = 1; SET bytea_output = 'hex'; SET lock_timeout = '30s'";
    super::say(connection, alike).await?;
    let mut out = BTreeMap::new();
    for table in texts(connection, TABLES).await?.into_iter().flatten() {
        let count = first(connection, &format!("SELECT count(*)::text FROM ONLY {table}")).await?;
        let count: u64 = count.parse().unwrap_or(0);
        let digest = if count <= READ_WHOLE {
            let sql = format!(
                "SELECT coalesce(sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint), 0)::text FROM ONLY {table} t"
            );
            Some(first(connection, &sql).await?)
        } else {
            None
        };
        out.insert(format!("table {table}"), Sum { count, digest });
    }
    let objects = first(connection, "SELECT count(*)::text FROM pg_largeobject_metadata").await?.parse().unwrap_or(0);
    if objects > 0 {
        out.insert(LARGE_OBJECTS.to_owned(), Sum { count: objects, digest: None });
    }
    Ok(out)
}

async fn first(connection: &mut PgConnection, sql: &str) -> Result<String, sqlx::Error> {
    Ok(texts(connection, sql).await?.into_iter().flatten().next().unwrap_or_default())
}
