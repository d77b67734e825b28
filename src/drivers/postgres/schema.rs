//! The live schema read from the catalogs.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::message::literal;
use super::{native, wire};
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

/// What else there is to say of them: who owns them and who may what, row security, rules, parameters; and kinds of objects
/// that the first list leaves out. Recorded apart, since schemas that earlier versions recorded lack it.
const DETAILS: &str = "WITH mine AS (SELECT oid, nspname, nspowner, nspacl FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'), \
     rel AS (SELECT c.*, CASE relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence ' WHEN 'f' THEN 'foreign table ' WHEN 'c' THEN 'type ' ELSE 'table ' END \
     || quote_ident(m.nspname) || '.' || quote_ident(c.relname) AS name FROM pg_catalog.pg_class c JOIN mine m ON m.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND c.relname NOT IN ($OURS) \
     AND c.relname::text <> m.nspname::text || '_schema_migrations' \
     AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')), \
     typ AS (SELECT t.*, 'type ' || t.oid::regtype AS name FROM pg_catalog.pg_type t JOIN mine m ON m.oid = t.typnamespace \
     WHERE t.typtype IN ('e', 'd', 'r') AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')), \
     fun AS (SELECT p.*, CASE p.prokind WHEN 'a' THEN 'aggregate ' ELSE 'function ' END || p.oid::regprocedure AS name FROM pg_catalog.pg_proc p JOIN mine m ON m.oid = p.pronamespace \
     WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = p.oid AND d.deptype IN ('e', 'i'))), \
     owned AS (SELECT name, relowner AS owner, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r' END, relowner)) AS acl, '' AS part FROM rel WHERE relkind <> 'c' \
     UNION ALL SELECT name, typowner, coalesce(typacl, acldefault('T', typowner)), '' FROM typ \
     UNION ALL SELECT name, proowner, coalesce(proacl, acldefault('f', proowner)), '' FROM fun \
     UNION ALL SELECT 'schema ' || quote_ident(nspname), nspowner, coalesce(nspacl, acldefault('n', nspowner)), '' FROM mine \
     UNION ALL SELECT rel.name, rel.relowner, a.attacl, ' (' || quote_ident(a.attname) || ')' FROM rel JOIN pg_catalog.pg_attribute a ON a.attrelid = rel.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped) \
     SELECT name, 'owned by ' || pg_get_userbyid(owner)::text AS line FROM owned WHERE part = '' \
     UNION ALL SELECT o.name, 'grant ' || string_agg(g.privilege_type || CASE WHEN g.is_grantable THEN ' with grant option' ELSE '' END, ', ' ORDER BY g.privilege_type) || o.part || ' to ' || \
     CASE g.grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(g.grantee)) END FROM owned o CROSS JOIN LATERAL aclexplode(o.acl) g WHERE g.grantee <> o.owner GROUP BY o.name, o.part, g.grantee \
     UNION ALL SELECT name, CASE WHEN relrowsecurity THEN 'row level security' ELSE 'row level security off' END || CASE WHEN relforcerowsecurity THEN ', forced' ELSE '' END FROM rel WHERE relrowsecurity OR relforcerowsecurity \
     UNION ALL SELECT rel.name, 'policy ' || quote_ident(p.polname) || CASE WHEN p.polpermissive THEN '' ELSE ' restrictive' END || \
     ' for ' || CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'all' END || ' to ' || \
     coalesce((SELECT string_agg(CASE r WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(r)) END, ', ' ORDER BY pg_get_userbyid(r)) FROM unnest(p.polroles) r), 'public') || \
     coalesce(' using (' || pg_get_expr(p.polqual, p.polrelid) || ')', '') || coalesce(' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '') \
     FROM rel JOIN pg_catalog.pg_policy p ON p.polrelid = rel.oid \
     UNION ALL SELECT rel.name, 'rule ' || translate(pg_get_ruledef(r.oid), chr(10), ' ') FROM rel JOIN pg_catalog.pg_rewrite r ON r.ev_class = rel.oid AND r.rulename <> '_RETURN' \
     UNION ALL SELECT name, 'with ' || o FROM rel CROSS JOIN LATERAL unnest(reloptions) o \
     UNION ALL SELECT name, 'unlogged' FROM rel WHERE relpersistence = 'u' \
     UNION ALL SELECT rel.name, 'trigger ' || quote_ident(t.tgname) || CASE t.tgenabled WHEN 'D' THEN ' disabled' WHEN 'R' THEN ' on replicas' ELSE ' always' END FROM rel \
     JOIN pg_catalog.pg_trigger t ON t.tgrelid = rel.oid AND NOT t.tgisinternal AND t.tgenabled <> 'O' \
     UNION ALL SELECT rel.name, 'as ' || format_type(s.seqtypid, NULL) || ' start ' || s.seqstart || ' increment ' || s.seqincrement || ' from ' || s.seqmin || ' to ' || s.seqmax || ' cache ' || s.seqcache || \
     CASE WHEN s.seqcycle THEN ' cycle' ELSE '' END FROM rel JOIN pg_catalog.pg_sequence s ON s.seqrelid = rel.oid \
     UNION ALL SELECT rel.name, 'attribute ' || quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) FROM rel JOIN pg_catalog.pg_attribute a ON a.attrelid = rel.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE rel.relkind = 'c' \
     UNION ALL SELECT name, 'domain ' || format_type(typbasetype, typtypmod) || CASE WHEN typnotnull THEN ' not null' ELSE '' END || coalesce(' default ' || typdefault, '') FROM typ WHERE typtype = 'd' \
     UNION ALL SELECT typ.name, 'constraint ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid) FROM typ JOIN pg_catalog.pg_constraint k ON k.contypid = typ.oid \
     UNION ALL SELECT typ.name, 'range of ' || format_type(r.rngsubtype, NULL) FROM typ JOIN pg_catalog.pg_range r ON r.rngtypid = typ.oid \
     UNION ALL SELECT fun.name, 'sfunc ' || a.aggtransfn::oid::regprocedure || ' stype ' || format_type(a.aggtranstype, NULL) || CASE WHEN a.aggfinalfn::oid = 0 THEN '' ELSE ' finalfunc ' || a.aggfinalfn::oid::regprocedure END || \
     coalesce(' initcond ' || quote_literal(a.agginitval), '') FROM fun JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = fun.oid \
     UNION ALL SELECT 'publication ' || quote_ident(pubname), CASE WHEN puballtables THEN 'all tables: ' ELSE 'publishes ' END || concat_ws(', ', CASE WHEN pubinsert THEN 'insert' END, CASE WHEN pubupdate THEN 'update' END, \
     CASE WHEN pubdelete THEN 'delete' END, CASE WHEN pubtruncate THEN 'truncate' END) FROM pg_catalog.pg_publication \
     UNION ALL SELECT 'publication ' || quote_ident(p.pubname), rel.name FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid JOIN rel ON rel.oid = r.prrelid \
     UNION ALL SELECT 'event trigger ' || quote_ident(evtname), 'on ' || evtevent || ' call ' || evtfoid::regprocedure || CASE WHEN evtenabled = 'O' THEN '' ELSE ' (' || evtenabled::text || ')' END FROM pg_catalog.pg_event_trigger e \
     WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = e.oid AND d.deptype = 'e')";

/// Reads it.
pub(super) async fn snapshot(connection: &mut PgConnection) -> Result<SchemaSnapshot, DriverError> {
    // Other tools' tables are no part of what migrations make; they come and go with the tools.
    let ours = format!(
        "'{HISTORY}', '{FENCE}', '{HISTORY}_pkey', '{FENCE}_pkey', 'goose_db_version_id_seq', {}",
        native::each_name(literal)
    );
    let sql = format!(
        "SELECT o.*, 'f' FROM ({OBJECTS}) o UNION ALL SELECT d.name::text, d.line::text, 't' FROM ({DETAILS}) d"
    );
    let rows = wire::rows(connection, sql.replace("$OURS", &ours)).await?;
    let mut properties: [BTreeMap<String, Vec<String>>; 2] = Default::default();
    for row in &rows {
        let part = usize::from(wire::str(row, 2)? == "t");
        properties[part].entry(wire::text(row, 0)?).or_default().push(wire::text(row, 1)?);
    }
    let [objects, details] = properties.map(|properties| {
        properties
            .into_iter()
            .map(|(name, mut lines)| {
                lines.sort();
                (name, lines.join("\n"))
            })
            .collect()
    });
    Ok(SchemaSnapshot { objects, details: Some(details) })
}
