//! `SET lock_timeout = 0` and the like, for a session or for all of a role or a database.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "timeout-off",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "A timeout is switched off",
    },
    check: Check::Statement(check),
    help: "leave the run's own bound in place, or set one that fits: `SET LOCAL lock_timeout = '5s'`",
    ok: &[
        "set lock_timeout = '2s'; alter table t add column a int;",
        "set local statement_timeout to 60000; update t set a = 1 where id = 7;",
        "set statement_timeout = 0; create table t (a int); create index i on t (a);",
        "set statement_timeout = default; alter table t add column a int;",
        "alter role app set statement_timeout = '30s';",
        "alter database shop set lock_timeout to '2s';",
        "alter role app reset statement_timeout;",
        "alter role app set work_mem = 0;",
        "select set_config('lock_timeout', '2s', false); alter table t add column a int;",
    ],
    bad: &[
        "set lock_timeout = 0; alter table t add column a int;",
        "set local statement_timeout to '0'; update t set a = 1 where id = 7;",
        "select set_config('lock_timeout', '0', false); alter table t add column a int;",
        "set idle_in_transaction_session_timeout = '0s'; alter table t add column a int;",
        "alter role app set statement_timeout = 0;",
        "alter role all set lock_timeout to '0';",
        "alter role app in database shop set statement_timeout = '0ms';",
        "alter user app set idle_in_transaction_session_timeout = 0;",
        "alter database shop set lock_timeout = 0;",
    ],
};

/// What bounds a wait, and what waits without it.
const BOUNDS: [(&str, &str); 4] = [
    ("lock_timeout", "a statement that waits for a lock waits without end, and everyone else behind it"),
    ("statement_timeout", "a statement may go on without end, with its locks"),
    ("idle_in_transaction_session_timeout", "a session that is forgotten keeps its locks"),
    ("transaction_timeout", "the transaction may go on without end, with its locks"),
];

fn check(script: &Script<'_>, index: usize, statement: &Statement, report: &mut Report<'_>) {
    if let Some((setting, whose)) = lasting(&statement.node) {
        return for_good(&setting, &whose, report);
    }
    let (name, outcome) = match &statement.node {
        ast::Stmt::Set(set) => match set_off(set) {
            Some(bound) => bound,
            None => return,
        },
        ast::Stmt::Select(select) => {
            match select.syntax().descendants().filter_map(ast::CallExpr::cast).find_map(|call| called_off(&call)) {
                Some(bound) => bound,
                None => return,
            }
        }
        _ => return,
    };
    // A dump that creates everything itself waits for nobody.
    let meets_others = script.statements[index..]
        .iter()
        .enumerate()
        .any(|(n, s)| tables_of(&s.node).iter().any(|table| !script.creates_before(table, index + n)));
    if meets_others {
        let finding = report.add(&statement_node(statement), format!("`{name}` is off from here on: {outcome}"));
        let mut range = statement.range.clone();
        let behind = &script.text[range.end..];
        range.end += behind.len() - behind.trim_start_matches(['\r', '\n', ' ']).len();
        finding.fix =
            Some(Rewrite { title: "Leave it to the run's own bounds".to_owned(), edits: vec![(range, String::new())] });
    }
}

/// The bound that `SET` takes away, and what waits without it.
fn set_off(set: &ast::Set) -> Option<&'static (&'static str, &'static str)> {
    let text = name_of(set.syntax());
    let words = text.trim_end_matches(';').trim_start_matches("set");
    let words = words.trim_start_matches("local").trim_start_matches("session");
    BOUNDS.iter().find(|(name, _)| words.strip_prefix(name).is_some_and(is_off))
}

/// The same of a call of `set_config`.
fn called_off(call: &ast::CallExpr) -> Option<&'static (&'static str, &'static str)> {
    if builtin(call)? != "set_config" {
        return None;
    }
    let arguments: Vec<String> = call.arg_list()?.args().map(|a| name_of(a.syntax())).collect();
    let [setting, value, ..] = arguments.as_slice() else { return None };
    BOUNDS.iter().find(|(name, _)| setting.trim_matches('\'') == *name && is_off(value))
}

/// A setting that outlives the session, with whose it is.
fn lasting(stmt: &ast::Stmt) -> Option<(ast::SetConfigParam, String)> {
    let of_role =
        |role: Option<ast::RoleRef>| role.map_or("every role".to_owned(), |r| format!("`{}`", named(Some(r))));
    match stmt {
        ast::Stmt::AlterRole(alter) => match alter.action()? {
            ast::AlterRoleAction::SetConfigParam(set) => Some((set, of_role(alter.role_ref()))),
            _ => None,
        },
        ast::Stmt::AlterUser(alter) => match alter.action()? {
            ast::AlterUserAction::SetConfigParam(set) => Some((set, of_role(alter.role_ref()))),
            _ => None,
        },
        ast::Stmt::AlterDatabase(alter) => match alter.action()? {
            ast::AlterDatabaseAction::SetConfigParam(set) => {
                Some((set, format!("the database `{}`", named(alter.database_ref()))))
            }
            _ => None,
        },
        _ => None,
    }
}

/// A bound that is taken from every session to come: it does not matter what else the script does.
fn for_good(set: &ast::SetConfigParam, whose: &str, report: &mut Report<'_>) {
    let name = named(set.config_parameter_ref());
    let Some((name, outcome)) = BOUNDS.iter().find(|(bound, _)| *bound == name) else { return };
    if set.config_assignment().is_some_and(|value| is_off(&name_of(value.syntax()))) {
        let message = format!("`{name}` is off for {whose} in every session from here on: {outcome}");
        report.add(set.syntax(), message).help = Some(
            "set a bound that fits, or take it back with `RESET`: a single session can still ask for more".to_owned(),
        );
    }
}

/// Whether a setting's value, with what stands in front of it, bounds nothing.
fn is_off(value: &str) -> bool {
    let value = value.trim_start_matches("to").trim_start_matches('=').trim_matches('\'');
    value.trim_end_matches(|c: char| c.is_ascii_alphabetic()) == "0"
}
