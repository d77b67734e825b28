//! `run_command` with a command that destroys.

use super::prelude::*;

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
        Example::Operations(r#"{"type":"run_command","command":{"delete":"c","deletes":[{"q":{"a":1},"limit":0}]}}"#),
    ],
    bad: &[
        Example::Operations(r#"{"type":"run_command","command":{"dropDatabase":1}}"#),
        Example::Operations(r#"{"type":"run_command","command":{"drop":"c"}}"#),
        Example::Operations(
            r#"{"type":"run_command","command":{"renameCollection":"shop.c","to":"shop.d","dropTarget":true}}"#,
        ),
        Example::Operations(r#"{"type":"run_command","command":{"delete":"c","deletes":[{"q":{},"limit":0}]}}"#),
        Example::Operations(r#"{"type":"run_command","command":{"dropIndexes":"c","index":"*"}}"#),
    ],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::RunCommand { command } = operation else { return };
    let Some((name, on)) = command.iter().next() else { return };
    let on = on.as_str().unwrap_or_default();
    let every = |list: &str, filter: &str| {
        command.get(list).and_then(Value::as_array).is_some_and(|all| {
            all.iter().any(|one| one.get(filter).and_then(Value::as_object).is_some_and(Map::is_empty))
        })
    };
    let destroyed = match name.as_str() {
        "dropDatabase" => "the whole database is gone".to_owned(),
        "drop" => format!("every document of `{on}` is gone"),
        "renameCollection" if command.get("dropTarget") == Some(&Value::Bool(true)) => {
            "the collection of the new name is dropped without a word".to_owned()
        }
        "delete" if every("deletes", "q") => format!("an empty filter deletes every document of `{on}`"),
        "dropIndexes" if command.get("index").and_then(Value::as_str) == Some("*") => {
            format!("every index of `{on}` is dropped")
        }
        _ => return,
    };
    told.add(destroyed, "use the operation for it, which records what it takes away: `drop_collection`, `drop_index`");
}
