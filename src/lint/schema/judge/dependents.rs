//! What hangs on the thing that is changed or dropped.

use std::ops::Range;

use super::super::OBJECT_IN_USE;
use super::super::catalog::Catalog;
use super::{Note, add};
use crate::ids::Risk;
use crate::lint::Severity;

pub(super) fn hangs_on(catalog: &Catalog, range: &Range<usize>, name: &str, dropped: &[String]) -> Option<Note> {
    let goes = |other: &str| dropped.iter().filter_map(|d| catalog.resolve(d)).any(|d| d == other);
    let help = "drop or change what hangs on it first, each in a statement of its own";
    let mut keys: Vec<_> = catalog.referring(name).filter(|(table, _, _)| !goes(table)).collect();
    keys.sort_unstable();
    if let Some((table, constraint, _)) = keys.first() {
        let message = format!("PostgreSQL refuses it: the foreign key `{constraint}` of `{table}` refers to `{name}`");
        return Some(add(&OBJECT_IN_USE, range, message, help));
    }
    let mut views: Vec<&str> = catalog.views_on(name).map(|(view, _, _)| view).filter(|v| !goes(v)).collect();
    views.sort_unstable();
    let view = views.first()?;
    Some(add(&OBJECT_IN_USE, range, format!("PostgreSQL refuses it: the view `{view}` reads `{name}`"), help))
}

pub(super) fn view_reads(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    column: &str,
    refused: &str,
) -> Option<Note> {
    let mut views: Vec<(&str, bool)> = catalog
        .views_on(name)
        .filter(|(_, words, _)| words.contains(column))
        .map(|(view, _, alone)| (view, alone))
        .collect();
    views.sort_unstable();
    let (view, certain) = views.first()?;
    let message = format!("the view `{view}` reads `{name}.{column}`: {refused}");
    let mut note = add(
        &OBJECT_IN_USE,
        range,
        message,
        "drop the view, change the column, create the view again: in one transaction",
    );
    // The word may be another table's column, or a name within the query.
    if !certain && let Note::Add(finding) = &mut note {
        finding.severity = Some(Severity::Warning);
        finding.message =
            format!("the view `{view}` reads `{name}` and names `{column}`: if it means this column, {refused}");
    }
    Some(note)
}

pub(super) fn column_in_use(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    column: &str,
    cascade: bool,
) -> Vec<Note> {
    let mut out = Vec::new();
    if !cascade {
        let mut keys: Vec<_> =
            catalog.referring(name).filter(|(_, _, referred)| referred.iter().any(|c| c == column)).collect();
        keys.sort_unstable();
        if let Some((table, constraint, _)) = keys.first() {
            let message = format!(
                "PostgreSQL refuses it: the foreign key `{constraint}` of `{table}` refers to `{name}.{column}`"
            );
            out.push(add(&OBJECT_IN_USE, range, message, "drop the foreign key first, in a migration of its own"));
        }
        out.extend(view_reads(catalog, range, name, column, "PostgreSQL refuses to drop it"));
    }
    let mut lost: Vec<String> = catalog
        .indexes_of(name)
        .filter(|(_, index)| index.words.contains(column) && (index.keys.len() > 1 || index.computed))
        .map(|(index, _)| format!("`{index}`"))
        .collect();
    lost.sort_unstable();
    if !lost.is_empty() {
        let message = format!("with `{name}.{column}` go the indexes that hold it: {}", lost.join(", "));
        let help = "build the indexes that are still needed without the column first, `CONCURRENTLY`";
        let mut note = add(&OBJECT_IN_USE, range, message, help);
        if let Note::Add(finding) = &mut note {
            finding.severity = Some(Severity::Warning);
            finding.risk = Some(Risk::Medium);
        }
        out.push(note);
    }
    out
}
