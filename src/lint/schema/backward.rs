//! The way back of a migration, tried on the schema that its own forward script leaves: what cannot run, and what it takes
//! that the forward script did not bring.

use std::collections::BTreeSet;
use std::ops::Range;

use super::catalog::Catalog;
use super::change::{Action, Change, Dropped, What};
use super::judge::{self, Note};
use super::{EXISTING_OBJECT, MISSING_OBJECT, OBJECT_IN_USE, POSTGRESQL_REFUSES, Step};
use crate::lint::Severity;
use crate::lint::script::Finding;
use crate::lint::table::{self, RuleInfo};

/// What PostgreSQL certainly refuses of a way back, where its forward script has left `behind`.
pub fn refused(behind: &Catalog, step: &Step<'_>, version: u32) -> Vec<Note> {
    if step.back.is_empty() {
        return Vec::new();
    }
    let mut catalog = behind.clone();
    catalog.begin(step.migration.schema());
    let mut found = Vec::new();
    for change in &step.back {
        let notes = judge::notes(&catalog, change, version, &|_| None);
        found.extend(notes.into_iter().filter_map(certain));
        found.extend(wrong_index(&catalog, change, step));
        catalog.apply(&change.what);
    }
    found
}

/// A finding of a statement that cannot run, in the words of a way back.
fn certain(note: Note) -> Option<Note> {
    let Note::Add(finding) = note else { return None };
    let fails = [&MISSING_OBJECT, &OBJECT_IN_USE, &POSTGRESQL_REFUSES, &EXISTING_OBJECT];
    let is_sure = finding.severity.is_none_or(|severity| severity == Severity::Error);
    (is_sure && fails.iter().any(|rule| rule.id == finding.rule.id)).then(|| {
        let message = format!("run behind its forward script, the way back fails here: {}", finding.message);
        Note::Add(Finding { message, fix: None, ..finding })
    })
}

/// An index that no migration makes, dropped where the one that the forward script makes is left.
fn wrong_index(catalog: &Catalog, change: &Change, step: &Step<'_>) -> Option<Note> {
    let What::Drop { kind: Dropped::Index { .. }, names, if_exists: false, .. } = &change.what else { return None };
    let dropped = |name: &str| {
        step.back.iter().any(|c| match &c.what {
            What::Drop { names, .. } => names.iter().any(|n| last(n) == last(name)),
            What::RenameIndex { from, .. } => last(from) == last(name),
            What::Alter { action: Action::DropConstraint { name: constraint, .. }, .. } => constraint == last(name),
            _ => false,
        })
    };
    let made = step.changes.iter().find_map(|c| match &c.what {
        What::CreateIndex { name: Some(name), table, .. } => {
            (!dropped(name) && !dropped(table)).then_some(last(name)).filter(|name| catalog.has_index(name))
        }
        _ => None,
    })?;
    let absent = names.iter().map(|n| last(n)).find(|name| !catalog.has_index(name))?;
    let message = format!(
        "no migration makes an index `{absent}`, and `{made}`, which the forward script makes, is left: run behind it, the way \
         back fails here"
    );
    let help = "drop the index by the name that it was given";
    let finding = Finding::new(&MISSING_OBJECT, change.range.clone(), message).with_help(help);
    Some(Note::Add(Finding { severity: Some(Severity::Warning), ..finding }))
}

/// What a way back takes that was there before its forward script, by the schema `before` that one, and that is not its to
/// undo.
pub fn takes(before: &Catalog, step: &Step<'_>) -> Vec<Note> {
    if step.back.is_empty() {
        return Vec::new();
    }
    let Some(own) = Brought::of(&step.changes) else { return Vec::new() };
    let mut found = Vec::new();
    for (n, change) in step.back.iter().enumerate() {
        // What the way back itself makes or renames is not what was there.
        let Some(renewed) = Brought::of(&step.back[..n]) else { break };
        let is_own = |table: &str| own.has_table(table) || renewed.has_table(table);
        match &change.what {
            What::Drop { kind: Dropped::Table, names, cascade, .. } => {
                let there = |name: &&String| {
                    let known = before.resolve(name).is_some_and(|n| before.table(&n).is_some());
                    known && !is_own(name)
                };
                for name in names.iter().filter(there) {
                    let hangs = if *cascade { " and, by `CASCADE`, all that hangs on it" } else { "" };
                    let message = format!(
                        "the way back drops `{name}` with all its rows{hangs}: an earlier migration made it, not this one"
                    );
                    let rule = if *cascade { "drop-cascade" } else { "ban-drop-table" };
                    found.extend(table::find(rule).map(|rule| lost(rule, change, message, name)));
                }
            }
            What::Alter { table, action, .. } if !is_own(table) => {
                let Some(known) = before.resolve(table).and_then(|t| before.table(&t).cloned()) else { continue };
                let parts = match action {
                    Action::Several(parts) => parts.as_slice(),
                    one => std::slice::from_ref(one),
                };
                for part in parts {
                    let Action::DropColumn { name, .. } = part else { continue };
                    if known.columns.contains_key(name)
                        && !own.has_column(table, name)
                        && !renewed.has_column(table, name)
                    {
                        let message = format!(
                            "the way back drops `{table}.{name}` with all its values: an earlier migration made it, not this one"
                        );
                        found.extend(table::find("ban-drop-column").map(|rule| lost(rule, change, message, table)));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn lost(rule: &'static RuleInfo, change: &Change, message: String, table: &str) -> Note {
    let help = "undo what the forward script does, and nothing else";
    let finding = Finding::new(rule, change.range.clone(), message).with_help(help);
    Note::Add(Finding { tables: vec![table.to_owned()], ..finding })
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The columns that the statement at `range` sets.
pub fn columns_set<'a>(changes: &'a [Change], range: &Range<usize>) -> BTreeSet<&'a str> {
    let of = changes.iter().filter(|change| change.range == *range).filter_map(|change| match &change.what {
        What::Columns { columns, .. } => Some(columns),
        _ => None,
    });
    of.flatten().map(String::as_str).collect()
}

/// The tables into which a script puts rows, or changes some.
pub fn filled(changes: &[Change]) -> BTreeSet<&str> {
    let of = changes.iter().filter_map(|change| match &change.what {
        What::Columns { table, .. } => Some(table.as_str()),
        _ => None,
    });
    of.collect()
}

/// What a script brings, or may bring: undoing it is what a way back is for.
#[derive(Debug, Default)]
pub struct Brought {
    tables: BTreeSet<String>,
    columns: BTreeSet<(String, String)>,
}

impl Brought {
    /// Of a script; nothing where it may do anything.
    pub fn of(changes: &[Change]) -> Option<Self> {
        let mut brought = Self::default();
        for change in changes {
            brought.read(&change.what)?;
        }
        Some(brought)
    }

    /// Whether a table is among it.
    pub fn has_table(&self, table: &str) -> bool {
        self.tables.contains(last(table))
    }

    /// Whether a column of a table that was there is among it.
    pub fn has_column(&self, table: &str, column: &str) -> bool {
        self.columns.contains(&(last(table).to_owned(), column.to_owned()))
    }

    fn read(&mut self, what: &What) -> Option<()> {
        match what {
            What::Anything => return None,
            What::CreateTable { .. }
            | What::CreateOther { .. }
            | What::CreateView { .. }
            | What::Drop { .. }
            | What::Opaque(_)
            | What::Call { .. }
            | What::Cascade(_) => self.tables.extend(what.names().iter().map(|name| last(name).to_owned())),
            What::Maybe(what) => {
                if matches!(**what, What::Anything) {
                    return None;
                }
                self.tables.extend(what.names().iter().map(|name| last(name).to_owned()));
            }
            What::Alter { table, action, .. } => self.alter(last(table), action),
            _ => {}
        }
        Some(())
    }

    fn alter(&mut self, table: &str, action: &Action) {
        let mut columns = |names: &[&String]| {
            self.columns.extend(names.iter().map(|name| (table.to_owned(), (*name).clone())));
        };
        match action {
            Action::Several(parts) => parts.iter().for_each(|part| self.alter(table, part)),
            Action::AddColumn { name, .. } | Action::DropColumn { name, .. } => columns(&[name]),
            Action::RenameColumn { from, to } => columns(&[from, to]),
            Action::RenameTo(to) => self.tables.extend([table.to_owned(), last(to).to_owned()]),
            Action::SetSchema(_) | Action::Opens => drop(self.tables.insert(table.to_owned())),
            Action::Attach { partition, .. } | Action::Detach { partition, .. } => {
                self.tables.insert(last(partition).to_owned());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::sample;

    const BASE: &str = "create type k as enum ('a'); create table o (id bigint primary key, n text, kind k); \
                        create table s (key text primary key, v text); create view ov as select id, n from o;";

    /// The rules that say something of a way back.
    fn told(up: &str, down: &str) -> Vec<String> {
        let files = [("0001_b.up.sql", BASE), ("0002_m.up.sql", up), ("0002_m.down.sql", down)];
        let found = sample(&files).0.violations.into_iter().filter(|v| v.file == "0002_m.down.sql");
        found.filter(|v| v.rule != "incomplete-down").map(|v| v.rule).collect()
    }

    #[test]
    fn a_way_back_that_cannot_run_behind_its_forward_script_is_told() {
        for (up, down, expected) in [
            (
                "create table g (id int primary key); create table h (g int references g (id));",
                "drop table g; drop table h;",
                "object-in-use",
            ),
            (
                "create table g (id int primary key); create table h (g int references g (id));",
                "drop table h; drop table g;",
                "",
            ),
            ("create table g (id int primary key); create table h (g int references g (id));", "drop table g, h;", ""),
            (
                "create type p as enum ('x'); alter table o add column q p;",
                "drop type p; alter table o drop column q;",
                "object-in-use",
            ),
            (
                "create type p as enum ('x'); alter table o add column q p[];",
                "drop type p; alter table o drop column q;",
                "object-in-use",
            ),
            (
                "create type p as enum ('x'); alter table o add column q p;",
                "alter table o drop column q; drop type p;",
                "",
            ),
            ("create type p as enum ('x'); alter table o add column q p;", "drop type p cascade;", ""),
            (
                "alter type k rename to k_old; create type k as enum ('b'); alter table o alter column kind type k using kind::text::k; drop type k_old;",
                "alter type k rename to k_new; create type k as enum ('a'); alter table o alter column kind type k using kind::text::k; drop type k_new;",
                "",
            ),
            (
                "alter table o add column q int; create view oq as select q from o;",
                "alter table o drop column q; drop view oq;",
                "object-in-use",
            ),
            (
                "alter table o add column q int; create view oq as select q from o;",
                "drop view oq; alter table o drop column q;",
                "",
            ),
            (
                "create or replace view ov as select id, n, kind from o;",
                "create or replace view ov as select id, n from o;",
                "postgresql-refuses",
            ),
            ("alter table o rename column n to note;", "alter table o rename column m to n;", "missing-object"),
            ("alter table o add column nickname text;", "alter table o drop column nick_name;", "missing-object"),
            ("alter table o add column nickname text;", "alter table o drop column if exists nick_name;", ""),
            ("alter table x add column nickname text;", "alter table x drop column nick_name;", ""),
            ("create index o_n on o (n);", "drop index o_ns;", "missing-object"),
            ("create index o_n on o (n);", "drop index if exists o_ns;", ""),
            ("create index o_n on o (n);", "drop index o_n;", ""),
            ("drop table s;", "create table s (key text primary key, v text);", ""),
            (
                "alter table o drop column n cascade;",
                "alter table o add column n text not null;",
                "adding-required-field",
            ),
            (
                "alter table o drop column n cascade;",
                "truncate o; alter table o add column n text not null;",
                "truncate-table",
            ),
            ("alter table o drop column n cascade;", "alter table o add column n text not null default '';", ""),
        ] {
            let expected: Vec<&str> = expected.split(' ').filter(|rule| !rule.is_empty()).collect();
            assert_eq!(told(up, down), expected, "{up} / {down}");
        }
    }

    #[test]
    fn a_way_back_that_takes_more_than_was_brought_is_told() {
        const ADDS: &str = "alter table o add column q int;";
        for (up, down, expected) in [
            (ADDS, "update o set n = ''; alter table o drop column q;", "update-without-where"),
            (ADDS, "update o set q = null; alter table o drop column q;", ""),
            (ADDS, "update o set n = '' where id = 1; alter table o drop column q;", ""),
            ("insert into s values ('a', 'b');", "delete from s;", "delete-without-where"),
            ("insert into s values ('a', 'b');", "delete from s where key = 'a';", ""),
            ("create table w (a int); insert into w values (1);", "delete from w; drop table w;", ""),
            (ADDS, "truncate s; alter table o drop column q;", "truncate-table"),
            ("delete from s;", "delete from s;", ""),
            (ADDS, "drop table s cascade; alter table o drop column q;", "drop-cascade"),
            (ADDS, "drop table s; alter table o drop column q;", "ban-drop-table"),
            (ADDS, "alter table o drop column q, drop column kind;", "ban-drop-column"),
            ("create table w (a int);", "drop table w cascade;", ""),
            ("alter table s rename to s2; create table s (key text);", "drop table s; alter table s2 rename to s;", ""),
            (
                "alter table s add column v2 int; alter table s drop column v;",
                "alter table s add column v text; update s set v = v2::text; alter table s drop column v2;",
                "",
            ),
        ] {
            let expected: Vec<&str> = expected.split(' ').filter(|rule| !rule.is_empty()).collect();
            assert_eq!(told(up, down), expected, "{up} / {down}");
        }
    }
}
