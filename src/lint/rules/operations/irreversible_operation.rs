//! An operation without an inverse, in a migration without a rollback [S4-67].

use super::prelude::*;
use crate::migration::operations::Inverse;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "irreversible-operation",
        category: Category::Structure,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Operations,
        title: "An operation cannot be taken back, and no rollback is given",
    },
    check: Check::Migration(check),
    ok: &[
        Example::Files(&[
            r#"{"version":"1.0.0","name":"m","description":"x","database_type":"mongodb","migration_type":"data","operations":[
{"type":"add_field","collection":"c","field":"a","value":1,"batch_size":100}]}"#,
        ]),
        Example::Files(&[
            r#"{"version":"1.0.0","name":"m","description":"x","database_type":"mongodb","migration_type":"data","rollback":[],"operations":[
{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"a":2}}}]}"#,
        ]),
    ],
    bad: &[Example::Files(&[
        r#"{"version":"1.0.0","name":"m","description":"x","database_type":"mongodb","migration_type":"data","operations":[
{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"a":2}}}]}"#,
    ])],
};

fn check(_: &Look<'_>, migration: &Migration, listed: &[Located], told: &mut Told<'_>) {
    if migration.down.is_some() {
        return;
    }
    for located in listed {
        if let Inverse::None(why) = located.operation.inverse() {
            told.add_at(
                located.range.clone(),
                format!(
                    "`{}` cannot be taken back: {why}; and the migration has no rollback [S4-67]",
                    located.operation.name()
                ),
                "write what brings back as much as can be, as `rollback` or in a `_rollback` file beside it",
            );
        }
    }
}
