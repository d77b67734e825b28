//! What the statements of one script do to a schema, as plain data: read once from the syntax tree, replayed in order.

use std::collections::BTreeSet;
use std::ops::Range;

use super::types::ColumnType;
use crate::lint::picked::Picked;

/// A change and where it stands.
#[derive(Debug, Clone)]
pub struct Change {
    /// Bytes of the script: the statement, or the part of it.
    pub range: Range<usize>,
    /// What it does.
    pub what: What,
    /// Whether it stands in a body, whose text is not rewritten.
    pub in_body: bool,
}

impl Change {
    /// What a script may do that nobody can look into.
    pub fn anything() -> Self {
        Self { range: 0..0, what: What::Anything, in_body: false }
    }
}

/// What stands where PostgreSQL does not take it.
#[derive(Debug, Clone)]
pub enum Misfit {
    /// A query.
    Query,
    /// An aggregate, or a function over a window, of this name.
    Aggregate(String),
    /// What is another value the next time, as it is written.
    Changing(String),
}

/// What a statement does.
#[derive(Debug, Clone)]
pub enum What {
    /// `CREATE TABLE` with a list of columns.
    CreateTable {
        name: String,
        if_not_exists: bool,
        temporary: bool,
        parts: Vec<Action>,
        closed: bool,
        partition_of: Option<PartitionOf>,
        /// `PARTITION BY`.
        partitioned: Option<PartitionKey>,
    },
    /// A relation of whose columns nothing is known.
    CreateOther { name: String, tolerant: bool },
    /// `CREATE VIEW`; `replaces`: it takes the place of one that is there.
    CreateView { name: String, tolerant: bool, replaces: bool, view: ViewDef },
    /// `CREATE INDEX`; `only`: not on the partitions.
    CreateIndex {
        name: Option<String>,
        table: String,
        if_not_exists: bool,
        only: bool,
        concurrently: bool,
        index: IndexDef,
    },
    /// `CREATE TYPE`, `CREATE DOMAIN`; `checked`: the domain refuses some values itself, `base`: what it is made of,
    /// `is_enum`: `AS ENUM`.
    CreateType { name: String, checked: bool, base: Option<String>, is_enum: bool },
    /// `CREATE CAST`: from here on types may become others by themselves.
    CreateCast,
    /// `ALTER DOMAIN`; `checked`: from here on it certainly refuses some values itself.
    AlterDomain { name: String, checked: bool },
    /// `ALTER TABLE`, one action.
    Alter { table: String, if_exists: bool, action: Action },
    /// `DROP TABLE | VIEW | INDEX | TYPE …`.
    Drop { kind: Dropped, names: Vec<String>, if_exists: bool, cascade: bool },
    /// `ALTER INDEX … RENAME TO`.
    RenameIndex { from: String, to: String },
    /// `SET search_path`: the schema of names that say none; `None`: it cannot be told.
    SearchPath(Option<String>),
    /// `UPDATE`, `DELETE` of all rows in which these columns hold something; changes no schema.
    Rows { table: String, columns: BTreeSet<String>, removes: bool },
    /// `UPDATE`, `DELETE` with a condition that has to be asked which rows it picks; changes no schema.
    Picks(Picked),
    /// `INSERT`, `UPDATE`, `COMMENT ON COLUMN`: names columns that must be there; changes no schema.
    Columns { table: String, columns: Vec<String> },
    /// `INSERT`; changes no schema.
    Inserts(Inserted),
    /// `UPDATE … SET column = value`; changes no schema.
    Assigns { table: String, values: Vec<(String, Given)> },
    /// `CREATE TRIGGER`, `CREATE RULE`: what is written to a table may become something else.
    Hooks { table: String },
    /// A part of the statement holds what it cannot; the statement fails on any schema.
    Misfit { part: &'static str, holds: Misfit },
    /// Names columns in its expressions, which must be there; changes no schema.
    Asks(Vec<Asked>),
    /// A function or a procedure, whatever it does.
    Routine(String),
    /// `TRUNCATE`; changes no schema.
    Truncate { tables: Vec<String>, cascade: bool },
    /// `REFRESH MATERIALIZED VIEW`; `fills`: not `WITH NO DATA`.
    Refresh { view: String, concurrently: bool, fills: bool },
    /// `CREATE | ALTER | DROP PUBLICATION`; `changes`: whether updates or deletes are published from here on, `None`: as before.
    Publication { name: String, changes: Option<bool>, tables: Vec<String> },
    /// `CREATE POLICY`, or one that is dropped or changed: nothing is known of it then.
    Policy { table: String, name: String, def: Option<PolicyDef> },
    /// `DROP FUNCTION … CASCADE` and the like: what hangs on these names goes with them.
    Cascade(BTreeSet<String>),
    /// What happens only where a condition holds, or is undone where something fails.
    Maybe(Box<What>),
    /// A function whose body changes the schema, or says what nobody can read.
    CreateFunction { name: String },
    /// A call: of these functions, with these words in its texts.
    Call { functions: BTreeSet<String>, words: BTreeSet<String> },
    /// Something that is not followed; what it names is unknown from here on.
    Opaque(BTreeSet<String>),
    /// Something that may do anything to anything.
    Anything,
}

impl What {
    /// The names that the change is about: what is not known of them any more, where it may have happened or not.
    pub fn names(&self) -> BTreeSet<String> {
        match self {
            What::CreateTable { name, .. }
            | What::CreateOther { name, .. }
            | What::CreateView { name, .. }
            | What::CreateType { name, .. }
            | What::AlterDomain { name, .. }
            | What::Refresh { view: name, .. }
            | What::CreateFunction { name } => [name.clone()].into(),
            What::CreateIndex { name, table, .. } => name.iter().chain([table]).cloned().collect(),
            What::Alter { table, action, .. } => match action {
                Action::RenameTo(to) => [table.clone(), to.clone()].into(),
                Action::Attach { partition, .. } | Action::Detach { partition, .. } => {
                    [table.clone(), partition.clone()].into()
                }
                _ => [table.clone()].into(),
            },
            What::Drop { names, .. } => names.iter().cloned().collect(),
            What::RenameIndex { from, to } => [from.clone(), to.clone()].into(),
            What::Opaque(words) | What::Call { words, .. } | What::Cascade(words) => words.clone(),
            What::Maybe(what) => what.names(),
            What::Rows { .. }
            | What::Picks(_)
            | What::Columns { .. }
            | What::Asks(_)
            | What::Inserts(_)
            | What::Misfit { .. }
            | What::Assigns { .. }
            | What::Hooks { .. }
            | What::Routine(_)
            | What::Truncate { .. }
            | What::SearchPath(_)
            | What::CreateCast
            | What::Publication { .. }
            | What::Policy { .. }
            | What::Anything => BTreeSet::new(),
        }
    }
}

/// Rows that come to a table.
#[derive(Debug, Clone)]
pub struct Inserted {
    /// The table.
    pub table: String,
    /// Its columns, where they are named.
    pub columns: Option<Vec<String>>,
    /// How many values a row has, where that can be told.
    pub width: Option<usize>,
    /// The rows of `VALUES`; none where a query makes them.
    pub rows: Vec<Vec<Given>>,
    /// `OVERRIDING`.
    pub overriding: bool,
    /// The columns of `ON CONFLICT (…)`, where they are plain and nothing else is said of them.
    pub conflict: Option<Vec<String>>,
}

/// A policy of row level security.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDef {
    /// Not `RESTRICTIVE`.
    pub permissive: bool,
    /// What it is for.
    pub command: PolicyCommand,
    /// The roles that it is for, `public` for all.
    pub roles: BTreeSet<String>,
    /// Whether `USING` is `true`; nothing where there is none.
    pub open: Option<bool>,
}

/// What a policy is for, as far as it matters to who reads rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyCommand {
    /// Everything.
    All,
    /// Reading.
    Select,
    /// Something else.
    Other,
}

/// A column that an expression names.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The table whose it is.
    pub table: String,
    /// Its name.
    pub column: String,
    /// Whether the table's name stands in front: a function of the table's rows may be written so, too.
    pub qualified: bool,
    /// Where it is named.
    pub range: Range<usize>,
}

/// By what a table is partitioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionKey {
    /// By the values of these columns.
    Columns(Vec<String>),
    /// By an expression, alone or beside columns.
    Computed,
    /// By something: it has partitions.
    Unknown,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewDef {
    /// Whether it holds rows of its own.
    pub materialized: bool,
    /// Whether it has been filled: not `WITH NO DATA`.
    pub filled: bool,
    /// The relations that it reads.
    pub reads: BTreeSet<String>,
    /// Every name in it.
    pub words: BTreeSet<String>,
    /// Its columns.
    pub columns: ViewColumns,
}

/// The columns of a view, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewColumns {
    /// The first ones; nothing where the name cannot be told.
    pub first: Vec<Option<String>>,
    /// Whether those are all.
    pub complete: bool,
}

/// The table of which another is a partition, and whether as the one for all other rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionOf {
    /// The partitioned table.
    pub table: String,
    /// `DEFAULT`.
    pub is_default: bool,
}

/// What is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// A table, foreign or not.
    Table,
    /// A view, materialized or not.
    View,
    /// An index.
    Index { concurrently: bool },
    /// A type or a domain.
    Type,
    /// A schema.
    Schema,
}

/// One part of a table's definition, or one action of `ALTER TABLE`.
#[derive(Debug, Clone)]
pub enum Action {
    /// A column.
    AddColumn { name: String, column: ColumnDef, if_not_exists: bool },
    /// A constraint.
    AddConstraint(ConstraintDef),
    /// `DROP COLUMN`.
    DropColumn { name: String, if_exists: bool, cascade: bool },
    /// `DROP CONSTRAINT`; `replaced`: the same statement adds a primary key.
    DropConstraint { name: String, cascade: bool, replaced: bool },
    /// `ALTER COLUMN … TYPE`; `plain`: without `COLLATE` and a `USING` that computes something, `collated`: with the first alone.
    /// `using`: with any.
    SetType { column: String, ty: ColumnType, plain: bool, collated: bool, using: bool },
    /// `SET NOT NULL`, `DROP NOT NULL`.
    SetNotNull { column: String, on: bool },
    /// `ADD GENERATED … AS IDENTITY`.
    AddIdentity { column: String, always: bool },
    /// `SET DEFAULT`, `DROP DEFAULT`, `DROP IDENTITY` and the like.
    Fill { column: String, filled: Filled },
    /// Another change of a column, none of what is kept here.
    AlterColumn { column: String },
    /// `RENAME COLUMN`.
    RenameColumn { from: String, to: String },
    /// `RENAME CONSTRAINT`.
    RenameConstraint { from: String, to: String },
    /// `VALIDATE CONSTRAINT`.
    Validate { name: String },
    /// `RENAME TO`.
    RenameTo(String),
    /// `SET SCHEMA`.
    SetSchema(String),
    /// `ATTACH PARTITION`; `is_default`: as the one for all other rows.
    Attach { partition: String, is_default: bool },
    /// `DETACH PARTITION`.
    Detach { partition: String, concurrently: bool },
    /// `REPLICA IDENTITY`; `on`: of an index or of the whole row.
    ReplicaIdentity { on: bool },
    /// `INHERIT` and the like: more hangs on the table than is followed.
    Opens,
    /// A column with its constraints.
    Several(Vec<Action>),
    /// Changes nothing that is kept here.
    Nothing,
}

impl Action {
    /// The single actions that it comes to: a column and each of its constraints, or itself.
    pub fn parts(&self) -> &[Self] {
        match self {
            Self::Several(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }
}

/// A column.
#[derive(Debug, Clone)]
pub struct ColumnDef {
    /// Its type.
    pub ty: Option<ColumnType>,
    /// Whether it refuses NULL.
    pub not_null: bool,
    /// What it holds where a row says nothing of it.
    pub filled: Filled,
}

/// What a column holds where a row says nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filled {
    /// NULL.
    Nothing,
    /// A default.
    Default(Given),
    /// The next number; `always`: a row cannot say another.
    Identity { always: bool },
    /// What is reckoned from other columns.
    Generated,
    /// It cannot be told.
    Unknown,
}

/// A value as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// Quoted, and may be cast to a type.
    Text { value: String, cast: Option<ColumnType> },
    /// A number, or the next one of a sequence.
    Number,
    /// `true` or `false`.
    Truth,
    /// `NULL`.
    Null,
    /// `DEFAULT`.
    Default,
    /// Another expression.
    Other,
}

/// A constraint.
#[derive(Debug, Clone)]
pub struct ConstraintDef {
    /// Its name, if it is written.
    pub name: Option<String>,
    /// The kind.
    pub kind: ConstraintKind,
    /// Not `NOT VALID`.
    pub valid: bool,
    /// Not `NOT ENFORCED`.
    pub enforced: bool,
}

/// Kinds of constraints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConstraintKind {
    /// `PRIMARY KEY (…)`.
    Primary(Vec<String>),
    /// `UNIQUE (…)`.
    Unique(Vec<String>),
    /// `PRIMARY KEY | UNIQUE USING INDEX`.
    UsingIndex { index: String, primary: bool },
    /// `FOREIGN KEY`; the columns of the other table are empty where they are its primary key.
    Foreign { columns: Vec<String>, table: String, referred: Vec<String> },
    /// `CHECK`, with the names in it; `says_not_null`: it is `column IS NOT NULL`.
    Check { words: BTreeSet<String>, says_not_null: Option<String> },
    /// `EXCLUDE` or another.
    Other,
}

impl ConstraintKind {
    /// Whether it is a table's primary key.
    pub fn is_primary(&self) -> bool {
        matches!(self, Self::Primary(_) | Self::UsingIndex { primary: true, .. })
    }
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDef {
    /// Its keys: a bare column, or nothing where it is an expression.
    pub keys: Vec<Option<String>>,
    /// The columns of `INCLUDE`.
    pub included: Vec<String>,
    /// Every name in it: keys, expressions, `INCLUDE`, `WHERE`.
    pub words: BTreeSet<String>,
    /// Whether it is unique.
    pub unique: bool,
    /// An ordinary B-tree over all rows, without operator classes or other sort orders.
    pub plain: bool,
    /// Whether it has a `WHERE` or an expression.
    pub computed: bool,
}
