//! What was changed outside Godwit is told, and nothing runs until a person says what to do about it.

use std::process::Command;

use crate::support::mongodb::file;
use crate::support::servers::OwnServer;
use crate::support::{Database, Kind, Said, godwit};

struct Shop {
    dir: tempfile::TempDir,
    database: Database,
}

impl Shop {
    fn new(kind: Kind) -> Self {
        let shop = Self::on(Database::fresh(kind));
        shop.write("db/1_users.up.sql", "create table users (id integer primary key, email text);");
        shop
    }

    fn on(database: Database) -> Self {
        let shop = Self { dir: tempfile::tempdir().unwrap(), database };
        std::fs::create_dir_all(shop.dir.path().join("policies")).unwrap();
        std::fs::create_dir_all(shop.dir.path().join("db")).unwrap();
        shop.write(
            "godwit.yml",
            "version: 1\nenvironments: [development]\nmigrations:\n  - path: db\n    target: shop\n",
        );
        let engine = shop.database.kind.engine();
        shop.write(
            "policies/environments.yml",
            &format!("development:\n  targets:\n    shop: {{ engine: {engine}, url: \"${{SHOP_URL}}\" }}\n"),
        );
        shop
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> Said {
        let mut command: Command = godwit(self.dir.path());
        command.args(args).env("SHOP_URL", &self.database.url).output().unwrap().into()
    }
}

#[test]
fn s2_138_a_change_by_hand_is_shown_blocks_a_run_and_can_be_taken_over() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let shop = Shop::new(kind);
        let said = shop.run(&["drift", "development"]).expect(0);
        assert!(said.stdout.contains("nothing to compare with"), "{said:?}");
        shop.run(&["apply", "development", "--yes"]).expect(0);
        let said = shop.run(&["drift", "development"]).expect(0);
        assert!(said.stdout.contains("left it"), "{said:?}");

        shop.database.query("alter table users add column nick text");
        shop.database.query("create index by_hand on users (email)");
        let said = shop.run(&["drift", "development"]).expect(4);
        assert!(said.stdout.contains("nick") && said.stdout.contains("by_hand"), "{said:?}");
        let json = shop.run(&["drift", "development", "--format", "json"]).expect(4).json();
        let changes = json["targets"][0]["changes"].as_array().unwrap().clone();
        assert_eq!(changes.len(), 2, "{json}");

        // Nothing to do is nothing to do; what has something to do is stopped.
        shop.run(&["apply", "development", "--yes"]).expect(0);
        shop.write("db/2_orders.up.sql", "create table orders (id integer primary key);");
        // A plan says beforehand what the run will say.
        let told = |args: &[&str]| shop.run(args).expect(4).json()["blocked_by"].clone();
        let foretold = told(&["plan", "development", "--format", "json"]);
        assert_eq!(foretold[0]["reason"], "schema-drift", "{foretold}");
        assert_eq!(told(&["apply", "development", "--dry-run", "--format", "json"]), foretold);
        assert_eq!(told(&["apply", "development", "--yes", "--format", "json"]), foretold);
        let said = shop.run(&["apply", "development", "--yes"]).expect(4);
        assert!(said.stdout.contains("by_hand") && said.stdout.contains("godwit drift"), "{said:?}");
        assert!(!shop.database.has_table("orders"));

        shop.run(&["drift", "development", "--accept"]).expect(2);
        shop.run(&["drift", "development", "--accept", "--reason", "the DBA's index"]).expect(0);
        shop.run(&["apply", "development", "--yes"]).expect(0);
        assert!(shop.database.has_table("orders"));
        let said = shop.run(&["audit", "list"]).expect(0);
        assert!(said.stdout.contains("drift-accepted"), "{said:?}");
    }
}

#[test]
fn s2_138_another_database_under_the_same_name_is_not_taken_for_a_changed_one() {
    let shop = Shop::new(Kind::Sqlite);
    shop.run(&["apply", "development", "--yes"]).expect(0);
    let other = Database::fresh(Kind::Sqlite);
    other.query("create table elsewhere (id integer primary key)");
    let there = |args: &[&str]| -> Said {
        godwit(shop.dir.path()).args(args).env("SHOP_URL", &other.url).output().unwrap().into()
    };
    there(&["apply", "development", "--yes"]).expect(0);
    there(&["drift", "development"]).expect(0);
    // Each is compared with what was left on it.
    let said = shop.run(&["drift", "development"]).expect(0);
    assert!(said.stdout.contains("left it") && !said.stdout.contains("elsewhere"), "{said:?}");
    shop.write("db/2_orders.up.sql", "create table orders (id integer primary key);");
    shop.run(&["apply", "development", "--yes"]).expect(0);
    there(&["apply", "development", "--yes"]).expect(0);
    other.query("create table by_hand (id integer primary key)");
    assert!(there(&["drift", "development"]).expect(4).stdout.contains("by_hand"));
    shop.run(&["drift", "development"]).expect(0);
}

#[test]
fn s1_52_production_is_compared_with_what_staging_was_left_as() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let shop = Shop::new(kind);
        let production = Database::fresh(kind);
        let environment = |name: &str, url: &str| {
            let engine = kind.engine();
            format!(
                "{name}:\n  targets:\n    shop: {{ engine: {engine}, url: \"${{{url}}}\" }}\n  migration: {{ backup_required: false }}\n"
            )
        };
        let both = environment("staging", "SHOP_URL") + &environment("production", "PROD_URL");
        shop.write("policies/environments.yml", &both);
        shop.write(
            "godwit.yml",
            "version: 1\nenvironments: [staging, production]\nmigrations:\n  - path: db\n    target: shop\n",
        );
        let run = |args: &[&str]| -> Said {
            let mut command = godwit(shop.dir.path());
            command.args(args).env("SHOP_URL", &shop.database.url).env("PROD_URL", &production.url);
            command.output().unwrap().into()
        };
        let against = ["drift", "production", "--against", "staging"];
        assert!(run(&against).expect(0).stdout.contains("nothing is known of staging"));
        for name in ["staging", "production"] {
            run(&["apply", name, "--yes"]).expect(0);
        }
        assert!(run(&against).expect(0).stdout.contains("as in staging"));

        production.query("create index by_hand on users (email)");
        let said = run(&against).expect(4);
        assert!(said.stdout.contains("by_hand") && said.stdout.contains("not as in staging"), "{said:?}");
        let json = run(&["drift", "production", "--against", "staging", "--format", "json"]).expect(4).json();
        assert_eq!((&json["against"], json["targets"][0]["changes"].as_array().unwrap().len()), (&"staging".into(), 1));
        production.query("drop index by_hand");

        // What production has not had yet is no drift.
        shop.write("db/2_orders.up.sql", "create table orders (id integer primary key);");
        run(&["apply", "staging", "--yes"]).expect(0);
        let said = run(&against).expect(0);
        assert!(said.stdout.contains("orders") && said.stdout.contains("other migrations are applied"), "{said:?}");
        let said = run(&["drift", "production", "--against", "stagnig"]).expect(2);
        assert!(said.stderr.contains("there is no environment `stagnig`"), "{said:?}");
    }
}

#[test]
fn a_change_taken_back_is_no_drift_and_a_run_from_elsewhere_is_not_taken_for_one() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let shop = Shop::new(kind);
        shop.run(&["apply", "development", "--yes"]).expect(0);
        shop.database.query("create index by_hand on users (email)");
        shop.database.query("drop index by_hand");
        shop.run(&["drift", "development"]).expect(0);

        // A laptop with a store of its own runs the next migration.
        shop.write("db/2_orders.up.sql", "create table orders (id integer primary key);");
        let other = tempfile::tempdir().unwrap();
        let mut laptop = godwit(shop.dir.path());
        laptop.args(["apply", "development", "--yes"]).env("SHOP_URL", &shop.database.url);
        laptop.env("GODWIT_DATA_DIR", other.path());
        Said::from(laptop.output().unwrap()).expect(0);
        let said = shop.run(&["drift", "development"]).expect(0);
        assert!(said.stdout.contains("without leaving a record here"), "{said:?}");
        shop.write("db/3_more.up.sql", "create table more (id integer primary key);");
        shop.run(&["apply", "development", "--yes"]).expect(0);
        shop.run(&["drift", "development"]).expect(0);
    }
}

#[test]
fn dec20_an_older_copy_of_a_database_is_drift_and_no_migration_that_ran_elsewhere() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let shop = Shop::new(kind);
        shop.write("db/2_orders.up.sql", "create table orders (id integer primary key);");
        shop.run(&["apply", "development", "--yes"]).expect(0);
        shop.database.query("drop table orders");
        shop.database.query("delete from godwit_history where id = '2_orders'");
        let said = shop.run(&["drift", "development"]).expect(4);
        assert!(said.stdout.contains("applied `2_orders` here") && said.stdout.contains("older than"), "{said:?}");
        assert!(!said.stdout.contains("without leaving a record"), "{said:?}");
        let json = shop.run(&["drift", "development", "--format", "json"]).expect(4).json();
        let target = &json["targets"][0];
        assert_eq!(
            (&target["history_moved"], &target["older"][0]["reason"]),
            (&false.into(), &"drift".into()),
            "{json}"
        );
        assert!(target["changes"].to_string().contains("orders"), "{json}");
        for args in [&["plan", "development"][..], &["status", "development"]] {
            let said = shop.run(args).expect(4);
            assert!(said.stdout.contains("older than what was recorded"), "{args:?}: {said:?}");
        }
    }
}

#[test]
fn dec20_an_older_copy_is_told_of_documents_and_keys_too() {
    for kind in [Kind::Mongodb, Kind::Redis] {
        let shop = Shop::on(Database::fresh(kind));
        let text = match kind {
            Kind::Redis => r#"{ "version": "1.0.0", "name": "a", "description": "for a test", "database_type": "redis",
                "migration_type": "data", "operations": [{ "type": "set_ttl", "keys": ["carts"], "seconds": 600 }] }"#
                .to_owned(),
            _ => r#"[{ "type": "create_collection", "collection": "people" }]"#.to_owned(),
        };
        let (name, text) = match kind {
            Kind::Redis => ("001_a.json".to_owned(), text),
            _ => file(1, &text, None),
        };
        shop.write(&format!("db/{name}"), &text);
        shop.run(&["apply", "development", "--yes"]).expect(0);
        shop.run(&["status", "development"]).expect(0);
        match kind {
            Kind::Redis => {
                let keys: Vec<String> = shop.database.redis(&["KEYS", "*history*"]);
                assert_eq!(keys.len(), 1, "{keys:?}");
                shop.database.redis::<u64>(&["DEL", &keys[0]]);
            }
            _ => {
                let all = serde_json::json!({ "delete": "godwit_history", "deletes": [{ "q": {}, "limit": 0 }] });
                shop.database.mongo(&all).unwrap();
            }
        }
        for args in [&["status", "development"][..], &["plan", "development"], &["drift", "development"]] {
            let said = shop.run(args);
            assert_eq!(said.code, Some(4), "{kind:?} {args:?}: {said:?}");
            assert!(said.stdout.contains("older than what was recorded"), "{kind:?} {args:?}: {said:?}");
        }
    }
}

#[test]
fn s2_138_an_index_made_by_hand_is_drift_of_documents_too() {
    for kind in [Kind::Mongodb, Kind::MongodbStandalone] {
        let shop = Shop::on(Database::fresh(kind));
        let (name, text) = file(1, r#"[{ "type": "create_collection", "collection": "people" }]"#, None);
        shop.write(&format!("db/{name}"), &text);
        shop.run(&["apply", "development", "--yes"]).expect(0);
        shop.run(&["drift", "development"]).expect(0);
        let by_hand =
            serde_json::json!({ "createIndexes": "people", "indexes": [{ "key": { "n": 1 }, "name": "by_hand" }] });
        shop.database.mongo(&by_hand).unwrap();
        assert!(shop.run(&["drift", "development"]).expect(4).stdout.contains("by_hand"));
        let (name, text) = file(2, r#"[{ "type": "create_collection", "collection": "carts" }]"#, None);
        shop.write(&format!("db/{name}"), &text);
        let said = shop.run(&["apply", "development", "--yes"]).expect(4);
        assert!(said.stdout.contains("people") && said.stdout.contains("godwit drift"), "{said:?}");
        shop.run(&["drift", "development", "--accept", "--reason", "ours now"]).expect(0);
        shop.run(&["apply", "development", "--yes"]).expect(0);
        assert_eq!(shop.database.history(), ["001_m1 applied", "002_m2 applied"]);
    }
}

#[test]
fn s2_138_a_setting_changed_by_hand_is_drift_of_keys() {
    // Settings are the whole server's.
    let server = OwnServer::up("redis");
    let shop = Shop::on(Database::alone_on(Kind::Redis, &server.url));
    shop.write(
        "db/001_on.json",
        r#"{"version": "1.0.0", "name": "on", "description": "a test", "database_type": "redis", "migration_type": "data", "keys": ["flag"]}"#,
    );
    shop.write("db/001_on.lua", "return redis.call('SET', KEYS[1], 'on') and 1");
    shop.write("db/001_on_rollback.lua", "return redis.call('DEL', KEYS[1])");
    shop.run(&["apply", "development", "--yes"]).expect(0);
    shop.run(&["drift", "development"]).expect(0);
    shop.database.redis::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let said = shop.run(&["drift", "development"]).expect(4);
    assert!(said.stdout.contains("maxmemory-policy") && said.stdout.contains("allkeys-lru"), "{said:?}");
    shop.database.redis::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    shop.run(&["drift", "development"]).expect(0);
}

#[test]
fn s2_138_a_mapping_changed_by_hand_is_drift_of_an_index() {
    let database = Database::fresh(Kind::Elasticsearch);
    let index = format!("{}_people", database.name());
    let shop = Shop::on(database);
    shop.write(
        "db/001_people.json",
        &format!(
            r#"{{"version": "1.0.0", "name": "people", "description": "a test", "database_type": "elasticsearch", "migration_type": "schema", "operations": [{{"type": "create_index", "index": "{index}", "mapping": {{"properties": {{"id": {{"type": "keyword"}}}}}}}}]}}"#
        ),
    );
    shop.run(&["apply", "development", "--yes"]).expect(0);
    let body = serde_json::json!({ "properties": { "by_hand": { "type": "long" } } });
    shop.database.elastic("PUT", &format!("/{index}/_mapping"), Some(&body));
    // Other tests make and change indices in the same cluster: only this one is looked at.
    let said = shop.run(&["drift", "development", "--format", "json"]).expect(4).json();
    let changes = said["targets"][0]["changes"].as_array().unwrap();
    let own: Vec<_> = changes.iter().filter(|c| c["object"] == format!("index {index}")).collect();
    assert_eq!(own.len(), 1, "{said}");
    assert!(own[0].to_string().contains("by_hand"), "{}", own[0]);
}

#[test]
fn s2_138_what_postgresql_keeps_beside_its_tables_is_drift_too() {
    let shop = Shop::new(Kind::Postgres);
    shop.write(
        "db/2_more.up.sql",
        "create domain age as int;\ncreate type pair as (x int, y int);\ncreate sequence numbers;\n\
         create publication few for table users;",
    );
    shop.run(&["apply", "development", "--yes"]).expect(0);
    shop.run(&["drift", "development"]).expect(0);
    for (by_hand, object, part) in [
        ("alter table users enable row level security", "table public.users", "row level security"),
        ("create policy mine on users using (id > 1)", "table public.users", "policy mine for all to public using"),
        ("create rule quiet as on delete to users do instead nothing", "table public.users", "rule CREATE RULE quiet"),
        ("grant select on users to public", "table public.users", "grant SELECT to public"),
        ("grant update (email) on users to public", "table public.users", "grant UPDATE (email) to public"),
        ("alter table users owner to pg_monitor", "table public.users", "owned by pg_monitor"),
        ("alter table users set (fillfactor = 70)", "table public.users", "with fillfactor=70"),
        ("alter domain age add constraint adult check (value > 17)", "type age", "constraint adult"),
        ("alter domain age set not null", "type age", "domain integer not null"),
        ("alter type pair add attribute z int", "type public.pair", "attribute z integer"),
        ("alter sequence numbers increment 5", "sequence public.numbers", "increment 5"),
        (
            "create aggregate total(int) (sfunc = int4pl, stype = int)",
            "aggregate total(integer)",
            "sfunc int4pl(integer,integer)",
        ),
        ("alter publication few set (publish = 'insert')", "publication few", "publishes insert"),
        ("alter publication few drop table users", "publication few", "table public.users"),
    ] {
        shop.database.query(by_hand);
        let json = shop.run(&["drift", "development", "--format", "json"]).expect(4).json();
        let change = &json["targets"][0]["changes"][0];
        assert_eq!(change["object"], object, "{by_hand}: {json}");
        let told = format!("{} {}", change["added"], change["removed"]);
        assert!(told.contains(part), "{by_hand}: {told}");
        assert!(shop.run(&["drift", "development"]).expect(4).stdout.contains(part), "{by_hand}");
        shop.run(&["drift", "development", "--accept", "--reason", "known"]).expect(0);
        shop.run(&["drift", "development"]).expect(0);
    }
}

#[test]
fn s2_138_what_an_earlier_version_recorded_is_compared_by_what_it_read_and_renewed_by_the_next_run() {
    use godwit::ids::{EnvironmentName, TargetName};
    use godwit::store::Store;
    use godwit::store::schemas::SchemaPlace;

    let shop = Shop::new(Kind::Postgres);
    shop.run(&["apply", "development", "--yes"]).expect(0);
    let (environment, target) = (EnvironmentName::new("development").unwrap(), TargetName::new("shop").unwrap());
    let identity = shop.database.one("select target_id from godwit_fence");
    let place = SchemaPlace { repo: None, environment: &environment, target: &target, identity: &identity };
    let url = format!("sqlite:{}", shop.dir.path().join("state/godwit.db").display());
    let has_details = |forget: bool| {
        crate::support::wait(async {
            let store = Store::open(&url).await.unwrap();
            let mut record = store.recorded_schema(place).await.unwrap().unwrap();
            let found = record.schema.details.is_some();
            if forget {
                record.schema.details = None;
                store.record_schema(place, &record).await.unwrap();
            }
            found
        })
    };
    assert!(has_details(true));
    assert!(!has_details(false));
    shop.database.query("grant select on users to public");
    shop.run(&["drift", "development"]).expect(0);
    shop.write("db/2_orders.up.sql", "create table orders (id integer primary key);");
    shop.run(&["apply", "development", "--yes"]).expect(0);
    assert!(has_details(false));
    shop.database.query("revoke select on users from public");
    assert!(shop.run(&["drift", "development"]).expect(4).stdout.contains("grant SELECT to public"));
}
