//! `setval` with a number that somebody wrote down.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "setval-constant",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "Sets a sequence to a fixed number",
    },
    check: Check::Statement(check),
    help: "compute it where it runs: `SELECT setval('orders_id_seq', (SELECT max(id) FROM orders))`",
    ok: &[
        "select setval('t_id_seq', (select max(id) from t));",
        "select setval('t_id_seq', coalesce(max(id), 1)) from t;",
        "create table t (id serial); select setval('public.t_id_seq', 7, true);",
        "create sequence s; select setval('s', 7);",
        "select nextval('s');",
    ],
    bad: &["select setval('s', 7);", "select pg_catalog.setval('public.t_id_seq', 1, false);"],
};

fn check(script: &Script<'_>, index: usize, statement: &Statement, report: &mut Report<'_>) {
    if !script.words.setval || !matches!(statement.node, ast::Stmt::Select(_)) {
        return;
    }
    for call in statement.node.syntax().descendants().filter_map(ast::CallExpr::cast) {
        if builtin(&call).is_none_or(|name| name != "setval") {
            continue;
        }
        let arguments: Vec<String> =
            call.arg_list().map(|l| l.args().map(|a| name_of(a.syntax())).collect()).unwrap_or_default();
        let [sequence, value, ..] = arguments.as_slice() else { continue };
        let sequence = sequence.split("::").next().unwrap_or(sequence).trim_matches('\'');
        let sequence = sequence.strip_prefix("public.").unwrap_or(sequence);
        if value.parse::<i64>().is_ok() && !is_new(script, index, sequence) {
            report.add(
                call.syntax(),
                format!(
                    "`{sequence}` is set to {value} wherever this runs: below the highest key it hands out keys that are taken"
                ),
            );
        }
    }
}

/// Whether the script makes the sequence, by itself or with the table whose column it fills.
fn is_new(script: &Script<'_>, index: usize, sequence: &str) -> bool {
    script.statements[..index].iter().any(|s| match &s.node {
        ast::Stmt::CreateSequence(create) => named(create.sequence()) == sequence,
        ast::Stmt::CreateTable(create) => {
            let table = named(create.table_name());
            sequence.strip_prefix(&table).is_some_and(|rest| !table.is_empty() && rest.starts_with('_'))
        }
        _ => false,
    })
}
