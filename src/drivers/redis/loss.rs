//! What a rollback would delete: keys that are there.

use redis::Cmd;

use super::link::{Link, Node, To};
use super::names::{PREFIX, slot_of};
use super::statement;
use crate::drivers::DriverError;
use crate::migration::operations::redis::{Keys, Matching};
use crate::plan::{MigrationPlan, Objection, ObjectionKind, StepAction};

/// What is said against rollbacks that delete keys which are there.
pub(super) async fn look(link: &Link, nodes: &[Node], plan: &MigrationPlan) -> Result<Vec<Objection>, DriverError> {
    let mut found = Vec::new();
    for step in plan.steps.iter().filter(|step| step.action == StepAction::Rollback) {
        for planned in &step.statements {
            // What cannot be read is told beside this.
            let Ok(operation) = statement::read(&planned.sql) else { continue };
            if !operation.destroys() {
                continue;
            }
            let Some(key) = any(link, nodes, operation.keys()).await? else { continue };
            let key = String::from_utf8_lossy(&key).into_owned();
            found.push(Objection {
                kind: ObjectionKind::DataLoss,
                migration: Some(step.migration.clone()),
                file: Some(step.path.clone()),
                line: Some(planned.line),
                message: format!("`{}` deletes keys that are there, such as `{key}`", operation.describe()),
                what_to_do: "copy them elsewhere first, or accept the loss: `--accept-data-loss`".to_owned(),
            });
        }
    }
    Ok(found)
}

/// The first key that is there; a pattern is looked for until one is found.
async fn any(link: &Link, nodes: &[Node], keys: &Keys) -> Result<Option<Vec<u8>>, DriverError> {
    match keys {
        Keys::List(keys) => {
            for key in keys {
                let mut command = redis::cmd("EXISTS");
                command.arg(key);
                if link.ask::<bool>(&command, &To::Slot(slot_of(key.as_bytes()))).await? {
                    return Ok(Some(key.clone().into_bytes()));
                }
            }
        }
        Keys::Matching(matching) => {
            for node in nodes {
                let mut cursor = "0".to_owned();
                loop {
                    let (next, page): (String, Vec<Vec<u8>>) =
                        link.ask(&scan(&cursor, matching), &To::Node(node.clone())).await?;
                    if let Some(key) = page.into_iter().find(|key| !key.starts_with(PREFIX.as_bytes())) {
                        return Ok(Some(key));
                    }
                    if next == "0" {
                        break;
                    }
                    cursor = next;
                }
            }
        }
    }
    Ok(None)
}

/// One page of a walk.
pub(super) fn scan(cursor: &str, matching: &Matching) -> Cmd {
    let mut command = redis::cmd("SCAN");
    command.arg(cursor).arg("MATCH").arg(&matching.pattern).arg("COUNT").arg(matching.count.max(1));
    if let Some(kind) = &matching.key_type {
        command.arg("TYPE").arg(kind);
    }
    command
}
