//! Whether a condition picks a handful of rows: whether it fixes every column of a key of the table to values that somebody
//! wrote down. Which columns are a key is asked of whoever knows; without anyone, the names tell.

use std::collections::BTreeSet;

use squawk_syntax::ast::{self, AstNode, BinOp};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::script::name_of;
use super::truth::{self, Truth};

/// More ways than this for a condition to hold are not followed.
const MOST_WAYS: usize = 64;

/// Columns that are a key wherever they are, and those that may well be one.
const KEYS: [&str; 5] = ["id", "uuid", "guid", "pk", "ctid"];
const MAYBE_KEYS: [&str; 7] = ["key", "code", "slug", "name", "email", "username", "login"];

/// What a condition says about the rows of the relations that it is about.
#[derive(Debug, Clone)]
pub struct Picked {
    /// The first is the one whose rows are picked.
    relations: Vec<Relation>,
    /// The ways in which the condition can hold, each with what it says of the columns then.
    ways: Vec<Vec<Said>>,
}

/// A relation of a statement.
#[derive(Debug, Clone)]
struct Relation {
    table: String,
    /// The name that its columns have in front.
    called: String,
    /// Its rows are written down in the statement.
    listed: bool,
    /// The byte at which it stands among others.
    at: usize,
}

/// A column: the place of its relation, and its name.
type Column = (usize, String);

/// What a part of a condition says.
#[derive(Debug, Clone)]
enum Said {
    /// The column has one of the values that are written there.
    Fixed(Column),
    /// The two have the same value.
    Same(Column, Column),
}

impl Picked {
    /// What `condition` says about the rows of `table`, called `alias`, beside the relations of `others` (`FROM`, `USING`).
    fn new(table: String, alias: Option<String>, others: Option<&SyntaxNode>, condition: Option<&ast::Expr>) -> Self {
        let called = alias.unwrap_or_else(|| table.clone());
        let mut relations = vec![Relation { table, called, listed: false, at: 0 }];
        let mut joins = Vec::new();
        if let Some(others) = others {
            gather(others, &mut relations, &mut joins);
        }
        let mut picked = Self { relations, ways: vec![Vec::new()] };
        for part in joins.iter().chain(condition) {
            picked.ways = both(picked.ways.clone(), picked.ways_of(part));
        }
        picked
    }

    /// What an `UPDATE` with a condition says about the rows that it changes.
    pub fn of_update(update: &ast::Update) -> Option<Self> {
        let Some(ast::WhereClauseOrCurrentOf::WhereClause(clause)) = update.where_clause_or_current_of() else {
            return None;
        };
        let table = update.relation_name().map(|n| name_of(n.syntax()))?;
        let others = update.from_clause().map(|f| f.syntax().clone());
        Some(Self::new(table, named(update.alias()), others.as_ref(), Some(&clause.expr()?)))
    }

    /// What a `DELETE` with a condition says about the rows that it removes.
    pub fn of_delete(delete: &ast::Delete) -> Option<Self> {
        let Some(ast::WhereClauseOrCurrentOf::WhereClause(clause)) = delete.where_clause_or_current_of() else {
            return None;
        };
        let table = delete.relation_name().map(|n| name_of(n.syntax()))?;
        let others = delete.using_clause().map(|u| u.syntax().clone());
        Some(Self::new(table, named(delete.alias()), others.as_ref(), Some(&clause.expr()?)))
    }

    /// What a query says about the rows of `table`, which stands in its `FROM`.
    pub fn of_query(select: &ast::Select, table: &SyntaxNode) -> Self {
        let mut picked = Self::new(String::new(), None, None, None);
        let condition = select.where_clause().and_then(|w| w.expr());
        let (mut relations, mut joins) = (Vec::new(), Vec::new());
        if let Some(from) = select.from_clause() {
            gather(from.syntax(), &mut relations, &mut joins);
        }
        let at = usize::from(table.text_range().start());
        if let Some(place) = relations.iter().position(|r| r.at == at) {
            relations.swap(0, place);
        }
        if !relations.is_empty() {
            picked.relations = relations;
        }
        for part in joins.iter().chain(&condition) {
            picked.ways = both(picked.ways.clone(), picked.ways_of(part));
        }
        picked
    }

    /// The table whose rows are picked.
    pub fn table(&self) -> &str {
        self.relations.first().map_or("", |r| r.table.as_str())
    }

    /// Whether a handful of rows is picked, where `is_key` tells whether a table has at most one row for any values of these
    /// columns.
    pub fn is_few(&self, is_key: impl Fn(&str, &BTreeSet<String>) -> bool) -> bool {
        self.ways.iter().all(|way| self.few_in(way, &is_key))
    }

    fn few_in(&self, way: &[Said], is_key: &impl Fn(&str, &BTreeSet<String>) -> bool) -> bool {
        let mut few: Vec<bool> = self.relations.iter().map(|r| r.listed).collect();
        let mut fixed: BTreeSet<&Column> = BTreeSet::new();
        loop {
            let known = fixed.len() + few.iter().filter(|f| **f).count();
            for said in way {
                match said {
                    Said::Fixed(column) => drop(fixed.insert(column)),
                    Said::Same(one, other) => {
                        let is_fixed = |c: &Column, fixed: &BTreeSet<&Column>| few[c.0] || fixed.contains(c);
                        if is_fixed(one, &fixed) {
                            fixed.insert(other);
                        } else if is_fixed(other, &fixed) {
                            fixed.insert(one);
                        }
                    }
                }
            }
            for (at, relation) in self.relations.iter().enumerate() {
                let columns: BTreeSet<String> =
                    fixed.iter().filter(|(of, _)| *of == at).map(|(_, name)| name.clone()).collect();
                few[at] = few[at] || (!columns.is_empty() && is_key(&relation.table, &columns));
            }
            if few[0] {
                return true;
            }
            if known == fixed.len() + few.iter().filter(|f| **f).count() {
                return false;
            }
        }
    }

    fn ways_of(&self, condition: &ast::Expr) -> Vec<Vec<Said>> {
        if matches!(truth::of(condition, &self.relations[0].called), Truth::Never | Truth::Null) {
            return Vec::new();
        }
        let says = |said: Vec<Said>| vec![said];
        match condition {
            ast::Expr::ParenExpr(paren) => paren.expr().map_or_else(|| says(Vec::new()), |e| self.ways_of(&e)),
            ast::Expr::BinExpr(binary) => {
                let (Some(left), Some(right)) = (binary.lhs(), binary.rhs()) else { return says(Vec::new()) };
                match binary.op() {
                    Some(BinOp::And(_)) => both(self.ways_of(&left), self.ways_of(&right)),
                    Some(BinOp::Or(_)) => {
                        let mut ways = self.ways_of(&left);
                        ways.extend(self.ways_of(&right));
                        if ways.len() > MOST_WAYS { says(Vec::new()) } else { ways }
                    }
                    Some(BinOp::Eq(_) | BinOp::IsNotDistinctFrom(_)) => says(self.equal(&left, &right)),
                    Some(BinOp::In(_)) => says(self.among(&left, &right)),
                    _ => says(Vec::new()),
                }
            }
            _ => says(Vec::new()),
        }
    }

    fn equal(&self, left: &ast::Expr, right: &ast::Expr) -> Vec<Said> {
        if let (ast::Expr::TupleExpr(left), ast::Expr::TupleExpr(right)) = (left, right) {
            return left.exprs().zip(right.exprs()).flat_map(|(l, r)| self.equal(&l, &r)).collect();
        }
        match (self.column(left), self.column(right)) {
            (Some(one), Some(other)) => vec![Said::Same(one, other)],
            (Some(column), None) if self.is_written(right) => vec![Said::Fixed(column)],
            (None, Some(column)) if self.is_written(left) => vec![Said::Fixed(column)],
            _ => Vec::new(),
        }
    }

    /// `left IN (…)`.
    fn among(&self, left: &ast::Expr, right: &ast::Expr) -> Vec<Said> {
        let listed: Vec<ast::Expr> = match right {
            ast::Expr::TupleExpr(list) => list.exprs().collect(),
            ast::Expr::ParenExpr(one) => one.expr().into_iter().collect(),
            _ => Vec::new(),
        };
        if listed.is_empty() {
            return Vec::new();
        }
        if let ast::Expr::TupleExpr(columns) = left {
            let row = |e: &ast::Expr| match e {
                ast::Expr::TupleExpr(row) => row.exprs().collect(),
                _ => Vec::new(),
            };
            let rows: Vec<Vec<ast::Expr>> = listed.iter().map(row).collect();
            let of = |(at, column): (usize, ast::Expr)| {
                let written = rows.iter().all(|r| r.get(at).is_some_and(|e| self.is_written(e)));
                written.then(|| self.column(&column)).flatten().map(Said::Fixed)
            };
            return columns.exprs().enumerate().filter_map(of).collect();
        }
        let written = listed.iter().all(|e| self.is_written(e));
        written.then(|| self.column(left)).flatten().map(Said::Fixed).into_iter().collect()
    }

    /// A column of one of the relations; a cast leaves it what it is.
    fn column(&self, expr: &ast::Expr) -> Option<Column> {
        match expr {
            ast::Expr::ParenExpr(paren) => self.column(&paren.expr()?),
            ast::Expr::CastExpr(cast) => self.column(&cast.expr()?),
            // Of several relations, it cannot be told whose it is.
            ast::Expr::NameRef(name) if self.relations.len() == 1 && !is_value(name.syntax()) => {
                Some((0, name_of(name.syntax())))
            }
            ast::Expr::FieldExpr(field) => {
                let base = name_of(field.base()?.syntax());
                let of = |called: &str| called == base || called.rsplit('.').next() == Some(base.as_str());
                let at = self.relations.iter().position(|r| of(&r.called))?;
                Some((at, name_of(field.field()?.syntax())))
            }
            _ => None,
        }
    }

    /// Whether an expression has one value in the whole statement, or one of a few that are written down there: it names no
    /// column. A query between parentheses gives one value too, unless it asks for a column of these relations.
    fn is_written(&self, expr: &ast::Expr) -> bool {
        let is_query = |kind| {
            matches!(
                kind,
                SyntaxKind::SELECT | SyntaxKind::COMPOUND_SELECT | SyntaxKind::PAREN_SELECT | SyntaxKind::TABLE
            )
        };
        if let ast::Expr::ParenExpr(paren) = expr
            && paren.syntax().children().any(|c| is_query(c.kind()))
        {
            let qualifiers = paren.syntax().descendants().filter_map(ast::FieldExpr::cast).filter_map(|f| f.base());
            let qualifiers: BTreeSet<String> = qualifiers.map(|b| name_of(b.syntax())).collect();
            return !self.relations.iter().any(|r| {
                let last = r.called.rsplit('.').next().unwrap_or(&r.called);
                qualifiers.contains(last) && !reads(paren.syntax(), last)
            });
        }
        expr.syntax()
            .descendants()
            .all(|n| !is_query(n.kind()) && (n.kind() != SyntaxKind::NAME_REF || is_value(&n) || is_function(&n)))
    }
}

fn named(alias: Option<ast::OptionalAsAlias>) -> Option<String> {
    alias.and_then(|a| a.name()).map(|n| name_of(n.syntax()))
}

/// Whether a query has a relation of that name of its own.
fn reads(query: &SyntaxNode, name: &str) -> bool {
    let items = query.descendants().filter_map(ast::RelationFromItem::cast);
    let called = |item: ast::RelationFromItem| {
        let alias = item.alias().and_then(|a| a.name()).map(|n| name_of(n.syntax()));
        alias.or_else(|| item.relation_name_ref().map(|n| name_of(n.syntax())))
    };
    items.filter_map(called).any(|called| called.rsplit('.').next() == Some(name))
}

/// `current_user` and the like, which are written as names are.
fn is_value(name: &SyntaxNode) -> bool {
    name.children_with_tokens()
        .filter_map(|e| e.into_token())
        .any(|t| t.kind() != SyntaxKind::IDENT && t.text().to_ascii_lowercase().starts_with("current_"))
}

/// Whether a name is that of a function which is called there.
fn is_function(name: &SyntaxNode) -> bool {
    let mut at = name.clone();
    while let Some(above) = at.parent() {
        match above.kind() {
            SyntaxKind::FIELD_EXPR => at = above,
            SyntaxKind::CALL_EXPR => return above.first_child().as_ref() == Some(&at),
            _ => return false,
        }
    }
    false
}

/// What both say, in every way in which both can hold.
fn both(left: Vec<Vec<Said>>, right: Vec<Vec<Said>>) -> Vec<Vec<Said>> {
    if left.len() * right.len() > MOST_WAYS {
        return if left.len() <= right.len() { left } else { right };
    }
    left.iter().flat_map(|l| right.iter().map(move |r| l.iter().chain(r).cloned().collect())).collect()
}

/// The relations of a `FROM` or a `USING`, and the conditions that every row of them keeps.
fn gather(from: &SyntaxNode, relations: &mut Vec<Relation>, joins: &mut Vec<ast::Expr>) {
    for child in from.children() {
        let at = usize::from(child.text_range().start());
        match child.kind() {
            SyntaxKind::RELATION_FROM_ITEM => {
                let Some(item) = ast::RelationFromItem::cast(child) else { continue };
                let table = item.relation_name_ref().map(|n| name_of(n.syntax())).unwrap_or_default();
                let alias = item.alias().and_then(|a| a.name()).map(|n| name_of(n.syntax()));
                let listed = is_listed(item.syntax(), &table);
                relations.push(Relation { called: alias.unwrap_or_else(|| table.clone()), table, listed, at });
            }
            SyntaxKind::PAREN_FROM_ITEM => {
                let Some(item) = ast::ParenFromItem::cast(child) else { continue };
                let called = item.alias().and_then(|a| a.name()).map(|n| name_of(n.syntax())).unwrap_or_default();
                let listed = item.syntax().children().any(|c| {
                    c.kind() == SyntaxKind::PAREN_SELECT && c.children().any(|v| v.kind() == SyntaxKind::VALUES)
                });
                relations.push(Relation { table: String::new(), called, listed, at });
                if let Some(inner) = item.syntax().children().find(|c| c.kind() == SyntaxKind::PAREN_EXPR) {
                    gather(&inner, relations, joins);
                }
            }
            SyntaxKind::JOIN_EXPR | SyntaxKind::PAREN_EXPR => gather(&child, relations, joins),
            SyntaxKind::JOIN => {
                gather(&child, relations, joins);
                if child.children().any(|c| c.kind() == SyntaxKind::JOIN_INNER) {
                    let clauses = child.children().filter_map(ast::OnClause::cast);
                    joins.extend(clauses.filter_map(|c| c.expr()));
                }
            }
            // Of what a function or a document gives, no columns are known.
            SyntaxKind::ON_CLAUSE | SyntaxKind::USING_CLAUSE => {}
            _ => relations.push(Relation { table: String::new(), called: String::new(), listed: false, at }),
        }
    }
}

/// Whether a relation is a list of rows that stands in a `WITH` of the statement.
fn is_listed(item: &SyntaxNode, name: &str) -> bool {
    let clauses = item.ancestors().flat_map(|a| a.children()).filter(|c| c.kind() == SyntaxKind::WITH_CLAUSE);
    let queries = clauses.flat_map(|c| c.children().filter_map(ast::WithTable::cast).collect::<Vec<_>>());
    queries
        .filter(|q| q.name().is_some_and(|n| name_of(n.syntax()) == name))
        .any(|q| q.syntax().children().any(|c| c.kind() == SyntaxKind::VALUES))
}

/// Whether columns of a table that nobody knows are a key, by their names.
pub fn by_name(table: &str, columns: &BTreeSet<String>) -> bool {
    columns.iter().any(|column| is_sure(table, column) || MAYBE_KEYS.contains(&column.as_str()))
}

/// Whether a column is a key wherever it is, by its name and that of its table: `id`, `order_id` of `orders`.
fn is_sure(table: &str, column: &str) -> bool {
    let table = table.rsplit('.').next().unwrap_or(table);
    let of_table = ["_id", "_uuid", "_guid", "id"].iter().filter_map(|end| column.strip_suffix(end)).any(|stem| {
        !stem.is_empty()
            && (stem == table
                || table.strip_suffix('s') == Some(stem)
                || table.strip_suffix("es") == Some(stem)
                || table.strip_suffix("ies").is_some_and(|t| stem.strip_suffix('y') == Some(t)))
    });
    KEYS.contains(&column) || of_table
}

#[cfg(test)]
mod tests {
    use super::*;
    use squawk_syntax::SourceFile;

    fn of(sql: &str) -> Picked {
        match SourceFile::parse(sql).tree().stmts().next().expect("a statement") {
            ast::Stmt::Update(s) => Picked::of_update(&s).expect("a condition"),
            ast::Stmt::Delete(s) => Picked::of_delete(&s).expect("a condition"),
            _ => panic!("{sql}"),
        }
    }

    #[test]
    fn a_condition_that_fixes_a_key_picks_a_handful_of_rows() {
        for sql in [
            "update t set a = 1 where id = 5",
            "update t set a=1 where id=5",
            "update t set a = 1 where (id = 5)",
            "update t set a = 1 where ((5) = (t.id))",
            "update s.t set a = 1 where t.id = $1",
            "update only t as o9 set a = 1 where o9.id = 5",
            "update t set a = 1 where id = 7 and placed is null",
            "update t set a = 1 where id = 7 and placed < now()",
            "delete from t where id in (1, 2)",
            "delete from t where id in ('x')",
            "delete from t where id in ('x'::uuid, uuid '7')",
            "delete from t where id = -1",
            "delete from t where id = any('{1,2}')",
            "delete from t where id = any(array[1, 2])",
            "delete from t where id = md5('x')::uuid",
            "delete from t where id::text = 'x'",
            "delete from t where id is not distinct from 5",
            "delete from t where (id, a) = (1, 2)",
            "delete from t where (a, id) in ((1, 2), (3, 4))",
            "delete from t where (a, id) in ((1, 2))",
            "delete from t where id = 1 or id = 2",
            "delete from t where (id = 1 and a) or (id = 2 and not a)",
            "delete from t where (id = 1 or id = 2) and a > 3",
            "delete from t where id = (select u.t_id from u where u.name = 'x')",
            "delete from t where id = (select max(t.id) from t)",
            "delete from orders where order_id = 5",
            "delete from categories where category_id = 5",
            "delete from t where name = 'x'",
            "delete from t where false",
            "update t set a = u.a from u where t.id = u.t_id and u.id = 5",
            "update t set a = v.a from (values (1, 2), (3, 4)) as v (id, a) where t.id = v.id",
            "with v (id, a) as (values (1, 2)) update t set a = v.a from v where v.id = t.id",
            "delete from t using u where u.id = 5 and u.t_id = t.id",
            "delete from t x using u join v on v.id = u.v_id where v.id = 1 and u.id = 3 and x.id = u.t_id",
        ] {
            assert!(of(sql).is_few(by_name), "{sql}");
        }
    }

    #[test]
    fn a_condition_that_fixes_no_key_picks_who_knows_how_many() {
        for sql in [
            "update t set a = 1 where state = 'x'",
            "update t set a=1 where state='x'",
            "update t set a = 1 where id > 5",
            "update t set a = 1 where id <> 5",
            "update t set a = 1 where not id = 5",
            "update t set a = 1 where id is null",
            "update t set a = 1 where id = 5 or state = 'x'",
            "update t set a = 1 where id in (select t_id from u)",
            "update t set a = 1 where id not in (1, 2)",
            "update t set a = 1 where id = any(select t_id from u)",
            "update t set a = 1 where id = b",
            "update t set a = 1 where id = (select u.t_id from u where u.a = t.a)",
            "update t set a = 1 where (a, b) = (1, 2)",
            "update t set a = 1 where lower(b) = 'x'",
            "update orders set a = 1 where customer_id = 5",
            "update t set a = u.a from u where t.id = u.t_id",
            "update t set a = u.a from u where t.id = u.t_id and u.state = 'x'",
            "update t t1 set a = 1 from u u2 where t1.b = u2.b and u2.id = 5",
            "delete from t using u where u.id = t.u_id and u.id = 5",
            "delete from t x using u left join v on v.id = 1 where x.v_id = v.id",
            "delete from t using (select 1 as id) s where s.id = t.id",
        ] {
            assert!(!of(sql).is_few(by_name), "{sql}");
        }
    }

    #[test]
    fn keys_that_are_known_are_taken_whole() {
        let key = |_: &str, columns: &BTreeSet<String>| columns.contains("a") && columns.contains("b");
        for (sql, few) in [
            ("delete from t where a = 1 and b = 2", true),
            ("delete from t where (a, b) = (1, 2)", true),
            ("delete from t where (a, b) in ((1, 2), (3, 4))", true),
            ("delete from t where a in (1, 2) and (b = 3 or b = 4)", true),
            ("delete from t where a = 1", false),
            ("delete from t where a = 1 or b = 2", false),
            ("delete from t where id = 1", false),
            ("delete from t using (values (1, 2)) as v (a, b) where t.a = v.a and t.b = v.b", true),
            ("delete from t using (values (1, 2)) as v (a, b) where t.a = v.a", false),
        ] {
            assert_eq!(of(sql).is_few(key), few, "{sql}");
        }
    }
}
