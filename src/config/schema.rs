//! JSON Schemas of the configuration files, for editors. They come from the readers themselves: each reader is given a
//! value that stands for every value, which notes what is asked of it. So a schema can never say something else than
//! what the program reads.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::yaml::{Key, Node, Reader, Value};
use super::{ApprovalMatrix, Environments, LintConfig, RepoConfig, Roles, ServiceSettings};

/// A name that every reader of names accepts.
const ANY: &str = "anything";
/// Keys that exclude each other: the readers are asked once without any of them, and once without each.
const ALTERNATIVES: [&str; 4] = ["", "sql", "http", "maintenance_windows"];

/// What a reader wanted a value to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Text; numbers and words without quotes are text too.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds.
    Whole(u64, u64),
    /// A number from the first to the second.
    Decimal(u64, u64),
    /// One of these words.
    Words(Vec<String>),
}

/// The value that stands for every value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Probe {
    hidden: &'static str,
    kinds: RefCell<BTreeSet<Kind>>,
    fields: OnceCell<Vec<(Key, Node)>>,
    entries: OnceCell<Vec<(Key, Node)>>,
    items: OnceCell<Vec<Node>>,
}

impl Probe {
    fn node(hidden: &'static str) -> Node {
        Node { line: 1, column: 1, value: Value::Anything(Box::new(Self { hidden, ..Self::default() })) }
    }

    fn keys<'k>(&self, names: impl Iterator<Item = &'k str>) -> Vec<(Key, Node)> {
        names
            .filter(|name| *name != self.hidden)
            .map(|name| (Key { line: 1, column: 1, name: name.to_owned() }, Self::node(self.hidden)))
            .collect()
    }

    /// Notes that a value of this kind is read.
    pub fn note(&self, kind: Kind) {
        self.kinds.borrow_mut().insert(kind);
    }

    /// A mapping with these keys and no others; all of them are there.
    pub fn fields(&self, allowed: &[&str]) -> &[(Key, Node)] {
        self.fields.get_or_init(|| self.keys(allowed.iter().copied()))
    }

    /// A mapping with these keys and any other.
    pub fn entries(&self, known: &[&str]) -> &[(Key, Node)] {
        self.entries.get_or_init(|| self.keys(known.iter().copied().chain([ANY])))
    }

    /// A list.
    pub fn items(&self) -> &[Node] {
        self.items.get_or_init(|| vec![Self::node(self.hidden)])
    }

    /// Text that a type can parse: any name, or one of its words.
    pub fn parsed<T: std::str::FromStr>(&self) -> Option<T> {
        const WORDS: [&str; 5] = ["postgresql", "mongodb", "redis", "elasticsearch", "sqlite"];
        if let Ok(value) = ANY.parse() {
            self.note(Kind::Text);
            return Some(value);
        }
        let words: Vec<&str> = WORDS.into_iter().filter(|w| w.parse::<T>().is_ok()).collect();
        match words.first() {
            Some(first) => {
                self.note(Kind::Words(words.iter().map(|w| (*w).to_owned()).collect()));
                first.parse().ok()
            }
            None => {
                self.note(Kind::Text);
                None
            }
        }
    }
}

/// What was asked of a value and of all below it.
#[derive(Debug, Default)]
struct Shape {
    kinds: BTreeSet<Kind>,
    /// Keys by name; `None`: it is no mapping.
    properties: Option<BTreeMap<String, Shape>>,
    /// The values of keys whose names are free.
    others: Option<Box<Shape>>,
    items: Option<Box<Shape>>,
}

impl Shape {
    /// Adds what was asked of another probe of the same place.
    fn take(&mut self, node: &Node) {
        let Value::Anything(probe) = &node.value else { return };
        self.kinds.extend(probe.kinds.borrow().iter().cloned());
        let named = probe.fields.get();
        for (key, value) in named.or(probe.entries.get()).into_iter().flatten() {
            let properties = self.properties.get_or_insert_default();
            if named.is_none() && key.name == ANY {
                self.others.get_or_insert_default().take(value);
            } else {
                properties.entry(key.name.clone()).or_default().take(value);
            }
        }
        for item in probe.items.get().into_iter().flatten() {
            self.items.get_or_insert_default().take(item);
        }
    }

    fn schema(&self) -> Json {
        let mut forms: Vec<Json> = self
            .kinds
            .iter()
            .map(|kind| match kind {
                Kind::Text => json!({ "type": ["string", "number", "boolean"] }),
                Kind::Bool => json!({ "type": "boolean" }),
                Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
                Kind::Decimal(least, most) => json!({ "type": "number", "minimum": least, "maximum": most }),
                Kind::Words(words) => json!({ "enum": words }),
            })
            .collect();
        if let Some(items) = &self.items {
            forms.push(json!({ "type": ["array", "null"], "items": items.schema() }));
        }
        if let Some(properties) = &self.properties {
            let of: serde_json::Map<String, Json> =
                properties.iter().map(|(name, shape)| (name.clone(), shape.schema())).collect();
            let others = self.others.as_ref().map_or(Json::Bool(false), |shape| shape.schema());
            let mut form = json!({ "type": ["object", "null"], "additionalProperties": others });
            if !of.is_empty() {
                form["properties"] = Json::Object(of);
            }
            forms.push(form);
        }
        match forms.len() {
            0 => json!({}),
            1 => forms.remove(0),
            _ => json!({ "anyOf": forms }),
        }
    }
}

/// The schema of what `read` reads.
fn of(title: &str, read: impl Fn(&mut Reader, &Node)) -> Json {
    let mut shape = Shape::default();
    for hidden in ALTERNATIVES {
        let root = Probe::node(hidden);
        // What is wrong with a value that stands for all of them does not matter.
        read(&mut Reader::new(title), &root);
        shape.take(&root);
    }
    let mut schema = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": title });
    if let (Json::Object(schema), Json::Object(shape)) = (&mut schema, shape.schema()) {
        schema.extend(shape);
    }
    schema
}

/// Name and JSON Schema (draft 2020-12) of each file that people write.
pub fn schemas() -> [(&'static str, Json); 6] {
    [
        ("godwit", of("godwit.yml", |reader, root| drop(RepoConfig::read(reader, root)))),
        (
            "environments",
            of("policies/environments.yml", |reader, root| drop(Environments::read(reader, &mut Vec::new(), root))),
        ),
        (
            "approval_matrix",
            of("policies/approval_matrix.yml", |reader, root| drop(ApprovalMatrix::read(reader, root))),
        ),
        ("roles", of("policies/roles.yml", |reader, root| drop(Roles::read(reader, root)))),
        ("lint", of("policies/lint.yml", |reader, root| drop(LintConfig::read(reader, root)))),
        ("service", of("environments.json of a service", |reader, root| drop(ServiceSettings::read(reader, root)))),
    ]
}
