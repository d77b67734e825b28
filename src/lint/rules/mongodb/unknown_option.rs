//! Options that no server knows: a slip of the pen is refused only when the migration runs.

use super::prelude::*;
use crate::config::yaml::nearest;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "unknown-option",
        category: Category::Fails,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Mongodb,
        title: "An option that no server knows",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(r#"{"type":"create_collection","collection":"d","options":{"capped":true,"size":512}}"#),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"unique":true,"name":"i"}}"#,
        ),
    ],
    bad: &[
        Example::Operations(r#"{"type":"create_collection","collection":"d","options":{"cappd":true}}"#),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"uniqe":true}}"#),
    ],
};

/// Options of the `create` command.
const COLLECTION_OPTIONS: [&str; 17] = [
    "autoIndexId",
    "capped",
    "changeStreamPreAndPostImages",
    "clusteredIndex",
    "collation",
    "comment",
    "encryptedFields",
    "expireAfterSeconds",
    "indexOptionDefaults",
    "max",
    "pipeline",
    "size",
    "storageEngine",
    "timeseries",
    "validationAction",
    "validationLevel",
    "validator",
];

/// Options of an index.
const INDEX_OPTIONS: [&str; 22] = [
    "2dsphereIndexVersion",
    "background",
    "bits",
    "bucketSize",
    "collation",
    "columnstoreProjection",
    "default_language",
    "expireAfterSeconds",
    "hidden",
    "language_override",
    "max",
    "min",
    "name",
    "partialFilterExpression",
    "prepareUnique",
    "sparse",
    "storageEngine",
    "textIndexVersion",
    "unique",
    "v",
    "weights",
    "wildcardProjection",
];

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let (what, options, known): (_, _, &[&'static str]) = match operation {
        Operation::CreateCollection { options, .. } => ("a collection", options, &COLLECTION_OPTIONS),
        Operation::CreateIndex { options, .. } => ("an index", options, &INDEX_OPTIONS),
        _ => return,
    };
    for name in
        options.keys().filter(|name| !known.contains(&name.as_str()) && *name != "viewOn" && *name != "writeConcern")
    {
        let help = match nearest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "see the server's manual; what a newer server knows can be waived".to_owned(),
        };
        told.add(format!("`{name}` is no option of {what} that is known"), &help);
    }
}
