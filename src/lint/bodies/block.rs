//! What `DO` blocks run, for those who follow what a script makes: their statements, each at the byte of the script at
//! which it stands, and whether it runs at all events.

use std::ops::Range;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::plpgsql::Plpgsql;
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

use super::executed::{literal, rendered};
use super::variables::Variables;
use super::{Overlay, Written, source_range};
use crate::lint::calls::names_called;
use crate::lint::script::{Statement, statements_of};

/// The blocks of a script.
#[derive(Default)]
pub struct Blocks {
    /// Every statement that is known.
    pub statements: Vec<Statement>,
    /// Where what happens depends on something, or may be undone.
    unsure: Vec<Range<usize>>,
    /// What calls functions beside the statements.
    calls: Vec<(Range<usize>, SyntaxNode)>,
    /// What may do anything.
    opaque: Vec<Range<usize>>,
    /// The blocks that can be read at all.
    read: Vec<Range<usize>>,
}

/// A part of a block.
pub enum Part<'a> {
    /// A statement, and whether it may run or not.
    Statement(&'a Statement, bool),
    /// An expression that calls functions.
    Call(&'a SyntaxNode),
    /// Something that may do anything.
    Opaque,
}

/// Reads the blocks among some statements of a script.
pub fn blocks(script: &str, statements: &[Statement]) -> Blocks {
    let mut blocks = Blocks::default();
    let mut overlay = Overlay::default();
    for statement in statements {
        if let ast::Stmt::Do(_) = &statement.node
            && let Written::Plpgsql(parsed) = statement.written()
            && parsed.errors().is_empty()
        {
            blocks.read.push(statement.range.clone());
            let variables = Variables::of(&statement.node, &parsed.body);
            blocks.look(script, &parsed.body, &variables, &mut overlay);
        }
    }
    if let Some(text) = overlay.text() {
        let parse = SourceFile::parse(&text);
        blocks.statements = statements_of(&parse);
        let broken = parse.errors().into_iter().map(|e| usize::from(e.range().start()));
        blocks.opaque.extend(broken.map(|at| at..at));
    }
    blocks
}

impl Blocks {
    /// What runs in the block at `range`, in order; nothing where it cannot be read.
    pub fn within(&self, range: &Range<usize>) -> Option<Vec<(Range<usize>, Part<'_>)>> {
        self.read.contains(range).then_some(())?;
        let is_in = |part: &Range<usize>| range.contains(&part.start);
        let statement = |s| (s, Part::Statement(s, self.is_unsure(s)));
        let statements = self.statements.iter().filter(|s| is_in(&s.range)).map(statement);
        let mut parts: Vec<(Range<usize>, Part<'_>)> = statements.map(|(s, part)| (s.range.clone(), part)).collect();
        let calls = self.calls.iter().filter(|(at, _)| is_in(at));
        parts.extend(calls.map(|(at, node)| (at.clone(), Part::Call(node))));
        parts.extend(self.opaque.iter().filter(|at| is_in(at)).map(|at| (at.clone(), Part::Opaque)));
        parts.sort_by_key(|(at, _)| at.start);
        Some(parts)
    }

    /// Whether a statement may run or not.
    pub fn is_unsure(&self, statement: &Statement) -> bool {
        self.unsure.iter().any(|range| range.contains(&statement.range.start))
    }

    fn look(&mut self, script: &str, body: &Plpgsql, variables: &Variables, overlay: &mut Overlay) {
        let mut left = None;
        for node in body.syntax().descendants() {
            let range = source_range(body, &node);
            let text = || variables.filled(body, &node);
            match node.kind() {
                SyntaxKind::PLPGSQL_EXEC_SQL_STMT | SyntaxKind::PLPGSQL_CALL_STMT => {
                    overlay.put(script, range.start, &text());
                }
                SyntaxKind::PLPGSQL_PERFORM_STMT => overlay.put(script, range.start, &performed(&text())),
                SyntaxKind::PLPGSQL_DYN_EXECUTE_STMT => {
                    let query = ast::PlpgsqlDynExecuteStmt::cast(node.clone()).and_then(|execute| execute.query());
                    let sent = query.as_ref().and_then(rendered).map(|(_, text)| text);
                    match query.as_ref().and_then(literal) {
                        None if sent.is_some_and(|text| changes_rows_alone(&text)) => {}
                        Some((at, text)) => {
                            let start = range.start + (at - usize::from(node.text_range().start()));
                            overlay.put(script, start, &text);
                            overlay.put(script, start + text.len(), ";");
                        }
                        None => self.opaque.push(range),
                    }
                }
                SyntaxKind::PLPGSQL_FOR_DYN_STMT
                | SyntaxKind::PLPGSQL_DO_STMT
                | SyntaxKind::PLPGSQL_OPEN_STMT
                | SyntaxKind::PLPGSQL_ROLLBACK_STMT => self.opaque.push(range),
                SyntaxKind::PLPGSQL_RETURN_STMT => left = left.or(Some(range.end)),
                // Without a label it leaves a loop.
                SyntaxKind::PLPGSQL_EXIT_STMT
                    if node.children().any(|n| n.kind() == SyntaxKind::PLPGSQL_LABEL_NAME_REF) =>
                {
                    left = left.or(Some(range.end));
                }
                SyntaxKind::PLPGSQL_EXPR | SyntaxKind::SELECT if calls_something(&node) => {
                    self.calls.push((range, node));
                }
                _ => {}
            }
        }
        let whole = source_range(body, &body.syntax());
        self.unsure.extend(left.map(|at| at..whole.end));
        let depends = body.syntax().descendants().filter(depends);
        self.unsure.extend(depends.map(|node| source_range(body, &node)));
    }
}

/// Whether what stands within a node runs only where something holds, or is undone where something fails.
fn depends(node: &SyntaxNode) -> bool {
    match node.kind() {
        SyntaxKind::PLPGSQL_IF_STMT
        | SyntaxKind::PLPGSQL_CASE_STMT
        | SyntaxKind::PLPGSQL_LOOP_STMT
        | SyntaxKind::PLPGSQL_WHILE_STMT
        | SyntaxKind::PLPGSQL_FOR_CURSOR_STMT
        | SyntaxKind::PLPGSQL_FOR_DYN_STMT
        | SyntaxKind::PLPGSQL_FOR_EACH_STMT
        | SyntaxKind::PLPGSQL_FOR_I_STMT
        | SyntaxKind::PLPGSQL_FOR_QUERY_STMT => true,
        SyntaxKind::PLPGSQL_BLOCK => node.children().any(|n| n.kind() == SyntaxKind::PLPGSQL_EXCEPTION_SECTION),
        _ => false,
    }
}

/// Whether an SQL text changes rows, and nothing else.
fn changes_rows_alone(text: &str) -> bool {
    let rows = |stmt: ast::Stmt| matches!(stmt, ast::Stmt::Insert(_) | ast::Stmt::Update(_) | ast::Stmt::Delete(_));
    SourceFile::parse(text).tree().stmts().all(rows)
}

/// `PERFORM` is a `SELECT` whose rows nobody wants, and as long with a blank.
pub(super) fn performed(statement: &str) -> String {
    const WORD: &str = "perform";
    match statement.get(..WORD.len()) {
        Some(word) if word.eq_ignore_ascii_case(WORD) => format!(" SELECT{}", &statement[WORD.len()..]),
        _ => statement.to_owned(),
    }
}

/// Whether an expression, or the query of a loop, calls a function that might do more than look.
fn calls_something(node: &SyntaxNode) -> bool {
    const LOOKS: [&str; 26] = [
        "array_agg",
        "array_length",
        "avg",
        "btrim",
        "clock_timestamp",
        "concat",
        "count",
        "current_database",
        "current_setting",
        "format",
        "greatest",
        "least",
        "length",
        "lower",
        "max",
        "min",
        "now",
        "quote_ident",
        "quote_literal",
        "replace",
        "string_agg",
        "sum",
        "to_char",
        "trim",
        "unnest",
        "upper",
    ];
    let looks = |name: &String| {
        LOOKS.contains(&name.as_str()) || ["has_", "pg_get_", "to_reg"].iter().any(|begins| name.starts_with(begins))
    };
    let parent = node.parent().map(|n| n.kind());
    if node.kind() == SyntaxKind::SELECT && parent != Some(SyntaxKind::PLPGSQL_FOR_QUERY_STMT) {
        return false;
    }
    let speaks = node.ancestors().any(|n| n.kind() == SyntaxKind::PLPGSQL_RAISE_STMT);
    let executed = parent == Some(SyntaxKind::PLPGSQL_DYN_EXECUTE_STMT);
    !speaks && !executed && names_called(node).iter().any(|name| !looks(name))
}
