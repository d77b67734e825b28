//! A folder and a schema per service, and folders of single environments, in a configured repository.

use crate::support::{Database, Kind, Said, godwit};

struct World {
    dir: tempfile::TempDir,
    databases: [Database; 2],
}

const ENVIRONMENTS: [&str; 2] = ["staging", "production"];

impl World {
    fn new() -> Self {
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
            databases: ENVIRONMENTS.map(|_| Database::fresh(Kind::Postgres)),
        };
        world.write(
            "godwit.yml",
            "version: 1\nenvironments: [staging, production]\nmigrations:\n  - { path: services/*/migrations, layout: service, target: shop }\n",
        );
        let one = |name: &str| {
            format!(
                "{name}:\n  targets:\n    shop: {{ engine: postgresql, url: \"${{{}_URL}}\", sslmode: disable }}\n  \
                 migration: {{ backup_required: false }}\n",
                name.to_uppercase()
            )
        };
        world.write("policies/environments.yml", &ENVIRONMENTS.map(one).concat());
        world
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn run(&self, args: &[&str]) -> Said {
        let mut command = godwit(self.dir.path());
        for (name, database) in ENVIRONMENTS.iter().zip(&self.databases) {
            command.env(format!("{}_URL", name.to_uppercase()), &database.url);
        }
        command.args(args).output().unwrap().into()
    }
}

fn tables(database: &Database) -> Vec<String> {
    let sql = "select schemaname || '.' || tablename from pg_tables where schemaname like '%service' order by 1";
    database.query(sql).into_iter().map(|r| r[0].clone()).collect()
}

#[test]
fn s1_18_s1_19_s1_27_services_have_schemas_tables_of_their_own_and_folders_for_one_environment() {
    let world = World::new();
    let users = "services/user-service/migrations";
    // Names that are not qualified are the service's own, in a transaction and outside.
    world.write(
        &format!("{users}/0001_users.up.sql"),
        "CREATE TABLE IF NOT EXISTS users (id bigint PRIMARY KEY, email text);",
    );
    world.write(&format!("{users}/0001_users.down.sql"), "DROP TABLE IF EXISTS users;");
    world.write(&format!("{users}/0002_email.up.sql"), "CREATE INDEX CONCURRENTLY users_email ON users (email);");
    world.write(&format!("{users}/0002_email.down.sql"), "DROP INDEX CONCURRENTLY IF EXISTS users_email;");
    world.write(
        &format!("{users}/production/0003_vip.up.sql"),
        "CREATE TABLE IF NOT EXISTS vip (id bigint PRIMARY KEY);",
    );
    world.write(&format!("{users}/production/0003_vip.down.sql"), "DROP TABLE IF EXISTS vip;");
    let orders = "services/a-order-service/migrations";
    world.write(
        &format!("{orders}/0001_orders.up.sql"),
        "CREATE TABLE IF NOT EXISTS orders (id bigint PRIMARY KEY, of bigint REFERENCES user_service.users (id));",
    );
    world.write(&format!("{orders}/0001_orders.down.sql"), "DROP TABLE IF EXISTS orders;");
    // Nobody wrote down that orders come after users [S1-10].
    let said = world.run(&["apply", "staging", "--yes"]).expect(1);
    assert!(format!("{}{}", said.stdout, said.stderr).contains("user-service/0001_users"), "{said:?}");
    world.write(
        &format!("{orders}/dependencies.json"),
        r#"{ "service": "a-order-service", "migrations": { "0001_orders": { "depends_on": ["user-service/0001_users"] } } }"#,
    );
    world.run(&["apply", "staging", "--yes"]).expect(0);
    let [staging, production] = &world.databases;
    assert_eq!(
        tables(staging),
        [
            "a_order_service.a_order_service_schema_migrations",
            "a_order_service.orders",
            "user_service.user_service_schema_migrations",
            "user_service.users"
        ]
    );
    let version =
        |d: &Database| d.one("select version::text || dirty::text from user_service.user_service_schema_migrations");
    assert_eq!(version(staging), "2false");
    assert_eq!(staging.one("select schemaname from pg_indexes where indexname = 'users_email'"), "user_service");
    let states = world.run(&["status", "staging", "--format", "json"]).expect(0).json();
    assert_eq!(states["targets"][0]["migrations"].as_array().unwrap().len(), 3, "{states}");
    world.run(&["apply", "production", "--yes"]).expect(0);
    assert_eq!(version(production), "3false");
    assert!(tables(production).contains(&"user_service.vip".to_owned()));
    // One service alone goes back, and its own table with it [S1-40].
    world.run(&["rollback", "--env", "production", "--service", "user-service", "--steps", "1", "--yes"]).expect(0);
    assert_eq!(version(production), "2false");
}
