//! The store's own schema, in order; applied by sqlx when the store is opened.

use std::borrow::Cow;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Version, name and text of every change. A file that was released is never edited; a new one is added.
const FILES: &[(i64, &str, &str)] = &[
    (1, "queue", include_str!("schema/0001_queue.sql")),
    (2, "runs", include_str!("schema/0002_runs.sql")),
    (3, "approvals", include_str!("schema/0003_approvals.sql")),
    (4, "environments", include_str!("schema/0004_environments.sql")),
    (5, "audit", include_str!("schema/0005_audit.sql")),
    (6, "audit guard", include_str!("schema/0006_audit_guard.sqlite.sql")),
    (7, "verdicts", include_str!("schema/0007_verdicts.sql")),
    (8, "schemas", include_str!("schema/0008_schemas.sql")),
    (9, "releases", include_str!("schema/0009_releases.sql")),
    (10, "collisions", include_str!("schema/0010_collisions.sql")),
    (11, "entered", include_str!("schema/0011_entered.sql")),
];

/// The migrator over [`FILES`].
pub(super) fn migrator() -> Migrator {
    let migrations = FILES
        .iter()
        .map(|(version, name, sql)| {
            Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    Migrator::with_migrations(migrations)
}
