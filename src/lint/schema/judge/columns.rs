//! What a column is, and what a change of it costs therefore.

use std::ops::Range;

use super::super::catalog::{Catalog, Table, mentions};
use super::super::change::{Action, Change, ConstraintKind, What};
use super::super::types::{ColumnType, Effect};
use super::{Note, add};
use crate::ids::Risk;
use crate::lint::Severity;
use crate::lint::table;

/// A new column whose type is a domain that refuses some values: PostgreSQL looks at each row, and writes it anew, whatever
/// the default is. With the table.
pub fn checked_column(catalog: &Catalog, change: &Change) -> Option<(String, Note)> {
    let What::Alter { table, action, .. } = &change.what else { return None };
    let name = catalog.resolve(table)?;
    let (column, domain) = action.parts().iter().find_map(|part| match part {
        Action::AddColumn { name, column, .. } => {
            let ty = column.ty.as_ref().map(|ty| ty.shown.to_lowercase())?;
            catalog.is_checked(ty.strip_prefix("public.").unwrap_or(&ty)).then_some((name, ty))
        }
        _ => None,
    })?;
    let rule = table::find("adding-field-with-default")?;
    let message = format!(
        "`{domain}` is a domain with a constraint: the new column `{column}` has `{name}` rewritten under an `ACCESS EXCLUSIVE` \
         lock, be its default constant or none"
    );
    let help =
        "add the column with the plain type, and its check as `NOT VALID`; validate it in a migration of its own";
    let mut note = add(rule, &change.range, message, help);
    if let Note::Add(finding) = &mut note {
        finding.tables = vec![name.clone()];
    }
    Some((name, note))
}

/// The columns of a change that refer to integers, which would only be wider than any value they can have. With the tables
/// that they refer to.
pub fn narrow_keys(catalog: &Catalog, change: &Change) -> Vec<(String, Note)> {
    let (table, parts) = match &change.what {
        What::CreateTable { name, parts, .. } => (name, parts.as_slice()),
        What::Alter { table, action: Action::Several(parts), .. } => (table, parts.as_slice()),
        What::Alter { table, action, .. } => (table, std::slice::from_ref(action)),
        _ => return Vec::new(),
    };
    let mut narrow = Vec::new();
    for part in parts {
        let Action::AddConstraint(def) = part else { continue };
        let ConstraintKind::Foreign { columns, table: other, referred } = &def.kind else { continue };
        let Some(other) = catalog.resolve(other) else { continue };
        let Some(known) = catalog.table(&other) else { continue };
        let primary = known.constraints.values().find_map(|c| match &c.kind {
            ConstraintKind::Primary(columns) => Some(columns),
            _ => None,
        });
        let referred = if referred.is_empty() { primary } else { Some(referred) };
        for (column, to) in columns.iter().zip(referred.into_iter().flatten()) {
            let ty = known.columns.get(to).and_then(|c| c.ty.as_ref());
            if ty.is_some_and(|ty| matches!(ty.shown.as_str(), "integer" | "smallint")) {
                narrow.push((other.clone(), Note::Narrow { table: table.clone(), column: column.clone() }));
            }
        }
    }
    narrow
}

/// A change of rows that leaves none out, as every column that it asks for refuses NULL. With the table.
pub fn every_row(catalog: &Catalog, change: &Change) -> Option<(String, Note)> {
    let What::Rows { table, columns, removes } = &change.what else { return None };
    let name = catalog.resolve(table)?;
    let known = catalog.table(&name)?;
    let refuses =
        |column: &String| known.columns.get(column).is_some_and(|c| c.not_null) || check_says(known, column).is_some();
    let rule = table::find("where-always-true").filter(|_| columns.iter().all(refuses))?;
    let names: Vec<String> = columns.iter().map(|column| format!("`{name}.{column}`")).collect();
    let (verb, refuse) =
        (if *removes { "removes" } else { "changes" }, if names.len() == 1 { "refuses" } else { "refuse" });
    let message = format!(
        "{} {refuse} NULL, so the condition is true for every row, and the statement {verb} the whole table",
        names.join(" and ")
    );
    let help = "say which rows are meant, or change them in batches that commit one by one, and keep a copy of what is overwritten";
    let mut note = add(rule, &change.range, message, help);
    if let Note::Add(finding) = &mut note {
        finding.tables = vec![name.clone()];
    }
    Some((name, note))
}

/// The valid check by which a column is never NULL.
pub(super) fn check_says<'a>(table: &'a Table, column: &str) -> Option<&'a String> {
    let says =
        |kind: &ConstraintKind| matches!(kind, ConstraintKind::Check { says_not_null: Some(of), .. } if of == column);
    table.constraints.iter().find(|(_, c)| c.valid && says(&c.kind)).map(|(name, _)| name)
}

pub(super) fn set_not_null(
    range: &Range<usize>,
    name: &str,
    table: &Table,
    column: &str,
    version: u32,
) -> Option<Note> {
    let harmless = |message: String| Note::Tell {
        rule: "adding-not-nullable-field",
        range: range.clone(),
        message,
        help: None,
        severity: Severity::Info,
        risk: Risk::Low,
    };
    if table.columns.get(column)?.not_null {
        return Some(harmless(format!("`{name}.{column}` refuses NULL already: nothing is scanned")));
    }
    let check = check_says(table, column)?;
    // Before 12 the server does not look at constraints.
    (version >= 12).then(|| {
        harmless(format!("the valid check `{check}` says so already: `{name}` is not scanned, the lock is brief"))
    })
}

pub(super) fn set_type(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    table: &Table,
    column: &str,
    new: &ColumnType,
    (plain, collated): (bool, bool),
) -> Option<Note> {
    let old = table.columns.get(column)?.ty.as_ref()?;
    let is = format!("`{name}.{column}` is {}", old.shown);
    let tell = |message: String, help: Option<&str>, severity, risk| {
        Some(Note::Tell {
            rule: "changing-column-type",
            range: range.clone(),
            message,
            help: help.map(str::to_owned),
            severity,
            risk,
        })
    };
    let effect = match old.change_to(new) {
        Effect::NoRewrite if collated => Effect::Reindex,
        effect => effect,
    };
    match effect {
        Effect::Unknown => None,
        // What is computed is written.
        Effect::Reindex if !plain && !collated => None,
        Effect::Reindex => {
            let mut rebuilt: Vec<&str> =
                catalog.indexes_of(name).filter(|(_, i)| i.words.contains(column)).map(|(n, _)| n).collect();
            rebuilt.sort_unstable();
            let indexes = match rebuilt.first() {
                Some(index) => format!("the indexes on it (`{index}`)"),
                None => "its indexes, where it has some,".to_owned(),
            };
            let shown = if collated { format!("another collation of {}", new.shown) } else { new.shown.clone() };
            tell(
                format!(
                    "{is}: changing it to {shown} rewrites no row, but builds {indexes} anew under an ACCESS EXCLUSIVE lock, and from \
                     then on values compare in another way"
                ),
                Some("drop large indexes before, and build them `CONCURRENTLY` behind"),
                Severity::Warning,
                if rebuilt.is_empty() { Risk::Medium } else { Risk::High },
            )
        }
        Effect::NoRewrite if !plain => None,
        Effect::NoRewrite => {
            if let Some((check, _)) = table
                .constraints
                .iter()
                .find(|(_, c)| mentions(&c.kind, column) && matches!(c.kind, ConstraintKind::Check { .. }))
            {
                let message = format!(
                    "{is}: changing it to {} rewrites no row, but runs the check `{check}` on every one of them under an ACCESS EXCLUSIVE lock",
                    new.shown
                );
                return tell(
                    message,
                    Some("drop the check first, add it again as `NOT VALID`, and validate it later"),
                    Severity::Warning,
                    Risk::High,
                );
            }
            let mut rebuilt: Vec<&str> = catalog
                .indexes_of(name)
                .filter(|(_, i)| i.computed && i.words.contains(column))
                .map(|(n, _)| n)
                .collect();
            rebuilt.sort_unstable();
            if let Some(index) = rebuilt.first() {
                let message = format!(
                    "{is}: changing it to {} rewrites no row, but builds the index `{index}` anew under an ACCESS EXCLUSIVE lock",
                    new.shown
                );
                return tell(
                    message,
                    Some("drop the index before, and build it `CONCURRENTLY` behind"),
                    Severity::Warning,
                    Risk::High,
                );
            }
            let referred = table.constraints.values().any(
                |c| matches!(&c.kind, ConstraintKind::Foreign { columns, .. } if columns.iter().any(|c| c == column)),
            ) || catalog.referring(name).any(|(_, _, c)| c.is_empty() || c.iter().any(|c| c == column));
            if referred {
                // Whether the key is checked again depends on both sides' operators.
                return None;
            }
            tell(
                format!("{is}: changing it to {} rewrites nothing; the lock is brief", new.shown),
                None,
                Severity::Info,
                Risk::Low,
            )
        }
        Effect::Rewrite => {
            let zone = if old.gains_zone(new) { ", unless the session's zone is UTC" } else { "" };
            tell(
                format!(
                    "{is}: changing it to {} writes the table and its indexes anew under an ACCESS EXCLUSIVE lock{zone}, and running programs still expect the old type",
                    new.shown
                ),
                None,
                Severity::Warning,
                Risk::High,
            )
        }
    }
}
