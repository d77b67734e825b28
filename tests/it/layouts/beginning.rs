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
        let mut found = report["violations"].as_array().unwrap().iter();
        assert!(found.all(|v| v["severity"] == "info"), "{layout}: {report}");
        run(dir.path(), &["policy", "check"]);
        // A second time nothing is touched.
        let said = run(dir.path(), &["init"]).expect(2);
        assert!(said.stderr.contains("is there already"), "{layout}: {}", said.stderr);
    }
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["init", "--engine", "postgresql", "mongodb", "redis", "elasticsearch", "sqlite"]).expect(0);
    let report = run(dir.path(), &["lint", "--format", "json"]).expect(0).json();
    assert_eq!(report["migrations"].as_array().unwrap().len(), 5, "{report}");
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
