//! The live schema read from the catalogs.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::wire;
use crate::drivers::{DriverError, FENCE, HISTORY};
use crate::plan::SchemaSnapshot;

/// Objects of the schemas that are the user's, as kind and name, and one property each.
const OBJECTS: &str = "WITH mine AS (SELECT oid, nspname FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'), \
     rel AS (SELECT c.*, quote_ident(m.nspname) || '.' || quote_ident(c.relname) AS name FROM pg_catalog.pg_class c \
     JOIN mine m ON m.oid = c.relnamespace WHERE c.relname NOT IN ($OURS) \
     AND c.relname::text NOT IN (m.nspname::text || '_schema_migrations', m.nspname::text || '_schema_migrations_pkey') \
     AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')) \
     SELECT CASE relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence ' WHEN 'f' THEN 'foreign table ' ELSE 'table ' END || name, \
     CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) WHEN relkind = 'p' THEN 'partitioned by ' || pg_get_partkeydef(oid) ELSE 'exists' END FROM rel WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
     UNION ALL SELECT 'table ' || rel.name, 'column ' || quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) || \
     CASE WHEN a.attnotnull THEN ' not null' ELSE '' END || CASE a.attidentity WHEN 'a' THEN ' identity always' WHEN 'd' THEN ' identity by default' ELSE '' END || \
     CASE WHEN a.attgenerated <> '' THEN ' generated' ELSE '' END || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') \
     FROM rel JOIN pg_catalog.pg_attribute a ON a.attrelid = rel.oid AND a.attnum > 0 AND NOT a.attisdropped \
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = rel.oid AND d.adnum = a.attnum WHERE rel.relkind IN ('r', 'p', 'f') \
     UNION ALL SELECT 'table ' || rel.name, 'constraint ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid) FROM rel \
     JOIN pg_catalog.pg_constraint k ON k.conrelid = rel.oid \
     UNION ALL SELECT 'table ' || rel.name, 'trigger ' || pg_get_triggerdef(t.oid) FROM rel \
     JOIN pg_catalog.pg_trigger t ON t.tgrelid = rel.oid AND NOT t.tgisinternal \
     UNION ALL SELECT 'index ' || rel.name, pg_get_indexdef(rel.oid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END FROM rel \
     JOIN pg_catalog.pg_index i ON i.indexrelid = rel.oid JOIN pg_catalog.pg_class t ON t.oid = i.indrelid AND t.relname NOT IN ($OURS) \
     UNION ALL SELECT 'function ' || p.oid::regprocedure, pg_get_functiondef(p.oid) FROM pg_catalog.pg_proc p JOIN mine m ON m.oid = p.pronamespace \
     WHERE p.prokind IN ('f', 'p') AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') \
     UNION ALL SELECT 'type ' || t.oid::regtype, 'label ' || e.enumlabel FROM pg_catalog.pg_type t JOIN mine m ON m.oid = t.typnamespace \
     JOIN pg_catalog.pg_enum e ON e.enumtypid = t.oid \
     UNION ALL SELECT 'extension ' || extname, 'version ' || extversion FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql' \
     UNION ALL SELECT 'schema ' || quote_ident(nspname), 'exists' FROM mine m WHERE nspname <> 'public' \
     AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.relnamespace = m.oid \
     AND c.relname = (m.nspname::text || '_schema_migrations')::pg_catalog.name)";

/// Reads it.
pub(super) async fn snapshot(connection: &mut PgConnection) -> Result<SchemaSnapshot, DriverError> {
    // Other tools' tables are no part of what migrations make; they come and go with the tools.
    let ours = format!(
        "'{HISTORY}', '{FENCE}', '{HISTORY}_pkey', '{FENCE}_pkey', 'goose_db_version_id_seq', {}",
        super::native::NAMES
    );
    let rows = wire::rows(connection, OBJECTS.replace("$OURS", &ours)).await?;
    let mut properties: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in &rows {
        properties.entry(wire::text(row, 0)?).or_default().push(wire::text(row, 1)?);
    }
    let objects = properties
        .into_iter()
        .map(|(name, mut lines)| {
            lines.sort();
            (name, lines.join("\n"))
        })
        .collect();
    Ok(SchemaSnapshot { objects })
}
