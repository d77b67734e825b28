//! Queries where PostgreSQL takes none: in what is reckoned from a row alone.

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::super::change::{Change, What};
use crate::lint::script::{Statement, range_of};

/// The first query of a statement that stands where none can.
pub(super) fn queried(statement: &Statement) -> Option<Change> {
    let root = statement.node.syntax();
    let is_index = match &statement.node {
        ast::Stmt::CreateTable(_)
        | ast::Stmt::AlterTable(_)
        | ast::Stmt::CreateDomain(_)
        | ast::Stmt::AlterDomain(_) => false,
        ast::Stmt::CreateIndex(_) => true,
        _ => return None,
    };
    let part = |node: &SyntaxNode| match node.kind() {
        SyntaxKind::CHECK_CONSTRAINT => Some("a check"),
        SyntaxKind::DEFAULT_CONSTRAINT | SyntaxKind::SET_DEFAULT => Some("a default"),
        SyntaxKind::GENERATED_STORED => Some("a generated column"),
        SyntaxKind::USING_EXPR => Some("the `USING` of a change of type"),
        SyntaxKind::PARTITION_ITEM_LIST | SyntaxKind::WHERE_CLAUSE if is_index => Some("an index"),
        _ => None,
    };
    root.descendants().find_map(|node| {
        let what = part(&node)?;
        let query = node.descendants().find(|n| matches!(n.kind(), SyntaxKind::SELECT | SyntaxKind::VALUES))?;
        Some(Change { range: range_of(&query), what: What::Queries(what), in_body: false })
    })
}
