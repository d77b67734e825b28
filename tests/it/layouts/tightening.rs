//! Services whose `environments.json` asks for more than the environment does, from the command line.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Said, godwit};

const USERS: &str = "services/users/migrations";
const ORDERS: &str = "services/orders/migrations";

/// Two services that share an SQLite database in each of three environments.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        world.write(
            "godwit.yml",
            "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - { path: services/*/migrations, \
             layout: service, engine: sqlite, target: shop }\n",
        );
        let one = |(name, more): (&str, &str)| {
            format!("{name}:\n  targets:\n    shop: {{ engine: sqlite, url: \"sqlite:${{DATA}}/{name}.db\" }}\n{more}")
        };
        let more = [
            ("development", "  validation: relaxed\n"),
            ("staging", "  migration: { auto_approve: true, backup_required: false, timeout: 600 }\n"),
            ("production", "  migration: { backup_required: false }\n"),
        ];
        world.write("policies/environments.yml", &more.map(one).concat());
        for (folder, table) in [(USERS, "users"), (ORDERS, "orders")] {
            world.create(folder, 1, table);
        }
        world
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A migration that makes a table.
    fn create(&self, folder: &str, number: u32, table: &str) {
        let script = format!("CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY);");
        self.write(&format!("{folder}/{number:04}_{table}.up.sql"), &script);
        self.write(&format!("{folder}/{number:04}_{table}.down.sql"), &format!("DROP TABLE IF EXISTS {table};"));
    }

    /// What the service of `folder` asks.
    fn asks(&self, folder: &str, json: &str) {
        self.write(&format!("{folder}/environments.json"), json);
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = godwit(self.dir.path());
        command.args(args).env("DATA", self.dir.path()).stdin(std::process::Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        self.command(args).output().unwrap().into()
    }

    fn shelf(&self) -> PathBuf {
        self.dir.path().join("state/backups")
    }

    fn backups(&self) -> usize {
        let Ok(files) = std::fs::read_dir(self.shelf()) else { return 0 };
        files.filter(|f| f.as_ref().unwrap().path().extension().is_none_or(|e| e != "meta")).count()
    }
}

#[test]
fn s1_24_s4_1_a_service_has_its_own_runs_backed_up_and_no_others() {
    let world = World::new();
    world.asks(USERS, r#"{ "development": { "backup_required": true }, "staging": { "backup_required": false } }"#);
    let plan = |service: &str| {
        let plan = world.run(&["plan", "development", "--service", service, "--format", "json"]).expect(0).json();
        plan["backup"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(plan("orders"), "");
    let told = plan("users");
    assert!(told.contains("`users` wants one before each run in `development`"), "{told}");
    world.run(&["apply", "development", "--service", "orders", "--yes"]).expect(0);
    assert_eq!(world.backups(), 0);
    let told = world.run(&["checklist", "development"]).stdout;
    assert!(told.contains("`users` wants one"), "{told}");
    world.run(&["apply", "development", "--yes"]).expect(0);
    assert_eq!(world.backups(), 1);
    // The way back is a run of its migrations too.
    world.run(&["rollback", "development", "users/0001_users", "--yes"]).expect(0);
    assert_eq!(world.backups(), 2);
    // What would loosen has no effect.
    let text = std::fs::read_to_string(world.dir.path().join("policies/environments.yml")).unwrap();
    world.write(
        "policies/environments.yml",
        &text.replace("backup_required: false, timeout", "backup_required: true, timeout"),
    );
    world.run(&["apply", "development", "--yes"]).expect(0);
    world.run(&["apply", "staging", "--yes"]).expect(0);
    assert_eq!(world.backups(), 4);
}

#[test]
fn s1_24_s4_1_a_service_is_judged_strictly_where_the_environment_is_relaxed() {
    let world = World::new();
    for (folder, table) in [(USERS, "users"), (ORDERS, "orders")] {
        std::fs::remove_file(world.dir.path().join(format!("{folder}/0001_{table}.down.sql"))).unwrap();
    }
    let errors = || {
        let said = world.run(&["lint", "--env", "development", "--format", "json"]).json();
        let is_error = |v: &&serde_json::Value| v["severity"] == "error";
        let found = said["violations"].as_array().unwrap().iter().filter(is_error);
        found.map(|v| format!("{} {}", v["file"].as_str().unwrap(), v["rule"].as_str().unwrap())).collect::<Vec<_>>()
    };
    world.asks(USERS, r#"{ "staging": { "validation": "strict" }, "development": { "validation": "relaxed" } }"#);
    assert_eq!(errors(), [""; 0]);
    world.asks(USERS, r#"{ "development": { "validation": "strict" } }"#);
    assert_eq!(errors(), ["services/users/migrations/0001_users.up.sql missing-down"]);
    world.run(&["apply", "development", "--service", "orders", "--yes"]).expect(0);
    let said = world.run(&["apply", "development", "--yes", "--format", "json"]).expect(1).json();
    let refused = &said["blocked_by"][0];
    assert_eq!(refused["reason"], "lint", "{said}");
    assert!(refused["message"].as_str().unwrap().contains("0001_users.up.sql"), "{said}");
    // A relaxed service loosens nothing where the environment is strict.
    world.asks(USERS, r#"{ "staging": { "validation": "relaxed" } }"#);
    world.run(&["apply", "development", "--yes"]).expect(0);
    world.run(&["apply", "staging", "--yes"]).expect(1);
}

#[test]
fn s1_24_s4_1_ones_own_word_is_not_enough_where_a_service_asks_for_anothers() {
    let world = World::new();
    let cell = "{ ANY: { required_approvals: 1, required_roles: [dba] } }";
    let none = "{ ANY: { required_approvals: 0, required_roles: [] } }";
    let matrix = format!("development: {none}\nstaging: {cell}\nproduction: {cell}\n");
    world.write("policies/approval_matrix.yml", &matrix);
    world.write("policies/roles.yml", "dba: { users: [dora] }\n");
    world.run(&["apply", "development", "--yes"]).expect(0);
    for asked in
        [r#""auto_approve": false"#, r#""approval_required": true"#, r#""migration": { "auto_approve": false }"#]
    {
        world.asks(USERS, &format!("{{ \"staging\": {{ {asked} }}, \"production\": {{ \"auto_approve\": true }} }}"));
        let said = world.run(&["apply", "staging", "--yes", "--format", "json"]).expect(3).json();
        assert_eq!(said["blocked_by"][0]["reason"], "approval", "{asked}: {said}");
    }
    // `policy simulate` says so to who asks before.
    let simulated = |path: &str| {
        let args = ["policy", "simulate", "--env", "staging", "--author", "dora:dba", "--path", path];
        world.run(&args)
    };
    let said = simulated("services/users/migrations/0002_more.up.sql");
    assert!(said.code != Some(0) && said.stdout.contains("`users` asks for somebody else's approval"), "{said:?}");
    simulated("services/orders/migrations/0002_more.up.sql").expect(0);
    world.run(&["apply", "staging", "--service", "orders", "--yes"]).expect(0);
    // Nothing of it is left to run, so it has no say.
    world.asks(USERS, "{}");
    world.run(&["apply", "staging", "--yes"]).expect(0);
    world.asks(USERS, r#"{ "staging": { "approval_required": true }, "production": { "auto_approve": true } }"#);
    world.create(ORDERS, 2, "lines");
    world.run(&["apply", "development", "--yes"]).expect(0);
    world.run(&["apply", "staging", "--yes"]).expect(0);
    // On the last environment nobody's own word is enough, whatever a service says.
    let said = world.run(&["apply", "production", "--yes", "--format", "json"]).expect(3).json();
    assert_eq!(said["blocked_by"][0]["reason"], "approval", "{said}");
}

#[test]
fn s1_24_s4_1_the_shortest_time_bounds_a_run() {
    let world = World::new();
    world.asks(USERS, r#"{ "development": { "timeout": 1 } }"#);
    world.asks(ORDERS, r#"{ "development": { "timeout": 86400 } }"#);
    world.run(&["apply", "development", "--yes", "--timeout", "60"]).expect(0);
    let endless = "CREATE TABLE IF NOT EXISTS n AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT \
                   max(n) FROM c;";
    world.write(&format!("{USERS}/0002_n.up.sql"), endless);
    world.write(&format!("{USERS}/0002_n.down.sql"), "DROP TABLE IF EXISTS n;");
    let said = world.run(&["apply", "development", "--yes", "--format", "json"]).expect(1).json();
    let step = &said["steps"][0];
    assert!(step["error"]["message"].as_str().unwrap().contains("the run's time is up"), "{said}");
}

#[test]
fn s1_24_s4_1_a_checklist_knows_the_windows_of_services() {
    let world = World::new();
    let told = || world.run(&["checklist", "production"]).stdout;
    assert!(!told().contains("`users`"), "{}", told());
    // A window that is over each day before the other begins.
    world.asks(USERS, r#"{ "production": { "maintenance_windows": [ { "start": "02:00", "end": "03:00" } ] } }"#);
    world.asks(ORDERS, r#"{ "production": { "maintenance_windows": [ { "start": "03:00", "end": "04:00" } ] } }"#);
    assert!(told().contains("it never opens (by the `environments.json` of"), "{}", told());
    let always = r#"{ "production": { "maintenance_windows": [ { "start": "00:00", "end": "24:00" } ] } }"#;
    world.asks(USERS, always);
    world.asks(ORDERS, always);
    assert!(told().contains("it is open now"), "{}", told());
}

#[test]
fn n08_s1_24_nothing_runs_while_an_environments_json_cannot_be_read() {
    let world = World::new();
    world.asks(USERS, "{ \"staging\": { \"backup_reqired\": true } }");
    for args in [&["apply", "development", "--yes"][..], &["apply", "development", "--service", "orders", "--yes"]] {
        let said = world.run(&[args, &["--format", "json"]].concat());
        assert_ne!(said.code, Some(0), "{said:?}");
        let message = said.json()["blocked_by"][0]["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains("services/users/migrations/environments.json:1: ")
                && message.contains("did you mean `backup_required`"),
            "{message}"
        );
    }
    let said = world.run(&["lint", "--env", "development"]).expect(1);
    assert!(said.stdout.contains("environments.json"), "{said:?}");
    let said = world.run(&["policy", "check"]).expect(2);
    assert!(said.stdout.contains("backup_reqired"), "{said:?}");
    // An environment that is not there is passed over; a slip of the pen is told.
    world.asks(USERS, "{ \"stagng\": { \"backup_required\": true }, \"testing\": { \"backup_required\": true } }");
    let said = world.run(&["policy", "check"]);
    assert!(said.stdout.contains("did you mean `staging`") && !said.stdout.contains("`testing`"), "{said:?}");
    world.run(&["apply", "development", "--yes"]).expect(0);
}
