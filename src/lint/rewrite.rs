//! Rewrites of our own for findings of squawk that come without one.

use squawk_syntax::ast::{self, AstNode};

use super::fix::Rewrite;
use super::script::{Finding, Script, range_of};

/// Rules that say a constraint is checked on every row at once.
const VALIDATING: [&str; 2] = ["adding-foreign-key-constraint", "constraint-missing-not-valid"];

/// The rewrite for a finding, where one is known.
pub(super) fn of(script: &Script<'_>, finding: &Finding) -> Option<Rewrite> {
    if !VALIDATING.contains(&finding.rule.id) {
        return None;
    }
    let statement = &script.statements[script.statement_at(finding.range.start)?];
    let ast::Stmt::AlterTable(alter) = &statement.node else { return None };
    let shouts = script.text[statement.range.start..].starts_with(|c: char| c.is_ascii_uppercase());
    let text = if shouts { " NOT VALID" } else { " not valid" };
    alter.actions().find_map(|action| {
        // A column's own constraint takes no NOT VALID.
        let ast::AlterTableAction::AddConstraint(add) = action else { return None };
        let constraint = add.constraint()?;
        let range = range_of(constraint.syntax());
        let scans =
            matches!(constraint, ast::Constraint::ForeignKeyConstraint(_) | ast::Constraint::CheckConstraint(_));
        let meant = range.start < finding.range.end && finding.range.start < range.end;
        (scans && meant).then(|| Rewrite {
            title: "Add it NOT VALID, which scans nothing; validate it in a migration of its own".to_owned(),
            edits: vec![(range.end..range.end, text.to_owned())],
        })
    })
}
