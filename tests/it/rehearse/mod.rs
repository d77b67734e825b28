//! `godwit rehearse`: a scratch database, forward, back and forward again.

use crate::support::elasticsearch;
use crate::support::mongodb::file;
use crate::support::servers::OwnServer;
use crate::support::{Database, Kind, Project, Said, postgres_server};

fn rehearse(project: &Project, args: &[&str]) -> Said {
    let url = match project.database.kind {
        Kind::Postgres => postgres_server(),
        _ => "sqlite:".to_owned(),
    };
    rehearse_on(project, &url, args)
}

fn rehearse_on(project: &Project, url: &str, args: &[&str]) -> Said {
    let mut command = crate::support::godwit(project.dir.path());
    command.arg("rehearse").arg(project.migrations()).args(["--url", url]).args(args).output().unwrap().into()
}

const SOUND: [(&str, &str); 3] = [
    ("1_a.up.sql", "create table a (id integer primary key, n text); -- end"),
    ("1_a.down.sql", "drop table a;"),
    ("2_b.up.sql", "alter table a add column b integer"),
];

#[test]
fn s2_108_a_sound_history_is_told_with_its_times_and_leaves_nothing() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let project = Project::new(kind, &SOUND);
        project.write("2_b.down.sql", "alter table a drop column b;");
        // A role of its own owns what is made for it, whatever other tests make on the same server.
        let role = format!("role_{}", project.database.name());
        let url = match kind {
            Kind::Postgres => {
                project.database.query(&format!("create role {role} login createdb password 'own'"));
                let mut url = url::Url::parse(&postgres_server()).unwrap();
                url.set_username(&role).unwrap();
                url.set_password(Some("own")).unwrap();
                url.to_string()
            }
            _ => "sqlite:".to_owned(),
        };
        let said = rehearse_on(&project, &url, &["--format", "json"]).expect(0).json();
        let tried = said["migrations"].as_array().unwrap();
        assert_eq!(tried.len(), 2);
        assert!(tried.iter().all(|t| t["took_ms"].as_array().unwrap().len() == 3), "{said}");
        if kind == Kind::Postgres {
            assert_eq!(tried[0]["locks"], serde_json::json!([]), "a new table holds up nobody");
            let locks = tried[1]["locks"].as_array().unwrap();
            assert!(locks.iter().any(|l| l["relation"] == "public.a" && l["mode"] == "AccessExclusive"), "{locks:?}");
            // A role that still owned a database could not be dropped.
            project.database.query(&format!("drop role {role}"));
        }
        assert!(!project.database.has_table("a"), "the database itself is not touched");
    }
}

#[test]
fn s1_59_a_rollback_is_tried_on_a_scratch_database_first() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let project = Project::new(kind, &SOUND);
        // It leaves the column, so that going forward again fails: the rollback itself would not.
        project.write("2_b.down.sql", "alter table a rename column n to m;");
        let url = if kind == Kind::Postgres { postgres_server() } else { "sqlite:".to_owned() };
        let run = |args: &[&str]| -> Said { project.command_at(&project.database.url, args).output().unwrap().into() };
        run(&["apply", "--yes"]).expect(0);
        let rollback = ["rollback", "--steps", "1", "--yes", "--rehearse-url", &url];
        let said = run(&rollback).expect(1);
        assert!(said.stderr.contains("nothing was undone"), "{said:?}");
        let status = run(&["status", "--format", "json"]).expect(0);
        assert!(!status.stdout.contains("rolled_back"), "{status:?}");
        project.write("2_b.down.sql", "alter table a drop column b;");
        run(&rollback).expect(0);
        let other = run(&["rollback", "--steps", "1", "--yes", "--rehearse-url", "redis://127.0.0.1:1"]).expect(2);
        assert!(other.stderr.contains("nothing that would be undone is of"), "{other:?}");
    }
}

#[test]
fn s2_109_locks_of_statements_outside_a_transaction_are_seen_while_they_run() {
    let files = [
        ("1_a.up.sql", "create table a (n int); insert into a select generate_series(1, 200000);"),
        ("2_i.up.sql", "create index concurrently a_n on a (n);"),
        ("3_v.up.sql", "-- godwit: no-transaction\nalter table a add column b int;\nvacuum full a;"),
    ];
    let project = Project::new(Kind::Postgres, &files);
    let url = postgres_server();
    let said = rehearse_on(&project, &url, &["--format", "json"]).expect(0).json();
    let locks = |n: usize| -> Vec<String> {
        let held = said["migrations"][n]["locks"].as_array().unwrap();
        let words = |l: &serde_json::Value, key: &str| l[key].as_str().unwrap().to_owned();
        held.iter().map(|l| format!("{} {} {}", words(l, "relation"), words(l, "mode"), words(l, "until"))).collect()
    };
    assert_eq!(locks(1), ["public.a ShareUpdateExclusive statement"], "{said}");
    assert!(locks(2).contains(&"public.a AccessExclusive statement".to_owned()), "{said}");
    let text = rehearse_on(&project, &url, &[]).expect(0).stdout;
    assert!(text.contains("locks public.a in mode ShareUpdateExclusive while a statement runs"), "{text}");
    assert!(text.contains("mode AccessExclusive, holds up readers and writers while a statement runs"), "{text}");
}

#[test]
fn s2_110_a_way_back_that_does_not_restore_is_shown() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let project = Project::new(kind, &SOUND);
        project.write("2_b.down.sql", "alter table a drop column b; create table left_over (n integer);");
        let said = rehearse(&project, &[]).expect(1);
        assert!(said.stdout.contains("did not restore") && said.stdout.contains("left_over"), "{said:?}");
        // Only the one asked for is tried.
        rehearse(&project, &["--only", "1_a"]).expect(0);
    }
}

#[test]
fn s2_108_a_contract_is_tried_though_a_run_would_hold_it() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let project = Project::new(kind, &SOUND[..2]);
        project.write("2_b.up.sql", "-- godwit: phase=contract\nalter table a rename column n to m;");
        project.write("2_b.down.sql", "alter table a rename column m to n;");
        // It builds on what the contract left.
        project.write("3_c.up.sql", "insert into a (id, m) values (1, 'x');");
        project.write("3_c.down.sql", "delete from a where m = 'x';");
        let said = rehearse(&project, &["--format", "json"]).expect(0).json();
        let tried = said["migrations"].as_array().unwrap();
        assert_eq!(tried.len(), 3, "{said}");
        assert!(tried.iter().all(|t| t["took_ms"].as_array().unwrap().len() == 3), "{said}");
        // One that cannot run is told, and not passed over.
        project.write("2_b.up.sql", "-- godwit: phase=contract\nalter table a drop column nowhere;");
        let said = rehearse(&project, &[]).expect(1);
        assert!(said.stdout.contains("the way forward") && said.stdout.contains("nowhere"), "{said:?}");
    }
}

#[test]
fn s2_110_what_a_run_itself_makes_is_nothing_that_a_way_back_should_take_away() {
    let project = Project::new(Kind::Postgres, &[]);
    let write = |path: &str, text: &str| {
        let file = project.dir.path().join("services/user-service/migrations").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write("0001_orders.up.sql", "create table user_service.orders (id bigint primary key);");
    write("0001_orders.down.sql", "drop table user_service.orders;");
    let rehearse = || -> Said {
        let mut command = crate::support::godwit(project.dir.path());
        let args = ["rehearse", "services/user-service/migrations", "--url", &postgres_server()];
        command.args(args).output().unwrap().into()
    };
    let said = rehearse().expect(0);
    assert!(said.stdout.contains("1 tried, 0 wrong"), "{said:?}");
    // What runs in one environment only is tried as well.
    write("production/0003_first.up.sql", "insert into user_service.orders values (1);");
    write("production/0003_first.down.sql", "delete from user_service.orders;");
    let said = rehearse().expect(0);
    assert!(said.stdout.contains("2 tried, 0 wrong"), "{said:?}");
    // A schema that the migration makes is its own to take away.
    write("0002_more.up.sql", "create schema user_service_more;");
    write("0002_more.down.sql", "create table user_service.left_over (n integer);");
    let said = rehearse().expect(1);
    assert!(said.stdout.contains("did not restore") && said.stdout.contains("user_service_more"), "{said:?}");
}

#[test]
fn s2_108_no_role_stays_on_the_server_but_those_that_were_there() {
    let project = Project::new(Kind::Postgres, &[]);
    let name = project.database.name();
    let (made, other) = (format!("made_{name}"), format!("there_{name}"));
    project.database.query(&format!("create role {other} nologin"));
    project.write(
        "1_r.up.sql",
        &format!("create role {made} nologin; create table a (n int); alter table a owner to {made}; grant select on a to {other};"),
    );
    project.write("1_r.down.sql", &format!("drop table a; drop role {made};"));
    let roles = || {
        project.database.one(&format!(
            "select string_agg(rolname, ' ' order by rolname) from pg_roles where rolname like '%\\_{name}'"
        ))
    };
    for _ in 0..2 {
        rehearse(&project, &[]).expect(0);
        assert_eq!(roles(), other);
    }
    // Nor where the rehearsal ends in the middle.
    project.write("2_b.up.sql", "insert into nowhere values (1);");
    rehearse(&project, &[]).expect(1);
    assert_eq!(roles(), other);
    project.database.query(&format!("drop role {other}"));
}

#[test]
fn what_cannot_run_and_what_is_missing_is_told() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let project = Project::new(kind, &SOUND);
        let said = rehearse(&project, &[]).expect(0);
        assert!(said.stdout.contains("no way back"), "{said:?}");
        project.write("3_c.up.sql", "insert into nowhere values (1);");
        let said = rehearse(&project, &[]).expect(1);
        assert!(said.stdout.contains("the way forward") && said.stdout.contains("nowhere"), "{said:?}");
        rehearse(&project, &["--only", "9"]).expect(2);
    }
}

#[test]
fn s2_108_documents_are_rehearsed_on_a_database_of_their_own() {
    for kind in [Kind::Mongodb, Kind::MongodbStandalone] {
        let sound = file(1, r#"[{ "type": "create_collection", "collection": "people" }]"#, None);
        let index = r#"[{ "type": "create_index", "collection": "people", "index": [["name", 1]] }]"#;
        // A way back that does something else.
        let left_over = r#"[{ "type": "create_collection", "collection": "left_over" }]"#;
        let unsound = file(2, index, Some(left_over));
        let project = Project::new(kind, &[(&sound.0, &sound.1)]);
        let said = rehearse_on(&project, &project.database.url, &["--format", "json"]).expect(0).json();
        assert_eq!(said["migrations"][0]["took_ms"].as_array().unwrap().len(), 3, "{said}");
        project.write(&unsound.0, &unsound.1);
        let said = rehearse_on(&project, &project.database.url, &[]).expect(1);
        assert!(said.stdout.contains("did not restore") && said.stdout.contains("left_over"), "{said:?}");
        assert!(project.database.contents(crate::support::Own::Too).is_empty(), "the database itself is not touched");
    }
}

#[test]
fn s2_108_keys_are_rehearsed_on_a_server_that_is_empty_and_no_other() {
    let server = OwnServer::up("redis");
    let project = Project::new(Kind::Redis, &[]);
    let json = |name: &str, version: u32| {
        format!(
            "{{\"version\": \"1.{version}.0\", \"name\": \"{name}\", \"description\": \"a test\", \"database_type\": \"redis\", \
             \"migration_type\": \"data\", \"keys\": [\"flag\"]}}"
        )
    };
    project.write("001_on.json", &json("on", 0));
    project.write("001_on.lua", "return redis.call('SET', KEYS[1], 'on') and 1");
    project.write("001_on_rollback.lua", "return redis.call('DEL', KEYS[1])");
    for _ in 0..2 {
        // Nothing of the first rehearsal is in the way of the second.
        let said = rehearse_on(&project, &server.url, &["--format", "json"]);
        let said = said.expect(0).json();
        assert_eq!(said["migrations"][0]["took_ms"].as_array().unwrap().len(), 3, "{said}");
        assert_eq!(said["migrations"][0]["changed"], 1, "{said}");
        let here = Database::alone_on(Kind::Redis, &server.url);
        here.redis::<()>(&["DEL", "flag"]);
    }
    let here = Database::alone_on(Kind::Redis, &server.url);
    here.redis::<()>(&["SET", "somebody", "else"]);
    let said = rehearse_on(&project, &server.url, &[]).expect(5);
    assert!(said.stderr.contains("not empty") && said.stderr.contains("1 keys"), "{said:?}");
}

#[test]
fn s2_108_indices_are_rehearsed_under_names_of_their_own_beside_those_in_use() {
    let project = elasticsearch::Project::new(&[
        // What it presumes is in use on the cluster.
        (
            "001_next",
            r#"[
            {"type": "create_index", "index": "~v2", "mapping": {"properties": {"id": {"type": "keyword"}, "n": {"type": "long"}}}},
            {"type": "reindex", "source": "~v1", "dest": "~v2"},
            {"type": "put_template", "name": "~t", "template": {"index_patterns": ["~t*"], "template": {"aliases": {"~all": {}}}}},
            {"type": "create_alias", "index": "~v2", "alias": "~orders"}]"#,
        ),
        ("002_settings", r#"[{"type": "put_settings", "index": "~v2", "settings": {"refresh_interval": "5s"}}]"#),
        (
            "003_swap",
            r#"[{"type": "swap_alias", "alias": "~orders", "from": "~v2", "to": "~v3", "mapping": {"properties": {"id": {"type": "text"}}}}]"#,
        ),
        ("004_retire", r#""operations": [{"type": "delete_index", "index": "~v1"}]"#),
    ]);
    let cluster = &project.cluster;
    cluster.fill("~v1", 30);
    cluster.ok("PUT", "~v1/_alias/~orders", None);
    let everything = || {
        let mut all = cluster.ok("GET", "~*", None).to_string();
        all.push_str(&cluster.call("GET", "_index_template/~*", None).1.to_string());
        all
    };
    let before = everything();
    let rehearse = |args: &[&str]| -> Said {
        let mut command = crate::support::godwit(project.dir.path());
        command
            .arg("rehearse")
            .arg(project.migrations())
            .args(["--url", &cluster.url])
            .args(args)
            .output()
            .unwrap()
            .into()
    };
    let said = rehearse(&["--format", "json"]).expect(0).json();
    let tried = said["migrations"].as_array().unwrap();
    let times: Vec<usize> = tried.iter().map(|t| t["took_ms"].as_array().unwrap().len()).collect();
    assert_eq!(times, [3, 3, 3, 1], "{said}");
    assert!(tried.iter().all(|t| t["not_restored"] == serde_json::json!([])), "{said}");
    assert_eq!(everything(), before, "what is in use is as it was");
    let scratch = cluster.ok("GET", "_cat/indices/godwit_scratch_*?format=json&expand_wildcards=all&h=index", None);
    let ours = |i: &serde_json::Value| i["index"].as_str().unwrap().contains(&cluster.prefix);
    assert!(!scratch.as_array().unwrap().iter().any(ours), "{scratch}");
    assert!(!cluster.exists(&format!("godwit_{}_history", cluster.prefix)));

    // A way back that leaves something, and a way forward that cannot be gone: in the names of the files.
    project.write(
        "005_left",
        r#""operations": [{"type": "create_index", "index": "~a"}],
           "rollback": [{"type": "delete_index", "index": "~a"}, {"type": "create_index", "index": "~left"}]"#,
    );
    let said = rehearse(&["--only", "005_left"]).expect(1);
    assert!(said.stdout.contains("did not restore") && said.stdout.contains(&cluster.name("left")), "{said:?}");
    assert!(!said.stdout.contains("godwit_scratch"), "{said:?}");
    project.write(
        "006_gone",
        r#"[{"type": "put_settings", "index": "~nowhere", "settings": {"refresh_interval": "5s"}}]"#,
    );
    let said = rehearse(&[]).expect(1);
    assert!(said.stdout.contains(&format!("there is no index `{}`", cluster.name("nowhere"))), "{said:?}");
    assert_eq!(everything(), before);
}
