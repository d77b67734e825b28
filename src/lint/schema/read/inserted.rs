//! Rows as `INSERT` and `UPDATE` write them.

use squawk_syntax::ast::{self, AstNode};

use super::super::change::{Given, Inserted, What};
use super::named;
use super::values::given;
use crate::lint::script::name_of;

/// What an `INSERT` writes.
pub(super) fn inserts(insert: &ast::Insert) -> Inserted {
    let columns = insert.column_target_list().map(|list| {
        let targets = list.column_targets();
        targets.map(|target| named(target.name())).collect()
    });
    let (width, rows) = match insert.insert_source() {
        Some(ast::InsertSource::SelectVariant(ast::SelectVariant::Values(values))) => rows(&values),
        Some(ast::InsertSource::SelectVariant(ast::SelectVariant::Select(select))) => (width(&select), Vec::new()),
        // A row without a value of its own.
        Some(ast::InsertSource::DefaultValues(_)) => (None, vec![Vec::new()]),
        _ => (None, Vec::new()),
    };
    Inserted {
        table: named(insert.relation_name_ref()),
        columns,
        width,
        rows,
        overriding: insert.overriding_clause().is_some(),
        conflict: insert.on_conflict_clause().and_then(|clause| conflict(&clause)),
    }
}

fn rows(values: &ast::Values) -> (Option<usize>, Vec<Vec<Given>>) {
    let rows: Vec<Vec<Given>> = values
        .row_list()
        .into_iter()
        .flat_map(|list| list.rows())
        .map(|row| row.exprs().map(|expr| given(&expr)).collect())
        .collect();
    // Rows of different lengths are wrong in another way.
    let width = rows.first().map(Vec::len).filter(|width| rows.iter().all(|row| row.len() == *width));
    (width, rows)
}

/// How many columns a query has, where none of them stands for several.
fn width(select: &ast::Select) -> Option<usize> {
    let targets: Vec<ast::Target> = select.select_clause()?.target_list()?.targets().collect();
    let is_one = |target: &ast::Target| match target.expr() {
        Some(ast::Expr::FieldExpr(field)) => field.star_token().is_none(),
        Some(_) => target.star_token().is_none(),
        None => false,
    };
    targets.iter().all(is_one).then_some(targets.len())
}

/// The columns of `ON CONFLICT (…)`, where nothing else is said there.
fn conflict(clause: &ast::OnConflictClause) -> Option<Vec<String>> {
    let Some(ast::ConflictTarget::ConflictOnIndex(target)) = clause.conflict_target() else { return None };
    if target.where_clause().is_some() {
        return None;
    }
    let items = target.conflict_index_item_list()?.conflict_index_items();
    items
        .map(|item| match item.expr() {
            Some(ast::Expr::NameRef(name)) if item.collate().is_none() && item.op_class_ref().is_none() => {
                Some(name_of(name.syntax()))
            }
            _ => None,
        })
        .collect()
}

/// What an `UPDATE` sets columns to, one by one.
pub(super) fn assigns(update: &ast::Update, table: &str) -> What {
    let sets = update.set_clause().and_then(|set| set.set_column_list());
    let sets = sets.into_iter().flat_map(|list| list.set_columns());
    let one = |set: ast::SetColumn| match set {
        ast::SetColumn::SetSingleColumn(one) => {
            let value = match one.set_expr()?.expr() {
                Some(expr) => given(&expr),
                None => Given::Default,
            };
            Some((named(one.column_target().and_then(|target| target.name())), value))
        }
        ast::SetColumn::SetMultipleColumns(_) => None,
    };
    What::Assigns { table: table.to_owned(), values: sets.filter_map(one).collect() }
}
