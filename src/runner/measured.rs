//! What a rehearsal measures: on PostgreSQL the locks that a migration holds (at its end, or while its statements run outside
//! a transaction) and the rows that it changed, table by table; there and on SQLite how the statements are carried out. Other databases tell only how much a migration changed.

use std::collections::BTreeSet;
#[cfg(feature = "postgres")]
use std::convert::Infallible;

use super::{RunError, Target};
#[cfg(feature = "postgres")]
use crate::drivers::postgres::PostgresDriver;
use crate::ids::Engine;
use crate::migration::execution::{Execution, execution, statements};
use crate::migration::{Migration, checksum};
use crate::plan::SchemaSnapshot;
use crate::plan::rehearsal::{ChangedRows, HeldLock, ServerPlan, Until};

/// Where a migration notes what it holds and changed; it goes with the scratch database.
pub(super) const NOTES: &str = "godwit_rehearsal_notes";

/// Lets a script in one transaction on PostgreSQL tell its locks and rows just before it commits.
pub(super) fn note(migration: &mut Migration) {
    if migration.engine != Engine::Postgresql {
        return;
    }
    let execution = execution(migration.engine, &migration.up.text, migration.directives.no_transaction);
    let Ok(Execution::Transaction { body, .. }) = execution else { return };
    let id = migration.reference().replace('\'', "''");
    // On a line of its own, since the script may end in a comment.
    let note = format!(
        "\n;INSERT INTO {NOTES} (migration, relation, mode) SELECT DISTINCT '{id}', l.relation, replace(l.mode, 'Lock', '') \
         FROM pg_catalog.pg_locks l \
         WHERE l.pid = pg_catalog.pg_backend_pid() AND l.granted AND l.relation IS NOT NULL;\n\
         INSERT INTO {NOTES} (migration, relation, inserted, updated, deleted) \
         SELECT '{id}', s.relid, s.n_tup_ins, s.n_tup_upd, s.n_tup_del FROM pg_catalog.pg_stat_xact_user_tables s \
         WHERE s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0 AND s.relname <> '{NOTES}';\n"
    );
    migration.up.text.insert_str(body.end, &note);
    migration.checksum = checksum::checksum(&migration.up.text);
}

/// Makes the place for the notes.
pub(super) async fn prepare(target: &Target) -> Result<(), RunError> {
    let columns = "migration text, relation oid, mode text, inserted bigint, updated bigint, deleted bigint";
    ask(target, format!("CREATE TABLE public.{NOTES} ({columns})")).await.map(|_| ())
}

/// Makes the schema that a run makes when it is missing, as its session would.
pub(super) async fn make_schema(target: &Target, schema: &str) -> Result<(), RunError> {
    let name = schema.replace('"', "\"\"");
    ask(target, format!("CREATE SCHEMA IF NOT EXISTS \"{name}\"")).await.map(|_| ())
}

/// The locks on relations that were there before the migration; `seen`: what was to be seen while it ran.
pub(super) async fn locks(
    target: &Target,
    before: &SchemaSnapshot,
    migration: &Migration,
    seen: BTreeSet<HeldLock>,
) -> Result<Vec<HeldLock>, RunError> {
    let rows = ask(target, of_notes("k.mode", "k.mode IS NOT NULL", migration)).await?;
    let mut held: Vec<HeldLock> = held(rows, Until::End)
        .chain(seen)
        .filter(|l| before.objects.keys().any(|name| name.split_once(' ').is_some_and(|(_, n)| n == l.relation)))
        .collect();
    held.sort();
    held.dedup();
    Ok(held)
}

fn held(rows: Vec<Vec<String>>, until: Until) -> impl Iterator<Item = HeldLock> {
    rows.into_iter().filter_map(move |row| match <[String; 2]>::try_from(row) {
        Ok([relation, mode]) => Some(HeldLock { relation, mode, until }),
        Err(_) => None,
    })
}

/// Carries a migration out, and looks meanwhile from another connection which locks its statements hold: those that run
/// outside a transaction are in none that could tell it. What is there for less than a look may be missed.
#[cfg(feature = "postgres")]
pub(super) async fn watched<T>(
    target: &Target,
    migration: &Migration,
    run: impl Future<Output = T>,
) -> (T, BTreeSet<HeldLock>) {
    // Whoever only reads holds up nobody, and Godwit reads as well.
    const LOOK: &str = "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), replace(l.mode, 'Lock', '') \
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE a.datname = pg_catalog.current_database() AND a.backend_type = 'client backend' \
         AND l.granted AND l.mode <> 'AccessShareLock' AND n.nspname NOT LIKE 'pg\\_%' AND c.relname NOT LIKE 'godwit\\_%'";
    let execution = execution(migration.engine, &migration.up.text, migration.directives.no_transaction);
    let mut seen = BTreeSet::new();
    if target.engine != Engine::Postgresql || !matches!(execution, Ok(Execution::Statements(_))) {
        return (run.await, seen);
    }
    let look = async {
        if let Ok(mut driver) = PostgresDriver::connect(&target.url).await {
            while let Ok(rows) = driver.ask(LOOK.to_owned()).await {
                seen.extend(held(rows, Until::Statement));
            }
        }
        std::future::pending::<Infallible>().await
    };
    let ended = tokio::select! {
        ended = run => ended,
        never = look => match never {},
    };
    (ended, seen)
}

#[cfg(not(feature = "postgres"))]
pub(super) async fn watched<T>(_: &Target, _: &Migration, run: impl Future<Output = T>) -> (T, BTreeSet<HeldLock>) {
    (run.await, BTreeSet::new())
}

/// The rows that the migration changed, table by table; Godwit's own tables left out.
pub(super) async fn rows(target: &Target, migration: &Migration) -> Result<Vec<ChangedRows>, RunError> {
    let numbers = "k.inserted::text, k.updated::text, k.deleted::text";
    let rows = ask(target, of_notes(numbers, "k.mode IS NULL AND c.relname NOT LIKE 'godwit\\_%'", migration)).await?;
    let number = |text: &str| text.parse().unwrap_or(0);
    let mut changed: Vec<ChangedRows> = rows
        .into_iter()
        .filter_map(|row| match row.as_slice() {
            [relation, inserted, updated, deleted] => Some(ChangedRows {
                relation: relation.clone(),
                inserted: number(inserted),
                updated: number(updated),
                deleted: number(deleted),
            }),
            _ => None,
        })
        .collect();
    changed.sort_by(|a, b| a.relation.cmp(&b.relation));
    Ok(changed)
}

fn of_notes(columns: &str, which: &str, migration: &Migration) -> String {
    format!(
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), {columns} FROM public.{NOTES} k \
         JOIN pg_catalog.pg_class c ON c.oid = k.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE {which} AND k.migration = '{}'",
        migration.reference().replace('\'', "''")
    )
}

/// Adds the plans of those statements that the server can plan as things stand and that have none yet. Nothing is carried
/// out.
pub(super) async fn explain(
    target: &Target,
    migration: &Migration,
    plans: &mut Vec<ServerPlan>,
) -> Result<(), RunError> {
    if !matches!(target.engine, Engine::Postgresql | Engine::Sqlite) {
        return Ok(());
    }
    let text = &migration.up.text;
    for statement in statements(migration.engine, text).unwrap_or_default() {
        let sql = &text[statement.range.clone()];
        let line = migration.up.first_line + statement.line - 1;
        if sql.contains(NOTES) || plans.iter().any(|p| p.line == line) {
            continue;
        }
        // What has no plan is refused by the grammar; what is not there yet, by name.
        let Ok(plan) = plan_of(target, sql).await else { continue };
        if plan.is_empty() {
            continue;
        }
        let first = sql.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with("--")).unwrap_or_default();
        plans.push(ServerPlan { line, statement: first.to_owned(), plan });
    }
    plans.sort_by_key(|p| p.line);
    Ok(())
}

async fn plan_of(target: &Target, sql: &str) -> Result<Vec<String>, RunError> {
    #[cfg(feature = "sqlite")]
    if target.engine == Engine::Sqlite {
        use super::connect::unreachable;
        let mut driver = crate::drivers::sqlite::SqliteDriver::connect(&target.url).await.map_err(unreachable)?;
        return driver.plan(sql).await.map_err(unreachable);
    }
    let rows = ask(target, format!("EXPLAIN (COSTS) {sql}")).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next()).collect())
}

/// Asks the scratch database; another kind than PostgreSQL says nothing.
#[cfg(feature = "postgres")]
async fn ask(target: &Target, sql: String) -> Result<Vec<Vec<String>>, RunError> {
    use super::connect::unreachable;
    if target.engine != Engine::Postgresql {
        return Ok(Vec::new());
    }
    let mut driver = PostgresDriver::connect(&target.url).await.map_err(unreachable)?;
    driver.ask(sql).await.map_err(unreachable)
}

#[cfg(not(feature = "postgres"))]
async fn ask(_target: &Target, _sql: String) -> Result<Vec<Vec<String>>, RunError> {
    Ok(Vec::new())
}
