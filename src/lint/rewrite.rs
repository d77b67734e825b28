//! Rewrites of our own for findings that come without one.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

use super::fix::Rewrite;
use super::script::{Finding, Script, Statement, name_of, range_of};

/// Rules that say a constraint is checked on every row at once.
const VALIDATING: [&str; 2] = ["adding-foreign-key-constraint", "constraint-missing-not-valid"];

/// The rewrite for a finding, where one is known.
pub(super) fn of(script: &Script<'_>, finding: &Finding) -> Option<Rewrite> {
    let statement = &script.statements[script.statement_at(finding.range.start)?];
    if finding.rule.id == "ban-truncate-cascade" {
        return without_cascade(script, statement);
    }
    let ast::Stmt::AlterTable(alter) = &statement.node else { return None };
    let place = Place { script, statement, alter };
    match finding.rule.id {
        rule if VALIDATING.contains(&rule) => place.not_valid(finding).or_else(|| place.of_column(finding)),
        "add-column-with-check" => place.of_column(finding),
        "adding-field-with-default" => place.default_for_new_rows(finding),
        "adding-not-nullable-field" => place.not_null_by_check(finding),
        "disallowed-unique-constraint" => place.unique_by_index(finding),
        _ => None,
    }
}

/// Takes the `CASCADE` of a statement that drops or empties out of it: what hangs on the object then refuses.
pub(super) fn without_cascade(script: &Script<'_>, statement: &Statement) -> Option<Rewrite> {
    let cascade = statement.node.syntax().descendants().filter_map(ast::Cascade::cast).last()?;
    let range = range_of(cascade.syntax());
    let before = script.text[..range.start].trim_end().len();
    Some(Rewrite {
        title: "Leave CASCADE out: what hangs on it is then named by the error, and dropped by name".to_owned(),
        edits: vec![(before..range.end, String::new())],
    })
}

/// An `ALTER TABLE` of a script.
struct Place<'s, 'a> {
    script: &'s Script<'a>,
    statement: &'s Statement,
    alter: &'s ast::AlterTable,
}

impl Place<'_, '_> {
    /// `word` as the statement writes its words.
    fn said(&self, words: &str) -> String {
        let text = &self.script.text[self.statement.range.start..];
        if text.starts_with(|c: char| c.is_ascii_uppercase()) { words.to_owned() } else { words.to_ascii_lowercase() }
    }

    fn text(&self, node: &SyntaxNode) -> &str {
        &self.script.text[range_of(node)]
    }

    /// The table as it is written, and the end of its name.
    fn table(&self) -> Option<(String, String)> {
        let written = self.text(self.alter.table_relation_name()?.syntax()).trim().to_owned();
        let name = name_of(self.alter.table_relation_name()?.syntax());
        Some((written, name.rsplit('.').next().unwrap_or(&name).to_owned()))
    }

    /// The one action of a statement that is alone in its script.
    fn alone(&self) -> Option<ast::AlterTableAction> {
        let mut actions = self.alter.actions();
        let first = actions.next()?;
        let is_alone = actions.next().is_none() && self.script.statements.len() == 1;
        (is_alone && self.alter.if_exists().is_none()).then_some(first)
    }

    /// The mark that has the script run statement by statement, where it is not run so anyway.
    fn mark(&self) -> &'static str {
        if self.script.in_transaction { "-- godwit: no-transaction\n" } else { "" }
    }

    /// What stands for the whole statement: `statements`, the last of them with the end that it had.
    fn instead(&self, title: &str, statements: &[String]) -> Rewrite {
        let ends = self.script.text[self.statement.range.clone()].ends_with(';');
        let mut text = format!("{}{}", self.mark(), statements.join(";\n"));
        if ends {
            text.push(';');
        }
        Rewrite { title: title.to_owned(), edits: vec![(self.statement.range.clone(), text)] }
    }

    /// A constraint of the table as `NOT VALID`.
    fn not_valid(&self, finding: &Finding) -> Option<Rewrite> {
        self.alter.actions().find_map(|action| {
            let ast::AlterTableAction::AddConstraint(add) = action else { return None };
            let constraint = add.constraint()?;
            let range = range_of(constraint.syntax());
            let scans =
                matches!(constraint, ast::Constraint::ForeignKeyConstraint(_) | ast::Constraint::CheckConstraint(_));
            (scans && meets(&range, finding)).then(|| Rewrite {
                title: "Add it NOT VALID, which scans nothing; validate it in a migration of its own".to_owned(),
                edits: vec![(range.end..range.end, self.said(" NOT VALID"))],
            })
        })
    }

    /// A new column's own foreign key or check, which takes no `NOT VALID`, as one of the table, which does.
    fn of_column(&self, finding: &Finding) -> Option<Rewrite> {
        let (_, table) = self.table()?;
        self.alter.actions().find_map(|action| {
            let ast::AlterTableAction::AddColumn(add) = action else { return None };
            let column = add.column_name()?;
            let (written, name) = (self.text(column.syntax()).to_owned(), name_of(column.syntax()));
            add.constraints().find_map(|constraint| {
                let range = range_of(constraint.syntax());
                if !meets(&range, finding) {
                    return None;
                }
                let (clause, options, first, last, kind) = match &constraint {
                    ast::Constraint::ReferencesConstraint(c) => {
                        let first = c.references_token()?.text_range().start();
                        let key = self.said("FOREIGN KEY");
                        (
                            c.constraint_name_clause(),
                            c.constraint_options().count(),
                            first,
                            "fkey",
                            format!("{key} ({written}) "),
                        )
                    }
                    ast::Constraint::CheckConstraint(c) => {
                        let first = c.check_token()?.text_range().start();
                        (c.constraint_name_clause(), c.constraint_options().count(), first, "check", String::new())
                    }
                    _ => return None,
                };
                if options > 0 {
                    return None;
                }
                let own = clause.and_then(|c| c.constraint_name()).map(|n| self.text(n.syntax()).to_owned());
                let own = own.or_else(|| identifier(&format!("{table}_{name}_{last}")))?;
                let rule = &self.script.text[usize::from(first)..range.end];
                let add_end = range_of(add.syntax()).end;
                let before = self.script.text[..range.start].trim_end().len();
                let moved = format!(", {} {own} {kind}{rule} {}", self.said("ADD CONSTRAINT"), self.said("NOT VALID"));
                let edits = if range.end >= add_end {
                    vec![(before..range.end, moved)]
                } else {
                    vec![(before..range.end, String::new()), (add_end..add_end, moved)]
                };
                Some(Rewrite {
                    title: "Add it to the table, NOT VALID, which scans nothing; validate it in a migration of its own"
                        .to_owned(),
                    edits,
                })
            })
        })
    }

    /// A column without its default, which is then set for the rows to come.
    fn default_for_new_rows(&self, finding: &Finding) -> Option<Rewrite> {
        let (table, _) = self.table()?;
        self.alter.actions().find_map(|action| {
            let ast::AlterTableAction::AddColumn(add) = action else { return None };
            let default = add.constraints().find_map(|c| match c {
                ast::Constraint::DefaultConstraint(d) if meets(&range_of(d.syntax()), finding) => Some(d),
                _ => None,
            })?;
            // Any other constraint may need the values at once.
            if add.constraints().count() > 1 || default.constraint_name_clause().is_some() {
                return None;
            }
            let column = self.text(add.column_name()?.syntax()).to_owned();
            let value = self.text(default.expr()?.syntax());
            let range = range_of(default.syntax());
            let before = self.script.text[..range.start].trim_end().len();
            let set = format!(
                "{} {table} {} {column} {} {value}",
                self.said("ALTER TABLE"),
                self.said("ALTER COLUMN"),
                self.said("SET DEFAULT")
            );
            let end = self.statement.range.end;
            let behind = if self.script.text[..end].ends_with(';') { format!("\n{set};") } else { format!(";\n{set}") };
            Some(Rewrite {
                title: "Add it empty and set the default for rows to come; fill the old ones in batches".to_owned(),
                edits: vec![(before..range.end, String::new()), (end..end, behind)],
            })
        })
    }

    /// `SET NOT NULL` behind a check that was validated beside reads and writes.
    fn not_null_by_check(&self, finding: &Finding) -> Option<Rewrite> {
        let ast::AlterTableAction::AlterColumn(action) = self.alone()? else { return None };
        let ast::AlterColumnOption::SetNotNull(set) = action.option()? else { return None };
        if !meets(&range_of(action.syntax()), finding) && !meets(&range_of(set.syntax()), finding) {
            return None;
        }
        let (written, table) = self.table()?;
        let column = action.column_name_ref()?;
        let (shown, name) = (self.text(column.syntax()).to_owned(), name_of(column.syntax()));
        let check = identifier(&format!("{table}_{name}_not_null"))?;
        let alter = format!("{} {written}", self.said("ALTER TABLE"));
        Some(self.instead(
            "Check it first, beside reads and writes: NOT VALID, VALIDATE, SET NOT NULL, one statement at a time",
            &[
                format!(
                    "{alter} {} {check} {} ({shown} {}) {}",
                    self.said("ADD CONSTRAINT"),
                    self.said("CHECK"),
                    self.said("IS NOT NULL"),
                    self.said("NOT VALID")
                ),
                format!("{alter} {} {check}", self.said("VALIDATE CONSTRAINT")),
                format!("{alter} {} {shown} {}", self.said("ALTER COLUMN"), self.said("SET NOT NULL")),
                format!("{alter} {} {check}", self.said("DROP CONSTRAINT")),
            ],
        ))
    }

    /// A unique constraint whose index is built beside reads and writes.
    fn unique_by_index(&self, finding: &Finding) -> Option<Rewrite> {
        let ast::AlterTableAction::AddConstraint(add) = self.alone()? else { return None };
        let ast::Constraint::UniqueConstraint(unique) = add.constraint()? else { return None };
        let plain = unique.constraint_options().count() == 0 && unique.using_index().is_none();
        if !plain || !meets(&range_of(add.syntax()), finding) {
            return None;
        }
        let (written, table) = self.table()?;
        let text = self.text(unique.syntax());
        let columns = text.get(text.find('(')?..)?.trim();
        let names: Vec<&str> = columns.trim_matches(['(', ')']).split(',').map(str::trim).collect();
        // `NULLS NOT DISTINCT` stands in front of the columns, and is no plain list.
        let head = text[..text.find('(')?].trim().to_ascii_lowercase();
        // Nothing stands behind them either: no `INCLUDE`, no `WITH`, no place.
        let one_list = columns.ends_with(')') && columns.matches(')').count() == 1;
        if !head.ends_with("unique") || !one_list || names.iter().any(|n| identifier(n).is_none()) {
            return None;
        }
        let own = unique.constraint_name_clause().and_then(|c| c.constraint_name());
        let own = match own {
            Some(name) => self.text(name.syntax()).to_owned(),
            None => identifier(&format!("{table}_{}_key", names.join("_")))?,
        };
        Some(self.instead(
            "Build its index CONCURRENTLY first, and make the constraint of it",
            &[
                format!(
                    "{} {own} {} {written} {columns}",
                    self.said("CREATE UNIQUE INDEX CONCURRENTLY"),
                    self.said("ON")
                ),
                format!(
                    "{} {written} {} {own} {} {own}",
                    self.said("ALTER TABLE"),
                    self.said("ADD CONSTRAINT"),
                    self.said("UNIQUE USING INDEX")
                ),
            ],
        ))
    }
}

fn meets(range: &std::ops::Range<usize>, finding: &Finding) -> bool {
    range.start < finding.range.end && finding.range.start < range.end
}

/// A name that needs no quotes and is not cut off.
fn identifier(name: &str) -> Option<String> {
    let fits = name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    fits.then(|| name.to_owned())
}
