//! What a way back leaves behind: the objects that the forward script makes or takes, against those that the backward
//! one takes or makes. What cannot be followed on either side counts as done.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::change::{Action, Change, What};

/// What one script makes and takes of things that were there before, or stay.
#[derive(Debug, Default)]
struct Sides {
    /// What is there behind it and was not before, with its place.
    made: BTreeMap<Thing, Range<usize>>,
    /// What was there before and is not behind it.
    taken: BTreeMap<Thing, Range<usize>>,
    /// Relations that are dropped at some point, made again or not: what hangs on them goes with them.
    dropped: BTreeSet<String>,
    /// Partitions that come to a table here, with that table: they go with it.
    partitions: BTreeMap<String, String>,
    /// Partitions that are taken from their table, and no longer go with it.
    detached: BTreeSet<String>,
    /// Partitions of the other side that go with their table.
    fallen: BTreeSet<String>,
    /// Names of which nothing certain can be said.
    unknown: BTreeSet<String>,
    /// Nothing can be said at all.
    anything: bool,
}

/// Something that is made or taken, by its last name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Table(String),
    View(String),
    Index { name: String, table: String, columns: Vec<String> },
    Type(String),
    Column { table: String, name: String },
}

impl Thing {
    fn shown(&self) -> String {
        match self {
            Thing::Table(name) => format!("the table `{name}`"),
            Thing::View(name) => format!("the view `{name}`"),
            Thing::Index { name, .. } => format!("the index `{name}`"),
            Thing::Type(name) => format!("the type `{name}`"),
            Thing::Column { table, name } => format!("the column `{table}.{name}`"),
        }
    }

    fn is_about(&self, words: &BTreeSet<String>) -> bool {
        match self {
            Thing::Table(name) | Thing::View(name) | Thing::Type(name) => words.contains(name),
            Thing::Index { name, table, .. } => words.contains(name) || words.contains(table),
            Thing::Column { table, name } => words.contains(name) || words.contains(table),
        }
    }
}

fn last(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).to_owned()
}

/// What the backward script does not undo, each with its place in the forward one.
pub fn unreversed(up: &[Change], down: &[Change]) -> Vec<(Range<usize>, String)> {
    let (up, mut down) = (sides(up), sides(down));
    down.fall(&up.partitions);
    // One that changes nothing that is followed here undoes something else, or nothing, which another rule tells.
    if up.anything || down.anything || (down.made.is_empty() && down.taken.is_empty()) {
        return Vec::new();
    }
    let known = |thing: &Thing| !thing.is_about(&down.unknown) && !thing.is_about(&up.unknown);
    let left = up
        .made
        .iter()
        .filter(|(thing, _)| known(thing) && !is_taken(thing, &down))
        .map(|(thing, range)| (range.clone(), format!("leaves {} behind", thing.shown())));
    let lost = up
        .taken
        .iter()
        .filter(|(thing, _)| known(thing) && !is_made(thing, &down))
        .map(|(thing, range)| (range.clone(), format!("does not bring {} back", thing.shown())));
    let mut found: Vec<(Range<usize>, String)> = left.chain(lost).collect();
    found.sort_by_key(|(range, _)| range.start);
    found
}

/// Whether a way back takes a thing, by itself or with what it hangs on.
fn is_taken(thing: &Thing, down: &Sides) -> bool {
    let table = |name: &str| down.dropped.contains(name) || down.fallen.contains(name);
    match thing {
        Thing::Index { name, table: of, columns } => {
            let column = |c: &String| down.taken.contains_key(&Thing::Column { table: of.clone(), name: c.clone() });
            table(of)
                || columns.iter().any(column)
                || down.taken.keys().any(|t| matches!(t, Thing::Index { name: n, .. } if n == name))
        }
        Thing::Column { table: of, .. } => table(of) || down.taken.contains_key(thing),
        // A view may be dropped as what it is by either word.
        Thing::Table(name) | Thing::View(name) => {
            down.fallen.contains(name)
                || down.taken.contains_key(&Thing::Table(name.clone()))
                || down.taken.contains_key(&Thing::View(name.clone()))
        }
        Thing::Type(_) => down.taken.contains_key(thing),
    }
}

/// Whether a way back makes a thing again.
fn is_made(thing: &Thing, down: &Sides) -> bool {
    match thing {
        Thing::Index { name, .. } => down.made.keys().any(|t| matches!(t, Thing::Index { name: n, .. } if n == name)),
        Thing::Column { table, .. } => {
            down.made.contains_key(thing) || down.made.contains_key(&Thing::Table(table.clone()))
        }
        Thing::Table(name) | Thing::View(name) => {
            down.made.contains_key(&Thing::Table(name.clone())) || down.made.contains_key(&Thing::View(name.clone()))
        }
        Thing::Type(_) => down.made.contains_key(thing),
    }
}

fn sides(changes: &[Change]) -> Sides {
    let mut sides = Sides::default();
    for change in changes {
        sides.read(change);
    }
    sides
}

impl Sides {
    fn read(&mut self, change: &Change) {
        let range = &change.range;
        match &change.what {
            What::CreateTable { name, temporary: false, partition_of, .. } => {
                self.make(Thing::Table(last(name)), range);
                if let Some(of) = partition_of {
                    self.partitions.insert(last(name), last(&of.table));
                }
            }
            What::CreateTable { .. }
            | What::SearchPath(_)
            | What::AlterDomain { .. }
            | What::Rows { .. }
            | What::Picks(_)
            | What::Columns { .. }
            | What::Asks(_)
            | What::CreateCast
            | What::Inserts(_)
            | What::Misfit { .. }
            | What::Assigns { .. }
            | What::Hooks { .. }
            | What::Routine(_)
            | What::Truncate { .. }
            | What::Publication { .. }
            | What::Policy { .. }
            | What::Refresh { .. } => {}
            What::Maybe(what) => match **what {
                What::Anything | What::CreateFunction { .. } => self.anything = true,
                _ => self.unknown.extend(what.names().iter().map(|name| last(name))),
            },
            What::CreateOther { name, .. } => self.make(Thing::Table(last(name)), range),
            // One that is replaced was there before.
            What::CreateView { name, tolerant: true, .. } => drop(self.unknown.insert(last(name))),
            What::CreateView { name, .. } => self.make(Thing::View(last(name)), range),
            What::CreateIndex { name: Some(name), table, index, .. } => self.make(
                Thing::Index { name: last(name), table: last(table), columns: index.words.iter().cloned().collect() },
                range,
            ),
            What::CreateIndex { name: None, table, .. } => drop(self.unknown.insert(last(table))),
            What::CreateType { name, .. } => self.make(Thing::Type(last(name)), range),
            What::Alter { table, action, .. } => self.alter(&last(table), action, range),
            What::Drop { kind, names, cascade, .. } => {
                for name in names {
                    self.dropped(*kind, &last(name), *cascade, range);
                }
            }
            What::RenameIndex { from, to } => {
                self.unknown.extend([last(from), last(to)]);
            }
            What::CreateFunction { .. } | What::Anything => self.anything = true,
            What::Call { words, .. } | What::Opaque(words) | What::Cascade(words) => {
                self.unknown.extend(words.iter().cloned())
            }
        }
    }

    fn dropped(&mut self, kind: super::change::Dropped, name: &str, cascade: bool, range: &Range<usize>) {
        use super::change::Dropped;
        match kind {
            Dropped::Table => {
                self.dropped.insert(name.to_owned());
                self.take(Thing::Table(name.to_owned()), range);
                let of_it = |t: &Thing| match t {
                    Thing::Index { table, .. } | Thing::Column { table, .. } => table == name,
                    Thing::Table(_) | Thing::View(_) | Thing::Type(_) => false,
                };
                self.made.retain(|thing, _| !of_it(thing));
                let parts: Vec<String> =
                    self.partitions.iter().filter(|(_, of)| *of == name).map(|(part, _)| part.clone()).collect();
                for part in &parts {
                    let is_left = self.partitions.remove(part).is_some();
                    if is_left && self.made.contains_key(&Thing::Table(part.clone())) {
                        self.dropped(kind, part, cascade, range);
                    }
                }
                // What hangs on it goes too, and is not named.
                self.anything |= cascade && self.made.keys().any(|t| matches!(t, Thing::View(_)));
            }
            Dropped::View => {
                self.dropped.insert(name.to_owned());
                self.take(Thing::View(name.to_owned()), range);
            }
            Dropped::Index { .. } => {
                let same = |t: &Thing| matches!(t, Thing::Index { name: n, .. } if n == name);
                if self.made.keys().any(same) {
                    self.made.retain(|thing, _| !same(thing));
                } else {
                    let thing = Thing::Index { name: name.to_owned(), table: String::new(), columns: Vec::new() };
                    self.taken.insert(thing, range.clone());
                }
            }
            Dropped::Type => self.take(Thing::Type(name.to_owned()), range),
            Dropped::Schema => self.anything = true,
        }
    }

    fn alter(&mut self, table: &str, action: &Action, range: &Range<usize>) {
        let column = |name: &str| Thing::Column { table: table.to_owned(), name: name.to_owned() };
        match action {
            Action::Attach { partition, .. } => drop(self.partitions.insert(last(partition), table.to_owned())),
            Action::Detach { partition, .. } => {
                self.partitions.remove(&last(partition));
                self.detached.insert(last(partition));
            }
            _ => {}
        }
        // A table that the script makes is made as a whole.
        if self.made.contains_key(&Thing::Table(table.to_owned())) {
            return;
        }
        match action {
            Action::Several(parts) => parts.iter().for_each(|part| self.alter(table, part, range)),
            Action::AddColumn { name, .. } => self.make(column(name), range),
            Action::DropColumn { name, .. } => self.take(column(name), range),
            Action::RenameColumn { from, to } => self.unknown.extend([from.clone(), to.clone()]),
            Action::RenameTo(to) => self.unknown.extend([table.to_owned(), last(to)]),
            Action::SetSchema(_) | Action::Attach { .. } | Action::Detach { .. } | Action::Opens => {
                self.unknown.insert(table.to_owned());
            }
            // An index may go or come with its constraint, under its name.
            Action::DropConstraint { name, .. } => drop(self.unknown.insert(name.clone())),
            Action::AddConstraint(def) => self.unknown.extend(def.name.clone()),
            Action::RenameConstraint { from, to } => self.unknown.extend([from.clone(), to.clone()]),
            Action::SetType { .. }
            | Action::SetNotNull { .. }
            | Action::AddIdentity { .. }
            | Action::Fill { .. }
            | Action::AlterColumn { .. }
            | Action::Validate { .. }
            | Action::ReplicaIdentity { .. }
            | Action::Nothing => {}
        }
    }

    /// The partitions that go with the tables that are dropped here for good.
    fn fall(&mut self, partitions: &BTreeMap<String, String>) {
        loop {
            let goes = |of: &String| {
                self.fallen.contains(of)
                    || (self.dropped.contains(of) && !self.made.contains_key(&Thing::Table(of.clone())))
            };
            let more: Vec<String> = partitions
                .iter()
                .filter(|(part, of)| goes(of) && !self.fallen.contains(*part) && !self.detached.contains(*part))
                .map(|(part, _)| part.clone())
                .collect();
            if more.is_empty() {
                return;
            }
            self.fallen.extend(more);
        }
    }

    fn make(&mut self, thing: Thing, range: &Range<usize>) {
        // What was taken and is made again was changed, not made.
        if let Thing::Index { name, .. } = &thing {
            let of_this_name = |t: &Thing| matches!(t, Thing::Index { name: n, .. } if n == name);
            let known = self.taken.len();
            self.taken.retain(|t, _| !of_this_name(t));
            if self.taken.len() < known {
                return;
            }
        }
        if self.taken.remove(&thing).is_none() {
            self.made.insert(thing, range.clone());
        }
    }

    fn take(&mut self, thing: Thing, range: &Range<usize>) {
        if self.made.remove(&thing).is_none() {
            self.taken.insert(thing, range.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::sample;

    fn told(up: &str, down: &str) -> Vec<String> {
        let (report, _) = sample(&[("0001_m.up.sql", up), ("0001_m.down.sql", down)]);
        let found = report.violations.into_iter().filter(|v| v.rule == "incomplete-down");
        found.map(|v| format!("{}:{} {}", v.file, v.line, v.message)).collect()
    }

    #[test]
    fn f210_what_a_way_back_leaves_is_told() {
        const UP: &str = "create table u (id bigint primary key); alter table t add column a int, drop column b; create index t_a on t (a);";
        // A partition goes with its table, and so does what hangs on it.
        const PARTS: &str = "create table e (id int) partition by list (id); create table e_a partition of e for values in (1) partition by list (id); create table e_b partition of e_a default; create index e_b_id on e_b (id);";
        for (up, down, expected) in [
            (UP, "alter table t add column b int, drop column a; drop table u;", None),
            (UP, "drop table if exists u cascade; alter table t drop a, add b text;", None),
            (UP, "alter table t add column b int; alter table t drop column a;", Some("leaves the table `u` behind")),
            (
                UP,
                "drop table u; alter table t add column b int;",
                Some("leaves the column `t.a` behind, leaves the index `t_a` behind"),
            ),
            (UP, "drop table u; alter table t drop column a;", Some("does not bring the column `t.b` back")),
            (UP, "drop schema x cascade;", None),
            (UP, "do $$ begin execute format('drop table %I', 'u'); end $$; drop table x;", None),
            (UP, "select 1;", None),
            ("create table a (id int); drop table a;", "drop table b;", None),
            ("alter table t rename to u;", "alter table u rename to t;", None),
            ("drop view v; create view v as select 1;", "drop view v; create view v as select 2;", None),
            ("create or replace view v as select 1; create table x (id int);", "drop table x;", None),
            ("create type e as enum ('a'); create table x (s e);", "drop table x;", Some("leaves the type `e` behind")),
            (
                "create unique index i on t (a); alter table t add constraint i unique using index i;",
                "alter table t drop constraint i; drop table q;",
                None,
            ),
            (
                "create index i on v (a);",
                "drop materialized view v; create materialized view v as select 1 as a;",
                None,
            ),
            ("create table x (a int, b int); alter table x drop column b;", "drop table x;", None),
            ("drop index i; create index i on t (b);", "drop index i; create index i on t (a);", None),
            (PARTS, "drop table e;", None),
            (PARTS, "drop table e_a; drop table e_b; drop table e;", None),
            (PARTS, "drop table e_a;", Some("it leaves the table `e` behind")),
            (PARTS, "alter table e detach partition e_b; drop table e;", Some("leaves the table `e_b` behind")),
            ("create table e_c partition of e for values in (3);", "drop table e;", None),
            ("create table n (id int); alter table e attach partition n default;", "drop table e;", None),
            ("create table n (id int); alter table e attach partition n default;", "drop table f;", Some("table `n`")),
            (
                "create table e_c partition of e for values in (3); alter table e detach partition e_c;",
                "drop table e;",
                Some("leaves the table `e_c` behind"),
            ),
            (
                "create table e (id int) partition by list (id); create table p partition of e default; drop table e; create table x (id int);",
                "drop table x;",
                None,
            ),
            ("drop index i;", "create index j on t (a);", Some("does not bring the index `i` back")),
            (
                "drop table a; drop table b; drop table c; drop table d;",
                "create table e (id int);",
                Some("the table `c` back, and 1 more"),
            ),
        ] {
            let found = told(up, down);
            match expected {
                None => assert_eq!(found, [""; 0], "{up} / {down}"),
                Some(part) => {
                    assert!(found.len() == 1 && found[0].contains(part), "{up} / {down}: {found:?}");
                    assert!(found[0].starts_with("0001_m.down.sql:1 it "), "{found:?}");
                }
            }
        }
    }
}
