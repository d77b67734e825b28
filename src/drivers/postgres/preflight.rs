//! What a look at the server says of a plan before anything is changed.

use sqlx::PgConnection;

use super::batches::look_at_key;
use super::watch::shown;
use super::wire;
use crate::drivers::DriverError;
use crate::plan::{MigrationPlan, Objection, ObjectionKind, RecoveryClass, Step};

/// Transactions older than this are named before an index is built beside them (seconds).
const LONG: u32 = 10;

/// Keys that cannot be walked, and transactions that an index build would have to wait for.
pub(super) async fn objections(
    connection: &mut PgConnection,
    plan: &MigrationPlan,
) -> Result<Vec<Objection>, DriverError> {
    let mut out = Vec::new();
    for (n, step) in plan.steps.iter().enumerate() {
        let Some(of) = &step.backfill else { continue };
        match look_at_key(connection, of).await? {
            Some(Ok(())) => {}
            // What an earlier step is about to mend is looked at again when it is this one's turn.
            Some(Err(_)) | None if n > 0 => {}
            Some(Err(why)) => out.push(objection(step, ObjectionKind::Impossible, why, KEY_HELP)),
            None => {
                let why = format!("there is no table `{}` whose keys could be walked", of.table);
                out.push(objection(step, ObjectionKind::Impossible, why, KEY_HELP));
            }
        }
    }
    let builds = plan
        .steps
        .iter()
        .find(|s| s.statements.iter().any(|p| p.recovery == RecoveryClass::Verifiable && holds_concurrently(&p.sql)));
    if let Some(step) = builds {
        for told in long_transactions(connection).await? {
            out.push(objection(step, ObjectionKind::Note, told, "end it, or wait until it ends"));
        }
        for told in invalid_indexes(connection).await? {
            out.push(objection(step, ObjectionKind::Note, told, "look whether it is still built; else drop it"));
        }
    }
    Ok(out)
}

const KEY_HELP: &str = "name a key that is unique, indexed and NOT NULL, such as the primary key";

fn objection(step: &Step, kind: ObjectionKind, message: String, what_to_do: &str) -> Objection {
    Objection {
        kind,
        migration: Some(step.migration.clone()),
        file: Some(step.path.clone()),
        line: step.statements.first().map(|s| s.line),
        message,
        what_to_do: what_to_do.to_owned(),
    }
}

fn holds_concurrently(sql: &str) -> bool {
    sql.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w.eq_ignore_ascii_case("concurrently"))
}

/// Indexes that an interrupted build left behind: they cost every write and serve no query. One that a step of the plan
/// builds is dropped and built again by that step.
async fn invalid_indexes(connection: &mut PgConnection) -> Result<Vec<String>, DriverError> {
    let sql = "SELECT i.indexrelid::regclass::text, i.indrelid::regclass::text FROM pg_catalog.pg_index i \
               JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
               WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relpersistence <> 't' \
               AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid) \
               ORDER BY 1 LIMIT 5";
    let rows = wire::rows(connection, sql.to_owned()).await?;
    rows.iter()
        .map(|r| {
            Ok(format!(
                "the index `{}` on `{}` is INVALID: its build was interrupted, and nothing uses it",
                wire::str(r, 0)?,
                wire::str(r, 1)?
            ))
        })
        .collect()
}

/// Transactions with a snapshot or a lock, which `CONCURRENTLY` waits for.
async fn long_transactions(connection: &mut PgConnection) -> Result<Vec<String>, DriverError> {
    let sql = format!(
        "SELECT a.pid::text, coalesce(a.usename::text, ''), extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::int8::text, \
         coalesce(a.state, ''), left(coalesce(a.query, ''), 120) FROM pg_catalog.pg_stat_activity a \
         WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() \
         AND a.xact_start < pg_catalog.clock_timestamp() - interval '{LONG} seconds' \
         AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) ORDER BY a.xact_start LIMIT 3"
    );
    let rows = wire::rows(connection, sql).await?;
    rows.iter()
        .map(|r| {
            let query = shown(wire::str(r, 4)?).split_whitespace().collect::<Vec<_>>().join(" ");
            Ok(crate::redact::text(&format!(
                "process {} ({}, {}) has been in its transaction for {} s, and an index built CONCURRENTLY waits for it: `{query}`",
                wire::str(r, 0)?,
                wire::str(r, 1)?,
                wire::str(r, 3)?,
                wire::str(r, 2)?,
            )))
        })
        .collect()
}
