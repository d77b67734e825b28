//! Changes of a type for which PostgreSQL knows no way by itself.

use std::ops::Range;

use super::super::catalog::{Catalog, Shape, Table};
use super::super::change::{ColumnDef, Filled, Given};
use super::super::types::{ColumnType, Family};
use super::Note;
use super::refused::refused;

/// A column whose values, or whose default, do not become the new type by themselves.
pub(super) fn not_cast(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    table: &Table,
    column: &str,
    new: &ColumnType,
    using: bool,
) -> Option<Note> {
    let known = table.columns.get(column)?;
    let old = known.ty.as_ref()?;
    let to = catalog.shape(new)?;
    if !using && !catalog.shape(old)?.assigns_to(&to) {
        let message = format!(
            "PostgreSQL refuses it: `{name}.{column}` is {}, which becomes {} only where `USING` says how",
            old.shown, new.shown
        );
        let help =
            format!("say it: `USING {column}::{}`, or another expression; it reads and writes every row", new.shown);
        return Some(refused(range, message, &help));
    }
    let given = shape_of_default(catalog, known)?;
    (!given.assigns_to(&to)).then(|| {
        let message = format!(
            "PostgreSQL refuses it, with `USING` too: the default of `{name}.{column}` does not become {} by itself",
            new.shown
        );
        let help = "`DROP DEFAULT` first, in the same statement, and `SET DEFAULT` to one of the new type in it too";
        refused(range, message, help)
    })
}

/// The type that a column's default has by itself.
fn shape_of_default(catalog: &Catalog, column: &ColumnDef) -> Option<Shape> {
    let Filled::Default(given) = &column.filled else { return None };
    match given {
        Given::Text { cast: Some(ty), .. } => catalog.shape(ty),
        Given::Text { cast: None, .. } => catalog.shape(column.ty.as_ref()?),
        Given::Number => Some(Shape::Own(Family::Number)),
        Given::Truth => Some(Shape::Own(Family::Truth)),
        Given::Null | Given::Default | Given::Other => None,
    }
}
