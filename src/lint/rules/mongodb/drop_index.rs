//! `drop_index` (N310).

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "drop-index",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Mongodb,
        title: "Drops an index queries may need",
    },
    check: Check::Mongodb(check),
    ok: &[Example::Operations(
        r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"hidden":true}}"#,
    )],
    bad: &[
        Example::Operations(r#"{"type":"drop_index","collection":"c","name":"a_1"}"#),
        Example::Operations(r#"{"type":"drop_index","collection":"c","name":"*"}"#),
        Example::Operations(r#"{"type":"drop_index","collection":"c","name":"_id_"}"#),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::DropIndex { collection, name } = operation else { return };
    if name == "*" {
        let message = format!("`*` is the name of no index; it would drop every index of `{collection}`");
        let found = told.add(message, "name one index; one operation each");
        (found.severity, found.risk) = (Some(Severity::Error), Some(Risk::High));
        return;
    }
    if name == "_id_" {
        let message = format!("MongoDB refuses it: `{collection}` cannot be without its index `_id_`");
        told.add(message, "take the operation out").severity = Some(Severity::Error);
        return;
    }
    let fresh = look.is_fresh(&format!("index {collection}/{name}"));
    let held = look.unit.index(collection, name).filter(|_| !fresh).and_then(held);
    let mut message = format!("queries that used `{name}` of `{collection}` read every document");
    if let Some(held) = held {
        message.push_str(&format!(", and {held}"));
    }
    let found = told.add(
        message,
        "hide the index first and watch what gets slower; it can be made again from the definition that is recorded",
    );
    if held.is_some() {
        found.risk = Some(Risk::High);
    }
}

/// What an index, with its keys and options, holds that nothing holds without it.
fn held(index: &Value) -> Option<&'static str> {
    let options = index.get(1)?;
    if options.get("unique") == Some(&Value::Bool(true)) {
        Some("nothing keeps the same value from being written twice")
    } else {
        options.get("expireAfterSeconds").map(|_| "documents that are too old stay")
    }
}
