//! Major breaks, minor adds, patch repairs [S4-41] [S4-42] [S4-43]; of SQL this is told in `versions`.

use super::prelude::*;
use crate::lint::operations::makes;
use crate::lint::versions;
use crate::migration::VersionStep;
use crate::migration::operations::{Operation, redis};

/// What the examples begin with.
const FIRST: &str = r#"{"version":"1.0.0","name":"m","description":"x","database_type":"mongodb","migration_type":"schema","rollback":[],"operations":[{"type":"create_collection","collection":"c"}]}"#;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "version-content",
        category: Category::Structure,
        severity: Some(Severity::Error),
        risk: Risk::Low,
        applies: Applies::Files,
        title: "The version does not say what the migration does",
    },
    check: Check::Migration(check),
    ok: &[
        Example::Files(&[
            FIRST,
            r#"{"version":"2.0.0","name":"m","description":"BREAKING: c goes","database_type":"mongodb","migration_type":"schema","rollback":[],"operations":[{"type":"drop_collection","collection":"c"}]}"#,
        ]),
        Example::Files(&[
            FIRST,
            r#"{"version":"1.1.0","name":"m","description":"d","database_type":"mongodb","migration_type":"schema","rollback":[],"operations":[{"type":"create_collection","collection":"d"}]}"#,
        ]),
        Example::Files(&[
            FIRST,
            r#"{"version":"1.0.1","name":"m","description":"d","database_type":"mongodb","migration_type":"schema","rollback":[],"operations":[{"type":"create_index","collection":"c","index":[["a",1]]}]}"#,
        ]),
    ],
    bad: &[
        Example::Files(&[
            FIRST,
            r#"{"version":"1.1.0","name":"m","description":"d","database_type":"mongodb","migration_type":"schema","rollback":[],"operations":[{"type":"drop_collection","collection":"c"}]}"#,
        ]),
        Example::Files(&[
            FIRST,
            r#"{"version":"2.0.0","name":"m","description":"d","database_type":"mongodb","migration_type":"schema","rollback":[],"operations":[{"type":"drop_collection","collection":"c"}]}"#,
        ]),
        Example::Files(&[
            FIRST,
            r#"{"version":"1.0.1","name":"m","description":"d","database_type":"mongodb","migration_type":"schema","rollback":[],"operations":[{"type":"create_collection","collection":"d"}]}"#,
        ]),
    ],
};

fn check(_: &Look<'_>, migration: &Migration, listed: &[Located], told: &mut Told<'_>) {
    let Some(step) = migration.step else { return };
    let version = &migration.version;
    if step == VersionStep::Major {
        if !versions::notes_breaking(migration) {
            let (message, help) = versions::unnoted(version);
            told.add_at(listed.first().map_or(0..0, |l| l.range.clone()), message, help);
        }
    } else if let Some(breaking) = listed.iter().find(|l| breaks(&l.operation)) {
        let (message, help) = versions::breaking(breaking.operation.name(), version);
        told.add_at(breaking.range.clone(), message, help);
    } else if step == VersionStep::Patch
        && let Some(adds) =
            listed.iter().find(|l| !makes(&l.operation).is_empty() && l.operation.name() != "create_index")
    {
        let (message, help) = versions::adding(adds.operation.name(), version);
        told.add_at(adds.range.clone(), message, help);
    }
}

/// Whether what runs may miss something afterwards.
fn breaks(operation: &Operation) -> bool {
    if let Operation::Redis(redis::Operation::Script { lua, .. }) = operation {
        return versions::takes_keys(lua);
    }
    matches!(
        operation.name(),
        "remove_field"
            | "rename_field"
            | "drop_collection"
            | "rename_collection"
            | "delete_index"
            | "delete_keys"
            | "rename_keys"
    )
}
