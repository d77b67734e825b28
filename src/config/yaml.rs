//! YAML into a tree that knows its lines, and a reader that collects every mistake instead of stopping at the first.
//!
//! Values are never quoted in messages unless the caller says they cannot be secret: a configuration may hold one
//! where it does not belong.

use std::fmt::Display;
use std::str::FromStr;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::ConfigError;
use super::schema::{Form, Kind, Parsed, Probe, Rule};

/// Larger files are refused (bytes).
const MAX_BYTES: usize = 1024 * 1024;
/// Deeper nesting is refused (levels).
const MAX_DEPTH: usize = 32;

/// A value with the place where it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Line from 1.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
    /// What stands there.
    pub value: Value,
}

impl Node {
    /// Notes for the schema what the caller itself wants of this list or mapping.
    pub fn must(&self, rule: Rule) {
        if let Value::Anything(probe) = &self.value {
            probe.rule(rule);
        }
    }
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A word, number or text; `quoted` tells text from everything else.
    Scalar {
        /// Without its quotes.
        text: String,
        /// Whether it stood in quotes or in a block.
        quoted: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping in file order; keys are unique.
    Map(Vec<(Key, Node)>),
    /// Every value there could be; no file has it, see [`super::schema`].
    Anything(Box<Probe>),
}

/// A key with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Line from 1.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
    /// The key.
    pub name: String,
}

/// An unfinished list or mapping while the events come in.
enum Open {
    List(usize, usize, Vec<Node>),
    Map(usize, usize, Vec<(Key, Node)>, Option<Key>),
}

/// Parses one document.
///
/// # Errors
/// A located message for broken YAML, a second document, anchors, duplicate keys, excessive size or nesting.
pub(crate) fn parse(file: &str, text: &str) -> Result<Node, ConfigError> {
    let at = |line: usize, column: usize, message: String| ConfigError {
        file: file.to_owned(),
        line: Some(line),
        column: Some(column),
        message,
    };
    if text.len() > MAX_BYTES {
        return Err(ConfigError {
            file: file.to_owned(),
            line: None,
            column: None,
            message: format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len()),
        });
    }
    let mut open: Vec<Open> = Vec::new();
    let mut root: Option<Node> = None;
    let mut documents = 0;
    for event in Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        let (event, span) = event.map_err(|e| {
            at(e.marker().line(), e.marker().col() + 1, format!("this is not valid YAML: {}", e.info()))
        })?;
        let (line, column) = (span.start.line().max(1), span.start.col() + 1);
        let node = match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(at(line, column, "a second document (`---`) begins here; one is allowed".to_owned()));
                }
                continue;
            }
            Event::Alias(_) => {
                return Err(at(line, column, "aliases (`*name`) are not read; write the value out".to_owned()));
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if open.len() >= MAX_DEPTH {
                    return Err(at(line, column, format!("nested deeper than {MAX_DEPTH} levels")));
                }
                open.push(match event {
                    Event::SequenceStart(..) => Open::List(line, column, Vec::new()),
                    _ => Open::Map(line, column, Vec::new(), None),
                });
                continue;
            }
            Event::Scalar(text, style, ..) => {
                let quoted = style != ScalarStyle::Plain;
                let value = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if !quoted => Value::Null,
                    _ => Value::Scalar { text: text.into_owned(), quoted },
                };
                Node { line, column, value }
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(line, column, items)) => Node { line, column, value: Value::List(items) },
                Some(Open::Map(line, column, entries, _)) => Node { line, column, value: Value::Map(entries) },
                None => continue,
            },
        };
        match open.last_mut() {
            None => root = Some(node),
            Some(Open::List(_, _, items)) => items.push(node),
            Some(Open::Map(_, _, entries, pending)) => match pending.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let name = match node.value {
                        Value::Scalar { text, .. } => text,
                        // `null:` and `~:` are words here.
                        Value::Null => "null".to_owned(),
                        Value::List(_) | Value::Map(_) | Value::Anything(_) => {
                            return Err(at(node.line, node.column, "a key must be a word".to_owned()));
                        }
                    };
                    if let Some((first, _)) = entries.iter().find(|(k, _)| k.name == name) {
                        let message = format!("the key `{name}` stands here twice; first on line {}", first.line);
                        return Err(at(node.line, node.column, message));
                    }
                    *pending = Some(Key { line: node.line, column: node.column, name });
                }
            },
        }
    }
    Ok(root.unwrap_or(Node { line: 1, column: 1, value: Value::Null }))
}

/// Collects mistakes while a file's tree is turned into final types.
#[derive(Debug)]
pub(crate) struct Reader {
    file: String,
    errors: Vec<ConfigError>,
}

impl Reader {
    /// A reader for `file`.
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), errors: Vec::new() }
    }

    /// A located message about this file.
    pub fn message(&self, line: usize, column: usize, message: impl Into<String>) -> ConfigError {
        ConfigError { file: self.file.clone(), line: Some(line), column: Some(column), message: message.into() }
    }

    /// Notes a mistake at `node`.
    pub fn wrong(&mut self, node: &Node, message: impl Into<String>) {
        let error = self.message(node.line, node.column, message);
        self.errors.push(error);
    }

    /// Notes a mistake at `key`.
    pub fn wrong_key(&mut self, key: &Key, message: impl Into<String>) {
        let error = self.message(key.line, key.column, message);
        self.errors.push(error);
    }

    /// `value` if nothing was wrong, else every mistake in file order.
    pub fn finish<T>(mut self, value: T) -> Result<T, Vec<ConfigError>> {
        if self.errors.is_empty() {
            return Ok(value);
        }
        self.errors.sort_by_key(|e| (e.line, e.column));
        Err(self.errors)
    }

    /// The entries of a mapping; an empty value counts as an empty mapping.
    pub fn map<'n>(&mut self, node: &'n Node, path: &str) -> &'n [(Key, Node)] {
        match &node.value {
            Value::Map(entries) => entries,
            Value::Anything(probe) => probe.entries(&[]),
            Value::Null => &[],
            Value::Scalar { .. } | Value::List(_) => {
                self.wrong(node, format!("{} must be a mapping (`key: value` lines)", shown(path)));
                &[]
            }
        }
    }

    /// As [`Reader::map`], of a mapping in which some keys mean something of their own.
    pub fn map_with<'n>(&mut self, node: &'n Node, path: &str, known: &[&str]) -> &'n [(Key, Node)] {
        match &node.value {
            Value::Anything(probe) => probe.entries(known),
            _ => self.map(node, path),
        }
    }

    /// As [`Reader::map`], of a mapping whose keys are of this form, which the caller checks.
    pub fn keyed<'n>(&mut self, node: &'n Node, path: &str, keys: Form) -> &'n [(Key, Node)] {
        node.must(Rule::Keys(keys));
        self.map(node, path)
    }

    /// The entries of a mapping whose keys are fixed; others are mistakes that name what is allowed.
    pub fn fields<'n>(&mut self, node: &'n Node, path: &str, allowed: &[&str]) -> Fields<'n> {
        if let Value::Anything(probe) = &node.value {
            return Fields { entries: probe.fields(allowed), path: path.to_owned() };
        }
        let entries = self.map(node, path);
        for (key, _) in entries {
            if !allowed.contains(&key.name.as_str()) {
                self.unknown(key, path, allowed);
            }
        }
        Fields { entries, path: path.to_owned() }
    }

    /// The entries of a mapping whose unknown keys were looked at already.
    pub fn known_fields<'n>(&mut self, node: &'n Node, path: &str, known: &[&str]) -> Fields<'n> {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Anything(probe) => probe.fields(known),
            Value::Null | Value::Scalar { .. } | Value::List(_) => &[],
        };
        Fields { entries, path: path.to_owned() }
    }

    /// Notes that `key` is unknown in `path`.
    pub fn unknown(&mut self, key: &Key, path: &str, allowed: &[&str]) {
        let place = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
        let near = nearest(&key.name, allowed).map(|n| format!(", did you mean `{n}`?")).unwrap_or_default();
        self.wrong_key(key, format!("unknown key `{}`{place}{near}; allowed: {}", key.name, list(allowed)));
    }

    /// The value of a key that must be there.
    pub fn needed<'n>(
        &mut self,
        fields: &Fields<'n>,
        node: &Node,
        key: &str,
        missing: impl Into<String>,
    ) -> Option<(&'n Node, String)> {
        node.must(Rule::Needs(key.to_owned()));
        let found = fields.get(key);
        if found.is_none() {
            self.wrong(node, missing);
        }
        found
    }

    /// A word, number or text.
    pub fn string(&mut self, node: &Node, path: &str) -> Option<String> {
        self.text(node, path, Kind::Text)
    }

    /// As [`Reader::string`], of a form that the caller checks.
    pub fn formed(&mut self, node: &Node, path: &str, form: Form) -> Option<String> {
        self.text(node, path, Kind::Form(form))
    }

    /// As [`Reader::string`], of a kind that the caller checks.
    pub fn text(&mut self, node: &Node, path: &str, kind: Kind) -> Option<String> {
        match &node.value {
            Value::Scalar { text, .. } => Some(text.clone()),
            Value::Anything(probe) => Some(probe.text(kind)),
            Value::Null => {
                self.wrong(node, format!("{} is empty; it needs a value", shown(path)));
                None
            }
            Value::List(_) | Value::Map(_) => {
                self.wrong(node, format!("{} must be one value, not a list or mapping", shown(path)));
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn bool(&mut self, node: &Node, path: &str) -> Option<bool> {
        if let Value::Anything(probe) = &node.value {
            probe.note(Kind::Bool);
            return Some(false);
        }
        if let Value::Scalar { text, quoted: false } = &node.value
            && let Ok(value) = text.to_ascii_lowercase().parse()
        {
            return Some(value);
        }
        self.wrong(node, format!("{} must be `true` or `false`", shown(path)));
        None
    }

    /// A whole number within `range`.
    pub fn number(&mut self, node: &Node, path: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        if let Value::Anything(probe) = &node.value {
            probe.note(Kind::Whole(*range.start(), *range.end()));
            return Some(*range.start());
        }
        if let Value::Scalar { text, .. } = &node.value
            && let Ok(value) = text.parse::<u64>()
            && range.contains(&value)
        {
            return Some(value);
        }
        let (from, to) = (range.start(), range.end());
        self.wrong(node, format!("{} must be a whole number from {from} to {to}", shown(path)));
        None
    }

    /// A number from 0 to `most`, with or without a fraction.
    pub fn decimal(&mut self, node: &Node, path: &str, most: u32) -> Option<f64> {
        if let Value::Anything(probe) = &node.value {
            probe.note(Kind::Decimal(0, u64::from(most)));
            return Some(0.0);
        }
        if let Value::Scalar { text, .. } = &node.value
            && let Ok(number) = text.parse::<f64>()
            && (0.0..=f64::from(most)).contains(&number)
        {
            return Some(number);
        }
        self.wrong(node, format!("{} must be a number from 0 on, such as `90` or `0.5`", shown(path)));
        None
    }

    /// A list; one value alone is refused so that a forgotten dash shows.
    pub fn list<'n>(&mut self, node: &'n Node, path: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Anything(probe) => probe.items(),
            Value::Null => &[],
            Value::Scalar { .. } | Value::Map(_) => {
                self.wrong(node, format!("{} must be a list, such as `[a, b]`", shown(path)));
                &[]
            }
        }
    }

    /// A value that its type can parse; the type's message names the value, so this is not for secrets.
    pub fn parsed<T: Parsed>(&mut self, node: &Node, path: &str) -> Option<T>
    where
        T::Err: Display,
    {
        let text = self.text(node, path, T::kind())?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(e) => {
                self.wrong(node, format!("{}: {e}", shown(path)));
                None
            }
        }
    }

    /// A key that its type can parse.
    pub fn parsed_key<T: FromStr>(&mut self, key: &Key, path: &str) -> Option<T>
    where
        T::Err: Display,
    {
        match key.name.parse() {
            Ok(value) => Some(value),
            Err(e) => {
                self.wrong_key(key, format!("{}: {e}", shown(path)));
                None
            }
        }
    }

    /// One word of a fixed set.
    pub fn one_of<T: Copy>(&mut self, node: &Node, path: &str, words: &[(&str, T)]) -> Option<T> {
        if let Value::Anything(probe) = &node.value {
            probe.note(Kind::words(words.iter().map(|(w, _)| *w)));
            return words.first().map(|(_, value)| *value);
        }
        let text = self.string(node, path)?;
        if let Some((_, value)) = words.iter().find(|(w, _)| *w == text) {
            return Some(*value);
        }
        let names: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
        self.wrong(node, format!("{} must be one of {}", shown(path), list(&names)));
        None
    }
}

/// The entries of a mapping with fixed keys.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    entries: &'n [(Key, Node)],
    path: String,
}

impl<'n> Fields<'n> {
    /// The value of `key` with its full key path, if the key is there.
    pub fn get(&self, key: &str) -> Option<(&'n Node, String)> {
        let (_, node) = self.entries.iter().find(|(k, _)| k.name == key)?;
        Some((node, join(&self.path, key)))
    }

    /// The key itself, for messages about it.
    pub fn key(&self, key: &str) -> Option<&'n Key> {
        self.entries.iter().map(|(k, _)| k).find(|k| k.name == key)
    }
}

/// `a.b`, or `b` at the top.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn shown(path: &str) -> String {
    if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") }
}

/// `a`, `b` or `c`.
pub(crate) fn list(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

/// The allowed word that a typing slip most likely meant.
pub(crate) fn nearest<'a>(word: &str, allowed: &[&'a str]) -> Option<&'a str> {
    allowed.iter().map(|a| (distance(word, a), *a)).min().filter(|(d, a)| *d <= 1 + a.len() / 5).map(|(_, a)| a)
}

/// Levenshtein distance, in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let next = (diagonal + usize::from(ca != *cb)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_its_line() {
        let node = parse("f", "a: 1\nb:\n  - x\n  - {c: 'd'}\n").expect("valid");
        let Value::Map(entries) = &node.value else { panic!("{node:?}") };
        assert_eq!((entries[1].0.line, entries[1].0.column), (2, 1));
        let Value::List(items) = &entries[1].1.value else { panic!() };
        assert_eq!((items[0].line, items[0].column), (3, 5));
    }

    #[test]
    fn broken_documents_are_located() {
        for (text, line, part) in [
            ("a: [1, 2", 2, "not valid YAML"),
            ("a: 1\n b: 2\n", 2, "not valid YAML"),
            ("a: 1\na: 2\n", 2, "twice; first on line 1"),
            ("a: &x 1\nb: *x\n", 2, "aliases"),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("? [a]\n: 1\n", 1, "a key must be a word"),
        ] {
            let error = parse("f", text).expect_err(text);
            assert_eq!(error.line, Some(line), "{text:?}: {error}");
            assert!(error.message.contains(part), "{text:?}: {error}");
        }
        assert!(parse("f", &"[".repeat(100)).is_err());
        assert!(parse("f", &format!("a: {}", "x".repeat(MAX_BYTES))).is_err());
        assert_eq!(parse("f", "").map(|n| n.value), Ok(Value::Null));
    }

    #[test]
    fn slips_are_recognised() {
        assert_eq!(nearest("promotoin", &["promotion", "branch"]), Some("promotion"));
        assert_eq!(nearest("colour", &["promotion", "branch"]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\\n]{0,80}") {
            let _ = parse("f", &text);
        }
    }
}
