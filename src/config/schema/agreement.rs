//! The same documents, good and bad, to the readers and to the schemas: both must say the same of each.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::{ApprovalMatrix, Environments, LintConfig, RepoConfig, Roles, ServiceSettings};
use crate::ids::Engine;
use crate::migration::layout::typed_schema;
use crate::migration::{MigrationRoot, Severity, SourceFile, resolve};

/// What a schema cannot say, or not in a form that people could read: part of the reader's message, and why.
const BEYOND: &[(&str, &str)] = &[
    ("no target of the environment lies in that region", "two places of the file"),
    ("the environment has no target", "two places of the file"),
    ("a target of the same name stands under", "two places of the file"),
    ("is above `critical`", "two numbers"),
    ("is named twice", "entries that differ otherwise"),
    ("a window ends after it starts", "two times"),
    ("is no time zone", "the names of the zone database"),
    ("is not a glob", "a grammar"),
    ("does not begin with", "the beginning of a URL whose variables are filled in later"),
    ("the file is named", "the name of the file"),
    ("must be a whole number from", "bounds of a number in quotes, and 7.0, which JSON Schema takes for 7"),
    ("must be a date of the form", "the lengths of the months"),
    ("input is out of range", "the lengths of the months"),
    ("is no name of a table or column", "letters of other scripts"),
    ("invalid type: floating point `7.0`", "7.0 is 7 to JSON Schema"),
    ("is no time such as", "numbers beyond 64 bits"),
];

/// Documents of the exceptions that no change of an example comes to.
const BEYOND_SCHEMAS: &[(Form, &str)] = &[
    (Env, "{ a: { targets: { x: { url: 'redis://h' } }, health_checks: { critical_tables: [y/t] } } }"),
    (Env, "{ a: { targets: { database: { url: 'redis://h' } }, database: { host: h, database: d } } }"),
    (Env, "{ a: { health_checks: { thresholds: { cpu_usage: { warning: 95, critical: 90 } } } } }"),
    (
        Env,
        "{ a: { targets: { x: { url: 'redis://h', region: w } }, regions: [{ name: w }, { name: w, provider: p }] } }",
    ),
    (Env, "{ a: { windows: [{ start: '02:00', end: '02:00' }] } }"),
    (Lint, "{ waivers: [{ rule: a, reason: b, expires: 2030-02-31 }] }"),
    (Lint, "{ waivers: [{ rule: a, reason: b, expires: 2030-02-01, paths: ['a['] }] }"),
    (Typed(Engine::Postgresql), r#""expires": "2030-02-31""#),
    (Typed(Engine::Postgresql), r#""backfill": { "table": "a", "key": "a•" }"#),
    (Typed(Engine::Postgresql), r#""backfill": { "table": "a", "key": "a", "pause": "99999999999999999999s" }"#),
    (
        Typed(Engine::Mongodb),
        r#""operations": [{ "type": "remove_field", "collection": "c", "field": "f", "batch_size": 7.0 }]"#,
    ),
];

/// What a schema leaves out on purpose although the reader is more patient.
const MORE_PATIENT: [(&str, &str); 2] = [
    ("2030 - 01 - 01", "blanks in a date, which nobody writes, would make the pattern unreadable"),
    (r#""rollback":{"operations":"#, "a whole file in place of the list, which no page ever spoke of"),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Godwit,
    Environments,
    Matrix,
    Roles,
    Lint,
    Service,
    Typed(Engine),
}

use Form::{Environments as Env, Godwit, Lint, Matrix, Roles as People, Service, Typed};

fn schema(form: Form) -> Value {
    let [godwit, environments, matrix, roles, lint, service] = super::schemas().map(|(_, schema)| schema);
    match form {
        Godwit => godwit,
        Env => environments,
        Matrix => matrix,
        People => roles,
        Lint => lint,
        Service => service,
        Typed(engine) => typed_schema(engine),
    }
}

/// What the reader has against a text; `script`: whether a script lies beside a typed migration.
fn refusal(form: Form, text: &str, script: bool) -> Option<String> {
    let told = |errors: Vec<super::super::ConfigError>| {
        Some(errors.iter().map(|e| e.message.as_str()).collect::<Vec<_>>().join("; "))
    };
    match form {
        Godwit => RepoConfig::parse_all(text).err().and_then(told),
        Env => Environments::parse("e", text).err().and_then(told),
        Matrix => ApprovalMatrix::parse("m", text).err().and_then(told),
        People => Roles::parse("r", text).err().and_then(told),
        Lint => LintConfig::parse("l", text).err().and_then(told),
        Service => ServiceSettings::parse("s", text).err().and_then(told),
        Typed(engine) => {
            let mut files = vec![SourceFile::new(format!("migrations/{engine}/001_a.json"), text.as_bytes())];
            let (ending, beside) = match engine {
                Engine::Postgresql | Engine::Sqlite => ("sql", "select 1;"),
                Engine::Mongodb | Engine::Redis | Engine::Elasticsearch => ("lua", "return 1"),
            };
            if script {
                files.push(SourceFile::new(format!("migrations/{engine}/001_a.{ending}"), beside));
            }
            let set = resolve(&files, &[MigrationRoot::folder("migrations/*")]);
            let wrong =
                |p: &&crate::migration::Problem| p.severity == Severity::Error && p.rule != "unknown-dependency";
            let told: Vec<&str> = set.problems.iter().filter(wrong).map(|p| p.message.as_str()).collect();
            (!told.is_empty()).then(|| told.join("; "))
        }
    }
}

/// What reader and schema differ in of one document; nothing where they agree.
fn difference(
    (form, validator): (Form, &jsonschema::Validator),
    text: &str,
    value: &Value,
    script: bool,
    excused: &mut BTreeSet<&'static str>,
) -> Option<String> {
    let (reader, schema) = (refusal(form, text, script), validator.validate(value).err().map(|e| e.to_string()));
    match (reader, schema) {
        (None, None) | (Some(_), Some(_)) => None,
        (Some(why), None) if BEYOND.iter().any(|(part, _)| why.contains(part)) => {
            excused.extend(BEYOND.iter().map(|(part, _)| *part).filter(|part| why.contains(part)));
            None
        }
        (None, Some(_)) if MORE_PATIENT.iter().any(|(part, _)| text.contains(part)) => None,
        (Some(why), None) => Some(format!("{form:?}: the reader alone refuses {text}\n    {why}")),
        (None, Some(why)) => Some(format!("{form:?}: the schema alone refuses {text}\n    {why}")),
    }
}

/// Each document with one thing changed: taken out, misspelt, or something else in its place.
fn variants(value: &Value) -> Vec<Value> {
    let other = || {
        [
            Value::Null,
            json!(true),
            json!(0),
            json!(7),
            json!(-1),
            json!(0.5),
            json!(99_999_999_999_u64),
            json!(""),
            json!(" "),
            json!("7"),
            json!("seven words"),
            json!("../x"),
            json!([]),
            json!({}),
            json!([null]),
            json!([7, 7]),
            json!({ "x": 1 }),
        ]
    };
    let mut all: Vec<Value> = other().to_vec();
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let with = |key: &str, value: Option<Value>| {
                    let mut changed = fields.clone();
                    match value {
                        Some(value) => drop(changed.insert(key.to_owned(), value)),
                        None => drop(changed.remove(key)),
                    }
                    Value::Object(changed)
                };
                all.push(with(key, None));
                let mut misspelt = fields.clone();
                misspelt.remove(key);
                misspelt.insert(format!("{key}x"), inner.clone());
                all.push(Value::Object(misspelt));
                all.extend(variants(inner).into_iter().map(|value| with(key, Some(value))));
            }
            let mut more = fields.clone();
            more.insert("-a b".to_owned(), json!(1));
            all.push(Value::Object(more));
        }
        Value::Array(items) => {
            for (n, inner) in items.iter().enumerate() {
                let mut without = items.clone();
                without.remove(n);
                all.push(Value::Array(without));
                let mut twice = items.clone();
                twice.push(inner.clone());
                all.push(Value::Array(twice));
                all.extend(variants(inner).into_iter().map(|value| {
                    let mut changed = items.clone();
                    changed[n] = value;
                    Value::Array(changed)
                }));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    all
}

/// Documents that both accept, rich enough that changing each part of them asks every question.
fn examples() -> Vec<(Form, &'static str)> {
    vec![
        (
            Godwit,
            "{ version: 1, environments: [development, production], policies: policies, migrations: [{ path: db/x, layout: flyway, \
             engine: sqlite, target: shop-pg, native: always }], critical_tables: [shop/orders, orders], critical_paths: [{ sql: SELECT 1, \
             target: shop, expect: 1 }, { http: 'https://a.example/b', expect: 200 }], hooks: { post_run: [npx prisma generate] }, \
             contacts: { dba: a@b } }",
        ),
        (
            Env,
            "{ production: { targets: { a: { engine: postgresql, host: h, port: 5432, database: d, user: u, password: '${P}', sslmode: require, \
             region: west, reader_url: 'postgres://r' }, b: { engine: mongodb, url: 'mongodb://h/d' }, c: { url: 'redis://h' }, d: { engine: \
             elasticsearch, host: h, tls: true }, f: { engine: mongodb, host: h, database: d, auth_source: s, replica_set: r } }, migration: { \
             auto_approve: false, backup_required: true, timeout: 900, reset_data: false, max_lag: 5, max_load: 80 }, promotion: manual, branch: \
             release/1, validation: strict, regions: [{ name: west, provider: aws, compliance: [GDPR] }], maintenance_windows: [{ days: [sat], \
             start: '02:00', end: '24:00', timezone: UTC }], seed: { files: [a.sql], command: make }, sealed: { recipients: [age1abc], identity: \
             '${K}' }, monitoring: { enabled: true, metrics_endpoint: 'http://localhost:9090', metrics: { cpu_usage: x } }, health_checks: { \
             critical_tables: [orders], critical_paths: [{ sql: SELECT 1 }], thresholds: { cpu_usage: { warning: 70, critical: 90 } }, \
             patience: 1, interval: 1, watch: 1, on_failure: stop } } }",
        ),
        (
            Env,
            "{ a: { database: { host: h, port: '${X}', database: d }, mongodb: { uri: 'mongodb://h' }, redis: { host: h, tls: false }, \
             elasticsearch: { uri: 'https://h' }, sqlite: { url: 'sqlite:x' }, windows: [{ start: '02:00', end: '03:00' }], variables: { x: 1 } } }",
        ),
        (
            Matrix,
            "{ unknown_committers: block, code_owners: all_lines, staging: { ANY: { required_approvals: 2, required_roles: [dba, cto], \
             timeout_hours: 24, emergency_override: true }, HIGH: { required_approvals: 1, required_roles: [] } } }",
        ),
        (People, "{ dba: { teams: [a/b], users: [ann, '@bob'], labels: [x] }, cto: ['@a/b', '@cho'] }"),
        (
            Lint,
            "{ postgres_version: '15.2', rules: { ban-drop-table: off }, waivers: [{ rule: a-b, paths: ['a/**'], reason: why, \
             expires: '2030-01-31' }] }",
        ),
        (
            Service,
            r#"{ "staging": { "validation": "strict", "approval_required": true, "auto_approve": false, "backup_required": true, "timeout": 300,
             "seed": true, "performance_test": true, "rollback_check": true, "migration": { "timeout": 5 }, "database": { "host": "h" },
             "monitoring": {}, "maintenance_windows": [{ "days": ["sat", "sun"], "start": "02:00", "end": "04:00" }] } }"#,
        ),
    ]
}

/// Typed migrations that both accept, with whether a script lies beside them.
fn typed_examples() -> Vec<(Engine, Value, bool)> {
    let about = |engine: Engine, more: Value| {
        let mut value = json!({ "version": "1.0.0", "name": "a", "description": "Orders", "database_type": engine,
            "migration_type": "schema", "depends_on": ["x"], "risk": "high", "duration": "5m", "author": "a", "ticket": "t",
            "compliance": ["GDPR"], "regions": ["west"], "phase": "expand", "manual": "why" });
        if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
            value.extend(more);
        }
        value
    };
    let sql = json!({ "no-transaction": true, "backfill": { "table": "s.\"t\"", "key": "a, b", "batch": 5, "pause": "5ms" },
        "waive": "a-b", "reason": "why", "expires": "2030-01-31" });
    let waive = json!([{ "rule": "a", "reason": "why", "expires": "2030-01-31" }]);
    let keys = json!({ "match": "a:*", "count": 5, "type": "string" });
    vec![
        (Engine::Postgresql, about(Engine::Postgresql, sql.clone()), true),
        (Engine::Sqlite, about(Engine::Sqlite, sql), true),
        (
            Engine::Mongodb,
            about(
                Engine::Mongodb,
                json!({ "waive": waive, "operations": [
                    { "type": "create_collection", "collection": "c", "options": { "capped": true } },
                    { "type": "create_index", "collection": "c", "index": [["a", 1]], "options": {} },
                    { "type": "drop_index", "collection": "c", "name": "n" },
                    { "type": "add_field", "collection": "c", "field": "f", "value": 1, "filter": {}, "batch_size": 5 },
                    { "type": "remove_field", "collection": "c", "field": "f" },
                    { "type": "rename_field", "collection": "c", "from": "f", "to": "g" },
                    { "type": "update_documents", "collection": "c", "filter": {}, "update": {}, "multi": true },
                    { "type": "set_validator", "collection": "c", "validator": {}, "validation_level": "off" },
                    { "type": "run_command", "command": {} }
                ], "rollback": [{ "type": "drop_collection", "collection": "c" }, { "type": "rename_collection", "from": "a", "to": "b" }] }),
            ),
            false,
        ),
        (
            Engine::Elasticsearch,
            about(
                Engine::Elasticsearch,
                json!({ "operations": [
                    { "type": "create_index", "index": "i", "mapping": {}, "settings": {} },
                    { "type": "update_mapping", "index": "i", "mapping": {} },
                    { "type": "create_alias", "index": "i", "alias": "a", "filter": {}, "is_write_index": true },
                    { "type": "reindex", "source": "i", "dest": "j", "query": {}, "script": {}, "wait": true, "requests_per_second": 0.5,
                        "batch_size": 5, "block_writes": true },
                    { "type": "put_template", "name": "n", "template": {} },
                    { "type": "put_settings", "index": "i", "settings": {} },
                    { "type": "swap_alias", "alias": "a", "from": "i", "to": "j", "mapping": {}, "settings": {} },
                    { "type": "update_by_query", "index": "i", "query": {} },
                    { "type": "delete_by_query", "index": "i", "query": {} }
                ], "rollback": [{ "type": "delete_index", "index": "i" }] }),
            ),
            false,
        ),
        (Engine::Redis, about(Engine::Redis, json!({ "keys": keys, "args": ["1"] })), true),
        (
            Engine::Redis,
            about(
                Engine::Redis,
                json!({ "operations": [
                    { "type": "script", "lua": "return 1", "keys": ["a"], "args": ["1"] },
                    { "type": "rename_keys", "keys": keys, "from": "a", "to": "b" },
                    { "type": "set_ttl", "keys": keys, "seconds": 5, "only_missing": false }
                ], "rollback": [{ "type": "delete_keys", "keys": ["a"] }] }),
            ),
            false,
        ),
    ]
}

/// What somebody found once, and what no change of an example comes to.
const FOUND: &[(Form, &str, bool)] = &[
    (Godwit, "", false),
    (Godwit, "environments: [a]", false),
    (Godwit, "version: 2", false),
    (Godwit, "version: '1'", true),
    (Godwit, "{ version: 1, migrations: [{ path: a, layout: flywya }] }", false),
    (Godwit, "{ version: 1, migrations: [{ path: a, layout: auto }] }", true),
    (Godwit, "{ version: 1, migrations: [{ path: ./a/, engine: sqlite3 }] }", true),
    (Godwit, "{ version: 1, migrations: [{ path: . }] }", true),
    (Godwit, "{ version: 1, migrations: [{ path: '**' }, { path: a/.b/..c/... }] }", true),
    (Godwit, "{ version: 1, migrations: [{ path: a//b }] }", false),
    (Godwit, "{ version: 1, migrations: [{ path: /a }] }", false),
    (Godwit, "{ version: 1, migrations: [{ path: a, native: sometimes }] }", false),
    (Godwit, "{ version: 1, migrations: [{ layout: flyway }] }", false),
    (Godwit, "{ version: 1, migrations: }", true),
    (Godwit, "{ version: 1, roots: [a] }", false),
    (Env, "{ a: { migration: { timeout: '900' } } }", true),
    (Env, "{ a: { migration: { timeout: '9xx' } } }", false),
    (Env, "{ a: { targets: { x: { engine: Postgres, host: h, database: d } } } }", false),
    (Env, "{ a: { targets: { x: { engine: postgres, host: h, database: d } } } }", true),
    (Env, "{ a: { targets: { x: { engine: mysql, host: h, database: d } } } }", false),
    (Env, "{ a: { targets: { x: { engine: postgresql, url: 'postgres://h', host: h } } } }", false),
    (Env, "{ a: { targets: { x: { engine: postgresql, url: 'postgres://${A' } } } }", false),
    (Env, "{ a: { targets: { x: { engine: postgresql, url: '${A:-x}' } } } }", true),
    (Env, "{ a: { targets: { x: { engine: redis, url: 'redis://h', reader_url: 'redis://h' } } } }", false),
    (Env, "{ a: { targets: { x: { engine: redis, host: h, sslmode: require } } } }", false),
    (Env, "{ a: { database: { engine: mongodb, host: h, database: d } } }", false),
    (Env, "{ a: { windows: [{ start: '02:00' }] } }", false),
    (Env, "{ a: { windows: [] } }", false),
    (Env, "{ a: { windows: } }", false),
    (Env, "{ a: { windows: [{ start: '24:00', end: '02:00' }] } }", false),
    (Env, "{ a: { windows: [{ start: 02:00, end: 03:00 }] } }", true),
    (
        Env,
        "{ a: { windows: [{ start: '02:00', end: '03:00' }], maintenance_windows: [{ start: '02:00', end: '03:00' }] } }",
        false,
    ),
    (Env, "{ a: { branch: 'a b' } }", false),
    (Env, "{ a: { branch: a/../b } }", false),
    (Env, "{ a/b: {} }", false),
    (Env, "", true),
    (Matrix, "", false),
    (Matrix, "{ code_owners: any }", false),
    (Matrix, "{ staging: {} }", false),
    (Matrix, "{ staging: { LOW: { required_approvals: '2', required_roles: } } }", true),
    (People, "{ dba: }", true),
    (People, "{ dba: [ann] }", false),
    (People, "{ dba: ['@dependabot[bot]'] }", true),
    (Lint, "{ postgres_version: 16 }", true),
    (Lint, "{ postgres_version: 8 }", false),
    (Lint, "{ waivers: [{ rule: a, reason: b, expires: 2030-1-1 }] }", true),
    (Lint, "{ waivers: [{ rule: a, reason: b, expires: 2030-13-01 }] }", false),
    (Service, r#"{ "staging": { "timeout": "300" } }"#, true),
    (Service, r#"{ "staging": { "timeout": "soon" } }"#, false),
    (Service, "null", true),
    (Godwit, "{ version: 1, migration: [] }", false),
    (Godwit, "version: one", false),
    (Godwit, "{ version: 1, migrations: [{ path: a, engine: oracle }] }", false),
    (Godwit, "{ version: 1, environments: development }", false),
    (Env, "{ a: { promotion: sometimes } }", false),
    (Env, "{ a: { target: {} } }", false),
    (Env, "{ a: { windows: [{ days: [someday], start: '01:00', end: '02:00' }] } }", false),
    (Env, "{ a: { health_checks: { critical_paths: [{ shell: x }] } } }", false),
    (Env, "{ a: { health_checks: { critical_paths: [{ http: 'https://a/b', expect: 200 }] } } }", true),
    (Env, "{ a: { targets: { x: { url: 'hunter2' } } } }", false),
    (Env, "{ a: { targets: { x: { url: 'redis-cluster://${H}' } } } }", true),
    (Matrix, "{ staging: { ANY: { required_approvals: many, required_roles: [] } } }", false),
    (Matrix, "{ staging: { HUGE: {} } }", false),
    (Matrix, "{ staging: { ANY: { required_approvals: 1, required_roles: [] } }, unknown_committers: maybe }", false),
    (People, "{ dba: { team: [a/b] } }", false),
    (Lint, "{ rules: { ban-drop-table: fatal } }", false),
    (Lint, "{ waivers: [{ rule: x, why: y }] }", false),
    (Service, r#"{ "staging": { "validation": "lax" } }"#, false),
    (Service, r#"{ "staging": { "backup": true } }"#, false),
    (Typed(Engine::Mongodb), r#""rollback": null, "operations": []"#, true),
    (Typed(Engine::Mongodb), r#""operations": null"#, false),
    (Typed(Engine::Postgresql), r#""rollback": null, "operations": null, "keys": null, "args": null"#, true),
    (Typed(Engine::Sqlite), r#""rollback": null, "operations": null"#, true),
    (Typed(Engine::Sqlite), r#""rollback": []"#, false),
    (
        Typed(Engine::Mongodb),
        r#""rollback": { "type": "drop_collection", "collection": "c" }, "operations": []"#,
        false,
    ),
    (Typed(Engine::Mongodb), r#""operations": [{ "type": "fly" }]"#, false),
    (Typed(Engine::Mongodb), r#""operations": [{ "type": "drop_index", "collection": "c" }]"#, false),
    (Typed(Engine::Mongodb), r#""operations": [{ "type": "undo", "operation": 0, "line": 1, "of": {} }]"#, false),
    (Typed(Engine::Mongodb), r#""operations": [], "keys": ["a"]"#, false),
    (Typed(Engine::Postgresql), r#""phase": "Contract""#, false),
    (Typed(Engine::Postgresql), r#""risk": "Critical""#, true),
    (Typed(Engine::Postgresql), r#""waive": "a""#, false),
    (Typed(Engine::Redis), r#""args": ["1"]"#, false),
    (Typed(Engine::Redis), r#""keys": ["a"]"#, true),
];

/// A document of which the beginning may be missing, and whether a script lies beside it.
fn whole(form: Form, text: &str) -> (String, bool) {
    let Typed(engine) = form else { return (text.to_owned(), false) };
    let head = r#""version":"1.0.0","name":"a","description":"d","migration_type":"data""#;
    let script = !matches!(engine, Engine::Mongodb | Engine::Elasticsearch);
    (format!("{{{head},\"database_type\":\"{engine}\",{text}}}"), script)
}

fn validator(form: Form) -> jsonschema::Validator {
    jsonschema::validator_for(&schema(form)).unwrap_or_else(|e| panic!("{form:?}: {e}"))
}

#[test]
fn schema_and_reader_agree_on_what_was_found() {
    for &(form, text, valid) in FOUND {
        let (text, script) = whole(form, text);
        let value: Value = serde_yaml::from_str(&text).expect("YAML");
        let of_reader = refusal(form, &text, script);
        assert_eq!(of_reader.is_none(), valid, "the reader: {form:?}: {text}: {of_reader:?}");
        let of_schema = validator(form).validate(&value).err().map(|e| e.to_string());
        assert_eq!(of_schema.is_none(), valid, "the schema: {form:?}: {text}: {of_schema:?}");
    }
}

#[test]
fn schema_and_reader_agree_on_every_change_of_every_example() {
    let mut documents: Vec<(Form, Value, bool)> =
        examples().into_iter().map(|(form, text)| (form, serde_yaml::from_str(text).expect("YAML"), false)).collect();
    documents.extend(typed_examples().into_iter().map(|(engine, value, script)| (Typed(engine), value, script)));
    let (mut differences, mut excused) = (BTreeSet::new(), BTreeSet::new());
    let mut asked = 0;
    for (form, example, script) in documents {
        let of_reader = refusal(form, &example.to_string(), script);
        assert_eq!(of_reader, None, "{form:?}: {example}");
        let validator = validator(form);
        for value in std::iter::once(example.clone()).chain(variants(&example)) {
            differences.extend(difference((form, &validator), &value.to_string(), &value, script, &mut excused));
            asked += 1;
        }
    }
    let told: Vec<&str> = differences.iter().map(String::as_str).collect();
    assert!(told.is_empty(), "{} of {asked}:\n{}", told.len(), told.join("\n"));
    assert!(asked > 2000, "only {asked}");
    for &(form, text) in BEYOND_SCHEMAS {
        let (text, script) = whole(form, text);
        let value: Value = serde_yaml::from_str(&text).expect("YAML");
        assert_eq!(difference((form, &validator(form)), &text, &value, script, &mut excused), None);
    }
    let stale: Vec<&str> = BEYOND.iter().map(|(part, _)| *part).filter(|part| !excused.contains(part)).collect();
    assert!(stale.is_empty(), "no exceptions any more: {stale:?}");
}
