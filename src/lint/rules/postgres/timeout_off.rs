//! `SET lock_timeout = 0` and the like.

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
    ],
    bad: &[
        "set lock_timeout = 0; alter table t add column a int;",
        "set local statement_timeout to '0'; update t set a = 1 where id = 7;",
        "set idle_in_transaction_session_timeout = '0s'; alter table t add column a int;",
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
    let ast::Stmt::Set(set) = &statement.node else { return };
    let text = name_of(set.syntax());
    let words = text.trim_end_matches(';').trim_start_matches("set");
    let words = words.trim_start_matches("local").trim_start_matches("session");
    let Some((name, outcome)) = BOUNDS.iter().find(|(name, _)| words.starts_with(name)) else { return };
    let value = words[name.len()..].trim_start_matches("to").trim_start_matches('=').trim_matches('\'');
    let is_none = value.trim_end_matches(|c: char| c.is_ascii_alphabetic()) == "0";
    // A dump that creates everything itself waits for nobody.
    let meets_others = script.statements[index..]
        .iter()
        .enumerate()
        .any(|(n, s)| tables_of(&s.node).iter().any(|table| !script.creates_before(table, index + n)));
    if is_none && meets_others {
        let finding = report.add(set.syntax(), format!("`{name}` is off from here on: {outcome}"));
        let mut range = statement.range.clone();
        let behind = &script.text[range.end..];
        range.end += behind.len() - behind.trim_start_matches(['\r', '\n', ' ']).len();
        finding.fix =
            Some(Rewrite { title: "Leave it to the run's own bounds".to_owned(), edits: vec![(range, String::new())] });
    }
}
