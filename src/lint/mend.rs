//! Where rules of squawk say more than PostgreSQL does, as measured on a real server, or say one thing twice.

use squawk_syntax::ast::{self, AstNode};

use super::Severity;
use super::script::{Finding, Script};
use crate::ids::Risk;

/// Lowers what only looks dangerous, and takes out what is nothing.
pub fn mend(script: &Script<'_>, found: &mut Vec<Finding>) {
    once(found);
    for finding in found.iter_mut() {
        let Some(index) = script.statement_at(finding.range.start) else { continue };
        let harmless = match finding.rule.id {
            "adding-foreign-key-constraint" => reads_no_row(&script.statements[index].node, finding),
            "ban-disable-trigger" => enables(&script.statements[index].node, finding),
            _ => None,
        };
        if let Some(message) = harmless {
            finding.message = message.to_owned();
            finding.help = None;
            finding.fix = None;
            finding.severity = Some(Severity::Info);
            finding.risk = Some(Risk::Low);
        }
    }
}

/// One statement, one finding: a foreign key is told by the rule for constraints that check rows, a unique constraint or a
/// primary key, which no `NOT VALID` can help, by the rule of its own.
fn once(found: &mut Vec<Finding>) {
    let of = |rules: &[&str]| -> Vec<std::ops::Range<usize>> {
        found.iter().filter(|f| rules.contains(&f.rule.id)).map(|f| f.range.clone()).collect()
    };
    let checked = of(&["constraint-missing-not-valid"]);
    let indexed = of(&["disallowed-unique-constraint", "adding-serial-primary-key-field"]);
    let meets = |all: &[std::ops::Range<usize>], f: &Finding| {
        all.iter().any(|range| range.start < f.range.end && f.range.start < range.end)
    };
    found.retain(|f| match f.rule.id {
        "adding-foreign-key-constraint" => !meets(&checked, f),
        "constraint-missing-not-valid" => !meets(&indexed, f),
        _ => true,
    });
}

/// A foreign key whose column is new and has no value: PostgreSQL takes it for valid and reads nothing.
fn reads_no_row(stmt: &ast::Stmt, finding: &Finding) -> Option<&'static str> {
    const BRIEF: &str =
        "no row is read for it; writes to both tables wait for a moment, until the locks are had and given back";
    match stmt {
        ast::Stmt::AlterTable(alter) => {
            let add = alter.actions().find_map(|action| match action {
                ast::AlterTableAction::AddColumn(add) if holds(add.syntax(), finding) => Some(add),
                _ => None,
            })?;
            let filled = add
                .constraints()
                .any(|c| matches!(c, ast::Constraint::DefaultConstraint(_) | ast::Constraint::GeneratedConstraint(_)));
            (!filled).then_some(BRIEF)
        }
        _ => None,
    }
}

/// `ENABLE TRIGGER` brings checks back.
fn enables(stmt: &ast::Stmt, finding: &Finding) -> Option<&'static str> {
    let ast::Stmt::AlterTable(alter) = stmt else { return None };
    let action = alter.actions().find(|a| holds(a.syntax(), finding))?;
    matches!(action, ast::AlterTableAction::EnableTrigger(_) | ast::AlterTableAction::EnableRule(_))
        .then_some("the trigger fires from here on, for writes by running programs too")
}

fn holds(node: &squawk_syntax::SyntaxNode, finding: &Finding) -> bool {
    let range = node.text_range();
    usize::from(range.start()) <= finding.range.start && finding.range.start < usize::from(range.end())
}
