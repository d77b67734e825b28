//! What PostgreSQL takes nowhere that is reckoned from a row alone: queries, aggregates, and, where the result is kept, what
//! is another value the next time.

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::super::change::{Change, Misfit, What};
use crate::lint::script::{Statement, builtin, range_of};

/// Functions of PostgreSQL, none of whose forms is `IMMUTABLE`. Kept true by a test that asks the server.
pub const CHANGING: &[&str] = &[
    "array_to_json",
    "array_to_string",
    "clock_timestamp",
    "concat",
    "concat_ws",
    "current_database",
    "current_schema",
    "current_setting",
    "currval",
    "format",
    "gen_random_uuid",
    "inet_client_addr",
    "json_build_array",
    "json_build_object",
    "jsonb_build_array",
    "jsonb_build_object",
    "lastval",
    "nextval",
    "now",
    "pg_backend_pid",
    "random",
    "row_to_json",
    "setval",
    "statement_timestamp",
    "timeofday",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "transaction_timestamp",
    "txid_current",
    "version",
];
/// Functions of PostgreSQL, all of whose forms with one argument are aggregates. Kept true by a test that asks the server.
pub const AGGREGATES: &[&str] = &[
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "json_agg",
    "jsonb_agg",
    "max",
    "min",
    "stddev",
    "sum",
    "variance",
];

/// The first part of a statement that its place cannot hold.
pub(super) fn misfit(statement: &Statement) -> Option<Change> {
    let root = statement.node.syntax();
    let is_index = match &statement.node {
        ast::Stmt::CreateTable(_)
        | ast::Stmt::AlterTable(_)
        | ast::Stmt::CreateDomain(_)
        | ast::Stmt::AlterDomain(_) => false,
        ast::Stmt::CreateIndex(_) => true,
        _ => return None,
    };
    // And whether what comes out is kept, so that it must come out the same again.
    let part = |node: &SyntaxNode| match node.kind() {
        SyntaxKind::CHECK_CONSTRAINT => Some(("a check", false)),
        SyntaxKind::DEFAULT_CONSTRAINT | SyntaxKind::SET_DEFAULT => Some(("a default", false)),
        SyntaxKind::GENERATED_STORED => Some(("a generated column", true)),
        SyntaxKind::USING_EXPR => Some(("the `USING` of a change of type", false)),
        SyntaxKind::PARTITION_ITEM_LIST | SyntaxKind::WHERE_CLAUSE if is_index => Some(("an index", true)),
        _ => None,
    };
    root.descendants().find_map(|node| {
        let (part, is_kept) = part(&node)?;
        let (at, holds) = node.descendants().find_map(|inner| Some((range_of(&inner), holds(&inner, is_kept)?)))?;
        Some(Change { range: at, what: What::Misfit { part, holds }, in_body: false })
    })
}

fn holds(node: &SyntaxNode, is_kept: bool) -> Option<Misfit> {
    if matches!(node.kind(), SyntaxKind::SELECT | SyntaxKind::VALUES) {
        return Some(Misfit::Query);
    }
    if let Some(call) = ast::CallExpr::cast(node.clone()) {
        // A name without a schema in front, or with PostgreSQL's own: another one is somebody's own function.
        let is_own = call.expr().is_some_and(|e| {
            let name = e.syntax().text().to_string().to_ascii_lowercase();
            !name.contains('.') || name.starts_with("pg_catalog.")
        });
        let name = builtin(&call).filter(|_| is_own)?;
        if call.syntax().children().any(|c| c.kind() == SyntaxKind::OVER_CLAUSE) {
            return Some(Misfit::Aggregate(name));
        }
        let arguments = call.arg_list().map_or(0, |list| list.args().count());
        let is_of_all = call.arg_list().is_some_and(|list| list.syntax().text() == "(*)");
        if AGGREGATES.contains(&name.as_str()) && (arguments == 1 || is_of_all) {
            return Some(Misfit::Aggregate(name));
        }
        return (is_kept && CHANGING.contains(&name.as_str())).then_some(Misfit::Changing(format!("{name}()")));
    }
    let word = node.children_with_tokens().filter_map(|e| e.into_token()).find(|token| is_of_the_moment(token.kind()));
    word.filter(|_| is_kept).map(|token| Misfit::Changing(token.text().to_ascii_uppercase()))
}

/// Whether a word stands for the time, or for who is there.
fn is_of_the_moment(kind: SyntaxKind) -> bool {
    use SyntaxKind as K;
    matches!(
        kind,
        K::CURRENT_DATE_KW
            | K::CURRENT_TIME_KW
            | K::CURRENT_TIMESTAMP_KW
            | K::LOCALTIME_KW
            | K::LOCALTIMESTAMP_KW
            | K::CURRENT_USER_KW
            | K::SESSION_USER_KW
            | K::CURRENT_ROLE_KW
            | K::CURRENT_CATALOG_KW
    )
}
