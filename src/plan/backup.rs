//! Whether a backup is made before a run, why, and of how much (SPEC 8). Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::StepAction;
use crate::ids::{Engine, EnvironmentName};
use crate::migration::operations::{self, Operation, elasticsearch, redis};
use crate::migration::{Migration, MigrationSet, VersionStep};

/// Why a backup is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Somebody asked for it.
    Asked,
    /// The environment requires one before every run.
    Required(EnvironmentName),
    /// These services want one before something of theirs runs in the environment.
    Wanted(Vec<String>, EnvironmentName),
    /// These migrations take data away.
    Destroys(Vec<String>),
    /// These migrations begin a major version.
    Major(Vec<String>),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Asked => f.write_str("asked for"),
            Why::Required(environment) => write!(f, "`{environment}` requires one before every run"),
            Why::Wanted(services, environment) => {
                let verb = if services.len() == 1 { "wants" } else { "want" };
                write!(f, "{} {verb} one before each run in `{environment}`", quoted(services))
            }
            Why::Destroys(names) => write!(f, "data is lost by {}", quoted(names)),
            Why::Major(names) => write!(f, "a major version begins with {}", quoted(names)),
        }
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

/// What decides.
pub struct Question<'a> {
    /// The environment; `None` for an ad hoc run.
    pub environment: Option<&'a EnvironmentName>,
    /// Whether it requires a backup.
    pub required: bool,
    /// Whether somebody asks for one.
    pub asked: bool,
    /// What is about to run.
    pub steps: &'a [Coming],
}

/// What decides about one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coming {
    /// The migration's name.
    pub migration: String,
    /// Whether a major version begins with it.
    pub major: bool,
    /// What is done with it.
    pub action: StepAction,
    /// Whether that takes data away.
    pub destroys: bool,
    /// The service that wants a backup before it.
    pub wanted_by: Option<String>,
}

impl Coming {
    /// A migration that is going to be applied; `lost` are those (`unit/id`) that take data away, as the linter found. No
    /// service wants a backup, so far.
    pub fn applied(migration: &Migration, lost: &BTreeSet<String>) -> Self {
        Self {
            migration: migration.id.to_string(),
            major: begins_major(migration),
            action: StepAction::Apply,
            destroys: lost.contains(&migration.reference()) || migration.up.destroys(migration.engine),
            wanted_by: None,
        }
    }

    /// The same in an environment, in which a service of `set` may want a backup.
    pub fn applied_in(
        environment: &EnvironmentName,
        set: &MigrationSet,
        migration: &Migration,
        lost: &BTreeSet<String>,
    ) -> Self {
        let wanted_by = set.wants_backup(migration, environment).map(str::to_owned);
        Self { wanted_by, ..Self::applied(migration, lost) }
    }
}

/// Why a backup is made before these steps, if one is. Development, and a database that no environment owns, get one
/// only when it is asked for or required.
pub fn why(question: &Question<'_>) -> Option<Why> {
    if question.steps.iter().all(|s| s.action == StepAction::Baseline) {
        return None;
    }
    if question.asked {
        return Some(Why::Asked);
    }
    let environment = question.environment?;
    if question.required {
        return Some(Why::Required(environment.clone()));
    }
    let mut services: Vec<String> = question
        .steps
        .iter()
        .filter(|s| s.action != StepAction::Baseline)
        .filter_map(|s| s.wanted_by.clone())
        .collect();
    services.sort();
    services.dedup();
    if !services.is_empty() {
        return Some(Why::Wanted(services, environment.clone()));
    }
    if environment.as_str() == "development" {
        return None;
    }
    let named = |which: &dyn Fn(&Coming) -> bool| -> Vec<String> {
        question.steps.iter().filter(|s| which(s)).map(|s| s.migration.clone()).collect()
    };
    let destroying = named(&|s| s.destroys);
    if !destroying.is_empty() {
        return Some(Why::Destroys(destroying));
    }
    let major = named(&|s| s.action == StepAction::Apply && s.major);
    (!major.is_empty()).then_some(Why::Major(major))
}

/// Whether a major version begins with a migration [S4-69]: by what comes before it where its layout has semantic versions,
/// else by how its version looks.
pub fn begins_major(migration: &Migration) -> bool {
    migration.step.map_or_else(|| is_major(migration.version.as_str()), |step| step == VersionStep::Major)
}

/// `2.0.0` and the like, from the second on.
fn is_major(version: &str) -> bool {
    let parts: Option<Vec<u64>> = version.trim_start_matches('v').split('.').map(|p| p.parse().ok()).collect();
    matches!(parts.as_deref(), Some([major, minor, rest @ ..]) if *major >= 2 && *minor == 0 && !rest.is_empty() && rest.iter().all(|n| *n == 0))
}

/// The indices or keys that scripts of this engine touch, where a backup of those alone is enough; `None` for everything.
pub fn touched<'a>(engine: Engine, scripts: impl Iterator<Item = &'a str>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for text in scripts {
        for operation in operations::read(engine, text).ok()? {
            names.extend(names_of(&operation.operation)?);
        }
    }
    names.sort();
    names.dedup();
    Some(names)
}

fn names_of(operation: &Operation) -> Option<Vec<String>> {
    match operation {
        Operation::Elasticsearch(operation) => indices_of(operation),
        Operation::Redis(operation) => keys_of(operation),
        // A database of MongoDB is copied whole.
        Operation::Mongodb(_) => None,
    }
}

fn indices_of(operation: &elasticsearch::Operation) -> Option<Vec<String>> {
    use elasticsearch::Operation as O;
    Some(match operation {
        O::CreateIndex { index, .. }
        | O::DeleteIndex { index }
        | O::UpdateMapping { index, .. }
        | O::CreateAlias { index, .. }
        | O::PutSettings { index, .. }
        | O::UpdateByQuery { index, .. }
        | O::DeleteByQuery { index, .. } => vec![index.clone()],
        O::Reindex { source, dest, .. } => vec![source.clone(), dest.clone()],
        O::SwapAlias { from, to, .. } => vec![from.clone(), to.clone()],
        // A template is no index.
        O::PutTemplate { .. } => Vec::new(),
        O::Undo { of, .. } => return indices_of(of),
    })
}

fn keys_of(operation: &redis::Operation) -> Option<Vec<String>> {
    use redis::Operation as O;
    let mut names = match operation.keys() {
        redis::Keys::List(keys) => keys.iter().map(|k| literal(k)).collect(),
        redis::Keys::Matching(matching) => vec![matching.pattern.clone()],
    };
    match operation {
        // What a script is not told it cannot touch, but only one server out of many checks that.
        O::Script { .. } | O::SetTtl { .. } | O::DeleteKeys { .. } => {}
        O::RenameKeys { to, .. } => names.push(format!("{}*", literal(to))),
        O::Undo { of, .. } => return keys_of(of),
    }
    Some(names)
}

/// A key as a pattern that matches nothing else.
fn literal(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for c in key.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_69_major_versions_are_two_and_on() {
        for (version, major) in
            [("2.0.0", true), ("v3.0.0", true), ("1.0.0", false), ("2.1.0", false), ("20240101", false), ("2.0", false)]
        {
            assert_eq!(is_major(version), major, "{version}");
        }
    }

    #[test]
    fn s4_69_a_typed_version_is_major_by_the_one_before_it() {
        use crate::migration::{MigrationRoot, SourceFile, resolve};
        let file = |number: u32, version: &str| {
            let json = format!(
                r#"{{"version":"{version}","name":"m","description":"Orders","database_type":"mongodb","migration_type":"schema",
                "operations":[{{"type":"create_collection","collection":"c{number}"}}]}}"#
            );
            SourceFile::new(format!("migrations/mongodb/{number:03}_m.json"), json)
        };
        let files = [file(1, "1.0.0"), file(2, "1.9.0"), file(3, "2.1.0"), file(4, "2.1.1"), file(5, "3.0.0")];
        let set = resolve(&files, &[MigrationRoot::folder("**")]);
        let major: Vec<bool> = set.migrations.iter().map(|m| Coming::applied(m, &BTreeSet::new()).major).collect();
        assert_eq!(major, [false, false, true, false, true], "{:?}", set.problems);
        let flyway = [("V1.9__a.sql"), ("V2.0.0__b.sql")].map(|name| SourceFile::new(name, "select 1;"));
        let set = resolve(&flyway, &[MigrationRoot::folder("**")]);
        assert_eq!(set.migrations.iter().map(begins_major).collect::<Vec<_>>(), [false, true]);
    }

    /// One typed migration of an engine, with the text of its `.lua` file where it is Redis'.
    fn typed(engine: &str, what: &str) -> MigrationSet {
        use crate::migration::{MigrationRoot, SourceFile, resolve};
        let about = format!(
            r#""version":"1.0.0","name":"m","description":"Old carts go","database_type":"{engine}","migration_type":"data""#
        );
        let (json, lua) = match engine {
            "redis" => (format!(r#"{{{about},"keys":{{"match":"cart:*"}}}}"#), Some(what)),
            _ => (format!(r#"{{{about},"rollback":[],"operations":[{what}]}}"#), None),
        };
        let mut files = vec![SourceFile::new(format!("migrations/{engine}/001_m.json"), json)];
        files.extend(lua.map(|lua| SourceFile::new(format!("migrations/{engine}/001_m.lua"), lua)));
        resolve(&files, &[MigrationRoot::folder("**")])
    }

    #[test]
    fn s1_61_r24_what_deletes_data_by_another_way_is_backed_up_first() {
        let each = |body: &str| format!("for _, key in ipairs(KEYS) do {body} end return #KEYS");
        let lua = |body: &str| ("redis", each(body));
        let run = |command: &str| ("mongodb", format!(r#"{{"type":"run_command","command":{command}}}"#));
        let update = |script: &str| {
            (
                "elasticsearch",
                format!(
                    r#"{{"type":"update_by_query","index":"carts","query":{{"match_all":{{}}}},"script":{script}}}"#
                ),
            )
        };
        for ((engine, what), destroys) in [
            (lua("redis.call('UNLINK', key)"), true),
            (lua("redis.call('EXPIRE', key, 0)"), true),
            (lua("redis.call('GETDEL', key)"), true),
            (lua("redis.call('EXPIRE', key, 60)"), false),
            (lua("redis.call('HDEL', key, 'a')"), false),
            (run(r#"{"delete":"carts","deletes":[{"q":{"old":true},"limit":0}]}"#), true),
            (run(r#"{"findAndModify":"carts","query":{"old":true},"remove":true}"#), true),
            (run(r#"{"findAndModify":"carts","query":{"old":true},"update":{"$set":{"a":1}}}"#), false),
            (run(r#"{"drop":"carts"}"#), true),
            (run(r#"{"collMod":"carts"}"#), false),
            (update(r#"{"source":"ctx.op = 'delete'"}"#), true),
            (update(r#"{"source":"if (ctx._source.old) { ctx['op'] = \"delete\" } else { ctx.op = 'noop' }"}"#), true),
            (update(r#"{"source":"ctx.op = params.op","params":{"op":"delete"}}"#), true),
            (update(r#""ctx.op='delete'""#), true),
            (update(r#"{"source":"ctx.op = 'noop'; ctx._source.state = 'deleted'"}"#), false),
            (update(r#"{"source":"ctx._source.op = 'delete'"}"#), false),
        ] {
            let set = typed(engine, &what);
            assert_eq!(set.migrations.len(), 1, "{what}: {:?}", set.problems);
            let coming = Coming::applied(&set.migrations[0], &BTreeSet::new());
            assert_eq!(coming.destroys, destroys, "{what}");
            let question = |environment: &'static str| {
                let environment = EnvironmentName::new(environment).expect("a name");
                let steps = std::slice::from_ref(&coming);
                why(&Question { environment: Some(&environment), required: false, asked: false, steps })
            };
            assert_eq!(question("staging").is_some(), destroys, "{what}");
            assert_eq!(question("development"), None, "{what}");
            // Where no linter is asked the risk says it too.
            assert_eq!(
                crate::plan::planner::plain_risk(&set.migrations[0]) == crate::ids::Risk::High,
                destroys || engine == "mongodb",
                "{what}"
            );
        }
    }

    #[test]
    fn what_scripts_touch_is_read_from_them() {
        let es =
            r#"[{"type":"reindex","source":"orders_v1","dest":"orders_v2"},{"type":"delete_index","index":"old"}]"#;
        assert_eq!(touched(Engine::Elasticsearch, [es].into_iter()).unwrap(), ["old", "orders_v1", "orders_v2"]);
        let redis = r#"[{"type":"rename_keys","keys":{"match":"cart:*"},"from":"cart:","to":"v2:cart:"},{"type":"delete_keys","keys":["a*"]}]"#;
        assert_eq!(touched(Engine::Redis, [redis].into_iter()).unwrap(), ["a\\*", "cart:*", "v2:cart:*"]);
        assert_eq!(touched(Engine::Redis, ["not json"].into_iter()), None);
    }
}
