//! Pages and reports: what is pending, the checklist, a page per migration, what happened, logs, manuals.

use std::path::Path;

use crate::support::{Said, godwit};

const ENVIRONMENTS: &str = "\
development:
  targets:
    shop: { engine: sqlite, url: \"sqlite:development.db\" }
  migration: { reset_data: true }
production:
  targets:
    shop: { engine: sqlite, url: \"sqlite:production.db\" }
  migration: { backup_required: true }
  maintenance_windows:
    - { days: [sat], start: \"02:00\", end: \"04:00\" }
";

const MATRIX: &str = "\
development:
  ANY: { required_approvals: 0, required_roles: [], timeout_hours: 24, emergency_override: false }
production:
  ANY: { required_approvals: 1, required_roles: [dba], timeout_hours: 24, emergency_override: true }
";

/// A repository with two environments on SQLite and three migrations.
pub struct Shop(pub tempfile::TempDir);

impl Shop {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shop = Self(dir);
        shop.write(
            "godwit.yml",
            "version: 1\nenvironments: [development, production]\nmigrations:\n  - { path: db, target: shop }\n",
        );
        shop.write("policies/environments.yml", ENVIRONMENTS);
        shop.write("policies/approval_matrix.yml", MATRIX);
        shop.write("policies/roles.yml", "dba: [\"@dora\"]\n");
        shop.write("db/0001_customers.up.sql", "create table customers (id integer primary key, email text);\n");
        shop.write("db/0001_customers.down.sql", "drop table customers;\n");
        shop.write("db/0002_orders.up.sql", "create table orders (id integer primary key, customer integer references customers (id));\ncreate index orders_customer on orders (customer);\n");
        shop.write("db/0002_orders.down.sql", "drop table orders;\n");
        shop.write("db/0003_phone.up.sql", "alter table customers add column phone text;\n");
        shop
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        let file = self.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn run(&self, args: &[&str]) -> Said {
        godwit(self.path()).args(args).env_remove("MIGRATION_ENV").output().unwrap().into()
    }
}

#[test]
fn s3_04_s3_12_s3_20_what_is_pending_is_told_of_the_repository_and_of_an_environment() {
    let shop = Shop::new();
    let all = shop.run(&["pending", "--format", "json"]).expect(0).json();
    assert_eq!(all["pending"], 3);
    assert_eq!((&all["makes"]["tables"], &all["makes"]["columns"]), (&2.into(), &5.into()));
    assert_eq!((&all["makes"]["indexes"], &all["makes"]["foreign_keys"]), (&1.into(), &1.into()));
    shop.run(&["apply", "development", "--to", "0002", "--yes"]).expect(0);
    let left = shop.run(&["pending", "development", "--format", "json"]).expect(0).json();
    assert_eq!((&left["pending"], &left["migrations"][0]["id"]), (&1.into(), &"0003_phone".into()));
    assert_eq!(left["environment"], "development");
    for key in
        ["purpose", "reasons", "objects", "locks", "downtime", "tests", "rollback", "communication", "statements"]
    {
        assert!(left["migrations"][0].get(key).is_some(), "{key}");
    }
    let page = shop.run(&["pending", "production", "--format", "markdown"]).expect(0).stdout;
    assert!(
        page.contains("# Pending schema changes in production") && page.contains("**Pending migrations:** 3"),
        "{page}"
    );
    // What people hear of a change comes from the matrix.
    assert!(page.contains("**Communication:** dba"), "{page}");
    shop.run(&["pending", "--out", "docs/PENDING_SCHEMA_CHANGES.md"]).expect(2);
    shop.write("docs/x.md", "");
    shop.run(&["pending", "--out", "docs/PENDING_SCHEMA_CHANGES.md"]).expect(0);
    assert!(shop.read("docs/PENDING_SCHEMA_CHANGES.md").starts_with("# Pending schema changes\n"));
    let said = shop.run(&["pending"]).expect(0).stdout;
    assert!(said.starts_with("3 migrations pending, risk "), "{said}");
    shop.run(&["pending", "nowhere"]).expect(2);
    shop.run(&["pending", "--format", "sarif"]).expect(2);
}

#[test]
fn s3_03_s3_38_s3_44_the_checklist_has_ten_checks_and_a_missing_signature_blocks() {
    let shop = Shop::new();
    let list = shop.run(&["checklist", "production", "--format", "json"]).expect(3).json();
    let checks = list["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 10);
    let state = |n: usize| checks[n - 1]["state"].as_str().unwrap();
    // Nothing ran in development; a backup is made by the run; no way back for 0003; the file answers; nobody signed.
    assert_eq!(
        [state(3), state(4), state(5), state(7), state(8), state(9), state(10)],
        ["open", "open", "done", "done", "open", "done", "open"]
    );
    assert_eq!(list["missing"], serde_json::json!(["dba"]));
    assert!(checks[7]["note"].as_str().unwrap().contains("0003_phone"));
    shop.run(&["apply", "development", "--yes"]).expect(0);
    let list = shop.run(&["checklist", "--env", "production", "--format", "json"]).expect(3).json();
    assert_eq!((&list["checks"][2]["state"], &list["checks"][3]["state"]), (&"done".into(), &"done".into()));
    let page = shop.run(&["checklist", "prod", "--format", "markdown"]).expect(3).stdout;
    for part in [
        "## Critical checks",
        "10. [ ] **Approvals complete",
        "## Backup strategy",
        "## Team readiness",
        "| *missing* | dba | |",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    shop.run(&["checklist", "--url", "sqlite:x.db"]).expect(2);
}

#[test]
fn s3_38_the_checklist_asks_what_the_run_asks_about_a_backup() {
    let shop = Shop::new();
    let note = || {
        let list = shop.run(&["checklist", "production", "--format", "json"]).expect(3).json();
        (
            list["checks"][4]["state"].as_str().unwrap().to_owned(),
            list["checks"][4]["note"].as_str().unwrap().to_owned(),
        )
    };
    let required =
        "the run makes one, verifies it, and does not begin without: `production` requires one before every run";
    assert_eq!(note(), ("done".to_owned(), required.to_owned()));
    let free = shop.read("policies/environments.yml").replace("backup_required: true", "backup_required: false");
    shop.write("policies/environments.yml", &free);
    let (state, said) = note();
    assert!(state == "person" && said.contains("make one with `godwit backup`"), "{said}");
    // Nobody asks for one, and the run makes it all the same.
    shop.write("db/0004_gone.up.sql", "drop table orders;\n");
    let (state, said) = note();
    assert!(state == "done" && said.ends_with("data is lost by `0004_gone`"), "{said}");
}

#[test]
fn s3_38_the_checklist_says_where_it_looked_and_goes_by_the_built_in_matrix() {
    let shop = Shop::new();
    let checks = |place: &str, code: i32| -> Vec<(String, String)> {
        let list = shop.run(&["checklist", place, "--format", "json"]).expect(code).json();
        let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
        list["checks"].as_array().unwrap().iter().map(|c| (text(&c["state"]), text(&c["note"]))).collect()
    };
    shop.run(&["apply", "development", "--yes"]).expect(0);
    assert_eq!(checks("production", 3)[3].1, "applied in development with the same checksum");
    let nothing = checks("development", 0);
    assert_eq!([0, 2, 3].map(|n| nothing[n].1.as_str()), ["nothing is pending"; 3]);
    // A matrix that nobody wrote asks for as much.
    std::fs::remove_file(shop.path().join("policies/approval_matrix.yml")).unwrap();
    shop.write("db/0004_gone.up.sql", "drop table orders;\n");
    let (state, note) = checks("production", 3).remove(9);
    assert!(state == "open" && note.contains("asks for 4 approvals") && note.contains("risk HIGH"), "{note}");
}

#[test]
fn s3_38_a_variable_that_is_not_set_leaves_the_checklist_open() {
    let shop = Shop::new();
    let asking = shop.read("policies/environments.yml").replace("sqlite:production.db", "${SHOP_UNSET_URL}");
    shop.write("policies/environments.yml", &asking);
    let list = shop.run(&["checklist", "production", "--format", "json"]).expect(3).json();
    assert_eq!(list["checks"][8]["state"], "open");
    assert!(list["checks"][8]["note"].as_str().unwrap().contains("SHOP_UNSET_URL"), "{list}");
    // What it holds is not known, so all of it may be about to run.
    assert_eq!(list["migrations"].as_array().unwrap().len(), 3, "{list}");
    shop.run(&["checklist", "nowhere"]).expect(2);
}

#[test]
fn s1_11_s2_139_a_page_for_each_migration_that_never_replaces_what_people_wrote() {
    let shop = Shop::new();
    shop.run(&["docs", "--check"]).expect(1);
    let said = shop.run(&["docs"]).expect(0).stdout;
    assert!(said.contains("4 pages, 4 written"), "{said}");
    assert!(shop.read("docs/migrations/README.md").contains("db/0002_orders.md"));
    assert!(shop.read("docs/migrations/db/0001_customers.md").contains("create table customers"));
    shop.run(&["docs", "--check"]).expect(0);
    assert!(shop.run(&["docs", "--format", "json"]).expect(0).json()["written"].as_array().unwrap().is_empty());
    shop.write("docs/migrations/db/0002_orders.md", "# mine\n");
    let said = shop.run(&["docs"]).expect(2).stderr;
    assert!(said.contains("0002_orders.md") && said.contains("--out"), "{said}");
    assert_eq!(shop.read("docs/migrations/db/0002_orders.md"), "# mine\n");
}

#[test]
fn s1_11_the_page_of_a_migration_that_is_gone_goes_with_it() {
    let shop = Shop::new();
    shop.run(&["docs"]).expect(0);
    let page = |name: &str| shop.path().join("docs/migrations/db").join(name);
    let last = std::fs::read_dir(shop.path().join("db"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("0003"))
        .collect::<Vec<_>>();
    let id = last[0].split('.').next().unwrap().to_owned() + ".md";
    for file in &last {
        std::fs::remove_file(shop.path().join("db").join(file)).unwrap();
    }
    shop.write("docs/migrations/db/by_hand.md", "# mine\n");
    let said = shop.run(&["docs", "--check"]).expect(1).stdout;
    assert!(said.contains(&format!("gone  docs/migrations/db/{id}")), "{said}");
    // Of some folders alone nobody can say whose page it is.
    let said = shop.run(&["docs", "db"]).expect(0).stdout;
    assert!(said.contains("gone") && page(&id).exists(), "{said}");
    let said = shop.run(&["docs", "--format", "json"]).expect(0).json();
    assert_eq!(said["removed"], serde_json::json!([format!("db/{id}")]), "{said}");
    assert!(!page(&id).exists() && page("by_hand.md").exists());
    shop.run(&["docs", "--check"]).expect(0);
}

#[test]
fn s0_106_runs_of_no_environment_are_among_those_that_nobody_agreed_to() {
    let shop = Shop::new();
    shop.run(&["apply", "--yes", "--url", "sqlite:x.db", "--path", "db"]).expect(0);
    let said = shop.run(&["report", "--framework", "sox", "--format", "json"]).expect(0).json();
    let rows = said["parts"][0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{said}");
    assert_eq!(
        (&rows[0]["environment"], &rows[0]["agreed"], &rows[0]["by"]),
        (&"-".into(), &"-".into(), &"tester".into()),
        "{said}"
    );
}

#[test]
fn s0_52_to_s0_63_s0_101_to_s0_106_reports_tell_what_happened_in_every_form() {
    let shop = Shop::new();
    shop.run(&["apply", "development", "--yes"]).expect(0);
    shop.run(&["lock", "production", "sale"]).expect(0);
    let daily = shop.run(&["report", "daily", "--format", "json"]).expect(0).json();
    let titles: Vec<&str> = daily["parts"].as_array().unwrap().iter().map(|p| p["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Execution", "Performance", "Security", "Backups"]);
    assert_eq!(daily["parts"][0]["rows"][0]["outcome"], "applied");
    assert_eq!(daily["parts"][0]["rows"][0]["steps"], "3");
    for kind in ["weekly", "monthly", "quarterly", "schema", "access", "execution"] {
        for format in ["text", "markdown", "json", "csv", "html"] {
            let said = shop.run(&["report", kind, "--format", format]).expect(0);
            assert!(!said.stdout.is_empty(), "{kind} {format}");
        }
    }
    for framework in ["iso27001", "iso22301", "pci-dss", "gdpr", "popia", "sox"] {
        let said =
            shop.run(&["report", "--framework", framework, "--from", "2020-01-01", "--format", "json"]).expect(0);
        assert!(said.json()["parts"].as_array().unwrap().len() >= 3, "{framework}");
    }
    let sox = shop.run(&["report", "--framework", "sox", "--env", "dev", "--format", "csv"]).expect(0).stdout;
    assert!(sox.contains("Who ran and who agreed,1,by,tester\r\n"), "{sox}");
    let gdpr = shop.run(&["report", "--framework", "gdpr", "--format", "markdown"]).expect(0).stdout;
    assert!(gdpr.contains("0001\\_customers"), "{gdpr}");
    let schema = shop.run(&["report", "schema", "--format", "json"]).expect(0).json();
    assert_eq!(schema["parts"][0]["rows"][1]["foreign_keys"], "1");
    let own = shop.run(&["report", "access", "--user", "tester", "--format", "json"]).expect(0).json();
    let rows = own["parts"][0]["rows"].as_array().unwrap();
    assert!(rows.iter().any(|r| r["what"] == "lock" && r["where"] == "production"), "{own}");
    let none = shop.run(&["report", "access", "--user", "nobody", "--format", "json"]).expect(0).json();
    assert!(none["parts"][0]["rows"].as_array().unwrap().is_empty());
    shop.run(&["report", "daily", "--out", "daily.html", "--as", "html"]).expect(0);
    assert!(shop.read("daily.html").starts_with("<!doctype html>"));
    shop.run(&["report"]).expect(2);
    shop.run(&["report", "daily", "--from", "2026-02-01", "--to", "2026-01-01"]).expect(2);
}

#[test]
fn s1_71_s0_59_logs_tell_each_step_and_old_notes_can_go() {
    let shop = Shop::new();
    assert!(shop.run(&["logs"]).expect(0).stdout.contains("no run"));
    shop.run(&["apply", "dev", "--yes"]).expect(0);
    let logs = shop.run(&["logs", "--env", "dev", "--format", "json"]).expect(0).json();
    assert_eq!(logs["runs"][0]["steps"].as_array().unwrap().len(), 3);
    let run = logs["runs"][0]["run"].as_str().unwrap();
    let said = shop.run(&["logs", run]).expect(0).stdout;
    assert!(said.contains("apply on development by tester: applied") && said.contains("0003_phone"), "{said}");
    shop.run(&["logs", "01JD3ZQ7V3MZ5T4Q9C1XKX7B2H"]).expect(2);
    shop.run(&["logs", "prune"]).expect(2);
    let pruned = shop.run(&["logs", "prune", "--older-than", "1", "--format", "json"]).expect(0).json();
    assert_eq!(pruned, serde_json::json!({ "deleted": 0, "dry_run": false }));
    assert_eq!(shop.run(&["logs", "--format", "json"]).expect(0).json()["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn s2_109_a_migration_is_timed_on_a_scratch_database() {
    let shop = Shop::new();
    let said = shop
        .run(&["benchmark", "db/0002_orders.up.sql", "--url", "sqlite:", "--runs", "2", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!((&said["migration"], &said["runs"]), (&"0002_orders".into(), &2.into()));
    assert!(said["forward_ms"]["median"].is_number() && said["back_ms"]["max"].is_number(), "{said}");
    shop.run(&["benchmark", "0009_none", "--url", "sqlite:", "--path", "db"]).expect(2);
    shop.run(&["benchmark", "db/0002_orders.up.sql"]).expect(2);
    shop.write("db/0004_bad.up.sql", "insert into nowhere values (1);\n");
    shop.run(&["benchmark", "db/0004_bad.up.sql", "--url", "sqlite:"]).expect(1);
    // What comes behind has no say in it.
    shop.run(&["benchmark", "db/0002_orders.up.sql", "--url", "sqlite:", "--runs", "1"]).expect(0);
    shop.run(&["rehearse", "db", "--url", "sqlite:", "--only", "0002_orders"]).expect(0);
    shop.run(&["rehearse", "db", "--url", "sqlite:"]).expect(1);
    shop.write("lone/0001_t.up.sql", "create table t (id integer primary key, n int);\n");
    shop.write("lone/0002_n.up.sql", "update t set n = 1 where id = 7;\n\nupdate t set n = 2 where n = 1;\n");
    let said = shop.run(&["benchmark", "lone/0002_n.up.sql", "--url", "sqlite:", "--format", "json"]).expect(0).json();
    let plan = |n: usize| said["plans"][n]["plan"][0].as_str().unwrap_or_default().to_owned();
    assert!(plan(0).starts_with("SEARCH t") && plan(1).starts_with("SCAN t"), "{said}");
}

#[test]
fn s2_109_s0_83_a_benchmark_tells_locks_rows_and_how_the_server_does_it() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(
        "0001_t.up.sql",
        "create table bench (id bigint primary key, n int);\ninsert into bench select g, g from generate_series(1, 50) g;\n",
    );
    write("0001_t.down.sql", "drop table bench;\n");
    write(
        "0002_u.up.sql",
        "alter table bench add column more int;\n\nupdate bench set more = n\n where id <= 20;\ndelete from bench where id = 50;\n",
    );
    write("0002_u.down.sql", "alter table bench drop column more;\n");
    let server = crate::support::postgres_server();
    let run = |format: &str| -> Said {
        let args = ["benchmark", "0002_u.up.sql", "--url", &server, "--runs", "2", "--format", format];
        godwit(dir.path()).args(args).output().unwrap().into()
    };
    let said = run("json").expect(0).json();
    assert_eq!(
        said["rows"],
        serde_json::json!([{ "relation": "public.bench", "inserted": 0, "updated": 20, "deleted": 1 }]),
        "{said}"
    );
    assert!(said["locks"].as_array().unwrap().iter().any(|l| l["mode"] == "AccessExclusive"), "{said}");
    // What needs the column that the file itself makes is planned once it is there.
    let plans: Vec<(u64, String)> = said["plans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["line"].as_u64().unwrap(), p["plan"][0].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(plans.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 5], "{said}");
    assert!(plans[0].1.starts_with("Update on bench") && plans[1].1.starts_with("Delete on bench"), "{said}");
    let text = run("text").expect(0).stdout;
    for part in ["rows of public.bench: 20 updated, 1 deleted", "line 3: update bench set more = n", "Update on bench"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn s0_108_the_program_says_what_it_is_and_brings_its_manual() {
    let shop = Shop::new();
    let said = shop.run(&["version", "--format", "json"]).expect(0).json();
    assert_eq!(said["version"], env!("CARGO_PKG_VERSION"));
    assert!(said["engines"].as_array().unwrap().contains(&"sqlite".into()));
    assert!(shop.run(&["--version"]).expect(0).stdout.starts_with("godwit "));
    shop.run(&["man", "--out", "man"]).expect(0);
    for page in ["godwit.1", "godwit-apply.1", "godwit-audit-verify.1", "godwit-reset-data.1"] {
        let text = shop.read(&format!("man/{page}"));
        assert!(text.contains(".TH godwit"), "{page}: {text}");
    }
    let page = shop.run(&["man", "rollback"]).expect(0).stdout;
    assert!(page.contains("Undo migrations") && page.contains("Examples"), "{page}");
    shop.run(&["man", "fly"]).expect(2);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = shop.run(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("reset-data") && script.contains("checklist"), "{shell}");
    }
}

#[test]
fn dec3_a_target_that_no_environment_has_does_not_read_as_nothing_to_do() {
    let shop = Shop::new();
    shop.write("godwit.yml", &shop.read("godwit.yml").replace("target: shop", "target: shopp"));
    for args in [&["apply", "development", "--yes"][..], &["plan", "development"], &["status", "development"]] {
        let told = shop.run(args).expect(2).stderr;
        assert!(told.contains("is for the target `shopp`, which no environment has"), "{args:?}: {told}");
    }
    let told = shop.run(&["policy", "check"]).expect(2);
    assert!(format!("{}{}", told.stdout, told.stderr).contains("names the target `shopp`"), "{told:?}");
}
