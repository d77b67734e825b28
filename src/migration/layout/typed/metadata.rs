//! The JSON half of a typed migration: its fields (SPEC 3.1), checked one by one, each mistake at its place.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ids::{Engine, Risk};
use crate::migration::backfill::Backfill;
use crate::migration::directives::{Directives, Waiver};
use crate::migration::duration;
use crate::migration::operations::{are_operations, redis};
use crate::migration::vague::says_nothing;
use crate::migration::{Problem, Script, Severity, Spot};

/// Forms of texts for the schema; the reader has means of its own.
#[cfg(feature = "cli")]
use super::schema::{COLUMNS, DAY, PAUSE, TABLE, WORDS};

/// The fields as written.
#[derive(Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Fields<'a> {
    /// Three numbers: the first rises when something breaks, the second when something is added.
    version: String,
    /// As in the file's name, behind its number.
    name: String,
    /// What it does.
    #[cfg_attr(feature = "cli", schemars(extend("pattern" = WORDS)))]
    description: String,
    /// The folder's kind of database.
    database_type: String,
    /// What it is for.
    #[serde(rename = "migration_type")]
    _migration_type: MigrationType,
    /// What must be applied before: `id`, `unit/id`, `target/id`.
    #[serde(default)]
    depends_on: Vec<String>,
    /// The risk it has at least: `LOW`, `MEDIUM`, `HIGH`.
    risk: Option<String>,
    /// How long it takes, such as `5m`.
    duration: Option<String>,
    #[serde(rename = "author")]
    _author: Option<String>,
    #[serde(rename = "ticket")]
    _ticket: Option<String>,
    /// The rules that hold for its data, such as `GDPR`.
    compliance: Option<Vec<String>>,
    #[serde(rename = "regions")]
    _regions: Option<Vec<String>>,
    /// A rule that is passed over, with `reason` and `expires` beside it; or a list.
    waive: Option<Waive>,
    /// Why.
    reason: Option<String>,
    /// Until when: `YYYY-MM-DD`.
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>", extend("pattern" = DAY)))]
    expires: Option<NaiveDate>,
    /// Statements run one by one.
    #[serde(rename = "no-transaction")]
    no_transaction: Option<bool>,
    /// Why an operation is meant of which nobody can tell after a crash whether it was done.
    #[cfg_attr(feature = "cli", schemars(extend("pattern" = WORDS)))]
    manual: Option<String>,
    #[serde(borrow)]
    #[cfg_attr(feature = "cli", schemars(with = "Option<serde_json::Value>"))]
    operations: Option<&'a RawValue>,
    #[serde(borrow)]
    #[cfg_attr(feature = "cli", schemars(with = "Option<serde_json::Value>"))]
    rollback: Option<&'a RawValue>,
    #[serde(borrow)]
    #[cfg_attr(feature = "cli", schemars(with = "Option<serde_json::Value>"))]
    keys: Option<&'a RawValue>,
    /// The script's arguments.
    args: Option<Vec<String>>,
    /// How a statement in batches goes.
    backfill: Option<BackfillFields>,
    /// `expand`, `backfill` or `contract`.
    phase: Option<String>,
}

/// The marks of a statement in batches.
#[derive(Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct BackfillFields {
    #[cfg_attr(feature = "cli", schemars(extend("pattern" = TABLE)))]
    table: String,
    #[cfg_attr(feature = "cli", schemars(extend("pattern" = COLUMNS)))]
    key: String,
    #[cfg_attr(feature = "cli", schemars(range(min = 1, max = u32::MAX)))]
    batch: Option<u32>,
    #[cfg_attr(feature = "cli", schemars(extend("pattern" = PAUSE)))]
    pause: Option<String>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum MigrationType {
    Schema,
    Index,
    Data,
    Hotfix,
}

/// One rule with `reason` and `expires` beside it, or a list.
#[derive(Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(untagged)]
enum Waive {
    One(String),
    Several(Vec<WaiveOne>),
}

#[derive(Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct WaiveOne {
    rule: String,
    #[cfg_attr(feature = "cli", schemars(extend("pattern" = WORDS)))]
    reason: String,
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>", extend("pattern" = DAY)))]
    expires: Option<NaiveDate>,
}

/// The fields that could be read, as the layout wants them.
pub(super) struct Metadata<'a> {
    /// `version`.
    pub version: String,
    /// Its three numbers, if it has three.
    pub semver: Option<[u64; 3]>,
    /// Where the value of `version` stands.
    pub version_at: Spot,
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

/// What every file says.
pub(super) const REQUIRED: [&str; 5] = ["version", "name", "description", "database_type", "migration_type"];

const FIELDS: &str = "the fields are version, name, description, database_type, migration_type, depends_on, risk, duration, \
                      author, ticket, compliance, regions, waive with reason and expires, phase, manual";

/// Reads the fields of `json`, a file for `engine` whose name says `name`. `None` where it is not even JSON of that form.
pub(super) fn read<'a>(
    engine: Engine,
    json: &'a Script,
    name: &str,
    problems: &mut Vec<Problem>,
) -> Option<Metadata<'a>> {
    let mut wrong = |at: Spot, message: String, help: &str| {
        problems.push(Problem {
            file: json.path.clone(),
            line: at.line,
            column: at.column,
            end_column: at.end_column,
            rule: "invalid-metadata",
            severity: Severity::Error,
            message,
            help: help.to_owned(),
        });
    };
    let fields: Fields<'a> = match serde_json::from_str(&json.text) {
        Ok(fields) => fields,
        Err(e) => {
            let places = Places::of(&json.text);
            let found = places.strange_or_missing();
            let more = match engine {
                Engine::Mongodb | Engine::Elasticsearch => ", operations, rollback",
                Engine::Redis => ", keys, args, operations, rollback",
                Engine::Postgresql | Engine::Sqlite => ", no-transaction, backfill",
            };
            let help = format!("{FIELDS}{more}");
            // All of them at once: who mends one should not learn of the next by trying again.
            for (at, message) in &found {
                wrong(*at, message.clone(), &help);
            }
            if found.is_empty() {
                let at = Spot::read_to(&json.text, e.line(), e.column());
                let said = e.to_string();
                let message = match said.split(" at line ").next() {
                    // The reader's own words for it are about its types.
                    _ if e.is_data() && !json.text.trim_start().starts_with('{') => {
                        "is no object: its fields stand in braces, `{ \"version\": …, \"name\": … }`".to_owned()
                    }
                    message => message.unwrap_or(&said).to_owned(),
                };
                if e.is_data() {
                    wrong(at, message, &help);
                } else {
                    let help = "it is no JSON: look just before that place for a comma too many, or a comma, a quote or a bracket that is missing";
                    wrong(at, format!("{message} [S4-77]"), help);
                }
            }
            return None;
        }
    };
    let places = Places::of(&json.text);
    let semver = semver(&fields.version);
    if semver.is_none() {
        let message = format!("`version` is `{}`, not of the form 1.2.3 [S4-07]", fields.version);
        wrong(places.of_field("version"), message, "use three numbers");
    }
    if fields.name != name {
        let message = format!("`name` is `{}`, but the file is named `{name}` [S4-08]", fields.name);
        wrong(places.of_field("name"), message, "make them equal");
    }
    if fields.description.trim().is_empty() {
        wrong(
            places.of_field("description"),
            "`description` is empty [S4-09]".to_owned(),
            "say what the migration does",
        );
    }
    let unsaid = !fields.description.trim().is_empty() && says_nothing(&fields.description);
    if fields.database_type != engine.as_str() {
        let message =
            format!("`database_type` is `{}`, but the folder is for `{engine}` [S4-10]", fields.database_type);
        wrong(places.of_field("database_type"), message, "make them equal");
    }
    let mut misplaced = |field: &str, given: bool, why: &str| {
        if given {
            wrong(places.of_field(field), format!("`{field}` has no place here: {why}"), "take it out");
        }
    };
    if are_operations(engine) {
        misplaced("no-transaction", fields.no_transaction.is_some(), "operations run one by one anyway");
        misplaced("backfill", fields.backfill.is_some(), "operations have batches of their own");
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
        wrong(places.of_field("keys"), message, "name the keys, or give the pattern that finds them");
    }
    if let Some(rollback) = fields.rollback
        && are_operations(engine)
        && holds_no_list(rollback.get())
    {
        let message = "`rollback` is no list of operations".to_owned();
        wrong(places.of_field("rollback"), message, "list them: `[{ \"type\": … }]`");
    }
    if fields.manual.as_ref().is_some_and(|why| why.trim().is_empty()) {
        wrong(places.of_field("manual"), "`manual` gives no reason".to_owned(), "say why it cannot be avoided");
    }
    let risk = match fields.risk.as_deref().map(str::parse::<Risk>) {
        None => None,
        Some(Ok(risk)) => Some(risk),
        Some(Err(e)) => {
            wrong(places.of_field("risk"), e.to_string(), "correct `risk`");
            None
        }
    };
    let backfill = fields.backfill.and_then(|b| {
        let batch = b.batch.map(|n| n.to_string());
        match Backfill::new(&b.table, Some(&b.key), batch.as_deref(), b.pause.as_deref()) {
            Ok(backfill) => Some(backfill),
            Err(message) => {
                wrong(places.of_field("backfill"), message, "correct `backfill`");
                None
            }
        }
    });
    let phase = match fields.phase.as_deref().map(str::parse) {
        None => None,
        Some(Ok(phase)) => Some(phase),
        Some(Err(message)) => {
            wrong(places.of_field("phase"), message, "correct `phase`");
            None
        }
    };
    let waive_at = places.of_field("waive");
    let given: Vec<(String, String, Option<NaiveDate>)> = match fields.waive {
        None => Vec::new(),
        Some(Waive::One(rule)) => vec![(rule, fields.reason.unwrap_or_default(), fields.expires)],
        Some(Waive::Several(all)) => all.into_iter().map(|w| (w.rule, w.reason, w.expires)).collect(),
    };
    let mut waivers = Vec::new();
    for (rule, reason, expires) in given {
        if reason.trim().is_empty() {
            wrong(waive_at, format!("the waiver of `{rule}` gives no reason"), "write a `reason` beside it");
        } else {
            waivers.push(Waiver { rule, reason, expires, at: waive_at, is_field: true });
        }
    }
    let mut remark = |field: &str, rule: &'static str, message: String, help: &str| {
        let Spot { line, column, end_column } = places.of_field(field);
        let (file, severity, help) = (json.path.clone(), Severity::Warning, help.to_owned());
        problems.push(Problem { file, line, column, end_column, rule, severity, message, help });
    };
    if unsaid {
        let message = format!("`description` is `{}`, which does not say what the migration does", fields.description);
        remark("description", "vague-name", message, "say what it changes and what for");
    }
    if let Some(message) = fields.duration.as_deref().and_then(|text| duration::parse(text).err()) {
        remark("duration", "invalid-metadata", message, "say how long it takes, such as `5m`, or take it out");
    }
    Some(Metadata {
        version_at: places.of_field("version"),
        semver,
        version: fields.version,
        description: fields.description,
        directives: Directives {
            risk,
            depends_on: fields.depends_on,
            no_transaction: fields.no_transaction.unwrap_or(false),
            manual: fields.manual,
            waivers,
            backfill,
            phase,
            compliance: fields.compliance.unwrap_or_default(),
        },
        operations: fields.operations.map(RawValue::get),
        rollback: fields.rollback.map(RawValue::get),
        keys: fields.keys.map(RawValue::get),
        args: fields.args,
    })
}

/// Whether a value is an object in which there is no list of operations either, as it is in a file.
fn holds_no_list(value: &str) -> bool {
    serde_json::from_str::<BTreeMap<String, &RawValue>>(value).is_ok_and(|fields| !fields.contains_key("operations"))
}

fn semver(text: &str) -> Option<[u64; 3]> {
    let parts: Vec<u64> = text
        .split('.')
        .map(|p| p.bytes().all(|b| b.is_ascii_digit()).then(|| p.parse().ok()).flatten())
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// Where the values of an object's fields stand.
struct Places<'a> {
    text: &'a str,
    values: BTreeMap<String, &'a RawValue>,
}

impl<'a> Places<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, values: serde_json::from_str(text).unwrap_or_default() }
    }

    /// What the reader does not know and what it misses, each at its place; nothing where the text is no object.
    fn strange_or_missing(&self) -> Vec<(Spot, String)> {
        if serde_json::from_str::<BTreeMap<String, &RawValue>>(self.text).is_err() {
            return Vec::new();
        }
        // The reader's own list, in its own words.
        let told = serde_json::from_str::<Fields<'_>>("{\"?\":0}").err().map(|e| e.to_string()).unwrap_or_default();
        let known: Vec<&str> = told.split('`').skip(3).step_by(2).collect();
        let strange = self.values.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        let mut found: Vec<(Spot, String)> =
            strange.map(|(name, value)| (self.of_name(name, value), format!("unknown field `{name}`"))).collect();
        let missing: Vec<String> =
            REQUIRED.iter().filter(|name| !self.values.contains_key(**name)).map(|name| format!("`{name}`")).collect();
        if !missing.is_empty() {
            let noun = if missing.len() == 1 { "field" } else { "fields" };
            found.push((self.start(), format!("missing {noun} {}", missing.join(", "))));
        }
        found.sort();
        found
    }

    /// Where a field's value stands; the beginning of the object if it is not there.
    fn of_field(&self, name: &str) -> Spot {
        self.values.get(name).map_or_else(|| self.start(), |v| Spot::of_part(self.text, v.get()))
    }

    /// The name of a field in front of its `value`; the value itself where the name is written with escapes.
    fn of_name(&self, name: &str, value: &RawValue) -> Spot {
        let value_at = (value.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let quoted = format!("\"{name}\"");
        match self.text.get(..value_at).and_then(|before| before.rfind(&quoted)) {
            Some(at) => Spot::of(self.text, at..at + quoted.len()),
            None => Spot::of_part(self.text, value.get()),
        }
    }

    /// The brace that opens the object.
    fn start(&self) -> Spot {
        let at = self.text.find('{').unwrap_or(0);
        Spot::of(self.text, at..at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_77_everything_that_is_missing_or_unknown_is_told_at_once() {
        let text = "{\n  \"name\": \"a\",\n  \"versoin\": \"1.0.0\",\n  \"description\": \"d\",\n  \"colour\": 1\n}";
        let json = Script::whole("001_a.json", text);
        let mut problems = Vec::new();
        assert!(read(Engine::Mongodb, &json, "a", &mut problems).is_none());
        let told: Vec<(u32, &str)> = problems.iter().map(|p| (p.line, p.message.as_str())).collect();
        assert_eq!(
            told,
            [
                (1, "missing fields `version`, `database_type`, `migration_type`"),
                (3, "unknown field `versoin`"),
                (5, "unknown field `colour`"),
            ]
        );
        // What is no JSON is told with its place.
        let mut problems = Vec::new();
        let broken = Script::whole("001_a.json", "{\n  \"name\": \"a\",\n}");
        assert!(read(Engine::Mongodb, &broken, "a", &mut problems).is_none());
        let told: Vec<_> = problems.iter().map(|p| (p.line, p.column, p.message.as_str())).collect();
        assert_eq!(told, [(3, 1, "trailing comma [S4-77]")]);
        assert!(problems[0].help.contains("a comma too many"), "{problems:?}");
        // What is no object, or of a wrong kind, is told by the reader itself.
        for text in [
            "[]",
            "{",
            "{\"version\":1,\"name\":\"a\",\"description\":\"d\",\"database_type\":\"mongodb\",\"migration_type\":\"data\"}",
        ] {
            let json = Script::whole("001_a.json", text);
            let mut problems = Vec::new();
            assert!(read(Engine::Mongodb, &json, "a", &mut problems).is_none());
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(!problems[0].message.contains("struct"), "{text}: {problems:?}");
        }
    }
}
