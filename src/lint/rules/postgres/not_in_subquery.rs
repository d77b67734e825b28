//! `NOT IN (SELECT …)`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "not-in-subquery",
        category: Category::Style,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Sql,
        title: "NOT IN over a query that may give NULL",
    },
    check: Check::Statement(check),
    help: "`NOT EXISTS (SELECT FROM u WHERE u.a = t.a)`, which a NULL does not disturb",
    ok: &[
        "delete from t where not exists (select 1 from u where u.a = t.a);",
        "delete from t where a not in (1, 2);",
        "delete from t where a not in (select b from u where b is not null);",
        "delete from t where a not in (select id from u);",
    ],
    bad: &[
        "delete from t where a not in (select parent_id from u);",
        "insert into v select a from t where a not in (select distinct b from u);",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if !script.words.not_in {
        return;
    }
    for node in statement_node(statement).descendants().filter(|n| n.kind() == SyntaxKind::BIN_EXPR) {
        let is_not_in = node.children().any(|c| c.kind() == SyntaxKind::NOT_IN);
        let Some(select) = node.children().last().and_then(|rhs| first_select(&rhs)) else { continue };
        if is_not_in && may_give_null(&select) {
            report.add(&node, "one NULL among what the query gives makes this true for no row at all");
        }
    }
}

fn first_select(node: &SyntaxNode) -> Option<ast::Select> {
    // Only what stands directly behind `NOT IN`, in any number of brackets.
    node.descendants().take(4).find_map(ast::Select::cast)
}

/// A key is never NULL, and neither is what the query itself leaves out.
fn may_give_null(select: &ast::Select) -> bool {
    let target = select.select_clause().map(|c| name_of(c.syntax())).unwrap_or_default();
    let column = target.trim_start_matches("select").trim_start_matches("distinct");
    let column = column.rsplit('.').next().unwrap_or(column);
    let guarded = select.where_clause().is_some_and(|w| name_of(w.syntax()).contains("isnotnull"));
    column != "id" && !guarded
}
