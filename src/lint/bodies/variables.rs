//! What a body of PL/pgSQL calls its own: parameters, variables, what a loop or a trigger has in hand. Where a query of the
//! body names one, it gives a value; it is no column. (A name that is both is refused by PostgreSQL, unless the body says
//! which of them it means.)

use std::collections::BTreeSet;
use std::ops::Range;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::plpgsql::Plpgsql;
use squawk_syntax::{SyntaxKind, SyntaxNode};

use crate::lint::calls;
use crate::lint::script::name_of;

/// Begins what stands for the value of a variable: a parameter that nobody writes, as they are counted from one.
pub(super) const VALUE: &str = "$0";

/// What every body has.
const EVERYWHERE: [&str; 3] = ["found", "sqlerrm", "sqlstate"];

/// What a trigger's function has besides.
const OF_TRIGGERS: [&str; 13] = [
    "new",
    "old",
    "tg_argv",
    "tg_event",
    "tg_level",
    "tg_name",
    "tg_nargs",
    "tg_op",
    "tg_relid",
    "tg_table_name",
    "tg_table_schema",
    "tg_tag",
    "tg_when",
];

/// The variables of a body.
pub(super) struct Variables {
    /// Those that are there from its beginning to its end.
    names: BTreeSet<String>,
    /// The routine's own name, which a parameter may have in front.
    routine: Option<String>,
    /// Whether columns go first.
    yield_to_columns: bool,
}

impl Variables {
    /// Those of the body of a function, a procedure or a `DO` block.
    pub(super) fn of(routine: &ast::Stmt, body: &Plpgsql) -> Self {
        let prefers_columns = |option: SyntaxNode| {
            option.kind() == SyntaxKind::PLPGSQL_COMP_OPTION_VARIABLE_CONFLICT
                && option.text().to_string().to_ascii_lowercase().contains("use_column")
        };
        let yield_to_columns = body.syntax().children().any(prefers_columns);
        let mut names: BTreeSet<String> = EVERYWHERE.map(str::to_owned).into();
        let (params, returns) = match routine {
            ast::Stmt::CreateFunction(f) => (f.param_list(), f.ret_type()),
            ast::Stmt::CreateProcedure(p) => (p.param_list(), None),
            _ => (None, None),
        };
        names.extend(named(params.iter().map(AstNode::syntax), SyntaxKind::PARAM_NAME));
        if let Some(returns) = returns {
            names.extend(named([returns.syntax()], SyntaxKind::COLUMN_NAME));
            if returns.syntax().text().to_string().to_ascii_lowercase().contains("trigger") {
                names.extend(OF_TRIGGERS.map(str::to_owned));
            }
        }
        Self { names, routine: calls::defined(routine), yield_to_columns }
    }

    /// The text of a part of the body, with values in the place of the variables that its queries name: byte for byte.
    pub(super) fn filled(&self, body: &Plpgsql, part: &SyntaxNode) -> String {
        let start = usize::from(part.text_range().start());
        let mut text = body.text()[start..usize::from(part.text_range().end())].to_owned();
        // What a loop does with one value after another it does to who knows how many rows.
        let is_repeated = part.ancestors().any(|around| is_loop(around.kind()));
        if self.yield_to_columns || is_repeated || !part.children().any(|child| is_query(child.kind())) {
            return text;
        }
        let mut names = self.names.clone();
        part.ancestors().for_each(|around| names.extend(declared(&around)));
        let relations = relations(part);
        for name in part.descendants().filter(|n| n.kind() == SyntaxKind::NAME_REF) {
            let called = name_of(&name);
            let is_routine = self.routine.as_ref() == Some(&called);
            if !names.contains(&called) && !is_routine || relations.contains(&called) {
                continue;
            }
            let Some(value) = whole(&name).filter(|value| *value != name || names.contains(&called)) else { continue };
            let range = value.text_range();
            put(&mut text, usize::from(range.start()) - start..usize::from(range.end()) - start);
        }
        text
    }
}

/// Statements in whose expressions variables give values; in others they do nowhere.
fn is_query(kind: SyntaxKind) -> bool {
    matches!(
        kind,
        SyntaxKind::SELECT
            | SyntaxKind::COMPOUND_SELECT
            | SyntaxKind::INSERT
            | SyntaxKind::UPDATE
            | SyntaxKind::DELETE
            | SyntaxKind::MERGE
            | SyntaxKind::PLPGSQL_EXPR
    )
}

fn is_loop(kind: SyntaxKind) -> bool {
    matches!(
        kind,
        SyntaxKind::PLPGSQL_LOOP_STMT
            | SyntaxKind::PLPGSQL_WHILE_STMT
            | SyntaxKind::PLPGSQL_FOR_CURSOR_STMT
            | SyntaxKind::PLPGSQL_FOR_DYN_STMT
            | SyntaxKind::PLPGSQL_FOR_EACH_STMT
            | SyntaxKind::PLPGSQL_FOR_I_STMT
            | SyntaxKind::PLPGSQL_FOR_QUERY_STMT
    )
}

fn named<'a>(nodes: impl IntoIterator<Item = &'a SyntaxNode>, kind: SyntaxKind) -> Vec<String> {
    let within = nodes.into_iter().flat_map(|node| node.descendants().collect::<Vec<_>>());
    within.filter(|node| node.kind() == kind).map(|node| name_of(&node)).collect()
}

/// What a block declares.
fn declared(block: &SyntaxNode) -> Vec<String> {
    let sections = block.children().filter(|child| child.kind() == SyntaxKind::PLPGSQL_DECLARE_SECTION);
    let parts = sections.flat_map(|section| section.children()).flat_map(|declaration| declaration.children());
    parts.filter(|part| part.kind() == SyntaxKind::PLPGSQL_VAR_NAME).map(|name| name_of(&name)).collect()
}

/// The names by which the queries of a part call what they read and change.
fn relations(part: &SyntaxNode) -> BTreeSet<String> {
    let names = part.descendants().filter(|n| {
        matches!(
            n.kind(),
            SyntaxKind::TABLE_ALIAS | SyntaxKind::CTE_NAME | SyntaxKind::RELATION_NAME | SyntaxKind::RELATION_NAME_REF
        )
    });
    let last = |name: String| name.rsplit('.').next().map(str::to_owned).unwrap_or(name);
    names.map(|n| last(name_of(&n))).collect()
}

/// The expression that a variable's name is the beginning of: itself, or with the names of fields behind it.
fn whole(name: &SyntaxNode) -> Option<SyntaxNode> {
    let mut value = name.clone();
    loop {
        let above = value.parent()?;
        let is_first = above.first_child().as_ref() == Some(&value);
        match above.kind() {
            SyntaxKind::FIELD_EXPR if !is_first => return None,
            // All of a row's columns are no value.
            SyntaxKind::FIELD_EXPR if above.children().count() < 2 => return None,
            SyntaxKind::FIELD_EXPR => value = above,
            // The function's name; names of what the query gives, and of its conflicts.
            SyntaxKind::CALL_EXPR if is_first => return None,
            SyntaxKind::SORT_BY | SyntaxKind::GROUPING_EXPR | SyntaxKind::CONFLICT_INDEX_ITEM => return None,
            _ => return Some(value),
        }
    }
}

/// Writes a value over a part of a text; a name of one letter needs the blank beside it.
fn put(text: &mut String, mut range: Range<usize>) {
    let is_blank = |at: Option<usize>| at.is_some_and(|at| matches!(text.as_bytes().get(at), Some(b' ' | b'\t')));
    if range.len() == 1 {
        if is_blank(range.start.checked_sub(1)) {
            range.start -= 1;
        } else if is_blank(Some(range.end)) {
            range.end += 1;
        } else {
            return;
        }
    }
    if !text[range.clone()].contains('\n') {
        let value = format!("${}", "0".repeat(range.len() - 1));
        text.replace_range(range, &value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::bodies::Written;
    use squawk_syntax::SourceFile;

    /// The statements of the body that `sql` defines, as they are judged.
    fn filled(sql: &str) -> Vec<String> {
        let statement = SourceFile::parse(sql).tree().stmts().next().expect("a statement");
        let Written::Plpgsql(parsed) = Written::of(&statement) else { panic!("no body: {sql}") };
        let body = &parsed.body;
        let tree = body.syntax();
        let is_part =
            |n: &SyntaxNode| matches!(n.kind(), SyntaxKind::PLPGSQL_EXEC_SQL_STMT | SyntaxKind::PLPGSQL_PERFORM_STMT);
        let variables = Variables::of(&statement, body);
        tree.descendants().filter(is_part).map(|part| variables.filled(body, &part)).collect()
    }

    #[test]
    fn a_query_reads_variables_as_values() {
        for (query, read) in [
            ("UPDATE t SET a = v_a WHERE id = v_id;", "UPDATE t SET a = $00 WHERE id = $000;"),
            ("DELETE FROM t WHERE id=\"v_id\";", "DELETE FROM t WHERE id=$00000;"),
            ("DELETE FROM t WHERE id = r.id AND b = (r).b;", "DELETE FROM t WHERE id = $000 AND b = (r).b;"),
            ("DELETE FROM t WHERE id = n;", "DELETE FROM t WHERE id =$0;"),
            ("DELETE FROM t WHERE id=(n);", "DELETE FROM t WHERE id=(n);"),
            ("DELETE FROM t WHERE id=n AND a=ANY(l[1]);", "DELETE FROM t WHERE id=$0AND a=ANY(l[1]);"),
            ("PERFORM f(v_id) FROM t WHERE v_id(1) > p;", "PERFORM f($000) FROM t WHERE v_id(1) >$0;"),
            ("INSERT INTO t (v_a) VALUES (v_a);", "INSERT INTO t (v_a) VALUES ($00);"),
            ("DELETE FROM v_a WHERE v_a.id = 5;", "DELETE FROM v_a WHERE v_a.id = 5;"),
            ("DELETE FROM t AS r WHERE r.id = 5;", "DELETE FROM t AS r WHERE r.id = 5;"),
            ("PERFORM t.v_id FROM t ORDER BY v_id;", "PERFORM t.v_id FROM t ORDER BY v_id;"),
            ("INSERT INTO t SELECT r.*;", "INSERT INTO t SELECT r.*;"),
            ("ALTER TABLE t ALTER a SET DEFAULT v_id;", "ALTER TABLE t ALTER a SET DEFAULT v_id;"),
            ("DELETE FROM t WHERE other = id;", "DELETE FROM t WHERE other = id;"),
            ("DELETE FROM t WHERE f = f.v_id;", "DELETE FROM t WHERE f = $00000;"),
        ] {
            let sql = format!(
                "CREATE FUNCTION f(p int, v_a int) RETURNS void LANGUAGE plpgsql AS $$ DECLARE v_id int := 1; n int; l int[]; \
                 r record; BEGIN {query} END $$;"
            );
            assert_eq!(filled(&sql), [read], "{query}");
        }
    }

    #[test]
    fn a_variable_is_one_where_it_is_declared() {
        let of =
            |head: &str, body: &str| filled(&format!("CREATE FUNCTION f() {head} LANGUAGE plpgsql AS $$ {body} $$;"));
        let trigger = "BEGIN UPDATE t SET a = NEW.a WHERE id = OLD.id; END";
        assert_eq!(of("RETURNS trigger", trigger), ["UPDATE t SET a = $0000 WHERE id = $00000;"]);
        assert_eq!(of("RETURNS void", trigger), ["UPDATE t SET a = NEW.a WHERE id = OLD.id;"]);
        let table = "BEGIN DELETE FROM t WHERE id = out_id; END";
        assert_eq!(of("RETURNS TABLE (out_id int)", table), ["DELETE FROM t WHERE id = $00000;"]);
        let scopes = "DECLARE aa int; BEGIN \
                      DECLARE bb int; BEGIN DELETE FROM t WHERE id = aa + bb; END; \
                      DELETE FROM t WHERE id = bb; \
                      FOR cc IN 1..9 LOOP DELETE FROM t WHERE id = cc + aa; END LOOP; END";
        let read =
            ["DELETE FROM t WHERE id = $0 + $0;", "DELETE FROM t WHERE id = bb;", "DELETE FROM t WHERE id = cc + aa;"];
        assert_eq!(of("RETURNS void", scopes), read);
        let columns = "#variable_conflict use_column\nDECLARE id int; BEGIN DELETE FROM t WHERE id = 5; END";
        assert_eq!(of("RETURNS void", columns), ["DELETE FROM t WHERE id = 5;"]);
    }
}
