//! Where rules of squawk say more than PostgreSQL does, as measured on a real server, or say one thing twice.

use squawk_syntax::SyntaxKind;
use squawk_syntax::ast::{self, AstNode};

use super::Severity;
use super::script::{Finding, Script, name_of};
use crate::ids::Risk;

/// Lowers what only looks dangerous, and takes out what is nothing.
pub fn correct(script: &Script<'_>, found: &mut Vec<Finding>) {
    once(found);
    found.retain(|f| !is_made_again(script, f));
    for finding in found.iter_mut() {
        let Some(index) = script.statement_at(finding.range.start) else { continue };
        let harmless = match finding.rule.id {
            "adding-foreign-key-constraint" => reads_no_row(&script.statements[index].node, finding),
            "ban-drop-function" => goes_with_its_trigger(script, index),
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

/// A constraint, view or function that the script defines anew under its name: changed, not dropped.
fn is_made_again(script: &Script<'_>, finding: &Finding) -> bool {
    let Some(index) = script.statement_at(finding.range.start) else { return false };
    let later = || script.statements[index..].iter().map(|s| &s.node);
    match &script.statements[index].node {
        ast::Stmt::AlterTable(alter) if finding.rule.id == "ban-drop-constraint" => {
            let dropped = alter.actions().find_map(|action| match action {
                ast::AlterTableAction::DropConstraint(drop) if holds(drop.syntax(), finding) => {
                    drop.constraint_name_ref().map(|n| name_of(n.syntax()))
                }
                _ => None,
            });
            let table = alter.table_relation_name().map(|n| name_of(n.syntax()));
            let adds = |alter: &ast::AlterTable| {
                alter.table_relation_name().map(|n| name_of(n.syntax())) == table
                    && alter.actions().any(|action| match action {
                        ast::AlterTableAction::AddConstraint(add) => {
                            add.constraint().and_then(|c| c.constraint_name()).map(|n| name_of(n.syntax())) == dropped
                        }
                        _ => false,
                    })
            };
            dropped.is_some() && later().any(|s| matches!(s, ast::Stmt::AlterTable(alter) if adds(alter)))
        }
        ast::Stmt::DropView(drop) if finding.rule.id == "ban-drop-view" => {
            let names: Vec<String> = drop.view_refs().map(|n| name_of(n.syntax())).collect();
            let made = |name: &String| {
                later().any(
                    |s| matches!(s, ast::Stmt::CreateView(c) if c.view().is_some_and(|v| name_of(v.syntax()) == *name)),
                )
            };
            !names.is_empty() && names.iter().all(made)
        }
        ast::Stmt::DropFunction(drop) if finding.rule.id == "ban-drop-function" => {
            let names: Vec<String> = drop
                .syntax()
                .descendants()
                .filter_map(ast::FunctionNameRef::cast)
                .map(|n| name_of(n.syntax()))
                .collect();
            let made = |name: &String| {
                later().any(|s| matches!(s, ast::Stmt::CreateFunction(c) if c.name().is_some_and(|f| name_of(f.syntax()) == *name)))
            };
            !names.is_empty() && names.iter().all(made)
        }
        _ => false,
    }
}

/// Rows that are changed behind an `ALTER TABLE` are told once: by the rule that knows of the lock.
pub fn told_once(found: &mut Vec<Finding>) {
    let held: Vec<std::ops::Range<usize>> =
        found.iter().filter(|f| f.rule.id == "ddl-with-backfill").map(|f| f.range.clone()).collect();
    found.retain(|f| f.rule.id != "unbatched-change" || !held.contains(&f.range));
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

/// A function without arguments that is dropped behind a trigger: nobody but the trigger could call it.
fn goes_with_its_trigger(script: &Script<'_>, index: usize) -> Option<&'static str> {
    let ast::Stmt::DropFunction(drop) = &script.statements[index].node else { return None };
    let takes_something = drop.syntax().descendants().any(|n| n.kind() == SyntaxKind::PARAM);
    let behind = script.statements[..index].iter().any(|s| matches!(s.node, ast::Stmt::DropTrigger(_)));
    (behind && !takes_something).then_some("the function goes with the trigger that is dropped above")
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

#[cfg(test)]
mod tests {
    use crate::lint::{Severity, sample};

    /// The rules that find something in a script, but those about its file.
    fn told(sql: &str) -> Vec<String> {
        let (report, _) = sample(&[("0001_m.up.sql", sql)]);
        report.violations.into_iter().map(|v| v.rule).filter(|r| r != "missing-down").collect()
    }

    #[test]
    fn what_is_made_again_is_not_dropped() {
        let key = "ALTER TABLE t DROP CONSTRAINT f, ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES u (id) ON DELETE CASCADE NOT VALID;";
        assert_eq!(told(key), ["foreign-key-cascade"]);
        assert_eq!(
            told("ALTER TABLE t DROP CONSTRAINT c; ALTER TABLE t ADD CONSTRAINT c CHECK (a > 1) NOT VALID;"),
            [""; 0]
        );
        assert_eq!(
            told("ALTER TABLE t DROP CONSTRAINT c; ALTER TABLE u ADD CONSTRAINT c CHECK (a > 1) NOT VALID;"),
            ["ban-drop-constraint", "several-tables-locked"]
        );
        assert_eq!(told("DROP VIEW v; CREATE VIEW v AS SELECT 1 AS a;"), [""; 0]);
        assert_eq!(told("DROP VIEW v, w; CREATE VIEW v AS SELECT 1 AS a;"), ["ban-drop-view"]);
        assert_eq!(
            told("DROP FUNCTION f(int); CREATE FUNCTION f(bigint) RETURNS int LANGUAGE sql AS 'SELECT 1';"),
            [""; 0]
        );
        assert_eq!(told("DROP FUNCTION f(int);"), ["ban-drop-function"]);
        let risk = |sql: &str| sample(&[("0001_m.up.sql", sql), ("0001_m.down.sql", "SELECT 1;")]).0.risk;
        assert_eq!(risk("DROP TRIGGER g ON t; DROP FUNCTION note();"), crate::ids::Risk::Low);
        assert_eq!(risk("DROP TRIGGER g ON t; DROP FUNCTION other(int);"), crate::ids::Risk::Medium);
    }

    #[test]
    fn one_statement_is_told_once() {
        assert_eq!(
            told("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES u (id);"),
            ["constraint-missing-not-valid"]
        );
        assert_eq!(told("ALTER TABLE t ADD CONSTRAINT f UNIQUE (a);"), ["disallowed-unique-constraint"]);
        assert_eq!(told("ALTER TABLE t ADD PRIMARY KEY (a);"), ["adding-serial-primary-key-field"]);
        assert_eq!(told("ALTER TABLE t ADD COLUMN c text; UPDATE t SET c = a WHERE a > 2;"), ["ddl-with-backfill"]);
    }

    #[test]
    fn a_new_column_that_is_filled_is_no_loss() {
        let (report, _) = sample(&[("0001_m.up.sql", "ALTER TABLE t ADD COLUMN c int; UPDATE t SET c = a;")]);
        let filled = report.violations.iter().find(|v| v.rule == "update-without-where").expect("told");
        assert_eq!(filled.severity, Severity::Warning, "{}", filled.message);
        let (report, _) = sample(&[("0001_m.up.sql", "ALTER TABLE t ADD COLUMN c int; UPDATE t SET c = a, a = 1;")]);
        assert!(report.has_errors());
    }
}
