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
    let place = SchemaPlace { repo: None, environment: &environment, target: &target };
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
