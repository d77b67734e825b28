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
}

impl Change {
    /// What a script may do that nobody can look into.
    pub fn anything() -> Self {
        Self { range: 0..0, what: What::Anything }
    }
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
        partitioned: bool,
    },
    /// A relation of whose columns nothing is known.
    CreateOther { name: String, tolerant: bool },
    /// `CREATE VIEW`.
    CreateView { name: String, tolerant: bool, materialized: bool, reads: BTreeSet<String>, words: BTreeSet<String> },
    /// `CREATE INDEX`; `only`: not on the partitions.
    CreateIndex { name: Option<String>, table: String, if_not_exists: bool, only: bool, index: IndexDef },
    /// `CREATE TYPE`, `CREATE DOMAIN`; `checked`: the domain refuses some values itself, `base`: what it is made of.
    CreateType { name: String, checked: bool, base: Option<String> },
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
    /// A function whose body changes the schema, or says what nobody can read.
    CreateFunction { name: String },
    /// A call: of these functions, with these words in its texts.
    Call { functions: BTreeSet<String>, words: BTreeSet<String> },
    /// Something that is not followed; what it names is unknown from here on.
    Opaque(BTreeSet<String>),
    /// Something that may do anything to anything.
    Anything,
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
    Index,
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
    /// `ALTER COLUMN … TYPE`.
    SetType { column: String, ty: ColumnType, plain: bool },
    /// `SET NOT NULL`, `DROP NOT NULL`.
    SetNotNull { column: String, on: bool },
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
    Detach { partition: String },
    /// `INHERIT` and the like: more hangs on the table than is followed.
    Opens,
    /// A column with its constraints.
    Several(Vec<Action>),
    /// Changes nothing that is kept here.
    Nothing,
}

/// A column.
#[derive(Debug, Clone)]
pub struct ColumnDef {
    /// Its type.
    pub ty: Option<ColumnType>,
    /// Whether it refuses NULL.
    pub not_null: bool,
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

/// An index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDef {
    /// Its keys: a bare column, or nothing where it is an expression.
    pub keys: Vec<Option<String>>,
    /// Every name in it: keys, expressions, `INCLUDE`, `WHERE`.
    pub words: BTreeSet<String>,
    /// Whether it is unique.
    pub unique: bool,
    /// An ordinary B-tree over all rows, without operator classes or other sort orders.
    pub plain: bool,
    /// Whether it has a `WHERE` or an expression.
    pub computed: bool,
}
