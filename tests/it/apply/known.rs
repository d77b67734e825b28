//! A large folder that a database holds whole is known the next time, and whatever is not as it was is seen all the same.

use std::fs::File;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{Kind, Project};

/// Enough files that looking at them is sooner done than reading them.
const FILES: usize = 300;
const MARK: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn apply(project: &Project, code: i32) -> Value {
    project.run(&["apply", "--yes", "--format", "json"]).expect(code).json()
}

#[test]
fn r13_a_folder_that_is_known_hides_no_change() {
    let names: Vec<(String, String)> =
        (1..=FILES).map(|n| (format!("{n:04}_t.up.sql"), format!("select {n:04};\n"))).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let project = Project::new(Kind::Postgres, &files);
    assert_eq!(apply(&project, 0)["outcome"], "applied");
    let memory = project.store().with_file_name("folders.json");

    // As if it were changed at this very moment, however slow the machine is.
    let changed = project.migrations().join("0003_t.up.sql");
    let at = |time: SystemTime| File::options().write(true).open(&changed).and_then(|file| file.set_modified(time));
    at(SystemTime::now() + Duration::from_secs(3600)).expect("set");
    assert_eq!(apply(&project, 0)["outcome"], "nothing");
    assert!(!memory.exists(), "a file that was changed a moment ago may be changed again within the same tick");
    at(SystemTime::now()).expect("set");
    sleep(Duration::from_secs(4));
    let said = apply(&project, 0);
    let digest = said["digest"].clone();
    assert_eq!(said["outcome"], "nothing");

    // Whether it comes from there shows once something else stands there.
    let text = std::fs::read_to_string(&memory).expect("the folder is remembered");
    assert!(!text.contains("postgres://"), "{text}");
    std::fs::write(&memory, text.replace(digest.as_str().expect("a digest"), MARK)).expect("written");
    let said = apply(&project, 0);
    assert_eq!((&said["outcome"], &said["digest"]), (&"nothing".into(), &MARK.into()));

    // A plan and a part of it are told about each file.
    let plan = project.run(&["plan", "--format", "json"]).expect(0).json();
    assert_eq!(plan["digest"], digest);
    let part = project.run(&["apply", "--yes", "--to", "0002", "--format", "json"]).expect(0).json();
    assert_eq!(part["digest"], digest);

    // Another tool's table has a say.
    project.database.query("create table schema_migrations (version bigint primary key, dirty boolean not null)");
    project.database.query("insert into schema_migrations values (300, true)");
    assert_ne!(project.run(&["apply", "--yes", "--format", "json"]).json()["digest"], MARK);
    project.database.query("drop table schema_migrations");
    assert_eq!(apply(&project, 0)["digest"], MARK);

    // A row in another state.
    project.database.query("update godwit_history set state = 'failed' where id = '0299_t'");
    assert_ne!(project.run(&["apply", "--yes", "--format", "json"]).json()["digest"], MARK);
    project.database.query("update godwit_history set state = 'applied' where id = '0299_t'");
    assert_eq!(apply(&project, 0)["digest"], MARK);

    // An edit that leaves the size, and a time that was set back.
    let file = project.migrations().join("0007_t.up.sql");
    let before = std::fs::metadata(&file).and_then(|found| found.modified()).expect("a time");
    std::fs::write(&file, "select 0008;\n").expect("written");
    File::options().write(true).open(&file).and_then(|file| file.set_modified(before)).expect("set back");
    let said = apply(&project, 4);
    assert_eq!(said["blocked_by"][0]["reason"], "edited");
    std::fs::write(&file, "select 0007;\n").expect("written");
    assert_eq!(apply(&project, 0)["outcome"], "nothing");

    project.write("0301_new.up.sql", "create table later (n int);");
    assert_eq!(apply(&project, 0)["steps"][0]["migration"], "0301_new");
    assert!(project.database.has_table("later"));

    // What stands there and cannot be read is as good as nothing.
    std::fs::write(&memory, "[{").expect("written");
    assert_eq!(apply(&project, 0)["outcome"], "nothing");
}
