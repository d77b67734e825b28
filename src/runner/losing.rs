//! What a rollback would lose on a database that takes SQL: its script says what goes, the server how much is in there.

use super::target::Job;
use crate::drivers::{Driver, DriverError};
use crate::ids::Engine;
use crate::migration::native::Book;
use crate::plan::loss::{Question, questions};
use crate::plan::{MigrationPlan, Objection, StepAction};

/// SQLSTATEs of tables, columns and schemas that are not there.
const MISSING: [&str; 3] = ["42P01", "42703", "3F000"];

/// What is said against the rollbacks of a plan because of what they would lose.
pub(super) async fn objections<D: Driver>(
    driver: &mut D,
    job: &Job<'_>,
    book: &Book,
    plan: &MigrationPlan,
) -> Result<Vec<Objection>, DriverError> {
    let mut found = Vec::new();
    // What the run itself brought is full of what it brought: a column of its default, a table of its first rows.
    if !matches!(job.target.engine, Engine::Postgresql | Engine::Sqlite) || job.options.by_itself {
        return Ok(found);
    }
    for step in plan.steps.iter().filter(|step| step.action == StepAction::Rollback) {
        let migration = job.set.migrations.iter().find(|m| m.id == step.migration && m.unit == step.unit);
        let Some(script) = migration.and_then(|m| m.down.as_ref()) else { continue };
        for question in questions(step.engine, script, book.schema_of(&step.unit)) {
            let held = held(driver, &question).await?;
            found.extend(question.objection(step, &script.path, held));
        }
    }
    Ok(found)
}

/// How much is there; `None` where the server does not say.
async fn held<D: Driver>(driver: &mut D, question: &Question) -> Result<Option<u64>, DriverError> {
    // Nothing is lost of what is not there.
    let mut held = None;
    for query in &question.queries {
        match driver.answer(query).await {
            Ok(answer) => return Ok(answer.and_then(|number| number.parse().ok())),
            Err(DriverError::Statement(failure)) => {
                let missing = failure.code.as_deref().is_some_and(|code| MISSING.contains(&code))
                    || failure.message.contains("no such ");
                held = missing.then_some(0);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(held)
}
