//! Looks in the catalogs whether a statement's effect is there. Changes nothing that outlives the look.

use sqlx::{PgConnection, Row as _};

use super::effect::{CreateIndex, Effect, effect_of};
use super::message::{identifier, literal};
use super::wire;
use crate::drivers::{DriverError, Probe};

/// Everything that makes an index what it is, but for its name and its table's: two with the same text are the same.
const DEFINITION: &str = "concat_ws('|', a.amname, i.indisunique, i.indnkeyatts, i.indnatts, i.indoption::text, i.indclass::text, \
     i.indcollation::text, coalesce(pg_get_expr(i.indpred, i.indrelid), '-'), \
     array_to_string(array(SELECT pg_get_indexdef(i.indexrelid, k, false) FROM generate_series(1, i.indnatts) k), ','), \
     coalesce(c.reloptions::text, '-'), row_to_json(i)->>'indnullsnotdistinct')";

const FROM_INDEX: &str = "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid \
     JOIN pg_catalog.pg_am a ON a.oid = c.relam";

pub(super) async fn look_for(
    connection: &mut PgConnection,
    own_pid: i64,
    statement: &str,
) -> Result<Probe, DriverError> {
    match effect_of(statement) {
        Effect::CreateIndex(index) => create_index(connection, own_pid, &index).await,
        Effect::DropIndex(name) => {
            let there = exists(connection, &format!("SELECT to_regclass({}) IS NOT NULL", literal(&name))).await?;
            Ok(if there { Probe::NotStarted } else { Probe::Done })
        }
        Effect::Detach { parent, child } => detach(connection, &parent, &child).await,
        Effect::Reindex(name) => reindex(connection, &name).await,
        Effect::Object { catalog, column, name, creates } => {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {catalog} WHERE {column} = {})", literal(&name));
            Ok(if exists(connection, &sql).await? == creates { Probe::Done } else { Probe::NotStarted })
        }
        Effect::Nothing => {
            Ok(Probe::Unknown("no read-only look can tell whether this statement took effect".to_owned()))
        }
    }
}

async fn exists(connection: &mut PgConnection, sql: &str) -> Result<bool, DriverError> {
    let rows = wire::rows(connection, format!("SELECT ({sql})::text")).await?;
    Ok(rows.first().map(|r| wire::text(r, 0)).transpose()?.as_deref() == Some("true"))
}

async fn create_index(connection: &mut PgConnection, own_pid: i64, index: &CreateIndex) -> Result<Probe, DriverError> {
    let table = literal(&index.table);
    let sql = format!(
        "SELECT c.oid::text, c.relkind::text, coalesce(i.indisvalid::text, ''), coalesce(i.indrelid = to_regclass({table}), false)::text, \
         coalesce({DEFINITION}, ''), \
         (SELECT p.pid::text FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = c.oid AND p.pid <> {own_pid} LIMIT 1), \
         (SELECT nspname::text FROM pg_catalog.pg_namespace n WHERE n.oid = c.relnamespace) \
         FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam \
         WHERE c.relname = {}::pg_catalog.name AND c.relnamespace = (SELECT t.relnamespace FROM pg_catalog.pg_class t WHERE t.oid = to_regclass({table}))",
        literal(&index.name)
    );
    let rows = wire::rows(connection, sql).await?;
    let Some(row) = rows.first() else { return Ok(Probe::NotStarted) };
    let (kind, valid, same_table, there) =
        (wire::text(row, 1)?, wire::text(row, 2)?, wire::text(row, 3)?, wire::text(row, 4)?);
    let builder: Option<String> = row.try_get(5).map_err(|e| wire::unreadable(&e))?;
    let schema = wire::text(row, 6)?;
    if kind != "i" {
        return Ok(Probe::Different(format!("`{}` is there, but it is no index", index.name)));
    }
    if same_table != "true" {
        return Ok(Probe::Different(format!("an index `{}` is there, on another table", index.name)));
    }
    if let Some(pid) = builder {
        return Ok(Probe::InProgress(format!("process {pid} builds `{}` at this moment", index.name)));
    }
    if valid != "true" {
        return Ok(Probe::Broken {
            found: format!("index `{}` is INVALID: a build of it was cut short", index.name),
            repair: vec![format!(
                "DROP INDEX CONCURRENTLY IF EXISTS {}.{}",
                identifier(&schema),
                identifier(&index.name)
            )],
            completes: false,
        });
    }
    match wanted_definition(connection, index).await? {
        Ok(wanted) if wanted == there => Ok(Probe::Done),
        Ok(_) => Ok(Probe::Different(format!("a valid index `{}` is there with another definition", index.name))),
        Err(why) => Ok(Probe::Unknown(format!(
            "a valid index `{}` is there, but its definition could not be compared: {why}",
            index.name
        ))),
    }
}

/// The definition as the server writes it today: of the same index on an empty copy of the table, taken back at once.
async fn wanted_definition(
    connection: &mut PgConnection,
    index: &CreateIndex,
) -> Result<Result<String, String>, DriverError> {
    let make = format!(
        "BEGIN;CREATE TEMPORARY TABLE godwit_probe (LIKE {});{};",
        index.table,
        index.on("godwit_probe_index", "pg_temp.godwit_probe")
    );
    let made = wire::execute(connection, make).await;
    let read = match made {
        Ok(()) => {
            wire::rows(
                connection,
                format!("SELECT {DEFINITION} {FROM_INDEX} WHERE c.oid = 'pg_temp.godwit_probe_index'::regclass"),
            )
            .await
        }
        Err(error) => Err(error),
    };
    let ended = wire::execute(connection, "ROLLBACK".to_owned()).await;
    match read {
        Ok(rows) => {
            ended?;
            Ok(rows.first().map(|r| wire::text(r, 0)).transpose()?.ok_or_else(|| "nothing was made".to_owned()))
        }
        Err(DriverError::Statement(failure)) => Ok(Err(failure.message)),
        Err(other) => Err(other),
    }
}

async fn detach(connection: &mut PgConnection, parent: &str, child: &str) -> Result<Probe, DriverError> {
    let sql = format!(
        "SELECT (to_regclass({c}) IS NOT NULL)::text, coalesce((SELECT coalesce(row_to_json(i)->>'inhdetachpending', 'false') \
         FROM pg_catalog.pg_inherits i WHERE i.inhparent = to_regclass({p}) AND i.inhrelid = to_regclass({c})), 'apart')",
        p = literal(parent),
        c = literal(child)
    );
    let rows = wire::rows(connection, sql).await?;
    let Some(row) = rows.first() else { return Ok(Probe::Unknown("the server says nothing".to_owned())) };
    Ok(match (wire::text(row, 0)?.as_str(), wire::text(row, 1)?.as_str()) {
        ("true", "apart") => Probe::Done,
        ("true", "true") => Probe::Broken {
            found: format!("`{child}` is half detached"),
            repair: vec![format!("ALTER TABLE {parent} DETACH PARTITION {child} FINALIZE")],
            completes: true,
        },
        ("true", _) => Probe::NotStarted,
        _ => Probe::Unknown(format!("the table `{child}` does not exist")),
    })
}

/// Leftovers of a cut-short REINDEX CONCURRENTLY; the reindex itself is simply done again.
async fn reindex(connection: &mut PgConnection, name: &str) -> Result<Probe, DriverError> {
    let of = literal(name);
    let sql = format!(
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$' AND i.indrelid = coalesce( \
         (SELECT x.indrelid FROM pg_catalog.pg_index x WHERE x.indexrelid = to_regclass({of})), to_regclass({of})::oid)"
    );
    let rows = wire::rows(connection, sql).await?;
    let names: Vec<String> = rows.iter().map(|r| wire::text(r, 0)).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Ok(Probe::NotStarted);
    }
    Ok(Probe::Broken {
        found: format!("an earlier reindex left {} behind", names.join(", ")),
        repair: names.iter().map(|n| format!("DROP INDEX CONCURRENTLY IF EXISTS {n}")).collect(),
        completes: false,
    })
}
