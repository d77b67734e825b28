//! Functions and procedures that scripts define and call. What a script runs by calling one of an earlier migration is
//! told where it calls it.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

use super::bodies::{Parsed, Written};
use super::check::{Checked, Linter, cannot_parse};
use super::lines::Lines;
use super::script::{Direction, Finding, Script, Statement, name_of, statements_of};
use super::touched::word;
use super::{bodies, depth, schema, squawk, table};
use crate::ids::Engine;
use crate::migration::{self, Migration, MigrationSet};

/// A call of a function or a procedure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its name, without a schema.
    pub name: String,
    /// Bytes of the statement that calls it.
    pub range: Range<usize>,
}

/// A function or a procedure that a script defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routine {
    /// Its name, without a schema.
    pub name: String,
    /// Bytes of the statement that defines it.
    pub range: Range<usize>,
}

/// The functions and procedures that a script's statements define.
pub fn routines(statements: &[Statement]) -> Vec<Routine> {
    let of = |s: &Statement| defined(&s.node).map(|name| Routine { name, range: s.range.clone() });
    statements.iter().filter_map(of).collect()
}

/// The name of the function or the procedure that a statement defines, without its schema.
pub fn defined(statement: &ast::Stmt) -> Option<String> {
    let name = match statement {
        ast::Stmt::CreateFunction(f) => name_of(f.name()?.syntax()),
        ast::Stmt::CreateProcedure(p) => name_of(p.name()?.syntax()),
        _ => return None,
    };
    Some(name.rsplit('.').next().unwrap_or(&name).to_owned())
}

/// The functions that a script calls itself, or that its `DO` blocks do.
pub fn called(script: &Script<'_>) -> Vec<Call> {
    let mut calls = Vec::new();
    for statement in &script.statements {
        let node = match &statement.node {
            ast::Stmt::Select(_) | ast::Stmt::Call(_) => statement.node.syntax().clone(),
            ast::Stmt::Do(_) => match statement.written() {
                Written::Plpgsql(parsed) => parsed.body.syntax(),
                Written::Nothing | Written::Unreadable | Written::Sql(_) => continue,
            },
            _ => continue,
        };
        calls.extend(names_called(&node).into_iter().map(|name| Call { name, range: statement.range.clone() }));
    }
    calls
}

/// The names in front of a parenthesis, but for those of `DROP FUNCTION f()` or `EXECUTE FUNCTION f()` of a trigger.
pub fn names_called(node: &SyntaxNode) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut last: Option<String> = None;
    let mut is_spoken_of = false;
    for token in node.descendants_with_tokens().filter_map(|e| e.into_token()) {
        match token.kind() {
            SyntaxKind::WHITESPACE | SyntaxKind::COMMENT => {}
            SyntaxKind::L_PAREN => names.extend(last.take().filter(|_| !is_spoken_of)),
            SyntaxKind::DOT => {}
            SyntaxKind::FUNCTION_KW | SyntaxKind::PROCEDURE_KW | SyntaxKind::ROUTINE_KW => is_spoken_of = true,
            SyntaxKind::IDENT => last = Some(word(token.text())),
            _ => (last, is_spoken_of) = (None, false),
        }
    }
    names
}

/// Where functions are defined, by their database and name, in the order in which the migrations run: each migration's place
/// and the bytes of its statement.
type Definitions = HashMap<(String, String), Vec<(usize, Range<usize>)>>;

/// A definition that was looked into, for calls in a transaction or outside one.
type Seen = HashMap<(usize, usize, bool), Vec<Finding>>;

impl Linter<'_> {
    /// Adds what the functions do that the scripts call and earlier migrations define.
    pub(super) fn with_calls(&self, set: &MigrationSet, in_scope: &[(usize, &Migration)], scripts: &mut [Checked]) {
        if scripts.iter().all(|checked| checked.calls.is_empty() && checked.calls_back.0.is_empty()) {
            return;
        }
        let definitions = definitions(set, in_scope, scripts);
        let mut seen = Seen::new();
        for ((at, migration), checked) in in_scope.iter().zip(scripts) {
            let Some(database) = schema::database(migration) else { continue };
            let (back, back_transactional) = std::mem::take(&mut checked.calls_back);
            let there = std::mem::take(&mut checked.calls).into_iter().map(|call| (call, Direction::Up));
            for (call, direction) in there.chain(back.into_iter().map(|call| (call, Direction::Down))) {
                let places = definitions.get(&(database.clone(), call.name.clone())).map_or(&[][..], Vec::as_slice);
                // What the migration defines itself is there when it is undone.
                let (before, in_transaction) = match direction {
                    Direction::Up => (places.partition_point(|(place, _)| place < at), checked.transactional),
                    Direction::Down => (places.partition_point(|(place, _)| place <= at), back_transactional),
                };
                let Some((place, range)) = before.checked_sub(1).map(|last| &places[last]) else { continue };
                let found = seen.entry((*place, range.start, in_transaction)).or_insert_with(|| {
                    let definition = &set.migrations[*place].up;
                    depth::with_stack(|| self.when_called(&call.name, definition, range, in_transaction))
                });
                let here = found.iter().cloned().map(|finding| Finding { range: call.range.clone(), ..finding });
                match direction {
                    Direction::Up => checked.up.extend(here),
                    // Of a way back, only what cannot run is worth a word.
                    Direction::Down => {
                        checked.down.extend(here.filter(|f| f.rule.id == table::MIXED_TRANSACTION.id));
                    }
                }
            }
        }
    }

    /// What the function does when it is called that the statement at `definition` of `source` defines, each rule once.
    fn when_called(
        &self,
        name: &str,
        source: &migration::Script,
        definition: &Range<usize>,
        in_transaction: bool,
    ) -> Vec<Finding> {
        let Some(text) = source.text.get(definition.clone()).map(squawk::without_marks) else { return Vec::new() };
        let Parsed { text, statements, .. } = bodies::parsed(text);
        let script = Script::new(&text, statements, Engine::Postgresql, Direction::Up, in_transaction).older();
        let lines = Lines::new(&source.text, source.first_line);
        let mut told = BTreeSet::new();
        let mut found = bodies::when_called(name, &script, &self.postgres, |i| self.on(i));
        let foreign = script.statements.first().filter(|s| bodies::is_foreign(&s.node));
        found.extend(foreign.zip(table::find("opaque-block").filter(|rule| self.on(rule))).map(|(s, rule)| {
            let message = "no rule can look into it: it is written in another language than SQL or PL/pgSQL";
            Finding::new(rule, s.range.clone(), message)
        }));
        found.retain(|finding| told.insert(finding.rule.id));
        for finding in &mut found {
            let line = lines.position(definition.start + finding.range.start).line;
            finding.message = format!("`{name}` of {}:{line} does this: {}", source.path, finding.message);
        }
        found
    }
}

fn definitions(set: &MigrationSet, in_scope: &[(usize, &Migration)], scripts: &mut [Checked]) -> Definitions {
    let calls = |c: &Checked| c.calls.iter().chain(&c.calls_back.0).map(|call| call.name.clone()).collect::<Vec<_>>();
    let called: BTreeSet<String> = scripts.iter().flat_map(calls).collect();
    let mut known: HashMap<usize, Vec<Routine>> =
        in_scope.iter().zip(scripts).map(|((at, _), c)| (*at, std::mem::take(&mut c.defined))).collect();
    let mut definitions = Definitions::new();
    for (at, migration) in set.migrations.iter().enumerate() {
        let Some(database) = schema::database(migration) else { continue };
        let routines = known.remove(&at).unwrap_or_else(|| defined_in(&migration.up.text));
        for Routine { name, range } in routines.into_iter().filter(|routine| called.contains(&routine.name)) {
            definitions.entry((database.clone(), name)).or_default().push((at, range));
        }
    }
    definitions
}

/// The functions that a script defines which nobody has parsed yet.
fn defined_in(text: &str) -> Vec<Routine> {
    let lower = text.to_ascii_lowercase();
    if !(lower.contains("function") || lower.contains("procedure")) || cannot_parse(text).is_some() {
        return Vec::new();
    }
    depth::with_stack(|| {
        let parse = SourceFile::parse(&squawk::without_marks(text));
        routines(&statements_of(&parse))
    })
}

#[cfg(test)]
mod tests {
    use crate::lint::{Severity, Violation, sample};

    const PURGE: &str = "CREATE SCHEMA app;\nCREATE PROCEDURE app.purge() LANGUAGE sql AS $$\n  DELETE FROM t\n$$;\n";

    fn found(files: &[(&str, &str)], rule: &str) -> Vec<Violation> {
        let (report, _) = sample(files);
        report.violations.into_iter().filter(|v| v.rule == rule).collect()
    }

    #[test]
    fn f220_what_a_procedure_of_an_earlier_migration_does_is_told_where_it_is_called() {
        for call in ["CALL app.purge();", "CALL purge ( );", "DO $$ BEGIN CALL app.\"purge\"(); END $$;"] {
            let second = format!("SELECT 1;\n{call}\n");
            let told = found(&[("0001_p.up.sql", PURGE), ("0002_c.up.sql", &second)], "delete-without-where");
            let [definition, call] = &told[..] else { panic!("{call}: {told:?}") };
            assert_eq!((definition.line, definition.severity), (3, Severity::Warning));
            assert_eq!((call.line, call.severity), (2, Severity::Error), "{call:?}");
            assert!(call.file.ends_with("0002_c.up.sql") && call.message.contains("0001_p.up.sql:3"), "{call:?}");
        }
    }

    #[test]
    fn f220_a_call_of_what_nobody_can_read_is_told() {
        let python = "CREATE FUNCTION f() RETURNS void LANGUAGE plpython3u AS $$ plpy.execute('drop table t') $$;\n";
        let told = found(&[("0001_f.up.sql", python), ("0002_c.up.sql", "SELECT f();\n")], "opaque-block");
        let [call] = &told[..] else { panic!("{told:?}") };
        assert!(call.file.ends_with("0002_c.up.sql") && call.message.contains("another language"), "{call:?}");
    }

    #[test]
    fn f220_only_the_last_definition_in_front_of_the_call_counts() {
        let harmless = "CREATE OR REPLACE PROCEDURE app.purge() LANGUAGE sql AS $$ DELETE FROM t WHERE a = 1 $$;\n";
        let on = |files: &[(&str, &str)]| {
            let called = |v: &Violation| v.message.contains("does this");
            found(files, "delete-without-where").into_iter().filter(called).count()
        };
        let call = "CALL app.purge();\n";
        assert_eq!(on(&[("0001_a.up.sql", PURGE), ("0002_b.up.sql", harmless), ("0003_c.up.sql", call)]), 0);
        assert_eq!(on(&[("0001_a.up.sql", harmless), ("0002_b.up.sql", PURGE), ("0003_c.up.sql", call)]), 1);
        assert_eq!(on(&[("0001_a.up.sql", call), ("0002_b.up.sql", PURGE)]), 0);
        let trigger = "DO $$ BEGIN CREATE TRIGGER g AFTER INSERT ON v EXECUTE FUNCTION app.purge(); END $$;\n";
        assert_eq!(on(&[("0001_a.up.sql", PURGE), ("0002_b.up.sql", trigger)]), 0);
        // What else the script does that defines it is not done again.
        let beside = format!("DO $$ BEGIN DELETE FROM t; END $$;\n{harmless}");
        assert_eq!(on(&[("0001_a.up.sql", PURGE), ("0002_b.up.sql", &beside), ("0003_c.up.sql", call)]), 0);
        // A column or a table of the same name calls nothing.
        assert_eq!(on(&[("0001_a.up.sql", PURGE), ("0002_b.up.sql", "SELECT purge FROM purge;\n")]), 0);
    }
}
