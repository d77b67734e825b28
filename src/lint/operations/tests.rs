use chrono::NaiveDate;
use proptest::prelude::*;

use crate::config::LintConfig;
use crate::ids::Risk;
use crate::lint::{LintReport, Scope, Severity, check};
use crate::migration::{MigrationRoot, SourceFile, resolve};

fn report_of(files: &[(String, String)]) -> LintReport {
    let files: Vec<_> = files.iter().map(|(p, t)| SourceFile::new(p.as_str(), t.as_bytes())).collect();
    let set = resolve(&files, &[MigrationRoot::folder("migrations/*")]);
    check(&set, &LintConfig::default(), &Scope::All, NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date"))
}

/// Migrations of one engine, each a list of operations with an empty rollback so that only what is asked for shows.
fn migrations(engine: &str, lists: &[&str]) -> LintReport {
    let files: Vec<_> = lists
        .iter()
        .enumerate()
        .map(|(n, list)| {
            let n = n + 1;
            let json = format!(
                "{{\"version\":\"{n}.0.0\",\"name\":\"m\",\"description\":\"BREAKING\",\"database_type\":\"{engine}\",\
                 \"migration_type\":\"schema\",\"rollback\":[],\"operations\":[\n{list}\n]}}"
            );
            (format!("migrations/{engine}/{n:03}_m.json"), json)
        })
        .collect();
    report_of(&files)
}

fn lua(source: &str) -> LintReport {
    let json = r#"{"version":"1.0.0","name":"m","description":"x","database_type":"redis","migration_type":"data","keys":{"match":"a:*"}}"#;
    report_of(&[
        ("migrations/redis/001_m.json".to_owned(), json.to_owned()),
        ("migrations/redis/001_m.lua".to_owned(), source.to_owned()),
        ("migrations/redis/001_m_rollback.lua".to_owned(), "return 0".to_owned()),
    ])
}

fn rules(report: &LintReport) -> Vec<&str> {
    report.violations.iter().map(|v| v.rule.as_str()).filter(|r| *r != "empty-down").collect()
}

const MADE: &str = r#"{"type":"create_collection","collection":"c"}"#;

#[test]
fn a_finding_stands_at_its_operation() {
    for (list, expected) in [
        (r#"{"type":"make"}"#, "invalid-operation"),
        (r#"{"type":"add_field","collection":"c","field":"a","value":1,"batch_size":0}"#, "invalid-operation"),
        (r#"{"type":"run_command","command":{"updateUser":"a","pwd":"hunter2"}}"#, "secret-literal"),
        (r#"{"type":"drop_collection","collection":"c"}"#, "drop-collection"),
    ] {
        let report = migrations("mongodb", &[list]);
        let found = report.violations.iter().find(|v| v.rule == expected);
        let place = found.map(|v| (v.line, v.file.as_str()));
        assert_eq!(place, Some((2, "migrations/mongodb/001_m.json")), "{list}: {:?}", rules(&report));
    }
}

#[test]
fn n301_a_value_that_no_driver_can_send_is_told_where_it_stands() {
    let value = r#"{ "$date": "tomorrow" }"#;
    let list = format!(
        "{MADE},\n{}",
        r#"{"type":"update_documents","collection":"c","filter":{"at":{"$lt":VALUE}},"update":{"$set":{"a":1}}}"#
            .replace("VALUE", value)
    );
    let report = migrations("mongodb", &[&list]);
    let told: Vec<_> = report.violations.iter().filter(|v| v.rule == "invalid-operation").collect();
    let line = list.lines().nth(1).expect("the second operation");
    let column = u32::try_from(line.find(value).expect("in it") + 1).expect("short");
    let length = u32::try_from(value.len()).expect("short");
    let [one] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((one.line, one.column, one.end_column, one.severity), (3, column, column + length, Severity::Error));
    assert!(one.message.contains("is not extended JSON"), "{}", one.message);
    let sound = list.replace("tomorrow", "2026-01-31T00:00:00Z");
    assert!(!rules(&migrations("mongodb", &[&sound])).contains(&"invalid-operation"));
}

#[test]
fn a_finding_in_a_rollback_within_a_line_has_the_columns_of_its_file() {
    let start = r#"{"version":"1.0.0","name":"m","description":"x","database_type":"mongodb","migration_type":"schema","operations":["#;
    let bad = r#"{"type":"run_command","command":{"updateUser":"a","pwd":"hunter2"}}"#;
    let json = format!("{start}{MADE}],\n \"rollback\": [ {MADE}, {bad}\n]}}");
    let report = report_of(&[("migrations/mongodb/001_m.json".to_owned(), json.clone())]);
    let found = report.violations.iter().find(|v| v.rule == "secret-literal").expect("found");
    let line = json.lines().nth(1).expect("the rollback");
    let column = u32::try_from(line.find(bad).expect("in it") + 1).expect("short");
    let length = u32::try_from(bad.len()).expect("short");
    assert_eq!((found.line, found.column, found.end_line, found.end_column), (2, column, 2, column + length));
}

#[test]
fn mongodb_what_is_safe_has_none() {
    for list in [
        r#"{"type":"create_collection","collection":"c","options":{"validator":{"$jsonSchema":{"bsonType":["object","null"],"required":["a"],"properties":{"a":{"bsonType":"string","minLength":1}}}}}}"#.to_owned(),
        format!("{MADE},{}", r#"{"type":"create_index","collection":"c","index":[["a",1]],"options":{"unique":true,"expireAfterSeconds":9}}"#),
        r#"{"type":"add_field","collection":"c","field":"a","value":{"password":""},"filter":{"$and":[{"a":null},{"b":1}]}}"#.to_owned(),
        r#"{"type":"update_documents","collection":"c","filter":{"a":null},"update":[{"$set":{"a":"$b"}}]}"#.to_owned(),
        format!("{MADE},{}", r#"{"type":"set_validator","collection":"c","validator":{"a":{"$type":"int"}}}"#),
        r#"{"type":"set_validator","collection":"c","validator":{"a":{"$type":"int"}},"validation_level":"moderate"}"#.to_owned(),
        r#"{"type":"set_validator","collection":"c","validator":{"a":{"$type":"int"}},"validation_action":"warn"}"#.to_owned(),
    ] {
        assert_eq!(rules(&migrations("mongodb", &[&list])), Vec::<&str>::new(), "{list}");
    }
}

#[test]
fn s4_63_what_a_later_operation_makes_cannot_be_used_before() {
    let index = r#"{"type":"create_index","collection":"c","index":[["a",1]]}"#;
    let used = |lists: &[&str]| -> Vec<(String, u32, String)> {
        let report = migrations("mongodb", lists);
        report
            .violations
            .iter()
            .filter(|v| v.rule == "used-before-created")
            .map(|v| (v.file.clone(), v.line, v.message.clone()))
            .collect()
    };
    // What no migration makes is presumed to be there.
    assert_eq!(used(&[index]), []);
    assert_eq!(used(&[MADE, index]), []);
    let found = used(&[index, MADE]);
    assert_eq!((found[0].0.as_str(), found[0].1), ("migrations/mongodb/001_m.json", 2));
    assert!(found[0].2.contains("`c` is made only later, by `002_m`"), "{found:?}");
    assert!(used(&[&format!("{index},\n{MADE}")])[0].2.contains("by this migration"));
    let dropped = r#"{"type":"drop_collection","collection":"c"}"#;
    assert!(used(&[MADE, dropped, index])[0].2.contains("is gone"));
    assert_eq!(used(&[MADE, dropped, MADE, index]), []);
    // The server's own name of an index counts.
    let drop_index = r#"{"type":"drop_index","collection":"c","name":"a_1"}"#;
    assert_eq!(used(&[index, drop_index]), []);
    assert_eq!(used(&[index, drop_index, drop_index]).len(), 1);
    assert_eq!(used(&[drop_index, index]).len(), 1);
    // One migration that takes away and makes anew means what was there before all migrations.
    assert_eq!(used(&[&format!("{drop_index},{index}")]), []);
    let renamed = r#"{"type":"rename_collection","from":"c","to":"d"}"#;
    let view = r#"{"type":"create_collection","collection":"c","options":{"viewOn":"d","pipeline":[]}}"#;
    assert_eq!(used(&[&format!("{renamed},{view}")]), []);
    assert_eq!(used(&[&format!("{renamed},{index},{view}")]).len(), 1);
    assert_eq!(used(&[MADE, dropped, &format!("{renamed},{view}")]).len(), 1);
    assert_eq!(used(&[renamed, view]).len(), 1);
}

#[test]
fn s4_63_an_alias_that_moves_to_its_copy_was_there_before() {
    let used = |dest: &str| -> usize {
        let list = format!(
            r#"{{"type":"create_index","index":"a_v2","mapping":{{}},"settings":{{}}}},
               {{"type":"reindex","source":"a","dest":"{dest}","wait":true,"requests_per_second":500}},
               {{"type":"create_alias","index":"a_v2","alias":"a"}}"#
        );
        let report = migrations("elasticsearch", &[&list]);
        report.violations.iter().filter(|v| v.rule == "used-before-created").count()
    };
    assert_eq!(used("a_v2"), 0);
    assert_eq!(used("b"), 1, "a name that something else gets is made only later");
}

#[test]
fn elasticsearch_what_is_safe_has_none() {
    let safe = r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"text"}}}},
        {"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"text"},"c":{"type":"keyword"}}}},
        {"type":"put_settings","index":"a","settings":{"index.number_of_replicas":1}},
        {"type":"create_index","index":"b","mapping":{"properties":{"b":{"type":"text"},"c":{"type":"keyword"}}}},
        {"type":"reindex","source":"a","dest":"b","block_writes":true},
        {"type":"swap_alias","alias":"n","from":"a","to":"b"}"#;
    assert_eq!(rules(&migrations("elasticsearch", &[safe])), Vec::<&str>::new());
}

#[test]
fn what_a_script_hides_is_told_at_its_own_line() {
    for (source, expected) in [
        ("\nlocal = 1\nreturn 1", "lua-syntax"),
        ("\nx = 1\nreturn x", "lua-global"),
        ("\nreturn '-----BEGIN RSA PRIVATE KEY-----'", "secret-literal"),
        ("\nreturn redis.call(ARGV[1], KEYS[1])", "not-analysed"),
        ("\nreturn pcall(redis.call, 'HSET', KEYS[1], 'a', 1)", "not-analysed"),
        ("\nreturn redis['call']('HSET', KEYS[1], 'a', 1)", "not-analysed"),
        ("\nlocal r = redis return r.call('HSET', KEYS[1], 'a', 1)", "not-analysed"),
        ("\nlocal a, b = redis.call, redis.pcall return a('FLUSHALL')", "not-analysed"),
        ("\nlocal call = redis.call local other = call return other('FLUSHALL')", "not-analysed"),
        ("\nreturn redis.call'FLUSHALL'", "not-analysed"),
    ] {
        let report = lua(source);
        assert!(rules(&report).contains(&expected), "{source}: {:?}", rules(&report));
        let found = report.violations.iter().find(|v| v.rule == expected).expect("just seen");
        assert_eq!((found.line, found.file.as_str()), (2, "migrations/redis/001_m.lua"), "{source}");
    }
}

#[test]
fn redis_what_is_safe_has_none() {
    for source in [
        "-- größer\nlocal changed = 0\nfor _, key in ipairs(KEYS) do\n  if redis.call('TTL', key) == -1 then\n    redis.call('EXPIRE', key, tonumber(ARGV[1]))\n    changed = changed + 1\n  end\nend\nreturn changed",
        "local t = { a = 1, b = 2 } t.a = 3\nlocal function f(x) x = 2 return x end\nreturn f(t.a)",
        "while true do if redis.call('RPOPLPUSH', KEYS[1], KEYS[2]) == false then break end end return 1",
        "redis.call('SET', KEYS[1], 'a', 'KEEPTTL') redis.call('SET', KEYS[1], 'b', 'ex', 5) return 1",
        "local id = string.sub(KEYS[1], 6) .. 'x' redis.call('HSET', KEYS[1], 'id', id) return 1",
        "local s = 'KEYS FLUSHALL' -- redis.call('KEYS', '*')\nreturn s",
        "if ARGV[1] == 'a' then return 1 else return 2 end return 3",
    ] {
        assert_eq!(rules(&lua(source)), Vec::<&str>::new(), "{source}");
    }
}

#[test]
fn redis_operations_without_lua() {
    for (list, expected) in [
        (r#"{"type":"set_ttl","keys":["a","b"],"seconds":5}"#, vec!["cross-slot", "set-ttl"]),
        (r#"{"type":"delete_keys","keys":{"match":"*"}}"#, vec!["delete-keys", "pattern-matches-all"]),
        (r#"{"type":"script","lua":"\nx = 1 return x","keys":["a"]}"#, vec!["lua-global"]),
    ] {
        let report = migrations("redis", &[list]);
        assert_eq!(rules(&report), expected, "{list}");
    }
}

#[test]
fn n310_an_index_that_holds_something_is_dropped_at_a_high_risk() {
    let risk = |options: &str, drops: bool| {
        let index = format!(
            r#"{{"type":"create_index","collection":"c","index":[["a",1]],"options":{{"name":"i"{options}}}}}"#
        );
        let drop = r#"{"type":"drop_index","collection":"c","name":"i"}"#;
        let made = format!("{MADE},{index}");
        let lists = if drops { vec![made.as_str(), drop] } else { vec![drop] };
        let report = migrations("mongodb", &lists);
        let found = report.violations.into_iter().find(|v| v.rule == "drop-index").expect("told");
        (found.risk, found.message)
    };
    for (options, expected, part) in [
        (r#","unique":true"#, Risk::High, "written twice"),
        (r#","expireAfterSeconds":60"#, Risk::High, "too old"),
        (r#","unique":false"#, Risk::Medium, "read every document"),
    ] {
        let (risk, message) = risk(options, true);
        assert!(risk == expected && message.contains(part), "{options}: {risk} {message}");
    }
    assert_eq!(risk("", false).0, Risk::Medium);
}

#[test]
fn s4_67_what_cannot_be_taken_back_is_named() {
    let json = r#"{"version":"1.0.0","name":"m","description":"x","database_type":"mongodb","migration_type":"data","operations":[
{"type":"add_field","collection":"c","field":"a","value":1,"batch_size":100},
{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"a":2}}}]}"#;
    let report = report_of(&[("migrations/mongodb/001_m.json".to_owned(), json.to_owned())]);
    let found = &report.violations[0];
    assert_eq!((found.rule.as_str(), found.line, found.severity), ("irreversible-operation", 3, Severity::Error));
    assert!(found.message.starts_with("`update_documents` cannot be taken back: an update has no computed inverse"));
    assert_eq!((report.risk, report.migrations[0].reversible), (Risk::High, false));
}

/// Findings that are not as bad, or worse, than their rule.
#[test]
fn d01_what_is_graded_otherwise_than_its_rule() {
    use Severity::{Error, Info, Warning};
    let elastic = |list: &str| migrations("elasticsearch", &[list]);
    for (report, rule, level) in [
        (migrations("mongodb", &[r#"{"type":"drop_index","collection":"c","name":"a_1"}"#]), "drop-index", Warning),
        (migrations("mongodb", &[r#"{"type":"drop_index","collection":"c","name":"*"}"#]), "drop-index", Error),
        (elastic(r#"{"type":"create_index","index":"a"}"#), "index-without-alias", Info),
        (
            elastic(r#"{"type":"create_index","index":"b"},{"type":"reindex","source":"a","dest":"b"}"#),
            "index-without-alias",
            Warning,
        ),
        (
            elastic(r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"keyward"}}}}"#),
            "invalid-mapping",
            Warning,
        ),
        (migrations("redis", &[r#"{"type":"set_ttl","keys":["a"],"seconds":0}"#]), "set-ttl", Error),
    ] {
        let found = report.violations.iter().find(|v| v.rule == rule);
        assert_eq!(found.map(|v| v.severity), Some(level), "{rule}: {:?}", rules(&report));
    }
}

#[test]
fn x406_a_mapping_has_a_thousand_fields_at_most() {
    let made = |fields: u32| {
        let many: Vec<String> = (0..fields).map(|n| format!(r#""f{n}":{{"type":"long"}}"#)).collect();
        let list =
            format!(r#"{{"type":"create_index","index":"a","mapping":{{"properties":{{{}}}}}}}"#, many.join(","));
        rules(&migrations("elasticsearch", &[&list])).contains(&"mapping-explosion")
    };
    assert!(made(1001) && !made(1000));
}

/// What looks alike and is safe.
#[test]
fn d01_the_state_before_keeps_safe_operations_quiet() {
    for (engine, list) in [
        ("mongodb", format!("{MADE},{MADE}")),
        ("mongodb", format!("{MADE},{}", r#"{"type":"add_field","collection":"c","field":"a","value":1}"#)),
        ("mongodb", r#"{"type":"add_field","collection":"c","field":"a","value":1,"batch_size":100}"#.to_owned()),
        (
            "mongodb",
            r#"{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"at":{"$date":"2026-01-01T00:00:00Z"},"p.b":1}}}"#
                .to_owned(),
        ),
        (
            "elasticsearch",
            r#"{"type":"create_index","index":"a","settings":{"number_of_replicas":0,"refresh_interval":"-1"}},
            {"type":"create_alias","index":"a","alias":"n"},
            {"type":"put_settings","index":"a","settings":{"index":{"number_of_replicas":1,"refresh_interval":"1s"}}}"#
                .to_owned(),
        ),
        (
            "elasticsearch",
            r#"{"type":"put_settings","index":"a","settings":{"blocks.write":true}},
            {"type":"put_settings","index":"a","settings":{"blocks.write":null}}"#
                .to_owned(),
        ),
    ] {
        assert_eq!(rules(&migrations(engine, &[&list])), Vec::<&str>::new(), "{list}");
    }
    assert_eq!(rules(&lua("local t = redis.call('TIME') return t[1]")), Vec::<&str>::new());
    // `UNLINK` waits for nobody, and takes the key away all the same.
    assert_eq!(
        rules(&lua("redis.call('UNLINK', KEYS[1]) return redis.call('LRANGE', KEYS[2], 0, 10)")),
        ["script-deletes-keys"]
    );
}

#[test]
fn deep_lua_is_not_looked_into() {
    for source in [
        format!("return {}1{}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("return {}1", "- ".repeat(50_000)),
        format!("return 'a'{}", " .. 'a'".repeat(50_000)),
        "do ".repeat(50_000),
        format!("return {}", "function() return ".repeat(20_000)),
    ] {
        assert_eq!(rules(&lua(&source)), ["not-analysed"]);
    }
    let nested = format!("return {}1{}", "(".repeat(150), ")".repeat(150));
    assert_eq!(rules(&lua(&nested)), Vec::<&str>::new());
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1e9".to_owned()),
        Just("-1".to_owned()),
        "\"[a-z$_.*{}]{0,6}\"",
        prop::sample::select(vec![
            "create_collection",
            "create_index",
            "drop_index",
            "update_documents",
            "reindex",
            "script"
        ])
        .prop_map(|s| format!("\"{s}\"")),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop::sample::select(vec![
            "type",
            "collection",
            "index",
            "options",
            "validator",
            "filter",
            "update",
            "field",
            "name",
            "keys",
            "lua",
            "mapping",
            "settings",
            "operations",
            "rollback",
            "version",
            "database_type",
            "$jsonSchema",
            "properties",
            "args",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|v| format!("[{}]", v.join(","))),
            prop::collection::btree_map(key, inner, 0..6).prop_map(|m| {
                let fields: Vec<String> = m.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_json_is_a_panic(json in any_json(), whole in any_json(), source in "[a-z(){}='\"\\[\\]. \n-]{0,60}") {
        for engine in ["mongodb", "elasticsearch", "redis"] {
            let framed = format!(
                r#"{{"version":"1.0.0","name":"m","description":"x","database_type":"{engine}","migration_type":"data","operations":{json},"rollback":{whole}}}"#
            );
            report_of(&[
                (format!("migrations/{engine}/001_m.json"), framed),
                (format!("migrations/{engine}/002_m.json"), whole.clone()),
                (format!("migrations/{engine}/002_m_rollback.json"), json.clone()),
            ]);
        }
        lua(&source);
    }
}

#[test]
fn godwits_own_collections_and_indices_are_left_alone() {
    for (engine, operation) in [
        ("mongodb", r#"{"type":"drop_collection","collection":"godwit_history"}"#),
        ("elasticsearch", r#"{"type":"delete_index","index":"godwit_shop_fence"}"#),
    ] {
        let report = migrations(engine, &[operation]);
        let found = report.violations.iter().find(|v| v.rule == "own-tables");
        assert!(found.is_some_and(|v| v.severity == Severity::Error && v.line == 2), "{:?}", report.violations);
    }
}

#[test]
fn r18_an_operation_that_nothing_proves_is_an_error_unless_it_is_marked_as_meant() {
    let report = |engine: &str, more: &str, list: &str| {
        let json = format!(
            "{{\"version\":\"1.0.0\",\"name\":\"m\",\"description\":\"d\",\"database_type\":\"{engine}\",\
             \"migration_type\":\"data\",\"rollback\":[],{more}\n\"operations\":[\n{list}\n]}}"
        );
        report_of(&[(format!("migrations/{engine}/001_m.json"), json)])
    };
    let command = r#"{"type":"run_command","command":{"collMod":"c"}}"#;
    let query = r#"{"type":"update_by_query","index":"a","query":{"term":{"b":1}},"requests_per_second":5}"#;
    for (engine, list, why) in [("mongodb", command, "nothing is known"), ("elasticsearch", query, "which documents")] {
        let about = |report: &LintReport| {
            report.violations.iter().find(|v| v.rule == "unprovable-step").cloned().expect("it is told")
        };
        let bare = report(engine, "", list);
        let found = about(&bare);
        assert_eq!((found.severity, found.line, bare.risk), (Severity::Error, 3, Risk::High), "{found:?}");
        assert!(found.message.contains(why) && found.help.unwrap().contains("\"manual\""), "{}", found.message);
        let marked = report(engine, "\"manual\":\"the only way\",", list);
        let found = about(&marked);
        assert_eq!((found.severity, marked.risk), (Severity::Warning, Risk::High), "{found:?}");
        assert!(found.message.ends_with("(marked as meant: the only way)"), "{}", found.message);
        let silent = report(engine, "\"manual\":\" \",", list);
        assert!(rules(&silent).contains(&"invalid-metadata"), "{silent:?}");
    }
    let bounded = report("elasticsearch", "", query);
    let about = bounded.violations.iter().find(|v| v.rule == "update-by-query").expect("its load is told");
    assert!(!about.help.as_deref().unwrap_or_default().contains("requests_per_second"), "{about:?}");
    // A rollback is marked with its migration.
    let back = format!("[{command}]");
    for (more, expected) in [("", true), ("\"manual\":\"the only way\",", false)] {
        let json = format!(
            "{{\"version\":\"1.0.0\",\"name\":\"m\",\"description\":\"d\",\"database_type\":\"mongodb\",\
             \"migration_type\":\"data\",{more}\"operations\":[{MADE}],\"rollback\":{back}}}"
        );
        let report = report_of(&[("migrations/mongodb/001_m.json".to_owned(), json)]);
        assert_eq!(rules(&report).contains(&"unprovable-step"), expected, "{report:?}");
    }
}
