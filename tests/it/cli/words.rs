//! Commands under the words of the systems that people come from, carried out: tracking tables, variables, tries, services.

use super::papers::Shop;
use crate::support::{Database, Kind, Said, godwit};

#[test]
fn s2_04_s2_05_s0_31_variables_are_listed_and_read_from_the_folder() {
    let shop = Shop::new();
    shop.run(&["init", "env"]).expect(2);
    let asking = shop
        .read("policies/environments.yml")
        .replace("sqlite:development.db", "${SHOP_DEV_URL}")
        .replace("sqlite:production.db", "${SHOP_PROD_URL}");
    shop.write("policies/environments.yml", &asking);
    let said = shop.run(&["init", "env", "--format", "json"]).expect(0).json();
    assert_eq!(said["files"][1], serde_json::json!({ "path": ".env", "written": true }));
    let template = shop.read(".env.template");
    assert!(
        template.contains("# development\nSHOP_DEV_URL=\n") && template.contains("# production\nSHOP_PROD_URL=\n"),
        "{template}"
    );
    let missing = shop.run(&["status", "dev"]).expect(2).stderr;
    assert!(missing.contains("SHOP_DEV_URL"), "{missing}");
    shop.write(".env", "# mine\nexport SHOP_DEV_URL=\"sqlite:one.db\"\n");
    shop.run(&["init", "env"]).expect(0);
    assert!(shop.read(".env").starts_with("# mine"));
    shop.run(&["apply", "dev", "--yes"]).expect(0);
    assert!(shop.path().join("one.db").exists());
    // The process's own variables come first.
    let mut run = godwit(shop.path());
    let said: Said = run.args(["apply", "dev", "--yes"]).env("SHOP_DEV_URL", "sqlite:two.db").output().unwrap().into();
    said.expect(0);
    assert!(shop.path().join("two.db").exists());
}

#[test]
fn s1_38_s3_30_nobody_is_asked_about_an_environment_that_is_there_to_try_things_out() {
    for name in ["development", "dev", "testing", "test"] {
        let shop = Shop::new();
        shop.write(
            "godwit.yml",
            &format!("version: 1\nenvironments: [{name}]\nmigrations:\n  - {{ path: db, target: shop }}\n"),
        );
        let url = "sqlite:only.db";
        shop.write(
            "policies/environments.yml",
            &format!("{name}:\n  targets:\n    shop: {{ engine: sqlite, url: \"{url}\" }}\n"),
        );
        std::fs::remove_file(shop.path().join("policies/approval_matrix.yml")).unwrap();
        shop.run(&["migrate", name]).expect(0);
        // At a high risk too.
        shop.write("db/0004_gone.up.sql", "drop table orders;\n");
        shop.run(&["migrate", name]).expect(0);
    }
    let shop = Shop::new();
    let said = shop.run(&["migrate", "production", "--emergency", "now"]).expect(2).stderr;
    assert!(said.contains("--yes") && said.contains("production"), "{said}");
}

#[test]
fn f208_what_a_script_does_not_undo_is_not_recorded_as_undone() {
    let shop = Shop::new();
    shop.write("db/0003_phone.down.sql", "SELECT 1;\n");
    shop.run(&["apply", "development", "--yes"]).expect(0);
    let said = shop.run(&["rollback", "development", "--steps", "1", "--yes"]).expect(1);
    assert!(said.stdout.contains("undoes nothing of") && said.stdout.contains("0003_phone"), "{said:?}");
    shop.write("db/0003_phone.down.sql", "alter table customers drop column phone;\n");
    shop.run(&["rollback", "development", "--steps", "1", "--yes"]).expect(0);
}

#[test]
fn s2_23_an_environment_alone_says_nothing_of_what_to_undo() {
    let shop = Shop::new();
    for (word, known) in [("production", "production"), ("dev", "development")] {
        let said = shop.run(&["rollback", word, "--yes"]).expect(2);
        assert!(said.stderr.contains(&format!("say what to undo in `{known}`")), "{said:?}");
    }
}

#[test]
fn s1_41_basic_makes_the_tools_own_table_and_nothing_else() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = Database::fresh(kind);
        let folder = tempfile::tempdir().unwrap();
        let sql = "-- migrate:up\nCREATE TABLE a (id bigint PRIMARY KEY);\n-- migrate:down\nDROP TABLE a;\n";
        std::fs::create_dir_all(folder.path().join("db/migrations")).unwrap();
        std::fs::write(folder.path().join("db/migrations/20240101000000_a.sql"), sql).unwrap();
        let run = |more: &[&str]| -> Said {
            let mut run = godwit(folder.path());
            let args = ["init-tracking", "--url", &database.url, "--path", "db/migrations", "--format", "json"];
            run.args(args).args(more).output().unwrap().into()
        };
        let tables = || {
            let of = match kind {
                Kind::Sqlite => "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
                _ => "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename",
            };
            database.query(of).concat()
        };
        for _ in 0..2 {
            let made = run(&["--basic"]).expect(0).json();
            assert_eq!(made["targets"][0]["tables"], serde_json::json!(["schema_migrations"]), "{made}");
            assert_eq!(tables(), ["schema_migrations"]);
        }
        run(&[]).expect(0);
        assert_eq!(tables(), ["godwit_fence", "godwit_history", "schema_migrations"]);
    }
}

#[test]
fn s1_37_s1_39_s1_41_a_services_tracking_table_is_made_once_and_an_existing_one_adopted() {
    let database = Database::fresh(Kind::Postgres);
    let shop = Shop::new();
    shop.write("godwit.yml", "version: 1\nenvironments: [development]\nmigrations:\n  - { path: services/*/migrations, layout: service, target: shop }\n");
    shop.write(
        "policies/environments.yml",
        "development:\n  targets:\n    shop: { engine: postgresql, url: \"${SHOP_URL}\" }\n",
    );
    std::fs::remove_file(shop.path().join("policies/approval_matrix.yml")).unwrap();
    for service in ["user-service", "order-service"] {
        let schema = service.replace('-', "_");
        let dir = format!("services/{service}/migrations");
        shop.write(
            &format!("{dir}/0001_first.up.sql"),
            &format!("CREATE TABLE {schema}.first (id bigint PRIMARY KEY);\n"),
        );
        shop.write(&format!("{dir}/0001_first.down.sql"), &format!("DROP TABLE {schema}.first;\n"));
        shop.write(&format!("{dir}/dependencies.json"), &format!("{{\"service\":\"{service}\",\"schema\":\"{schema}\",\"migrations\":{{\"0001_first\":{{\"depends_on\":[]}}}}}}"));
        shop.write(&format!("{dir}/README.md"), "# service\n");
        shop.write(&format!("{dir}/docs/0001_first.md"), "# first\n");
    }
    let run = |args: &[&str]| -> Said {
        godwit(shop.path())
            .args(args)
            .env("SHOP_URL", &database.url)
            .env_remove("MIGRATION_ENV")
            .output()
            .unwrap()
            .into()
    };
    // The original tool has been there: its table says that the first one is applied.
    database.query("CREATE SCHEMA user_service; CREATE TABLE user_service.first (id bigint PRIMARY KEY); CREATE TABLE user_service.user_service_schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL); INSERT INTO user_service.user_service_schema_migrations VALUES (1, false)");
    let made = run(&["init-tracking", "--service", "user-service", "--format", "json"]).expect(0).json();
    assert_eq!(made["targets"][0]["applied"], 1, "{made}");
    let tables = |schema: &str| {
        database.query(&format!(
            "SELECT count(*)::text FROM pg_tables WHERE schemaname = '{schema}' AND tablename LIKE '%schema_migrations'"
        ))
    };
    assert_eq!(tables("order_service"), [["0"]]);
    // Of Godwit's own tables `--basic` touches none: not those that are there, and it makes none either.
    let own = "SELECT count(*)::text FROM pg_tables WHERE tablename IN ('godwit_history', 'godwit_fence')";
    assert_eq!(database.query(own), [["2"]]);
    database.query("DROP TABLE godwit_history, godwit_fence");
    run(&["init-tracking", "development", "--service", "order-service", "--basic"]).expect(0);
    assert_eq!(tables("order_service"), [["1"]]);
    let said = run(&["init-tracking", "--service", "order-service", "--basic"]).expect(0).stdout;
    assert!(said.contains("order_service_schema_migrations is there") && !said.contains("godwit_"), "{said}");
    assert_eq!(database.query(own), [["0"]]);
    let again = run(&["init-tracking", "--service", "order-service", "--format", "json"]).expect(0).json();
    assert_eq!(again["targets"][0]["applied"], 0);
    run(&["migrate", "--service", "order-service", "--force"]).expect(0);
    let status = run(&["status", "development", "--service", "order-service", "--format", "json"]).expect(0).json();
    let entry = &status["targets"][0]["migrations"][0];
    for key in ["version", "name", "state", "risk", "duration_ms", "applied_at", "by", "checksum"] {
        assert!(!entry[key].is_null(), "{key}: {entry}");
    }
    let said = run(&["status", "--verbose"]).expect(0).stdout;
    assert!(said.contains("version 0001") && said.contains("sha256:"), "{said}");
    // One service's findings, and no other's.
    shop.write("services/user-service/migrations/0002_drop.up.sql", "DROP TABLE user_service.first;\n");
    let linted =
        |service: &str| run(&["lint", "--service", service, "--fail-on", "never", "--format", "json"]).expect(0).json();
    assert_eq!(linted("order-service")["migrations"].as_array().unwrap().len(), 1);
    let of_user = linted("user-service");
    assert!(
        of_user["violations"].as_array().unwrap().iter().all(|v| v["file"].as_str().unwrap().contains("user-service")),
        "{of_user}"
    );
    assert!(!of_user["violations"].as_array().unwrap().is_empty());
    run(&["lint", "--service", "none"]).expect(2);
}

#[test]
fn s2_108_s2_110_s4_49_migrations_are_tried_beside_an_environment_and_never_on_production() {
    let shop = Shop::new();
    shop.write("db/0003_phone.down.sql", "alter table customers drop column phone;\n");
    let tried = |args: &[&str]| -> Vec<String> {
        let said = shop.run(&[args, &["--format", "json"]].concat()).expect(0).json();
        said["migrations"].as_array().unwrap().iter().map(|m| m["migration"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(tried(&["test", "development"]).len(), 3);
    assert_eq!(tried(&["test"]).len(), 3);
    assert_eq!(tried(&["test", "--version", "0002", "--back-to", "0001"]), ["0002_orders"]);
    assert_eq!(tried(&["test", "dev", "--version", "0002"]), ["0001_customers", "0002_orders"]);
    assert_eq!(tried(&["test-rollback", "0003_phone", "--url", "sqlite:", "--path", "db"]), ["0003_phone"]);
    assert!(!shop.path().join("development.db").exists(), "nothing is tried on the database itself");
    for args in [
        &["test", "production"][..],
        &["test", "--version", "9"],
        &["test", "dev", "--version", "0002", "--back-to", "9"],
        &["test", "nowhere"],
    ] {
        shop.run(args).expect(2);
    }
}

#[test]
fn the_environment_may_stand_alone_and_force_beside_yes() {
    let shop = Shop::new();
    shop.run(&["baseline", "dev", "--to", "0001", "--dry-run"]).expect(0);
    shop.run(&["apply", "dev", "--force", "--yes"]).expect(0);
    let said = shop.run(&["cancel", "dev"]).expect(0);
    assert!(said.stdout.contains("nothing runs in dev"), "{said:?}");
    shop.run(&["cancel"]).expect(2);
    shop.run(&["cancel", "dev", "--env", "dev"]).expect(2);
    let said = shop.run(&["resolve", "0001_nothing", "dev", "--as", "applied", "--reason", "seen"]).expect(2);
    assert!(said.stderr.contains("0001_nothing"), "{said:?}");
    let said = shop.run(&["release", "0001_nothing", "dev", "--reason", "seen"]).expect(2);
    assert!(said.stderr.contains("0001_nothing"), "{said:?}");
    shop.run(&["reset", "dev", "--confirm"]).expect(0);
    let logs = shop.run(&["logs"]).expect(0).stdout;
    assert!(logs.contains("  reset on development by "), "{logs}");
}
