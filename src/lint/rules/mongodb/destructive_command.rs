//! `run_command` with a command that destroys.

use super::prelude::*;
use crate::migration::operations::mongodb::{Destroyed, destroyed_by};

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "destructive-command",
        category: Category::Destructive,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "A bare command that takes data or every index away",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(r#"{"type":"run_command","command":{"collMod":"c"}}"#),
        Example::Operations(
            r#"{"type":"run_command","command":{"findAndModify":"c","query":{"a":1},"update":{"$set":{"b":1}}}}"#,
        ),
    ],
    bad: &[
        Example::Operations(r#"{"type":"run_command","command":{"dropDatabase":1}}"#),
        Example::Operations(r#"{"type":"run_command","command":{"drop":"c"}}"#),
        Example::Operations(
            r#"{"type":"run_command","command":{"renameCollection":"shop.c","to":"shop.d","dropTarget":true}}"#,
        ),
        Example::Operations(r#"{"type":"run_command","command":{"delete":"c","deletes":[{"q":{},"limit":0}]}}"#),
        Example::Operations(r#"{"type":"run_command","command":{"delete":"c","deletes":[{"q":{"a":1},"limit":0}]}}"#),
        Example::Operations(r#"{"type":"run_command","command":{"findAndModify":"c","query":{"a":1},"remove":true}}"#),
        Example::Operations(
            r#"{"type":"run_command","command":{"bulkWrite":1,"ops":[{"delete":0,"filter":{"a":1}}],"nsInfo":[{"ns":"shop.c"}]}}"#,
        ),
        Example::Operations(r#"{"type":"run_command","command":{"dropIndexes":"c","index":"*"}}"#),
    ],
};

/// What helps where a filter says which documents go.
const MATCHING: &str = "count them first, and make sure that nobody needs them any more";

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::RunCommand { command } = operation else { return };
    let Some((name, on)) = command.iter().next() else { return };
    let on = on.as_str().unwrap_or_default();
    let destroyed = match destroyed_by(command) {
        Some(Destroyed::Database) => "the whole database is gone".to_owned(),
        Some(Destroyed::Collection) => format!("every document of `{on}` is gone"),
        Some(Destroyed::TargetOfRename) => "the collection of the new name is dropped without a word".to_owned(),
        Some(Destroyed::EveryDocument) => format!("an empty filter deletes every document of `{on}`"),
        Some(Destroyed::Documents) => {
            let finding = told.add(format!("`{name}` deletes documents, and they are gone for good"), MATCHING);
            // As `delete_by_query` and a `DELETE` with a condition: it names what it takes.
            finding.severity = Some(Severity::Warning);
            return;
        }
        None if name == "dropIndexes" && command.get("index").and_then(Value::as_str) == Some("*") => {
            format!("every index of `{on}` is dropped")
        }
        None => return,
    };
    told.add(destroyed, "use the operation for it, which records what it takes away: `drop_collection`, `drop_index`");
}
