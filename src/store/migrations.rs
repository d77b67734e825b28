//! The store's own schema, in order; applied by sqlx when the store is opened.

use std::borrow::Cow;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::StoreKind;

/// Version, name and text of every change. A file that was released is never edited; a new one is added. Where the
/// databases need different words, there is a text for each.
const FILES: &[(i64, &str, Text)] = &[
    (1, "queue", Text::Both(include_str!("schema/0001_queue.sql"))),
    (2, "runs", Text::Both(include_str!("schema/0002_runs.sql"))),
    (3, "approvals", Text::Both(include_str!("schema/0003_approvals.sql"))),
    (4, "environments", Text::Both(include_str!("schema/0004_environments.sql"))),
    (5, "audit", Text::Both(include_str!("schema/0005_audit.sql"))),
    (
        6,
        "audit guard",
        Text::Each {
            sqlite: include_str!("schema/0006_audit_guard.sqlite.sql"),
            postgres: include_str!("schema/0006_audit_guard.postgres.sql"),
        },
    ),
    (7, "verdicts", Text::Both(include_str!("schema/0007_verdicts.sql"))),
    (8, "schemas", Text::Both(include_str!("schema/0008_schemas.sql"))),
    (9, "releases", Text::Both(include_str!("schema/0009_releases.sql"))),
    (10, "replicas", Text::Both(include_str!("schema/0010_replicas.sql"))),
    (11, "turns", Text::Both(include_str!("schema/0011_turns.sql"))),
    (12, "github", Text::Both(include_str!("schema/0012_github.sql"))),
    (13, "collisions", Text::Both(include_str!("schema/0013_collisions.sql"))),
    (14, "entered", Text::Both(include_str!("schema/0014_entered.sql"))),
    (15, "legs", Text::Both(include_str!("schema/0015_legs.sql"))),
    (16, "facts", Text::Both(include_str!("schema/0016_facts.sql"))),
    (17, "waiting", Text::Both(include_str!("schema/0017_waiting.sql"))),
    (18, "commands", Text::Both(include_str!("schema/0018_commands.sql"))),
    (19, "heads", Text::Both(include_str!("schema/0019_heads.sql"))),
    (20, "goals", Text::Both(include_str!("schema/0020_goals.sql"))),
    (21, "terms", Text::Both(include_str!("schema/0021_terms.sql"))),
    (22, "proofs", Text::Both(include_str!("schema/0022_proofs.sql"))),
    (23, "reasons", Text::Both(include_str!("schema/0023_reasons.sql"))),
    (24, "databases", Text::Both(include_str!("schema/0024_databases.sql"))),
];

/// A change in the words of the databases.
enum Text {
    /// The same for both.
    Both(&'static str),
    /// One for each.
    Each { sqlite: &'static str, postgres: &'static str },
}

impl Text {
    fn of(&self, kind: StoreKind) -> &'static str {
        match (self, kind) {
            (Text::Both(sql), _) | (Text::Each { sqlite: sql, .. }, StoreKind::Sqlite) => sql,
            (Text::Each { postgres, .. }, StoreKind::Postgres) => postgres,
        }
    }
}

/// The tables of the schema, a table behind those that it refers to.
#[cfg(feature = "bot")]
pub(super) fn tables() -> Vec<&'static str> {
    let lines = || FILES.iter().flat_map(|(_, _, text)| text.of(StoreKind::Sqlite).lines());
    let named = |line: &'static str, verb: &str| line.strip_prefix(verb)?.split([' ', '(', ';']).next();
    let dropped: Vec<&str> = lines().filter_map(|line| named(line, "DROP TABLE ")).collect();
    lines().filter_map(|line| named(line, "CREATE TABLE ")).filter(|table| !dropped.contains(table)).collect()
}

/// The migrator over [`FILES`].
pub(super) fn migrator(kind: StoreKind) -> Migrator {
    let migrations = FILES
        .iter()
        .map(|(version, name, text)| {
            let sql = text.of(kind).into_sql_str();
            Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, sql, false)
        })
        .collect();
    Migrator::with_migrations(migrations)
}
