//! What each rule for PostgreSQL claims that its statement does to tables that are there and hold rows. The claims are
//! tried on a real server, example by example (`tests/it/lint/measured.rs`), and the risk by facts reckons with them.

use std::fmt;

/// Locks on a table, weakest first, as far as statements of migrations take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    /// Of `SELECT`.
    AccessShare,
    /// Of `SELECT … FOR UPDATE`.
    RowShare,
    /// Of `INSERT`, `UPDATE`, `DELETE`.
    RowExclusive,
    /// Beside reads and writes.
    ShareUpdateExclusive,
    /// Keeps writes out.
    Share,
    /// Keeps writes out, and another of its kind.
    ShareRowExclusive,
    /// Keeps everything but reads out.
    Exclusive,
    /// Keeps everything out.
    AccessExclusive,
}

impl Lock {
    /// By the name that `pg_locks` gives it.
    pub fn of_mode(mode: &str) -> Option<Self> {
        Some(match mode {
            "AccessShareLock" => Lock::AccessShare,
            "RowShareLock" => Lock::RowShare,
            "RowExclusiveLock" => Lock::RowExclusive,
            "ShareUpdateExclusiveLock" => Lock::ShareUpdateExclusive,
            "ShareLock" => Lock::Share,
            "ShareRowExclusiveLock" => Lock::ShareRowExclusive,
            "ExclusiveLock" => Lock::Exclusive,
            "AccessExclusiveLock" => Lock::AccessExclusive,
            _ => return None,
        })
    }

    /// In SQL's words.
    pub fn as_str(self) -> &'static str {
        match self {
            Lock::AccessShare => "ACCESS SHARE",
            Lock::RowShare => "ROW SHARE",
            Lock::RowExclusive => "ROW EXCLUSIVE",
            Lock::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Lock::Share => "SHARE",
            Lock::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Lock::Exclusive => "EXCLUSIVE",
            Lock::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a statement does to a table that is there and holds rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Writes the table anew under an `ACCESS EXCLUSIVE` lock.
    Rewrites,
    /// Reads or changes every row while it holds a lock at least as strong.
    Scans(Lock),
    /// Builds an index from every row while it holds a lock at least as strong.
    Builds(Lock),
    /// Takes a lock at least as strong, for a moment if nobody is in the way.
    Locks(Lock),
    /// Keeps several tables locked against everyone at once.
    LocksSeveral,
    /// Changes many rows, which stay locked until it commits.
    ChangesRows,
    /// Adds many rows, in one transaction.
    AddsRows,
    /// Fails on rows that an empty table does not have.
    FailsOnRows,
    /// Fails on any table.
    Fails,
    /// Takes rows, values or objects away.
    Loses,
    /// Fails for a role without rights over the server, and does something beyond the database for one that has them.
    NeedsRights,
    /// What running programs, or the rules of the database, rely on is not there any more.
    Breaks,
    /// Nothing that shows on a table: rights, names, what happens later.
    Unmeasured,
}

impl Effect {
    /// A sentence for the rule's page; nothing where nothing is measured.
    pub fn sentence(self) -> Option<String> {
        Some(match self {
            Effect::Rewrites => "the table's file is written anew under an `ACCESS EXCLUSIVE` lock".to_owned(),
            Effect::Scans(lock) => format!("every row is read under a lock of at least `{lock}`"),
            Effect::Builds(lock) => format!("an index is built from every row under a lock of at least `{lock}`"),
            Effect::Locks(lock) => format!("a lock of at least `{lock}`, without reading the rows"),
            Effect::LocksSeveral => "`ACCESS EXCLUSIVE` locks on several tables at once".to_owned(),
            Effect::ChangesRows => "many rows are changed in one transaction".to_owned(),
            Effect::AddsRows => "many rows are added in one transaction".to_owned(),
            Effect::FailsOnRows => "an error on a table with rows, none on an empty one".to_owned(),
            Effect::Fails => "an error on any table".to_owned(),
            Effect::Loses => "rows, values or objects are gone".to_owned(),
            Effect::NeedsRights => {
                "an error for a role without rights over the server, and done by one that has them".to_owned()
            }
            Effect::Breaks => "something that was defined before is not there any more, or not as it was".to_owned(),
            Effect::Unmeasured => return None,
        })
    }
}

/// What the rule of that id claims.
pub fn effect_of(rule: &str) -> Effect {
    use Lock::{AccessExclusive, Share, ShareRowExclusive, ShareUpdateExclusive};
    match rule {
        "adding-field-with-default"
        | "add-serial-column"
        | "changing-column-type"
        | "cluster-table"
        | "prefer-repack"
        | "refresh-materialized-view"
        | "set-access-method"
        | "set-tablespace"
        | "set-unlogged"
        | "vacuum-full" => Effect::Rewrites,

        "add-column-with-check"
        | "adding-not-nullable-field"
        | "attach-partition"
        | "ddl-with-backfill"
        | "partition-beside-default"
        | "primary-key-using-index" => Effect::Scans(AccessExclusive),
        "adding-foreign-key-constraint" | "constraint-missing-not-valid" | "validate-in-same-transaction" => {
            Effect::Scans(ShareRowExclusive)
        }
        "ban-alter-domain-with-add-constraint" => Effect::Scans(Share),
        "adding-serial-primary-key-field" | "disallowed-unique-constraint" => Effect::Builds(AccessExclusive),
        "require-concurrent-index-creation" | "require-concurrent-reindex" => Effect::Builds(Share),

        "lock-table" | "require-concurrent-index-deletion" | "require-concurrent-partition-detach" => {
            Effect::Locks(AccessExclusive)
        }
        "create-trigger" => Effect::Locks(ShareRowExclusive),
        "disable-autovacuum" => Effect::Locks(ShareUpdateExclusive),
        "several-tables-locked" => Effect::LocksSeveral,
        "unbatched-change" => Effect::ChangesRows,
        "unbatched-copy" => Effect::AddsRows,

        "adding-required-field" | "unique-index-concurrently" => Effect::FailsOnRows,
        "ban-duplicate-column-assignments"
        | "enum-value-used"
        | "existing-object"
        | "missing-object"
        | "mixed-transaction"
        | "newer-than-server"
        | "object-in-use"
        | "postgresql-refuses"
        | "psql-command"
        | "syntax-error"
        | "unfilled-template" => Effect::Fails,

        "ban-drop-column"
        | "ban-drop-schema"
        | "ban-drop-sequence"
        | "ban-drop-table"
        | "ban-truncate-cascade"
        | "delete-without-where"
        | "drop-cascade"
        | "drop-owned"
        | "truncate-table"
        | "update-without-where"
        | "where-always-true" => Effect::Loses,

        "alter-system" | "copy-program" | "create-extension" => Effect::NeedsRights,

        "ban-alter-identity"
        | "ban-alter-policy-condition"
        | "ban-alter-policy-roles"
        | "ban-alter-row-level-security"
        | "ban-alter-sequence-values"
        | "ban-disable-trigger"
        | "ban-drop-constraint"
        | "ban-drop-default"
        | "ban-drop-domain"
        | "ban-drop-function"
        | "ban-drop-generated-expression"
        | "ban-drop-not-null"
        | "ban-drop-policy"
        | "ban-drop-type"
        | "ban-drop-view"
        | "ban-replica-identity"
        | "ban-set-schema"
        | "change-owner"
        | "renaming-column"
        | "renaming-object"
        | "renaming-table"
        | "setval-constant" => Effect::Breaks,

        _ => Effect::Unmeasured,
    }
}
