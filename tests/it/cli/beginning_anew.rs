//! `reset`, `reset-data` and `seed`: what may be done where, and what is left afterwards.

use super::papers::Shop;
use crate::support::{ALL, Kind, Project, Said, godwit};

const TYPED: &[(Kind, &[(&str, &str)])] = &[
    (Kind::Postgres, &[("0001_a.up.sql", "create table a (n int);"), ("0001_a.down.sql", "drop table a;")]),
    (Kind::Sqlite, &[("0001_a.up.sql", "create table a (n int);"), ("0001_a.down.sql", "drop table a;")]),
    (
        Kind::Mongodb,
        &[(
            "001_a.json",
            r#"{"version":"1.0.0","name":"a","description":"d","database_type":"mongodb","migration_type":"schema","operations":[{"type":"create_collection","collection":"a"}]}"#,
        )],
    ),
];

#[test]
fn s2_80_a_reset_forgets_what_was_applied_keeps_a_copy_and_leaves_the_data() {
    for (kind, files) in TYPED {
        let project = Project::new(*kind, files);
        project.run(&["apply", "--yes"]).expect(0);
        project.run(&["reset"]).expect(2);
        let said = project.run(&["reset", "--confirm", "--format", "json"]).expect(0).json();
        assert_eq!(said["targets"][0]["forgotten"].as_array().unwrap().len(), 1, "{kind:?}: {said}");
        let copy = std::fs::read_to_string(said["targets"][0]["copy"].as_str().unwrap()).unwrap();
        let copy: serde_json::Value = serde_json::from_str(&copy).unwrap();
        assert_eq!(copy["history"][0]["state"], "applied", "{kind:?}");
        // The table is there, so running it again fails where it makes one; saying that it is there works.
        let status = project.run(&["status", "--format", "json"]).expect(0).json();
        assert_eq!(status["targets"][0]["migrations"][0]["state"], "rolled_back", "{kind:?}: {status}");
        // People are told what was done, in one word everywhere.
        let logs: Said = godwit(project.dir.path()).args(["logs", "--last", "1"]).output().unwrap().into();
        for told in [project.run(&["status"]).expect(0).stdout, logs.expect(0).stdout] {
            assert!(told.contains("  reset ") && !told.contains("rolled"), "{kind:?}: {told}");
        }
        assert!(project.run(&["status"]).stdout.contains(": 0 applied, 0 pending, 1 reset\n"), "{kind:?}");
        let version = if files[0].0.starts_with("0001") { "0001" } else { "1.0.0" };
        project.run(&["baseline", "--to", version]).expect(0);
        let told = project.run(&["status"]).expect(0).stdout;
        assert!(told.contains(": 0 applied, 1 adopted, 0 pending\n  adopted "), "{kind:?}: {told}");
        let status = project.run(&["status", "--format", "json"]).expect(0).json();
        assert_eq!(status["targets"][0]["migrations"][0]["state"], "applied", "{kind:?}");
        // Where no copy can be written nothing is forgotten.
        let folder = std::path::Path::new(said["targets"][0]["copy"].as_str().unwrap()).parent().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        std::fs::write(folder, "in the way").unwrap();
        let refused = project.run(&["reset", "--confirm"]).stderr;
        assert!(refused.contains("a copy of what was recorded cannot be written"), "{kind:?}: {refused}");
        let status = project.run(&["status", "--format", "json"]).expect(0).json();
        assert_eq!(status["targets"][0]["migrations"][0]["state"], "applied", "{kind:?}");
        std::fs::remove_file(folder).unwrap();
        // Twice is nothing.
        project.run(&["reset", "--confirm"]).expect(0);
        let again = project.run(&["reset", "--confirm", "--format", "json"]).expect(0).json();
        assert_eq!(again["targets"][0]["forgotten"].as_array().unwrap().len(), 0, "{kind:?}");
    }
    assert!(ALL.len() > TYPED.len());
}

#[test]
fn the_last_environment_is_reset_with_a_reason_only_and_by_whom_the_policy_names() {
    let shop = Shop::new();
    shop.run(&["apply", "dev", "--yes"]).expect(0);
    shop.run(&["reset", "production", "--confirm"]).expect(2);
    shop.run(&["reset", "production", "--confirm", "--reason", "restored"]).expect(0);
    let audit = shop.run(&["audit", "list", "--format", "json"]).expect(0).json();
    let last = audit["records"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["action"], &last["basis"], &last["environment"]),
        (&"reset".into(), &"restored".into(), &"production".into())
    );
    // Once a lead is named, a token has to prove one.
    shop.write("policies/roles.yml", "dba: [\"@dora\"]\ndata_ops_lead: [\"@lea\"]\n");
    let said = shop.run(&["reset", "production", "--confirm", "--reason", "restored", "--for", "acme/shop"]).expect(2);
    assert!(said.stderr.contains("GODWIT_TOKEN"), "{said:?}");
    shop.run(&["lock", "dev", "hands off"]).expect(0);
    shop.run(&["reset", "dev", "--confirm"]).expect(3);
}

#[test]
fn s3_32_data_is_reset_only_where_the_environment_allows_it_and_never_in_production() {
    let shop = Shop::new();
    shop.run(&["apply", "dev", "--yes"]).expect(0);
    shop.run(&["reset-data"]).expect(2);
    shop.run(&["reset-data", "development"]).expect(2);
    shop.run(&["reset-data", "production", "--confirm"]).expect(3);
    shop.run(&["reset-data", "--url", "sqlite:development.db", "--confirm"]).expect(2);
    let said = shop.run(&["reset-data", "dev", "--confirm", "--backup", "--format", "json"]).expect(0).json();
    let backup = said["emptied"][0]["backup"].as_str().unwrap();
    assert!(std::path::Path::new(backup).is_file());
    let status = shop.run(&["status", "dev", "--format", "json"]).expect(0).json();
    assert!(status["targets"][0]["migrations"].as_array().unwrap().iter().all(|m| m["state"] == "pending"), "{status}");
    shop.run(&["apply", "dev", "--yes"]).expect(0);
    shop.write(
        "policies/environments.yml",
        &shop.read("policies/environments.yml").replace("{ reset_data: true }", "{ timeout: 9 }"),
    );
    let said = shop.run(&["reset-data", "dev", "--confirm"]).expect(3).stderr;
    assert!(said.contains("reset_data: true"), "{said}");
}

#[test]
fn s3_32_databases_are_emptied_whatever_is_in_them() {
    for kind in [Kind::Postgres, Kind::Mongodb, Kind::Sqlite] {
        let files = TYPED.iter().find(|(k, _)| *k == kind).unwrap().1;
        let project = Project::new(kind, files);
        let engine = kind.engine();
        let write = |name: &str, text: &str| {
            let file = project.dir.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        write("godwit.yml", "version: 1\nenvironments: [development]\nmigrations:\n  - { path: m, target: shop }\n");
        write(
            "policies/environments.yml",
            &format!(
                "development:\n  targets:\n    shop: {{ engine: {engine}, url: \"${{SHOP_URL}}\" }}\n  migration: {{ reset_data: true }}\n"
            ),
        );
        let run = |args: &[&str]| -> Said {
            godwit(project.dir.path()).args(args).env("SHOP_URL", &project.database.url).output().unwrap().into()
        };
        run(&["apply", "development", "--yes"]).expect(0);
        run(&["reset-data", "development", "--confirm"]).expect(0);
        run(&["apply", "development", "--yes"]).expect(0);
        let status = run(&["status", "development", "--format", "json"]).expect(0).json();
        assert_eq!(status["targets"][0]["migrations"][0]["state"], "applied", "{kind:?}");
    }
}

#[test]
fn s1_42_s1_43_s3_34_an_environment_gets_its_own_data_and_production_never_does() {
    let shop = Shop::new();
    shop.run(&["apply", "dev", "--yes"]).expect(0);
    let said = shop.run(&["seed"]).expect(2).stderr;
    assert!(said.contains("seeds/development.sql"), "{said}");
    shop.write(
        "seeds/development.sql",
        "insert into customers (id, email) values (1, 'a@example.com') on conflict do nothing;\n",
    );
    shop.write(
        "seeds/development/10_more.sql",
        "insert into customers (id, email) values (2, 'b@example.com') on conflict do nothing; -- end",
    );
    let said = shop.run(&["seed", "--format", "json"]).expect(0).json();
    assert_eq!(said["files"].as_array().unwrap().len(), 2);
    // Again is the same.
    shop.run(&["seed", "--env", "development"]).expect(0);
    shop.write("db/0004_count.up.sql", "select count(*) from customers;\n-- Should return 2\n");
    shop.run(&["apply", "dev", "--yes"]).expect(0);
    shop.run(&["seed", "production"]).expect(3);
    shop.run(&["seed", "--url", "sqlite:development.db"]).expect(2);
    // It is refused for what it is, not for a variable that nobody set.
    let policy = shop.read("policies/environments.yml");
    assert!(policy.contains("sqlite:production.db"), "{policy}");
    shop.write("policies/environments.yml", &policy.replace("sqlite:production.db", "${A_VARIABLE_NOBODY_SET}"));
    for args in [["seed", "production"], ["reset-data", "production"]] {
        let said = shop.run(&args).expect(3).stderr;
        assert!(said.contains("never") && !said.contains("A_VARIABLE"), "{said}");
    }
    shop.write("policies/environments.yml", &policy);
    // A file that fails is taken back whole, and named.
    shop.write(
        "seeds/development/20_bad.sql",
        "insert into customers (id) values (3);\ninsert into nowhere values (1);\n",
    );
    let said = shop.run(&["seed"]).expect(1).stderr;
    assert!(said.contains("20_bad.sql") && said.contains("nowhere"), "{said}");
    shop.write("db/0005_count.up.sql", "select count(*) from customers;\n-- Should return 2\n");
    shop.run(&["apply", "dev", "--yes"]).expect(0);
}

#[cfg(unix)]
#[test]
fn s3_09_s3_34_programs_that_the_repository_names_run_on_the_command_line() {
    let shop = Shop::new();
    shop.write("godwit.yml", &format!("{}hooks:\n  post_run: [\"touch 'after it'\"]\n", shop.read("godwit.yml")));
    let with_seed = shop
        .read("policies/environments.yml")
        .replace("  migration: { reset_data: true }", "  seed: { command: \"cp godwit.yml seeded\" }");
    shop.write("policies/environments.yml", &with_seed);
    shop.run(&["apply", "dev", "--dry-run"]).expect(0);
    assert!(!shop.path().join("after it").exists());
    let said = shop.run(&["apply", "dev", "--yes", "--format", "json"]).expect(0);
    assert!(said.json()["outcome"] == "applied" && shop.path().join("after it").exists());
    shop.run(&["seed"]).expect(0);
    assert!(shop.path().join("seeded").exists());
    // No shell: what would be two commands is one with odd arguments.
    shop.write("policies/environments.yml", &with_seed.replace("cp godwit.yml seeded", "cp godwit.yml x; touch y"));
    shop.run(&["seed"]).expect(1);
    assert!(!shop.path().join("y").exists());
}

#[test]
fn s4_33_s4_38_s4_80_environments_and_databases_by_their_other_words() {
    let shop = Shop::new();
    shop.run(&["migrate", "--databases", "sqlite", "--only", "0001_customers", "--force"]).expect(0);
    let status = shop.run(&["status", "--format", "json"]).expect(0).json();
    assert_eq!(status["environment"], "development");
    shop.run(&["migrate", "--databases", "mongodb"]).expect(2);
    shop.run(&["migrate", "--only", "0009"]).expect(2);
    let said: Said =
        godwit(shop.path()).args(["status", "--format", "json"]).env("MIGRATION_ENV", "prod").output().unwrap().into();
    assert_eq!(said.expect(0).json()["environment"], "production");
    shop.run(&["migrate", "--version", "0002", "--force"]).expect(0);
    let rest = shop.run(&["migrate", "--version", "latest", "--dry-run", "--format", "json"]).expect(0).json();
    assert_eq!(rest["steps"].as_array().unwrap().len(), 1);
    shop.run(&["rollback", "dev", "0002_orders", "--force", "--emergency"]).expect(0);
    let audit = shop.run(&["audit", "list", "--format", "json"]).expect(0).json();
    let last = audit["records"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["action"], &last["basis"]), (&"rollback-finished".into(), &"not given".into()));
}

#[test]
fn a_file_with_a_nul_byte_never_reaches_a_database() {
    let shop = Shop::new();
    shop.write("seeds/development.sql", "insert into customers (email) values ('a\0b');\n");
    shop.run(&["apply", "development", "--yes"]).expect(0);
    let said = shop.run(&["seed", "development"]);
    assert!(said.code != Some(0) && format!("{said:?}").contains("NUL byte"), "{said:?}");
}
