//! `SECURITY DEFINER` without `SET search_path`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "security-definer-search-path",
        category: Category::Security,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "SECURITY DEFINER without a search_path",
    },
    check: Check::Statement(check),
    help: "add `SET search_path = ''` and name objects with their schema",
    ok: &[
        "create function f() returns int language sql security definer set search_path = '' as $$ select 1 $$;",
        "create function f() returns int language sql as $$ select 1 $$;",
    ],
    bad: &["create function f() returns int language sql security definer as $$ select 1 $$;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let options = match &statement.node {
        ast::Stmt::CreateFunction(f) => f.option_list(),
        ast::Stmt::CreateProcedure(p) => p.option_list(),
        _ => return,
    };
    let Some(options) = options else { return };
    let (mut definer, mut path) = (None, false);
    for option in options.options() {
        // Bodies can be long; only the first words decide.
        let words: String = option
            .syntax()
            .descendants_with_tokens()
            .filter_map(|e| e.into_token())
            .filter(|t| !t.kind().is_trivia())
            .take(4)
            .map(|t| format!("{} ", t.text().to_ascii_lowercase()))
            .collect();
        if words.contains("security definer") {
            definer = Some(option);
        }
        path |= words.starts_with("set search_path");
    }
    if let Some(option) = definer.filter(|_| !path) {
        report.add(
            option.syntax(),
            "who calls the function chooses the search_path it runs with, and so can slip in objects of their own",
        );
    }
}
