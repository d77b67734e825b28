//! JSON Schemas of the configuration files, for editors. They come from the readers themselves: each reader is given a
//! value that stands for every value, which notes what is asked of it. So a schema can never say something else than
//! what the program reads.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::yaml::{Key, Node, Reader, Value};
use super::{ApprovalMatrix, Environments, LintConfig, RepoConfig, Roles, ServiceSettings};
use crate::ids::{Engine, EnvironmentName, RoleName, TargetName};

/// A name that every reader of names accepts.
const ANY: &str = "anything";
/// Keys that exclude each other: the readers are asked once without any of them, and once without each.
const ALTERNATIVES: [&str; 5] = ["", "sql", "http", "maintenance_windows", "url"];

/// What a reader wanted a value to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Text; numbers and words without quotes are text too.
    Text,
    /// Text of a form.
    Form(Form),
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, in quotes or without.
    Whole(u64, u64),
    /// A number from the first to the second, in quotes or without.
    Decimal(u64, u64),
    /// One of these words.
    Words(Vec<String>),
}

/// A form of texts as a regular expression, for editors alone: the readers have means of their own, and a test gives the
/// same texts to both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Form {
    pattern: &'static str,
    bare: Bare,
}

/// What of a [`Form`] YAML reads as something else than text where it stands without quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bare {
    Nothing,
    /// Numbers, `true` and `false`.
    Anything,
    /// The same, but no negative numbers.
    NotNegative,
    /// The same, but no fractions.
    Natural,
    /// Whole numbers, `true` and `false`.
    Integer,
    /// Numbers from the first to the second.
    Between(u64, u64),
}

impl Form {
    /// A plain name, such as that of an environment.
    pub const NAME: Self = Self { pattern: "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$", bare: Bare::NotNegative };
    /// A path inside the repository: no part is empty, `.` or `..`.
    pub const PATH: Self = Self {
        pattern: r"^(\./)?(\.|([^/\\.]|\.[^/\\.]|\.\.[^/\\])[^/\\]*(/([^/\\.]|\.[^/\\.]|\.\.[^/\\])[^/\\]*)*)/*$",
        bare: Bare::Anything,
    };
    /// The table of another tool, with its schema in front or not.
    pub const NATIVE_TABLE: Self = Self { pattern: r#"^[^".\s]+(\.[^".\s]+)?$"#, bare: Bare::Anything };
    /// A branch.
    pub const BRANCH: Self = Self {
        pattern: r"^(?![-/.])(?!.*(\.\.|//|@\{))(?!.*[/.]$)[^\s\x00-\x1f\x7f~^:?*\[\\]{1,200}$",
        bare: Bare::NotNegative,
    };
    /// Text with `${VAR}` and `${VAR:-default}` in it.
    pub const TEMPLATE: Self =
        Self { pattern: r"^([^$]|\$[^{]|\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\})*\$?$", bare: Bare::Anything };
    /// A port, or the variable that has it.
    pub const PORT: Self = Self {
        pattern: r"^(\+?0*[1-9][0-9]{0,4}|([^$]|\$[^{])*\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}([^$]|\$[^{]|\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\})*\$?)$",
        bare: Bare::Between(1, 65535),
    };
    /// A public key for sealed values.
    pub const RECIPIENT: Self = Self { pattern: "^age1[A-Za-z0-9]*$", bare: Bare::Nothing };
    /// An address without credentials and variables.
    pub const ADDRESS: Self = Self { pattern: r"^(?!.*\$\{)https?://[^/?#@\s]+([/?#]\S*)?$", bare: Bare::Nothing };
    /// A table, with its target before it where that is named.
    pub const TABLE: Self = Self {
        pattern: r#"^([^/"'`;\x00-\x1f\x7f]{1,255}|[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}/[^"'`;\x00-\x1f\x7f]{1,255})$"#,
        bare: Bare::Anything,
    };
    /// Text with a word in it.
    pub const WORDS: Self = Self { pattern: r"\S", bare: Bare::Anything };
    /// The time of a day at which something can begin.
    pub const BEGIN: Self = Self { pattern: "^([01][0-9]|2[0-3]):[0-5][0-9]$", bare: Bare::Nothing };
    /// The time of a day at which something can end.
    pub const END: Self = Self { pattern: "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", bare: Bare::Nothing };
    /// A day.
    pub const DATE: Self =
        Self { pattern: "^[0-9]{1,4}-(0?[1-9]|1[0-2])-(0?[1-9]|[12][0-9]|3[01])$", bare: Bare::Nothing };
    /// A rule of the linter.
    pub const RULE: Self = Self { pattern: "^[a-z0-9-]{1,100}$", bare: Bare::Integer };
    /// A version of PostgreSQL.
    pub const VERSION: Self = Self { pattern: r"^\+?0*(9|[1-9][0-9])(\.\+?[0-9]+)*$", bare: Bare::Between(9, 99) };
    /// A team of GitHub, with or without `@`.
    pub const TEAM: Self =
        Self { pattern: "^@*[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$", bare: Bare::Nothing };
    /// A person of GitHub, with or without `@`.
    pub const LOGIN: Self = Self { pattern: r"^@*[A-Za-z0-9_][A-Za-z0-9_-]{0,99}(\[bot\])?$", bare: Bare::Natural };
    /// A person or a team, with `@`.
    pub const HOLDER: Self = Self {
        pattern: r"^@([A-Za-z0-9_][A-Za-z0-9_-]{0,99}(\[bot\])?|[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99})$",
        bare: Bare::Nothing,
    };
    /// A label of GitHub.
    pub const LABEL: Self = Self { pattern: r"^[\s\S]{0,50}$", bare: Bare::Anything };

    fn schema(self) -> Json {
        let Self { pattern, bare } = self;
        let text = json!({ "type": "string", "pattern": pattern });
        match bare {
            Bare::Nothing => text,
            Bare::Anything => json!({ "type": ["string", "number", "boolean"], "pattern": pattern }),
            Bare::NotNegative => {
                json!({ "type": ["string", "number", "boolean"], "pattern": pattern, "minimum": 0 })
            }
            Bare::Natural => json!({ "type": ["string", "integer", "boolean"], "pattern": pattern, "minimum": 0 }),
            Bare::Integer => json!({ "type": ["string", "integer", "boolean"], "pattern": pattern }),
            Bare::Between(least, most) => {
                json!({ "type": ["string", "number"], "pattern": pattern, "minimum": least, "maximum": most })
            }
        }
    }
}

/// A type that texts are parsed into, and what such a text is.
pub(crate) trait Parsed: std::str::FromStr {
    /// The texts it accepts.
    fn kind() -> Kind;
}

impl Parsed for EnvironmentName {
    fn kind() -> Kind {
        Kind::Form(Form::NAME)
    }
}

impl Parsed for TargetName {
    fn kind() -> Kind {
        Kind::Form(Form::NAME)
    }
}

impl Parsed for RoleName {
    fn kind() -> Kind {
        Kind::Form(Form::NAME)
    }
}

impl Parsed for Engine {
    fn kind() -> Kind {
        Kind::words(Engine::ALL.iter().map(|(_, name)| *name).chain(["sqlite3"]))
    }
}

impl Kind {
    /// One of these words.
    pub fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        Self::Words(words.into_iter().map(str::to_owned).collect())
    }

    /// A text that stands for all that are of this kind.
    fn sample(&self) -> String {
        match self {
            Self::Words(words) => words.first().cloned().unwrap_or_default(),
            Self::Text | Self::Form(_) | Self::Bool | Self::Whole(..) | Self::Decimal(..) => ANY.to_owned(),
        }
    }

    /// The schema of a value of this kind.
    pub fn schema(&self) -> Json {
        match self {
            Kind::Text => json!({ "type": ["string", "number", "boolean"] }),
            Kind::Form(form) => form.schema(),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Whole(least, most) => {
                let first = if *least == 0 { "[0-9]" } else { "[1-9]" };
                let digits = most.to_string().len() - 1;
                let pattern = match least == most {
                    true => format!("^\\+?0*{least}$"),
                    false => format!("^\\+?0*{first}[0-9]{{0,{digits}}}$"),
                };
                json!({ "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": pattern })
            }
            Kind::Decimal(least, most) => {
                let pattern = r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$";
                json!({ "type": ["number", "string"], "minimum": least, "maximum": most, "pattern": pattern })
            }
            Kind::Words(words) => json!({ "enum": words }),
        }
    }
}

/// The value that stands for every value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Probe {
    hidden: &'static str,
    kinds: RefCell<BTreeSet<Kind>>,
    fields: OnceCell<Vec<(Key, Node)>>,
    entries: OnceCell<Vec<(Key, Node)>>,
    items: OnceCell<Vec<Node>>,
    rules: RefCell<BTreeSet<Rule>>,
}

/// What a reader wanted of a list or a mapping besides its form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// It has this key.
    Needs(String),
    /// It is not empty.
    Filled,
    /// Nothing of the list stands there twice.
    Distinct,
    /// Its keys are of this form.
    Keys(Form),
    /// What this schema says, as text.
    Also(String),
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

    /// Notes what else is wanted of the value.
    pub fn rule(&self, rule: Rule) {
        self.rules.borrow_mut().insert(rule);
    }

    /// Text of this kind.
    pub fn text(&self, kind: Kind) -> String {
        let sample = kind.sample();
        self.note(kind);
        sample
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
    rules: BTreeSet<Rule>,
}

impl Shape {
    /// Adds what was asked of another probe of the same place.
    fn take(&mut self, node: &Node) {
        let Value::Anything(probe) = &node.value else { return };
        self.kinds.extend(probe.kinds.borrow().iter().cloned());
        self.rules.extend(probe.rules.borrow().iter().cloned());
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
        let mut forms: Vec<Json> = self.kinds.iter().map(Kind::schema).collect();
        forms.extend(self.items.as_ref().map(|items| self.list(items)));
        forms.extend(self.properties.as_ref().map(|properties| self.mapping(properties)));
        match forms.len() {
            0 => json!({}),
            1 => forms.remove(0),
            _ => json!({ "anyOf": forms }),
        }
    }
}

impl Shape {
    fn list(&self, items: &Shape) -> Json {
        let mut form = json!({ "type": ["array", "null"], "items": items.schema() });
        if self.rules.contains(&Rule::Filled) {
            (form["type"], form["minItems"]) = (json!("array"), json!(1));
        }
        if self.rules.contains(&Rule::Distinct) {
            form["uniqueItems"] = json!(true);
        }
        form
    }

    fn mapping(&self, properties: &BTreeMap<String, Shape>) -> Json {
        let others = self.others.as_ref().map_or(Json::Bool(false), |shape| shape.schema());
        let mut form = json!({ "type": ["object", "null"], "additionalProperties": others });
        if !properties.is_empty() {
            form["properties"] = properties.iter().map(|(name, shape)| (name.clone(), shape.schema())).collect();
        }
        let (mut required, mut also) = (Vec::new(), Vec::new());
        for rule in &self.rules {
            match rule {
                Rule::Needs(key) => required.push(key.as_str()),
                Rule::Filled => (form["type"], form["minProperties"]) = (json!("object"), json!(1)),
                Rule::Distinct => {}
                Rule::Keys(keys) => form["propertyNames"] = json!({ "pattern": keys.pattern }),
                Rule::Also(schema) => also.extend(serde_json::from_str::<Json>(schema)),
            }
        }
        if !required.is_empty() {
            (form["type"], form["required"]) = (json!("object"), json!(required));
        }
        if !also.is_empty() {
            form["allOf"] = json!(also);
        }
        form
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

#[cfg(all(test, feature = "cli"))]
mod agreement;
