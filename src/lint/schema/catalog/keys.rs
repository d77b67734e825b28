//! What the schema says of keys and of the types of columns, as far as it is certain.

use super::super::change::{Action, ConstraintKind, What};
use super::super::types::{ColumnType, Family};
use super::{Catalog, Table};

/// What a type is, for what may become of it by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// One of PostgreSQL's own.
    Own(Family),
    /// An enum that a migration made.
    Enum(String),
}

impl Shape {
    /// Whether PostgreSQL assigns a value of this type to a column of the other by itself. Where two types of one family
    /// are meant, it may still not.
    pub fn assigns_to(&self, to: &Self) -> bool {
        match (self, to) {
            (Shape::Own(from), Shape::Own(to)) => from.assigns_to(*to),
            (Shape::Enum(from), Shape::Enum(to)) => from == to,
            (Shape::Enum(_), Shape::Own(to)) => *to == Family::Text,
            (Shape::Own(_), Shape::Enum(_)) => false,
        }
    }
}

impl Catalog {
    /// What a change makes of nothing, where names lie as they do here.
    pub fn drafted(&self, what: &What) -> Self {
        let mut draft = Self { path: self.path.clone(), ..Self::default() };
        draft.apply(what);
        draft
    }

    /// The columns of a table's primary key.
    pub fn primary_key(&self, table: &str) -> Option<&[String]> {
        self.table(table)?.primary_key()
    }

    /// The unique indexes of a table that are on exactly these columns, whatever their order, over all rows.
    pub fn unique_on<'a>(&'a self, table: &'a str, columns: &'a [String]) -> impl Iterator<Item = &'a str> {
        let is_on = |keys: &[Option<String>]| {
            keys.iter().all(|key| key.as_ref().is_some_and(|key| columns.contains(key)))
                && columns.iter().all(|column| keys.iter().any(|key| key.as_ref() == Some(column)))
        };
        self.indexes_of(table)
            .filter(move |(_, index)| index.unique && !index.computed && is_on(&index.keys))
            .map(|(name, _)| name)
    }

    /// The foreign keys that refer to exactly these columns of a table, its own among them: table and constraint.
    pub fn keys_to<'a>(&'a self, table: &'a str, columns: &'a [String]) -> Vec<(&'a str, &'a str)> {
        let own = self.table(table).into_iter().flat_map(move |known| {
            known.constraints.iter().filter_map(move |(constraint, def)| match &def.kind {
                ConstraintKind::Foreign { table: other, referred, .. } if other == table => {
                    Some((table, constraint.as_str(), referred.as_slice()))
                }
                _ => None,
            })
        });
        let is_to = |referred: &[String]| {
            referred.len() == columns.len() && referred.iter().all(|column| columns.contains(column))
        };
        let to = own.chain(self.referring(table)).filter(|(_, _, referred)| is_to(referred));
        let mut keys: Vec<(&str, &str)> = to.map(|(table, constraint, _)| (table, constraint)).collect();
        keys.sort_unstable();
        keys
    }

    /// Remembers that a trigger or a rule may make something else of what is written to a table.
    pub(super) fn hook(&mut self, table: &str) {
        self.hooked.insert(table.rsplit('.').next().unwrap_or(table).to_owned());
    }

    /// Whether a trigger or a rule may make something else of what is written to a table.
    pub fn is_hooked(&self, table: &str) -> bool {
        self.hooked.contains(table.rsplit('.').next().unwrap_or(table))
    }

    /// What a type is; nothing where that is not known, or where types may become others in ways of their own.
    pub fn shape(&self, ty: &ColumnType) -> Option<Shape> {
        if self.has_casts {
            return None;
        }
        if let Some(family) = ty.family() {
            return Some(Shape::Own(family));
        }
        let name = self.resolve(&ty.single_name()?)?;
        self.enums.contains(&name).then_some(Shape::Enum(name))
    }

    /// Whether an action adds a column only where it is not there, and it is.
    pub fn is_there(&self, table: &str, action: &Action) -> bool {
        let added = action.parts().iter().find_map(|part| match part {
            Action::AddColumn { name, if_not_exists: true, .. } => Some(name),
            _ => None,
        });
        added.is_some_and(|column| self.table(table).is_none_or(|table| table.columns.contains_key(column)))
    }
}

impl Table {
    /// The columns of the primary key.
    pub fn primary_key(&self) -> Option<&[String]> {
        self.constraints.values().find_map(|c| match &c.kind {
            ConstraintKind::Primary(columns) => Some(columns.as_slice()),
            _ => None,
        })
    }
}
