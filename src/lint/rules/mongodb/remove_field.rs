//! `remove_field`, and `$unset` in an update (N304).

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "remove-field",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "Removes a field with its values",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(r#"{"type":"add_field","collection":"c","field":"a","value":1}"#),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"a":null}}}"#,
        ),
    ],
    bad: &[
        Example::Operations(r#"{"type":"remove_field","collection":"c","field":"a"}"#),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$unset":{"a":""}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":[{"$unset":["a"]}]}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":[{"$unset":"a"}]}"#,
        ),
    ],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    match operation {
        Operation::RemoveField { collection, field, .. } => removed(collection, field, told),
        Operation::UpdateDocuments { collection, update, .. } => {
            for (_, fields) in operators(update).filter(|(operator, _)| *operator == "$unset") {
                let names: Vec<&str> = match fields {
                    Value::Object(fields) => fields.keys().map(String::as_str).collect(),
                    Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                    Value::String(name) => vec![name],
                    _ => Vec::new(),
                };
                for field in names {
                    removed(collection, field, told);
                }
            }
        }
        _ => {}
    }
}

fn removed(collection: &str, field: &str, told: &mut Told<'_>) {
    told.add(
        format!("the values of `{field}` in `{collection}` are gone for good"),
        "release an application that does not read the field, take a backup, then remove it",
    );
}
