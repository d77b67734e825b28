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
        "alter function f() security definer set search_path = '';",
        "alter function f() security definer; alter function f() set search_path = '';",
    ],
    bad: &[
        "create function f() returns int language sql security definer as $$ select 1 $$;",
        "alter function f() security definer;",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let Some((name, options)) = options_of(&statement.node) else { return };
    let Some(definer) = options.options().find(|o| words_of(o).contains("security definer")) else { return };
    let has_path =
        |options: &ast::FuncOptionList| options.options().any(|o| words_of(&o).starts_with("set search_path"));
    // Another statement may set it.
    let alters = |other: &Statement| {
        !matches!(other.node, ast::Stmt::CreateFunction(_) | ast::Stmt::CreateProcedure(_))
            && options_of(&other.node).is_some_and(|(of, options)| of == name && has_path(&options))
    };
    if !has_path(&options) && !script.statements.iter().any(alters) {
        report.add(
            definer.syntax(),
            "who calls the function chooses the search_path it runs with, and so can slip in objects of their own",
        );
    }
}

/// The function that a statement makes or changes, and what it says of it.
fn options_of(statement: &ast::Stmt) -> Option<(String, ast::FuncOptionList)> {
    let (name, options) = match statement {
        ast::Stmt::CreateFunction(f) => (named(f.name()), f.option_list()),
        ast::Stmt::CreateProcedure(p) => (named(p.name()), p.option_list()),
        ast::Stmt::AlterFunction(f) => (
            named(f.function_sig().and_then(|sig| sig.function_name_ref())),
            match f.action()? {
                ast::AlterFunctionAction::FuncOptionList(options) => Some(options),
                _ => None,
            },
        ),
        ast::Stmt::AlterProcedure(p) => (
            named(p.procedure_sig().and_then(|sig| sig.procedure_name_ref())),
            match p.action()? {
                ast::AlterProcedureAction::FuncOptionList(options) => Some(options),
                _ => None,
            },
        ),
        _ => return None,
    };
    Some((name, options?))
}

/// The first words of an option; bodies can be long, and only these decide.
fn words_of(option: &ast::FuncOption) -> String {
    let tokens = option.syntax().descendants_with_tokens().filter_map(|e| e.into_token());
    tokens.filter(|t| !t.kind().is_trivia()).take(4).map(|t| format!("{} ", t.text().to_ascii_lowercase())).collect()
}
