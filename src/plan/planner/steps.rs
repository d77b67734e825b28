//! One migration as a step: what is sent, in which recovery class, at which risk. Pure.

use super::{Detail, LONG_SCRIPT, Request, refusal};
use crate::ids::{Engine, Risk};
use crate::lint::effect::Lock;
use crate::lint::{changes_own, locks_of, own_tables_message};
use crate::migration::execution::{self, CannotExecute, Execution, Nature, Statement};
use crate::migration::{Migration, Script, backfill, operations};
use crate::plan::{PlannedStatement, RecoveryClass, Refusal, Step, StepAction, TakenLock};

pub(super) fn bare_step(request: &Request<'_>, migration: &Migration, action: StepAction, script: &Script) -> Step {
    Step {
        unit: migration.unit.clone(),
        migration: migration.id.clone(),
        version: migration.version.as_str().to_owned(),
        target: request.target.clone(),
        engine: request.engine,
        action,
        recovery: RecoveryClass::Atomic,
        recovery_reason: TOGETHER.to_owned(),
        probe: OWN_ROW.to_owned(),
        locks: None,
        in_transaction: true,
        statements: Vec::new(),
        path: script.path.clone(),
        checksum: migration.checksum.clone(),
        risk: (request.risk)(migration),
        reversible: migration.is_reversible(),
        backfill: None,
    }
}

pub(super) fn step(
    request: &Request<'_>,
    migration: &Migration,
    action: StepAction,
    script: &Script,
) -> Result<Step, Refusal> {
    let execution =
        script.execution(request.engine, migration.directives.no_transaction).map_err(|e| cannot(script, &e))?;
    let line = |n: u32| script.first_line + n - 1;
    if script.long.is_none()
        && let Some((at, name)) = changes_own(request.engine, &script.text)
    {
        return Err(refusal(
            "own-tables",
            format!("{}:{}: {}", script.path, line(at), own_tables_message(&name)),
            "take it out of the migration; `godwit resolve`, `godwit baseline` and `godwit reset` change what is recorded".to_owned(),
            false,
        ));
    }
    let mut step = bare_step(request, migration, action, script);
    match execution {
        Execution::Transaction { body, .. } => {
            if request.detail != Detail::Brief {
                step.statements = listed(request.engine, script, body)?;
            }
        }
        Execution::Statements(statements) => {
            step.in_transaction = false;
            if let Some(batched) = statements.iter().find(|s| s.nature == Nature::Batched) {
                step.backfill = migration.backfill_of(script);
                if step.backfill.is_none() {
                    return Err(refusal(
                        "invalid-set",
                        format!(
                            "{}:{}: nothing says how this statement goes in batches",
                            script.path,
                            line(batched.line)
                        ),
                        "write `-- godwit: backfill=TABLE key=COLUMN` above it, or take its marker out".to_owned(),
                        false,
                    ));
                }
            }
            step.statements = statements
                .iter()
                .map(|s| {
                    let nature = s.nature_on(request.transactions);
                    PlannedStatement {
                        sql: script.text[s.range.clone()].to_owned(),
                        line: line(s.line),
                        recovery: recovery_class(nature),
                        why: s.why.unwrap_or_else(|| why(nature)).to_owned(),
                    }
                })
                .collect();
            // `max_by_key` gives the last of equals; the first is the one a reader meets.
            if let Some(weakest) = step.statements.iter().rev().max_by_key(|s| weakness(s.recovery)) {
                step.recovery = weakest.recovery;
                step.recovery_reason.clone_from(&weakest.why);
            }
            let mut probes: Vec<&str> = Vec::new();
            for statement in &statements {
                let probe = probe(statement, statement.nature_on(request.transactions));
                if !probes.contains(&probe) {
                    probes.push(probe);
                }
            }
            step.probe = probes.join("; ");
        }
    }
    if request.detail == Detail::Plan && request.engine == Engine::Postgresql && script.long.is_none() {
        let taken = |(object, mode): (String, Lock)| TakenLock { object, mode: mode.to_string() };
        step.locks = locks_of(&script.text).map(|locks| locks.into_iter().map(taken).collect());
    }
    if action == StepAction::Apply && migration.directives.backfill.is_some() && step.backfill.is_none() {
        return Err(refusal(
            "invalid-set",
            format!("{}: no statement goes in the batches that the file asks for", script.path),
            format!("put `{} true` into the WHERE of the one that should, or take `backfill=` out", backfill::MARKER),
            false,
        ));
    }
    Ok(step)
}

/// The statements of a transaction, as they are sent.
fn listed(engine: Engine, script: &Script, body: std::ops::Range<usize>) -> Result<Vec<PlannedStatement>, Refusal> {
    let summary = |statements: usize, bytes: usize, line: u32| PlannedStatement {
        sql: format!("-- {statements} statements, {bytes} bytes: see {}", script.path),
        line,
        recovery: RecoveryClass::Atomic,
        why: TOGETHER.to_owned(),
    };
    if let Some(long) = &script.long {
        return Ok(vec![summary(long.statements, body.len(), script.first_line)]);
    }
    let text = &script.text[body.clone()];
    let before = script.text[..body.start].matches('\n').count();
    let found = execution::statements(engine, text).map_err(|e| cannot(script, &e))?;
    let line = |n: u32| script.first_line + n - 1 + u32::try_from(before).unwrap_or(0);
    if text.len() > LONG_SCRIPT {
        return Ok(vec![summary(found.len(), text.len(), line(1))]);
    }
    Ok(found
        .into_iter()
        .map(|s| PlannedStatement {
            sql: text[s.range].to_owned(),
            line: line(s.line),
            recovery: RecoveryClass::Atomic,
            why: TOGETHER.to_owned(),
        })
        .collect())
}

fn cannot(script: &Script, e: &CannotExecute) -> Refusal {
    refusal(e.rule, format!("{}:{}: {}", script.path, script.first_line + e.line - 1, e.message), e.help.clone(), false)
}

/// Why a script in one transaction is atomic.
const TOGETHER: &str = "commits together with its history row";

/// What tells after a crash whether such a script took effect.
const OWN_ROW: &str = "its row in the history, which commits with it";

/// What tells after a crash how far a statement came that runs on its own.
fn probe(statement: &Statement, nature: Nature) -> &'static str {
    if let Some(why) = statement.why {
        return why;
    }
    match nature {
        Nature::Transactional => "its mark in the history, which commits with it",
        Nature::Batched => "the checkpoint in the history, which commits with each batch",
        Nature::Session | Nature::Idempotent => "nothing: running it again converges",
        Nature::Unprovable => "nothing: `godwit resolve` settles it",
        Nature::Verifiable => match statement.outside_transaction {
            Some("CREATE INDEX CONCURRENTLY") => "`pg_index.indisvalid` and the index's definition",
            Some("DROP INDEX CONCURRENTLY") => "`pg_class`: whether the index is gone",
            Some("DETACH PARTITION CONCURRENTLY") => "`pg_inherits` and its `inhdetachpending`",
            Some("CREATE DATABASE" | "DROP DATABASE") => "`pg_database`",
            Some("CREATE TABLESPACE" | "DROP TABLESPACE") => "`pg_tablespace`",
            Some("CREATE SUBSCRIPTION" | "DROP SUBSCRIPTION") => "`pg_subscription`",
            Some(_) | None => why(nature),
        },
    }
}

/// Why a statement that runs on its own is of its class.
fn why(nature: Nature) -> &'static str {
    match nature {
        Nature::Transactional => "commits together with its mark in the history",
        Nature::Session => "changes the session only, and is said again when the run goes on",
        Nature::Verifiable => "a look at the catalogs tells whether it took effect",
        Nature::Batched => "each batch commits together with its checkpoint, from which the next run goes on",
        Nature::Idempotent => "running it again converges",
        Nature::Unprovable => "nothing tells whether it took effect",
    }
}

/// The class of a statement that runs on its own.
pub fn recovery_class(nature: Nature) -> RecoveryClass {
    match nature {
        Nature::Transactional => RecoveryClass::Atomic,
        Nature::Session | Nature::Batched | Nature::Idempotent => RecoveryClass::Idempotent,
        Nature::Verifiable => RecoveryClass::Verifiable,
        Nature::Unprovable => RecoveryClass::Manual,
    }
}

fn weakness(class: RecoveryClass) -> u8 {
    match class {
        RecoveryClass::Atomic => 0,
        RecoveryClass::Idempotent => 1,
        RecoveryClass::Verifiable => 2,
        RecoveryClass::Manual => 3,
    }
}

/// The risk of a migration where no linter is asked: its own word, what its operations are by themselves, and `HIGH` if
/// it destroys.
pub fn plain_risk(migration: &Migration) -> Risk {
    let declared = migration.declared_risk().unwrap_or(Risk::Low);
    if operations::are_operations(migration.engine) {
        let all = operations::read(migration.engine, &migration.up.text).unwrap_or_default();
        return all.iter().map(|o| o.operation.risk()).chain([declared]).max().unwrap_or(declared);
    }
    if migration.up.destroys(migration.engine) { Risk::High } else { declared }
}
