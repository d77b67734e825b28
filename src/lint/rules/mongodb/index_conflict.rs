//! An index that cannot be made as it is written: of a name that is taken, or without keys that an index can have.

use super::prelude::*;
use crate::lint::operations::definition;
use crate::migration::operations::mongodb::index_name;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "index-conflict",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "An index of that name is made otherwise already",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Migrations(&[
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"i"}}"#,
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"i"}}"#,
        ]),
        Example::Migrations(&[
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"i"}}"#,
            r#"{"type":"drop_index","collection":"c","name":"i"}"#,
            r#"{"type":"create_index","collection":"c","index":[["b",1]],"options":{"name":"i"}}"#,
        ]),
        Example::Migrations(&[
            r#"{"type":"create_index","collection":"c","index":[["a",1]]}"#,
            r#"{"type":"drop_index","collection":"c","name":"a_1"}"#,
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"i"}}"#,
        ]),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a","2dsphere"],["b",-1]]}"#),
    ],
    bad: &[
        Example::Migrations(&[
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"i"}}"#,
            r#"{"type":"create_index","collection":"c","index":[["b",1]],"options":{"name":"i"}}"#,
        ]),
        Example::Migrations(&[
            r#"{"type":"create_index","collection":"c","index":[["a",1]]}"#,
            r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"name":"i"}}"#,
        ]),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a","up"]]}"#),
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[]}"#),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let Operation::CreateIndex { collection, index, options } = operation else { return };
    for (field, direction) in index {
        let known = match direction {
            Value::Number(n) => n.as_f64().is_some_and(|n| n != 0.0),
            Value::String(s) => matches!(s.as_str(), "text" | "2d" | "2dsphere" | "hashed"),
            _ => false,
        };
        if !known {
            told.add(
                format!("`{direction}` is no direction for `{field}`"),
                "1, -1, \"text\", \"2d\", \"2dsphere\" or \"hashed\"",
            );
        }
    }
    if index.is_empty() {
        told.add("an index needs at least one field", "`\"index\": [[\"email\", 1]]`");
    }
    let name = index_name(index, options);
    if let Some(other) = look.unit.same_index(collection, &name, &definition(index, options)) {
        told.add(
            format!("MongoDB refuses it: the index `{other}` of `{collection}` has the same keys and options"),
            "leave it out, or drop the other one first",
        );
    }
    if look.unit.index(collection, &name).is_some_and(|before| *before != definition(index, options)) {
        told.add(
            format!("the index `{name}` of `{collection}` is made with other keys or options already"),
            "drop it first, or give this one another `name`",
        );
    }
}
