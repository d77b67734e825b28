//! The columns that the expressions of a statement name, where it can be told whose they are: those of the one table that
//! it reads or changes, and those that have the name of their table in front.

use std::collections::{BTreeSet, HashMap};

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::super::change::{Asked, What};
use super::{assigned, named};
use crate::lint::script::{is_temporary, name_of, range_of};

/// What a statement asks of tables; nothing where it asks for no column that can be told.
pub(super) fn asked(statement: &ast::Stmt) -> Option<What> {
    let root = statement.syntax();
    let mut asking = Asking { relations: relations(root), found: Vec::new(), targets: BTreeSet::new() };
    match statement {
        ast::Stmt::Update(s) => {
            asking.targets.extend(assigned(s));
            if s.from_clause().is_none() && s.for_portion_of().is_none() {
                let parts = [node(s.set_clause()), node(s.where_clause_or_current_of()), node(s.returning_clause())];
                asking.parts(&named(s.relation_name()), s.alias().and_then(|a| a.name()), parts);
            }
        }
        ast::Stmt::Delete(s) => {
            if s.using_clause().is_none() && s.for_portion_of().is_none() {
                let parts = [node(s.where_clause_or_current_of()), node(s.returning_clause())];
                asking.parts(&named(s.relation_name()), s.alias().and_then(|a| a.name()), parts);
            }
        }
        ast::Stmt::Insert(s) => {
            let targets = s.column_target_list().into_iter().flat_map(|list| list.column_targets());
            asking.targets.extend(targets.map(|target| named(target.name())));
            let parts = [node(s.on_conflict_clause()), node(s.returning_clause())];
            asking.parts(&named(s.relation_name_ref()), s.alias().and_then(|a| a.name()), parts);
        }
        ast::Stmt::CreateIndex(s) => {
            // Keys that are columns are told with the index.
            let items = s.partition_item_list().into_iter().flat_map(|list| list.partition_items());
            let computed = items.filter_map(|item| item.expr()).filter(|e| !matches!(e, ast::Expr::NameRef(_)));
            let computed = computed.map(|expr| Some(expr.syntax().clone()));
            asking.parts(&named(s.table_relation_name()), None, computed.chain([node(s.where_clause())]));
        }
        ast::Stmt::CreatePolicy(s) => {
            let parts = [node(s.using_expr_clause()), node(s.with_check_expr_clause())];
            asking.parts(&named(s.on_table().and_then(|on| on.table_name_ref())), None, parts);
        }
        ast::Stmt::CreateTrigger(s) => {
            let table = named(s.on_relation().and_then(|on| on.relation_name_ref()));
            for row in ["new", "old"] {
                asking.relations.insert(row.to_owned(), Some(table.clone()));
            }
        }
        ast::Stmt::AlterTable(s) => {
            let table = named(s.table_relation_name());
            asking.parts(&table, None, computed(root).map(Some));
        }
        ast::Stmt::CreateTable(s)
            if s.if_not_exists().is_none() && s.persistence().is_none_or(|p| !is_temporary(p.syntax())) =>
        {
            asking.parts(&named(s.table_name()), None, computed(root).map(Some));
            return asking.what();
        }
        ast::Stmt::Select(_)
        | ast::Stmt::CreateView(_)
        | ast::Stmt::CreateMaterializedView(_)
        | ast::Stmt::CreateTableAs(_) => {}
        _ => return None,
    }
    selects(root).for_each(|select| asking.select(&select));
    asking.qualified(root);
    asking.what()
}

fn node(part: Option<impl AstNode>) -> Option<SyntaxNode> {
    part.map(|part| part.syntax().clone())
}

/// What is reckoned from the columns of a table, in its definition or a change of it.
fn computed(statement: &SyntaxNode) -> impl Iterator<Item = SyntaxNode> {
    statement.descendants().filter(|n| {
        matches!(n.kind(), SyntaxKind::CHECK_CONSTRAINT | SyntaxKind::GENERATED_STORED | SyntaxKind::USING_EXPR)
    })
}

/// What has been found so far.
struct Asking {
    /// The tables of the whole statement by the names that stand in front of columns.
    relations: HashMap<String, Option<String>>,
    found: Vec<Asked>,
    /// Columns that are told of otherwise.
    targets: BTreeSet<String>,
}

impl Asking {
    fn what(self) -> Option<What> {
        (!self.found.is_empty()).then_some(What::Asks(self.found))
    }

    fn put(&mut self, table: &str, name: &SyntaxNode, qualified: bool) {
        let column = name_of(name);
        if !self.targets.contains(&column) {
            self.found.push(Asked { table: table.to_owned(), column, qualified, range: range_of(name) });
        }
    }

    /// The names that stand for themselves in parts of a statement that are about one table alone.
    fn parts(
        &mut self,
        table: &str,
        alias: Option<ast::TableAlias>,
        parts: impl IntoIterator<Item = Option<SyntaxNode>>,
    ) {
        let called = alias.map_or_else(|| last(table).to_owned(), |alias| name_of(alias.syntax()));
        for part in parts.into_iter().flatten() {
            for name in bare_names(&part).filter(|name| name_of(name) != called) {
                self.put(table, &name, false);
            }
        }
        self.relations.entry(called).or_insert_with(|| Some(table.to_owned()));
    }

    /// The names that stand for themselves in a query of one table.
    fn select(&mut self, select: &ast::Select) {
        let mut from = select.from_clause().into_iter().flat_map(|from| from.syntax().children().collect::<Vec<_>>());
        let (Some(item), None) = (from.next().and_then(ast::RelationFromItem::cast), from.next()) else { return };
        let called = called(&item);
        let Some(table) = self.relations.get(&called).cloned().flatten() else { return };
        let outputs = select.select_clause().and_then(|clause| clause.target_list()).into_iter();
        let outputs = outputs.flat_map(|list| list.targets()).filter_map(|target| target.as_name());
        let outputs: BTreeSet<String> = outputs.map(|name| named(name.name())).collect();
        let parts = select.syntax().children();
        let parts = parts.filter(|p| !matches!(p.kind(), SyntaxKind::WITH_CLAUSE | SyntaxKind::FROM_CLAUSE));
        for name in parts.flat_map(|part| bare_names(&part).collect::<Vec<_>>()) {
            let written = name_of(&name);
            if written != called && !outputs.contains(&written) {
                self.put(&table, &name, false);
            }
        }
    }

    /// The names that have their table's in front, wherever they stand.
    fn qualified(&mut self, root: &SyntaxNode) {
        for field in root.descendants().filter_map(ast::FieldExpr::cast) {
            let (Some(ast::Expr::NameRef(base)), Some(name)) = (field.base(), field.field()) else { continue };
            let above = field.syntax().parent();
            let is_more = above.is_some_and(|above| {
                matches!(above.kind(), SyntaxKind::FIELD_EXPR | SyntaxKind::CALL_EXPR)
                    && above.first_child().as_ref() == Some(field.syntax())
            });
            if is_more || field.star_token().is_some() || !is_written(name.syntax()) {
                continue;
            }
            if let Some(table) = self.relations.get(&name_of(base.syntax())).cloned().flatten() {
                self.put(&table, name.syntax(), true);
            }
        }
    }
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn called(item: &ast::RelationFromItem) -> String {
    let alias = item.alias().and_then(|alias| alias.name()).map(|name| name_of(name.syntax()));
    alias.unwrap_or_else(|| last(&named(item.relation_name_ref())).to_owned())
}

/// The tables that a statement names, by what they are called there; nothing where two are called the same, where it gives
/// their columns other names, or where it is no table but a query.
fn relations(root: &SyntaxNode) -> HashMap<String, Option<String>> {
    let mut relations: HashMap<String, Option<String>> = HashMap::new();
    let mut put = |called: String, table: Option<String>| {
        let known = relations.entry(called).or_insert_with(|| table.clone());
        if *known != table {
            *known = None;
        }
    };
    let queries: BTreeSet<String> =
        root.descendants().filter(|n| n.kind() == SyntaxKind::CTE_NAME).map(|n| name_of(&n)).collect();
    let table = |name: String| (!name.is_empty() && !queries.contains(&name)).then_some(name);
    for node in root.descendants() {
        let of = |name: String, alias: Option<ast::TableAlias>| {
            (alias.map_or_else(|| last(&name).to_owned(), |a| name_of(a.syntax())), table(name))
        };
        match node.kind() {
            SyntaxKind::RELATION_FROM_ITEM => {
                let Some(item) = ast::RelationFromItem::cast(node) else { continue };
                let renames = item.alias().is_some_and(|alias| alias.columns().is_some());
                put(called(&item), table(named(item.relation_name_ref())).filter(|_| !renames));
            }
            SyntaxKind::UPDATE => {
                let Some(s) = ast::Update::cast(node) else { continue };
                let (called, table) = of(named(s.relation_name()), s.alias().and_then(|a| a.name()));
                put(called, table);
            }
            SyntaxKind::DELETE => {
                let Some(s) = ast::Delete::cast(node) else { continue };
                let (called, table) = of(named(s.relation_name()), s.alias().and_then(|a| a.name()));
                put(called, table);
            }
            SyntaxKind::INSERT => {
                let Some(s) = ast::Insert::cast(node) else { continue };
                let (called, table) = of(named(s.relation_name_ref()), s.alias().and_then(|a| a.name()));
                put(called, table);
            }
            SyntaxKind::TABLE_ALIAS => {
                let of = node.parent().and_then(|alias| alias.parent()).map(|item| item.kind());
                let is_tables = matches!(
                    of,
                    Some(SyntaxKind::RELATION_FROM_ITEM | SyntaxKind::UPDATE | SyntaxKind::DELETE | SyntaxKind::INSERT)
                );
                if !is_tables {
                    put(name_of(&node), None);
                }
            }
            SyntaxKind::MERGE => return HashMap::new(),
            _ => {}
        }
    }
    for special in ["excluded", "new", "old"] {
        relations.insert(special.to_owned(), None);
    }
    relations
}

/// The queries of a statement that lie within no other.
fn selects(root: &SyntaxNode) -> impl Iterator<Item = ast::Select> {
    let is_outer = |select: &ast::Select| {
        let around = select.syntax().ancestors().skip(1).take_while(|a| root.parent().as_ref() != Some(a));
        select.syntax() == root
            || around
                .into_iter()
                .all(|a| a == *root || matches!(a.kind(), SyntaxKind::COMPOUND_SELECT | SyntaxKind::PAREN_SELECT))
    };
    root.descendants().filter_map(ast::Select::cast).filter(is_outer).collect::<Vec<_>>().into_iter()
}

/// The names of a part that have nothing in front, and belong to no query within it.
fn bare_names(part: &SyntaxNode) -> impl Iterator<Item = SyntaxNode> {
    let is_query = |kind| {
        matches!(
            kind,
            SyntaxKind::SELECT
                | SyntaxKind::COMPOUND_SELECT
                | SyntaxKind::PAREN_SELECT
                | SyntaxKind::VALUES
                | SyntaxKind::TABLE
        )
    };
    let is_bare = |name: &SyntaxNode| {
        let is_first = |above: &SyntaxNode| above.first_child().as_ref() == Some(name);
        let is_own = !name.parent().is_some_and(|above| match above.kind() {
            SyntaxKind::FIELD_EXPR => true,
            SyntaxKind::CALL_EXPR => is_first(&above),
            _ => false,
        });
        let mut around = name.ancestors().take_while(|a| Some(a) != part.parent().as_ref());
        is_own && is_written(name) && !around.any(|a| is_query(a.kind()))
    };
    let names = part.descendants().filter(|n| n.kind() == SyntaxKind::NAME_REF);
    names.filter(is_bare).collect::<Vec<_>>().into_iter()
}

/// Whether a name is one that people choose, not a word of the language such as `current_user`.
fn is_written(name: &SyntaxNode) -> bool {
    name.children_with_tokens().filter_map(|e| e.into_token()).all(|t| t.kind() == SyntaxKind::IDENT)
}
