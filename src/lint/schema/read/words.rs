//! Names and words of statements, as PostgreSQL compares them.

use std::collections::BTreeSet;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use crate::lint::script::name_of;

/// The tokens of a node that mean something, names as PostgreSQL compares them.
pub(super) fn significant(node: &SyntaxNode) -> impl Iterator<Item = String> {
    node.descendants_with_tokens()
        .filter_map(|e| e.into_token())
        .filter(|t| !matches!(t.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT))
        .map(|t| bare(t.text()))
}

pub(super) fn bare(token: &str) -> String {
    match token.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => token.to_ascii_lowercase(),
    }
}

/// Whether a text has a word by itself.
pub(super) fn says(text: &str, word: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_letter) && !text[at + word.len()..].starts_with(is_letter))
}

/// Every name below a node, as PostgreSQL compares them.
pub(super) fn words(node: &SyntaxNode) -> BTreeSet<String> {
    node.descendants_with_tokens()
        .filter_map(|e| e.into_token())
        .filter(|t| t.text().starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '"'))
        .map(|t| bare(t.text()))
        .collect()
}

/// The relations that a query reads.
pub(super) fn relations(node: &SyntaxNode) -> BTreeSet<String> {
    node.descendants()
        .filter(|n| matches!(n.kind(), SyntaxKind::RELATION_FROM_ITEM))
        .filter_map(ast::RelationFromItem::cast)
        .filter_map(|item| {
            item.path_ref().map(|p| name_of(p.syntax())).or_else(|| item.name_ref().map(|n| name_of(n.syntax())))
        })
        .collect()
}

pub(super) fn words_of_text(text: &str) -> BTreeSet<String> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    // Most words of a text come more than once.
    let once: BTreeSet<&str> = words.collect();
    once.into_iter().map(str::to_owned).collect()
}
