//! From the syntax tree to changes.

mod asked;
mod inserted;
mod misfit;
mod path;
mod policy;
mod publication;
mod table;
mod values;
mod view;
mod words;

use std::collections::BTreeSet;
use std::ops::Range;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::change::{Action, Change, Dropped, IndexDef, ViewDef, What};
use crate::lint::bodies::{Blocks, Part};
use crate::lint::picked::Picked;
use crate::lint::script::{Statement, is_temporary, name_of, range_of};
use crate::lint::truth::{self, Truth};
use crate::migration::backfill::markers;

use asked::asked;
use inserted::{assigns, inserts};
use misfit::misfit;
pub use misfit::{AGGREGATES, CHANGING};
use table::{action, create_table, pass};
use view::view;
use words::{bare, says, words, words_of_text};

/// What the statements and their `blocks` do, in order. `broken` says that the script does not parse as a whole.
pub fn changes(text: &str, statements: &[Statement], blocks: &Blocks, broken: bool) -> Vec<Change> {
    let mut out = Vec::new();
    if broken {
        out.push(Change { range: 0..text.len(), what: What::Opaque(words_of_text(text)), in_body: false });
        return out;
    }
    for statement in statements {
        match blocks.within(&statement.range) {
            Some(parts) => parts.iter().for_each(|(range, part)| within(text, range, part, &mut out)),
            None => {
                out.extend(misfit(statement));
                read(text, statement, &mut out);
                // What the statement changes is there by then.
                let asked = asked(&statement.node);
                out.extend(asked.map(|what| Change { range: statement.range.clone(), what, in_body: false }));
            }
        }
    }
    out
}

/// What a part of a `DO` block does.
fn within(text: &str, range: &Range<usize>, part: &Part<'_>, out: &mut Vec<Change>) {
    let first = out.len();
    match part {
        Part::Statement(statement, unsure) => {
            read(text, statement, out);
            if *unsure {
                for change in &mut out[first..] {
                    change.what = What::Maybe(Box::new(std::mem::replace(&mut change.what, What::Anything)));
                }
            }
        }
        Part::Call(node) => call(node, &mut |what| out.push(Change { range: range.clone(), what, in_body: true })),
        Part::Opaque => out.push(Change { range: range.clone(), what: What::Anything, in_body: true }),
    }
    out[first..].iter_mut().for_each(|change| change.in_body = true);
}

fn named(node: Option<impl AstNode>) -> String {
    node.map(|n| name_of(n.syntax())).unwrap_or_default()
}

fn read(text: &str, statement: &Statement, out: &mut Vec<Change>) {
    let range = statement.range.clone();
    let mut put = |what: What| out.push(Change { range: range.clone(), what, in_body: false });
    match &statement.node {
        ast::Stmt::CreateTable(s) => put(create_table(s)),
        // A name that hides another for a while.
        ast::Stmt::CreateTableAs(s) if s.persistence().is_some_and(|p| is_temporary(p.syntax())) => {
            put(What::Opaque([named(s.table_name())].into()));
        }
        ast::Stmt::CreateTableAs(s) => {
            put(What::CreateOther { name: named(s.table_name()), tolerant: s.if_not_exists().is_some() });
        }
        ast::Stmt::CreateForeignTable(s) => {
            put(What::CreateOther { name: named(s.table_name()), tolerant: s.if_not_exists().is_some() });
        }
        ast::Stmt::CreateView(s) => put(What::CreateView {
            name: named(s.view()),
            tolerant: s.or_replace().is_some() || s.persistence().is_some(),
            replaces: s.or_replace().is_some() && s.persistence().is_none(),
            view: view(s.syntax(), s.column_list(), s.query()),
        }),
        ast::Stmt::CreateMaterializedView(s) => put(What::CreateView {
            name: named(s.view()),
            tolerant: s.if_not_exists().is_some(),
            replaces: false,
            view: ViewDef {
                materialized: true,
                filled: !matches!(s.data_option(), Some(ast::DataOption::WithNoData(_))),
                ..view(s.syntax(), s.column_list(), s.query())
            },
        }),
        ast::Stmt::CreatePolicy(s) => put(policy::created(s)),
        ast::Stmt::AlterPolicy(s) => put(policy::gone(s.on_table(), s.policy_ref())),
        ast::Stmt::DropPolicy(s) => put(policy::gone(s.on_table(), s.policy_ref())),
        ast::Stmt::CreatePublication(s) => put(publication::created(s)),
        ast::Stmt::AlterPublication(s) => put(publication::altered(s)),
        ast::Stmt::DropPublication(s) => s.publication_refs().for_each(|p| put(publication::gone(name_of(p.syntax())))),
        ast::Stmt::Refresh(s) => put(What::Refresh {
            view: named(s.view_ref()),
            concurrently: s.concurrently_token().is_some(),
            fills: !matches!(s.data_option(), Some(ast::DataOption::WithNoData(_))),
        }),
        ast::Stmt::CreateIndex(s) => put(What::CreateIndex {
            name: s.index().map(|n| name_of(n.syntax())),
            table: named(s.table_relation_name()),
            if_not_exists: s.if_not_exists().is_some(),
            only: s.table_relation_name().is_some_and(|n| n.only_token().is_some()),
            concurrently: s.concurrently_token().is_some(),
            index: index(s),
        }),
        ast::Stmt::CreateType(s) => {
            let is_enum = matches!(s.kind(), Some(ast::CreateTypeKind::EnumType(_)));
            put(What::CreateType { name: named(s.type_name()), checked: false, base: None, is_enum });
        }
        ast::Stmt::CreateDomain(s) => put(What::CreateType {
            name: named(s.domain()),
            checked: s
                .syntax()
                .descendants()
                .any(|n| matches!(n.kind(), SyntaxKind::CHECK_CONSTRAINT | SyntaxKind::NOT_NULL_CONSTRAINT)),
            base: s.ty().map(|ty| name_of(ty.syntax())),
            is_enum: false,
        }),
        ast::Stmt::AlterDomain(s) => {
            let checked = match s.action() {
                Some(ast::AlterDomainAction::AddConstraint(_) | ast::AlterDomainAction::SetNotNull(_)) => true,
                Some(
                    ast::AlterDomainAction::OwnerTo(_)
                    | ast::AlterDomainAction::SetDefault(_)
                    | ast::AlterDomainAction::DropDefault(_)
                    | ast::AlterDomainAction::RenameConstraint(_)
                    | ast::AlterDomainAction::ValidateConstraint(_),
                ) => return,
                // What is left of its constraints, or where it is now, is not followed.
                _ => false,
            };
            put(What::AlterDomain { name: named(s.domain_ref()), checked });
        }
        ast::Stmt::AlterTable(s) => {
            let table = named(s.table_relation_name());
            if s.all_in_tablespace().is_some() {
                return;
            }
            let keyed = s.syntax().descendants().any(|n| n.kind() == SyntaxKind::PRIMARY_KEY_CONSTRAINT);
            let mut actions: Vec<(Range<usize>, Action)> =
                s.actions().map(|node| (range_of(node.syntax()), action(&node))).collect();
            actions.sort_by_key(|(_, action)| pass(action));
            for (range, mut action) in actions {
                if let Action::DropConstraint { replaced, .. } = &mut action {
                    *replaced = keyed;
                }
                let what = What::Alter { table: table.clone(), if_exists: s.if_exists().is_some(), action };
                out.push(Change { range, what, in_body: false });
            }
        }
        ast::Stmt::AlterForeignTable(s) => put(What::Opaque(words(s.syntax()))),
        ast::Stmt::AlterView(s) => put(What::Opaque(words(s.syntax()))),
        ast::Stmt::AlterMaterializedView(s) => put(What::Opaque(words(s.syntax()))),
        ast::Stmt::AlterType(s) => put(What::Opaque(words(s.syntax()))),
        ast::Stmt::CreateCast(_) => put(What::CreateCast),
        ast::Stmt::AlterSchema(_) | ast::Stmt::ImportForeignSchema(_) | ast::Stmt::Rollback(_) => put(What::Anything),
        ast::Stmt::AlterIndex(s) => {
            if let Some(ast::AlterIndexAction::IndexRenameTo(to)) = s.action() {
                put(What::RenameIndex { from: named(s.index_ref()), to: named(to.index()) });
            }
        }
        ast::Stmt::DropTable(s) => put(What::Drop {
            kind: Dropped::Table,
            names: s.table_name_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropForeignTable(s) => put(What::Drop {
            kind: Dropped::Table,
            names: s.table_name_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropView(s) => put(What::Drop {
            kind: Dropped::View,
            names: s.view_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropMaterializedView(s) => put(What::Drop {
            kind: Dropped::View,
            names: s.view_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropIndex(s) => put(What::Drop {
            kind: Dropped::Index { concurrently: s.concurrently_token().is_some() },
            names: s.index_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropType(s) => put(What::Drop {
            kind: Dropped::Type,
            names: s.type_name_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropDomain(s) => put(What::Drop {
            kind: Dropped::Type,
            names: s.domain_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropSchema(s) => put(What::Drop {
            kind: Dropped::Schema,
            names: s.schema_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropOwned(_) | ast::Stmt::DropExtension(_) => put(What::Anything),
        ast::Stmt::Set(s) => {
            if let Some(path) = path::set(s) {
                put(What::SearchPath(path));
            }
        }
        ast::Stmt::Reset(s) => {
            if let Some(path) = path::reset(s) {
                put(What::SearchPath(path));
            }
        }
        ast::Stmt::Discard(_) => put(What::SearchPath(None)),
        ast::Stmt::Do(s) => {
            let body = s.body().map(|b| b.syntax().text().to_string()).unwrap_or_default();
            let words = words_of_text(&body);
            put(if words.contains("execute") { What::Anything } else { What::Opaque(words) });
        }
        ast::Stmt::CreateFunction(s) => function(s.name(), &text[statement.range.clone()], &mut put),
        ast::Stmt::CreateProcedure(s) => function(s.name(), &text[statement.range.clone()], &mut put),
        ast::Stmt::Select(s) => call(s.syntax(), &mut put),
        ast::Stmt::Call(s) => call(s.syntax(), &mut put),
        ast::Stmt::Update(s) => {
            let table = named(s.relation_name());
            put(What::Columns { table: table.clone(), columns: assigned(s) });
            put(assigns(s, &table));
            if s.from_clause().is_none() {
                rows(text, &range, &table, s.where_clause_or_current_of(), false, out);
            }
            picks(text, &range, Picked::of_update(s), out);
        }
        ast::Stmt::Insert(s) => {
            let targets = s.column_target_list().into_iter().flat_map(|l| l.column_targets());
            put(What::Columns {
                table: named(s.relation_name_ref()),
                columns: targets.map(|t| named(t.name())).collect(),
            });
            put(What::Inserts(inserts(s)));
        }
        ast::Stmt::CreateTrigger(s) => {
            put(What::Hooks { table: named(s.on_relation().and_then(|on| on.relation_name_ref())) });
        }
        ast::Stmt::CreateRule(s) => {
            put(What::Hooks { table: named(s.rule_on().and_then(|on| on.relation_name_ref())) });
        }
        ast::Stmt::CommentOn(s) => {
            if let Some(ast::CommentObject::ObjectColumn(column)) = s.comment_object()
                && let name = named(column.name())
                && let Some((table, column)) = name.rsplit_once('.')
            {
                put(What::Columns { table: table.to_owned(), columns: vec![column.to_owned()] });
            }
        }
        ast::Stmt::Truncate(s) => put(What::Truncate {
            tables: s
                .table_list()
                .into_iter()
                .flat_map(|l| l.table_relation_names())
                .map(|n| name_of(n.syntax()))
                .collect(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::Delete(s) => {
            if s.using_clause().is_none() {
                rows(text, &range, &named(s.relation_name()), s.where_clause_or_current_of(), true, out);
            }
            picks(text, &range, Picked::of_delete(s), out);
        }
        ast::Stmt::SelectInto(s) => put(What::Opaque(words(s.syntax()))),
        ast::Stmt::DropFunction(s) if cascades(s.drop_behavior()) => put(What::Cascade(words(s.syntax()))),
        ast::Stmt::DropProcedure(s) if cascades(s.drop_behavior()) => put(What::Cascade(words(s.syntax()))),
        ast::Stmt::DropRoutine(s) if cascades(s.drop_behavior()) => put(What::Cascade(words(s.syntax()))),
        ast::Stmt::DropAggregate(s) if cascades(s.drop_behavior()) => put(What::Cascade(words(s.syntax()))),
        ast::Stmt::CreateSchema(s) if s.schema_elements().next().is_some() => put(What::Opaque(words(s.syntax()))),
        _ => {}
    }
}

/// A change of rows whose condition asks for nothing but columns that hold something: whether that leaves a row out, the
/// catalog knows.
fn rows(
    text: &str,
    statement: &Range<usize>,
    table: &str,
    condition: Option<ast::WhereClauseOrCurrentOf>,
    removes: bool,
    out: &mut Vec<Change>,
) {
    let Some(ast::WhereClauseOrCurrentOf::WhereClause(clause)) = condition else { return };
    let Some(Truth::Holding(columns)) = clause.expr().map(|e| truth::of(&e, table)) else { return };
    if columns.asked && markers(&text[statement.clone()]).is_empty() {
        let what = What::Rows { table: table.to_owned(), columns: columns.names, removes };
        out.push(Change { range: range_of(clause.syntax()), what, in_body: false });
    }
}

/// A change of rows by a condition, unless it is made in batches.
fn picks(text: &str, statement: &Range<usize>, picked: Option<Picked>, out: &mut Vec<Change>) {
    let picked = picked.filter(|_| markers(&text[statement.clone()]).is_empty());
    out.extend(picked.map(|picked| Change { range: statement.clone(), what: What::Picks(picked), in_body: false }));
}

/// The columns of a list of keys, nothing where one is an expression.
fn keys_of(list: &ast::PartitionItemList) -> Vec<Option<String>> {
    /// PostgreSQL takes a column in parentheses for the column.
    fn key(expr: ast::Expr) -> Option<String> {
        match expr {
            ast::Expr::NameRef(name) => Some(name.text()),
            ast::Expr::ParenExpr(inner) => key(inner.expr()?),
            _ => None,
        }
    }
    list.partition_items().map(|item| key(item.expr()?)).collect()
}

fn index(create: &ast::CreateIndex) -> IndexDef {
    let items: Vec<ast::PartitionItem> =
        create.partition_item_list().map(|l| l.partition_items().collect()).unwrap_or_default();
    let keys: Vec<Option<String>> = create.partition_item_list().map(|l| keys_of(&l)).unwrap_or_default();
    let computed = create.where_clause().is_some() || keys.iter().any(Option::is_none);
    let ordinary = create.using_method().is_none_or(|u| name_of(u.syntax()) == "usingbtree");
    let simple = |i: &ast::PartitionItem| {
        i.op_class_ref().is_none() && i.collate().is_none() && i.sort_order().is_none() && i.nulls_order().is_none()
    };
    let mut of = BTreeSet::new();
    for node in [
        create.partition_item_list().map(|n| n.syntax().clone()),
        create.index_include_clause().map(|n| n.syntax().clone()),
        create.where_clause().map(|n| n.syntax().clone()),
    ]
    .into_iter()
    .flatten()
    {
        of.extend(words(&node));
    }
    let included = create.index_include_clause().and_then(|i| i.partition_item_list());
    IndexDef {
        included: included.into_iter().flat_map(|l| keys_of(&l)).flatten().collect(),
        plain: ordinary && !computed && items.iter().all(simple) && create.index_include_clause().is_none(),
        unique: create.unique_token().is_some(),
        keys,
        words: of,
        computed,
    }
}

/// The columns that an `UPDATE` sets.
fn assigned(update: &ast::Update) -> Vec<String> {
    let list = update.set_clause().and_then(|set| set.set_column_list());
    let of = |set: ast::SetColumn| -> Vec<ast::ColumnTarget> {
        match set {
            ast::SetColumn::SetSingleColumn(one) => one.column_target().into_iter().collect(),
            ast::SetColumn::SetMultipleColumns(some) => {
                some.column_target_list().into_iter().flat_map(|l| l.column_targets()).collect()
            }
        }
    };
    list.into_iter().flat_map(|l| l.set_columns()).flat_map(of).map(|target| named(target.name())).collect()
}

fn cascades(behavior: Option<ast::DropBehavior>) -> bool {
    matches!(behavior, Some(ast::DropBehavior::Cascade(_)))
}

fn function(name: Option<impl AstNode>, definition: &str, put: &mut impl FnMut(What)) {
    let words = definition.to_ascii_lowercase();
    let name = named(name);
    put(What::Routine(name.clone()));
    if says(&words, "refresh") && says(&words, "materialized") {
        // Whoever calls it, a trigger may be, has the view filled.
        put(What::Opaque(words_of_text(&words)));
    }
    if ["alter", "drop", "execute", "rename"].iter().any(|w| says(&words, w)) {
        put(What::CreateFunction { name });
    }
}

fn call(node: &SyntaxNode, put: &mut impl FnMut(What)) {
    let mut functions = BTreeSet::new();
    let mut words = BTreeSet::new();
    for token in node.descendants_with_tokens().filter_map(|e| e.into_token()) {
        match token.kind() {
            SyntaxKind::STRING => words.extend(words_of_text(token.text())),
            SyntaxKind::IDENT => {
                functions.insert(bare(token.text()));
            }
            _ => {}
        }
    }
    if let Some(path) = path::configured(node) {
        put(What::SearchPath(path));
    } else if !functions.is_empty() {
        put(What::Call { functions, words });
    }
}
