//! Folders of other migration tools: read as those tools read them, and their own tables kept.

mod adopting;
mod beginning;
mod cases;
mod dependencies;
mod dirty;
mod services;
mod sqlx_itself;
mod standing;
mod strange;
mod tightening;

use crate::support::{BOTH, Kind, Project, Said, godwit};
use cases::{CASES, Case};

/// A project with `files` below its folder of migrations, folders made as they are needed.
pub fn project(kind: Kind, files: &[(String, String)]) -> Project {
    let project = Project::new(kind, &[]);
    lay(&project, files);
    project
}

pub fn lay(project: &Project, files: &[(String, String)]) {
    for (name, text) in files {
        let path = project.migrations().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// Writes a `godwit.yml` whose entry says `what` of the folder, and an environment `development` with the database.
pub fn configure(project: &Project, kind: Kind, what: &str) {
    let write = |path: &str, text: &str| {
        let path = project.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("godwit.yml", &format!("version: 1\nmigrations:\n  - {{ path: m, {what}, target: shop }}\n"));
    let engine = kind.engine();
    let targets = format!("development:\n  targets:\n    shop: {{ engine: {engine}, url: \"${{SHOP}}\" }}\n");
    write("policies/environments.yml", &targets);
}

/// Runs in a project that [`configure`] has written.
pub fn run_configured(project: &Project, args: &[&str]) -> Said {
    let mut command = godwit(project.dir.path());
    command.args(args).env("SHOP", &project.database.url).output().unwrap().into()
}

/// `id state` of every migration, as `godwit status` tells it.
pub fn states(project: &Project) -> Vec<String> {
    let said = project.run(&["status", "--format", "json"]).expect(0).json();
    let rows = said["targets"][0]["migrations"].as_array().unwrap().clone();
    rows.iter().map(|m| format!("{} {}", m["id"].as_str().unwrap(), m["state"].as_str().unwrap())).collect()
}

/// The reasons of a run that is refused.
pub fn reasons(said: &serde_json::Value) -> Vec<String> {
    said["blocked_by"].as_array().unwrap().iter().map(|r| r["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn s0_38_every_layout_goes_forward_and_back_and_its_own_table_goes_with_it() {
    for case in CASES {
        for kind in BOTH {
            forward_and_back(case, kind);
        }
    }
}

fn forward_and_back(case: &Case, kind: Kind) {
    let said = |what: &str| format!("{} on {kind:?}: {what}", case.name);
    let project = project(kind, &case.files(3));
    case.begin(&project.database);
    project.run(&["plan"]).expect(0);
    assert!(case.keys(&project.database).is_empty(), "{}", said("a plan writes nothing"));
    project.run(&["apply", "--yes"]).expect(0);
    let states = states(&project);
    assert!(states.len() == 3 && states.iter().all(|s| s.ends_with(" applied")), "{}", said(&states.join(", ")));
    assert!(["t1", "t2", "t3"].iter().all(|t| project.database.has_table(t)));
    assert_eq!(case.keys(&project.database), case.expected(3), "{}", said("after the first run"));
    project.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
    assert!(!project.database.has_table("t3"));
    assert_eq!(case.keys(&project.database), case.expected(2), "{}", said("after a rollback"));
    // A script that fails leaves no row in either table.
    lay(&project, &case.broken(4));
    let failed = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
    assert_eq!(failed["steps"][1]["state"], "failed", "{}", said("the fourth fails"));
    assert_eq!(case.keys(&project.database), case.expected(3), "{}", said("after a failure"));
    lay(&project, &case.file(4));
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(case.keys(&project.database), case.expected(4), "{}", said("at the end"));
    let nothing = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
    assert_eq!(nothing["outcome"], "nothing", "{}", said("nothing is left"));
}

#[test]
fn s0_19_a_repeatable_script_runs_again_when_it_changes_and_only_then() {
    let view = |n: u32| ("R__v.sql".to_owned(), format!("drop view if exists v; create view v as select {n} as n;"));
    for kind in BOTH {
        let flyway = cases::find("flyway");
        let project = project(kind, &flyway.files(1));
        lay(&project, &[view(1)]);
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.database.one("select cast(n as text) from v"), "1");
        let again = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
        assert_eq!(again["outcome"], "nothing");
        // It changes together with a new version, which is no latecomer for coming before it.
        lay(&project, &[view(2)]);
        lay(&project, &flyway.file(2));
        assert_eq!(states(&project), ["V1__t1 applied", "V2__t2 pending", "R__v pending"]);
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.database.one("select cast(n as text) from v"), "2");
        let rows =
            "select coalesce(version, '-') || ' ' || description from flyway_schema_history order by installed_rank";
        let rows: Vec<String> = project.database.query(rows).into_iter().map(|r| r[0].clone()).collect();
        assert_eq!(rows, ["1 t1", "- v", "2 t2", "- v"]);
        // The newest that can be undone is the version.
        project.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
        assert!(!project.database.has_table("t2"));
    }
}

#[test]
fn a_database_that_diesel_never_saw_gets_its_table_only_where_the_folder_is_said_to_be_its() {
    let diesel = cases::find("diesel");
    for kind in BOTH {
        let project = project(kind, &diesel.files(2));
        project.run(&["apply", "--yes"]).expect(0);
        assert!(project.database.has_table("t2") && !project.database.has_table(diesel.table));
        configure(&project, kind, "layout: diesel");
        lay(&project, &diesel.file(3));
        run_configured(&project, &["apply", "development", "--yes"]).expect(0);
        // With what was applied before it was made.
        assert_eq!(diesel.keys(&project.database), diesel.expected(3));
    }
}

#[test]
fn a_folder_that_could_be_two_tools_is_refused_with_what_to_write() {
    let project = project(Kind::Sqlite, &cases::find("goose").files(1));
    lay(&project, &cases::find("flyway").files(1));
    let said = project.run(&["apply", "--yes"]).expect(1).stdout;
    assert!(said.contains("could be `flyway`") && said.contains("or `goose`") && said.contains("godwit.yml"), "{said}");
    assert!(!project.database.has_table("t1"));
}
