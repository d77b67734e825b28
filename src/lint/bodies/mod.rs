//! SQL inside `DO` blocks and function bodies. The statements of a body are laid over a blank copy of the script, each at
//! the byte at which it stands, so that every rule can judge them and every finding keeps its line.

mod block;
mod executed;
mod targets;
#[cfg(test)]
mod tests;
mod unread;
mod variables;
mod written;

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::body::{Body, BodyLanguage};
use squawk_syntax::plpgsql::Plpgsql;
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

use super::script::{Finding, Script, range_of};
use super::table::{self, RuleInfo};
use super::{Category, Severity, calls, corrections, rules, squawk, transactions};
use crate::ids::{Engine, Risk};
use crate::migration::execution::statements;

pub use block::{Blocks, Part, blocks};
pub use executed::without_placeholders;
pub use targets::{Parsed, parsed};
pub use unread::{broken_routine, is_foreign, unread};
pub use written::Written;

use block::performed;
use executed::{UNKNOWN, executes, rendered};
use variables::{VALUE, Variables};

/// A statement that destroys or gives away says one of these, and a call that gives another server a password. A body without any is not parsed where nobody calls it:
/// most functions are triggers that set a column.
const HARMFUL: [&str; 19] = [
    "alter",
    "copy",
    "create",
    "dblink",
    "delete",
    "drop",
    "grant",
    "lo_",
    "merge",
    "pg_cancel_backend",
    "pg_ls_dir",
    "pg_read_",
    "pg_stat_file",
    "pg_terminate_backend",
    "reassign",
    "replication",
    "revoke",
    "truncate",
    "update",
];

/// The rule about what looks like a secret: told where a function is defined.
const SECRET: &str = "secret-literal";

/// The statements of a script's bodies.
#[derive(Default)]
struct Bodies {
    /// What runs with the script: the bodies of `DO`, and of functions that it calls.
    now: Overlay,
    /// What runs when somebody calls it.
    later: Overlay,
    /// Bodies that commit between their statements.
    commits: Vec<Range<usize>>,
    /// The first `COMMIT` or `ROLLBACK` of each body that runs with the script, where PostgreSQL refuses it.
    refused: Vec<Finding>,
}

/// A blank text in which some statements stand.
#[derive(Default)]
struct Overlay {
    bytes: Vec<u8>,
    used: bool,
}

impl Overlay {
    fn put(&mut self, script: &str, at: usize, piece: &str) {
        if !self.used {
            self.used = true;
            self.bytes = script.bytes().map(|b| if b == b'\n' { b } else { b' ' }).collect();
        }
        if let Some(place) = self.bytes.get_mut(at..at + piece.len()) {
            place.copy_from_slice(piece.as_bytes());
        }
    }

    fn text(self) -> Option<String> {
        if self.used { String::from_utf8(self.bytes).ok() } else { None }
    }
}

/// What the rules that `on` names find in the bodies of a script.
pub fn findings(
    script: &Script<'_>,
    squawk: &squawk::Chosen,
    newer: &HashSet<String>,
    on: impl Fn(&RuleInfo) -> bool,
) -> Vec<Finding> {
    let mut found = Vec::new();
    if script.engine != Engine::Postgresql || !script.statements.iter().any(|s| has_body(&s.node)) {
        return found;
    }
    let called = calls::called(script).into_iter().map(|call| call.name).collect();
    let bodies = look(script, &called);
    let commits = bodies.commits;
    found.extend(bodies.refused);
    if let Some(text) = bodies.now.text() {
        outside_transactions(&text, &mut found);
        let judged = judge(&text, script, squawk, newer, &on);
        found.extend(judged.into_iter().filter(|f| !is_batch(f, &commits)));
    }
    if let Some(text) = bodies.later.text() {
        for mut finding in judge(&text, script, &squawk.only(is_harm), newer, |i| is_harm(i) && on(i)) {
            if finding.rule.id == SECRET {
                // Nobody has to call it for that.
                found.push(finding);
                continue;
            }
            finding.message = format!("whenever the function is called: {}", finding.message);
            finding.severity = finding.severity.or(finding.rule.severity).map(|s| s.min(Severity::Warning));
            finding.risk = Some(finding.risk.unwrap_or(finding.rule.risk).min(Risk::Medium));
            found.push(finding);
        }
    }
    found
}

/// What PostgreSQL refuses in the bodies that run with a script; all there is to say of a way back.
pub fn refused(script: &Script<'_>) -> Vec<Finding> {
    if script.engine != Engine::Postgresql || !script.statements.iter().any(|s| has_body(&s.node)) {
        return Vec::new();
    }
    let bodies = look(script, &calls::called(script).into_iter().map(|call| call.name).collect());
    let mut found = bodies.refused;
    if let Some(text) = bodies.now.text() {
        outside_transactions(&text, &mut found);
    }
    found
}

/// What the rules find in the body of the function `name` that an older script defines, when it is called now.
pub fn when_called(
    name: &str,
    older: &Script<'_>,
    squawk: &squawk::Chosen,
    on: impl Fn(&RuleInfo) -> bool,
) -> Vec<Finding> {
    let bodies = look(older, &BTreeSet::from([name.to_owned()]));
    let mut found = bodies.refused;
    if let Some(text) = bodies.now.text() {
        outside_transactions(&text, &mut found);
        let judged = judge(&text, older, squawk, &HashSet::new(), on);
        found.extend(judged.into_iter().filter(|f| !is_batch(f, &bodies.commits) && f.rule.id != SECRET));
    }
    found
}

/// The statements of all bodies of a script, whoever runs them, each where it stands in a text that is blank elsewhere.
pub fn within(script: &Script<'_>) -> Option<String> {
    if !script.statements.iter().any(|s| has_body(&s.node)) {
        return None;
    }
    look(script, &script.statements.iter().filter_map(|s| calls::defined(&s.node)).collect()).now.text()
}

/// Whether a name in a body has a part that is known only when the body runs.
pub fn is_unknown(name: &str) -> bool {
    name.contains(UNKNOWN)
}

/// Whether a rule is about what a function does to data and rights whenever it is called, or says to all readers.
fn is_harm(rule: &RuleInfo) -> bool {
    matches!(rule.category, Category::Destructive | Category::Security)
}

/// Whether the text of a function's definition could hold a statement that [`is_harm`]'s rules are about.
fn may_harm(definition: &str) -> bool {
    // What stands in front of the first quote is the function's head. A backslash may hide letters of a text.
    let body = definition.find(['$', '\'']).map_or(definition, |at| &definition[at..]).to_ascii_lowercase();
    body.contains('\\') || HARMFUL.iter().any(|word| body.contains(word))
}

/// The body that is written as statements, and the options of a function or a procedure.
fn parts(routine: &ast::Stmt) -> Option<(Option<ast::RoutineBody>, Option<ast::FuncOptionList>)> {
    match routine {
        ast::Stmt::CreateFunction(f) => Some((f.body(), f.option_list())),
        ast::Stmt::CreateProcedure(p) => Some((p.body(), p.option_list())),
        _ => None,
    }
}

fn has_body(node: &ast::Stmt) -> bool {
    matches!(node, ast::Stmt::Do(_) | ast::Stmt::CreateFunction(_) | ast::Stmt::CreateProcedure(_))
}

fn judge(
    text: &str,
    outer: &Script<'_>,
    squawk: &squawk::Chosen,
    newer: &HashSet<String>,
    on: impl Fn(&RuleInfo) -> bool,
) -> Vec<Finding> {
    let parse = SourceFile::parse(text);
    let script = Script::within(text, &parse, outer);
    let mut found = Vec::new();
    squawk.run(&script, &parse, &mut found);
    corrections::correct(&script, squawk, &mut found);
    rules::run(&script, |i| i.applies.to(Engine::Postgresql) && on(i), &mut found);
    corrections::told_once(&mut found);
    if found.is_empty() {
        return found;
    }
    let broken: BTreeSet<usize> =
        parse.errors().iter().filter_map(|e| script.statement_at(usize::from(e.range().start()))).collect();
    found.retain(|f| {
        !matches!(f.rule.category, Category::Style | Category::Structure)
            && !TIMEOUTS.contains(&f.rule.id)
            && script.statement_at(f.range.start).is_none_or(|s| !broken.contains(&s))
            && !script.concerns_only_new(f, newer)
    });
    for finding in &mut found {
        finding.tables = script.tables_at(finding);
        // What is written in a text may not be rewritten like a statement.
        finding.fix = None;
        if finding.message.contains(UNKNOWN) || finding.message.contains(VALUE) {
            finding.message = without_placeholders(&finding.message);
        }
    }
    found
}

/// What a whole script has to say, not each of its bodies.
const TIMEOUTS: [&str; 2] = ["require-lock-timeout", "require-statement-timeout"];

/// Whether a finding is about one of the steps of a body that commits each of them.
fn is_batch(finding: &Finding, commits: &[Range<usize>]) -> bool {
    matches!(finding.rule.id, "unbatched-change" | "unbatched-copy" | "ddl-with-backfill")
        && commits.iter().any(|body| body.contains(&finding.range.start))
}

/// Statements that PostgreSQL refuses inside any body.
fn outside_transactions(text: &str, found: &mut Vec<Finding>) {
    for statement in statements(Engine::Postgresql, text).into_iter().flatten() {
        if let Some(words) = statement.outside_transaction {
            let message = format!("{words} cannot run inside a `DO` block or a function");
            let help = "write it as a statement of its own, in a migration of its own";
            found.push(Finding::new(&table::MIXED_TRANSACTION, statement.range, message).with_help(help));
        }
    }
    transactions::sent(text, found);
}

/// A `COMMIT` or `ROLLBACK` of a body that runs in a transaction of somebody else, or in a function.
fn ends_transaction(script: &Script<'_>, statement: &ast::Stmt, body: &Plpgsql) -> Option<Finding> {
    let ends = |n: &SyntaxNode| matches!(n.kind(), SyntaxKind::PLPGSQL_COMMIT_STMT | SyntaxKind::PLPGSQL_ROLLBACK_STMT);
    let node = body.syntax().descendants().find(ends)?;
    let words = if node.kind() == SyntaxKind::PLPGSQL_COMMIT_STMT { "COMMIT" } else { "ROLLBACK" };
    let (message, help) = match statement {
        ast::Stmt::CreateFunction(_) => (
            format!("`{words}` in a function always fails (`invalid transaction termination`)"),
            "make it a procedure, call it with `CALL`, and mark the file that does with `-- godwit: no-transaction`",
        ),
        _ if script.in_transaction => (
            format!(
                "`{words}` in a `DO` block or a procedure fails (`invalid transaction termination`): the file runs as one \
                 transaction, which it cannot end"
            ),
            "leave it out; or mark the file with `-- godwit: no-transaction` to have it run statement by statement; or write \
             the change as a backfill in batches (`-- godwit: backfill=… key=…`)",
        ),
        _ => return None,
    };
    Some(Finding::new(&table::MIXED_TRANSACTION, source_range(body, &node), message).with_help(help))
}

/// The bodies of a script whose functions of these names are `called`.
fn look(script: &Script<'_>, called: &BTreeSet<String>) -> Bodies {
    let mut bodies = Bodies::default();
    for statement in &script.statements {
        let runs = match &statement.node {
            ast::Stmt::Do(_) => true,
            node => match calls::defined(node) {
                Some(name) => called.contains(&name),
                None => continue,
            },
        };
        if !runs && !may_harm(&script.text[statement.range.clone()]) {
            continue;
        }
        if let Some((Some(ast::RoutineBody::AtomicBody(body)), _)) = parts(&statement.node) {
            let overlay = if runs { &mut bodies.now } else { &mut bodies.later };
            put_atomic(script.text, &body, overlay);
            continue;
        }
        let overlay = if runs { &mut bodies.now } else { &mut bodies.later };
        match statement.written() {
            Written::Plpgsql(parsed) => {
                let body = &parsed.body;
                put_plpgsql(script.text, &statement.node, body, overlay);
                if body.syntax().descendants().any(|n| n.kind() == SyntaxKind::PLPGSQL_COMMIT_STMT) {
                    bodies.commits.push(statement.range.clone());
                }
                if runs {
                    bodies.refused.extend(ends_transaction(script, &statement.node, body));
                }
            }
            Written::Sql(parsed) if parsed.errors().is_empty() => {
                let body = &parsed.body;
                let whole = source_range(body, &body.syntax());
                overlay.put(script.text, whole.start, body.text());
                overlay.put(script.text, whole.end, ";");
            }
            Written::Sql(_) | Written::Nothing | Written::Unreadable => {}
        }
    }
    bodies
}

fn source_range<T: BodyLanguage>(body: &Body<T>, node: &SyntaxNode) -> Range<usize> {
    let range = body.source_range(node.text_range());
    usize::from(range.start())..usize::from(range.end())
}

/// A body that is written as statements, not as a text.
fn put_atomic(script: &str, body: &ast::AtomicBody, overlay: &mut Overlay) {
    for statement in body.routine_body_stmts() {
        let range = range_of(statement.syntax());
        overlay.put(script, range.start, &script[range.clone()]);
        if !script[range.clone()].ends_with(';') {
            overlay.put(script, range.end, ";");
        }
    }
}

fn put_plpgsql(script: &str, routine: &ast::Stmt, body: &Plpgsql, overlay: &mut Overlay) {
    let tree = body.syntax();
    let variables = Variables::of(routine, body);
    for node in tree.descendants() {
        let at = source_range(body, &node).start;
        match node.kind() {
            SyntaxKind::PLPGSQL_EXEC_SQL_STMT => overlay.put(script, at, &variables.filled(body, &node)),
            SyntaxKind::PLPGSQL_PERFORM_STMT => overlay.put(script, at, &performed(&variables.filled(body, &node))),
            _ => {}
        }
    }
    for execute in executes(&tree) {
        let Some((at, text)) = execute.query().and_then(|q| rendered(&q)) else { continue };
        // Exact unless quotes are doubled between the two.
        let within = at - usize::from(execute.syntax().text_range().start());
        let start = source_range(body, execute.syntax()).start + within;
        overlay.put(script, start, &text);
        overlay.put(script, start + text.len(), ";");
    }
}
