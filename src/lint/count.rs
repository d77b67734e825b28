//! How much a migration makes: tables, columns, indexes, enums, foreign keys. One function counts for every report, so that
//! no two of them disagree [S3-20] [S3-71].

use std::ops::AddAssign;

use serde::Serialize;
use squawk_syntax::ast::AstNode as _;
use squawk_syntax::{SourceFile, SyntaxKind};

use super::check::cannot_parse;
use super::depth;
use crate::ids::Engine;
use crate::migration::Migration;
use crate::migration::operations::{Operation, elasticsearch, mongodb, read_each};

/// What is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Tables, collections, and indices of documents.
    pub tables: usize,
    /// Columns and fields, those of new tables included.
    pub columns: usize,
    /// Indexes that a statement of their own makes.
    pub indexes: usize,
    /// Enums.
    pub enums: usize,
    /// Foreign keys.
    pub foreign_keys: usize,
}

impl AddAssign for Made {
    fn add_assign(&mut self, other: Self) {
        self.tables += other.tables;
        self.columns += other.columns;
        self.indexes += other.indexes;
        self.enums += other.enums;
        self.foreign_keys += other.foreign_keys;
    }
}

impl Made {
    /// Whether it is nothing.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// Each count with its word, for one and for several.
    pub fn parts(self) -> [(usize, &'static str, &'static str); 5] {
        [
            (self.tables, "table", "tables"),
            (self.columns, "column", "columns"),
            (self.indexes, "index", "indexes"),
            (self.enums, "enum", "enums"),
            (self.foreign_keys, "foreign key", "foreign keys"),
        ]
    }
}

/// What the forward script of `migration` makes. What cannot be parsed makes nothing; the linter says so.
pub fn made_by(migration: &Migration) -> Made {
    match migration.engine {
        Engine::Postgresql | Engine::Sqlite => {
            if cannot_parse(&migration.up.text).is_some() {
                return Made::default();
            }
            depth::with_stack(|| of_sql(&migration.up.text))
        }
        Engine::Mongodb | Engine::Elasticsearch | Engine::Redis => {
            let mut made = Made::default();
            for located in read_each(migration.engine, &migration.up.text).into_iter().flatten() {
                made += of_operation(&located.operation);
            }
            made
        }
    }
}

fn of_sql(text: &str) -> Made {
    let mut made = Made::default();
    for node in SourceFile::parse(text).tree().syntax().descendants() {
        let is_in_table = || node.ancestors().skip(1).take(2).any(|a| a.kind() == SyntaxKind::CREATE_TABLE);
        let has = |kind: SyntaxKind| node.children().any(|c| c.kind() == kind);
        match node.kind() {
            SyntaxKind::CREATE_TABLE | SyntaxKind::CREATE_TABLE_AS => made.tables += 1,
            SyntaxKind::ADD_COLUMN => made.columns += 1,
            SyntaxKind::COLUMN if is_in_table() => made.columns += 1,
            SyntaxKind::CREATE_INDEX => made.indexes += 1,
            SyntaxKind::CREATE_TYPE if has(SyntaxKind::VARIANT_LIST) || has(SyntaxKind::ENUM_TYPE) => made.enums += 1,
            SyntaxKind::FOREIGN_KEY_CONSTRAINT | SyntaxKind::REFERENCES_CONSTRAINT => made.foreign_keys += 1,
            _ => {}
        }
    }
    made
}

fn of_operation(operation: &Operation) -> Made {
    match operation {
        Operation::Mongodb(mongodb::Operation::CreateCollection { .. })
        | Operation::Elasticsearch(elasticsearch::Operation::CreateIndex { .. }) => {
            Made { tables: 1, ..Made::default() }
        }
        Operation::Mongodb(mongodb::Operation::CreateIndex { .. }) => Made { indexes: 1, ..Made::default() },
        Operation::Mongodb(mongodb::Operation::AddField { .. }) => Made { columns: 1, ..Made::default() },
        Operation::Mongodb(_) | Operation::Elasticsearch(_) | Operation::Redis(_) => Made::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_20_s3_71_what_is_made_is_counted_from_the_syntax_tree() {
        for (sql, expected) in [
            ("CREATE TABLE a (id int PRIMARY KEY, b text, c int REFERENCES d (id));", [1, 3, 0, 0, 1]),
            ("CREATE TABLE a (id int, FOREIGN KEY (id) REFERENCES d (id)); CREATE INDEX i ON a (id);", [1, 1, 1, 0, 1]),
            ("ALTER TABLE a ADD COLUMN b int, ADD COLUMN c text;", [0, 2, 0, 0, 0]),
            ("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b int);", [0, 0, 0, 1, 0]),
            ("ALTER TABLE a ADD CONSTRAINT f FOREIGN KEY (b) REFERENCES d (id) NOT VALID;", [0, 0, 0, 0, 1]),
            ("CREATE UNIQUE INDEX CONCURRENTLY i ON a (b);", [0, 0, 1, 0, 0]),
            ("INSERT INTO a VALUES (1); -- CREATE TABLE b (c int);", [0, 0, 0, 0, 0]),
            ("CREATE TABLE b AS SELECT 1 AS n;", [1, 0, 0, 0, 0]),
            ("DROP TABLE a;", [0, 0, 0, 0, 0]),
        ] {
            let made = of_sql(sql);
            let counts = [made.tables, made.columns, made.indexes, made.enums, made.foreign_keys];
            assert_eq!(counts, expected, "{sql}");
        }
    }
}
