//! `LIMIT` or `OFFSET` without `ORDER BY`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "limit-without-order",
        category: Category::Style,
        severity: Some(Severity::Warning),
        risk: Risk::Low,
        applies: Applies::Sql,
        title: "LIMIT without ORDER BY takes any rows",
    },
    check: Check::Statement(check),
    help: "say which rows are meant: `ORDER BY` a unique column in front of the `LIMIT`",
    ok: &[
        "insert into u select a from t order by id limit 10;",
        "update t set a = 1 where id in (select id from t where a is null limit 1000);",
        "select 1 where exists (select from t limit 1);",
        "create table u as select * from t limit 0;",
        "insert into u select count(*) from t limit 1;",
        "create view v as select t.a, p.b from t left join lateral (select b from u where u.id = t.u_id limit 1) p on true;",
        "with x as (select id from t where a is null limit 100) delete from t using x where t.id = x.id;",
    ],
    bad: &[
        "insert into u select a from t limit 10;",
        "update t set a = (select b from u limit 1) where id = 7;",
        "create table u as select * from t offset 5;",
        "insert into u select a from t fetch first 3 rows only;",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if !script.words.limit {
        return;
    }
    let node = statement_node(statement);
    let in_batches = matches!(statement.node, ast::Stmt::Update(_) | ast::Stmt::Delete(_));
    for clause in node.descendants().filter(|n| cuts(n.kind())) {
        let Some(select) = clause.parent() else { continue };
        let is_ordered = select.children().any(|c| c.kind() == SyntaxKind::ORDER_BY_CLAUSE);
        // `LIMIT` and `OFFSET` of one query are one finding.
        let is_first = select.children().find(|c| cuts(c.kind())).as_ref() == Some(&clause);
        if is_ordered || !is_first || takes_none(&clause) || is_one_row(&select) || is_test(&select) {
            continue;
        }
        // Which rows a batch takes does not matter where the next ones take the rest.
        if in_batches && names_the_rows(&select) {
            continue;
        }
        report.add(&clause, "without `ORDER BY` these are any rows, and others the next time");
    }
}

/// `LIMIT 0`, `LIMIT ALL`, `OFFSET 0`.
fn takes_none(clause: &SyntaxNode) -> bool {
    let text = name_of(clause);
    matches!(text.trim_start_matches("limit").trim_start_matches("offset"), "0" | "all" | "null")
}

/// Whether a query gives one row anyway: an aggregate over everything, or one that asks for a key.
fn is_one_row(select: &SyntaxNode) -> bool {
    let Some(select) = ast::Select::cast(select.clone()) else { return false };
    let targets = select.select_clause().map(|c| name_of(c.syntax())).unwrap_or_default();
    let aggregate = |t: &str| {
        AGGREGATES.iter().any(|a| t.starts_with(&format!("select{a}(")) || t.starts_with(&format!("select{a}")))
    };
    let condition = select.where_clause().map(|c| name_of(c.syntax())).unwrap_or_default();
    let by_key = condition.starts_with("whereid=") || condition.contains(".id=") || condition.contains("andid=");
    (select.group_by_clause().is_none() && aggregate(&targets)) || select.from_clause().is_none() || by_key
}

/// Whether only the presence of a row is asked.
fn is_test(select: &SyntaxNode) -> bool {
    select.ancestors().skip(1).take(4).any(|a| {
        let text = a.text().to_string();
        text.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("exists"))
    })
}

/// Whether a query tells which rows a change is about: behind `IN`, in `FROM` or `WITH`.
fn names_the_rows(select: &SyntaxNode) -> bool {
    select.ancestors().skip(1).any(|a| match a.kind() {
        SyntaxKind::WITH_TABLE | SyntaxKind::USING_CLAUSE | SyntaxKind::FROM_CLAUSE => true,
        SyntaxKind::BIN_EXPR => ast::BinExpr::cast(a).is_some_and(|b| {
            b.syntax().children_with_tokens().any(|c| c.kind() == SyntaxKind::IN_KW)
                || name_of(b.syntax()).contains("any(")
        }),
        _ => false,
    })
}
