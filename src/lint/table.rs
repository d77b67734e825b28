//! The one table of all rules: what each is about, how bad it is, where it applies. Levels are DECISIONS 2: an error
//! is wrong on any table; what depends on the table is a warning with a risk.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use squawk_linter::Rule as Squawk;

use super::{Category, Severity};
use super::{rules, schema};
use crate::ids::{Engine, Risk};

/// What is known about a rule without looking at any file.
#[derive(Debug, Clone, Copy)]
pub struct RuleInfo {
    /// Kebab-case id.
    pub id: &'static str,
    /// Kind of harm.
    pub category: Category,
    /// Level unless `lint.yml` says otherwise; `None` = off until `lint.yml` names it.
    pub severity: Option<Severity>,
    /// What a finding adds to the migration's risk.
    pub risk: Risk,
    /// Where it applies.
    pub applies: Applies,
    /// One line for lists (SARIF's `shortDescription`).
    pub title: &'static str,
}

/// Where a rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// PostgreSQL only.
    Postgresql,
    /// SQLite only.
    Sqlite,
    /// Every SQL engine (DECISIONS 18).
    Sql,
    /// MongoDB only.
    Mongodb,
    /// Elasticsearch only.
    Elasticsearch,
    /// Redis only.
    Redis,
    /// Every engine whose migrations are operations.
    Operations,
    /// The files, whatever the engine.
    Files,
}

impl Applies {
    /// Whether the rule is asked for `engine`.
    pub fn to(self, engine: Engine) -> bool {
        match self {
            Pg => engine == Engine::Postgresql,
            Applies::Sqlite => engine == Engine::Sqlite,
            Sql => matches!(engine, Engine::Postgresql | Engine::Sqlite),
            Applies::Mongodb => engine == Engine::Mongodb,
            Applies::Elasticsearch => engine == Engine::Elasticsearch,
            Applies::Redis => engine == Engine::Redis,
            Applies::Operations => crate::migration::operations::are_operations(engine),
            Applies::Files => true,
        }
    }
}

impl RuleInfo {
    /// The rule's page, relative to the repository of Godwit.
    pub fn page(&self) -> String {
        format!("docs/rules/{}.md", self.id)
    }
}

use Applies::{Postgresql as Pg, Sql};
use Category::{Compatibility, Destructive, Fails, Lock, Security, Structure, Style};
use Risk::{High, Low, Medium};

const ERROR: Option<Severity> = Some(Severity::Error);
const WARN: Option<Severity> = Some(Severity::Warning);
const INFO: Option<Severity> = Some(Severity::Info);
/// Off until the policy names it.
const OFF: Option<Severity> = None;

pub(super) const fn rule(
    id: &'static str,
    category: Category,
    severity: Option<Severity>,
    risk: Risk,
    applies: Applies,
    title: &'static str,
) -> RuleInfo {
    RuleInfo { id, category, severity, risk, applies, title }
}

/// squawk's rules, graded. What is missing here is never run: `transaction-nesting`, `ban-uncommitted-transaction` and
/// `ban-concurrent-index-creation-in-transaction` are judged by how the engine would run the file
/// (`mixed-transaction`), `unused-ignore` is about squawk's own comments, `require-timeout-settings` is an alias.
pub(super) const SQUAWK: &[(Squawk, RuleInfo)] = &[
    // Locks, rewrites, scans
    (
        Squawk::RequireConcurrentIndexCreation,
        rule(
            "require-concurrent-index-creation",
            Lock,
            WARN,
            High,
            Pg,
            "Index built without CONCURRENTLY blocks writes",
        ),
    ),
    (
        Squawk::RequireConcurrentIndexDeletion,
        rule(
            "require-concurrent-index-deletion",
            Lock,
            WARN,
            Medium,
            Pg,
            "Index dropped without CONCURRENTLY blocks reads and writes",
        ),
    ),
    (
        Squawk::RequireConcurrentReindex,
        rule("require-concurrent-reindex", Lock, WARN, High, Pg, "REINDEX without CONCURRENTLY blocks writes"),
    ),
    (
        Squawk::RequireConcurrentPartitionDetach,
        rule(
            "require-concurrent-partition-detach",
            Lock,
            WARN,
            High,
            Pg,
            "Partition detached without CONCURRENTLY blocks the whole table",
        ),
    ),
    (
        Squawk::ConstraintMissingNotValid,
        rule("constraint-missing-not-valid", Lock, WARN, High, Pg, "Constraint checks every row while holding a lock"),
    ),
    (
        Squawk::AddingForeignKeyConstraint,
        rule("adding-foreign-key-constraint", Lock, WARN, Medium, Pg, "Foreign key locks both tables"),
    ),
    (
        Squawk::AddingFieldWithDefault,
        rule(
            "adding-field-with-default",
            Lock,
            WARN,
            High,
            Pg,
            "New column's default or generated value rewrites the table",
        ),
    ),
    (
        Squawk::AddingNotNullableField,
        rule("adding-not-nullable-field", Lock, WARN, High, Pg, "SET NOT NULL scans the table under an exclusive lock"),
    ),
    (
        Squawk::AddingSerialPrimaryKeyField,
        rule(
            "adding-serial-primary-key-field",
            Lock,
            WARN,
            High,
            Pg,
            "Primary key on an existing table builds its index under an exclusive lock",
        ),
    ),
    (
        Squawk::ChangingColumnType,
        rule(
            "changing-column-type",
            Lock,
            WARN,
            High,
            Pg,
            "Changing a column's type can rewrite the table and break readers",
        ),
    ),
    (
        Squawk::DisallowedUniqueConstraint,
        rule(
            "disallowed-unique-constraint",
            Lock,
            WARN,
            High,
            Pg,
            "Unique constraint builds its index under an exclusive lock",
        ),
    ),
    (
        Squawk::BanAlterDomainWithAddConstraint,
        rule(
            "ban-alter-domain-with-add-constraint",
            Lock,
            WARN,
            High,
            Pg,
            "Domain constraint checks every table that uses the domain",
        ),
    ),
    (
        Squawk::PreferRepack,
        rule("prefer-repack", Lock, WARN, High, Pg, "VACUUM FULL or CLUSTER where REPACK is available"),
    ),
    (
        Squawk::RequireLockTimeout,
        rule("require-lock-timeout", Lock, OFF, Low, Pg, "No lock_timeout is set in the file"),
    ),
    (
        Squawk::RequireStatementTimeout,
        rule("require-statement-timeout", Lock, OFF, Low, Pg, "No statement_timeout is set in the file"),
    ),
    // Fails
    (
        Squawk::AddingRequiredField,
        rule(
            "adding-required-field",
            Fails,
            WARN,
            High,
            Sql,
            "NOT NULL column without default fails on a table with rows",
        ),
    ),
    (
        Squawk::BanDuplicateColumnAssignments,
        rule("ban-duplicate-column-assignments", Fails, ERROR, Low, Sql, "One column assigned twice"),
    ),
    (Squawk::IdentifierTooLong, rule("identifier-too-long", Fails, WARN, Low, Pg, "Identifier is cut off at 63 bytes")),
    // Loses data
    (Squawk::BanDropDatabase, rule("ban-drop-database", Destructive, ERROR, High, Pg, "Drops a whole database")),
    (Squawk::BanDropSchema, rule("ban-drop-schema", Destructive, WARN, High, Pg, "Drops a schema")),
    (Squawk::BanDropTable, rule("ban-drop-table", Destructive, WARN, High, Sql, "Drops a table with its rows")),
    (Squawk::BanDropColumn, rule("ban-drop-column", Destructive, WARN, High, Sql, "Drops a column with its values")),
    (
        Squawk::BanDropSequence,
        rule("ban-drop-sequence", Destructive, WARN, High, Pg, "Drops a sequence with its position"),
    ),
    (
        Squawk::BanTruncateCascade,
        rule("ban-truncate-cascade", Destructive, ERROR, High, Pg, "Empties tables the statement does not name"),
    ),
    (
        Squawk::BanDropExtension,
        rule("ban-drop-extension", Destructive, WARN, High, Pg, "Drops an extension and what it provides"),
    ),
    // Breaks what runs
    (Squawk::BanDropType, rule("ban-drop-type", Compatibility, WARN, High, Pg, "Drops a type")),
    (Squawk::BanDropDomain, rule("ban-drop-domain", Compatibility, WARN, High, Pg, "Drops a domain")),
    (
        Squawk::BanDropConstraint,
        rule("ban-drop-constraint", Compatibility, WARN, Medium, Pg, "Drops a constraint others may rely on"),
    ),
    (
        Squawk::BanDropDefault,
        rule("ban-drop-default", Compatibility, WARN, Medium, Pg, "Drops a default running code may rely on"),
    ),
    (
        Squawk::BanDropNotNull,
        rule("ban-drop-not-null", Compatibility, INFO, Low, Pg, "NULLs may reach code that expects none"),
    ),
    (
        Squawk::BanDropGeneratedExpression,
        rule(
            "ban-drop-generated-expression",
            Compatibility,
            WARN,
            Medium,
            Pg,
            "Generated column becomes an ordinary one",
        ),
    ),
    (
        Squawk::BanAlterIdentity,
        rule("ban-alter-identity", Compatibility, WARN, Medium, Pg, "Changes how keys are generated"),
    ),
    (
        Squawk::BanDropView,
        rule("ban-drop-view", Compatibility, WARN, Medium, Sql, "Drops a view running code may read"),
    ),
    (
        Squawk::BanDropFunction,
        rule("ban-drop-function", Compatibility, WARN, Medium, Pg, "Drops a function running code may call"),
    ),
    (Squawk::BanDropTrigger, rule("ban-drop-trigger", Compatibility, OFF, Medium, Sql, "Drops a trigger")),
    (
        Squawk::RenamingColumn,
        rule("renaming-column", Compatibility, WARN, High, Sql, "Renames a column under the running application"),
    ),
    (
        Squawk::RenamingTable,
        rule("renaming-table", Compatibility, WARN, High, Sql, "Renames a table under the running application"),
    ),
    (
        Squawk::RenamingObject,
        rule("renaming-object", Compatibility, WARN, High, Pg, "Renames an object under the running application"),
    ),
    (Squawk::BanSetSchema, rule("ban-set-schema", Compatibility, WARN, High, Pg, "Moves an object to another schema")),
    (
        Squawk::BanAlterSequenceValues,
        rule("ban-alter-sequence-values", Compatibility, WARN, High, Pg, "Moves a sequence"),
    ),
    (
        Squawk::BanReplicaIdentity,
        rule("ban-replica-identity", Compatibility, WARN, High, Pg, "Changes what logical replication sends"),
    ),
    (
        Squawk::BanDetachInheritance,
        rule("ban-detach-inheritance", Compatibility, OFF, Medium, Pg, "Rows vanish from the parent table"),
    ),
    (
        Squawk::BanReplaceViewFunction,
        rule("ban-replace-view-function", Compatibility, OFF, Low, Pg, "Replaces a view or function in place"),
    ),
    (
        Squawk::BanAlterGeneratedExpression,
        rule(
            "ban-alter-generated-expression",
            Compatibility,
            OFF,
            High,
            Pg,
            "Rewrites the table with a new expression",
        ),
    ),
    (Squawk::BanDropIndex, rule("ban-drop-index", Compatibility, OFF, Medium, Pg, "Drops an index queries may need")),
    (Squawk::BanSetDefault, rule("ban-set-default", Compatibility, OFF, Low, Pg, "Changes a default")),
    (
        Squawk::BanNewWriteRestriction,
        rule("ban-new-write-restriction", Compatibility, OFF, Medium, Pg, "Writes that used to succeed may fail"),
    ),
    (
        Squawk::BanAddEnumValue,
        rule("ban-add-enum-value", Compatibility, OFF, Low, Pg, "Adds a value running code does not know"),
    ),
    (
        Squawk::BanAddCompositeAttribute,
        rule("ban-add-composite-attribute", Compatibility, OFF, Medium, Pg, "Changes a composite type's shape"),
    ),
    (Squawk::BanAddColumn, rule("ban-add-column", Compatibility, OFF, Low, Pg, "Adds a column to an existing table")),
    (Squawk::BanAlterExtension, rule("ban-alter-extension", Compatibility, OFF, Medium, Pg, "Changes an extension")),
    (
        Squawk::BanAlterViewOptions,
        rule("ban-alter-view-options", Compatibility, OFF, Low, Pg, "Changes a view's options"),
    ),
    (
        Squawk::BanAlterFunctionOptions,
        rule("ban-alter-function-options", Compatibility, OFF, Medium, Pg, "Changes a function's options"),
    ),
    (
        Squawk::BanAlterDatabaseOptions,
        rule("ban-alter-database-options", Compatibility, OFF, Medium, Pg, "Changes a database's settings"),
    ),
    // Rights
    (
        Squawk::BanDisableTrigger,
        rule("ban-disable-trigger", Security, WARN, High, Pg, "Switches checks or audit triggers off"),
    ),
    (Squawk::BanDropPolicy, rule("ban-drop-policy", Security, WARN, High, Pg, "Drops a row security policy")),
    (
        Squawk::BanAlterRowLevelSecurity,
        rule("ban-alter-row-level-security", Security, WARN, High, Pg, "Switches row level security on or off"),
    ),
    (
        Squawk::BanAlterPolicyCondition,
        rule("ban-alter-policy-condition", Security, WARN, High, Pg, "Changes who sees which rows"),
    ),
    (
        Squawk::BanAlterPolicyRoles,
        rule("ban-alter-policy-roles", Security, WARN, High, Pg, "Changes whom a row security policy binds"),
    ),
    (Squawk::BanCreatePolicy, rule("ban-create-policy", Security, OFF, Medium, Pg, "Adds a row security policy")),
    (Squawk::BanRevoke, rule("ban-revoke", Security, OFF, Medium, Pg, "Takes rights or ownership away")),
    (Squawk::BanAlterRoleOptions, rule("ban-alter-role-options", Security, OFF, Medium, Pg, "Changes a role")),
    (
        Squawk::BanAlterSystemOptions,
        rule("ban-alter-system-options", Security, OFF, High, Pg, "Changes the server's configuration"),
    ),
    // Taste
    (Squawk::PreferBigintOverInt, rule("prefer-bigint-over-int", Style, INFO, Low, Pg, "32-bit integers run out")),
    (
        Squawk::PreferBigintOverSmallint,
        rule("prefer-bigint-over-smallint", Style, INFO, Low, Pg, "16-bit integers run out"),
    ),
    (Squawk::PreferIdentity, rule("prefer-identity", Style, INFO, Low, Pg, "Identity columns instead of serial")),
    (
        Squawk::PreferTextField,
        rule("prefer-text-field", Style, INFO, Low, Pg, "text with a check instead of varchar(n)"),
    ),
    (Squawk::PreferTimestampTz, rule("prefer-timestamp-tz", Style, INFO, Low, Pg, "timestamptz instead of timestamp")),
    (Squawk::BanCharField, rule("ban-char-field", Style, INFO, Low, Pg, "char(n) pads with blanks")),
    (
        Squawk::BanCreateDomainWithConstraint,
        rule(
            "ban-create-domain-with-constraint",
            Style,
            INFO,
            Low,
            Pg,
            "A domain's constraint is hard to change later",
        ),
    ),
    (
        Squawk::RequireEnumValueOrdering,
        rule("require-enum-value-ordering", Style, OFF, Low, Pg, "New enum value without BEFORE or AFTER"),
    ),
    (Squawk::PreferRobustStmts, rule("prefer-robust-stmts", Style, OFF, Low, Pg, "Statement cannot be run twice")),
    (Squawk::RequireTableSchema, rule("require-table-schema", Style, OFF, Low, Pg, "Table named without its schema")),
];

/// A file's syntax.
pub(super) const SYNTAX_ERROR: RuleInfo = rule("syntax-error", Fails, ERROR, High, Sql, "The SQL does not parse");
/// SQLite refuses a statement on the schema that the migrations before it make.
pub(super) const SQLITE_REFUSES: RuleInfo = rule(
    "sqlite-refuses",
    Fails,
    ERROR,
    High,
    Applies::Sqlite,
    "SQLite refuses it on the schema that the migrations make",
);
/// The engine refuses to run the file as it stands.
pub(super) const MIXED_TRANSACTION: RuleInfo =
    rule("mixed-transaction", Fails, ERROR, High, Sql, "The file cannot run in one transaction, nor without one");
/// A step of which nobody can tell after a crash whether it was done.
pub(super) const UNPROVABLE_STEP: RuleInfo = rule(
    "unprovable-step",
    Structure,
    ERROR,
    High,
    Applies::Files,
    "After a crash nobody can tell whether it was done",
);
/// Words for psql, which no server understands.
pub(super) const PSQL_COMMAND: RuleInfo =
    rule("psql-command", Fails, ERROR, High, Pg, "A command of psql, or data for it, is no SQL");
/// A file with placeholders in it.
pub(super) const UNFILLED_TEMPLATE: RuleInfo =
    rule("unfilled-template", Fails, ERROR, High, Sql, "The file is a template that nobody filled in");
/// SQL of a database that is none of the engines.
pub(super) const FOREIGN_DIALECT: RuleInfo =
    rule("foreign-dialect", Fails, ERROR, High, Applies::Files, "SQL of a database that Godwit does not speak to");
/// Too large or too deep to be looked into.
pub(super) const NOT_ANALYSED: RuleInfo =
    rule("not-analysed", Structure, WARN, High, Applies::Files, "The file was not looked into");
/// A waiver for a rule that does not exist.
pub(super) const UNKNOWN_WAIVER: RuleInfo =
    rule("unknown-waiver", Structure, WARN, Low, Applies::Files, "A waiver names a rule that does not exist");
/// What takes away together with what adds.
pub(super) const CONTRACT_WITH_EXPAND: RuleInfo =
    rule("contract-with-expand", Structure, WARN, Medium, Applies::Files, "Expand and contract in one change");
/// What is no operation, or holds what the engine's driver cannot send.
pub(super) const INVALID_OPERATION: RuleInfo =
    rule("invalid-operation", Structure, ERROR, High, Applies::Files, "An operation cannot be read");
/// A waiver whose last day is over.
pub(super) const EXPIRED_WAIVER: RuleInfo =
    rule("expired-waiver", Structure, WARN, Low, Applies::Files, "A waiver's last day is over");
/// A waiver in a file that holds for ever (DECISIONS 23).
pub(super) const WAIVER_WITHOUT_EXPIRY: RuleInfo =
    rule("waiver-without-expiry", Structure, WARN, Low, Applies::Files, "A waiver names no last day");
/// A structure rule that is not in the table yet; keeps a finding from getting lost.
pub(super) const OTHER_STRUCTURE: RuleInfo =
    rule("structure", Structure, ERROR, Low, Applies::Files, "The files do not fit the layout");

/// Rules about files and about this linter itself. The structure rules' findings come from reading the layout
/// ([`crate::migration::Problem`]) and bring their own level; the one here is for lists.
const FILES: &[RuleInfo] = &[
    SYNTAX_ERROR,
    SQLITE_REFUSES,
    MIXED_TRANSACTION,
    UNPROVABLE_STEP,
    PSQL_COMMAND,
    UNFILLED_TEMPLATE,
    FOREIGN_DIALECT,
    NOT_ANALYSED,
    UNKNOWN_WAIVER,
    EXPIRED_WAIVER,
    WAIVER_WITHOUT_EXPIRY,
    OTHER_STRUCTURE,
    CONTRACT_WITH_EXPAND,
    rule("ambiguous-layout", Structure, ERROR, Low, Applies::Files, "A folder whose files speak for several layouts"),
    rule("undeclared-dependency", Structure, ERROR, Medium, Applies::Files, "A dependency that nobody wrote down"),
    rule("dependency-cycle", Structure, ERROR, Low, Applies::Files, "Migrations wait for each other in a circle"),
    rule("directory-named-sql", Structure, WARN, Low, Applies::Files, "A directory is named like a migration"),
    rule("duplicate-version", Structure, ERROR, High, Applies::Files, "Two migrations with one version"),
    rule("empty-down", Structure, WARN, Medium, Applies::Files, "The rollback script does nothing"),
    rule("empty-migration", Structure, WARN, Low, Applies::Files, "The script holds no statement"),
    rule("file-name", Structure, ERROR, Medium, Applies::Files, "The file name does not fit the layout"),
    rule("file-too-large", Structure, ERROR, Low, Applies::Files, "The file is too large to be read"),
    rule("invalid-directive", Structure, ERROR, Low, Applies::Files, "A mark in the file cannot be read"),
    rule("invalid-metadata", Structure, ERROR, Low, Applies::Files, "The metadata file cannot be read"),
    INVALID_OPERATION,
    rule("invalid-root", Structure, ERROR, Low, Applies::Files, "A configured folder is no path pattern"),
    rule("sealed-value", Structure, ERROR, Low, Applies::Files, "A sealed value would not be opened"),
    rule("foreign-schema", Structure, ERROR, High, Applies::Files, "A service changes what is not in its schema"),
    rule("incomplete-down", Structure, WARN, Low, Applies::Files, "The rollback does not undo all of it"),
    rule(
        "merged-file-changed",
        Structure,
        ERROR,
        High,
        Applies::Files,
        "A merged migration is edited, renamed or deleted",
    ),
    rule("empty-root", Structure, WARN, Low, Applies::Files, "A configured folder holds no migration"),
    rule("missing-root", Structure, ERROR, Low, Applies::Files, "A configured folder is not there"),
    rule("missing-docs", Structure, ERROR, Low, Applies::Files, "Nothing describes the migration"),
    rule("models-disagree", Structure, ERROR, Medium, Applies::Files, "Prisma's schema and the migrations disagree"),
    rule("odd-bytes", Structure, INFO, Low, Applies::Files, "A byte order mark, CRLF, or a very large file"),
    rule(
        "prisma-deploy-direct",
        Structure,
        WARN,
        Low,
        Applies::Files,
        "Prisma applies migrations to production by itself",
    ),
    rule("prisma-dev-command", Destructive, ERROR, High, Applies::Files, "A command for developers reaches production"),
    rule("risk-understated", Structure, WARN, Low, Applies::Files, "The file says a lower risk than it has"),
    rule("unqualified-name", Structure, WARN, Low, Applies::Files, "A service's object is named without its schema"),
    rule("numbering-gap", Structure, INFO, Low, Applies::Files, "A number between two migrations is left out"),
    rule("out-of-order", Structure, ERROR, High, Applies::Files, "A new migration below one that is merged"),
    rule("vague-name", Structure, WARN, Low, Applies::Files, "A name that does not say what the migration does"),
    rule("missing-down", Structure, WARN, Medium, Applies::Files, "Nothing undoes the migration"),
    rule("nul-byte", Structure, ERROR, Low, Applies::Files, "The file holds a NUL byte"),
    rule("not-utf8", Structure, ERROR, Low, Applies::Files, "The file is not UTF-8"),
    rule("orphan-down", Structure, ERROR, Medium, Applies::Files, "A rollback script without its migration"),
    rule("pair-half-missing", Structure, ERROR, Low, Applies::Files, "One file of a pair is missing"),
    rule(
        "pair-names-differ",
        Structure,
        WARN,
        Low,
        Applies::Files,
        "A migration and its rollback have different names",
    ),
    rule("stray-file", Structure, WARN, Low, Applies::Files, "A file that is no migration among migrations"),
    rule("symlink", Structure, ERROR, Low, Applies::Files, "A link instead of a file"),
    rule("uncovered-folder", Structure, INFO, Low, Applies::Files, "Migrations in a folder that no entry covers"),
    rule("unknown-dependency", Structure, ERROR, Low, Applies::Files, "Depends on a migration that does not exist"),
    rule("unreadable-file", Structure, ERROR, Low, Applies::Files, "The file cannot be read"),
    rule("unsupported-file", Structure, ERROR, Low, Applies::Files, "A migration that is not SQL"),
    rule("version-order", Structure, ERROR, High, Applies::Files, "Number and version tell different orders"),
    rule("unsupported-layout", Structure, ERROR, Low, Applies::Files, "A file of another layout than its folder's"),
];

/// Every rule by id.
pub fn all() -> &'static BTreeMap<&'static str, RuleInfo> {
    static ALL: OnceLock<BTreeMap<&'static str, RuleInfo>> = OnceLock::new();
    ALL.get_or_init(|| {
        let squawk = SQUAWK.iter().map(|(_, info)| *info);
        let own = rules::OWN.iter().map(|r| r.info);
        let operations = rules::about_operations().map(|r| r.info);
        squawk
            .chain(own)
            .chain(operations)
            .chain(schema::RULES.iter().map(|r| **r))
            .chain(FILES.iter().copied())
            .map(|info| (info.id, info))
            .collect()
    })
}

/// The rule of that id.
pub fn find(id: &str) -> Option<&'static RuleInfo> {
    all().get(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squawks_names_are_kept() {
        for (rule, info) in SQUAWK {
            assert_eq!(rule.to_string(), info.id);
        }
    }

    #[test]
    fn ids_are_unique() {
        let operations = rules::about_operations().count();
        assert_eq!(all().len(), SQUAWK.len() + rules::OWN.len() + operations + schema::RULES.len() + FILES.len());
    }
}
