//! `godwit init`, in an empty repository and in one that another tool has filled.

use std::path::Path;

use crate::support::{Said, godwit};

fn run(dir: &Path, args: &[&str]) -> Said {
    godwit(dir).args(args).output().unwrap().into()
}

const LAYOUTS: [&str; 11] =
    ["numbered", "typed", "diesel", "service", "scripts", "prisma", "flyway", "goose", "sql-migrate", "sqlx", "dbmate"];

#[test]
fn s2_03_every_layout_begins_with_an_example_that_passes() {
    for layout in LAYOUTS {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), &["init", "--layout", layout]).expect(0);
        let report = run(dir.path(), &["lint", "--format", "json"]).expect(0).json();
        assert_eq!(report["migrations"].as_array().unwrap().len(), 1, "{layout}: {report}");
        assert_eq!(report["violations"], serde_json::json!([]), "{layout}");
        run(dir.path(), &["policy", "check"]);
        // A second time nothing is touched.
        let said = run(dir.path(), &["init"]).expect(2);
        assert!(said.stderr.contains("is there already"), "{layout}: {}", said.stderr);
    }
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["init", "--engine", "postgresql", "mongodb", "redis", "elasticsearch", "sqlite"]).expect(0);
    let report = run(dir.path(), &["lint", "--format", "json"]).expect(0).json();
    assert_eq!(report["migrations"].as_array().unwrap().len(), 5, "{report}");
    assert_eq!(report["violations"], serde_json::json!([]));
}

#[test]
fn an_existing_project_is_named_as_it_is_and_nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("db/goose/00001_a.sql", "-- +goose Up\nselect 1;\n-- +goose Down\nselect 2;\n");
    write("prisma/migrations/20240101000000_a/migration.sql", "select 1;");
    write("services/user-service/migrations/0001_a.up.sql", "select 1;");
    write("services/user-service/migrations/0001_a.down.sql", "select 1;");
    write("policies/roles.yml", "dba: { users: [alice] }\n");
    let said = run(dir.path(), &["init"]).expect(0).stdout;
    assert!(said.contains("found    db/goose (goose, postgresql, 1 migrations)"), "{said}");
    let config = std::fs::read_to_string(dir.path().join("godwit.yml")).unwrap();
    for part in ["\"db/goose\"\n    layout: goose", "\"services/*/migrations\"\n    layout: service", "layout: prisma"]
    {
        assert!(config.contains(part), "{part} in\n{config}");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("policies/roles.yml")).unwrap(), "dba: { users: [alice] }\n");
    let report = run(dir.path(), &["lint", "--format", "json"]).expect(0).json();
    assert_eq!(report["migrations"].as_array().unwrap().len(), 3, "{report}");
}

#[test]
fn s2_14_s2_15_policies_that_are_there_are_named_and_what_is_missing_is_put_beside_them() {
    let environments = "development:\n  database: { host: localhost, database: shop, user: \"${U}\", password: \"${P}\" }\n\
                        production:\n  database: { host: h, database: shop, user: \"${U}\", password: \"${P}\" }\n";
    for folder in ["config", "migrations/config", "policies"] {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "migrations/scripts/001_20240101_000000_a.sql",
            "-- Migration: A\ncreate table a (id bigint primary key);\n",
        );
        write("migrations/rollbacks/001_20240101_000000_a_rollback.sql", "drop table a;\n");
        write(&format!("{folder}/environments.yml"), environments);
        // Without a word of configuration they are found where they are.
        let known = run(dir.path(), &["plan", "nowhere"]).expect(2).stderr;
        assert!(known.contains("there are: development, production"), "{folder}: {known}");
        run(dir.path(), &["init"]).expect(0);
        let config = std::fs::read_to_string(dir.path().join("godwit.yml")).unwrap();
        for part in [
            format!("\npolicies: {folder}\n"),
            "environments: [development, production] ".to_owned(),
            "target: database\n".to_owned(),
        ] {
            assert!(config.contains(&part), "{folder}: {part} in\n{config}");
        }
        assert_eq!(std::fs::read_to_string(dir.path().join(folder).join("environments.yml")).unwrap(), environments);
        assert!(dir.path().join(folder).join("roles.yml").exists(), "{folder}");
        assert_eq!(dir.path().join("policies").exists(), folder == "policies");
        // The configuration holds as far as the variable that nobody set.
        let said = run(dir.path(), &["plan", "dev"]).expect(2).stderr;
        assert!(said.contains("`U`") || said.contains("${U}") || said.contains(" U"), "{folder}: {said}");
        assert!(!said.contains("two places"), "{folder}: {said}");
    }
}

#[test]
fn a_new_repository_gets_four_environments_and_a_workflow_that_names_what_it_uses_by_commit() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["init"]).expect(0);
    let read = |path: &str| std::fs::read_to_string(dir.path().join(path)).unwrap();
    let all = ["development", "testing", "staging", "production"];
    assert!(read("godwit.yml").contains(&format!("environments: [{}]", all.join(", "))));
    let environments = read("policies/environments.yml");
    assert!(all.iter().all(|name| environments.contains(&format!("{name}:\n"))), "{environments}");
    // The same commits as our own workflows take, so that one look keeps both up to date.
    let ours = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.github/workflows/ci.yml")).unwrap();
    let workflow = read(".github/workflows/godwit.yml");
    let used: Vec<&str> = workflow.lines().filter_map(|l| l.trim().strip_prefix("- uses: actions/")).collect();
    assert!(!used.is_empty() && used.iter().all(|u| ours.contains(&format!("uses: actions/{u}"))), "{workflow}");
}
