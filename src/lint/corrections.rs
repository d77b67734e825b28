//! Where rules of squawk say more than PostgreSQL does, as measured on a real server, or say one thing twice.

use squawk_syntax::SyntaxKind;
use squawk_syntax::ast::{self, AstNode};

use super::script::{Finding, Script, name_of, range_of};
use super::{Severity, fleeting, row_security, squawk, table, volatile};
use crate::ids::Risk;

/// Lowers what only looks dangerous, and takes out what is nothing.
pub fn correct(script: &Script<'_>, squawk: &squawk::Chosen, found: &mut Vec<Finding>) {
    once(found);
    found.retain(|f| !is_made_again(script, f) && !fleeting::is_own(script, f));
    found.extend(script.statements.iter().flat_map(|s| without_value(&s.node)));
    found.extend(script.statements.iter().filter_map(|s| domain_without_null(&s.node)));
    row_security::told_once(script, found);
    if squawk.is_from("11") {
        found.retain(|f| !is_computed_once(script, f));
    }
    // From PostgreSQL 18 on a generated column is computed when it is read, unless it says STORED.
    if squawk.is_from("18") {
        found.retain(|f| !is_virtual(script, f));
    }
    for finding in found.iter_mut() {
        let Some(index) = script.statement_at(finding.range.start) else { continue };
        if default_of(&script.statements[index].node, finding).is_some() {
            finding.message = OF_DEFAULT.0.to_owned();
            finding.help = Some(OF_DEFAULT.1.to_owned());
        }
        if finding.rule.id == "require-concurrent-index-deletion"
            && let Some(help) = not_dropped_concurrently(&script.statements[index].node)
        {
            finding.help = Some(help.to_owned());
            finding.fix = None;
        }
        if finding.rule.id == "constraint-missing-not-valid" && is_exclusion(&script.statements[index].node, finding) {
            finding.message = OF_EXCLUSION.0.to_owned();
            finding.help = Some(OF_EXCLUSION.1.to_owned());
        }
        let harmless = match finding.rule.id {
            "adding-foreign-key-constraint" => reads_no_row(&script.statements[index].node, finding),
            "ban-drop-function" => goes_with_its_trigger(script, index),
            "ban-disable-trigger" => enables(&script.statements[index].node, finding),
            "ban-drop-type" | "ban-drop-domain" => without_columns(&script.statements[index].node),
            "ban-alter-sequence-values" => goes_further(&script.statements[index].node, finding),
            "ban-alter-domain-with-add-constraint" => checks_new_values(&script.statements[index].node),
            "renaming-object" => nobody_names_it(script, index, finding),
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

/// `ALTER DOMAIN … SET NOT NULL`, which reads as much as a constraint does.
fn domain_without_null(stmt: &ast::Stmt) -> Option<Finding> {
    let ast::Stmt::AlterDomain(alter) = stmt else { return None };
    let Some(ast::AlterDomainAction::SetNotNull(_)) = alter.action() else { return None };
    let rule = table::find("ban-alter-domain-with-add-constraint")?;
    let message =
        "every row of each table that uses the domain is read, with its writes locked out, and one NULL fails it";
    let help =
        "add `CHECK (VALUE IS NOT NULL) NOT VALID`, put right what is NULL, and validate it in the next migration";
    Some(Finding::new(rule, range_of(alter.syntax()), message).with_help(help))
}

/// What to do about a `DROP INDEX` that PostgreSQL refuses as `CONCURRENTLY`.
fn not_dropped_concurrently(stmt: &ast::Stmt) -> Option<&'static str> {
    let ast::Stmt::DropIndex(drop) = stmt else { return None };
    if matches!(drop.drop_behavior(), Some(ast::DropBehavior::Cascade(_))) {
        Some(
            "PostgreSQL refuses `CONCURRENTLY` with `CASCADE`: drop what hangs on the index by its name first, then the index \
             `CONCURRENTLY`",
        )
    } else if drop.index_refs().count() > 1 {
        Some("PostgreSQL drops one index at a time `CONCURRENTLY`: write a `DROP INDEX CONCURRENTLY` for each of them")
    } else {
        None
    }
}

/// A default of a new column, and what is done instead. squawk has one message for it and for generated columns.
const OF_DEFAULT: (&str, &str) = (
    "Adding a column with a volatile `DEFAULT` (before PostgreSQL 11 with any) computes it for every row: the table is \
     rewritten under an `ACCESS EXCLUSIVE` lock.",
    "Add the column without it, set the default for new rows with `ALTER COLUMN … SET DEFAULT`, and fill the others in batches.",
);

/// The default of a new column that a finding is about.
fn default_of(stmt: &ast::Stmt, finding: &Finding) -> Option<ast::DefaultConstraint> {
    let ast::Stmt::AlterTable(alter) = stmt else { return None };
    if finding.rule.id != "adding-field-with-default" {
        return None;
    }
    alter
        .syntax()
        .descendants()
        .filter_map(ast::DefaultConstraint::cast)
        .find(|default| holds(default.syntax(), finding))
}

/// An exclusion constraint, for which there is no gentle way.
const OF_EXCLUSION: (&str, &str) = (
    "An exclusion constraint builds its index, and compares every row with the others, under an `ACCESS EXCLUSIVE` lock: reads \
     and writes wait until it is done.",
    "PostgreSQL knows neither `NOT VALID` nor `USING INDEX` for it: add it while nobody uses the table, with a `lock_timeout`, or to \
     a new table into which the rows are copied in batches",
);

fn is_exclusion(stmt: &ast::Stmt, finding: &Finding) -> bool {
    let ast::Stmt::AlterTable(alter) = stmt else { return false };
    alter.syntax().descendants().filter_map(ast::ExcludeConstraint::cast).any(|c| {
        let range = range_of(c.syntax());
        range.start < finding.range.end && finding.range.start < range.end
    })
}

/// New columns that are `NOT NULL` and whose default is NULL: no better than none.
fn without_value(stmt: &ast::Stmt) -> Vec<Finding> {
    let (ast::Stmt::AlterTable(alter), Some(rule)) = (stmt, table::find("adding-required-field")) else {
        return Vec::new();
    };
    let is_required = |add: &ast::AddColumn| {
        let refuses = add
            .constraints()
            .any(|c| matches!(c, ast::Constraint::NotNullConstraint(_) | ast::Constraint::PrimaryKeyConstraint(_)));
        let mut defaults = add.constraints().filter_map(|c| match c {
            ast::Constraint::DefaultConstraint(default) => default.expr(),
            _ => None,
        });
        refuses && defaults.any(|value| is_null(&value))
    };
    let adds = alter.actions().filter_map(|action| match action {
        ast::AlterTableAction::AddColumn(add) if is_required(&add) => Some(add),
        _ => None,
    });
    let message =
        "the new column is `NOT NULL` and its default is NULL: PostgreSQL refuses it as soon as the table has a row";
    adds.map(|add| {
        Finding::new(rule, range_of(add.syntax()), message)
            .with_help("Make the field nullable or add a non-VOLATILE DEFAULT")
    })
    .collect()
}

fn is_null(value: &ast::Expr) -> bool {
    match value {
        ast::Expr::ParenExpr(paren) => paren.expr().is_some_and(|e| is_null(&e)),
        ast::Expr::CastExpr(cast) => cast.expr().is_some_and(|e| is_null(&e)),
        ast::Expr::Literal(literal) => literal.syntax().text().to_string().eq_ignore_ascii_case("null"),
        _ => false,
    }
}

/// `ALTER SEQUENCE … AS bigint`: the values go on from where they are.
fn goes_further(stmt: &ast::Stmt, finding: &Finding) -> Option<&'static str> {
    let ast::Stmt::AlterSequence(alter) = stmt else { return None };
    let option =
        alter.syntax().descendants().filter_map(ast::OptionAsType::cast).find(|o| holds(o.syntax(), finding))?;
    let ty = option.syntax().descendants().find_map(ast::Type::cast).map(|ty| name_of(ty.syntax()))?;
    matches!(ty.as_str(), "bigint" | "int8" | "pg_catalog.int8")
        .then_some("the sequence goes on from where it is, and has more values from here on")
}

/// `ALTER DOMAIN … ADD CONSTRAINT … NOT VALID` looks at no row.
fn checks_new_values(stmt: &ast::Stmt) -> Option<&'static str> {
    let ast::Stmt::AlterDomain(alter) = stmt else { return None };
    let is_new = alter.syntax().descendants().any(|n| n.kind() == SyntaxKind::NOT_VALID);
    is_new.then_some("no row is read for it: it holds for the values that are written from here on")
}

/// Whether a finding is about a default that PostgreSQL computes once, and keeps beside the table.
fn is_computed_once(script: &Script<'_>, finding: &Finding) -> bool {
    let statement = script.statement_at(finding.range.start).map(|index| &script.statements[index].node);
    let default = statement.and_then(|stmt| default_of(stmt, finding)).and_then(|default| default.expr());
    default.is_some_and(|value| !volatile::may_be(script, &value))
}

/// Whether a finding is about a generated column that is not stored.
fn is_virtual(script: &Script<'_>, finding: &Finding) -> bool {
    if finding.rule.id != "adding-field-with-default" {
        return false;
    }
    let Some(index) = script.statement_at(finding.range.start) else { return false };
    let ast::Stmt::AlterTable(alter) = &script.statements[index].node else { return false };
    let generated = alter.syntax().descendants().filter_map(ast::GeneratedConstraint::cast);
    generated.filter(|g| holds(g.syntax(), finding)).any(|g| match g.generated_as() {
        Some(ast::GeneratedAs::GeneratedStored(of)) => {
            of.syntax().last_token().is_some_and(|last| last.kind() != SyntaxKind::STORED_KW)
        }
        Some(ast::GeneratedAs::GeneratedIdentity(_)) | None => false,
    })
}

/// One statement, one finding: a foreign key is told by the rule for constraints that check rows, a unique constraint or a
/// primary key, which no `NOT VALID` can help, by the rule of its own, and a new type by the one that knows the old.
fn once(found: &mut Vec<Finding>) {
    let of = |rules: &[&str]| -> Vec<std::ops::Range<usize>> {
        found.iter().filter(|f| rules.contains(&f.rule.id)).map(|f| f.range.clone()).collect()
    };
    let checked = of(&["constraint-missing-not-valid"]);
    let indexed = of(&["disallowed-unique-constraint", "adding-serial-primary-key-field"]);
    let retyped = of(&["changing-column-type"]);
    let meets = |all: &[std::ops::Range<usize>], f: &Finding| {
        all.iter().any(|range| range.start < f.range.end && f.range.start < range.end)
    };
    found.retain(|f| match f.rule.id {
        "adding-foreign-key-constraint" => !meets(&checked, f),
        "constraint-missing-not-valid" => !meets(&indexed, f),
        // What a change of size costs is just what is being told.
        "prefer-text-field" => !meets(&retyped, f),
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
            // One that the script has added itself, as a check on the way to NOT NULL, was nobody's.
            let earlier = script.statements[..index].iter().map(|s| &s.node);
            dropped.is_some()
                && later().chain(earlier).any(|s| matches!(s, ast::Stmt::AlterTable(alter) if adds(alter)))
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
        ast::Stmt::DropMaterializedView(drop) if finding.rule.id == "ban-drop-view" => {
            let names: Vec<String> = drop.view_refs().map(|n| name_of(n.syntax())).collect();
            let made = |name: &String| {
                later().any(|s| {
                    matches!(s, ast::Stmt::CreateMaterializedView(c) if c.view().is_some_and(|v| name_of(v.syntax()) == *name))
                })
            };
            !names.is_empty() && names.iter().all(made)
        }
        ast::Stmt::DropType(drop) if finding.rule.id == "ban-drop-type" => {
            let names: Vec<String> = drop.type_name_refs().map(|n| name_of(n.syntax())).collect();
            let made = |name: &String| {
                later().any(
                    |s| matches!(s, ast::Stmt::CreateType(c) if c.type_name().is_some_and(|t| name_of(t.syntax()) == *name)),
                )
            };
            !names.is_empty() && names.iter().all(made)
        }
        // A default that stands in the way of a new type, and is set again behind it.
        ast::Stmt::AlterTable(alter) if finding.rule.id == "ban-drop-default" => {
            let column = |action: &ast::AlterTableAction, sets: bool| match action {
                ast::AlterTableAction::AlterColumn(c) => match c.option() {
                    Some(ast::AlterColumnOption::SetDefault(_)) if sets => c.column_name_ref(),
                    Some(ast::AlterColumnOption::DropDefault(_)) if !sets => c.column_name_ref(),
                    _ => None,
                }
                .map(|n| name_of(n.syntax())),
                _ => None,
            };
            let dropped = alter.actions().find(|a| holds(a.syntax(), finding)).and_then(|a| column(&a, false));
            let table = alter.table_relation_name().map(|n| name_of(n.syntax()));
            let sets = |other: &ast::AlterTable| {
                other.table_relation_name().map(|n| name_of(n.syntax())) == table
                    && other.actions().any(|a| column(&a, true) == dropped)
            };
            dropped.is_some() && later().any(|s| matches!(s, ast::Stmt::AlterTable(alter) if sets(alter)))
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

/// Rows that are changed or copied behind an `ALTER TABLE` are told once: by the rule that knows of the lock.
pub fn told_once(found: &mut Vec<Finding>) {
    let held: Vec<std::ops::Range<usize>> =
        found.iter().filter(|f| f.rule.id == "ddl-with-backfill").map(|f| f.range.clone()).collect();
    found.retain(|f| !matches!(f.rule.id, "unbatched-change" | "unbatched-copy") || !held.contains(&f.range));
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

/// Without `CASCADE` a type goes only when no column has it any more.
fn without_columns(stmt: &ast::Stmt) -> Option<&'static str> {
    let cascades = stmt.syntax().descendants().any(|n| n.kind() == SyntaxKind::CASCADE);
    (!cascades).then_some(
        "PostgreSQL refuses it while a column, function or view is of this type; what is left are casts to it in running programs",
    )
}

/// Names that no query says: of indexes, of constraints, and of types that this script makes or puts another in place of.
fn nobody_names_it(script: &Script<'_>, index: usize, finding: &Finding) -> Option<&'static str> {
    match &script.statements[index].node {
        ast::Stmt::AlterIndex(_) => Some("queries do not name indexes; a hint or a script that does finds it no more"),
        ast::Stmt::AlterTable(alter) => {
            let action = alter.actions().find(|a| holds(a.syntax(), finding))?;
            matches!(action, ast::AlterTableAction::RenameConstraint(_)).then_some(
                "queries name a constraint in `ON CONFLICT ON CONSTRAINT` alone; programs may look for it in errors",
            )
        }
        ast::Stmt::AlterType(alter) => {
            let ast::AlterTypeAction::TypeRenameTo(_) = alter.action()? else { return None };
            let name = name_of(alter.type_name_ref()?.syntax());
            let makes = |s: &ast::Stmt| matches!(s, ast::Stmt::CreateType(c) if c.type_name().is_some_and(|t| name_of(t.syntax()) == name));
            let takes = |s: &ast::Stmt| {
                let ast::Stmt::AlterType(other) = s else { return false };
                match other.action() {
                    Some(ast::AlterTypeAction::TypeRenameTo(to)) => {
                        to.type_name().is_some_and(|t| name_of(t.syntax()) == name)
                    }
                    _ => false,
                }
            };
            let (before, behind) = (&script.statements[..index], &script.statements[index + 1..]);
            let made = before.iter().chain(behind).any(|s| makes(&s.node)) || behind.iter().any(|s| takes(&s.node));
            made.then_some("the type is put in another's place under its name; what that takes away is told beside it")
        }
        _ => None,
    }
}

pub(super) fn holds(node: &squawk_syntax::SyntaxNode, finding: &Finding) -> bool {
    let range = node.text_range();
    usize::from(range.start()) <= finding.range.start && finding.range.start < usize::from(range.end())
}

#[cfg(test)]
mod tests {
    use crate::config::LintConfig;
    use crate::lint::{Scope, Severity, check, sample};
    use crate::migration::{MigrationRoot, SourceFile as File, resolve};

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
        assert_eq!(
            told("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 1) NOT VALID; ALTER TABLE t DROP CONSTRAINT c;"),
            [""; 0]
        );
        assert_eq!(told("DROP VIEW v; CREATE VIEW v AS SELECT 1 AS a;"), [""; 0]);
        assert_eq!(told("DROP VIEW v, w; CREATE VIEW v AS SELECT 1 AS a;"), ["ban-drop-view"]);
        assert_eq!(
            told("DROP FUNCTION f(int); CREATE FUNCTION f(bigint) RETURNS int LANGUAGE sql AS 'SELECT 1';"),
            [""; 0]
        );
        assert_eq!(told("DROP FUNCTION f(int);"), ["ban-drop-function"]);
        let risk = |sql: &str| sample(&[("0001_m.up.sql", sql), ("0001_m.down.sql", "select now();")]).0.risk;
        assert_eq!(risk("DROP TRIGGER g ON t; DROP FUNCTION note();"), crate::ids::Risk::Low);
        assert_eq!(risk("DROP TRIGGER g ON t; DROP FUNCTION other(int);"), crate::ids::Risk::Medium);
    }

    #[test]
    fn p178_a_domain_that_takes_no_null_reads_every_table_of_it() {
        let rule = "ban-alter-domain-with-add-constraint";
        assert_eq!(told("ALTER DOMAIN d SET NOT NULL;"), [rule]);
        assert!(!told("CREATE DOMAIN d AS int; ALTER DOMAIN d DROP NOT NULL;").contains(&rule.to_owned()));
    }

    #[test]
    fn what_explain_carries_out_is_judged() {
        assert_eq!(told("EXPLAIN (ANALYZE, BUFFERS) DELETE FROM t;"), ["delete-without-where"]);
        assert_eq!(told("EXPLAIN ANALYSE VERBOSE UPDATE t SET a = 1;"), ["update-without-where"]);
        assert_eq!(told("PREPARE x AS DELETE FROM t; EXECUTE x;"), ["delete-without-where"]);
        for plain in
            ["EXPLAIN DELETE FROM t;", "EXPLAIN VERBOSE DELETE FROM t;", "EXPLAIN (ANALYZE false) DELETE FROM t;"]
        {
            assert_eq!(told(plain), [""; 0], "{plain}");
        }
    }

    #[test]
    fn names_that_nobody_says_and_types_that_nothing_has_are_notes() {
        let risk = |sql: &str| sample(&[("0001_m.up.sql", sql), ("0001_m.down.sql", "select now();")]).0.risk;
        use crate::ids::Risk::{High, Low};
        for (sql, expected) in [
            ("ALTER INDEX i RENAME TO j;", Low),
            ("ALTER TABLE t RENAME CONSTRAINT c TO d;", Low),
            ("ALTER TYPE e RENAME TO f;", High),
            ("ALTER TYPE e RENAME VALUE 'x' TO 'y';", High),
            ("ALTER SCHEMA s RENAME TO r;", High),
            (
                "CREATE TYPE e_new AS ENUM ('a'); ALTER TYPE e RENAME TO e_old; ALTER TYPE e_new RENAME TO e; DROP TYPE e_old;",
                Low,
            ),
            ("DROP TYPE e;", Low),
            ("DROP TYPE e CASCADE;", High),
            ("DROP DOMAIN d;", Low),
        ] {
            assert_eq!(risk(sql), expected, "{sql}");
        }
        assert_eq!(told("DROP TYPE e; CREATE TYPE e AS (a int);"), [""; 0]);
        assert_eq!(told("DROP MATERIALIZED VIEW v; CREATE MATERIALIZED VIEW v AS SELECT 1 AS a;"), [""; 0]);
        let default = "ALTER TABLE t ALTER COLUMN c DROP DEFAULT; ALTER TABLE t ALTER COLUMN c SET DEFAULT 'x';";
        assert_eq!(told(default), [""; 0]);
        assert_eq!(
            told("ALTER TABLE t ALTER COLUMN c DROP DEFAULT, ALTER COLUMN d SET DEFAULT 1;"),
            ["ban-drop-default"]
        );
    }

    #[test]
    fn an_exclusion_constraint_is_not_told_to_be_not_valid() {
        let help = |sql: &str| {
            let found = sample(&[("0001_m.up.sql", sql)]).0.violations;
            found
                .into_iter()
                .find(|v| v.rule == "constraint-missing-not-valid")
                .and_then(|v| v.help)
                .unwrap_or_default()
        };
        let exclusion = help("ALTER TABLE t ADD CONSTRAINT c EXCLUDE USING gist (r WITH &&);");
        assert!(exclusion.contains("knows neither `NOT VALID`"), "{exclusion}");
        assert!(!help("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0);").contains("knows neither"));
    }

    #[test]
    fn p107_a_required_column_whose_default_is_null_is_told() {
        let is_told = |column: &str| {
            told(&format!("ALTER TABLE t ADD COLUMN c {column};")).iter().any(|r| r == "adding-required-field")
        };
        assert!(is_told("text NOT NULL DEFAULT NULL") && is_told("text DEFAULT NULL::text NOT NULL"));
        assert!(!is_told("text DEFAULT NULL") && !is_told("text NOT NULL DEFAULT 'null'"));
        let new =
            told("CREATE TABLE t (id bigint PRIMARY KEY); ALTER TABLE t ADD COLUMN c text NOT NULL DEFAULT NULL;");
        assert!(!new.iter().any(|r| r == "adding-required-field"), "{new:?}");
    }

    #[test]
    fn what_reads_no_row_and_takes_no_value_away_is_a_note() {
        let of = |sql: &str| sample(&[("0001_m.up.sql", sql), ("0001_m.down.sql", "select now();")]).0.risk;
        use crate::ids::Risk::{High, Low};
        for (sql, risk) in [
            ("ALTER SEQUENCE s AS bigint;", Low),
            ("ALTER SEQUENCE s AS smallint;", High),
            ("ALTER SEQUENCE s AS bigint INCREMENT BY 50;", High),
            ("ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID;", Low),
            ("ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 0);", High),
        ] {
            assert_eq!(of(sql), risk, "{sql}");
        }
    }

    #[test]
    fn p102_p105_a_default_is_not_called_a_generated_column() {
        let message = |column: &str| {
            let sql = format!("ALTER TABLE t ADD COLUMN u {column};");
            let (report, _) = sample(&[("0001_m.up.sql", &sql)]);
            let found = report.violations.into_iter().find(|v| v.rule == "adding-field-with-default");
            found.map_or(String::new(), |v| v.message)
        };
        let default = message("uuid DEFAULT gen_random_uuid()");
        assert!(default.contains("a volatile `DEFAULT`") && !default.contains("generated"), "{default}");
        let generated = message("int GENERATED ALWAYS AS (a * 2) STORED");
        assert!(generated.contains("generated column"), "{generated}");
    }

    #[test]
    fn p105_a_virtual_column_of_postgresql_18_rewrites_nothing() {
        let told = |version: &str, column: &str| {
            let sql = format!("ALTER TABLE t ADD COLUMN u int GENERATED {column};");
            let files = [File::new("0001_m.up.sql", sql.as_bytes())];
            let set = resolve(&files, &[MigrationRoot::folder("")]);
            let config = LintConfig { postgres_version: Some(version.to_owned()), ..LintConfig::default() };
            let today = chrono::NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date");
            let report = check(&set, &config, &Scope::All, today);
            report.violations.iter().any(|v| v.rule == "adding-field-with-default")
        };
        for column in ["ALWAYS AS (1) VIRTUAL", "ALWAYS AS (1)"] {
            assert!(!told("18", column) && !told("18.1", column) && told("17", column), "{column}");
        }
        assert!(told("18", "ALWAYS AS (stored) STORED") && told("18", "ALWAYS AS IDENTITY"));
        assert!(!told("18", "ALWAYS AS (stored)"));
    }

    #[test]
    fn p122_a_wider_varchar_is_told_once() {
        let wider = "ALTER TABLE t ALTER COLUMN n TYPE varchar(40);";
        assert_eq!(told(wider), ["changing-column-type"]);
        assert_eq!(told("ALTER TABLE t ADD COLUMN n varchar(40);"), ["prefer-text-field"]);
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
