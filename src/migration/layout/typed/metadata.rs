//! The JSON half of a typed migration: its fields (SPEC 3.1), checked one by one, each mistake at its line.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ids::{Engine, Risk};
use crate::migration::directives::{Directives, Waiver};
use crate::migration::operations::{are_operations, redis};
use crate::migration::{Problem, Script, Severity};

/// The fields as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    version: String,
    name: String,
    description: String,
    database_type: String,
    #[serde(rename = "migration_type")]
    _migration_type: MigrationType,
    #[serde(default)]
    depends_on: Vec<String>,
    risk: Option<String>,
    #[serde(rename = "duration")]
    _duration: Option<String>,
    #[serde(rename = "author")]
    _author: Option<String>,
    #[serde(rename = "ticket")]
    _ticket: Option<String>,
    #[serde(rename = "compliance")]
    _compliance: Option<Vec<String>>,
    #[serde(rename = "regions")]
    _regions: Option<Vec<String>>,
    waive: Option<Waive>,
    reason: Option<String>,
    expires: Option<NaiveDate>,
    #[serde(rename = "no-transaction")]
    no_transaction: Option<bool>,
    #[serde(borrow)]
    operations: Option<&'a RawValue>,
    #[serde(borrow)]
    rollback: Option<&'a RawValue>,
    #[serde(borrow)]
    keys: Option<&'a RawValue>,
    args: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum MigrationType {
    Schema,
    Index,
    Data,
    Hotfix,
}

/// One rule with `reason` and `expires` beside it, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Waive {
    One(String),
    Several(Vec<WaiveOne>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaiveOne {
    rule: String,
    reason: String,
    expires: Option<NaiveDate>,
}

/// The fields that could be read, as the layout wants them.
pub(super) struct Metadata<'a> {
    /// `version`.
    pub version: String,
    /// Its three numbers, if it has three.
    pub semver: Option<[u64; 3]>,
    /// The line of `version`.
    pub version_line: u32,
    /// `description`.
    pub description: String,
    /// `risk`, `depends_on`, waivers.
    pub directives: Directives,
    /// Where the list of operations stands.
    pub operations: Option<&'a str>,
    /// Where the list of the inline rollback stands.
    pub rollback: Option<&'a str>,
    /// Redis: the keys, as written.
    pub keys: Option<&'a str>,
    /// Redis: the arguments.
    pub args: Option<Vec<String>>,
}

const FIELDS: &str = "the fields are version, name, description, database_type, migration_type, depends_on, risk, duration, \
                      author, ticket, compliance, regions, waive with reason and expires";

/// Reads the fields of `json`, a file for `engine` whose name says `name`. `None` where it is not even JSON of that form.
pub(super) fn read<'a>(
    engine: Engine,
    json: &'a Script,
    name: &str,
    problems: &mut Vec<Problem>,
) -> Option<Metadata<'a>> {
    let mut wrong = |line: u32, message: String, help: &str| {
        problems.push(Problem {
            file: json.path.clone(),
            line,
            rule: "invalid-metadata",
            severity: Severity::Error,
            message,
            help: help.to_owned(),
        });
    };
    let fields: Fields<'a> = match serde_json::from_str(&json.text) {
        Ok(fields) => fields,
        Err(e) => {
            let line = u32::try_from(e.line()).unwrap_or(1).max(1);
            let more = match engine {
                Engine::Mongodb | Engine::Elasticsearch => ", operations, rollback",
                Engine::Redis => ", keys, args, operations, rollback",
                Engine::Postgresql | Engine::Sqlite => ", no-transaction",
            };
            wrong(line, e.to_string(), &format!("{FIELDS}{more}"));
            return None;
        }
    };
    let lines = FieldLines::of(&json.text);
    let semver = semver(&fields.version);
    if semver.is_none() {
        let message = format!("`version` is `{}`, not of the form 1.2.3 [S4-07]", fields.version);
        wrong(lines.of_field("version"), message, "use three numbers");
    }
    if fields.name != name {
        let message = format!("`name` is `{}`, but the file is named `{name}` [S4-08]", fields.name);
        wrong(lines.of_field("name"), message, "make them equal");
    }
    if fields.description.trim().is_empty() {
        wrong(
            lines.of_field("description"),
            "`description` is empty [S4-09]".to_owned(),
            "say what the migration does",
        );
    }
    if fields.database_type != engine.as_str() {
        let message =
            format!("`database_type` is `{}`, but the folder is for `{engine}` [S4-10]", fields.database_type);
        wrong(lines.of_field("database_type"), message, "make them equal");
    }
    let mut misplaced = |field: &str, given: bool, why: &str| {
        if given {
            wrong(lines.of_field(field), format!("`{field}` has no place here: {why}"), "take it out");
        }
    };
    if are_operations(engine) {
        misplaced("no-transaction", fields.no_transaction.is_some(), "operations run one by one anyway");
        if engine != Engine::Redis {
            misplaced("keys", fields.keys.is_some(), "only Redis migrations have keys");
            misplaced("args", fields.args.is_some(), "only Redis migrations have arguments");
        }
    } else {
        let why = "an SQL migration's statements stand in its `.sql` file, and its rollback in `_rollback.sql` [S4-23]";
        misplaced("operations", fields.operations.is_some(), why);
        misplaced("rollback", fields.rollback.is_some(), why);
        misplaced("keys", fields.keys.is_some(), "only Redis migrations have keys");
        misplaced("args", fields.args.is_some(), "only Redis migrations have arguments");
    }
    if let Some(keys) = fields.keys
        && let Err(e) = serde_json::from_str::<redis::Keys>(keys.get())
    {
        let message = format!("`keys` is neither a list of names nor `{{\"match\": …, \"count\": …}}`: {e}");
        wrong(lines.of_field("keys"), message, "name the keys, or give the pattern that finds them");
    }
    let risk = match fields.risk.as_deref().map(str::parse::<Risk>) {
        None => None,
        Some(Ok(risk)) => Some(risk),
        Some(Err(e)) => {
            wrong(lines.of_field("risk"), e.to_string(), "correct `risk`");
            None
        }
    };
    let line = lines.of_field("waive");
    let given: Vec<(String, String, Option<NaiveDate>)> = match fields.waive {
        None => Vec::new(),
        Some(Waive::One(rule)) => vec![(rule, fields.reason.unwrap_or_default(), fields.expires)],
        Some(Waive::Several(all)) => all.into_iter().map(|w| (w.rule, w.reason, w.expires)).collect(),
    };
    let mut waivers = Vec::new();
    for (rule, reason, expires) in given {
        if reason.trim().is_empty() {
            wrong(line, format!("the waiver of `{rule}` gives no reason"), "write a `reason` beside it");
        } else {
            waivers.push(Waiver { rule, reason, expires, line });
        }
    }
    Some(Metadata {
        version_line: lines.of_field("version"),
        semver,
        version: fields.version,
        description: fields.description,
        directives: Directives {
            risk,
            depends_on: fields.depends_on,
            no_transaction: fields.no_transaction.unwrap_or(false),
            waivers,
        },
        operations: fields.operations.map(RawValue::get),
        rollback: fields.rollback.map(RawValue::get),
        keys: fields.keys.map(RawValue::get),
        args: fields.args,
    })
}

fn semver(text: &str) -> Option<[u64; 3]> {
    let parts: Vec<u64> = text
        .split('.')
        .map(|p| p.bytes().all(|b| b.is_ascii_digit()).then(|| p.parse().ok()).flatten())
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// Where the values of an object's fields stand.
struct FieldLines<'a> {
    text: &'a str,
    values: BTreeMap<String, &'a RawValue>,
}

impl<'a> FieldLines<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, values: serde_json::from_str(text).unwrap_or_default() }
    }

    /// The line of a field's value; 1 if it is not there.
    fn of_field(&self, name: &str) -> u32 {
        self.values.get(name).map_or(1, |v| line_of(self.text, v.get()))
    }
}

/// The line (from 1) at which `part`, which was borrowed from `text`, begins.
pub(super) fn line_of(text: &str, part: &str) -> u32 {
    let at = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len());
    1 + u32::try_from(text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count()).unwrap_or(0)
}
