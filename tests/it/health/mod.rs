//! What is looked at around a run: values before it and between its migrations, checks after it, and the way back.

pub mod world;

use serde_json::Value;

use crate::kill::steps::{files, steps};
use crate::support::mongodb::file;
use crate::support::{ALL, Database, Kind};
use world::{Endpoint, World};

const TABLE: (&str, &str) = ("0001_a.up.sql", "CREATE TABLE a (n INTEGER NOT NULL);\nINSERT INTO a VALUES (7);");
const TABLE_BACK: (&str, &str) = ("0001_a.down.sql", "DROP TABLE a;");
const MORE: (&str, &str) = ("0002_b.up.sql", "CREATE TABLE b (n INTEGER);");
const MORE_BACK: (&str, &str) = ("0002_b.down.sql", "DROP TABLE b;");
const ALL_FILES: [(&str, &str); 4] = [TABLE, TABLE_BACK, MORE, MORE_BACK];
const SQL: [Kind; 2] = [Kind::Postgres, Kind::Sqlite];

fn check<'a>(said: &'a Value, name: &str) -> &'a Value {
    let all = said["health"]["checks"].as_array().unwrap();
    all.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no check `{name}` in {said:#}"))
}

#[test]
fn s3_103_a_critical_value_refuses_the_run_before_anything_is_touched_on_every_engine() {
    for kind in ALL.into_iter().filter(|k| *k != Kind::Sqlite) {
        let vital = if kind == Kind::Elasticsearch { "memory_usage" } else { "connection_pool" };
        let more = format!("  health_checks: {{ thresholds: {{ {vital}: {{ critical: 0 }} }} }}\n");
        let database = Database::fresh(kind);
        // Only what is there before the matrix begins.
        let files = files(&database, steps(kind)[0]);
        let first = files[0].0.split(['_', '.']).next().unwrap();
        let files: Vec<(&str, &str)> =
            files.iter().filter(|(n, _)| n.starts_with(first)).map(|(n, t)| (n.as_str(), t.as_str())).collect();
        let world = World::on(database, &files, &more);
        // A script is asked for its way back.
        if matches!(kind, Kind::Redis | Kind::RedisCluster) {
            world.write("m/001_first_rollback.lua", "return 0");
        }
        let said = world.apply(3);
        assert_eq!(said["outcome"], "blocked", "{kind:?}");
        assert_eq!(said["blocked_by"][0]["reason"], "health");
        let why = said["blocked_by"][0]["message"].as_str().unwrap();
        assert!(why.contains(vital) && why.contains("shop") && why.contains("above 0"), "{kind:?} {why}");
        let before = said["health"]["before"].as_array().unwrap();
        let value = before.iter().find(|m| m["vital"] == vital).unwrap();
        assert_eq!((&value["level"], &value["target"]), (&Value::from("critical"), &Value::from("shop")), "{kind:?}");
        assert!(said["steps"].as_array().unwrap().iter().all(|s| s["state"] == "pending"), "{said:#}");
        assert_eq!(world.database.history(), Vec::<String>::new(), "{kind:?}");
        // As it usually is, it runs, and with nothing to do nothing is refused.
        world.environment("");
        assert_eq!(world.apply(0)["outcome"], "applied", "{kind:?}");
        world.environment(&more);
        assert_eq!(world.apply(0)["outcome"], "nothing", "{kind:?}");
    }
}

#[test]
fn s3_56_to_s3_60_the_checks_after_a_run_are_made_and_told() {
    for kind in SQL {
        let page = Endpoint::saying(204, "");
        let more = format!(
            "  health_checks:\n    critical_tables: [a, shop/b]\n    critical_paths:\n      - {{ sql: \"SELECT n FROM a\", expect: 7 }}\n\
             \x20     - {{ http: \"{}/healthz\", expect: 204 }}\n",
            page.url()
        );
        let world = World::new(kind, &ALL_FILES, &more);
        let said = world.apply(0);
        assert_eq!(said["outcome"], "applied");
        for name in ["connectivity", "migration-status", "critical-table", "query", "http"] {
            assert_eq!(check(&said, name)["status"], "passed", "{kind:?} {said:#}");
        }
        assert_eq!(check(&said, "migration-status")["message"], "2 applied, as planned");
        assert_eq!(check(&said, "prisma-client")["status"], "skipped");
        assert!(check(&said, "prisma-client")["message"].as_str().unwrap().contains("no Prisma"), "{said:#}");
        assert_eq!(page.asked(), 1);
        let audit = world.run(&["audit", "list", "--format", "json"]).expect(0).stdout;
        assert!(audit.contains("6 passed; 1 skipped"), "{audit}");
        // Nothing to do: the checks are made again, and still nothing is written.
        assert_eq!(world.apply(0)["outcome"], "nothing");
        let text = world.run(&["apply", "development", "--yes"]).expect(0).stdout;
        assert!(text.contains("check passed: critical-table on shop: `a` can be read"), "{text}");
    }
}

#[test]
fn a_check_that_fails_takes_back_what_the_run_made() {
    for kind in SQL {
        let page = Endpoint::saying(500, "");
        let more = format!("  health_checks: {{ critical_paths: [{{ http: \"{}/healthz\" }}] }}\n", page.url());
        let world = World::new(kind, &ALL_FILES, &more);
        let said = world.apply(1);
        assert_eq!(said["outcome"], "failed", "{said:#}");
        let refusal = &said["blocked_by"][0];
        assert_eq!(refusal["reason"], "health-check");
        assert!(refusal["message"].as_str().unwrap().contains("answers 500 and not 200"), "{refusal}");
        assert_eq!(
            refusal["what_to_do"],
            "`m/0002_b`, `m/0001_a` was undone by itself; correct the cause and bring it in again"
        );
        assert!(said["steps"].as_array().unwrap().iter().all(|s| s["state"] == "rolled_back"), "{said:#}");
        assert_eq!(world.database.history(), ["0001_a rolled_back", "0002_b rolled_back"]);
        assert!(!world.database.has_table("a"));
        // The cause is corrected.
        world.environment("");
        assert_eq!(world.apply(0)["outcome"], "applied");
        world.run(&["audit", "verify"]).expect(0);
    }
}

#[test]
fn what_would_take_more_away_is_not_undone_and_the_commands_are_named() {
    for kind in SQL {
        let checks = "critical_tables: [nowhere]";
        // An earlier migration made the rows that this way back deletes.
        let world = World::new(kind, &[TABLE, TABLE_BACK], "");
        world.apply(0);
        world.write("m/0002_rows.up.sql", "INSERT INTO a VALUES (8);");
        world.write("m/0002_rows.down.sql", "DELETE FROM a;");
        world.environment(&format!("  health_checks: {{ {checks} }}\n"));
        let said = world.apply(1);
        let what = said["blocked_by"][0]["what_to_do"].as_str().unwrap();
        assert!(
            what.contains("its way back says `DELETE`")
                && what.contains("`godwit rollback --env development 0002_rows`"),
            "{what}"
        );
        assert_eq!(said["steps"][0]["state"], "applied");
        assert_eq!(world.database.history(), ["0001_a applied", "0002_rows applied"]);
        // A run with nothing to do does not pass over what fails.
        let again = world.apply(1);
        assert!(
            again["blocked_by"][0]["what_to_do"].as_str().unwrap().starts_with("this run applied nothing"),
            "{again:#}"
        );
        world.environment("");
        world.run(&["rollback", "--env", "development", "0002_rows", "--yes", "--accept-data-loss"]).expect(0);
        // Whoever wants no way back by itself says so.
        world.environment(&format!("  health_checks: {{ {checks}, on_failure: stop }}\n"));
        world.write("m/0002_rows.up.sql", "CREATE TABLE b (n INTEGER);");
        world.write("m/0002_rows.down.sql", "DROP TABLE b;");
        let said = world.apply(1);
        assert!(
            said["blocked_by"][0]["what_to_do"].as_str().unwrap().starts_with("`on_failure` is `stop`"),
            "{said:#}"
        );
        assert!(world.database.has_table("b"));
    }
}

#[test]
fn a_query_of_a_check_can_change_nothing() {
    for kind in SQL {
        for (sql, said) in [
            ("DELETE FROM a", "read"),
            ("SELECT 1; DROP TABLE a", "write one query"),
            ("SELECT n FROM a WHERE n = 8", "gives no row and not `8`"),
            ("SELECT nothing FROM a", "nothing"),
        ] {
            let more =
                format!("  health_checks: {{ on_failure: stop, critical_paths: [{{ sql: \"{sql}\", expect: 8 }}] }}\n");
            let world = World::new(kind, &[TABLE, TABLE_BACK], &more);
            let report = world.apply(1);
            let message = check(&report, "query")["message"].as_str().unwrap();
            assert!(message.contains(said), "{kind:?} {sql}: {message}");
            assert_eq!(world.database.one("SELECT cast(count(*) as text) FROM a"), "1", "{kind:?} {sql}");
        }
    }
}

#[test]
fn collections_and_indices_are_checked_too() {
    for kind in [Kind::Mongodb, Kind::MongodbStandalone] {
        let (name, text) = file(1, r#"[{ "type": "create_collection", "collection": "people" }]"#, None);
        let files = [(name.as_str(), text.as_str())];
        let fine = World::new(kind, &files, "  health_checks: { critical_tables: [people] }\n");
        assert_eq!(check(&fine.apply(0), "critical-table")["status"], "passed");
        let world = World::new(kind, &files, "  health_checks: { critical_tables: [persons] }\n");
        let said = world.apply(1);
        assert_eq!(check(&said, "critical-table")["message"], "`persons`: there is no collection `persons`");
        assert_eq!(said["steps"][0]["state"], "rolled_back", "{kind:?} {said:#}");
        assert_eq!(world.database.history(), ["001_m1 rolled_back"]);
    }
    // Others make indices in the same cluster, so that nothing is undone here: it would be taken for drift.
    let calm = "thresholds: { cpu_usage: { critical: 1000 }, memory_usage: { critical: 1000 }, disk_usage: { critical: 1000 }, \
                cluster_status: { critical: 3 } }";
    for (index, code, status) in [("nowhere", 1, "failed"), ("a", 0, "passed")] {
        let database = Database::fresh(Kind::Elasticsearch);
        let prefix = database.name().to_owned();
        let text = format!(
            "{{\"version\": \"1.0.0\", \"name\": \"a\", \"description\": \"a test\", \"database_type\": \"elasticsearch\", \
             \"migration_type\": \"schema\", \"operations\": [{{\"type\": \"create_index\", \"index\": \"{prefix}_a\"}}]}}"
        );
        let more = format!("  health_checks: {{ on_failure: stop, critical_tables: [{prefix}_{index}], {calm} }}\n");
        let world = World::on(database, &[("001_a.json", &text)], &more);
        let said = world.apply(code);
        assert_eq!(check(&said, "critical-table")["status"], status, "{said:#}");
        assert_eq!(world.database.history(), ["001_a applied"]);
        let after = said["health"]["after"].as_array().unwrap();
        for vital in ["cluster_status", "cpu_usage", "memory_usage", "disk_usage"] {
            assert!(after.iter().any(|m| m["vital"] == vital), "{vital}: {said:#}");
        }
    }
}

#[test]
fn s3_101_the_monitoring_is_asked_before_and_what_is_critical_there_refuses() {
    let metrics = Endpoint::saying(200, "node_cpu_usage 97.5\nshop_error_rate{target=\"other\"} 50\n");
    let more = format!("  monitoring: {{ enabled: true, metrics_endpoint: \"{}\" }}\n", metrics.url());
    let world = World::new(Kind::Sqlite, &ALL_FILES, &more);
    let said = world.apply(3);
    let why = said["blocked_by"][0]["message"].as_str().unwrap();
    assert!(why.ends_with("cpu_usage 97.5 % (above 90 %)"), "{why}");
    assert_eq!(world.database.history(), Vec::<String>::new());
    // What is only high is told, and one that does not answer stops nothing.
    let high = Endpoint::saying(200, "node_cpu_usage 85\n");
    world.environment(&more.replace(&metrics.url(), &high.url()));
    let text = world.run(&["apply", "development", "--yes", "--to", "0001_a"]).expect(0).stdout;
    assert!(text.contains("health before: cpu_usage 85 % (above 80 %), warning"), "{text}");
    drop(high);
    let said = world.apply(0);
    assert_eq!(check(&said, "monitoring")["status"], "skipped", "{said:#}");
    // Switched off, it is not asked.
    let asked = metrics.asked();
    world.environment(&format!("  monitoring: {{ enabled: false, metrics_endpoint: \"{}\" }}\n", metrics.url()));
    world.apply(0);
    assert_eq!(metrics.asked(), asked);
}

#[test]
fn a_run_stops_between_two_migrations_while_something_is_critical_and_goes_on_later() {
    // Before the run and before its first migration all is well.
    let metrics = Endpoint::answering(|n| (200, format!("cpu_usage {}\n", if n > 2 { 99 } else { 10 })));
    let health = "  health_checks: { interval: 0, patience: 1 }\n";
    let more = format!("{health}  monitoring: {{ enabled: true, metrics_endpoint: \"{}\" }}\n", metrics.url());
    let world = World::new(Kind::Postgres, &ALL_FILES, &more);
    let said = world.apply(1);
    assert_eq!(said["outcome"], "failed", "{said:#}");
    assert_eq!(said["blocked_by"][0]["reason"], "health");
    assert!(said["blocked_by"][0]["message"].as_str().unwrap().contains("between two migrations"), "{said:#}");
    let states: Vec<&Value> = said["steps"].as_array().unwrap().iter().map(|s| &s["state"]).collect();
    assert_eq!(states, ["applied", "pending"]);
    assert_eq!(world.database.history(), ["0001_a applied"]);
    world.environment(health);
    assert_eq!(world.apply(0)["outcome"], "applied");
    assert_eq!(world.database.history(), ["0001_a applied", "0002_b applied"]);
}

#[test]
fn a_pause_ends_by_itself_when_it_fares_better() {
    let metrics = Endpoint::answering(|n| (200, format!("cpu_usage {}\n", if (3..=4).contains(&n) { 99 } else { 10 })));
    let more = format!(
        "  health_checks: {{ interval: 0 }}\n  monitoring: {{ enabled: true, metrics_endpoint: \"{}/metrics\" }}\n",
        metrics.url()
    );
    let world = World::new(Kind::Sqlite, &ALL_FILES, &more);
    assert_eq!(world.apply(0)["outcome"], "applied");
    assert!(metrics.asked() >= 5, "{}", metrics.asked());
}

#[test]
fn s3_23_who_may_not_write_is_refused_before_anything_is_done() {
    let world = World::new(Kind::Postgres, &ALL_FILES, "");
    let role = format!("{}_reader", world.database.name());
    world.database.query(&format!("CREATE ROLE {role} LOGIN PASSWORD 'planted-secret'"));
    world.database.query("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let url = world.database.url.clone();
    let (_, host) = url.split_once('@').unwrap();
    let reader = format!("postgres://{role}:planted-secret@{host}");
    let run = |url: &str| -> crate::support::Said {
        let mut command = crate::support::godwit(world.dir.path());
        command.args(["apply", "development", "--yes", "--format", "json"]).env("SHOP_URL", url);
        command.output().unwrap().into()
    };
    let said = run(&reader).expect(1);
    let refusal = said.json()["blocked_by"][0].clone();
    assert_eq!(refusal["reason"], "impossible");
    assert!(refusal["message"].as_str().unwrap().contains("permission denied"), "{refusal}");
    assert!(refusal["what_to_do"].as_str().unwrap().contains("GRANT CREATE"), "{refusal}");
    assert!(!said.stdout.contains("planted-secret"));
    world.database.query(&format!("ALTER ROLE {role} SET default_transaction_read_only = on"));
    let refusal = run(&reader).expect(1).json()["blocked_by"][0].clone();
    assert!(refusal["message"].as_str().unwrap().contains("read-only"), "{refusal}");
    world.database.query(&format!("ALTER ROLE {role} RESET default_transaction_read_only"));
    // The tables are there, made by somebody else.
    run(&url).expect(0);
    world.write("m/0003_c.up.sql", "CREATE TABLE c (n INTEGER);");
    world.database.query(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"));
    let refusal = run(&reader).expect(1).json()["blocked_by"][0].clone();
    assert!(refusal["what_to_do"].as_str().unwrap().contains("godwit_fence"), "{refusal}");
    world.database.query(&format!("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}"));
    world.database.query(&format!("DROP ROLE {role}"));
}

#[test]
fn mistakes_in_the_configuration_are_located() {
    let world = World::new(Kind::Sqlite, &ALL_FILES, "  health_checks: { critical_tables: [nowhere/a] }\n");
    let said = world.run(&["apply", "development", "--yes"]).expect(2);
    assert!(
        said.stderr.contains("policies/environments.yml:3:") && said.stderr.contains("no target `nowhere`"),
        "{said:?}"
    );
    let world = World::new(Kind::Sqlite, &ALL_FILES, "  monitoring: { enabled: true, endpoint: x }\n");
    let said = world.run(&["apply", "development", "--yes"]).expect(2);
    assert!(
        said.stderr.contains("policies/environments.yml:3:") && said.stderr.contains("unknown key `endpoint`"),
        "{said:?}"
    );
}

#[test]
fn r7_an_index_that_somebody_left_invalid_is_told_where_another_is_built() {
    let index = ("0002_i.up.sql", "CREATE INDEX CONCURRENTLY a_n ON a (n);");
    let world = World::new(Kind::Postgres, &[TABLE, index], "");
    world.run(&["apply", "development", "--yes", "--to", "0001_a"]).expect(0);
    world.database.query("INSERT INTO a VALUES (7)");
    // A unique build that fails leaves its index behind.
    assert!(world.database.try_query("CREATE UNIQUE INDEX CONCURRENTLY left_over ON a (n)").is_err());
    world.run(&["drift", "development", "--accept", "--reason", "it is looked at"]).expect(0);
    let said = world.apply(0);
    let notes = said["notes"].to_string();
    assert!(notes.contains("left_over") && notes.contains("INVALID"), "{notes}");
    assert_eq!(world.database.one("SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'a_n'::regclass"), "true");
}
