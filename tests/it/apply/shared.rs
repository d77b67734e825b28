//! Two repositories that share one database.

use godwit::ids::{RepoName, TargetName};
use godwit::migration::{MigrationRoot, MigrationSet, SourceFile, resolve};
use godwit::plan::{Outcome, RunReport};
use godwit::runner::{self, Actor, ApplyOptions, Target};
use godwit::store::Store;
use secrecy::SecretString;

use crate::support::{BOTH, Database, Kind, Project, wait};

fn set(kind: Kind, folder: &str, files: &[&str]) -> MigrationSet {
    let files: Vec<_> = files
        .iter()
        .map(|name| {
            SourceFile::new(format!("{folder}/{name}.up.sql"), format!("create table {folder}_{name} (n int);"))
        })
        .collect();
    let engine =
        Some(if kind == Kind::Postgres { godwit::ids::Engine::Postgresql } else { godwit::ids::Engine::Sqlite });
    resolve(&files, &[MigrationRoot { engine, ..MigrationRoot::folder(folder) }])
}

fn apply(store: &Store, database: &Database, repo: Option<&str>, set: &MigrationSet) -> RunReport {
    let target = Target {
        environment: None,
        name: TargetName::new("shop").unwrap(),
        engine: set.migrations[0].engine,
        url: SecretString::from(database.url.clone()),
    };
    let repo = repo.map(|r| RepoName::new(r).unwrap());
    let actor = Actor { by: "ann".into(), repo, pr: None, commit: None, correlation: None };
    wait(runner::apply(store, set, &[target], &actor, &ApplyOptions::default())).unwrap()
}

#[test]
fn two_repositories_of_one_server_do_not_take_each_others_rows_for_lost_files() {
    for kind in BOTH {
        let (dir, database) = (tempfile::tempdir().unwrap(), Database::fresh(kind));
        let store = wait(Store::open(&format!("sqlite:{}", dir.path().join("godwit.db").display()))).unwrap();
        let (ours, theirs) = (set(kind, "ours", &["0001_a"]), set(kind, "theirs", &["0001_b", "0002_c"]));
        assert_eq!(apply(&store, &database, Some("acme/ours"), &ours).outcome, Outcome::Applied);
        assert_eq!(apply(&store, &database, Some("acme/theirs"), &theirs).outcome, Outcome::Applied);
        assert_eq!(apply(&store, &database, Some("acme/ours"), &ours).outcome, Outcome::Nothing);
        // A file that this repository lost is missed all the same.
        let lost = set(kind, "theirs", &["0002_c"]);
        let report = apply(&store, &database, Some("acme/theirs"), &lost);
        assert_eq!((report.outcome, report.blocked_by[0].reason.as_str()), (Outcome::NeedsHuman, "missing"));
        assert!(report.blocked_by[0].message.contains("0001_b") && report.blocked_by.len() == 1, "{report:?}");
        // Who runs without a repository cannot know, and is told how to go on.
        let report = apply(&store, &database, None, &ours);
        assert_eq!(report.outcome, Outcome::NeedsHuman);
        assert!(report.blocked_by[0].what_to_do.contains("search_path"), "{report:?}");
    }
}

#[test]
fn a_schema_of_its_own_keeps_repositories_apart() {
    let project = Project::new(Kind::Postgres, &[]);
    project.database.query("create schema ours; create schema theirs");
    let at = |schema: &str| format!("{}?options=-c%20search_path%3D{schema}", project.database.url);
    for (schema, table) in [("ours", "a"), ("theirs", "b")] {
        let file = format!("0001_{table}.up.sql");
        project.write(&file, &format!("create table {table} (n int);"));
        let output = project.command_at(&at(schema), &["apply", "--yes"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        project.remove(&file);
    }
    let tables = "select string_agg(schemaname || '.' || tablename, ' ' order by 1) from pg_tables where tablename in ('a', 'b')";
    assert_eq!(project.database.one(&tables.replace("order by 1", "order by schemaname")), "ours.a theirs.b");
}
