//! What cannot be a migration, and servers that are full or gone: a clear error before anything is changed where it can be
//! known before; otherwise a named state, and the command that goes on from it.

use serde_json::{Value, json};

use crate::support::elasticsearch;
use crate::support::mongodb::{Mongo, file};
use crate::support::redis::RedisProject;
use crate::support::servers::OwnServer;
use crate::support::{BOTH, Database, Kind, Own, Project, Said, change, godwit, until};

/// A typed migration of one engine, its last lines given.
fn typed(engine: &str, rest: &str) -> String {
    format!(
        "{{\n\"version\": \"1.0.0\", \"name\": \"bad\", \"description\": \"a test\",\n\"database_type\": \"{engine}\", \
         \"migration_type\": \"schema\",\n{rest}"
    )
}

#[test]
fn s4_06_s4_12_malformed_files_and_unknown_operations_are_refused_with_file_and_line() {
    for (kind, good) in [
        (Kind::Mongodb, r#"{ "type": "create_collection", "collection": "made" }"#),
        (Kind::Elasticsearch, r#"{ "type": "create_index", "index": "NAME_made" }"#),
        (Kind::Redis, r#"{ "type": "set_ttl", "keys": ["NAME:made"], "seconds": 60 }"#),
    ] {
        for (rest, line, part) in [
            ("\"operations\": [ GOOD,\n ]\n}", 5, "001_bad.json"),
            ("\"operations\": [ GOOD ]", 4, "001_bad.json"),
            ("\"operations\": [ GOOD,\n{ \"type\": \"conjure\" } ]\n}", 5, "conjure"),
            ("\"operations\": [ GOOD,\n{ \"type\": \"TYPE\" } ]\n}", 5, "missing field"),
            ("\"operations\": [ GOOD,\n{ \"type\": \"TYPE\", \"colour\": 1 } ]\n}", 5, "colour"),
            ("\"operations\": [ GOOD ],\n\"opperations\": []\n}", 5, "opperations"),
        ] {
            let project = Project::new(kind, &[]);
            let kind_of_it = serde_json::from_str::<Value>(good).unwrap()["type"].as_str().unwrap().to_owned();
            let rest = rest.replace("GOOD", good).replace("TYPE", &kind_of_it).replace("NAME", project.database.name());
            project.write("001_bad.json", &typed(kind.engine().as_str(), &rest));
            let said = project.run(&["apply", "--yes"]);
            assert!(matches!(said.code, Some(1 | 2)), "{kind:?} {rest}: {said:?}");
            let all = format!("{}{}", said.stdout, said.stderr);
            assert!(all.contains(&format!("001_bad.json:{line}")) && all.contains(part), "{kind:?} {part}: {all}");
            assert!(project.database.contents(Own::Too).is_empty(), "{kind:?} {rest}: nothing was made");
        }
    }
}

#[test]
fn a_nul_byte_is_refused_with_file_and_line_before_anything_is_changed() {
    for kind in BOTH {
        let project = Project::new(kind, &[("0001_a.up.sql", "create table a (n integer);")]);
        project.write("0002_b.up.sql", "create table b (n integer);\ninsert into b values ('\0');\n");
        // Long enough to be read in pieces.
        let row = format!("insert into c values ('{}');\n", "some words of a row ".repeat(20));
        let long = format!("create table c (t text);\n{}", row.repeat(12_000));
        project.write("0003_c.up.sql", &format!("{long}insert into c values ('\0');\n"));
        for args in [&["plan"][..], &["apply", "--yes"]] {
            let said = project.run(args);
            let all = format!("{}{}", said.stdout, said.stderr);
            assert!(matches!(said.code, Some(1..=3)), "{kind:?}: {said:?}");
            for part in ["0002_b.up.sql:2: holds a NUL byte", "0003_c.up.sql:12002: holds a NUL byte"] {
                assert!(all.contains(part), "{kind:?} {part}: {all}");
            }
        }
        assert!(!project.database.has_table("a"), "{kind:?}");
    }
    for kind in [Kind::Mongodb, Kind::Elasticsearch, Kind::Redis] {
        let project = Project::new(kind, &[]);
        project.write("001_bad.json", &typed(kind.engine().as_str(), "\"operations\": [],\n\"author\": \"\0\"\n}"));
        let said = project.run(&["apply", "--yes"]);
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(
            matches!(said.code, Some(1..=3)) && all.contains("001_bad.json:5: holds a NUL byte"),
            "{kind:?}: {said:?}"
        );
        assert!(project.database.contents(Own::Too).is_empty(), "{kind:?}");
    }
}

#[test]
fn s4_16_an_index_before_its_collection_is_refused_before_anything_is_changed() {
    let index = r#"{ "type": "create_index", "collection": "later", "index": [["a", 1]] }"#;
    let make = r#"{ "type": "create_collection", "collection": "later" }"#;
    for kind in [Kind::Mongodb, Kind::MongodbStandalone] {
        let early = file(
            1,
            &format!("[{{ \"type\": \"create_collection\", \"collection\": \"other\" }},\n{index}, {make}]"),
            None,
        );
        let project = Project::new(kind, &[(&early.0, &early.1)]);
        let said = project.run(&["apply", "--yes"]).expect(1);
        assert!(
            said.stdout.contains("there is no collection `later`") && said.stdout.contains("001_m1.json:5"),
            "{said:?}"
        );
        assert!(project.database.contents(Own::Too).is_empty(), "{kind:?}");
        let right = file(1, &format!("[{make}, {index}]"), None);
        project.write(&right.0, &right.1);
        project.run(&["apply", "--yes"]).expect(0);
    }
    let project = elasticsearch::Project::new(&[(
        "001_early",
        r#"[{"type": "create_alias", "index": "~later", "alias": "~a"}, {"type": "create_index", "index": "~later"}]"#,
    )]);
    let said = project.run(&["apply", "--yes"]).expect(1);
    assert!(said.stdout.contains("there is no index"), "{said:?}");
    assert!(project.cluster.indices().is_empty());
}

#[test]
fn s4_27_everything_at_once_is_deleted_by_no_migration() {
    for pattern in ["*", "**", "?*"] {
        let json = crate::drivers::redis::pair(
            "1.0.0",
            "all",
            &format!(r#""operations": [{{"type": "delete_keys", "keys": {{"match": "{pattern}"}}}}], "rollback": []"#),
        );
        let project = RedisProject::new(false, &[("001_all.json", &json)]);
        project.ask::<()>(&["SET", &project.key("mine"), "1"]);
        let said = project.run(&["apply", "--yes", "--accept-data-loss"]).expect(1);
        assert!(said.stdout.contains("every key of the server"), "{pattern}: {said:?}");
        assert_eq!(project.keys(), [project.key("mine")]);
    }
    for call in ["FLUSHALL", "flushdb", "KEYS', '*"] {
        let json = crate::drivers::redis::pair("1.0.0", "all", r#""keys": ["PREFIXa"]"#);
        let lua = format!("redis.call('SET', KEYS[1], 1)\nreturn redis.pcall('{call}')");
        let project = RedisProject::new(false, &[("001_all.json", &json), ("001_all.lua", &lua)]);
        let said = project.run(&["apply", "--yes"]).expect(1);
        assert!(said.stdout.contains("must not be called") && said.stdout.contains("001_all.lua:2"), "{said:?}");
        assert!(project.keys().is_empty());
    }
}

/// A migration that writes one key.
fn filling(server: &OwnServer) -> RedisProject {
    let json = crate::drivers::redis::pair("1.0.0", "fill", r#""keys": ["PREFIXa"]"#);
    let lua = "return redis.call('SET', KEYS[1], 'x') and 1";
    RedisProject::at(&server.url, false, &[("001_fill.json", &json), ("001_fill.lua", lua)])
}

#[test]
fn a_redis_that_is_full_is_told_and_goes_on_with_room() {
    let server = OwnServer::up("redis");
    let project = filling(&server);
    project.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    project.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let said = project.run(&["apply", "--yes"]);
    assert!(matches!(said.code, Some(1 | 5)), "{said:?}");
    assert!(format!("{}{}", said.stdout, said.stderr).contains("OOM"), "{said:?}");
    assert_eq!(project.keys(), Vec::<String>::new());
    project.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.keys(), [project.key("a")]);
    assert_eq!(project.history(), ["001_fill applied"]);
}

#[test]
fn a_redis_that_cannot_save_is_told_and_goes_on_once_it_can() {
    let server = OwnServer::up("redis");
    let project = filling(&server);
    // A folder stands where the snapshot is to be.
    let setting = |name: &str| project.ask::<(String, String)>(&["CONFIG", "GET", name]).1;
    let folder = std::path::Path::new(&setting("dir")).join(setting("dbfilename"));
    let _ = std::fs::remove_file(&folder);
    std::fs::create_dir(&folder).unwrap();
    for (setting, value) in [("stop-writes-on-bgsave-error", "yes"), ("save", "3600 1")] {
        project.ask::<()>(&["CONFIG", "SET", setting, value]);
    }
    let saves = |word: &str| {
        project.ask::<String>(&["BGSAVE"]);
        until("the snapshot ended", || {
            let told: String = project.ask(&["INFO", "persistence"]);
            told.contains("rdb_bgsave_in_progress:0") && told.contains(&format!("rdb_last_bgsave_status:{word}"))
        });
    };
    saves("err");
    let said = project.run(&["apply", "--yes"]);
    assert!(matches!(said.code, Some(1 | 5)), "{said:?}");
    assert!(format!("{}{}", said.stdout, said.stderr).contains("MISCONF"), "{said:?}");
    assert_eq!(project.keys(), Vec::<String>::new());
    std::fs::remove_dir(&folder).unwrap();
    saves("ok");
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.keys(), [project.key("a")]);
    assert_eq!(project.history(), ["001_fill applied"]);
}

#[test]
fn a_mongodb_that_is_full_in_mid_step_takes_the_migration_back_and_goes_on_with_room() {
    use mongodb::bson::doc;
    let server = OwnServer::up("mongodb_standalone");
    let fill = r#"[{ "type": "create_collection", "collection": "made" },
      { "type": "add_field", "collection": "people", "field": "z", "value": 1, "batch_size": 5 }]"#;
    let mongo = Mongo::at(&server.url, &[file(1, fill, None)]);
    mongo.insert("people", (0..20).map(|n| doc! { "_id": n }).collect());
    let name = mongo.url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned();
    // The server itself says of updates that its disk is full.
    let full = |mode: bson::Bson| {
        crate::support::wait(async {
            let client = mongodb::Client::with_uri_str(&server.url).await.unwrap();
            let data = doc! { "failCommands": ["update"], "errorCode": 14031, "namespace": format!("{name}.people") };
            let command = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
            client.database("admin").run_command(command).await.unwrap();
        });
    };
    let state = || (mongo.count("people", doc! { "z": 1 }), mongo.collections(), mongo.history());
    let before = vec!["people".to_owned()];
    // For a moment: what was done is taken back.
    full(doc! { "times": 1 }.into());
    let said = mongo.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
    let error = &said["steps"][0]["error"];
    assert_eq!(
        (&error["code"], &error["line"], &error["undone"]),
        (&"14031".into(), &5.into(), &true.into()),
        "{said}"
    );
    assert_eq!(state(), (0, before, vec!["001_m1 failed".to_owned()]));
    // From the second batch on, and for good: it cannot be taken back either, and says so.
    full(doc! { "skip": 1 }.into());
    let said = mongo.run(&["apply", "--yes", "--format", "json"]).expect(4).json();
    let error = &said["steps"][0]["error"];
    assert!(error["message"].as_str().unwrap().contains("could not be taken back"), "{said}");
    assert!(error["hint"].as_str().unwrap().contains("godwit resolve"), "{said}");
    assert_eq!(mongo.history(), ["001_m1 needs_human"]);
    full("off".into());
    mongo.run(&["apply", "--yes"]).expect(4);
    mongo.run(&["resolve", "001_m1", "--as", "retry", "--reason", "there is room again"]).expect(0);
    mongo.run(&["apply", "--yes"]).expect(0);
    assert_eq!(state(), (20, vec!["made".to_owned(), "people".to_owned()], vec!["001_m1 applied".to_owned()]));
}

/// What was taken back before the undo got stuck is there again after `retry`: the place in the undo is none in the script.
#[test]
fn r18_what_is_retried_after_an_undo_that_got_stuck_runs_whole() {
    use mongodb::bson::doc;
    let server = OwnServer::up("mongodb_standalone");
    let fill = r#"[{ "type": "add_field", "collection": "people", "field": "y", "value": 1, "batch_size": 5 },
      { "type": "create_collection", "collection": "made" },
      { "type": "add_field", "collection": "people", "field": "z", "value": 1, "batch_size": 5 }]"#;
    let mongo = Mongo::at(&server.url, &[file(1, fill, None)]);
    mongo.insert("people", (0..20).map(|n| doc! { "_id": n }).collect());
    let name = mongo.url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned();
    let full = |mode: bson::Bson| {
        crate::support::wait(async {
            let client = mongodb::Client::with_uri_str(&server.url).await.unwrap();
            let data = doc! { "failCommands": ["update"], "errorCode": 14031, "namespace": format!("{name}.people") };
            let command = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
            client.database("admin").run_command(command).await.unwrap();
        });
    };
    // The four batches of the first operation pass, none of the third; nor does the way back of the first.
    full(doc! { "skip": 4 }.into());
    mongo.run(&["apply", "--yes"]).expect(4);
    assert_eq!(mongo.collections(), ["people"], "the second operation was taken back");
    assert_eq!(mongo.history(), ["001_m1 needs_human"]);
    full("off".into());
    mongo.run(&["resolve", "001_m1", "--as", "retry", "--reason", "there is room again"]).expect(0);
    mongo.run(&["apply", "--yes"]).expect(0);
    assert_eq!(mongo.history(), ["001_m1 applied"]);
    assert_eq!(mongo.collections(), ["made", "people"]);
    assert_eq!(mongo.count("people", doc! { "y": 1, "z": 1 }), 20);
}

/// Kills the server of a run that is in the middle of a step, and lets it stay away.
fn gone_for_good(kind: Kind) {
    let server = OwnServer::up(kind.server().unwrap());
    let project = Project::of(Database::alone_on(kind, &server.url), &[]);
    for (name, text) in (1..=2).flat_map(|n| change(&project.database, n)) {
        project.write(&name, &text);
    }
    project.run(&["apply", "--yes", "--to", "001_m1"]).expect(0);
    let marker = project.dir.path().join("marker");
    let run = project
        .command(&["apply", "--yes", "--lock-wait", "5", "--retry-for", "2"])
        .env("GODWIT_FAILPOINT", format!("stmt_sent:wait:1:{}", marker.display()))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until("the statement is on its way", || marker.exists());
    server.kill();
    std::fs::remove_file(&marker).unwrap();
    let said: Said = run.wait_with_output().unwrap().into();
    assert_eq!(said.code, Some(5), "{kind:?}: {said:?}");
    assert!(!said.stderr.contains("panicked") && !said.stderr.trim().is_empty(), "{kind:?}: {said:?}");
    // Until it is back, nobody is told anything else.
    project.run(&["status"]).expect(5);
    server.start();
    project.run(&["resume", "--lock-wait", "60"]).expect(0);
    let history = project.database.history();
    assert_eq!(history, ["001_m1 applied", "002_m2 applied"], "{kind:?}: {said:?}");
    assert!(project.database.contents(Own::Not).keys().any(|n| n.ends_with("thing2")), "{kind:?}");
    let again = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
    assert_eq!(again["outcome"], "nothing", "{kind:?}");
    let verified: Said = godwit(project.dir.path()).args(["audit", "verify"]).output().unwrap().into();
    verified.expect(0);
}

#[test]
fn r12_a_server_that_goes_in_mid_step_and_stays_away_is_exit_five_and_resume_goes_on() {
    let kinds = [Kind::Postgres, Kind::MongodbStandalone, Kind::Redis, Kind::Elasticsearch];
    std::thread::scope(|scope| {
        let all: Vec<_> = kinds.into_iter().map(|kind| scope.spawn(move || gone_for_good(kind))).collect();
        for one in all {
            one.join().unwrap();
        }
    });
}

/// Lets the history say that everything in it was done a hundred years from now.
fn wrong_clock(database: &Database) {
    let later = |value: &Value| {
        let mut value = value.clone();
        for key in ["started_at", "finished_at"] {
            if let Some(text) = value[key].as_str().map(|t| format!("21{}", &t[2..])) {
                value[key] = json!(text);
            }
        }
        value
    };
    let name = database.name();
    match database.kind {
        Kind::Mongodb | Kind::MongodbStandalone => {
            let add = |field: &str| json!({ "$add": [field, 3_155_760_000_000_i64] });
            let set = json!([{ "$set": { "started_at": add("$started_at"), "finished_at": add("$finished_at") } }]);
            database
                .mongo(&json!({ "update": "godwit_history", "updates": [{ "q": {}, "u": set, "multi": true }] }))
                .unwrap();
        }
        Kind::Redis | Kind::RedisCluster => {
            let key = format!("godwit:{{{name}}}:history");
            for (field, text) in database.redis::<std::collections::BTreeMap<String, String>>(&["HGETALL", &key]) {
                let mut kept: Value = serde_json::from_str(&text).unwrap();
                kept = if kept["row"].is_object() {
                    let row = later(&kept["row"]);
                    kept["row"] = row;
                    kept
                } else {
                    later(&kept)
                };
                database.redis::<i64>(&["HSET", &key, &field, &kept.to_string()]);
            }
        }
        Kind::Elasticsearch => {
            let path = format!("/godwit_{name}_fence/_doc/target");
            let mut fence = database.elastic("GET", &path, None).body["_source"].clone();
            fence["entry"] = later(&fence["entry"]);
            assert_eq!(database.elastic("PUT", &path, Some(&fence)).status, 200);
            let found = database.elastic("POST", &format!("/godwit_{name}_history/_search?version=true"), None).body;
            for hit in found["hits"]["hits"].as_array().unwrap() {
                let path = format!(
                    "/godwit_{name}_history/_doc/{}?version={}&version_type=external_gte&refresh=true",
                    hit["_id"].as_str().unwrap(),
                    hit["_version"]
                );
                assert!(database.elastic("PUT", &path, Some(&later(&hit["_source"]))).status < 300);
            }
        }
        Kind::Postgres | Kind::Sqlite => panic!("looked at elsewhere"),
    }
}

#[test]
fn a_clock_that_was_wrong_changes_no_order_of_documents_keys_and_indices_either() {
    for kind in [Kind::Mongodb, Kind::MongodbStandalone, Kind::Redis, Kind::RedisCluster, Kind::Elasticsearch] {
        let project = Project::new(kind, &[]);
        let write = |n: u32| change(&project.database, n).iter().for_each(|(name, text)| project.write(name, text));
        write(1);
        project.run(&["apply", "--yes"]).expect(0);
        wrong_clock(&project.database);
        let shown = project.database.look().history;
        assert!(shown[0].started_at > chrono::Utc::now() + chrono::Duration::days(365), "{kind:?}: {shown:?}");
        write(2);
        project.run(&["apply", "--yes"]).expect(0);
        project.run(&["rollback", "--steps", "1", "--yes", "--accept-data-loss"]).expect(0);
        assert_eq!(project.database.history(), ["001_m1 applied", "002_m2 rolled_back"], "{kind:?}");
        project.run(&["status"]).expect(0);
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_among_the_migrations_is_named_and_nobody_waits_for_it() {
    let project = Project::new(Kind::Sqlite, &[("0001_a.up.sql", "create table a (n integer);")]);
    let pipe = project.migrations().join("0002_b.up.sql");
    assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    for args in [&["plan"][..], &["apply", "--yes"]] {
        let said = project.run(args);
        assert!(matches!(said.code, Some(1..=3)), "{said:?}");
        assert!(format!("{}{}", said.stdout, said.stderr).contains("is a pipe, a socket or a device"), "{said:?}");
    }
}

/// A character that ends a password early makes the rest of it look like a host's port, a path or a database's name.
#[test]
fn b20_the_password_of_a_url_that_cannot_be_read_is_in_no_message() {
    let project = Project::new(Kind::Sqlite, &[("0001_a.up.sql", "create table a (n integer);")]);
    for url in [
        "postgres://u:TOP#SEC@127.0.0.1:1/x",
        "postgres://u:TOP/SEC@127.0.0.1:1/x",
        "postgres:u:TOPSEC@127.0.0.1/x",
        "redis://u:TOP/SEC@127.0.0.1:1/0",
        "rediss://u:TOPSEC?x@127.0.0.1:1/0",
        "mongodb://u:TOP?SEC@127.0.0.1:1/x",
        "elasticsearch+http://u:TOP#SEC@127.0.0.1:1",
    ] {
        for command in ["plan", "status", "apply"] {
            let said: Said = project.command_at(url, &[command]).output().unwrap().into();
            let all = format!("{}{}", said.stdout, said.stderr);
            assert!(said.code == Some(2) && !all.contains("TOP") && !all.contains("SEC"), "{url}: {said:?}");
        }
        let mut audit = godwit(project.dir.path());
        let said: Said = audit.args(["--store", url, "audit", "list"]).output().unwrap().into();
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(said.code != Some(0) && !all.contains("TOP") && !all.contains("SEC"), "{url}: {said:?}");
    }
}
