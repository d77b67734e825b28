//! SQL inside `DO` blocks and function bodies. The statements of a body are laid over a blank copy of the script, each at
//! the byte at which it stands, so that every rule can judge them and every finding keeps its line.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use squawk_lexer::{TokenKind, tokenize};
use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::body::{Body, BodyLanguage};
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

use super::script::{Finding, Script, builtin, name_of, range_of};
use super::table::{self, RuleInfo};
use super::{Category, Severity, calls, corrections, depth, rules, squawk, transactions};
use crate::ids::{Engine, Risk};
use crate::migration::execution::statements;

/// Stands for a name that is only known when the body runs. Two bytes, as `%I` has; nobody writes it.
const UNKNOWN: &str = "ǝ";
/// Words that open a level of PL/pgSQL; a body with more of them than this is not looked into.
const OPENERS: [&str; 4] = ["begin", "if", "loop", "case"];

/// A statement that destroys or gives away says one of these. A body without any is not parsed where nobody calls it:
/// most functions are triggers that set a column.
const HARMFUL: [&str; 12] = [
    "alter",
    "copy",
    "create",
    "delete",
    "drop",
    "grant",
    "merge",
    "reassign",
    "replication",
    "revoke",
    "truncate",
    "update",
];

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
        found.extend(judged.into_iter().filter(|f| !is_batch(f, &bodies.commits) && f.rule.id != "secret-literal"));
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

/// Whether a rule is about what a function does to data and rights whenever it is called. What looks like a secret is told
/// where the function is defined.
fn is_harm(rule: &RuleInfo) -> bool {
    matches!(rule.category, Category::Destructive | Category::Security) && rule.id != "secret-literal"
}

/// Whether the text of a function's definition could hold a statement that [`is_harm`]'s rules are about.
fn may_harm(definition: &str) -> bool {
    // What stands in front of the first quote is the function's head. A backslash may hide letters of a text.
    let body = definition.find(['$', '\'']).map_or(definition, |at| &definition[at..]).to_ascii_lowercase();
    body.contains('\\') || HARMFUL.iter().any(|word| body.contains(word))
}

/// The part of a `DO` block in `script` that no rule can look into, if there is one, and why.
pub fn unread(script: &str, block: &ast::Do) -> Option<(Range<usize>, &'static str)> {
    let whole = range_of(block.syntax());
    if block.do_language().is_some_and(|l| l.language_ref().is_some_and(|r| name_of(r.syntax()) != "plpgsql")) {
        return Some((whole, "it is written in another language than PL/pgSQL"));
    }
    let Some(body) = block.body().filter(is_bounded).and_then(|_| block.plpgsql()) else {
        return Some((whole, "its body is too deep, or no text"));
    };
    broken(script, &body).or_else(|| unread_within(&body))
}

/// The same of the body of a function or a procedure.
pub fn unread_routine(script: &str, routine: &ast::Stmt) -> Option<(Range<usize>, &'static str)> {
    let whole = range_of(routine.syntax());
    let (atomic, options) = parts(routine)?;
    if atomic.is_some() {
        return None;
    }
    if is_foreign(routine) {
        return Some((whole, "it is written in another language than SQL or PL/pgSQL"));
    }
    if !options_are_bounded(options) {
        return Some((whole, "its body is too deep, or no text"));
    }
    match texts(routine) {
        (Some(body), _) => broken(script, &body).or_else(|| unread_within(&body)),
        (None, sql) => sql.is_some_and(|b| !b.errors().is_empty()).then_some((whole, "its body does not read as SQL")),
    }
}

/// The part of the body of a function or a procedure in `script` that does not read as PL/pgSQL, and why. Nothing of bodies
/// that are too deep to be looked into, or in other languages; what does not read as SQL is told with the script.
pub fn broken_routine(script: &str, routine: &ast::Stmt) -> Option<(Range<usize>, &'static str)> {
    let (atomic, options) = parts(routine)?;
    if atomic.is_some() || is_foreign(routine) || !options_are_bounded(options) {
        return None;
    }
    texts(routine).0.and_then(|body| broken(script, &body))
}

/// The body that is a text, as PL/pgSQL or as SQL.
fn texts(routine: &ast::Stmt) -> (Option<squawk_syntax::plpgsql::Plpgsql>, Option<squawk_syntax::sql_body::SqlBody>) {
    match routine {
        ast::Stmt::CreateFunction(f) => (f.plpgsql(), f.sql_body()),
        ast::Stmt::CreateProcedure(p) => (p.plpgsql(), p.sql_body()),
        _ => (None, None),
    }
}

/// The first statement of a PL/pgSQL body that does not parse. The parser does not know the `INTO` by which a query fills
/// variables: what has one is passed over.
fn broken(script: &str, body: &squawk_syntax::plpgsql::Plpgsql) -> Option<(Range<usize>, &'static str)> {
    let errors = body.errors();
    let at = errors.iter().map(|e| usize::from(e.range().start())).find(|at| !fills_variables(script, *at))?;
    let at = at.min(script.len());
    let line = script[at..].lines().next().unwrap_or_default();
    Some((at..at + line.trim_end().len(), "it does not read as PL/pgSQL"))
}

/// Whether the query that begins at a byte of a script has an `INTO` that is not of `INSERT INTO` or `MERGE INTO`.
fn fills_variables(script: &str, at: usize) -> bool {
    let Some(text) = script.get(at..) else { return false };
    let (mut start, mut parens, mut previous) = (0usize, 0i32, "");
    for token in tokenize(text) {
        let word = &text[start..start + token.len as usize];
        start += token.len as usize;
        match token.kind {
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => continue,
            TokenKind::OpenParen => parens += 1,
            TokenKind::CloseParen => parens -= 1,
            TokenKind::Semi => return false,
            TokenKind::Ident
                if parens == 0
                    && word.eq_ignore_ascii_case("into")
                    && !["insert", "merge"].iter().any(|verb| previous.eq_ignore_ascii_case(verb)) =>
            {
                return true;
            }
            _ => {}
        }
        previous = word;
    }
    false
}

/// Whether a function or a procedure is written in another language than SQL or PL/pgSQL.
pub fn is_foreign(routine: &ast::Stmt) -> bool {
    let Some((_, Some(options))) = parts(routine) else { return false };
    options.options().any(|option| {
        let ast::FuncOption::LanguageFuncOption(language) = option else { return false };
        let written = language.language_ref().map(|l| name_of(l.syntax()));
        let name = written.or_else(|| language.literal()?.string_value().map(|l| l.to_ascii_lowercase()));
        name.is_some_and(|name| name != "sql" && name != "plpgsql")
    })
}

/// The body that is written as statements, and the options of a function or a procedure.
fn parts(routine: &ast::Stmt) -> Option<(Option<ast::RoutineBody>, Option<ast::FuncOptionList>)> {
    match routine {
        ast::Stmt::CreateFunction(f) => Some((f.body(), f.option_list())),
        ast::Stmt::CreateProcedure(p) => Some((p.body(), p.option_list())),
        _ => None,
    }
}

fn unread_within(body: &squawk_syntax::plpgsql::Plpgsql) -> Option<(Range<usize>, &'static str)> {
    let opaque = executes(&body.syntax()).find(|e| e.query().and_then(|q| rendered(&q)).is_none())?;
    let range = body.source_range(opaque.syntax().text_range());
    Some((usize::from(range.start())..usize::from(range.end()), "its SQL is put together while it runs"))
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
        if finding.message.contains(UNKNOWN) {
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
fn ends_transaction(
    script: &Script<'_>,
    statement: &ast::Stmt,
    body: &squawk_syntax::plpgsql::Plpgsql,
) -> Option<Finding> {
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
        let (plpgsql, sql) = match &statement.node {
            ast::Stmt::Do(block) => (block.body().filter(is_bounded).and_then(|_| block.plpgsql()), None),
            ast::Stmt::CreateFunction(f) if options_are_bounded(f.option_list()) => (f.plpgsql(), f.sql_body()),
            ast::Stmt::CreateProcedure(p) if options_are_bounded(p.option_list()) => (p.plpgsql(), p.sql_body()),
            _ => continue,
        };
        let overlay = if runs { &mut bodies.now } else { &mut bodies.later };
        if let Some(body) = plpgsql {
            put_plpgsql(script.text, &body, overlay);
            if body.syntax().descendants().any(|n| n.kind() == SyntaxKind::PLPGSQL_COMMIT_STMT) {
                bodies.commits.push(statement.range.clone());
            }
            if runs {
                bodies.refused.extend(ends_transaction(script, &statement.node, &body));
            }
        } else if let Some(body) = sql.filter(|b| b.errors().is_empty()) {
            let whole = source_range(&body, &body.syntax());
            overlay.put(script.text, whole.start, body.text());
            overlay.put(script.text, whole.end, ";");
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

fn put_plpgsql(script: &str, body: &squawk_syntax::plpgsql::Plpgsql, overlay: &mut Overlay) {
    let tree = body.syntax();
    for node in tree.descendants() {
        if node.kind() == SyntaxKind::PLPGSQL_EXEC_SQL_STMT {
            let at = source_range(body, &node).start;
            let range = node.text_range();
            overlay.put(script, at, &body.text()[usize::from(range.start())..usize::from(range.end())]);
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

fn executes(tree: &SyntaxNode) -> impl Iterator<Item = ast::PlpgsqlDynExecuteStmt> {
    tree.descendants().filter_map(ast::PlpgsqlDynExecuteStmt::cast)
}

fn options_are_bounded(options: Option<ast::FuncOptionList>) -> bool {
    options.is_some_and(|o| o.syntax().descendants().filter_map(ast::Literal::cast).all(|l| is_bounded(&l)))
}

/// Whether a body can be parsed without running out of stack.
pub(super) fn is_bounded(literal: &ast::Literal) -> bool {
    let Some(text) = literal.string_value() else { return false };
    let opened = || {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|w| OPENERS.iter().any(|o| w.eq_ignore_ascii_case(o)))
            .count()
    };
    depth::is_bounded(&text) && opened() <= depth::MAX_DEPTH
}

/// The SQL that an `EXECUTE` sends, and the byte of the body at which it begins: a text, `format` of a text, or texts
/// joined with names. Nothing where it cannot be told, or is no SQL by itself.
fn rendered(query: &ast::PlpgsqlExpr) -> Option<(usize, String)> {
    let expr = query.target_list()?.targets().next()?.expr()?;
    let (at, text) = piece(&expr)?;
    (depth::is_bounded(&text) && SourceFile::parse(&text).errors().is_empty()).then_some((at, text))
}

fn piece(expr: &ast::Expr) -> Option<(usize, String)> {
    match expr {
        ast::Expr::Literal(literal) => text_of(literal),
        ast::Expr::ParenExpr(inner) => piece(&inner.expr()?),
        ast::Expr::CallExpr(call) => {
            if builtin(call)? != "format" {
                return None;
            }
            let ast::FuncArgExpr::Expr(first) = call.arg_list()?.args().next()?.func_arg_expr()? else { return None };
            let (at, text) = piece(&first)?;
            Some((at, filled(&text)))
        }
        ast::Expr::BinExpr(_) => joined(expr),
        _ => None,
    }
}

fn text_of(literal: &ast::Literal) -> Option<(usize, String)> {
    let decoded = literal.decoded_value()?;
    Some((usize::from(decoded.source_pos(0u32.into())), decoded.into_text()))
}

/// One operand of a chain of `||`: where it stands, and its text with the byte at which that begins.
struct Operand {
    range: Range<usize>,
    text: Option<(usize, String)>,
}

fn operands(expr: &ast::Expr, out: &mut Vec<Operand>) -> Option<()> {
    let start = usize::from(expr.syntax().text_range().start());
    let range = start..usize::from(expr.syntax().text_range().end());
    match expr {
        ast::Expr::BinExpr(both) => {
            let (left, right) = (both.lhs()?, both.rhs()?);
            let between = usize::from(left.syntax().text_range().end()) - start
                ..usize::from(right.syntax().text_range().start()) - start;
            (both.syntax().text().to_string().get(between)?.trim() == "||").then_some(())?;
            operands(&left, out)?;
            operands(&right, out)?;
        }
        ast::Expr::Literal(literal) => out.push(Operand { range, text: Some(text_of(literal)?) }),
        _ => out.push(Operand { range, text: None }),
    }
    Some(())
}

/// The texts of a chain, with something like a name wherever something else stands.
fn joined(expr: &ast::Expr) -> Option<(usize, String)> {
    let mut chain = Vec::new();
    operands(expr, &mut chain)?;
    let first = chain.first()?;
    let start = first.text.as_ref().map_or(first.range.start, |(at, _)| *at);
    let mut out = String::new();
    let mut named = false;
    for operand in &chain {
        match &operand.text {
            Some((at, text)) => {
                let gap = at.checked_sub(start + out.len())?;
                out.push_str(&if named { placeholder(gap) } else { " ".repeat(gap) });
                out.push_str(text);
                named = false;
            }
            None => named = true,
        }
    }
    let rest = chain.last()?.range.end.checked_sub(start + out.len())?;
    out.push_str(&placeholder(if named { rest } else { 0 }));
    Some((start, out))
}

/// Something like a name, of so many bytes.
fn placeholder(bytes: usize) -> String {
    let mut out = UNKNOWN.repeat(bytes / UNKNOWN.len());
    out.push_str(if bytes % UNKNOWN.len() == 1 { "_" } else { "" });
    out
}

/// A text for `format` with something in the places that it fills.
fn filled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let spec = &rest[at + 1..];
        let Some(end) = spec.find(|c: char| !matches!(c, '0'..='9' | '$' | '-' | '*')) else { break };
        let width = 1 + end + 1;
        match spec.as_bytes()[end] {
            b'%' => out.push_str(" %"),
            b'L' => out.push_str(&format!("'{}'", " ".repeat(width - 2))),
            b'I' | b's' => out.push_str(&placeholder(width)),
            _ => return out,
        }
        rest = &spec[end + 1..];
    }
    out.push_str(rest);
    out
}

/// A message in which names that nobody knows yet are dots.
pub fn without_placeholders(message: &str) -> String {
    let mut out = String::new();
    let mut parts = message.split(UNKNOWN);
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        if !out.ends_with('…') {
            out.push('…');
        }
        out.push_str(part.strip_prefix('_').unwrap_or(part));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::{Violation, sample};

    fn found(sql: &str) -> Vec<Violation> {
        sample(&[("0001_m.up.sql", sql)]).0.violations
    }

    /// `rule line` of every finding but those about the file itself.
    fn told(sql: &str) -> Vec<String> {
        let about = |v: &&Violation| !["missing-down"].contains(&v.rule.as_str());
        found(sql).iter().filter(about).map(|v| format!("{} {}", v.rule, v.line)).collect()
    }

    #[test]
    fn f220_statements_of_a_block_are_judged_where_they_stand() {
        let sql = "select 1;\nDO $$\nDECLARE n int := 0;\nBEGIN\n  IF n = 0 THEN\n    ALTER TABLE t\n      DROP COLUMN c;\n  \
                   END IF;\n  FOR n IN 1..3 LOOP\n    UPDATE t SET a = n;\n  END LOOP;\nEXCEPTION WHEN others THEN\n  \
                   TRUNCATE t;\nEND $$;\n";
        assert_eq!(
            told(sql),
            ["ban-drop-column 7", "ddl-with-backfill 10", "update-without-where 10", "truncate-table 13"]
        );
    }

    #[test]
    fn p180_texts_that_a_block_executes_are_read() {
        for (body, expected) in [
            ("EXECUTE 'drop table t cascade';", vec!["ban-drop-table 2", "drop-cascade 2"]),
            ("EXECUTE $q$ update t set a = 1 $q$;", vec!["update-without-where 2"]),
            ("EXECUTE 'update t set a = ''x''';", vec!["update-without-where 2"]),
            ("EXECUTE format('truncate %I', r);", vec!["truncate-table 2"]),
            ("EXECUTE format('delete from %I.%I', r, r);", vec!["delete-without-where 2"]),
            ("EXECUTE format('update %I set a = %L where id = 1', r, r);", vec![]),
            ("EXECUTE 'truncate ' || quote_ident(r);", vec!["truncate-table 2"]),
            ("EXECUTE 'drop table part_' || n || ' cascade';", vec!["ban-drop-table 2", "drop-cascade 2"]),
            ("EXECUTE r;", vec!["opaque-block 2"]),
            ("EXECUTE 'update t set a = 1 ' || condition;", vec!["opaque-block 2"]),
            ("EXECUTE 'create index concurrently i on t (a)';", vec!["mixed-transaction 2"]),
            ("EXECUTE 'select count(*) from t' INTO n;", vec![]),
        ] {
            assert_eq!(told(&format!("DO $$ BEGIN\n{body}\nEND $$;")), expected, "{body}");
        }
        let named = found("DO $$ BEGIN EXECUTE format('truncate %I', r); END $$;");
        let truncated = named.iter().find(|v| v.rule == "truncate-table").expect("told");
        assert!(truncated.message.contains("`…`") && !truncated.message.contains(UNKNOWN), "{}", truncated.message);
    }

    #[test]
    fn f220_a_body_that_is_written_as_statements_is_judged_as_one_that_is_a_text() {
        for kind in ["PROCEDURE p()", "FUNCTION p() RETURNS void"] {
            let body = format!("CREATE {kind} LANGUAGE sql BEGIN ATOMIC\n  SELECT 1;\n  DELETE FROM t;\nEND;\n");
            let defined = found(&body);
            let delete = defined.iter().find(|v| v.rule == "delete-without-where").unwrap_or_else(|| panic!("{kind}"));
            assert_eq!((delete.line, delete.severity), (3, Severity::Warning), "{kind}");
            let called = found(&format!("{body}CALL p();"));
            let delete = called.iter().find(|v| v.rule == "delete-without-where").unwrap_or_else(|| panic!("{kind}"));
            assert_eq!((delete.line, delete.severity), (3, Severity::Error), "{kind}");
        }
        assert_eq!(told("CREATE FUNCTION n() RETURNS int LANGUAGE sql RETURN (SELECT count(*) FROM t);"), [""; 0]);
        // The server's own functions, with their schema or without.
        let body = "EXECUTE pg_catalog.format('truncate %I', r);";
        assert_eq!(told(&format!("DO $$ BEGIN\n{body}\nEND $$;")), ["truncate-table 2"]);
    }

    #[test]
    fn what_a_block_creates_itself_is_new_to_it() {
        assert_eq!(
            told("CREATE TABLE n (id bigint PRIMARY KEY);\nDO $$ BEGIN CREATE INDEX i ON n (id); END $$;"),
            [""; 0]
        );
        assert_eq!(told("DO $$ BEGIN CREATE TABLE n (id int); ALTER TABLE n ALTER id SET NOT NULL; END $$;"), [""; 0]);
    }

    #[test]
    fn a_function_is_judged_by_what_it_destroys_and_in_full_when_it_is_called() {
        let body = "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  DELETE FROM t;\n  \
                    CREATE INDEX i ON t (a);\nEND $$;\n";
        let defined = found(body);
        let delete = defined.iter().find(|v| v.rule == "delete-without-where").expect("told");
        assert_eq!((delete.line, delete.severity, delete.risk), (3, Severity::Warning, Risk::Medium));
        assert!(delete.message.starts_with("whenever the function is called: "));
        assert_eq!(told(body), ["delete-without-where 3"]);
        for call in ["SELECT f();", "DO $$ BEGIN PERFORM f(); END $$;"] {
            let called = found(&format!("{body}{call}"));
            let of = |rule: &str| called.iter().find(|v| v.rule == rule).map(|v| (v.line, v.severity, v.risk));
            assert_eq!(of("delete-without-where"), Some((3, Severity::Error, Risk::High)), "{call}");
            assert_eq!(of("require-concurrent-index-creation"), Some((4, Severity::Warning, Risk::High)), "{call}");
        }
        let sql = "CREATE FUNCTION g() RETURNS void LANGUAGE sql AS $$\n  DELETE FROM t\n$$;";
        assert_eq!(told(sql), ["delete-without-where 2"]);
    }

    #[test]
    fn words_hide_no_harm() {
        let own = rules::OWN.iter().filter(|r| is_harm(&r.info) && r.info.applies.to(Engine::Postgresql));
        for sql in own.flat_map(|r| r.bad) {
            // Rules about functions and roles name the rest in front of the quote.
            assert!(may_harm(&format!("create function f() returns void language sql as $${sql}$$")), "{sql}");
        }
        for (_, info) in table::SQUAWK.iter().filter(|(_, i)| is_harm(i)) {
            let word = info.id.split('-').find(|w| HARMFUL.contains(w));
            assert!(word.is_some() || info.id == "ban-disable-trigger", "{}", info.id);
        }
        assert!(!may_harm("create function update_time() returns trigger as $$begin new.at := now(); end$$"));
    }

    #[test]
    fn a_body_that_commits_its_batches_is_no_bulk_change() {
        let block = |commit: &str| {
            format!(
                "DO $$ BEGIN LOOP UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t WHERE a IS NULL LIMIT 9); EXIT WHEN NOT FOUND; {commit} END LOOP; END $$;"
            )
        };
        assert_eq!(told(&block("")), ["unbatched-change 1"]);
        // It can do so only where it is not in the file's transaction.
        assert_eq!(told(&format!("-- godwit: no-transaction\n{}", block("COMMIT;"))), ["unprovable-step 2"]);
        assert_eq!(told(&block("COMMIT;")), ["mixed-transaction 1"]);
    }

    #[test]
    fn f215_a_body_that_ends_the_transaction_of_its_file_is_told() {
        let mark = "-- godwit: no-transaction\n";
        for end in ["COMMIT;", "ROLLBACK;", "COMMIT AND CHAIN;"] {
            let block = format!("SELECT 1;\nDO $$ BEGIN\nUPDATE t SET a = 1 WHERE id = 2;\n{end}\nEND $$;\n");
            let all = found(&block);
            let told = all.iter().find(|v| v.rule == "mixed-transaction").unwrap_or_else(|| panic!("{end}: {all:?}"));
            assert_eq!((told.line, told.severity), (4, Severity::Error), "{end}");
            assert!(
                told.message.starts_with(&format!("`{}` in a `DO`", &end[..end.find([' ', ';']).expect("an end")]))
            );
            assert!(!found(&format!("{mark}{block}")).iter().any(|v| v.rule == "mixed-transaction"), "{end}");
            let define = format!("CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN\n{end}\nEND $$;\n");
            let refused = |files: &[(&str, &str)]| -> Vec<String> {
                let all = sample(files).0.violations;
                let of = all.iter().filter(|v| v.rule == "mixed-transaction");
                of.map(|v| format!("{}:{}", v.file, v.line)).collect()
            };
            assert_eq!(refused(&[("0001_p.up.sql", &define)]), [""; 0], "{end}");
            assert_eq!(refused(&[("0001_p.up.sql", &format!("{define}CALL p();"))]), ["0001_p.up.sql:2"], "{end}");
            let later = |call: &str| refused(&[("0001_p.up.sql", &define), ("0002_c.up.sql", call)]);
            assert_eq!(later("SELECT 1;\nCALL p();"), ["0002_c.up.sql:2"], "{end}");
            assert_eq!(later("DO $$ BEGIN CALL p(); END $$;"), ["0002_c.up.sql:1"], "{end}");
            assert_eq!(later(&format!("{mark}CALL p();")), [""; 0], "{end}");
            // A function can end no transaction, whoever calls it.
            let function = define.replace("PROCEDURE p()", "FUNCTION p() RETURNS void");
            assert_eq!(
                refused(&[("0001_p.up.sql", &function), ("0002_c.up.sql", &format!("{mark}SELECT p();"))]),
                ["0002_c.up.sql:2"],
                "{end}"
            );
        }
    }

    #[test]
    fn deep_and_broken_bodies_end_nothing() {
        for body in
            ["BEGIN ".repeat(50_000), "IF ".repeat(50_000), format!("BEGIN EXECUTE '{}'; END", "(".repeat(50_000))]
        {
            let rules: Vec<String> = found(&format!("DO $$ {body} $$;")).into_iter().map(|v| v.rule).collect();
            assert!(rules.iter().any(|r| r == "opaque-block" || r == "not-analysed"), "{rules:?}");
        }
        for sql in ["DO 'begin execute ''x; end';", "DO $$ this is nothing $$;", "DO LANGUAGE plpgsql $$ $$;", "DO;"] {
            found(sql);
        }
    }

    #[test]
    fn f220_what_does_not_parse_within_a_body_is_told_where_it_stands() {
        for body in [
            "UPDATE t SET;",
            "ALTER TABLE t DROP COLUM c d;",
            "UPDAET t SET a = 1 WHERE id = 2;",
            "IF n = 1 THEN\nDELETE FORM t WHERE id = 1;\nEND IF;",
            "INSERT INTO t VALUES (1;",
            "RAISE NOTICE 'a'\nUPDATE t SET a = 1 WHERE id = 2;",
        ] {
            for (block, risk) in [
                (format!("SELECT 1;\nDO $$ BEGIN\n{body}\nEND $$;"), Risk::High),
                (format!("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN\n{body}\nEND $$;"), Risk::Low),
            ] {
                let all = found(&block);
                let told = all.iter().find(|v| v.rule == "opaque-block").unwrap_or_else(|| panic!("{block}: {all:?}"));
                assert_eq!((told.severity, told.risk), (Severity::Warning, risk), "{block}");
                assert!(told.line > 1, "{block}: {told:?}");
            }
        }
        // What is written in SQL is told like a statement of the script.
        let sql = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELEC 1 $$;";
        assert!(told(sql).iter().all(|told| told == "syntax-error 1"), "{:?}", told(sql));
    }

    #[test]
    fn f220_what_is_plpgsql_alone_is_no_mistake() {
        let body = "\n#variable_conflict use_column\n<<whole>>\nDECLARE\n  n CONSTANT int := 3; v t.a%TYPE; r t%ROWTYPE; c CURSOR (x int) FOR SELECT a FROM t; x ALIAS FOR $1;\n\
            BEGIN\n  n := n + 1; r.a = 2; list[2] := 3; SELECT a, b INTO STRICT n, v FROM t WHERE id = 1; SELECT INTO v a FROM t;\n  \
            INSERT INTO t (a) VALUES (1) RETURNING id INTO n; WITH x AS (SELECT 1 AS a) SELECT a INTO n FROM x;\n  \
            UPDATE t SET a = 1 WHERE id = 2 RETURNING a INTO v; DELETE FROM t WHERE id = 9 RETURNING * INTO r;\n  \
            IF n > 1 THEN RAISE NOTICE 'a % b', n; ELSIF FOUND THEN NULL; ELSE RAISE EXCEPTION USING ERRCODE = '22012'; END IF;\n  \
            <<inner>> FOR r IN SELECT * FROM t LOOP CONTINUE inner WHEN r.a = 1; EXIT; END LOOP;\n  \
            FOR i IN REVERSE 10..1 BY 2 LOOP PERFORM f(i); END LOOP; FOREACH v SLICE 1 IN ARRAY list LOOP RETURN NEXT v; END LOOP;\n  \
            WHILE n < 3 LOOP n := n + 1; END LOOP; CASE n WHEN 1 THEN NULL; ELSE NULL; END CASE;\n  \
            OPEN c(3); FETCH NEXT FROM c INTO n; MOVE FORWARD 2 IN c; CLOSE c; ASSERT n > 0, 'none';\n  \
            GET DIAGNOSTICS n = ROW_COUNT; EXECUTE 'select 1' INTO n USING v; CALL p(n); RETURN QUERY SELECT 1;\n\
            EXCEPTION WHEN unique_violation OR SQLSTATE '22012' THEN GET STACKED DIAGNOSTICS v = MESSAGE_TEXT; RAISE;\n\
            END";
        for sql in [
            format!("CREATE FUNCTION f(int) RETURNS SETOF int LANGUAGE plpgsql AS $$ {body} $$;"),
            format!("DO $$ {body} $$;"),
        ] {
            let all = found(&sql);
            let opaque: Vec<_> = all.iter().filter(|v| v.rule == "opaque-block").collect();
            assert!(opaque.is_empty(), "{opaque:?}");
        }
    }
}
