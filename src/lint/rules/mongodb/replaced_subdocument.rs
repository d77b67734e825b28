//! `$set` with an object: what else the field held is gone.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "replaced-subdocument",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Mongodb,
        title: "Puts a whole object in a field's place",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"at":{"$date":"2026-01-01T00:00:00Z"},"p.b":1}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":[{"$set":{"p":{"b":1}}}]}"#,
        ),
    ],
    bad: &[Example::Operations(
        r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"p":{"b":1}}}}"#,
    )],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::UpdateDocuments { update, .. } = operation else { return };
    // In a pipeline an object is merged into the one that stands there.
    let Some(operators) = update.as_object() else { return };
    for (_, fields) in operators.iter().filter(|(operator, _)| matches!(operator.as_str(), "$set" | "$addFields")) {
        for (field, value) in fields.as_object().into_iter().flatten() {
            if value.as_object().is_some_and(|o| !o.is_empty() && !o.keys().any(|k| k.starts_with('$'))) {
                told.add(
                    format!("`$set` puts a whole object in the place of `{field}`: whatever else it held is gone"),
                    "set its fields one by one: `{\"$set\": {\"profile.locale\": \"en\"}}`",
                );
            }
        }
    }
}
