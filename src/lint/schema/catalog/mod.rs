//! The schema that migrations have built so far. What cannot be followed is forgotten, so that nothing wrong is certain:
//! a name that is neither here nor among the gone is simply not known.

mod keys;
mod table;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use super::change::{
    Action, ColumnDef, ConstraintDef, ConstraintKind, Dropped, IndexDef, PartitionKey, PolicyDef, ViewDef, What,
};
use super::types::ColumnType;

pub use keys::Shape;
pub use table::Table;
pub(in crate::lint::schema) use table::mentions;

use table::{alter_table, free, rename_in, unnamed};

/// The schema as far as it is known.
#[derive(Debug, Default, Clone)]
pub struct Catalog {
    pub(super) relations: HashMap<String, Relation>,
    pub(super) indexes: HashMap<String, Index>,
    /// Types and domains.
    pub(super) types: HashSet<String>,
    /// Domains that refuse some values themselves.
    checked: HashSet<String>,
    /// Types whose values are labels.
    enums: HashSet<String>,
    /// Whether types may become others in ways that are not PostgreSQL's own.
    has_casts: bool,
    /// Tables and views that were dropped or renamed away.
    pub(super) gone: HashSet<String>,
    /// Partitioned tables with the partition for all rows that no other takes.
    defaults: HashMap<String, String>,
    /// Tables that are partitioned. No statement changes that of a table, so it is kept where the rest is forgotten.
    partitioned: HashMap<String, PartitionKey>,
    /// Functions that may change the schema.
    functions: HashSet<String>,
    /// Tables with triggers or rules, without schemas.
    hooked: HashSet<String>,
    /// Every function and procedure that a migration made, without schemas.
    routines: HashSet<String>,
    /// Policies of tables, by table and name.
    policies: BTreeMap<(String, String), PolicyDef>,
    /// Publications that are known to publish updates or deletes.
    publications: HashSet<String>,
    /// The schema of names that say none.
    path: Path,
}

/// Where a name without a schema is looked for.
#[derive(Debug, Default, Clone)]
enum Path {
    #[default]
    Public,
    Schema(String),
    Unknown,
}

/// A relation.
#[derive(Debug, Clone)]
pub enum Relation {
    /// A table whose columns are known.
    Table(Rc<Table>),
    /// A view.
    View(Rc<ViewDef>),
    /// It is there; no more is known.
    Other,
}

/// An index of a table.
#[derive(Debug, Clone)]
pub struct Index {
    /// The table.
    pub table: String,
    /// What it is.
    pub def: Rc<IndexDef>,
    /// Whether a constraint of its name needs it.
    pub of_constraint: bool,
}

/// Whether a foreign key of a table refers to the one of that name.
fn refers_to(table: &Table, name: &str) -> bool {
    let kinds = table.constraints.values().map(|c| &c.kind);
    kinds.into_iter().any(|kind| matches!(kind, ConstraintKind::Foreign { table: other, .. } if other == name))
}

impl Catalog {
    /// Begins the script of a migration whose names without a schema lie in `schema`.
    pub fn begin(&mut self, schema: Option<String>) {
        self.path = schema.map_or(Path::Public, Path::Schema);
    }

    /// A name with its schema; `None` where that cannot be told.
    pub fn resolve(&self, name: &str) -> Option<String> {
        if name.is_empty() {
            return None;
        }
        if name.contains('.') {
            return Some(name.to_owned());
        }
        match &self.path {
            Path::Public => Some(name.to_owned()),
            Path::Schema(schema) if schema.is_empty() => Some(name.to_owned()),
            Path::Schema(schema) => {
                let own = format!("{schema}.{name}");
                Some(if !self.relations.contains_key(&own) && self.relations.contains_key(name) {
                    name.to_owned()
                } else {
                    own
                })
            }
            Path::Unknown => None,
        }
    }

    /// The name that something new gets: as [`Catalog::resolve`], but never one found further along the path.
    pub fn resolve_new(&self, name: &str) -> Option<String> {
        match &self.path {
            Path::Schema(schema) if !name.contains('.') && !name.is_empty() && !schema.is_empty() => {
                Some(format!("{schema}.{name}"))
            }
            _ => self.resolve(name),
        }
    }

    /// The name of an index of `table`, which lies in its schema.
    pub fn resolve_index(table: &str, name: &str) -> String {
        match table.rsplit_once('.') {
            Some((schema, _)) if !name.contains('.') => format!("{schema}.{name}"),
            _ => name.to_owned(),
        }
    }

    /// The table of that resolved name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        match self.relations.get(name) {
            Some(Relation::Table(table)) => Some(table),
            Some(Relation::View(_) | Relation::Other) | None => None,
        }
    }

    /// The view of that resolved name.
    pub fn view(&self, name: &str) -> Option<&ViewDef> {
        match self.relations.get(name) {
            Some(Relation::View(view)) => Some(view),
            Some(Relation::Table(_) | Relation::Other) | None => None,
        }
    }

    /// Whether a type is known as a domain that refuses some values itself.
    pub fn is_checked(&self, ty: &str) -> bool {
        self.resolve(ty).is_some_and(|name| self.checked.contains(&name))
    }

    /// Whether a migration made a function of that name.
    pub fn is_routine(&self, name: &str) -> bool {
        self.routines.contains(name)
    }

    /// The policies of a table that are known, by name.
    pub fn policies_of<'a>(&'a self, table: &'a str) -> impl Iterator<Item = (&'a str, &'a PolicyDef)> {
        self.policies.iter().filter(move |((of, _), _)| of == table).map(|((_, name), def)| (name.as_str(), def))
    }

    /// Whether a publication is known to publish updates or deletes.
    pub fn publishes_changes(&self, publication: &str) -> bool {
        self.publications.contains(publication)
    }

    /// The indexes of a table, by name.
    pub fn indexes_of<'a>(&'a self, table: &'a str) -> impl Iterator<Item = (&'a str, &'a IndexDef)> {
        self.indexes.iter().filter(move |(_, i)| i.table == table).map(|(name, i)| (name.as_str(), &*i.def))
    }

    /// Whether there is an index of that name in some schema.
    pub fn has_index(&self, name: &str) -> bool {
        self.indexes.keys().any(|known| known.rsplit('.').next() == Some(name))
    }

    /// Foreign keys of other tables that refer to `table`: table, constraint, columns referred to (empty: the key).
    pub fn referring<'a>(&'a self, table: &'a str) -> impl Iterator<Item = (&'a str, &'a str, &'a [String])> {
        self.relations
            .iter()
            .filter_map(|(name, r)| match r {
                Relation::Table(t) => Some((name.as_str(), t)),
                Relation::View(_) | Relation::Other => None,
            })
            .flat_map(move |(name, t)| {
                t.constraints.iter().filter_map(move |(constraint, def)| match &def.kind {
                    ConstraintKind::Foreign { table: other, referred, .. } if other == table && name != table => {
                        Some((name, constraint.as_str(), referred.as_slice()))
                    }
                    _ => None,
                })
            })
    }

    /// The partition of `table` for all rows that no other takes.
    pub fn default_partition(&self, table: &str) -> Option<&str> {
        self.defaults.get(table).map(String::as_str)
    }

    /// Whether a table is known to be partitioned.
    pub fn is_partitioned(&self, table: &str) -> bool {
        self.partitioned.contains_key(table)
    }

    /// By what a table that is partitioned is so.
    pub fn partition_key(&self, table: &str) -> Option<&PartitionKey> {
        self.partitioned.get(table)
    }

    /// Views that read `table`, with all names in them; `alone`: they read nothing else.
    pub fn views_on<'a>(&'a self, table: &'a str) -> impl Iterator<Item = (&'a str, &'a BTreeSet<String>, bool)> {
        self.relations.iter().filter_map(move |(name, r)| match r {
            Relation::View(view) if view.reads.contains(table) => {
                Some((name.as_str(), &view.words, view.reads.len() == 1))
            }
            _ => None,
        })
    }

    /// Forgets whatever bears one of these names, without or with a schema.
    pub fn forget(&mut self, words: &BTreeSet<String>) {
        let named = |name: &String| {
            words.contains(name)
                || name.rsplit_once('.').is_some_and(|(schema, last)| words.contains(last) || words.contains(schema))
        };
        // Whether an index of that name is still there is not known, and so not which there are.
        let open: BTreeSet<String> =
            self.indexes.iter().filter(|(name, _)| named(name)).map(|(_, index)| index.table.clone()).collect();
        self.relations.retain(|name, relation| match relation {
            Relation::Table(table) => {
                // A type that bears another name from here on, or holds other values.
                let is_other = |column: &ColumnDef| {
                    column.ty.as_ref().and_then(ColumnType::foreign_name).is_some_and(|ty| named(&ty))
                };
                if (table.closed && open.contains(name)) || table.columns.values().any(is_other) {
                    let table = Rc::make_mut(table);
                    table.closed &= !open.contains(name);
                    table.columns.values_mut().filter(|column| is_other(column)).for_each(|column| column.ty = None);
                }
                !named(name)
            }
            Relation::View(_) | Relation::Other => !named(name) && !open.contains(name),
        });
        for (_, key) in self.partitioned.iter_mut().filter(|(table, _)| named(table)) {
            *key = PartitionKey::Unknown;
        }
        self.gone.retain(|name| !named(name));
        self.policies.retain(|(table, policy), _| !named(table) && !words.contains(policy));
        self.types.retain(|name| !named(name));
        self.checked.retain(|name| !named(name));
        self.enums.retain(|name| !named(name));
        self.indexes.retain(|name, index| !named(name) && !named(&index.table));
        self.defaults.retain(|table, partition| !named(table) && !named(partition));
    }

    fn forget_all(&mut self) {
        self.relations.clear();
        self.gone.clear();
        self.types.clear();
        self.checked.clear();
        self.enums.clear();
        self.indexes.clear();
        self.defaults.clear();
        self.publications.clear();
        self.policies.clear();
    }

    /// Makes the change.
    pub fn apply(&mut self, what: &What) {
        match what {
            What::CreateTable { name, if_not_exists, temporary, parts, closed, partition_of, partitioned } => {
                if *temporary {
                    // It hides what has its name, for as long as the session lasts.
                    return self.forget(&[name.clone()].into());
                }
                let Some(name) = self.resolve_new(name) else { return };
                if *if_not_exists && self.relations.contains_key(&name) {
                    return;
                }
                self.gone.remove(&name);
                match partitioned {
                    Some(key) => drop(self.partitioned.insert(name.clone(), key.clone())),
                    None => drop(self.partitioned.remove(&name)),
                }
                if let Some(of) = partition_of
                    && let Some(table) = self.resolve(&of.table)
                {
                    if of.is_default {
                        self.defaults.insert(table.clone(), name.clone());
                    }
                    self.partitioned.entry(table).or_insert(PartitionKey::Unknown);
                }
                self.relations
                    .insert(name.clone(), Relation::Table(Rc::new(Table { closed: *closed, ..Table::default() })));
                for part in parts {
                    self.alter(&name, part);
                }
            }
            What::CreateOther { name, tolerant } => {
                let Some(name) = self.resolve_new(name) else { return };
                self.gone.remove(&name);
                if !(*tolerant && self.relations.contains_key(&name)) {
                    self.partitioned.remove(&name);
                    self.relations.insert(name, Relation::Other);
                }
            }
            What::CreateView { name, view, tolerant, .. } => {
                let reads = view.reads.iter().filter_map(|r| self.resolve(r)).collect();
                let Some(name) = self.resolve_new(name) else { return };
                if *tolerant && view.materialized && self.relations.contains_key(&name) {
                    return;
                }
                self.gone.remove(&name);
                self.partitioned.remove(&name);
                self.relations.insert(name, Relation::View(Rc::new(ViewDef { reads, ..view.clone() })));
            }
            What::Refresh { view, fills, .. } => {
                if let Some(name) = self.resolve(view)
                    && let Some(Relation::View(view)) = self.relations.get_mut(&name)
                {
                    Rc::make_mut(view).filled = *fills;
                }
            }
            What::CreateIndex { name, table, index, .. } => {
                let Some(table) = self.resolve(table) else { return };
                let name = match name {
                    Some(name) => Self::resolve_index(&table, name),
                    None => Self::resolve_index(&table, &self.unnamed_index(&table, index)),
                };
                self.indexes.entry(name).or_insert(Index { table, def: Rc::new(index.clone()), of_constraint: false });
            }
            What::CreateType { name, checked, base, is_enum } => {
                let inherits = base.as_ref().is_some_and(|base| self.is_checked(base));
                if let Some(name) = self.resolve_new(name) {
                    if *checked || inherits {
                        self.checked.insert(name.clone());
                    }
                    if *is_enum {
                        self.enums.insert(name.clone());
                    }
                    self.types.insert(name);
                }
            }
            What::AlterDomain { name, checked } => {
                if let Some(name) = self.resolve(name) {
                    if *checked {
                        self.checked.insert(name);
                    } else {
                        self.checked.remove(&name);
                    }
                }
            }
            What::Alter { table, action, .. } => {
                if let Some(table) = self.resolve(table) {
                    self.alter(&table, action);
                }
            }
            What::Drop { kind, names, cascade, .. } => self.dropped(*kind, names, *cascade),
            What::RenameIndex { from, to } => {
                let Some(from) = self.resolve(from) else { return };
                if let Some(index) = self.indexes.remove(&from) {
                    if index.of_constraint
                        && let Some(table) = self.table_mut(&index.table)
                    {
                        let old = from.rsplit('.').next().unwrap_or(&from);
                        table.constraints.remove(old).map(|def| table.constraints.insert(to.clone(), def));
                    }
                    self.indexes.insert(Self::resolve_index(&index.table, to), index);
                }
            }
            What::SearchPath(path) => {
                self.path = path.clone().map_or(Path::Unknown, Path::Schema);
            }
            What::CreateFunction { name } => {
                self.functions.insert(name.rsplit('.').next().unwrap_or(name).to_owned());
            }
            What::Call { functions, words } => {
                if functions.iter().any(|f| self.functions.contains(f)) {
                    self.forget_all();
                } else {
                    // A call that is given a table's name may do anything to it.
                    self.forget(words);
                }
            }
            What::Routine(name) => {
                self.routines.insert(name.rsplit('.').next().unwrap_or(name).to_owned());
            }
            What::Hooks { table } => self.hook(table),
            What::Rows { .. }
            | What::Picks(_)
            | What::Columns { .. }
            | What::Inserts(_)
            | What::Misfit { .. }
            | What::Assigns { .. }
            | What::Asks(_)
            | What::Truncate { .. } => {}
            What::CreateCast => self.has_casts = true,
            What::Publication { name, changes: Some(true), .. } => drop(self.publications.insert(name.clone())),
            What::Publication { name, changes: Some(false), .. } => drop(self.publications.remove(name)),
            What::Publication { changes: None, .. } => {}
            What::Policy { table, name, def } => {
                if let Some(table) = self.resolve(table) {
                    match def {
                        Some(def) => drop(self.policies.insert((table, name.clone()), def.clone())),
                        None => drop(self.policies.remove(&(table, name.clone()))),
                    }
                }
            }
            What::Cascade(names) => self.forget_dependents(names),
            What::Maybe(what) => self.perhaps(what),
            What::Opaque(words) => self.forget(words),
            What::Anything => {
                self.forget_all();
                self.partitioned.clear();
            }
        }
    }

    /// Forgets what a change is about that may have been made or not.
    fn perhaps(&mut self, what: &What) {
        if self.makes_nothing(what) {
            return;
        }
        let names = what.names();
        match what {
            What::Anything | What::Opaque(_) | What::Call { .. } | What::Cascade(_) | What::Maybe(_) => {
                return self.apply(what);
            }
            What::SearchPath(_) => return self.apply(&What::SearchPath(None)),
            What::CreateFunction { .. } | What::Routine(_) | What::CreateCast | What::Hooks { .. } => self.apply(what),
            What::Publication { name, .. } => drop(self.publications.remove(name)),
            What::Policy { table, name, .. } => {
                return self.apply(&What::Policy { table: table.clone(), name: name.clone(), def: None });
            }
            What::Drop { kind: Dropped::Type | Dropped::Schema, .. } => self.forget_all(),
            What::Drop { cascade: true, .. }
            | What::Alter {
                action: Action::DropColumn { cascade: true, .. } | Action::DropConstraint { cascade: true, .. },
                ..
            } => self.forget_dependents(&names),
            _ => {}
        }
        let resolved: Vec<String> = names.iter().filter_map(|name| self.resolve(name)).collect();
        resolved.iter().for_each(|name| drop(self.partitioned.remove(name)));
        self.forget(&names);
    }

    /// Whether a change makes what is there already: it fails then, and nothing becomes of it.
    fn makes_nothing(&self, what: &What) -> bool {
        match what {
            What::CreateTable { name, temporary: false, .. }
            | What::CreateOther { name, .. }
            | What::CreateView { name, replaces: false, .. } => {
                self.resolve_new(name).is_some_and(|name| self.relations.contains_key(&name))
            }
            What::CreateType { name, .. } => self.resolve_new(name).is_some_and(|name| self.types.contains(&name)),
            What::CreateIndex { name: Some(name), table, .. } => {
                self.resolve(table).is_some_and(|table| self.indexes.contains_key(&Self::resolve_index(&table, name)))
            }
            What::Alter { table, action: Action::AddColumn { name, .. }, .. } => {
                let table = self.resolve(table).and_then(|table| self.table(&table));
                table.is_some_and(|table| table.columns.contains_key(name))
            }
            _ => false,
        }
    }

    /// Forgets what goes with these names where they go: views and indexes that say them, tables that refer to them.
    fn forget_dependents(&mut self, names: &BTreeSet<String>) {
        let last = |name: &String| name.rsplit('.').next().unwrap_or(name).to_owned();
        let names: BTreeSet<String> = names.iter().map(last).collect();
        let says = |words: &BTreeSet<String>| !words.is_disjoint(&names);
        let hangs = |relation: &Relation| match relation {
            Relation::View(view) => says(&view.words),
            Relation::Table(table) => table
                .constraints
                .values()
                .any(|c| matches!(&c.kind, ConstraintKind::Foreign { table, .. } if names.contains(&last(table)))),
            Relation::Other => false,
        };
        let mut gone: BTreeSet<String> =
            self.relations.iter().filter(|(_, r)| hangs(r)).map(|(name, _)| name.clone()).collect();
        gone.extend(self.indexes.iter().filter(|(_, index)| says(&index.def.words)).map(|(name, _)| name.clone()));
        self.forget(&gone);
    }

    fn dropped(&mut self, kind: Dropped, names: &[String], cascade: bool) {
        for name in names {
            let Some(name) = self.resolve(name) else { continue };
            match kind {
                Dropped::Table | Dropped::View => {
                    if cascade {
                        self.cascade(&name);
                    }
                    self.relations.remove(&name);
                    self.policies.retain(|(table, _), _| *table != name);
                    self.partitioned.remove(&name);
                    self.defaults.retain(|table, partition| *table != name && *partition != name);
                    self.indexes.retain(|_, index| index.table != name);
                    self.gone.insert(name);
                }
                Dropped::Index { .. } => drop(self.indexes.remove(&name)),
                Dropped::Type => {
                    self.types.remove(&name);
                    self.checked.remove(&name);
                    self.enums.remove(&name);
                    if cascade {
                        // Columns of that type go too.
                        self.forget_all();
                    }
                }
                Dropped::Schema => {
                    let within = |n: &String| n.rsplit_once('.').is_some_and(|(schema, _)| schema == name);
                    self.relations.retain(|n, _| !within(n));
                    self.partitioned.retain(|n, _| !within(n));
                    self.defaults.retain(|table, partition| !within(table) && !within(partition));
                    self.indexes.retain(|n, i| !within(n) && !within(&i.table));
                    self.types.retain(|n| !within(n));
                    self.checked.retain(|n| !within(n));
                    self.enums.retain(|n| !within(n));
                    self.gone.retain(|n| !within(n));
                }
            }
        }
    }

    /// What goes with a relation: views on it are forgotten, foreign keys to it end.
    fn cascade(&mut self, name: &str) {
        let views: Vec<String> = self.views_on(name).map(|(view, _, _)| view.to_owned()).collect();
        for view in views {
            self.relations.remove(&view);
            self.indexes.retain(|_, index| index.table != view);
            self.cascade(&view);
        }
        for relation in self.relations.values_mut() {
            if let Relation::Table(table) = relation
                && refers_to(table, name)
            {
                Rc::make_mut(table)
                    .constraints
                    .retain(|_, c| !matches!(&c.kind, ConstraintKind::Foreign { table: other, .. } if other == name));
            }
        }
    }

    fn table_mut(&mut self, name: &str) -> Option<&mut Table> {
        match self.relations.get_mut(name) {
            Some(Relation::Table(table)) => Some(Rc::make_mut(table)),
            Some(Relation::View(_) | Relation::Other) | None => None,
        }
    }

    fn alter(&mut self, name: &str, action: &Action) {
        match action {
            Action::Several(_) if self.is_there(name, action) => {}
            Action::Several(parts) => parts.iter().for_each(|part| self.alter(name, part)),
            Action::RenameTo(to) => {
                self.policies.retain(|(table, _), _| table != name);
                let to = Self::resolve_index(name, to);
                self.moved(name, to);
            }
            Action::SetSchema(schema) => {
                self.policies.retain(|(table, _), _| table != name);
                let last = name.rsplit('.').next().unwrap_or(name);
                let to = if schema == "public" { last.to_owned() } else { format!("{schema}.{last}") };
                self.moved(name, to);
            }
            Action::AddConstraint(def) => self.constrain(name, def),
            Action::DropConstraint { name: constraint, cascade, .. } => {
                if *cascade {
                    self.cascade(name);
                }
                let Some(table) = self.table_mut(name) else { return };
                if table.constraints.remove(constraint).is_none() {
                    // One that we call otherwise: which are left cannot be told.
                    table.constraints.clear();
                    table.closed = false;
                    self.indexes.retain(|_, index| index.table != name || !index.of_constraint);
                }
                self.indexes.remove(&Self::resolve_index(name, constraint));
            }
            Action::DropColumn { name: column, cascade, .. } => {
                if *cascade {
                    self.cascade(name);
                }
                self.indexes.retain(|_, i| i.table != name || !i.def.words.contains(column));
                if let Some(table) = self.table_mut(name) {
                    table.columns.remove(column);
                    table.constraints.retain(|_, c| !mentions(&c.kind, column));
                    // Which columns these had is not known.
                    let is_unknown = |c: &ConstraintDef| matches!(c.kind, ConstraintKind::UsingIndex { .. });
                    table.closed &= !table.constraints.values().any(is_unknown);
                    table.constraints.retain(|_, c| !is_unknown(c));
                }
            }
            Action::RenameColumn { from, to } => self.renamed_column(name, from, to),
            Action::RenameConstraint { from, to } => {
                if let Some(table) = self.table_mut(name) {
                    alter_table(table, action);
                }
                if let Some(index) = self.indexes.remove(&Self::resolve_index(name, from)) {
                    self.indexes.insert(Self::resolve_index(name, to), index);
                }
            }
            Action::Attach { partition, is_default } => {
                let partition = self.resolve(partition);
                // What its table becomes it becomes too, from here on.
                if let Some(table) = partition.as_ref().and_then(|partition| self.table_mut(partition)) {
                    table.closed = false;
                }
                if let Some(partition) = partition.filter(|_| *is_default) {
                    self.defaults.insert(name.to_owned(), partition);
                }
                self.partitioned.entry(name.to_owned()).or_insert(PartitionKey::Unknown);
                if let Some(table) = self.table_mut(name) {
                    table.closed = false;
                }
            }
            Action::Detach { partition, .. } => {
                let partition = self.resolve(partition);
                self.defaults.retain(|table, default| table != name || Some(&*default) != partition.as_ref());
                if let Some(table) = self.table_mut(name) {
                    table.closed = false;
                }
            }
            _ => {
                let Some(table) = self.table_mut(name) else { return };
                alter_table(table, action);
            }
        }
    }

    fn moved(&mut self, from: &str, to: String) {
        if let Some(relation) = self.relations.remove(from) {
            self.relations.insert(to.clone(), relation);
        }
        if self.is_hooked(from) {
            self.hook(&to);
        }
        self.gone.insert(from.to_owned());
        self.gone.remove(&to);
        match self.partitioned.remove(from) {
            Some(key) => drop(self.partitioned.insert(to.clone(), key)),
            None => drop(self.partitioned.remove(&to)),
        }
        if let Some(partition) = self.defaults.remove(from) {
            self.defaults.insert(to.clone(), partition);
        }
        self.defaults
            .values_mut()
            .filter(|partition| *partition == from)
            .for_each(|partition| partition.clone_from(&to));
        for relation in self.relations.values_mut() {
            match relation {
                Relation::Table(table) if refers_to(table, from) => {
                    for constraint in Rc::make_mut(table).constraints.values_mut() {
                        if let ConstraintKind::Foreign { table: other, .. } = &mut constraint.kind
                            && other == from
                        {
                            other.clone_from(&to);
                        }
                    }
                }
                Relation::View(view) if view.reads.contains(from) => {
                    let reads = &mut Rc::make_mut(view).reads;
                    reads.remove(from);
                    reads.insert(to.clone());
                }
                Relation::Table(_) | Relation::View(_) | Relation::Other => {}
            }
        }
        let moved: Vec<String> = self.indexes.iter().filter(|(_, i)| i.table == from).map(|(n, _)| n.clone()).collect();
        for name in moved {
            if let Some(mut index) = self.indexes.remove(&name) {
                let last = name.rsplit('.').next().unwrap_or(&name).to_owned();
                index.table.clone_from(&to);
                self.indexes.insert(Self::resolve_index(&to, &last), index);
            }
        }
    }

    fn renamed_column(&mut self, name: &str, from: &str, to: &str) {
        if let Some(table) = self.table_mut(name) {
            if let Some(column) = table.columns.remove(from) {
                table.columns.insert(to.to_owned(), column);
            }
            for constraint in table.constraints.values_mut() {
                rename_in(&mut constraint.kind, from, to);
            }
        }
        if let Some(PartitionKey::Columns(columns)) = self.partitioned.get_mut(name) {
            columns.iter_mut().filter(|c| *c == from).for_each(|c| to.clone_into(c));
        }
        for index in self.indexes.values_mut().filter(|i| i.table == name) {
            let def = Rc::make_mut(&mut index.def);
            let named = def.keys.iter_mut().flatten().chain(&mut def.included).filter(|k| *k == from);
            named.for_each(|key| to.clone_into(key));
            if def.words.remove(from) {
                def.words.insert(to.to_owned());
            }
        }
        for relation in self.relations.values_mut() {
            match relation {
                Relation::Table(table) if refers_to(table, name) => {
                    for constraint in Rc::make_mut(table).constraints.values_mut() {
                        if let ConstraintKind::Foreign { table: other, referred, .. } = &mut constraint.kind
                            && other == name
                        {
                            referred.iter_mut().filter(|c| *c == from).for_each(|c| to.clone_into(c));
                        }
                    }
                }
                Relation::View(view) if view.reads.contains(name) && view.words.contains(from) => {
                    Rc::make_mut(view).words.insert(to.to_owned());
                }
                Relation::Table(_) | Relation::View(_) | Relation::Other => {}
            }
        }
    }

    fn constrain(&mut self, name: &str, def: &ConstraintDef) {
        let mut def = def.clone();
        if let ConstraintKind::Foreign { table, referred, .. } = &mut def.kind
            && let Some(resolved) = self.resolve(table)
        {
            *table = resolved;
            if referred.is_empty() {
                *referred = self.primary_key(table).unwrap_or_default().to_vec();
            }
        }
        let using = match &def.kind {
            ConstraintKind::UsingIndex { index, .. } => self.indexes.get(&Self::resolve_index(name, index)).cloned(),
            _ => None,
        };
        let last = name.rsplit('.').next().unwrap_or(name).to_owned();
        let Some(table) = self.table_mut(name) else { return };
        let keys = match &def.kind {
            ConstraintKind::Primary(columns) | ConstraintKind::Unique(columns) => Some(columns.clone()),
            ConstraintKind::UsingIndex { .. } => {
                using.as_ref().map(|i| i.def.keys.iter().flatten().cloned().collect::<Vec<_>>())
            }
            _ => None,
        };
        if matches!(def.kind, ConstraintKind::Primary(_) | ConstraintKind::UsingIndex { primary: true, .. }) {
            for column in keys.iter().flatten() {
                if let Some(column) = table.columns.get_mut(column) {
                    column.not_null = true;
                }
            }
        }
        let constraint = def.name.clone().unwrap_or_else(|| unnamed(table, &last, &def.kind));
        if let ConstraintKind::UsingIndex { index, .. } = &def.kind {
            // The index takes the constraint's name.
            let constraint = def.name.clone().unwrap_or_else(|| index.clone());
            let made = match (&def.kind, keys) {
                (ConstraintKind::UsingIndex { primary: true, .. }, Some(keys)) => ConstraintKind::Primary(keys),
                (_, Some(keys)) => ConstraintKind::Unique(keys),
                (kind, None) => kind.clone(),
            };
            table.constraints.insert(constraint.clone(), ConstraintDef { kind: made, ..def.clone() });
            if let Some(using) = using {
                self.indexes.remove(&Self::resolve_index(name, index));
                let using = Index { of_constraint: true, ..using };
                self.indexes.insert(Self::resolve_index(name, &constraint), using);
            }
            return;
        }
        table.constraints.insert(constraint.clone(), def);
        if let Some(keys) = keys {
            let words = keys.iter().cloned().collect();
            let def = IndexDef {
                keys: keys.into_iter().map(Some).collect(),
                words,
                unique: true,
                included: Vec::new(),
                plain: true,
                computed: false,
            };
            let index = Index { table: name.to_owned(), def: Rc::new(def), of_constraint: true };
            self.indexes.insert(Self::resolve_index(name, &constraint), index);
        }
    }

    fn unnamed_index(&self, table: &str, index: &IndexDef) -> String {
        let last = table.rsplit('.').next().unwrap_or(table);
        let keys: Vec<&str> = index.keys.iter().map(|k| k.as_deref().unwrap_or("expr")).collect();
        free(&format!("{last}_{}_idx", keys.join("_")), |n| self.indexes.contains_key(&Self::resolve_index(table, n)))
    }
}
